/*
 * Gradients held against differences: a scalar of some variables, what the
 * backend's operations say of its gradient, and central differences of it.
 */
#ifndef GQA_TESTS_UNIT_GRADIENT_CHECK_H
#define GQA_TESTS_UNIT_GRADIENT_CHECK_H

#include "cpu_device.h"
#include "runtime/gradients.h"

enum { MOST_VARIABLES = 5 };

/* Reals of the open device (cpu_device.h). */
struct variable {
    const char *name;
    size_t n;
    void *x;
    void *dx; /* of the scalar: what back() says; begins as 0 */
};

struct problem {
    size_t n_variables;
    struct variable variables[MOST_VARIABLES];
    double (*value)(const struct problem *problem); /* in float64 alone */
    void (*back)(const struct problem *problem);
    void *ctx;
};

/* The operations under test: the CPU's, but where a test breaks them. */
extern struct gqa_gradient_ops ops;
void mend_ops(void);

/* Those that are never broken: what a broken one is made of. */
const struct gqa_gradient_ops *whole_ops(void);

/* n drawn values as reals; the caller's. */
void *drawn_reals(size_t n);

/* n zeros of reals; the caller's. */
void *zero_reals(size_t n);

/* A variable more, drawn; returns its values. */
void *add_variable(struct problem *problem, const char *name, size_t n);

void end_problem(struct problem *problem);

/* Sum of x[i] w[i], of doubles. */
double dot(const double *x, const double *w, size_t n);

/* The largest error of a variable's gradient, relative to its size, against
 * differences; float64. Says in *which whose. */
double worst_error(const struct problem *problem, const char **which);

/*
 * One case of an operation's test: made, its gradient taken, compared and
 * ended. `honest` is true where the operations are whole.
 */
struct gradient_test {
    void (*make)(struct problem *problem, const void *wanted);
    void (*end)(struct problem *problem);
};

/* At most 1e-9 of differences in float64; float32 within 1e-5 of float64;
 * the same bits on 1, 2 and 3 threads. */
void check_gradients(const struct gradient_test *test, const void *wanted);

/* With `ops` as they are, which are broken: errors above 1e-6. */
void check_caught(const struct gradient_test *test, const void *wanted,
                  const char *how);

#endif
