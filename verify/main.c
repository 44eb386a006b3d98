#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/cli.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/log.h"
#include "common/memory_stream.h"
#include "common/whole_file.h"
#include "verify/options.h"
#include "verify/trouble_report.h"
#include "verify/verification.h"

struct command {
    const struct gqa_verify_options *options;
    int argc;
    char **argv;
};

/* On a terminal text comes check by check. */
static bool follows(const struct gqa_verify_options *options)
{
    return options->format == GQA_REPORT_TEXT &&
           options->common.log_level >= GQA_LOG_WARN && isatty(STDOUT_FILENO);
}

/* The report for standard output: all of it, or an error; nothing where none
 * is wanted. */
static enum gqa_status render(struct gqa_memory_stream *text,
                              const struct gqa_report *report,
                              const struct gqa_verify_options *options)
{
    enum gqa_status st = GQA_OK;

    if (options->format == GQA_REPORT_TEXT &&
        options->common.log_level < GQA_LOG_WARN)
        return GQA_OK;
    st = gqa_memory_stream_open(text);
    if (st == GQA_OK)
        st = gqa_report_write(text->out, report, options->format);
    return st == GQA_OK ? gqa_memory_stream_flush(text) : st;
}

/* Now, while the report can still say that it failed. */
static enum gqa_status print(const struct gqa_memory_stream *text)
{
    if (text->n > 0)
        fputs(text->text, stdout);
    return gqa_cli_flush();
}

/* What was wrong: on standard error, in the report, and on standard output
 * where that is for a program and can be written. */
static int trouble(struct gqa_report *report, const struct command *command,
                   bool can_print)
{
    const struct gqa_verify_options *options = command->options;
    struct gqa_memory_stream text = {0};

    gqa_cli_trouble(gqa_verify_tool.name);
    if (!report || gqa_interrupt_pending())
        return GQA_EXIT_TROUBLE;
    gqa_report_trouble(report, gqa_cli_message());
    if (options->report_path)
        gqa_trouble_report_save(options->report_path, report, command->argc,
                                command->argv);
    if (options->format != GQA_REPORT_TEXT && can_print &&
        render(&text, report, options) == GQA_OK)
        (void)!print(&text);
    gqa_memory_stream_free(&text);
    return GQA_EXIT_TROUBLE;
}

static int verify(const struct command *command)
{
    const struct gqa_verify_options *options = command->options;
    struct gqa_report *report = NULL;
    struct gqa_whole_file dump = {0};
    struct gqa_memory_stream text = {0};
    bool can_print = true;
    int status;
    enum gqa_status st;

    gqa_interrupt_catch(gqa_atomic_clean);
    st = gqa_report_create(&report);
    if (st == GQA_OK && follows(options))
        gqa_report_follow(report);
    if (st == GQA_OK)
        st = gqa_verify(report, &dump, options);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        st = render(&text, report, options);
    if (st == GQA_OK && options->report_path)
        st = gqa_report_save(options->report_path, report);
    st = gqa_whole_file_end(&dump, st);
    if (st == GQA_OK) {
        st = print(&text);
        can_print = st == GQA_OK;
    }
    gqa_memory_stream_free(&text);
    status = st == GQA_OK ? gqa_report_exit_status(report)
                          : trouble(report, command, can_print);
    gqa_report_free(report);
    return status;
}

/* A command line that is wrong has a report, too. */
static void report_usage(const struct gqa_verify_options *options, int argc,
                         char **argv)
{
    const char *path = gqa_trouble_report_path(argc, argv);
    struct gqa_report *report = NULL;
    char message[2048];

    snprintf(message, sizeof message, "%s", gqa_cli_message());
    if (!path)
        path = options->report_path;
    if (!path || gqa_report_create(&report) != GQA_OK)
        return;
    gqa_report_trouble(report, message);
    gqa_trouble_report_save(path, report, argc, argv);
    gqa_report_free(report);
}

int main(int argc, char **argv)
{
    struct gqa_verify_options options;
    enum gqa_status st;
    int status;

    gqa_cli_begin();
    gqa_json_watch_memory();
    st = gqa_verify_options_parse(&options, argc, argv);
    if (!gqa_options_done(&status, &options.common, &gqa_verify_tool, st))
        status = verify(&(const struct command){&options, argc, argv});
    else if (st != GQA_OK)
        report_usage(&options, argc, argv);
    return gqa_cli_finish(gqa_verify_tool.name, status);
}
