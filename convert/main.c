#include "common/cli.h"
#include "convert/convert.h"
#include "convert/summary.h"

static int convert(const struct gqa_convert_options *options)
{
    struct gqa_conversion c;
    int status = GQA_EXIT_OK;

    if (gqa_convert(&c, options) != GQA_OK)
        return gqa_cli_trouble(gqa_convert_tool.name);
    if (options->common.json) {
        if (gqa_summary_print_json(&c) != GQA_OK)
            status = gqa_cli_trouble(gqa_convert_tool.name);
    } else if (options->common.log_level >= GQA_LOG_WARN) {
        gqa_summary_print(&c);
    }
    gqa_conversion_clear(&c);
    return status;
}

int main(int argc, char **argv)
{
    struct gqa_convert_options options;
    const enum gqa_status st = gqa_convert_options_parse(&options, argc, argv);
    int status;

    if (!gqa_options_done(&status, &options.common, &gqa_convert_tool, st))
        status = convert(&options);
    gqa_convert_options_clear(&options);
    return gqa_cli_finish(gqa_convert_tool.name, status);
}
