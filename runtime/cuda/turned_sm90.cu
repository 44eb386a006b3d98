/*
 * Queries, keys and values by one product (pair_sm90.cuh) on compute
 * capability 9.0, which are turned and kept before they are written:
 *
 *   x          [n_rows, inputs]    bf16 or f16, like all of these
 *   weights    [(n_queries + 2 n_keys) D, inputs]
 *   q          [n_rows, q_width]
 *   caches     [n_sequences, n_keys, capacity, D]
 */
#include "runtime/cuda/pair_sm90.cuh"
#include "runtime/cuda/turn.cuh"
#include "runtime/cuda/turned_sm90.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Where a row's heads go, one after the other: as if each were one of queries,
 * of keys and of values, in elements from where those begin. */
struct turned_at {
    int64_t q, k, v;
};

template <int D>
static __device__ __forceinline__ struct turned_at turned_at_head(
    const struct gqa_turned &args, int row, int sequence, int64_t position,
    int head)
{
    const int64_t kept =
        (int64_t)sequence * args.n_keys - args.n_queries + head;
    struct turned_at at;

    at.q = row * args.q_width + head * D;
    at.k = (kept * args.capacity + position) * D;
    at.v = at.k - args.n_keys * args.capacity * D;
    return at;
}

/* A thread has a row, and of all heads of the tile the same two pieces of 16
 * bytes, which are turned together. */
template <typename T, int D>
static __device__ __forceinline__ void finish(const struct gqa_turned &args,
                                              uint32_t sums, int row0,
                                              int first_head, int warp,
                                              int n_warps, int lane)
{
    constexpr int COUPLES = D / 16;         /* of a head */
    constexpr int WARP_ROWS = 32 / COUPLES; /* that a warp takes at a time */
    constexpr int APART = PIECES / COUPLES; /* see below */
    constexpr int HEADS = COLUMNS / D;      /* of a tile */
    const int couple = lane % COUPLES, at = lane / COUPLES;
    /* So that the rows of eight threads have their pieces in all banks. */
    const int within = at / 8 * 8 + at % 8 % APART * COUPLES + at % 8 / APART;
    const int n_queries_keys = args.n_queries + args.n_keys;
    const int n_heads = n_queries_keys + args.n_keys;
    const int n_turned = args.cos_sin ? n_queries_keys : 0;

    for (int i = warp; i < ROWS / WARP_ROWS; i += n_warps) {
        const int in_tile = i * WARP_ROWS + within, row = row0 + in_tile;
        const int sequence = row / (int)args.batch.n_new;
        const int new_token = row - sequence * (int)args.batch.n_new;
        pack<float, 16> angles = {};
        int64_t position = -1;

        if (row >= args.pair.n_rows)
            continue;
        if (new_token < args.batch.n_tokens[sequence])
            position = args.batch.starts[sequence] + new_token;
        const bool is_kept = position >= 0 && position < args.capacity;
        if (n_turned > 0)
            angles = pack_at<16>(
                args.cos_sin + (position < 0 ? 0 : position) * D + couple * 16);
        struct turned_at to =
            turned_at_head<D>(args, row, sequence, position, first_head);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            const int head = first_head + h;
            const int first = h * (D / 8) + couple, second = first + COUPLES;
            T *out = (T *)args.q + to.q;
            pack<T, 8> both[2];

            if (head >= args.n_queries)
                out = head < n_queries_keys ? (T *)args.cache_k + to.k
                                            : (T *)args.cache_v + to.v;
            to.q += D;
            to.k += args.capacity * D;
            to.v += args.capacity * D;
            if (head >= args.n_queries && (!is_kept || head >= n_heads))
                continue;
            both[0] = sums_at<T>(sums, first / PIECES, in_tile, first % PIECES);
            both[1] =
                sums_at<T>(sums, second / PIECES, in_tile, second % PIECES);
            if (head < n_turned)
                turn_pairs<T, 8, false>(both, angles, 1);
            pack_to(out + couple * 8, both[0]);
            pack_to(out + D / 2 + couple * 8, both[1]);
        }
    }
}
#endif

template <typename T, int D>
static __global__ void __cluster_dims__(PAIR, 1, 1)
    __launch_bounds__(GROUP *(FACTORS + 1), 1)
        turned_kernel(const __grid_constant__ struct gqa_turned args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    multiply_pairs<T>(args.pair, [&](uint32_t sums, int row, int column,
                                     int warp, int n_warps, int lane) {
        finish<T, D>(args, sums, row, column * (COLUMNS / D), warp, n_warps,
                     lane);
    });
#endif
}

template <typename T>
static cudaError_t launch(const struct gqa_turned *args, cudaStream_t stream)
{
    return launch_pairs(args->head_dim == 32   ? turned_kernel<T, 32>
                        : args->head_dim == 64 ? turned_kernel<T, 64>
                                               : turned_kernel<T, 128>,
                        args, stream);
}

cudaError_t gqa_turned_sm90(const struct gqa_turned *args, bool bf16,
                            cudaStream_t stream)
{
    return bf16 ? launch<__nv_bfloat16>(args, stream)
                : launch<__half>(args, stream);
}
