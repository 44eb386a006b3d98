/*
 * How far a computation is from the same one in float64, at each point of a
 * model: behind each block, and the logits. Errors are relative and of a
 * position each, so that a position whose values are huge does not hide the
 * others.
 */
#ifndef GQA_RUNTIME_MEASURE_ERRORS_H
#define GQA_RUNTIME_MEASURE_ERRORS_H

#include <stddef.h>
#include <stdint.h>

/* At one point, over positions. */
struct gqa_errors {
    uint64_t n;           /* positions */
    uint64_t n_nonfinite; /* those with a value that is not finite */
    double sum_squares;   /* of the relative L2 errors of positions */
    double most;          /* the largest of them */
};

/* n_rows positions of `width` values each. A position of zeros alone is off
 * by 0 where it is met, else by 1. */
void gqa_errors_add(struct gqa_errors *errors, const double *reference,
                    const double *values, uint64_t n_rows, uint64_t width);

/* Add what was seen elsewhere. */
void gqa_errors_merge(struct gqa_errors *errors, const struct gqa_errors *more);

/* Root mean square of the errors of finite positions; 0 without any. */
double gqa_errors_rms(const struct gqa_errors *errors);

enum gqa_error_kind {
    GQA_ERROR_RMS,  /* over all positions */
    GQA_ERROR_MOST, /* of the worst position */
};

/* What a computation is held against. */
struct gqa_error_limits {
    double factor;  /* times the error of the plain computation */
    double scale;   /* of that error: 1, or what a finer type makes of it */
    double floor;   /* no limit is below: some units of the type */
    double ceiling; /* a larger limit tells nothing */
};

struct gqa_error_verdict {
    /* Positions that are not finite, at the first point that has any. */
    uint64_t n_nonfinite;
    size_t nonfinite_point;
    /* The figure that is furthest from its limit, above or below it; of no
     * point where n_told is 0. */
    size_t point;
    enum gqa_error_kind kind;
    double error, plain, limit;
    size_t first_beyond; /* the first point beyond its limit; if none,
                            n_points */
    size_t n_seen;       /* points with positions */
    size_t n_told;       /* those whose limit tells something */
};

/*
 * Hold the errors of a computation at n_points against those of the plain
 * computation there. Points at which that is not finite tell nothing.
 */
void gqa_errors_judge(struct gqa_error_verdict *out,
                      const struct gqa_errors *errors,
                      const struct gqa_errors *plain, size_t n_points,
                      const struct gqa_error_limits *limits);

#endif
