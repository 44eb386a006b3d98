/* Which pairs of RoPE are freed (free.h), by what the original says of it. */
#ifndef GQA_ALIGN_CHOOSE_H
#define GQA_ALIGN_CHOOSE_H

#include "runtime/measure/running.h"

struct gqa_choose_job {
    const struct gqa_model *model;
    const struct gqa_weight_source *weights;
    const struct gqa_run_options *run;
    const struct gqa_tokens *tokens; /* as long as the context where they can
                                        be: what is far apart tells most */
    uint64_t context;                /* that must be kept */
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *progress_ctx;
};

struct gqa_choice_of_pairs {
    uint64_t n_changed; /* 0: none */
    double cost;        /* mean KL of the original turned so, from itself */
};

/*
 * divisors: [n_pairs], filled: the most that costs little. The original is run
 * with changed frequencies, and nothing else changed, and held against
 * itself. Errors those of runs and of gqa_trace_record().
 */
GQA_MUST_USE
enum gqa_status gqa_choose_pairs(double *divisors,
                                 struct gqa_choice_of_pairs *out,
                                 const struct gqa_choose_job *job);

#endif
