#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "common/text.h"
#include "inspect/inspection.h"
#include "inspect/options.h"
#include "inspect/outputs.h"
#include "inspect/report.h"

static int inspect(const struct gqa_inspect_options *options)
{
    struct gqa_inspection *inspection = NULL;
    struct gqa_inspect_outputs outputs;
    enum gqa_status st = gqa_inspect_outputs_begin(&outputs, options);

    if (st == GQA_OK)
        st = gqa_inspection_create(&inspection, options);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        st = gqa_inspect_outputs_write(&outputs, inspection);
    if (st == GQA_OK && options->common.json)
        st = gqa_report_json(stdout, inspection);
    else if (st == GQA_OK && options->common.log_level >= GQA_LOG_WARN)
        st = gqa_report_text(stdout, inspection);
    if (st == GQA_OK)
        st = gqa_text_check();
    /* What is shown comes before what is wrong with it, and before outputs. */
    if (st == GQA_OK)
        st = gqa_cli_flush();
    st = gqa_inspect_outputs_end(&outputs, st);
    if (st == GQA_OK)
        st = gqa_inspection_judge(inspection);
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
