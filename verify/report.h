/*
 * What gqa-verify found: a list of checks and the facts around them, and
 * the forms in which both are written.
 */
#ifndef GQA_VERIFY_REPORT_H
#define GQA_VERIFY_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/status.h"

enum gqa_check_group {
    GQA_CHECK_FILE,
    GQA_CHECK_WEIGHTS,
    GQA_CHECK_RUNTIME,
    GQA_CHECK_FIDELITY,
};

enum gqa_verdict {
    GQA_PASSED,
    GQA_FAILED,
    GQA_SKIPPED,  /* could not be made here; detail says why */
    GQA_REPORTED, /* a figure without a limit */
};

/*
 * One check. Texts are one line for people; those that may be empty are
 * empty when nothing is to be said.
 */
struct gqa_check {
    enum gqa_check_group group;
    const char *name; /* "kv-heads": stable, lower case, unique in group */
    enum gqa_verdict verdict;
    char figure[128];  /* "4 of 4 attentions, mean" */
    char limit[64];    /* what the figure is held against; may be empty */
    char detail[1024]; /* the cause of a failure or skip; may be empty */
    json_t *values;    /* an object with the same as numbers, or NULL */
    double seconds;
};

struct gqa_report;

/* The caller owns *out: gqa_report_free(). Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_report_create(struct gqa_report **out);
void gqa_report_free(struct gqa_report *report);

/*
 * From here on write facts and checks to standard output as they come, in
 * the place of a bar that is drawn there; gqa_report_write() of text then
 * gives the end alone.
 */
void gqa_report_follow(struct gqa_report *report);

/*
 * Add a check, copied. Text gives them in this order, the other forms group
 * by group. check->values becomes the report's, also when this fails. Errors
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_report_add(struct gqa_report *report,
                               const struct gqa_check *check);

/*
 * State a fact: "original", "device", "OpenBLAS"... Both are copied; a key
 * that is there already gets the new text. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_report_fact(struct gqa_report *report, const char *key,
                                const char *text);

/* The facts of another, behind its own. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_report_add_facts(struct gqa_report *report,
                                     const struct gqa_report *from);

bool gqa_report_has(const struct gqa_report *report, enum gqa_check_group group,
                    const char *name);

/*
 * That the rest could not be checked, and why: no such report passes.
 * Where memory is short it is left as it was.
 */
void gqa_report_trouble(struct gqa_report *report, const char *message);

/* How many checks have the verdict. */
size_t gqa_report_count(const struct gqa_report *report,
                        enum gqa_verdict verdict);

/* No check failed, and there was no trouble. */
bool gqa_report_passed(const struct gqa_report *report);

/* The GQA_EXIT_ status. */
int gqa_report_exit_status(const struct gqa_report *report);

enum gqa_report_format {
    GQA_REPORT_TEXT,
    GQA_REPORT_JSON, /* docs/verify-json.md */
    GQA_REPORT_TAP,  /* Test Anything Protocol, version 13 */
    GQA_REPORT_JUNIT,
    GQA_REPORT_MARKDOWN, /* a summary for the page of a CI job */
};

/* Errors GQA_ERR_NOMEM; what the stream itself meets stays in ferror(). */
GQA_MUST_USE
enum gqa_status gqa_report_write(FILE *out, const struct gqa_report *report,
                                 enum gqa_report_format format);

/* JSON for .json, JUnit for .xml, Markdown for .md. GQA_ERR_USAGE for any other
 * ending. */
GQA_MUST_USE
enum gqa_status gqa_report_format_of(enum gqa_report_format *format,
                                     const char *path);

/*
 * Write a file in the format that its name asks for. It appears whole, in
 * place of an older one, or not at all. Errors GQA_ERR_USAGE, GQA_ERR_IO,
 * GQA_ERR_NOMEM; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_report_save(const char *path,
                                const struct gqa_report *report);

#endif
