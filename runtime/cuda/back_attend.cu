/*
 * Attention backwards: which kernels, and what they need beside the tensors;
 * the gradient of a relative bias is summed in two stages.
 */
#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256 };

static const uint64_t MOST_PARTS = (uint64_t)256 << 20; /* bytes */

/* LANES threads have a head of a row, N columns at a time. */
template <typename T, int N, int LANES>
static __global__ void __launch_bounds__(THREADS)
    dots_kernel(float *dots, float *lse_log2, const float *lse, const T *out,
                const T *d_out, struct batch_view batch, int64_t n_heads,
                int64_t head_dim)
{
    typedef typename real<T>::sum S;
    const int lane = (int)threadIdx.x % LANES;
    const int64_t n = batch.n_rows * n_heads;
    const int64_t step = (int64_t)gridDim.x * (THREADS / LANES);

    /* Whole warps, since a sum takes all of one. */
    for (int64_t i =
             (int64_t)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES;
         i - threadIdx.x % 32 / LANES < n; i += step) {
        S sum = 0;

        if (i < n && position_of(batch, i / n_heads) >= 0)
            for (int64_t d = lane * N; d < head_dim; d += LANES * N) {
                const pack<T, N> a = pack_at<N>(out + i * head_dim + d);
                const pack<T, N> b = pack_at<N>(d_out + i * head_dim + d);

#pragma unroll
                for (int j = 0; j < N; j++)
                    sum += real<T>::load(a.v[j]) * real<T>::load(b.v[j]);
            }
        for (int offset = LANES / 2; offset > 0; offset /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (lane == 0 && i < n) {
            dots[i] = (float)sum;
            lse_log2[i] = lse[i] * GQA_LOG2E;
        }
    }
}

/* Room for args' dots and lse_log2, in device->back. */
static enum gqa_status reserve_dots(struct gqa_device *device,
                                    struct gqa_attend_back *args)
{
    const uint64_t n =
        device->n_sequences * device->n_new * (uint64_t)args->a.n_heads;
    const enum gqa_status st =
        gqa_cuda_reserve(device, &device->back, 2 * n * sizeof(float));

    args->dots = (float *)device->back.data;
    args->lse_log2 = args->dots + n;
    return st;
}

static enum gqa_status make_dots(struct gqa_device *device,
                                 const struct gqa_attend_back *args,
                                 const struct gqa_attention_op *forward)
{
    const void *d_out = args->d_out;
    const struct batch_view batch = batch_of(device);
    const uint64_t n_heads = forward->q_place.n_heads;
    const uint64_t head_dim = forward->head_dim;
    const uint64_t all = (uint64_t)batch.n_rows * n_heads;
    const bool whole = is_whole(device->real, head_dim) &&
                       is_aligned(forward->out) && is_aligned(d_out);

    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value, MANY = N > 1 ? 8 : 32;
        constexpr int FEW = N > 1 ? 4 : 32;
        const bool few = head_dim <= FEW * N;
        const uint64_t each = THREADS / (few ? FEW : MANY);

        (few ? dots_kernel<T, N, FEW>
             : dots_kernel<T, N, MANY>)<<<blocks_for((all + each - 1) / each),
                                          THREADS, 0, device->stream>>>(
            args->dots, args->lse_log2, args->a.lse, (const T *)forward->out,
            (const T *)d_out, batch, (int64_t)n_heads, (int64_t)head_dim);
    });
    return gqa_cuda_launched(device);
}

/*
 * d_bias[h, offset] += what the parts have of it: sequence by sequence, tile
 * by tile. A warp has 32 offsets of a head.
 */
static __global__ void __launch_bounds__(THREADS)
    add_bias_kernel(float *d_bias, struct gqa_attend_back args, int64_t n_tiles,
                    int64_t rows)
{
    const int64_t n = 2 * args.a.reach - 1;
    const int64_t o = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int64_t head = blockIdx.y;
    double sum = 0;

    if (o >= n)
        return;
    for (int64_t s = 0; s < args.n_sequences; s++) {
        const int64_t start = args.a.starts[args.first_sequence + s];

        for (int64_t tile = 0; tile < n_tiles; tile++) {
            const int64_t at =
                o - args.a.reach + 1 + start + tile * rows + rows - 1;

            if (at >= 0 && at < args.part_length)
                sum +=
                    (double)
                        args.bias_parts[((s * args.a.n_heads + head) * n_tiles +
                                         tile) *
                                            args.part_length +
                                        at];
        }
    }
    d_bias[head * n + o] = (float)((double)d_bias[head * n + o] + sum);
}

/*
 * The same where keys stand for several positions, and no diagonal is a bias's:
 * a warp has an offset of a head, and makes again the scores that it is added
 * to. There are few such keys.
 */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_bias_kernel(float *d_bias, struct gqa_attend_back args)
{
    const struct gqa_attend_fast &a = args.a;
    const int64_t n = 2 * a.reach - 1;
    const int64_t o = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int64_t head = blockIdx.y,
                  kv_head = head / (a.n_heads / a.n_kv_heads);
    double sum = 0;

    if (o >= n)
        return;
    for (int64_t s = 0; s < a.n_sequences; s++)
        for (int64_t i = threadIdx.x % 32; i < a.n_tokens[s]; i += 32) {
            const int64_t row = s * a.n_new + i, n_keys = a.n_keys[s];
            const int64_t c =
                o - a.reach + 1 + gqa_attend_place(a, a.starts[s] + i, n_keys);
            const int64_t q = row * a.q_width + a.q_base +
                              head / a.q_per_block * a.q_block_stride +
                              head % a.q_per_block * a.head_dim;
            const int64_t d_out = (row * a.n_heads + head) * a.head_dim;
            const int64_t key =
                ((s * a.n_kv_heads + kv_head) * a.capacity + c) * a.head_dim;
            float score = 0, slope = 0;

            if (c < 0 || c >= n_keys)
                continue;
            for (int64_t d = 0; d < a.head_dim; d++) {
                score += (float)real<T>::load(((const T *)a.q)[q + d]) *
                         (float)real<T>::load(((const T *)a.k)[key + d]);
                slope +=
                    (float)real<T>::load(((const T *)args.d_out)[d_out + d]) *
                    (float)real<T>::load(((const T *)a.v)[key + d]);
            }
            score *= a.scale;
            if (args.soft_cap > 0)
                score = args.soft_cap * tanhf(score / args.soft_cap);
            if (a.bias)
                score += a.bias[head * n + o];
            sum += (double)(expf(score - a.lse[row * a.n_heads + head]) *
                            (slope - args.dots[row * a.n_heads + head]));
        }
    for (int offset = 16; offset > 0; offset /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (threadIdx.x % 32 == 0)
        d_bias[head * n + o] = (float)((double)d_bias[head * n + o] + sum);
}

static enum gqa_status sum_bias(struct gqa_device *device,
                                const struct gqa_attend_back *args,
                                float *d_bias)
{
    const int64_t each = THREADS / 32, n = 2 * args->a.reach - 1;

    with_real(device->real, [&](auto t) {
        sum_bias_kernel<decltype(t)>
            <<<dim3((unsigned)((n + each - 1) / each),
                    (unsigned)args->a.n_heads),
               THREADS, 0, device->stream>>>(d_bias, *args);
    });
    return gqa_cuda_launched(device);
}

static cudaError_t queries(struct gqa_device *device,
                           const struct gqa_attend_back *args, bool fast)
{
    return fast ? gqa_attend_back_fast_queries(args, device->stream)
                : gqa_attend_back_simple_queries(args, device->real,
                                                 device->stream);
}

/* As many sequences at a time as their parts have room for. */
static enum gqa_status queries_and_bias(struct gqa_device *device,
                                        const struct gqa_attend_back *all,
                                        bool fast, float *d_bias)
{
    struct gqa_attend_back some = *all, *args = &some;
    const int64_t rows = gqa_attend_back_rows(args, fast);
    const int64_t n_tiles = (args->a.n_new + rows - 1) / rows;
    const int64_t n_sequences = args->a.n_sequences;
    const int64_t n = 2 * args->a.reach - 1;
    const uint64_t part_length = (uint64_t)(args->a.max_keys + rows - 1);
    const uint64_t each =
        (uint64_t)(args->a.n_heads * n_tiles) * part_length * sizeof(float);
    int64_t at_once = (int64_t)(MOST_PARTS / each);
    enum gqa_status st;

    at_once = at_once < 1 ? 1 : at_once > n_sequences ? n_sequences : at_once;
    st = gqa_cuda_reserve(device, &device->parts, (uint64_t)at_once * each);
    if (st != GQA_OK)
        return st;
    args->bias_parts = (float *)device->parts.data;
    args->part_length = (int64_t)part_length;
    for (int64_t s = 0; s < n_sequences && st == GQA_OK; s += at_once) {
        args->first_sequence = s;
        args->n_sequences =
            n_sequences - s < at_once ? n_sequences - s : at_once;
        st = gqa_cuda_check(device, queries(device, args, fast));
        if (st != GQA_OK)
            return st;
        add_bias_kernel<<<dim3((unsigned)((n + THREADS - 1) / THREADS),
                               (unsigned)args->a.n_heads),
                          THREADS, 0, device->stream>>>(d_bias, *args, n_tiles,
                                                        rows);
        st = gqa_cuda_launched(device);
    }
    return st;
}

/* Where d_k and d_v go. */
static void place_keys(struct gqa_attend_back *args)
{
    const struct gqa_attend_fast *a = &args->a;

    args->kv_key = a->head_dim;
    args->kv_head = a->capacity * a->head_dim;
    args->kv_sequence = a->n_kv_heads * args->kv_head;
    args->kv_keys = a->capacity;
}

/* Whether the fast kernels turn back what they make, and put it in rows. */
static bool turns_back(const struct gqa_device *device,
                       const struct gqa_attend_back *args,
                       const struct gqa_attention_gradient *op)
{
    const struct gqa_turn_op *t = op->turn;
    const uint64_t d = op->forward.head_dim;

    return t && args->a.warpgroups && !args->a.bias &&
           !op->forward.key_counts && !t->interleaved &&
           (t->n_pairs == 0 || t->n_pairs == d / 2) &&
           t->k_width == t->v_width && device->n_new <= t->capacity &&
           lie_side_by_side(&t->k_place, d) &&
           lie_side_by_side(&t->v_place, d) &&
           are_whole(device->real, t->k_width, &t->k_place, d) &&
           are_whole(device->real, t->v_width, &t->v_place, d) &&
           is_aligned(t->k) && is_aligned(t->v) && is_aligned(t->cos_sin);
}

/* args, so that they do. */
static void turn_back(struct gqa_attend_back *args,
                      const struct gqa_turn_op *turn)
{
    args->d_k = (__nv_bfloat16 *)turn->k + turn->k_place.base;
    args->d_v = (__nv_bfloat16 *)turn->v + turn->v_place.base;
    args->kv_key = (int64_t)turn->k_width;
    args->kv_head = args->a.head_dim;
    args->kv_sequence = args->a.n_new * args->kv_key;
    args->kv_keys = args->a.n_new;
    args->cos_sin = turn->n_pairs ? (const float *)turn->cos_sin : NULL;
}

/* With the gradient of a bias, where that is wanted. */
static enum gqa_status queries_back(struct gqa_device *device,
                                    const struct gqa_attend_back *args,
                                    bool fast, float *d_bias)
{
    enum gqa_status st;

    if (d_bias && args->a.max_keys > 0 && !args->a.per_key)
        return queries_and_bias(device, args, fast, d_bias);
    st = gqa_cuda_check(device, queries(device, args, fast));
    return st == GQA_OK && d_bias && args->a.max_keys > 0
               ? sum_bias(device, args, d_bias)
               : st;
}

enum gqa_status gqa_cuda_attend_back(struct gqa_device *device,
                                     const struct gqa_attention_gradient *op)
{
    const struct gqa_attention_op *forward = &op->forward;
    struct gqa_attend_back args = {};
    enum gqa_status st = gqa_cuda_enter(device);
    bool fast;

    if (st == GQA_OK)
        st = gqa_cuda_attend_args(device, &args.a, forward);
    if (st != GQA_OK)
        return st;
    args.soft_cap = (float)forward->soft_cap;
    args.d_out = op->d_out;
    args.d_q = op->d_q;
    args.adds_q = op->adds_q;
    args.d_k = op->d_k;
    args.d_v = op->d_v;
    args.n_sequences = args.a.n_sequences;
    place_keys(&args);
    fast = device->real == GQA_BF16 && gqa_attend_back_fast_takes(&args);
    if (fast && turns_back(device, &args, op)) {
        turn_back(&args, op->turn);
        *op->turned = true;
    }
    st = reserve_dots(device, &args);
    if (st == GQA_OK && !fast)
        st = make_dots(device, &args, forward);
    if (st == GQA_OK)
        st = queries_back(device, &args, fast, (float *)op->d_bias);
    if (st != GQA_OK)
        return st;
    return gqa_cuda_check(
        device, fast ? gqa_attend_back_fast_keys(&args, device->stream)
                     : gqa_attend_back_simple_keys(&args, device->real,
                                                   device->stream));
}
