/*
 * Least squares from moments (solve.h) that lie on the device: there where it
 * can, on the host where it has no LAPACK of its own (a GPU without cuSOLVER).
 */
#ifndef GQA_ALIGN_DEVICE_RIDGE_H
#define GQA_ALIGN_DEVICE_RIDGE_H

#include "runtime/backend.h"

struct gqa_device_ridge {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    bool is_told; /* that the host does it */
};

/* As fit_ridge() of the backend; all but ridge lies on the device. The first
 * time that the host has to do it, it is logged. Errors those of either, and
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_device_fit_ridge(struct gqa_device_ridge *solver,
                                     double *out, const double *began,
                                     const double *inputs,
                                     const double *products, uint64_t n,
                                     uint64_t m, double ridge);

#endif
