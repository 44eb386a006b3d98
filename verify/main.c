#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/log.h"
#include "runtime/cpu/room.h"
#include "verify/options.h"
#include "verify/verification.h"
#include "verify/whole_file.h"

/* The report for standard output: all of it, or an error. */
static enum gqa_status render(char **out, const struct gqa_report *report,
                              enum gqa_report_format format)
{
    size_t n;
    FILE *stream = open_memstream(out, &n);
    enum gqa_status st;

    if (!stream)
        return gqa_fail_nomem();
    st = gqa_report_write(stream, report, format);
    /* Memory is all that such a stream can lack. */
    if (st == GQA_OK && (fflush(stream) != 0 || ferror(stream)))
        st = gqa_fail_nomem();
    if (fclose(stream) != 0 && st == GQA_OK)
        st = gqa_fail_nomem();
    return st;
}

static int verify(const struct gqa_verify_options *options)
{
    struct gqa_report *report = NULL;
    struct gqa_whole_file dump = {0};
    int status = GQA_EXIT_TROUBLE;
    char *text = NULL;
    enum gqa_status st;

    gqa_interrupt_catch(gqa_whole_file_clean);
    if ((st = gqa_report_create(&report)) == GQA_OK)
        st = gqa_verify(report, &dump, options);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK && (options->common.log_level >= GQA_LOG_WARN ||
                         options->format != GQA_REPORT_TEXT))
        st = render(&text, report, options->format);
    if (st == GQA_OK && options->report_path)
        st = gqa_report_save(options->report_path, report);
    st = gqa_whole_file_end(&dump, st);
    if (st == GQA_OK && text)
        fputs(text, stdout);
    if (st == GQA_OK)
        status = gqa_report_exit_status(report);
    else
        gqa_cli_trouble(gqa_verify_tool.name);
    free(text);
    gqa_report_free(report);
    return status;
}

int main(int argc, char **argv)
{
    struct gqa_verify_options options;
    enum gqa_status st;
    int status;

    gqa_json_watch_memory();
    /* Before anything else: an ordinary exit would wait for OpenBLAS. */
    if (gqa_cpu_check_room(0) != GQA_OK)
        _exit(gqa_cli_trouble(gqa_verify_tool.name));
    st = gqa_verify_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_verify_tool, st))
        status = verify(&options);
    return gqa_cli_finish(gqa_verify_tool.name, status);
}
