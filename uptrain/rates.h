/*
 * A learning rate that fits: some are tried for a few steps each. A short run
 * flatters small rates, which a long one outlives; so of those that do nearly
 * as well as the best, the largest is taken.
 */
#ifndef GQA_UPTRAIN_RATES_H
#define GQA_UPTRAIN_RATES_H

#include "common/status.h"

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
