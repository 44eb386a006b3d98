/* Rows that a warp holds in registers, for norms forth and back. */
#ifndef GQA_RUNTIME_CUDA_NORM_ROWS_CUH
#define GQA_RUNTIME_CUDA_NORM_ROWS_CUH

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum {
    NORM_THREADS = 256,
    NORM_WARPS = NORM_THREADS / 32,
    NORM_MOST_PACKS = 4, /* of a row that a thread has */
};

/* Column of the first element of pack `p` of this thread. */
template <int N> static __device__ __forceinline__ int norm_column(int p)
{
    return (p * 32 + (int)threadIdx.x % 32) * N;
}

/* A thread's packs of a row, and the elements of all of them by number. What
 * lies behind the row is 0. */
template <typename T, int N, int PACKS> struct norm_row {
    typedef typename real<T>::sum S;
    pack<T, N> packs[PACKS];

    __device__ __forceinline__ void load(const T *x, int64_t row,
                                         int64_t n_rows, int width)
    {
#pragma unroll
        for (int p = 0; p < PACKS; p++)
            if (row < n_rows && norm_column<N>(p) < width)
                packs[p] = pack_at<N>(x + row * width + norm_column<N>(p));
            else
#pragma unroll
                for (int j = 0; j < N; j++)
                    packs[p].v[j] = real<T>::round((S)0);
    }
    __device__ __forceinline__ void store(T *out, int64_t row, int width) const
    {
#pragma unroll
        for (int p = 0; p < PACKS; p++)
            if (norm_column<N>(p) < width)
                pack_to(out + row * width + norm_column<N>(p), packs[p]);
    }
    __device__ __forceinline__ S at(int i) const
    {
        return real<T>::load(packs[i / N].v[i % N]);
    }
    __device__ __forceinline__ void set(int i, S y)
    {
        packs[i / N].v[i % N] = real<T>::round(y);
    }
    __device__ __forceinline__ S mean(int width) const
    {
        S sum = 0;

#pragma unroll
        for (int i = 0; i < PACKS * N; i++)
            sum += at(i);
        return warp_sum(sum) / (S)width;
    }
    /* Whether element i is one of the row. */
    static __device__ __forceinline__ bool is_in(int i, int width)
    {
        return norm_column<N>(i / N) < width;
    }
};

/* The same columns of a weight, with `plus` added; 0 behind them. */
template <int N, int PACKS, typename S>
static __device__ __forceinline__ void norm_weights(S (&out)[PACKS][N],
                                                    struct weight_view weight,
                                                    int width, S plus)
{
#pragma unroll
    for (int p = 0; p < PACKS; p++) {
        const bool is_in = norm_column<N>(p) < width;

        if (is_in)
            weights_at(out[p], weight, norm_column<N>(p));
#pragma unroll
        for (int j = 0; j < N; j++)
            out[p][j] = is_in ? out[p][j] + plus : 0;
    }
}

/* The widest row of packs of N. */
template <int N> static constexpr uint64_t norm_most_width(void)
{
    return 32 * NORM_MOST_PACKS * N;
}

/* Call f with count<PACKS>, as many as a row needs or some more. */
template <int N, typename F> static void with_norm_packs(int width, F f)
{
    if (width <= 32 * (NORM_MOST_PACKS / 2) * N)
        f(count<NORM_MOST_PACKS / 2>());
    else
        f(count<NORM_MOST_PACKS>());
}

/* Each warp takes several rows, so that it has the next one's on their way.
 * each: blocks that a processor has room for. */
static inline unsigned norm_blocks(const struct gqa_device *device,
                                   int64_t n_rows, int each)
{
    const int64_t n = (n_rows + NORM_WARPS - 1) / NORM_WARPS;
    const int64_t most = (int64_t)device->n_processors * each;

    return (unsigned)(n < most ? n : most);
}

#endif
