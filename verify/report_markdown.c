#include <string.h>

#include "verify/report_formats.h"
#include "verify/summary.h"

/* Text that Markdown would take for marks is escaped. */
static void write_plain(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\`*_[]<#|~$&", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void write_line(FILE *out, const char *key, const char *text)
{
    fprintf(out, "- **%s:** ", key);
    write_plain(out, text);
    fputc('\n', out);
}

static void write_row(FILE *out, const struct gqa_report_entry *e)
{
    char line[GQA_FIGURE_SIZE];

    gqa_report_join_figure(line, e);
    fprintf(out, "| %s | ", gqa_check_group_name(e->group));
    write_plain(out, e->name);
    fprintf(out, " | %s | ",
            e->verdict == GQA_FAILED ? "**FAILED**"
                                     : gqa_verdict_name(e->verdict));
    write_plain(out, line);
    if (*line && *e->detail)
        fputs("<br>", out);
    write_plain(out, e->detail);
    fputs(" |\n", out);
}

void gqa_report_write_markdown(FILE *out, const struct gqa_report *report)
{
    json_t *facts = report->facts;
    struct gqa_summary summary;
    const char *key;
    json_t *value;

    gqa_summarise(&summary, report);
    fprintf(out, "## gqa-verify: %s\n\n",
            report->error               ? "not checked"
            : gqa_report_passed(report) ? "passed"
                                        : "FAILED");
    if (report->error)
        write_line(out, "error", report->error);
    write_line(out, "exact", summary.exact);
    if (*summary.fidelity)
        write_line(out, "fidelity", summary.fidelity);
    if (report->n_entries > 0)
        fputs("\n| | check | verdict | |\n| --- | --- | --- | --- |\n", out);
    for (size_t i = 0; i < report->n_entries; i++)
        write_row(out, gqa_report_by_group(report, i));
    fputs("\n| | |\n| --- | --- |\n| tool | ", out);
    write_plain(out, gqa_report_tool);
    fputs(" |\n", out);
    json_object_foreach(facts, key, value)
    {
        fprintf(out, "| %s | ", key);
        write_plain(out, json_string_value(value));
        fputs(" |\n", out);
    }
}
