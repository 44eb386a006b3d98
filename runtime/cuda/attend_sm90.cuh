/*
 * What the attention kernels of compute capability 9.0 share, forth and back:
 * warpgroups of ROWS queries or keys each that compute, and one more that
 * copies tiles of the others for all of them.
 */
#ifndef GQA_RUNTIME_CUDA_ATTEND_SM90_CUH
#define GQA_RUNTIME_CUDA_ATTEND_SM90_CUH

#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/warpgroup.cuh"

enum {
    GROUP = 128, /* threads of a warpgroup */
    ROWS = 64,   /* queries, or keys, of each */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* What a set of consecutive rows sees. */
struct span {
    int first, last; /* positions */
    int t0, t1;      /* tiles of keys of which some row sees one */
    int begin, end;  /* keys that every row sees */
};

template <int TILE>
static __device__ __forceinline__ struct span span_of(
    const struct gqa_attend_fast &args, int start, int first_row, int n_rows,
    int n_queries, int window, int n_keys)
{
    struct span s;
    int left = n_queries - first_row;

    s.first = start + first_row;
    s.last = s.first + (left < n_rows ? left : n_rows) - 1;

    int begin = window && s.first >= window ? s.first - window + 1 : 0;
    int end = args.causal && s.last + 1 < n_keys ? s.last + 1 : n_keys;

    s.t0 = begin / TILE;
    s.t1 = (end + TILE - 1) / TILE;
    if (s.last < s.first || end <= begin)
        s.t0 = s.t1 = 0;
    s.begin = window && s.last >= window ? s.last - window + 1 : 0;
    s.end = args.causal && s.first + 1 < n_keys ? s.first + 1 : n_keys;
    return s;
}

/* Barriers of the places of tiles, of N kinds: [kind][stage]. */
template <int N, int STAGES> struct barriers {
    uint64_t full[N][STAGES], empty[N][STAGES];
};

/* By one thread, before all meet. */
template <int N, int STAGES>
static __device__ __forceinline__ void begin_barriers(
    struct barriers<N, STAGES> *barriers, int n_consumers)
{
    for (int kind = 0; kind < N; kind++) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&barriers->full[kind][i], GROUP);
            barrier_init(&barriers->empty[kind][i], n_consumers * GROUP / 32);
        }
    }
    proxy_fence();
}

/* Until tile n has been copied, and products may read it. */
template <int STAGES>
static __device__ __forceinline__ void await(uint64_t (&full)[STAGES], int n)
{
    barrier_wait(&full[n % STAGES], n / STAGES & 1);
    proxy_fence();
}

/* Tell that the warp has read tile n. */
template <int STAGES>
static __device__ __forceinline__ void release(uint64_t (&empty)[STAGES], int n,
                                               int lane)
{
    __syncwarp();
    if (lane == 0)
        barrier_arrive(&empty[n % STAGES]);
}

/* Leave a tile that the warpgroup does not see to the others. */
template <int N, int STAGES>
static __device__ __forceinline__ void pass_over(
    struct barriers<N, STAGES> *barriers, int n, int lane)
{
    for (int kind = 0; kind < N; kind++) {
        await(barriers->full[kind], n);
        release(barriers->empty[kind], n, lane);
    }
}

/* Sums begin as 0. */
template <int N> static __device__ __forceinline__ void clear(float (*sum)[4])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = 0;
}

/* The threads of one warpgroup that computes, the n-th, meet. */
static __device__ __forceinline__ void meet(int n)
{
    asm volatile("bar.sync %0, %1;\n" ::"r"(1 + n), "n"((int)GROUP) : "memory");
}

/* Where tile n of those copied lies; kv: 0 K, 1 V. */
template <int D, int TILE, int STAGES>
static __device__ __forceinline__ uint32_t tile_of(uint32_t tiles, int n,
                                                   int kv)
{
    return tiles + (uint32_t)(n % STAGES * 2 + kv) * (TILE * D * 2);
}

/* Copy tiles t0 .. t1 - 1 of K and V in turn. */
template <typename T, int D, int TILE, int STAGES>
static __device__ __forceinline__ void copy_keys(
    uint32_t tiles, struct barriers<2, STAGES> *barriers, const T *k,
    const T *v, struct span span, int n_keys, int thread)
{
    for (int t = span.t0; t < span.t1; t++) {
        const int n = t - span.t0, stage = n % STAGES;

#pragma unroll
        for (int kv = 0; kv < 2; kv++) {
            barrier_wait(&barriers->empty[kv][stage], n / STAGES & 1 ^ 1);
            operand_load<D, TILE, GROUP>(tile_of<D, TILE, STAGES>(tiles, n, kv),
                                         kv ? v : k, D, t * TILE, n_keys,
                                         thread);
            barrier_arrive_copied(&barriers->full[kv][stage]);
        }
    }
    copy_wait_all();
}

/* Begin s = A B^T: a [ROWS, D], b [TILE, D]. */
template <typename T, int D, int TILE>
static __device__ __forceinline__ void begin_scores(float (*s)[4], uint32_t a,
                                                    uint32_t b)
{
    constexpr int ROW = part<D>::ROW;
    const uint64_t a_at = operand<D>(a, 0), b_at = operand<D>(b, 0);

    product_fence();
#pragma unroll
    for (int c = 0; c < D / 16; c++)
        product<T>::template scores<TILE>(
            s, operand_after(a_at, c / 4 * ROWS * ROW + c % 4 * 32),
            operand_after(b_at, c / 4 * TILE * ROW + c % 4 * 32), c > 0);
    product_commit();
}

/* Begin o += P V: v [TILE, D]. */
template <typename T, int D, int TILE>
static __device__ __forceinline__ void begin_values(float (*o)[4],
                                                    const uint32_t (*p)[4],
                                                    uint32_t v)
{
    constexpr int ROW = part<D>::ROW;
    const uint64_t v_at = operand<D>(v, TILE * ROW);

    product_fence();
#pragma unroll
    for (int j = 0; j < TILE / 16; j++)
        product<T>::template values<D>(o, p[j],
                                       operand_after(v_at, j * 16 * ROW));
    product_commit();
}
#endif

#endif
