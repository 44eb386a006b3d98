#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "convert/convert.h"
#include "convert/summary.h"

static int convert(const struct gqa_convert_options *options)
{
    struct gqa_conversion c;

    if (gqa_convert(&c, options) != GQA_OK)
        return gqa_cli_trouble(gqa_convert_tool.name);
    if (options->common.json)
        puts(c.json);
    else if (options->common.log_level >= GQA_LOG_WARN)
        gqa_summary_print(&c);
    gqa_conversion_clear(&c);
    return GQA_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct gqa_convert_options options;
    const enum gqa_status st = gqa_convert_options_parse(&options, argc, argv);
    int status;

    gqa_json_watch_memory();
    if (!gqa_options_done(&status, &options.common, &gqa_convert_tool, st))
        status = convert(&options);
    gqa_convert_options_clear(&options);
    return gqa_cli_finish(gqa_convert_tool.name, status);
}
