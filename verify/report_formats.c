#include "verify/report_formats.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"

const char *gqa_check_group_name(enum gqa_check_group group)
{
    static const char *const names[] = {"file", "weights", "runtime",
                                        "fidelity"};

    return names[group];
}

const char *gqa_verdict_name(enum gqa_verdict verdict)
{
    static const char *const names[] = {"passed", "failed", "skipped",
                                        "reported"};

    return names[verdict];
}

enum { FIGURE_SIZE = 256 };

/* The figure and what it was held against. */
static void join_figure(char line[FIGURE_SIZE],
                        const struct gqa_report_entry *e)
{
    snprintf(line, FIGURE_SIZE, *e->limit ? "%s (%s)" : "%s%s", e->figure,
             e->limit);
}

static double total_seconds(const struct gqa_report *report)
{
    double sum = 0;

    for (size_t i = 0; i < report->n_entries; i++)
        sum += report->entries[i].seconds;
    return sum;
}

static const char tool[] = "gqa-verify " GQA_VERSION;

/* --- Text ----------------------------------------------------------------- */

/* Bytes of the first word: what a line is not broken within, a number and
 * its "%" or "<=" too. */
static size_t word_length(const char *text)
{
    size_t n = 0;

    for (;;) {
        n += strcspn(text + n, " ");
        if (text[n] == '\0' ||
            (text[n + 1] != '%' && (n < 2 || text[n - 1] != '=')))
            return n;
        n++;
    }
}

/* UTF-8 without combining characters. */
static size_t n_columns(const char *text, size_t n)
{
    size_t columns = 0;

    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)text[i] & 0xC0) != 0x80;
    return columns;
}

/*
 * Put text at a column, what would pass the 80th on lines of its own below;
 * where by_clause and that is so, each clause begins one. Ends the line.
 */
static void write_wrapped(FILE *out, size_t column, bool by_clause,
                          const char *text)
{
    const bool fits = column + n_columns(text, strlen(text)) <= 80;
    size_t at = column;

    while (*text) {
        const size_t n = word_length(text), wide = n_columns(text, n);

        if (at > column && at + 1 + wide > 80) {
            fprintf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, n, out);
        at += wide;
        if (by_clause && !fits && n > 0 && text[n - 1] == ';')
            at = 80; /* as if it were full */
        text += n + strspn(text + n, " ");
    }
    fputc('\n', out);
}

static void write_fact(FILE *out, const char *key, const char *text)
{
    fprintf(out, "%-10s  ", key);
    write_wrapped(out, 12, false, text);
}

static void write_figure(FILE *out, size_t column,
                         const struct gqa_report_entry *e)
{
    char line[FIGURE_SIZE];

    join_figure(line, e);
    write_wrapped(out, column, false, line);
}

static void write_summary(FILE *out, const struct gqa_report *report)
{
    const size_t failed = gqa_report_count(report, GQA_FAILED);
    const size_t skipped = gqa_report_count(report, GQA_SKIPPED);

    fprintf(out, "\n%s: %zu passed, %zu failed", failed ? "FAILED" : "PASSED",
            gqa_report_count(report, GQA_PASSED), failed);
    if (skipped)
        fprintf(out, ", %zu skipped", skipped);
    fprintf(out, " (%.2f s)\n", total_seconds(report));
}

void gqa_report_write_text(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    const char *key;
    json_t *value;
    size_t width = 0;

    write_fact(out, "tool", tool);
    json_object_foreach(facts, key, value)
    {
        write_fact(out, key, json_string_value(value));
    }
    fputc('\n', out);
    for (size_t i = 0; i < report->n_entries; i++) {
        const size_t n = strlen(report->entries[i].name);

        width = n > width ? n : width;
    }
    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = &report->entries[i];
        const char *verdict =
            e->verdict == GQA_FAILED ? "FAILED" : gqa_verdict_name(e->verdict);

        fprintf(out, "%-8s  %-*s  %s", gqa_check_group_name(e->group),
                (int)width, e->name, verdict);
        if (*e->figure) {
            fprintf(out, "%*s", (int)(10 - strlen(verdict)), "");
            write_figure(out, width + 22, e);
        } else {
            fputc('\n', out);
        }
        if (*e->detail) {
            fprintf(out, "%10s", "");
            write_wrapped(out, 10, true, e->detail);
        }
    }
    write_summary(out, report);
}

/* --- JSON ----------------------------------------------------------------- */

/* Raised where a key is removed or changes its meaning. */
enum { SCHEMA_VERSION = 1 };

static json_t *entry_json(const struct gqa_report_entry *e)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O?, s:f}", "group",
                     gqa_check_group_name(e->group), "name", e->name, "verdict",
                     gqa_verdict_name(e->verdict), "figure", e->figure, "limit",
                     e->limit, "detail", e->detail, "values", e->values,
                     "seconds", gqa_clock_round(e->seconds));
}

enum gqa_status gqa_report_write_json(FILE *out,
                                      const struct gqa_report *report)
{
    json_t *checks = json_array();
    char *text = NULL;
    enum gqa_status st;
    json_t *root;

    for (size_t i = 0; i < report->n_entries; i++)
        json_array_append_new(checks, entry_json(&report->entries[i]));
    root =
        json_pack("{s:i, s:s, s:b, s:{s:I, s:I, s:I, s:I}, s:O, s:o}",
                  "schema_version", SCHEMA_VERSION, "tool", tool, "passed",
                  gqa_report_count(report, GQA_FAILED) == 0, "counts", "passed",
                  (json_int_t)gqa_report_count(report, GQA_PASSED), "failed",
                  (json_int_t)gqa_report_count(report, GQA_FAILED), "skipped",
                  (json_int_t)gqa_report_count(report, GQA_SKIPPED), "reported",
                  (json_int_t)gqa_report_count(report, GQA_REPORTED), "facts",
                  report->facts, "checks", checks);
    st = gqa_json_dump(&text, root, JSON_INDENT(2) | gqa_json_real_flags(root));
    json_decref(root);
    if (st != GQA_OK)
        return st;
    fprintf(out, "%s\n", text);
    free(text);
    return GQA_OK;
}

/* --- TAP ------------------------------------------------------------------ */

/* "#" would begin a directive. */
static void write_tap_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '#' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

void gqa_report_write_tap(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    const char *key;
    json_t *value;

    fprintf(out, "TAP version 13\n1..%zu\n# tool: %s\n", report->n_entries,
            tool);
    json_object_foreach(facts, key, value)
    {
        fprintf(out, "# %s: %s\n", key, json_string_value(value));
    }
    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = &report->entries[i];
        char line[FIGURE_SIZE];

        join_figure(line, e);
        fprintf(out, "%s %zu - %s %s",
                e->verdict == GQA_FAILED ? "not ok" : "ok", i + 1,
                gqa_check_group_name(e->group), e->name);
        if (*e->figure) {
            fputs(": ", out);
            write_tap_text(out, line);
        }
        if (e->verdict == GQA_SKIPPED) {
            fputs(" # SKIP ", out);
            write_tap_text(out, e->detail);
        }
        fputc('\n', out);
        if (e->verdict != GQA_SKIPPED && *e->detail)
            fprintf(out, "# %s\n", e->detail);
    }
}

/* --- JUnit ---------------------------------------------------------------- */

static void write_xml_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
            break;
        }
}

static void write_attribute(FILE *out, const char *name, const char *text)
{
    fprintf(out, " %s=\"", name);
    write_xml_text(out, text);
    fputc('"', out);
}

static void write_property(FILE *out, const char *name, const char *value)
{
    fputs("      <property", out);
    write_attribute(out, "name", name);
    write_attribute(out, "value", value);
    fputs("/>\n", out);
}

static void write_case(FILE *out, const struct gqa_report_entry *e)
{
    char line[FIGURE_SIZE];

    join_figure(line, e);
    fputs("    <testcase", out);
    fprintf(out, " classname=\"gqa-verify.%s\"",
            gqa_check_group_name(e->group));
    write_attribute(out, "name", e->name);
    fprintf(out, " time=\"%.6f\">\n", e->seconds);
    if (e->verdict == GQA_SKIPPED) {
        fputs("      <skipped", out);
        write_attribute(out, "message", e->detail);
        fputs("/>\n", out);
    } else if (e->verdict == GQA_FAILED) {
        /* The message is the line that servers show; the text its detail. */
        fputs("      <failure", out);
        write_attribute(out, "message", *line ? line : e->detail);
        fputc('>', out);
        write_xml_text(out, e->detail);
        fputs("</failure>\n", out);
    }
    fputs("      <system-out>", out);
    write_xml_text(out, line);
    if ((e->verdict == GQA_PASSED || e->verdict == GQA_REPORTED) &&
        *e->detail) {
        fputc('\n', out);
        write_xml_text(out, e->detail);
    }
    fputs("</system-out>\n    </testcase>\n", out);
}

void gqa_report_write_junit(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    const char *key;
    json_t *value;

    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites>\n"
            "  <testsuite name=\"gqa-verify\" tests=\"%zu\" failures=\"%zu\""
            " errors=\"0\" skipped=\"%zu\" time=\"%.6f\">\n    <properties>\n",
            report->n_entries, gqa_report_count(report, GQA_FAILED),
            gqa_report_count(report, GQA_SKIPPED), total_seconds(report));
    write_property(out, "tool", tool);
    json_object_foreach(facts, key, value)
    {
        write_property(out, key, json_string_value(value));
    }
    fputs("    </properties>\n", out);
    for (size_t i = 0; i < report->n_entries; i++)
        write_case(out, &report->entries[i]);
    fputs("  </testsuite>\n</testsuites>\n", out);
}
