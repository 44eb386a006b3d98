/* The command line of gqa-verify. */
#ifndef GQA_VERIFY_OPTIONS_H
#define GQA_VERIFY_OPTIONS_H

#include "common/options.h"
#include "formats/model/model.h"
#include "verify/report.h"
#include "verify/run_arguments.h"

struct gqa_verify_options {
    struct gqa_options common;        /* first: gqa_options_parse() */
    const char *path;                 /* what is verified */
    const char *original_path;        /* --against; NULL: the file alone */
    const char *config_path;          /* --config, of path; may be NULL */
    const char *original_config_path; /* --original-config; may be NULL */
    const char *family_path;          /* --family, of both; may be NULL */
    const char *report_path;          /* --report; may be NULL */
    enum gqa_report_format format;    /* of standard output; not JUnit */
    struct gqa_model_hints hints;     /* --n-heads, --head-dim */
    bool allow_extra;                 /* --allow-extra: left-overs pass */
    bool trained;                     /* --trained: weights are reported */
    bool no_run;                      /* --no-run: files and weights alone */
    struct gqa_run_arguments run;
};

/* Its options, for help and completions. */
extern const struct gqa_tool gqa_verify_tool;

/* Parse the arguments; strings are lent by argv. Errors GQA_ERR_USAGE. */
GQA_MUST_USE
enum gqa_status gqa_verify_options_parse(struct gqa_verify_options *out,
                                         int argc, char **argv);

#endif
