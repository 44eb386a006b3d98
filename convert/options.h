/* The command line of gqa-convert. */
#ifndef GQA_CONVERT_OPTIONS_H
#define GQA_CONVERT_OPTIONS_H

#include "common/options.h"
#include "convert/budget.h"
#include "convert/calibrate.h"
#include "convert/plan.h"
#include "formats/writers.h"

struct gqa_convert_options {
    struct gqa_options common; /* first: gqa_options_parse() */
    const char *input, *output, *config_path, *family_path;
    bool to_stdout; /* output is "-" */
    struct gqa_plan_options plan;
    struct gqa_layer_groups *layer_groups; /* owned; plan lends them */
    struct gqa_model_hints hints;
    const struct gqa_writer *writer; /* by the name of output, or `to` */
    int to;                          /* of standard output, as chosen */
    struct gqa_output_settings settings;
    int dtype; /* as chosen; plan says what it means */
    struct gqa_kv_budget budget;
    struct gqa_calibration calibration;
    bool strict, allow_extra, allow_hybrid, force, dry_run;
    /* Of no option: as of struct gqa_output_options; */
    int *kept_fd;
};

/* Its options, for help and completions. */
extern const struct gqa_tool gqa_convert_tool;

/*
 * Parse the arguments; strings are lent by argv. Errors GQA_ERR_USAGE. The
 * caller frees with gqa_convert_options_clear(), also after an error.
 */
GQA_MUST_USE
enum gqa_status gqa_convert_options_parse(struct gqa_convert_options *out,
                                          int argc, char **argv);
void gqa_convert_options_clear(struct gqa_convert_options *options);

/* Of the output, in messages. */
const char *gqa_output_name(const struct gqa_convert_options *options);

#endif
