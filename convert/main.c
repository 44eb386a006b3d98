#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "convert/convert.h"
#include "convert/summary.h"

/* The last thing before the output appears: what it says must arrive. */
static enum gqa_status print(const struct gqa_conversion *c)
{
    const struct gqa_options *common = &c->options->common;
    /* Where the weights have standard output, that is all there is on it. */
    FILE *out = c->options->to_stdout ? stderr : stdout;

    if (common->json)
        fprintf(out, "%s\n", c->json);
    else if (common->log_level >= GQA_LOG_WARN)
        gqa_summary_print(out, c);
    return gqa_cli_flush();
}

static int convert(const struct gqa_convert_options *options)
{
    struct gqa_conversion c;

    if (gqa_convert(&c, options, print) != GQA_OK)
        return gqa_cli_trouble(gqa_convert_tool.name);
    gqa_conversion_clear(&c);
    return GQA_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct gqa_convert_options options;
    enum gqa_status st;
    int status;

    gqa_cli_begin();
    gqa_json_watch_memory();
    st = gqa_convert_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_convert_tool, st))
        status = convert(&options);
    gqa_convert_options_clear(&options);
    return gqa_cli_finish(gqa_convert_tool.name, status);
}
