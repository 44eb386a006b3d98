/*
 * The least value of a smooth function of many weights: L-BFGS (Nocedal 1980;
 * Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1), with a
 * metric of the caller's in place of its first guess of the inverse Hessian.
 */
#ifndef GQA_ALIGN_QUASI_NEWTON_H
#define GQA_ALIGN_QUASI_NEWTON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_quasi_newton_job {
    uint64_t n;         /* weights */
    unsigned n_steps;   /* at most */
    unsigned n_threads; /* the result is the same for any number */
    void *ctx;
    /* The function's value at x, and its gradient. */
    enum gqa_status (*evaluate)(void *ctx, const double *x, double *value,
                                double *gradient);
    /* x <- P^-1 x, P near the Hessian. */
    enum gqa_status (*divide)(void *ctx, double *x);
    /* A step was taken to x; *stop: it was the last. */
    enum gqa_status (*see)(void *ctx, const double *x, bool *stop);
};

/*
 * x       [n]: where it begins, and where it ends, where the value is less or
 *         the same.
 * Errors  GQA_ERR_NOMEM; GQA_ERR_FORMAT: the value is not finite where it
 *         begins; those of the functions.
 */
GQA_MUST_USE
enum gqa_status gqa_quasi_newton(double *x,
                                 const struct gqa_quasi_newton_job *job);

#endif
