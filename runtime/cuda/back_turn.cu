/*
 * Between projections and attention, and back: queries and keys are turned,
 * keys and values go to their caches or come from there. Each element is read
 * and written once, 16 bytes at a time where all begin at such borders.
 */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/turn.cuh"

enum { THREADS = 256 };

/* Heads in rows, and in a cache; cache NULL: these are queries. */
template <typename T> struct turn_heads {
    T *x, *cache;
    int64_t width;
    struct place_view place;
    int n_pairs; /* of a head that are turned */
    int each;    /* pieces of a head: N pairs, then N elements, at a time */
};

template <typename T> struct turn_args {
    struct turn_heads<T> heads[3]; /* of queries, keys and values */
    struct batch_view batch;
    int64_t capacity;
    int head_dim;
    const float *cos_sin;
};

/* Piece `piece` of head `head` of a row. */
template <typename T, int N, bool INTERLEAVED, bool BACK>
static __device__ __forceinline__ void turn_piece(
    const struct turn_args<T> &args, const struct turn_heads<T> &heads,
    int64_t row, int64_t sequence, int64_t position, int head, int piece)
{
    const bool is_kept = position >= 0 && position < args.capacity;
    const int n_turned = heads.n_pairs / N;
    T *x =
        heads.x + row * heads.width + head_at(heads.place, head, args.head_dim);
    T *cache = heads.cache && is_kept
                   ? heads.cache + ((sequence * heads.place.n_heads + head) *
                                        args.capacity +
                                    position) *
                                       args.head_dim
                   : NULL;
    const T *from = heads.cache && BACK ? cache : x;
    T *to = heads.cache && !BACK ? cache : x;
    pack<T, N> both[2];

    if (!to)
        return;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
            both[i].v[j] = real<T>::round(0);
    if (piece < n_turned) {
        const int pair = piece * N;
        const int first = INTERLEAVED ? 2 * pair : pair;
        const int second = INTERLEAVED ? first + N : first + heads.n_pairs;

        if (from) {
            const int64_t angle = (position < 0 ? 0 : position) * heads.n_pairs;

            both[0] = pack_at<N>(from + first);
            both[1] = pack_at<N>(from + second);
            turn_pairs<T, N, INTERLEAVED>(
                both, pack_at<2 * N>(args.cos_sin + (angle + pair) * 2),
                BACK ? -1 : 1);
        }
        pack_to(to + first, both[0]);
        pack_to(to + second, both[1]);
    } else {
        const int at = 2 * heads.n_pairs + (piece - n_turned) * N;

        if (from)
            both[0] = pack_at<N>(from + at);
        pack_to(to + at, both[0]);
    }
}

/* A thread has a piece of a head of a row. I: an integer that counts them. */
template <typename T, int N, bool INTERLEAVED, bool BACK, typename I>
static __global__ void __launch_bounds__(THREADS)
    turn_kernel(struct turn_args<T> args)
{
    const I n_q = (I)(args.heads[0].place.n_heads * args.heads[0].each);
    const I n_k = (I)(args.heads[1].place.n_heads * args.heads[1].each);
    const I n_v = (I)(args.heads[2].place.n_heads * args.heads[2].each);
    const I each = n_q + n_k + n_v, n = (I)args.batch.n_rows * each;
    const I n_new = (I)args.batch.n_new, step = (I)gridDim.x * THREADS;

    for (I i = (I)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const I row = i / each, sequence = row / n_new;
        const int64_t at = (int64_t)(row % n_new);
        const int64_t position = at < args.batch.n_tokens[sequence]
                                     ? args.batch.starts[sequence] + at
                                     : -1;
        I piece = i % each;
        int which = 0;

        if (piece >= n_q) {
            which = piece < n_q + n_k ? 1 : 2;
            piece -= which == 1 ? n_q : n_q + n_k;
        }
        const struct turn_heads<T> &heads = args.heads[which];

        turn_piece<T, N, INTERLEAVED, BACK>(
            args, heads, (int64_t)row, (int64_t)sequence, position,
            (int)piece / heads.each, (int)piece % heads.each);
    }
}

template <typename T, int N>
static struct turn_heads<T> heads_of(void *x, uint64_t width,
                                     const struct gqa_head_place *place,
                                     void *cache, uint64_t head_dim,
                                     uint64_t n_pairs) {
    struct turn_heads<T> heads = {
    };

    heads.x = (T *)x;
    heads.cache = (T *)cache;
    heads.width = (int64_t)width;
    heads.place = place_of(place);
    heads.n_pairs = (int)n_pairs;
    /* Of queries, what is not turned stays as it is. */
    heads.each =
        (int)(n_pairs / N + (cache ? (head_dim - 2 * n_pairs) / N : 0));
    return heads;
}

static bool
is_whole_turn(const struct gqa_device *device, const struct gqa_turn_op *op)
{
    const enum gqa_dtype real = device->real;
    const uint64_t d = op->head_dim;

    if (!is_whole(real, op->n_pairs) || !is_aligned(op->cos_sin))
        return false;
    if (op->q &&
        !(are_whole(real, op->q_width, &op->q_place, d) && is_aligned(op->q)))
        return false;
    return !op->cache_k || (are_whole(real, op->k_width, &op->k_place, d) &&
                            are_whole(real, op->v_width, &op->v_place, d) &&
                            is_aligned(op->k) && is_aligned(op->v) &&
                            is_aligned(op->cache_k) && is_aligned(op->cache_v));
}

template <typename T, int N, bool BACK, typename I>
static void launch(const struct turn_args<T> &args, bool interleaved,
                   unsigned n_blocks, cudaStream_t stream)
{
    (interleaved
         ? turn_kernel<T, N, true, BACK, I>
         : turn_kernel<T, N, false, BACK, I>)<<<n_blocks, THREADS, 0, stream>>>(
        args);
}

template <bool BACK>
static enum gqa_status turn(struct gqa_device *device,
                            const struct gqa_turn_op *op)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_packs(device->real, is_whole_turn(device, op), [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;
        const uint64_t d = op->head_dim;
        struct turn_args<T> args = {
        };
        uint64_t all = 0;

        args.batch = batch_of(device);
        args.capacity = (int64_t)op->capacity;
        args.head_dim = (int)d;
        args.cos_sin = (const float *)op->cos_sin;
        if (op->q)
            args.heads[0] = heads_of<T, N>(op->q, op->q_width, &op->q_place,
                                           NULL, d, op->n_pairs);
        if (op->cache_k) {
            args.heads[1] = heads_of<T, N>(op->k, op->k_width, &op->k_place,
                                           op->cache_k, d, op->n_pairs);
            args.heads[2] = heads_of<T, N>(op->v, op->v_width, &op->v_place,
                                           op->cache_v, d, 0);
        }
        for (const struct turn_heads<T> &heads : args.heads)
            all += (uint64_t)heads.place.n_heads * (uint64_t)heads.each;
        all *= (uint64_t)args.batch.n_rows;
        if (all == 0)
            return;
        const unsigned n_blocks = blocks_for((all + THREADS - 1) / THREADS);

        /* Numbers of 32 bits are divided in a fraction of the time. */
        if (all <= INT32_MAX)
            launch<T, N, BACK, uint32_t>(args, op->interleaved, n_blocks,
                                         device->stream);
        else
            launch<T, N, BACK, uint64_t>(args, op->interleaved, n_blocks,
                                         device->stream);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_turn(struct gqa_device *device,
                              const struct gqa_turn_op *op)
{
    return turn<false>(device, op);
}

enum gqa_status gqa_cuda_turn_back(struct gqa_device *device,
                                   const struct gqa_turn_op *op)
{
    return turn<true>(device, op);
}
