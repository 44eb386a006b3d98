/*
 * Attention: which kernel, and what it needs from the batch.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_simple.cuh"
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"

/* Query rows of a KV head up to which they share each read of a key: the
 * decode kernel's tile. */
enum { DECODE_ROWS = 64, MERGE_THREADS = 256 };

enum gqa_status gqa_cuda_key_counts(struct gqa_device *device,
                                    const int64_t **out,
                                    const uint64_t *key_counts)
{
    const uint64_t n = device->n_sequences;
    const uint64_t n_bytes = n * sizeof *key_counts;
    uint64_t *room;
    enum gqa_status st;

    if (device->n_counts != n ||
        memcmp(device->counts, key_counts, (size_t)n_bytes) != 0) {
        device->n_counts = 0;
        room = (uint64_t *)realloc(device->counts, (size_t)n_bytes);
        if (!room)
            return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
        device->counts = room;
        st = gqa_cuda_reserve(device, &device->key_counts, n_bytes);
        if (st == GQA_OK)
            st = gqa_cuda_send(device, device->key_counts.data, key_counts,
                               n_bytes);
        if (st != GQA_OK)
            return st;
        memcpy(room, key_counts, (size_t)n_bytes);
        device->n_counts = n;
    }
    *out = (const int64_t *)device->key_counts.data;
    return GQA_OK;
}

/* The batch's are other than those of an encoder's output. */
static enum gqa_status set_key_counts(struct gqa_device *device,
                                      struct gqa_attend_fast *args,
                                      const uint64_t *key_counts)
{
    args->max_keys = 0;
    for (uint64_t s = 0; s < device->n_sequences; s++)
        if ((int64_t)key_counts[s] > args->max_keys)
            args->max_keys = (int64_t)key_counts[s];
    return gqa_cuda_key_counts(device, &args->n_keys, key_counts);
}

static enum gqa_status decode(struct gqa_device *device,
                              struct gqa_attend_fast *args)
{
    const int64_t n = gqa_attend_decode_workspace(args);
    enum gqa_status st =
        gqa_cuda_reserve(device, &device->parts, (uint64_t)n * sizeof(float));

    if (st != GQA_OK)
        return st;
    args->workspace = (float *)device->parts.data;
    return gqa_cuda_check(device, gqa_attend_decode(args, device->stream));
}

enum gqa_status gqa_cuda_attend_args(struct gqa_device *device,
                                     struct gqa_attend_fast *out,
                                     const struct gqa_attention_op *op)
{
    struct gqa_attend_fast args;
    enum gqa_status st = GQA_OK;

    memset(&args, 0, sizeof args);
    args.out = op->out;
    args.q = op->q;
    args.k = op->k;
    args.v = op->v;
    args.q_width = (int64_t)op->q_width;
    args.q_base = (int64_t)op->q_place.base;
    args.q_per_block = (int64_t)op->q_place.per_block;
    args.q_block_stride = (int64_t)op->q_place.block_stride;
    args.n_sequences = (int64_t)device->n_sequences;
    args.n_new = (int64_t)device->n_new;
    args.n_heads = (int64_t)op->q_place.n_heads;
    args.n_kv_heads = (int64_t)op->n_kv_heads;
    args.head_dim = (int64_t)op->head_dim;
    args.capacity = (int64_t)op->capacity;
    args.scale = (float)op->scale;
    args.bf16 = device->real == GQA_BF16;
    args.causal = op->causal;
    args.window = op->causal ? (int64_t)op->window : 0;
    args.starts = device->starts;
    args.n_keys = device->n_keys;
    args.max_keys = device->max_keys;
    args.n_tokens = device->n_tokens;
    args.bias = (const float *)op->bias;
    args.reach = (int64_t)op->reach;
    args.per_key = (int64_t)op->per_key;
    args.lse = (float *)op->lse;
    args.n_processors = device->n_processors;
    args.overlaps = device->overlaps;
    args.warpgroups = device->warpgroups;
    if (op->key_counts)
        st = set_key_counts(device, &args, op->key_counts);
    *out = args;
    return st;
}

enum gqa_status gqa_cuda_attend(struct gqa_device *device,
                                const struct gqa_attention_op *op)
{
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_attend_fast args;
    bool few;

    if (st == GQA_OK)
        st = gqa_cuda_attend_args(device, &args, op);
    if (st != GQA_OK)
        return st;
    few =
        !args.lse && args.n_heads / args.n_kv_heads * args.n_new <= DECODE_ROWS;
    if (device->real == GQA_F32 || op->soft_cap > 0 ||
        !gqa_attend_fast_takes(&args))
        return gqa_cuda_check(device,
                              gqa_attend_simple(&args, (float)op->soft_cap,
                                                device->real, device->stream));
    if (few)
        return decode(device, &args);
    return gqa_cuda_check(device, gqa_attend_prefill(&args, device->stream));
}

/* A warp has a head of a row. */
template <typename T>
static __global__ void __launch_bounds__(MERGE_THREADS)
    merge_kernel(T *out, float *lse, const T *other, const float *other_lse,
                 int64_t n, int64_t head_dim)
{
    const int64_t step = (int64_t)gridDim.x * (MERGE_THREADS / 32);
    const int lane = (int)threadIdx.x % 32;

    for (int64_t i =
             (int64_t)blockIdx.x * (MERGE_THREADS / 32) + threadIdx.x / 32;
         i < n; i += step) {
        const float a = lse[i], b = other_lse[i], most = fmaxf(a, b);
        float share, rest;

        /* Nothing is seen of the others. */
        if (b == -INFINITY)
            continue;
        share = expf(a - most);
        rest = expf(b - most);
        for (int64_t c = i * head_dim + lane; c < (i + 1) * head_dim; c += 32)
            out[c] = real<T>::round(((float)real<T>::load(out[c]) * share +
                                     (float)real<T>::load(other[c]) * rest) /
                                    (share + rest));
        __syncwarp();
        if (lane == 0)
            lse[i] = most + logf(share + rest);
    }
}

enum gqa_status gqa_cuda_merge(struct gqa_device *device, void *out, void *lse,
                               const void *other, const void *other_lse,
                               uint64_t n_heads, uint64_t head_dim)
{
    const uint64_t n = device->n_sequences * device->n_new * n_heads;
    const uint64_t each = MERGE_THREADS / 32;
    const enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        merge_kernel<T><<<blocks_for((n + each - 1) / each), MERGE_THREADS, 0,
                          device->stream>>>(
            (T *)out, (float *)lse, (const T *)other, (const float *)other_lse,
            (int64_t)n, (int64_t)head_dim);
    });
    return gqa_cuda_launched(device);
}
