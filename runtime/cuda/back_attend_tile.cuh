/*
 * What the kernels of attention backwards on tensor cores share: what a query
 * sees, the weight of a score, and rows of results.
 */
#ifndef GQA_RUNTIME_CUDA_BACK_ATTEND_TILE_CUH
#define GQA_RUNTIME_CUDA_BACK_ATTEND_TILE_CUH

#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"

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

/* What keys and queries are told of ROWS queries of a head. */
template <int ROWS> struct numbers {
    float lse_log2[ROWS], dots[ROWS];
};

/* o . do and lse of the queries of a head from `first` on, by THREADS threads,
 * each of which has 16 bytes of a row at a time: read by begin(), while tiles
 * are copied, and told by tell(), in shared memory and to the kernel of keys
 * behind this one. */
template <typename T, int D, int ROWS, int THREADS> struct dots_of {
    enum { LANES = D / 8, STEP = THREADS / LANES, N = ROWS / STEP };
    static_assert(ROWS % STEP == 0 && LANES <= 32, "whole steps");
    pack<T, 8> out[N], d_out[N];

    __device__ __forceinline__ void begin(const struct gqa_attend_back &args,
                                          int64_t first_row, int head,
                                          int first, int n_tokens, int thread)
    {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const int row = first + n * STEP + thread / LANES;
            const int64_t at =
                ((first_row + (row < n_tokens ? row : 0)) * args.a.n_heads +
                 head) *
                    D +
                thread % LANES * 8;

            out[n] = pack_at<8>((const T *)args.a.out + at);
            d_out[n] = pack_at<8>((const T *)args.d_out + at);
        }
    }
    /* All of a warp call it; it is for the caller to let threads meet. */
    __device__ __forceinline__ void tell(struct numbers<ROWS> *numbers,
                                         const struct gqa_attend_back &args,
                                         int64_t first_row, int head, int first,
                                         int n_tokens, int thread) const
    {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const int in_tile = n * STEP + thread / LANES;
            const int64_t at =
                (first_row + first + in_tile) * args.a.n_heads + head;
            const bool valid = first + in_tile < n_tokens;
            float sum = 0, lse = 0;

#pragma unroll
            for (int j = 0; j < 8; j++)
                sum +=
                    real<T>::load(out[n].v[j]) * real<T>::load(d_out[n].v[j]);
#pragma unroll
            for (int offset = LANES / 2; offset > 0; offset /= 2)
                sum += __shfl_xor_sync(0xffffffffu, sum, offset);
            if (thread % LANES != 0)
                continue;
            if (valid) {
                lse = args.a.lse[at] * GQA_LOG2E;
                args.lse_log2[at] = lse;
                args.dots[at] = sum;
            }
            numbers->lse_log2[in_tile] = lse;
            numbers->dots[in_tile] = valid ? sum : 0;
        }
    }
};

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
