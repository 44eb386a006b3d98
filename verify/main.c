#include <stdio.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "runtime/cpu/room.h"
#include "verify/options.h"
#include "verify/verification.h"
#include "verify/whole_file.h"

static int verify(const struct gqa_verify_options *options)
{
    struct gqa_report *report = NULL;
    int status = GQA_EXIT_TROUBLE;
    enum gqa_status st;

    gqa_interrupt_catch(gqa_whole_file_clean);
    if ((st = gqa_report_create(&report)) == GQA_OK)
        st = gqa_verify(report, options);
    if (st == GQA_OK && options->report_path)
        st = gqa_report_save(options->report_path, report);
    if (st == GQA_OK && (options->common.log_level >= GQA_LOG_WARN ||
                         options->format != GQA_REPORT_TEXT))
        st = gqa_report_write(stdout, report, options->format);
    if (st == GQA_OK)
        status = gqa_report_exit_status(report);
    else
        gqa_cli_trouble(gqa_verify_tool.name);
    gqa_report_free(report);
    return status;
}

int main(int argc, char **argv)
{
    struct gqa_verify_options options;
    enum gqa_status st;
    int status;

    /* Before anything else: an ordinary exit would wait for OpenBLAS. */
    if (gqa_cpu_check_room(0) != GQA_OK)
        _exit(gqa_cli_trouble(gqa_verify_tool.name));
    st = gqa_verify_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_verify_tool, st))
        status = verify(&options);
    return gqa_cli_finish(gqa_verify_tool.name, status);
}
