#include <stdio.h>
#include <stdlib.h>

#include "common/cli.h"
#include "common/json.h"
#include "uptrain/ranks_begin.h"
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

/* What failed is said once, by one of all ranks. */
static int trouble(bool is_told)
{
    return is_told ? GQA_EXIT_TROUBLE : gqa_cli_trouble(gqa_uptrain_tool.name);
}

static int uptrain(struct gqa_uptrain_options *options)
{
    struct gqa_ranks_begun begun;
    struct gqa_uptraining u;
    enum gqa_status st = gqa_ranks_begin(&begun, options);
    bool is_told;
    int status;

    if (st != GQA_OK)
        return trouble(gqa_ranks_begun_end(&begun, st));
    st = gqa_uptrain(&u, options, begun.ranks, print);
    status = !gqa_ranks_is_first(begun.ranks) ? GQA_EXIT_OK
             : !options->dry_run && !u.gained ? GQA_EXIT_CHECK_FAILED
                                              : GQA_EXIT_OK;
    gqa_uptraining_clear(&u);
    is_told = gqa_ranks_begun_end(&begun, st);
    return st == GQA_OK ? status : trouble(is_told);
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
