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
#include "runtime/cuda/turned_sm90.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Where a row's heads go, one after the other: as if each were one of queries,
 * of keys and of values. */
template <typename T> struct turned_at {
    T *q, *k, *v;
};

template <typename T, int D>
static __device__ __forceinline__ struct turned_at<T> turned_at_head(
    const struct gqa_turned &args, int row, int sequence, int64_t position,
    int head) {
    const int64_t kept =
        (((int64_t)sequence * args.n_keys - args.n_queries + head) *
             args.capacity +
         position) *
        D;
    struct turned_at<T> at;

    at.q = (T *)args.q + row * args.q_width + head * D;
    at.k = (T *)args.cache_k + kept;
    at.v = (T *)args.cache_v + kept - args.n_keys * args.capacity * D;
    return at;
}

/* A row, and what turns eight pairs of each of its heads. */
struct turned_row {
    int row, sequence;
    int64_t position; /* -1: padding */
    pack<float, 16> angles;
};

template <int D>
static __device__ __forceinline__ struct turned_row turned_row_of(
    const struct gqa_turned &args, int row, int couple)
{
    struct turned_row r = {};
    int new_token;

    r.row = row;
    r.position = -1;
    if (row >= args.pair.n_rows)
        return r;
    r.sequence = row / (int)args.batch.n_new;
    new_token = row - r.sequence * (int)args.batch.n_new;
    if (new_token < args.batch.n_tokens[r.sequence])
        r.position = args.batch.starts[r.sequence] + new_token;
    if (args.cos_sin)
        r.angles = pack_at<16>(
            args.cos_sin + (r.position < 0 ? 0 : r.position) * D + couple * 16);
    return r;
}

/* Eight pairs, turned, as they are written; turn_pairs() (turn.cuh) with the
 * words put together once. */
template <typename T>
static __device__ __forceinline__ void turn_words(uint4 (&out)[2],
                                                  const pack<T, 8> (&in)[2],
                                                  const pack<float, 16> &angles)
{
    uint32_t words[2][4];

#pragma unroll
    for (int w = 0; w < 4; w++) {
        float a[2], b[2];

#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float cosine = angles.v[4 * w + 2 * i];
            const float sine = angles.v[4 * w + 2 * i + 1];
            const float from_a = real<T>::load(in[0].v[2 * w + i]);
            const float from_b = real<T>::load(in[1].v[2 * w + i]);

            a[i] = from_a * cosine - from_b * sine;
            b[i] = from_b * cosine + from_a * sine;
        }
        words[0][w] = two<T>(a[0], a[1]);
        words[1][w] = two<T>(b[0], b[1]);
    }
    memcpy(out, words, sizeof words);
}

/* A thread has a row, and of all heads of the tile the same two pieces of 16
 * bytes, which are turned together. The next row's angles are on their way
 * meanwhile, and the first's while sums are waited for. */
template <typename T, int D, typename F>
static __device__ __forceinline__ void finish(const struct gqa_turned &args,
                                              uint32_t sums, int row0,
                                              int first_head, int warp,
                                              int n_warps, int lane, F await)
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
    struct turned_row next =
        turned_row_of<D>(args, row0 + warp * WARP_ROWS + within, couple);

    await();
    for (int i = warp; i < ROWS / WARP_ROWS; i += n_warps) {
        const int in_tile = i * WARP_ROWS + within;
        const struct turned_row r = next;
        const bool is_kept = r.position >= 0 && r.position < args.capacity;
        struct turned_at<T> to = turned_at_head<T, D>(args, r.row, r.sequence,
                                                      r.position, first_head);
        /* Numbers of pieces are of bits apart: of the head, of its half, and of
         * the couple. */
        const uint32_t from =
            sums + in_tile * 128 + ((couple ^ (in_tile & 7)) << 4);

        if (i + n_warps < ROWS / WARP_ROWS)
            next = turned_row_of<D>(args, r.row + n_warps * WARP_ROWS, couple);
        if (r.row >= args.pair.n_rows)
            continue;
        pack<T, 8> ahead[2] = {piece_at<T>(from, 0),
                               piece_at<T>(from, COUPLES)};

#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            const int head = first_head + h, piece = (h + 1) * (D / 8);
            const pack<T, 8> both[2] = {ahead[0], ahead[1]};
            T *out = to.q;

            if (h + 1 < HEADS) {
                ahead[0] = piece_at<T>(from, piece);
                ahead[1] = piece_at<T>(from, piece + COUPLES);
            }
            if (head >= args.n_queries)
                out = head < n_queries_keys ? to.k : to.v;
            to.q += D;
            to.k += args.capacity * D;
            to.v += args.capacity * D;
            if (head >= args.n_queries && (!is_kept || head >= n_heads))
                continue;
            uint4 words[2];

            if (head < n_turned)
                turn_words<T>(words, both, r.angles);
            else
                memcpy(words, both, sizeof words);
            *(uint4 *)(out + couple * 8) = words[0];
            *(uint4 *)(out + D / 2 + couple * 8) = words[1];
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
    multiply_pairs<T>(args.pair,
                      [&](uint32_t sums, int row, int column, int warp,
                          int n_warps, int lane, auto await) {
                          finish<T, D>(args, sums, row, column * (COLUMNS / D),
                                       warp, n_warps, lane, await);
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
