/* The inside of a report, for the files that write one. */
#ifndef GQA_VERIFY_REPORT_FORMATS_H
#define GQA_VERIFY_REPORT_FORMATS_H

#include "verify/report.h"

/* As struct gqa_check; texts are owned UTF-8 without control characters. */
struct gqa_report_entry {
    enum gqa_check_group group;
    enum gqa_verdict verdict;
    char *name, *figure, *limit, *detail;
    json_t *values; /* owned, or NULL */
    double seconds;
};

struct gqa_report {
    struct gqa_report_entry *entries; /* in the order they were made */
    size_t n_entries;
    json_t *facts;  /* key -> string, in the order they were stated */
    char *error;    /* what kept the rest from being checked, or NULL */
    double start;   /* on the clock */
    bool followed;  /* gqa_report_follow() */
    bool in_checks; /* and the last was a check */
};

/* "gqa-verify 1.2.3" */
extern const char gqa_report_tool[];

const char *gqa_check_group_name(enum gqa_check_group group);
const char *gqa_verdict_name(enum gqa_verdict verdict);

/* The i-th of n_entries where groups stand in their order. */
const struct gqa_report_entry *gqa_report_by_group(
    const struct gqa_report *report, size_t i);

enum { GQA_FIGURE_SIZE = 256 };

/* The figure and what it was held against. */
void gqa_report_join_figure(char line[GQA_FIGURE_SIZE],
                            const struct gqa_report_entry *e);

/* Since it was created. */
double gqa_report_seconds(const struct gqa_report *report);

/* Whole, or what is not written yet where it follows. */
void gqa_report_write_text(FILE *out, const struct gqa_report *report);
/* A line of it. */
void gqa_report_write_fact(FILE *out, const char *key, const char *text);
void gqa_report_write_check(FILE *out, const struct gqa_report_entry *e,
                            size_t name_width);

GQA_MUST_USE
enum gqa_status gqa_report_write_json(FILE *out,
                                      const struct gqa_report *report);
void gqa_report_write_tap(FILE *out, const struct gqa_report *report);
void gqa_report_write_junit(FILE *out, const struct gqa_report *report);
void gqa_report_write_markdown(FILE *out, const struct gqa_report *report);

#endif
