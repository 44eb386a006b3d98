/* Gated feed-forwards by warpgroups (gated_sm90.cu). */
#ifndef GQA_RUNTIME_CUDA_GATED_SM90_CUH
#define GQA_RUNTIME_CUDA_GATED_SM90_CUH

#include "runtime/cuda/pair.cuh"
#include "runtime/ops.h"

struct gqa_gated {
    struct gqa_pair_args pair;    /* weights: gate's, and up's */
    int width;                    /* a multiple of 8 */
    bool kept;                    /* what hidden is made of */
    CUtensorMap gate_map, up_map; /* of what is kept */
    void *hidden;                 /* [n_rows, width], aligned to 16 bytes */
};

/* All of both types have 16 bits. */
cudaError_t gqa_gated_sm90(const struct gqa_gated *args, bool bf16,
                           enum gqa_activation activation, cudaStream_t stream);

#endif
