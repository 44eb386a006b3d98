/*
 * Attention: which kernel, and what it needs from the batch.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_simple.cuh"
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/device.cuh"

/* Query rows of a KV head up to which they share each read of a key: the
 * decode kernel's tile. */
enum { DECODE_ROWS = 64 };

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
    args.n_processors = device->n_processors;
    args.overlaps = device->overlaps;
    args.warpgroups = device->warpgroups;
    if (op->key_counts)
        st = set_key_counts(device, &args, op->key_counts);
    *out = args;
    return st;
}

enum gqa_status gqa_cuda_attend_lse(struct gqa_device *device,
                                    const struct gqa_attention_op *op,
                                    void *lse)
{
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_attend_fast args;
    bool few;

    if (st == GQA_OK)
        st = gqa_cuda_attend_args(device, &args, op);
    if (st != GQA_OK)
        return st;
    args.lse = (float *)lse;
    few = !lse && args.n_heads / args.n_kv_heads * args.n_new <= DECODE_ROWS;
    if (device->real == GQA_F32 || op->soft_cap > 0 ||
        !gqa_attend_fast_takes(&args))
        return gqa_cuda_check(device,
                              gqa_attend_simple(&args, (float)op->soft_cap,
                                                device->real, device->stream));
    if (few)
        return decode(device, &args);
    return gqa_cuda_check(device, gqa_attend_prefill(&args, device->stream));
}

enum gqa_status gqa_cuda_attend(struct gqa_device *device,
                                const struct gqa_attention_op *op)
{
    return gqa_cuda_attend_lse(device, op, NULL);
}
