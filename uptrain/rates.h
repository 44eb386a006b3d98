/*
 * A learning rate that fits: some are tried for a few steps each. A short run
 * flatters small rates, which a long one outlives; so of those that do nearly
 * as well as the best, the largest is taken.
 */
#ifndef GQA_UPTRAIN_RATES_H
#define GQA_UPTRAIN_RATES_H

#include <stdint.h>

#include "common/status.h"

/* A measure takes at most so many times what the one before took. */
#define GQA_MEASURE_SLACK 1.25

/* Of fewer steps nothing is learnt. */
enum { GQA_LEAST_STEPS = 5 };

/* What a run takes as far as that is known, and its time. */
struct gqa_rate_times {
    double step_s, measure_s; /* of a step, and behind the steps of a rate */
    double left_s; /* for all rates; INFINITY: as long as they take */
};

/* How long the steps of one rate may take, so that three rates are tried. */
double gqa_rates_steps_s(const struct gqa_rate_times *times);

/* How many of `wanted` steps each rate can be tried for; 0: there is no time to
 * learn anything, so that gqa_rate_untried is as good as any. */
uint64_t gqa_rates_fit(uint64_t wanted, const struct gqa_rate_times *times);

/* The same of a run, which a part of its steps stands for. */
uint64_t gqa_rates_steps(uint64_t n_steps, const struct gqa_rate_times *times);

extern const double gqa_rate_untried;

struct gqa_rate_search {
    void *ctx;
    /* *value: what is left to lose behind a few steps at this rate, infinite
     * where it ruins the model. The state must be what it was again. */
    enum gqa_status (*attempt)(void *ctx, double rate, double *value);
    double start;   /* the value before any step */
    double highest; /* rate that is tried */
};

/* From 1e-3 on: higher ones while they do better; where the first does best,
 * or all that were tried ruin the model, lower ones likewise. Errors those of
 * attempt(). */
GQA_MUST_USE
enum gqa_status gqa_rates_search(double *rate,
                                 const struct gqa_rate_search *search);

#endif
