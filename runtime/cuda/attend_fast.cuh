/*
 * Attention on tensor cores: the arguments of a launch, all pointers to
 * device memory. Layouts and meanings are those of gqa_attention_op.
 */
#ifndef GQA_RUNTIME_CUDA_ATTEND_FAST_CUH
#define GQA_RUNTIME_CUDA_ATTEND_FAST_CUH

#include <cuda_runtime.h>
#include <stdbool.h>
#include <stdint.h>

struct gqa_attend_fast {
    void *out;
    const void *q, *k, *v;
    int64_t q_width, q_base, q_per_block, q_block_stride;
    int64_t n_sequences, n_new, n_heads, n_kv_heads, head_dim, capacity;
    float scale;
    bool bf16; /* else f16 */
    bool causal;
    int64_t window;          /* 0: none */
    const int64_t *starts;   /* [n_sequences]: position of the first query */
    const int64_t *n_keys;   /* [n_sequences]: keys in the cache */
    int64_t max_keys;        /* about the largest n_keys; a hint for speed */
    const int64_t *n_tokens; /* [n_sequences]: new ones; the rest is padding */
    const float *bias;       /* [n_heads, 2 * reach - 1], or NULL */
    int64_t reach;
    int64_t per_key; /* 0: a key is a position; else not taken here */
    /* [rows, n_heads], or NULL; not written by decode. */
    float *lse;
    float *workspace; /* gqa_attend_decode_workspace() floats */
    int n_processors; /* of the device */
    bool overlaps;    /* it can begin a kernel as another ends: from 9.0 on */
    bool warpgroups;  /* it is 9.0, and code for it (sm_90a) is here */
};

/* Of the query at position p among n_keys keys, what its bias is told by. */
static __device__ __forceinline__ int64_t
gqa_attend_place(const struct gqa_attend_fast &a, int64_t p, int64_t n_keys)
{
    const int64_t last = n_keys - 1;

    if (a.per_key == 0)
        return p;
    return p / a.per_key < last ? p / a.per_key : last;
}

/* Whether the kernels below take this shape: head_dim 32, 64 or 128, rows that
 * 16-byte (K, V) and 4-byte (Q) accesses can reach, a positive scale. */
bool gqa_attend_fast_takes(const struct gqa_attend_fast *args);

/* For few new tokens: n_new * n_heads / n_kv_heads query rows share each
 * read of a key and a value. */
int64_t gqa_attend_decode_workspace(const struct gqa_attend_fast *args);
cudaError_t gqa_attend_decode(const struct gqa_attend_fast *args,
                              cudaStream_t stream);

/* For many new tokens. */
cudaError_t gqa_attend_prefill(const struct gqa_attend_fast *args,
                               cudaStream_t stream);

/* Likewise, by products of warpgroups; without a bias: heads of 64 or 128, and
 * those of 32. */
cudaError_t gqa_attend_prefill_sm90(const struct gqa_attend_fast *args,
                                    cudaStream_t stream);
cudaError_t gqa_attend_narrow_sm90(const struct gqa_attend_fast *args,
                                   cudaStream_t stream);

#endif
