/*
 * Attention for every shape and type, on plain cores: what the tensor-core
 * kernels do not take.
 */
#ifndef GQA_RUNTIME_CUDA_ATTEND_SIMPLE_CUH
#define GQA_RUNTIME_CUDA_ATTEND_SIMPLE_CUH

#include "common/dtype.h"
#include "runtime/cuda/attend_fast.cuh"

/* Rows of padding become zeros. soft_cap as in gqa_attention_op. args->bf16
 * is not looked at. */
cudaError_t gqa_attend_simple(const struct gqa_attend_fast *args,
                              float soft_cap, enum gqa_dtype real,
                              cudaStream_t stream);

#endif
