/* Gated feed-forwards by warpgroups (gated_sm90.cu). */
#ifndef GQA_RUNTIME_CUDA_GATED_SM90_CUH
#define GQA_RUNTIME_CUDA_GATED_SM90_CUH

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "runtime/ops.h"

enum { GQA_GATED_ROWS = 128 /* of a box */ };

struct gqa_gated {
    int64_t n_rows;
    int inputs, width; /* multiples of 8 */
    int n_processors;
    bool kept; /* what hidden is made of */
    /* Boxes of GQA_GATED_ROWS rows and 64 columns: 128 bytes, which is how far
     * a swizzle goes. gate_map, up_map: of what is kept. */
    CUtensorMap x, gate, up, gate_map, up_map;
    void *hidden; /* [n_rows, width], aligned to 16 bytes */
};

/* All of both types have 16 bits. */
cudaError_t gqa_gated_sm90(const struct gqa_gated *args, bool bf16,
                           enum gqa_activation activation, cudaStream_t stream);

#endif
