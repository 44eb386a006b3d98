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
    struct gqa_report_entry *entries;
    size_t n_entries;
    json_t *facts; /* key -> string, in the order they were stated */
};

const char *gqa_check_group_name(enum gqa_check_group group);
const char *gqa_verdict_name(enum gqa_verdict verdict);

void gqa_report_write_text(FILE *out, const struct gqa_report *report);
GQA_MUST_USE
enum gqa_status gqa_report_write_json(FILE *out,
                                      const struct gqa_report *report);
void gqa_report_write_tap(FILE *out, const struct gqa_report *report);
void gqa_report_write_junit(FILE *out, const struct gqa_report *report);

#endif
