/*
 * Sums of a fit's gradient over its parts, on the device, in its wide type:
 * conjugate gradients ask for no more, and float64 costs as much as all else.
 */
#ifndef GQA_ALIGN_GRADIENT_SUMS_H
#define GQA_ALIGN_GRADIENT_SUMS_H

#include "runtime/backend.h"

struct gqa_gradient_sums {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype wide;
    void *sums; /* [rows, inputs] */
};

/* Room for n values. After an error, too, end it with
 * gqa_gradient_sums_clear(). Errors those of the device. */
GQA_MUST_USE
enum gqa_status gqa_gradient_sums_create(struct gqa_gradient_sums *out,
                                         const struct gqa_backend *backend,
                                         struct gqa_device *device,
                                         enum gqa_dtype real, uint64_t n);
void gqa_gradient_sums_clear(struct gqa_gradient_sums *sums);

/* n zeros. */
GQA_MUST_USE
enum gqa_status gqa_gradient_sums_begin(const struct gqa_gradient_sums *sums,
                                        uint64_t n);

/* += gradient^T x: real [n, rows] and [n, inputs] on the device. */
GQA_MUST_USE
enum gqa_status gqa_gradient_sums_add(const struct gqa_gradient_sums *sums,
                                      const void *gradient, uint64_t rows,
                                      const void *x, uint64_t inputs,
                                      uint64_t n);

/* To the host; waits. */
GQA_MUST_USE
enum gqa_status gqa_gradient_sums_get(const struct gqa_gradient_sums *sums,
                                      double *out, uint64_t n);

#endif
