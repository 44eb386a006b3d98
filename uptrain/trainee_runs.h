/* Trainees that lie side by side on the device, as one. */
#ifndef GQA_UPTRAIN_TRAINEE_RUNS_H
#define GQA_UPTRAIN_TRAINEE_RUNS_H

#include "uptrain/optimiser.h"

struct gqa_trainee_runs {
    struct gqa_trainee *items; /* as vectors: n_rows 1; param of the first */
    size_t n;
    /* By trainee: which run has it, and from which element on. */
    size_t *run;
    uint64_t *place;
};

/*
 * Weights, gradients and copies of a run each follow one another without gaps.
 *
 * trainees  [n]: copied
 * wide      bytes of a wide element
 * Errors    GQA_ERR_NOMEM
 */
GQA_MUST_USE
enum gqa_status gqa_trainee_runs_create(struct gqa_trainee_runs *out,
                                        const struct gqa_trainee *trainees,
                                        size_t n, size_t wide);
void gqa_trainee_runs_clear(struct gqa_trainee_runs *runs);

#endif
