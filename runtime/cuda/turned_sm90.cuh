/* Projections that are turned at once, by warpgroups (turned_sm90.cu). */
#ifndef GQA_RUNTIME_CUDA_TURNED_SM90_CUH
#define GQA_RUNTIME_CUDA_TURNED_SM90_CUH

#include "runtime/cuda/pair.cuh"
#include "runtime/cuda/rows.cuh"

/* Of the heads of a row, n_queries are turned and written to q, n_keys are
 * turned, and the rest are not; the two last go to caches of n_keys heads.
 * Their width is 32, 64 or 128, and halves of it make pairs. */
struct gqa_turned {
    struct gqa_pair_args pair; /* weights: of all, one below the other */
    struct batch_view batch;
    int n_queries, n_keys, head_dim;
    int64_t q_width, capacity;
    void *q, *cache_k, *cache_v; /* aligned to 16 bytes, as are rows */
    const float *cos_sin;        /* likewise; NULL: nothing is turned */
};

/* All of both types have 16 bits. */
cudaError_t gqa_turned_sm90(const struct gqa_turned *args, bool bf16,
                            cudaStream_t stream);

#endif
