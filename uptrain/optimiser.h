/* From gradients to weights: the norm of all gradients, and a step. */
#ifndef GQA_UPTRAIN_OPTIMISER_H
#define GQA_UPTRAIN_OPTIMISER_H

#include "runtime/backend.h"

enum gqa_optimiser_kind { GQA_OPTIMISER_ADAMW, GQA_OPTIMISER_ADAFACTOR };

struct gqa_optimiser_options {
    enum gqa_optimiser_kind kind;
    double decay; /* of weights, a step, times the rate */
    double clip;  /* largest norm of all gradients; 0: any */
};

/* A parameter that is trained; all of it device memory, lent. */
struct gqa_trainee {
    size_t param;            /* of the student */
    uint64_t n_rows, n_cols; /* a vector has one row */
    void *weights;           /* wide */
    const void *gradients;   /* wide */
    void *copy;              /* what the runtime multiplies with, or NULL */
    enum gqa_dtype copy_dtype;
};

struct gqa_optimiser;

/*
 * Moments of each, 0. backend, device, trainees: lent. Errors GQA_ERR_NOMEM;
 * those of the device.
 */
GQA_MUST_USE
enum gqa_status gqa_optimiser_create(
    struct gqa_optimiser **out, const struct gqa_backend *backend,
    struct gqa_device *device, const struct gqa_trainee *trainees, size_t n,
    const struct gqa_optimiser_options *options);
void gqa_optimiser_free(struct gqa_optimiser *optimiser);

/* Device bytes of a trainee's moments; wide: bytes of an element. */
uint64_t gqa_optimiser_bytes(enum gqa_optimiser_kind kind, uint64_t n_rows,
                             uint64_t n_cols, uint64_t wide);

/* All moments 0 again. */
GQA_MUST_USE
enum gqa_status gqa_optimiser_reset(struct gqa_optimiser *optimiser);

/* *sum (device float64) += the squares of all gradients. */
GQA_MUST_USE
enum gqa_status gqa_optimiser_norm2(struct gqa_optimiser *optimiser, void *sum);

/* step: from 1. norm: of all gradients. */
GQA_MUST_USE
enum gqa_status gqa_optimiser_step(struct gqa_optimiser *optimiser,
                                   uint64_t step, double rate, double norm);

/* A moment of a trainee, wide [n]: what a run goes on from. */
struct gqa_moment {
    size_t trainee;
    const char *name; /* "mean", "square", "row", "col" */
    void *data;
    uint64_t n;
};

size_t gqa_optimiser_n_moments(const struct gqa_optimiser *optimiser);
struct gqa_moment gqa_optimiser_moment(const struct gqa_optimiser *optimiser,
                                       size_t i);

const char *gqa_optimiser_name(enum gqa_optimiser_kind kind);

#endif
