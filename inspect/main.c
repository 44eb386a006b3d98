#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "common/log.h"
#include "inspect/inspection.h"
#include "inspect/options.h"
#include "inspect/report.h"
#include "inspect/text.h"

static const char tool[] = "gqa-inspect";

static int inspect(const struct gqa_inspect_options *options)
{
    struct gqa_inspection *inspection = NULL;
    enum gqa_status st = gqa_text_init();

    gqa_log_init(tool, options->log_level);
    if (st == GQA_OK)
        st = gqa_inspection_create(&inspection, options);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        st = options->json ? gqa_report_json(stdout, inspection)
                           : gqa_report_text(stdout, inspection);
    gqa_inspection_free(inspection);
    return st == GQA_OK ? GQA_EXIT_OK : gqa_cli_trouble(tool);
}

int main(int argc, char **argv)
{
    struct gqa_inspect_options options;
    int status = GQA_EXIT_OK;

    gqa_json_watch_memory();
    switch (gqa_inspect_options_parse(&options, argc, argv)) {
    case GQA_INSPECT_RUN:
        status = inspect(&options);
        break;
    case GQA_INSPECT_HELP:
        gqa_inspect_print_help();
        break;
    case GQA_INSPECT_VERSION:
        gqa_cli_print_version(tool);
        break;
    case GQA_INSPECT_USAGE_ERROR:
        status = GQA_EXIT_TROUBLE;
        break;
    }
    return gqa_cli_finish(tool, status);
}
