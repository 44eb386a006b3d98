/*
 * The mean of a few numbers as float32 arithmetic gives it, which is how most
 * libraries pool: docs/numerics.md says what follows for gqa-verify.
 */
#ifndef GQA_VERIFY_FLOAT32_MEAN_H
#define GQA_VERIFY_FLOAT32_MEAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/dtype.h"

/* Orders in which libraries add the heads x0, x1... of a group. */
enum gqa_sum_order {
    GQA_SUM_ASCENDING,  /* ((x0 + x1) + x2) + x3 */
    GQA_SUM_DESCENDING, /* ((x3 + x2) + x1) + x0 */
    GQA_SUM_NEIGHBOURS, /* (x0 + x1) + (x2 + x3) */
    GQA_SUM_HALVES,     /* (x0 + x2) + (x1 + x3) */
    GQA_SUM_LANES,      /* four partial sums, x0 + x4 + x8... the first */
    GQA_SUM_PAIRS,      /* two, of even and odd ones */
    GQA_N_SUM_ORDERS,
};

/*
 * The mean of x[0..n) (float32 values) by float32 sums in that order, divided
 * in float32. x is overwritten.
 */
float gqa_float32_mean(float *x, size_t n, enum gqa_sum_order order);

/* Of the numbers that one mean is of: what bounds its error. */
struct gqa_float32_terms {
    double magnitudes; /* their sum */
    double quantum;    /* a power of two that all are multiples of; 0: all are
                          zero */
};

/* Element i of x is one more term, or the first, of terms[i]. */
void gqa_float32_terms_add(struct gqa_float32_terms *terms, const double *x,
                           size_t n, bool is_first);

/*
 * No order of float32 sums over n such numbers comes out further from their
 * mean than what this returns.
 */
double gqa_float32_mean_error(const struct gqa_float32_terms *terms, size_t n);

#endif
