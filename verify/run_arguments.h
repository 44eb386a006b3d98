/* The options of gqa-verify that speak of running models. */
#ifndef GQA_VERIFY_RUN_ARGUMENTS_H
#define GQA_VERIFY_RUN_ARGUMENTS_H

#include "verify/run_checks.h"

enum gqa_backend_choice {
    GQA_BACKEND_AUTO, /* CUDA where there is a device, else the CPU */
    GQA_BACKEND_CPU,
    GQA_BACKEND_CUDA,
};

/* Zero is the default of all but the budgets: gqa_run_arguments_init(). */
struct gqa_run_arguments {
    const char *tokens_path, *text_path, *dump_path; /* lent, or NULL */
    struct gqa_sample_options samples;               /* n, length 0: not said */
    struct gqa_budget limits;                        /* said one by one */
    struct gqa_budget profile;
    enum gqa_backend_choice backend;
    enum gqa_dtype dtype; /* F32 unless said */
    enum gqa_order order;
    uint64_t n_generate;
    bool scale;
};

void gqa_run_arguments_init(struct gqa_run_arguments *arguments);

/* What the table of options cannot say: what cannot go together. Errors
 * GQA_ERR_USAGE. */
GQA_MUST_USE
enum gqa_status gqa_run_arguments_check(
    const struct gqa_run_arguments *arguments);

/* The profile's limits, and over them those said one by one. */
struct gqa_budget gqa_run_arguments_budget(
    const struct gqa_run_arguments *arguments);

#endif
