/* The command line of gqa-verify. */
#ifndef GQA_VERIFY_OPTIONS_H
#define GQA_VERIFY_OPTIONS_H

#include "common/log.h"
#include "formats/model/model.h"
#include "verify/report.h"
#include "verify/run_arguments.h"

struct gqa_verify_options {
    const char *path;                 /* what is verified */
    const char *original_path;        /* --against; NULL: the file alone */
    const char *config_path;          /* --config, of path; may be NULL */
    const char *original_config_path; /* --original-config; may be NULL */
    const char *report_path;          /* --report; may be NULL */
    enum gqa_report_format format;    /* of standard output; not JUnit */
    struct gqa_model_hints hints;     /* --n-heads, --head-dim */
    unsigned n_threads;
    enum gqa_log_level log_level;
    bool no_run; /* --no-run: files and weights alone */
    struct gqa_run_arguments run;
};

enum gqa_verify_command {
    GQA_VERIFY_RUN,
    GQA_VERIFY_HELP,
    GQA_VERIFY_VERSION,
    GQA_VERIFY_USAGE_ERROR, /* already said on stderr */
};

/* Parse argv, whose texts are lent to *options. Options may stand before or
 * after the path. */
enum gqa_verify_command gqa_verify_options_parse(
    struct gqa_verify_options *options, int argc, char **argv);

void gqa_verify_print_help(void);

#endif
