/*
 * What the kernels of attention backwards on tensor cores share: what a query
 * sees, the weight of a score, and rows of results.
 */
#ifndef GQA_RUNTIME_CUDA_BACK_ATTEND_TILE_CUH
#define GQA_RUNTIME_CUDA_BACK_ATTEND_TILE_CUH

#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/back_attend.cuh"

/* Copy 4 bytes, or write zeros where valid is false. */
static __device__ __forceinline__ void copy_number(uint32_t dst,
                                                   const float *src, bool valid)
{
    int n = valid ? 4 : 0;

    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(dst),
                 "l"(src), "r"(n)
                 : "memory");
}

/* A row of D columns, `half` of 16, times factor. */
template <int D, typename T>
static __device__ __forceinline__ void row_store(T *to, const float (*sum)[4],
                                                 float factor, int half,
                                                 int lane)
{
    uint32_t *out = (uint32_t *)to;

#pragma unroll
    for (int d = 0; d < D / 8; d++)
        out[d * 4 + lane % 4] = tile_type<T>::pack(
            sum[d][half * 2] * factor, sum[d][half * 2 + 1] * factor);
}

/* Turn a row of D columns of sums, `half` of 16, back, by cosines and sines of
 * its position. */
template <int D>
static __device__ __forceinline__ void row_turn_back(float (*sum)[4],
                                                     const float *cos_sin,
                                                     int half, int lane)
{
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        const float4 angles =
            *(const float4 *)(cos_sin + (d * 8 + lane % 4 * 2) * 2);
        const float cosine[2] = {angles.x, angles.z};
        const float sine[2] = {angles.y, angles.w};

#pragma unroll
        for (int i = 0; i < 2; i++) {
            float *a = &sum[d][half * 2 + i];
            float *b = &sum[d + D / 16][half * 2 + i];
            const float from_a = *a, from_b = *b;

            *a = from_a * cosine[i] + from_b * sine[i];
            *b = from_b * cosine[i] - from_a * sine[i];
        }
    }
}

/* What the queries of a sequence see. */
struct sight {
    int start, n_tokens, n_keys, window;
    bool causal;
    float scale_log2;
    const float *bias; /* of the head; at [key - position] */
};

static __device__ __forceinline__ struct sight sight_of(
    const struct gqa_attend_fast &a, int64_t sequence)
{
    struct sight s;

    s.start = (int)a.starts[sequence];
    s.n_tokens = (int)a.n_tokens[sequence];
    s.n_keys = (int)a.n_keys[sequence];
    s.window = a.window < INT32_MAX ? (int)a.window : 0;
    s.causal = a.causal;
    s.scale_log2 = a.scale * GQA_LOG2E;
    s.bias = NULL;
    return s;
}

#endif
