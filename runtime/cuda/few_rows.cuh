/* Products of a few rows with a weight, which is read once, as it is. */
#ifndef GQA_RUNTIME_CUDA_FEW_ROWS_CUH
#define GQA_RUNTIME_CUDA_FEW_ROWS_CUH

#include "runtime/cuda/device.cuh"

/* out = scale * x W^T + bias + added; W [outputs, inputs]. */
struct gqa_few_rows {
    void *out;             /* real, or float where wide */
    const void *x, *added; /* added: real, as out; NULL: none */
    const struct gqa_weight *weight, *bias; /* bias NULL: none */
    int64_t n_rows;
    float scale;
    bool wide;
};

/* Whether the kernel takes it: at most 8 rows, no float64 weight. */
bool gqa_few_rows_takes(const struct gqa_few_rows *args);
enum gqa_status gqa_few_rows_multiply(struct gqa_device *device,
                                      const struct gqa_few_rows *args);

#endif
