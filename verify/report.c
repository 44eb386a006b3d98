#include "verify/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/json.h"
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
    free(report);
}

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
    return GQA_OK;
}

enum gqa_status gqa_report_fact(struct gqa_report *report, const char *key,
                                const char *text)
{
    char *line = copy_line(text);
    int failed = !line;

    if (line)
        failed = json_object_set_new(report->facts, key, json_string(line));
    free(line);
    return failed ? gqa_fail_nomem() : GQA_OK;
}

size_t gqa_report_count(const struct gqa_report *report,
                        enum gqa_verdict verdict)
{
    size_t n = 0;

    for (size_t i = 0; i < report->n_entries; i++)
        n += report->entries[i].verdict == verdict;
    return n;
}

int gqa_report_exit_status(const struct gqa_report *report)
{
    return gqa_report_count(report, GQA_FAILED) > 0 ? GQA_EXIT_CHECK_FAILED
                                                    : GQA_EXIT_OK;
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
    case GQA_REPORT_TEXT:
        break;
    }
    gqa_report_write_text(out, report);
    return GQA_OK;
}

static int has_ending(const char *path, const char *ending)
{
    const size_t n = strlen(path), m = strlen(ending);

    return n > m && strcmp(path + n - m, ending) == 0;
}

enum gqa_status gqa_report_format_of(enum gqa_report_format *format,
                                     const char *path)
{
    if (has_ending(path, ".json"))
        *format = GQA_REPORT_JSON;
    else if (has_ending(path, ".xml"))
        *format = GQA_REPORT_JUNIT;
    else
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: a report ends in .xml (JUnit) or .json", path);
    return GQA_OK;
}

/* Into a new file beside the target. */
static enum gqa_status write_new(int fd, const char *path,
                                 const struct gqa_report *report,
                                 enum gqa_report_format format)
{
    const mode_t mask = umask(0);
    FILE *out = fdopen(fd, "w");
    enum gqa_status st;

    umask(mask);
    if (!out) {
        close(fd);
        return gqa_fail_errno("%s", path);
    }
    st = gqa_report_write(out, report, format);
    if (st == GQA_OK && (fflush(out) != 0 || ferror(out) ||
                         fchmod(fd, 0666 & ~mask) != 0 || fsync(fd) != 0))
        st = gqa_fail_errno("%s: cannot write the report", path);
    if (fclose(out) != 0 && st == GQA_OK)
        st = gqa_fail_errno("%s: cannot write the report", path);
    return st;
}

enum gqa_status gqa_report_save(const char *path,
                                const struct gqa_report *report)
{
    static const char ending[] = ".partial-XXXXXX";
    enum gqa_report_format format;
    enum gqa_status st = gqa_report_format_of(&format, path);
    struct stat info;
    char *name;
    int fd;

    if (st != GQA_OK)
        return st;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: not a regular file", path);
    name = malloc(strlen(path) + sizeof ending);
    if (!name)
        return gqa_fail_nomem();
    stpcpy(stpcpy(name, path), ending);
    fd = mkstemp(name);
    if (fd < 0) {
        st = gqa_fail_errno("%s: cannot write the report", path);
        free(name);
        return st;
    }
    st = write_new(fd, path, report, format);
    if (st == GQA_OK && rename(name, path) != 0)
        st = gqa_fail_errno("%s: cannot write the report", path);
    if (st != GQA_OK)
        unlink(name);
    free(name);
    return st;
}
