#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "convert/convert.h"
#include "convert/summary.h"

static const char tool[] = "gqa-convert";

static int convert(const struct gqa_convert_options *options)
{
    struct gqa_conversion c;

    if (gqa_convert(&c, options) != GQA_OK)
        return gqa_cli_trouble(tool);
    if (options->json)
        puts(c.json);
    else if (options->log_level >= GQA_LOG_WARN)
        gqa_summary_print(&c);
    gqa_conversion_clear(&c);
    return GQA_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct gqa_convert_options options;
    int status = GQA_EXIT_OK;

    gqa_json_watch_memory();
    gqa_log_init(tool, GQA_LOG_WARN);
    if (gqa_convert_options_parse(&options, argc, argv) != GQA_OK) {
        status = gqa_cli_usage_error(tool, "%s", gqa_error_message());
    } else if (options.show_help) {
        gqa_convert_print_help();
    } else if (options.show_version) {
        gqa_cli_print_version(tool);
    } else {
        gqa_log_init(tool, options.log_level);
        status = convert(&options);
    }
    gqa_convert_options_clear(&options);
    return gqa_cli_finish(tool, status);
}
