/* gated() of backend.h. */
#ifndef GQA_RUNTIME_CUDA_GATED_CUH
#define GQA_RUNTIME_CUDA_GATED_CUH

#include "runtime/cuda/device.cuh"

enum gqa_status gqa_cuda_gated(struct gqa_device *device, bool *done,
                               void *hidden, void *gate_out, void *up_out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *gate,
                               const struct gqa_weight *up,
                               enum gqa_activation activation);

#endif
