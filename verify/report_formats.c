#include "verify/report_formats.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/markup.h"
#include "verify/summary.h"

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

void gqa_report_join_figure(char line[GQA_FIGURE_SIZE],
                            const struct gqa_report_entry *e)
{
    snprintf(line, GQA_FIGURE_SIZE, *e->limit ? "%s (%s)" : "%s%s", e->figure,
             e->limit);
}

const struct gqa_report_entry *gqa_report_by_group(
    const struct gqa_report *report, size_t i)
{
    for (int group = 0; group <= GQA_CHECK_FIDELITY; group++)
        for (size_t j = 0; j < report->n_entries; j++)
            if ((int)report->entries[j].group == group && i-- == 0)
                return &report->entries[j];
    return NULL;
}

double gqa_report_seconds(const struct gqa_report *report)
{
    return gqa_clock_s() - report->start;
}

const char gqa_report_tool[] = "gqa-verify " GQA_VERSION;

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

static json_t *exact_json(const struct gqa_summary *s,
                          const struct gqa_report *report)
{
    return json_pack("{s:b, s:I, s:I, s:s}", "passed",
                     s->n_exact_failed == 0 && !report->error, "checks",
                     (json_int_t)s->n_exact, "failed",
                     (json_int_t)s->n_exact_failed, "words", s->exact);
}

/* passed: of a budget or, without one, of what is finite. */
static json_t *fidelity_json(const struct gqa_summary *s)
{
    if (!*s->fidelity)
        return json_null();
    return json_pack("{s:b, s:s?, s:s}", "passed", s->n_limits_failed == 0,
                     "nearness", gqa_nearness_name(s->nearness), "words",
                     s->fidelity);
}

enum gqa_status gqa_report_write_json(FILE *out,
                                      const struct gqa_report *report)
{
    json_t *checks = json_array();
    struct gqa_summary summary;
    char *text = NULL;
    enum gqa_status st;
    json_t *root;

    gqa_summarise(&summary, report);
    for (size_t i = 0; i < report->n_entries; i++)
        json_array_append_new(checks,
                              entry_json(gqa_report_by_group(report, i)));
    root = json_pack(
        "{s:i, s:s, s:b, s:s?, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:O, s:o}",
        "schema_version", SCHEMA_VERSION, "tool", gqa_report_tool, "passed",
        gqa_report_passed(report), "error", report->error, "counts", "passed",
        (json_int_t)gqa_report_count(report, GQA_PASSED), "failed",
        (json_int_t)gqa_report_count(report, GQA_FAILED), "skipped",
        (json_int_t)gqa_report_count(report, GQA_SKIPPED), "reported",
        (json_int_t)gqa_report_count(report, GQA_REPORTED), "exact",
        exact_json(&summary, report), "fidelity", fidelity_json(&summary),
        "facts", report->facts, "checks", checks);
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
    struct gqa_summary summary;
    const char *key;
    json_t *value;

    fprintf(out, "TAP version 13\n1..%zu\n# tool: %s\n", report->n_entries,
            gqa_report_tool);
    json_object_foreach(facts, key, value)
    {
        fprintf(out, "# %s: %s\n", key, json_string_value(value));
    }
    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = gqa_report_by_group(report, i);
        char line[GQA_FIGURE_SIZE];

        gqa_report_join_figure(line, e);
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
    gqa_summarise(&summary, report);
    fprintf(out, "# exact: %s\n", summary.exact);
    if (*summary.fidelity)
        fprintf(out, "# fidelity: %s\n", summary.fidelity);
    if (report->error)
        fprintf(out, "Bail out! %s\n", report->error);
}

/* --- JUnit ---------------------------------------------------------------- */

static void write_attribute(FILE *out, const char *name, const char *text)
{
    fprintf(out, " %s=\"", name);
    gqa_markup_escape(out, text);
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
    char line[GQA_FIGURE_SIZE];

    gqa_report_join_figure(line, e);
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
        gqa_markup_escape(out, e->detail);
        fputs("</failure>\n", out);
    }
    fputs("      <system-out>", out);
    gqa_markup_escape(out, line);
    if ((e->verdict == GQA_PASSED || e->verdict == GQA_REPORTED) &&
        *e->detail) {
        fputc('\n', out);
        gqa_markup_escape(out, e->detail);
    }
    fputs("</system-out>\n    </testcase>\n", out);
}

/* What kept the rest from being checked is no failure of a check. */
static void write_error(FILE *out, const char *error)
{
    fputs("    <testcase classname=\"gqa-verify\" name=\"run\">\n      <error",
          out);
    write_attribute(out, "message", error);
    fputs("/>\n    </testcase>\n", out);
}

void gqa_report_write_junit(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    struct gqa_summary summary;
    const char *key;
    json_t *value;

    gqa_summarise(&summary, report);
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites>\n"
            "  <testsuite name=\"gqa-verify\" tests=\"%zu\" failures=\"%zu\""
            " errors=\"%d\" skipped=\"%zu\" time=\"%.6f\">\n"
            "    <properties>\n",
            report->n_entries + (report->error ? 1 : 0),
            gqa_report_count(report, GQA_FAILED), report->error ? 1 : 0,
            gqa_report_count(report, GQA_SKIPPED), gqa_report_seconds(report));
    write_property(out, "tool", gqa_report_tool);
    json_object_foreach(facts, key, value)
    {
        write_property(out, key, json_string_value(value));
    }
    write_property(out, "exact", summary.exact);
    if (*summary.fidelity)
        write_property(out, "fidelity", summary.fidelity);
    fputs("    </properties>\n", out);
    for (size_t i = 0; i < report->n_entries; i++)
        write_case(out, gqa_report_by_group(report, i));
    if (report->error)
        write_error(out, report->error);
    fputs("  </testsuite>\n</testsuites>\n", out);
}
