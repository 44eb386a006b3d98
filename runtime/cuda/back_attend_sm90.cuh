/*
 * What the kernels of attention backwards on compute capability 9.0 share: what
 * a query sees, and weights of what it does not.
 */
#ifndef GQA_RUNTIME_CUDA_BACK_ATTEND_SM90_CUH
#define GQA_RUNTIME_CUDA_BACK_ATTEND_SM90_CUH

#include "runtime/cuda/attend_sm90.cuh"
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/back_attend_tile.cuh"

typedef __nv_bfloat16 T;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* A range of queries or keys. */
struct range {
    int begin, end;
};

/* The keys that a query sees, if any. */
static __device__ __forceinline__ struct range seen_by(const struct sight &s,
                                                       int query)
{
    const int at = s.start + query;
    struct range r = {s.window && at >= s.window ? at - s.window + 1 : 0,
                      s.n_keys};

    if (s.causal && at + 1 < r.end)
        r.end = at + 1;
    if (query >= s.n_tokens)
        r.end = 0;
    return r;
}

/* Weights of a tile from `from` on become 0 where one of the thread's two rows
 * is not in its range. */
template <int TILE>
static __device__ __forceinline__ void silence(float (*p)[4],
                                               const struct range *rows,
                                               int from, int lane)
{
#pragma unroll
    for (int i = 0; i < TILE / 2; i++) {
        const struct range r = rows[i % 4 / 2];
        const int at = from + i / 4 * 8 + (lane & 3) * 2 + i % 2;

        if (at < r.begin || at >= r.end)
            p[i / 4][i % 4] = 0;
    }
}

#endif

#endif
