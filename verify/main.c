#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/log.h"
#include "common/memory_stream.h"
#include "runtime/cpu/room.h"
#include "verify/options.h"
#include "verify/verification.h"
#include "verify/whole_file.h"

/* The report for standard output: all of it, or an error. */
static enum gqa_status render(struct gqa_memory_stream *text,
                              const struct gqa_report *report,
                              enum gqa_report_format format)
{
    enum gqa_status st = gqa_memory_stream_open(text);

    if (st == GQA_OK)
        st = gqa_report_write(text->out, report, format);
    return st == GQA_OK ? gqa_memory_stream_flush(text) : st;
}

static int verify(const struct gqa_verify_options *options)
{
    struct gqa_report *report = NULL;
    struct gqa_whole_file dump = {0};
    int status = GQA_EXIT_TROUBLE;
    struct gqa_memory_stream text = {0};
    enum gqa_status st;

    gqa_interrupt_catch(gqa_whole_file_clean);
    if ((st = gqa_report_create(&report)) == GQA_OK)
        st = gqa_verify(report, &dump, options);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK && (options->common.log_level >= GQA_LOG_WARN ||
                         options->format != GQA_REPORT_TEXT))
        st = render(&text, report, options->format);
    if (st == GQA_OK && text.n > 0) {
        fputs(text.text, stdout);
        st = gqa_cli_flush();
    }
    if (st == GQA_OK && options->report_path)
        st = gqa_report_save(options->report_path, report);
    st = gqa_whole_file_end(&dump, st);
    if (st == GQA_OK)
        status = gqa_report_exit_status(report);
    else
        gqa_cli_trouble(gqa_verify_tool.name);
    gqa_memory_stream_free(&text);
    gqa_report_free(report);
    return status;
}

int main(int argc, char **argv)
{
    struct gqa_verify_options options;
    enum gqa_status st;
    int status;

    gqa_cli_begin();
    gqa_json_watch_memory();
    /* Before anything else: an ordinary exit would wait for OpenBLAS. */
    if (gqa_cpu_check_room(0) != GQA_OK)
        _exit(gqa_cli_trouble(gqa_verify_tool.name));
    st = gqa_verify_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_verify_tool, st))
        status = verify(&options);
    return gqa_cli_finish(gqa_verify_tool.name, status);
}
