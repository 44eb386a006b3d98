#include <string.h>

#include "verify/report_formats.h"
#include "verify/summary.h"

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

void gqa_report_write_fact(FILE *out, const char *key, const char *text)
{
    fprintf(out, "%-10s  ", key);
    write_wrapped(out, 12, false, text);
}

void gqa_report_write_check(FILE *out, const struct gqa_report_entry *e,
                            size_t name_width)
{
    const char *verdict =
        e->verdict == GQA_FAILED ? "FAILED" : gqa_verdict_name(e->verdict);
    char line[GQA_FIGURE_SIZE];

    fprintf(out, "%-8s  %-*s  %s", gqa_check_group_name(e->group),
            (int)name_width, e->name, verdict);
    if (*e->figure) {
        fprintf(out, "%*s", (int)(10 - strlen(verdict)), "");
        gqa_report_join_figure(line, e);
        write_wrapped(out, name_width + 22, false, line);
    } else {
        fputc('\n', out);
    }
    if (*e->detail) {
        fprintf(out, "%10s", "");
        write_wrapped(out, 10, true, e->detail);
    }
}

static void write_end(FILE *out, const char *key, const char *text)
{
    const size_t column = strlen(key) + 2;

    fprintf(out, "%s: ", key);
    write_wrapped(out, column, false, text);
}

static void write_summary(FILE *out, const struct gqa_report *report)
{
    struct gqa_summary summary;

    gqa_summarise(&summary, report);
    fputc('\n', out);
    if (report->error)
        write_end(out, "error", report->error);
    write_end(out, "exact", summary.exact);
    if (*summary.fidelity)
        write_end(out, "fidelity", summary.fidelity);
    fprintf(out, "time: %.2f s\n", gqa_report_seconds(report));
}

static void write_all(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    const char *key;
    json_t *value;
    size_t width = 0;

    gqa_report_write_fact(out, "tool", gqa_report_tool);
    json_object_foreach(facts, key, value)
    {
        gqa_report_write_fact(out, key, json_string_value(value));
    }
    fputc('\n', out);
    for (size_t i = 0; i < report->n_entries; i++) {
        const size_t n = strlen(report->entries[i].name);

        width = n > width ? n : width;
    }
    for (size_t i = 0; i < report->n_entries; i++)
        gqa_report_write_check(out, &report->entries[i], width);
}

void gqa_report_write_text(FILE *out, const struct gqa_report *report)
{
    if (!report->followed)
        write_all(out, report);
    write_summary(out, report);
}
