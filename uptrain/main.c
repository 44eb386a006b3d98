#include <stdio.h>
#include <stdlib.h>

#include "common/cli.h"
#include "common/json.h"
#include "uptrain/summary.h"

/* The last thing before an output appears: what it says must arrive. */
static enum gqa_status print(const struct gqa_uptraining *u)
{
    const struct gqa_options *common = &u->options->common;
    char *json = NULL;
    enum gqa_status st = GQA_OK;

    if (common->json)
        st = gqa_uptrain_summary_json(&json, u);
    if (st != GQA_OK)
        return st;
    if (json)
        printf("%s\n", json);
    else if (common->log_level >= GQA_LOG_WARN)
        gqa_uptrain_summary_print(stdout, u);
    free(json);
    return gqa_cli_flush();
}

static int uptrain(const struct gqa_uptrain_options *options)
{
    struct gqa_uptraining u;
    const enum gqa_status st = gqa_uptrain(&u, options, print);
    const int status = st != GQA_OK ? gqa_cli_trouble(gqa_uptrain_tool.name)
                       : !options->dry_run && !u.gained ? GQA_EXIT_CHECK_FAILED
                                                        : GQA_EXIT_OK;

    gqa_uptraining_clear(&u);
    return status;
}

int main(int argc, char **argv)
{
    struct gqa_uptrain_options options;
    enum gqa_status st;
    int status;

    gqa_cli_begin();
    gqa_json_watch_memory();
    st = gqa_uptrain_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_uptrain_tool, st))
        status = uptrain(&options);
    gqa_uptrain_options_clear(&options);
    return gqa_cli_finish(gqa_uptrain_tool.name, status);
}
