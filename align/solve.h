/* Least squares from sums: the weight W, [inputs, outputs], for which x W is
 * nearest to y, given X^T X and X^T Y. */
#ifndef GQA_ALIGN_SOLVE_H
#define GQA_ALIGN_SOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*
 * out = argmin |X out - Y|^2 + ridge t |out - began|^2, t the mean of X^T X's
 * diagonal.
 *
 * inputs    [n, n], X^T X; products: [n, m], X^T Y.
 * Errors    GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite, or not positive.
 */
GQA_MUST_USE
enum gqa_status gqa_fit_ridge(double *out, const double *began,
                              const double *inputs, const double *products,
                              uint64_t n, uint64_t m, double ridge);

/* |X weight - Y|^2, of which squares is |Y|^2. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_fit_loss(double *out, const double *weight,
                             const double *inputs, const double *products,
                             double squares, uint64_t n, uint64_t m);

/* out = (a + ridge t 1)^-1, t the mean of a's diagonal; of what is all zeros,
 * 1. a: [n, n], symmetric. Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_inverse(double *out, const double *a, uint64_t n,
                            double ridge);

#endif
