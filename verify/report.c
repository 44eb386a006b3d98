#include "verify/report.h"

#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/progress.h"
#include "common/strings.h"
#include "common/whole_file.h"
#include "verify/report_formats.h"

/* A line of UTF-8 without control characters; NULL: memory is short. */
static char *copy_line(const char *text)
{
    json_t *clean = gqa_json_text(text);
    char *line = clean ? strdup(json_string_value(clean)) : NULL;

    json_decref(clean);
    if (line)
        gqa_make_printable(line);
    return line;
}

enum gqa_status gqa_report_create(struct gqa_report **out)
{
    struct gqa_report *report = calloc(1, sizeof *report);

    if (!report)
        return gqa_fail_nomem();
    report->facts = json_object();
    if (!report->facts) {
        free(report);
        return gqa_fail_nomem();
    }
    report->start = gqa_clock_s();
    *out = report;
    return GQA_OK;
}

static void clear_entry(struct gqa_report_entry *entry)
{
    free(entry->name);
    free(entry->figure);
    free(entry->limit);
    free(entry->detail);
    json_decref(entry->values);
}

void gqa_report_free(struct gqa_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->n_entries; i++)
        clear_entry(&report->entries[i]);
    free(report->entries);
    json_decref(report->facts);
    free(report->error);
    free(report);
}

/* --- Following ------------------------------------------------------------ */

/* Wide enough for the longest of the names. */
enum { NAME_WIDTH = 16 };

static void tell_fact(struct gqa_report *report, const char *key,
                      const char *text)
{
    gqa_progress_clear();
    if (report->in_checks)
        fputc('\n', stdout);
    report->in_checks = false;
    gqa_report_write_fact(stdout, key, text);
    fflush(stdout);
}

static void tell_check(struct gqa_report *report,
                       const struct gqa_report_entry *entry)
{
    gqa_progress_clear();
    if (!report->in_checks)
        fputc('\n', stdout);
    report->in_checks = true;
    gqa_report_write_check(stdout, entry, NAME_WIDTH);
    fflush(stdout);
}

void gqa_report_follow(struct gqa_report *report)
{
    report->followed = true;
    tell_fact(report, "tool", gqa_report_tool);
}

/* --- Filling -------------------------------------------------------------- */

enum gqa_status gqa_report_add(struct gqa_report *report,
                               const struct gqa_check *check)
{
    struct gqa_report_entry entry = {
        .group = check->group,
        .verdict = check->verdict,
        .seconds = check->seconds,
        .name = copy_line(check->name),
        .figure = copy_line(check->figure),
        .limit = copy_line(check->limit),
        .detail = copy_line(check->detail),
        .values = check->values,
    };
    struct gqa_report_entry *more = NULL;

    if (entry.name && entry.figure && entry.limit && entry.detail)
        more = realloc(report->entries,
                       (report->n_entries + 1) * sizeof *report->entries);
    if (!more) {
        clear_entry(&entry);
        return gqa_fail_nomem();
    }
    report->entries = more;
    report->entries[report->n_entries++] = entry;
    if (report->followed)
        tell_check(report, &entry);
    return GQA_OK;
}

bool gqa_report_has(const struct gqa_report *report, enum gqa_check_group group,
                    const char *name)
{
    for (size_t i = 0; i < report->n_entries; i++)
        if (report->entries[i].group == group &&
            strcmp(report->entries[i].name, name) == 0)
            return true;
    return false;
}

enum gqa_status gqa_report_fact(struct gqa_report *report, const char *key,
                                const char *text)
{
    char *line = copy_line(text);
    int failed = !line;

    if (line)
        failed = json_object_set_new(report->facts, key, json_string(line));
    if (!failed && report->followed)
        tell_fact(report, key, line);
    free(line);
    return failed ? gqa_fail_nomem() : GQA_OK;
}

enum gqa_status gqa_report_add_facts(struct gqa_report *report,
                                     const struct gqa_report *from)
{
    enum gqa_status st = GQA_OK;
    const char *key;
    json_t *text;

    json_object_foreach(from->facts, key, text) if (st == GQA_OK) st =
        gqa_report_fact(report, key, json_string_value(text));
    return st;
}

size_t gqa_report_count(const struct gqa_report *report,
                        enum gqa_verdict verdict)
{
    size_t n = 0;

    for (size_t i = 0; i < report->n_entries; i++)
        n += report->entries[i].verdict == verdict;
    return n;
}

void gqa_report_trouble(struct gqa_report *report, const char *message)
{
    char *line = copy_line(message);

    if (!line)
        return;
    free(report->error);
    report->error = line;
}

bool gqa_report_passed(const struct gqa_report *report)
{
    return gqa_report_count(report, GQA_FAILED) == 0 && !report->error;
}

int gqa_report_exit_status(const struct gqa_report *report)
{
    if (report->error)
        return GQA_EXIT_TROUBLE;
    return gqa_report_passed(report) ? GQA_EXIT_OK : GQA_EXIT_CHECK_FAILED;
}

enum gqa_status gqa_report_write(FILE *out, const struct gqa_report *report,
                                 enum gqa_report_format format)
{
    switch (format) {
    case GQA_REPORT_JSON:
        return gqa_report_write_json(out, report);
    case GQA_REPORT_TAP:
        gqa_report_write_tap(out, report);
        return GQA_OK;
    case GQA_REPORT_JUNIT:
        gqa_report_write_junit(out, report);
        return GQA_OK;
    case GQA_REPORT_MARKDOWN:
        gqa_report_write_markdown(out, report);
        return GQA_OK;
    case GQA_REPORT_TEXT:
        break;
    }
    gqa_report_write_text(out, report);
    return GQA_OK;
}

enum gqa_status gqa_report_format_of(enum gqa_report_format *format,
                                     const char *path)
{
    if (gqa_has_ending(path, ".json"))
        *format = GQA_REPORT_JSON;
    else if (gqa_has_ending(path, ".xml"))
        *format = GQA_REPORT_JUNIT;
    else if (gqa_has_ending(path, ".md"))
        *format = GQA_REPORT_MARKDOWN;
    else
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: a report ends in .xml (JUnit), .json or .md",
                        path);
    return GQA_OK;
}

enum gqa_status gqa_report_save(const char *path,
                                const struct gqa_report *report)
{
    enum gqa_report_format format = GQA_REPORT_TEXT;
    struct gqa_whole_file file;
    enum gqa_status st = gqa_report_format_of(&format, path);

    if (st == GQA_OK)
        st = gqa_whole_file_begin(&file, path, true);
    if (st != GQA_OK)
        return st;
    return gqa_whole_file_end(&file,
                              gqa_report_write(file.stream, report, format));
}
