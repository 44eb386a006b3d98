#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "inspect/inspection.h"
#include "inspect/options.h"
#include "inspect/report.h"
#include "inspect/text.h"

static int inspect(const struct gqa_inspect_options *options)
{
    struct gqa_inspection *inspection = NULL;
    enum gqa_status st = gqa_inspection_create(&inspection, options);

    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK && options->common.json)
        st = gqa_report_json(stdout, inspection);
    else if (st == GQA_OK && options->common.log_level >= GQA_LOG_WARN)
        st = gqa_report_text(stdout, inspection);
    if (st == GQA_OK)
        st = gqa_text_check();
    if (st == GQA_OK) {
        fflush(stdout); /* what is shown comes before what is wrong with it */
        st = gqa_inspection_judge(inspection);
    }
    gqa_inspection_free(inspection);
    return st == GQA_OK ? GQA_EXIT_OK : gqa_cli_trouble(gqa_inspect_tool.name);
}

int main(int argc, char **argv)
{
    struct gqa_inspect_options options;
    enum gqa_status st;
    int status;

    gqa_cli_begin();
    gqa_json_watch_memory();
    st = gqa_inspect_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_inspect_tool, st))
        status = inspect(&options);
    return gqa_cli_finish(gqa_inspect_tool.name, status);
}
