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
/* Where head `head` of a row goes; NULL: nowhere. */
template <typename T, int D>
static __device__ __forceinline__ T *turned_to(const struct gqa_turned &args,
                                               int head, int row, int sequence,
                                               int64_t position)
{
    const bool is_value = head >= args.n_queries + args.n_keys;
    const int kept = head - args.n_queries - (is_value ? args.n_keys : 0);

    if (head < args.n_queries)
        return (T *)args.q + row * args.q_width + head * D;
    if (position < 0 || position >= args.capacity)
        return NULL;
    return (T *)(is_value ? args.cache_v : args.cache_k) +
           (((int64_t)sequence * args.n_keys + kept) * args.capacity +
            position) *
               D;
}

/* A thread has a row, and of all heads of the tile the same two pieces of 16
 * bytes, which are turned together. */
template <typename T, int D>
static __device__ __forceinline__ void finish(const struct gqa_turned &args,
                                              uint32_t sums, int row0,
                                              int first_head, int warp,
                                              int lane)
{
    constexpr int COUPLES = D / 16;         /* of a head */
    constexpr int WARP_ROWS = 32 / COUPLES; /* that a warp takes at a time */
    constexpr int APART = PIECES / COUPLES; /* see below */
    constexpr int HEADS = COLUMNS / D;      /* of a tile */
    const int couple = lane % COUPLES, at = lane / COUPLES;
    /* So that the rows of eight threads have their pieces in all banks. */
    const int within = at / 8 * 8 + at % 8 % APART * COUPLES + at % 8 / APART;
    const int n_turned = args.cos_sin ? args.n_queries + args.n_keys : 0;
    const int n_heads = args.n_queries + 2 * args.n_keys;

    for (int i = warp; i < ROWS / WARP_ROWS; i += FINISHERS) {
        const int in_tile = i * WARP_ROWS + within, row = row0 + in_tile;
        const int sequence = row / (int)args.batch.n_new;
        const int64_t new_token = row - sequence * (int)args.batch.n_new;
        pack<float, 16> angles = {};
        int64_t position = -1;

        if (row >= args.pair.n_rows)
            continue;
        if (new_token < args.batch.n_tokens[sequence])
            position = args.batch.starts[sequence] + new_token;
        if (n_turned > 0)
            angles = pack_at<16>(
                args.cos_sin + (position < 0 ? 0 : position) * D + couple * 16);
#pragma unroll 2
        for (int h = 0; h < HEADS; h++) {
            const int head = first_head + h;
            const int first = h * (D / 8) + couple, second = first + COUPLES;
            T *to = head < n_heads
                        ? turned_to<T, D>(args, head, row, sequence, position)
                        : NULL;
            pack<T, 8> both[2];

            if (!to)
                continue;
            both[0] = sums_at<T>(sums, first / PIECES, in_tile, first % PIECES);
            both[1] =
                sums_at<T>(sums, second / PIECES, in_tile, second % PIECES);
            if (head < n_turned)
                turn_pairs<T, 8, false>(both, angles, 1);
            pack_to(to + couple * 8, both[0]);
            pack_to(to + D / 2 + couple * 8, both[1]);
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
    multiply_pairs<T>(
        args.pair, [&](uint32_t sums, int row, int column, int warp, int lane) {
            finish<T, D>(args, sums, row, column * (COLUMNS / D), warp, lane);
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
