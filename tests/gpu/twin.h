/*
 * The same call on the GPU and, in float64, on the CPU backend, whose results
 * those of the GPU are held against; and once more on the GPU, for the same
 * bits.
 */
#ifndef GQA_TESTS_GPU_TWIN_H
#define GQA_TESTS_GPU_TWIN_H

#include "gpu.h"

enum { TWIN_OPERANDS = 12 };

/* What a call works on: on the GPU in its dtype, on the CPU the same numbers
 * in float64. */
struct operand {
    struct array array;
    double tolerance; /* of a result; < 0: none */
    const char *name;
};

struct trial {
    struct operand operands[TWIN_OPERANDS];
    size_t n;
};

/* Add an operand that is read (tolerance < 0), added to, or set; the latter is
 * NaN before. Returns its number. */
int trial_input(struct trial *trial, size_t n, enum gqa_dtype dtype);
int trial_sum(struct trial *trial, const char *name, size_t n,
              enum gqa_dtype dtype, double tolerance);
int trial_result(struct trial *trial, const char *name, size_t n,
                 enum gqa_dtype dtype, double tolerance);
/* The operand's numbers, to change; trial_run() sends them. */
double *trial_host(struct trial *trial, int operand);

/* One of the two. */
struct side {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    bool is_cpu;
    const struct trial *trial;
    void *p[TWIN_OPERANDS];
};

/* An operand as a weight. */
struct gqa_weight side_weight(const struct side *side, int operand,
                              uint64_t rows, uint64_t cols);

typedef enum gqa_status twin_call(const struct side *side, const void *ctx);

/* Ends the trial. what: as in printf(). */
void trial_run(struct trial *trial, twin_call *call, const void *ctx,
               const char *what, ...) GQA_PRINTF(4, 5);

/* The CPU's device, in float64; opened at the first call. */
struct gqa_device *twin_cpu(void);

/* On both. */
void twin_set_batch(const struct gqa_batch *batch);

/* 1e-5 in float32; else what explains the rounding of results, or of what
 * comes of rounded numbers. */
double twin_tolerance(double bf16, double f16);

#endif
