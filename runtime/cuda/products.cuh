/*
 * Products by cuBLASLt, which counts columns first:
 *
 *   d [m, n] = scale * a b, and where it accumulates + c, which is laid out as
 *   d, and d itself where it is NULL; with a bias [m] for each column
 *
 * a is [m, k], or stored as [k, m] when a_transposed; b likewise [k, n] or
 * [n, k]. Sums are float32, and of float32 factors where those are: neither
 * TF32 nor products made of bf16 pieces. Float64 factors have float64 sums.
 *
 * Several at once where n_batch is not 0: the matrices of each begin so many
 * elements behind those of the one before.
 */
#ifndef GQA_RUNTIME_CUDA_PRODUCTS_CUH
#define GQA_RUNTIME_CUDA_PRODUCTS_CUH

#include "runtime/cuda/device.cuh"

/* Elements of a matrix in one call: what 32-bit arithmetic can count. */
static const uint64_t GQA_PRODUCT_MAX_ELEMENTS = (uint64_t)1 << 30;

/* What the choice of an algorithm depends on; compared as bytes, so cleared
 * as such before it is filled. */
struct gqa_product_shape {
    uint64_t m, n, k, a_ld, b_ld, d_ld;
    uint64_t n_batch, a_stride, b_stride, d_stride;
    uint32_t a_alignment, b_alignment, d_alignment; /* filled in by multiply */
    enum gqa_dtype type;                            /* of a, b and bias */
    enum gqa_dtype out_type;                        /* of d: the same, or F32 */
    uint8_t a_transposed, b_transposed, has_bias, accumulate;
};

struct gqa_product {
    struct gqa_product_shape shape;
    const void *a, *b, *c, *bias;
    void *d;
    double scale;
};

enum gqa_status gqa_cuda_multiply(struct gqa_device *device,
                                  struct gqa_product *product);

#endif
