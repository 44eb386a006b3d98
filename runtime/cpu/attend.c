/* Attention of the CPU backend: which task takes which queries. */
#include "runtime/cpu/cpu.h"

struct attention {
    const struct gqa_device *device;
    const struct gqa_attention_op *op;
    uint64_t n_tiles; /* of queries, for each sequence and KV head */
};

static void attend_tile(void *ctx, size_t task, void *scratch)
{
    const struct attention *a = ctx;
    const struct gqa_device *d = a->device;
    const struct gqa_attention_op *op = a->op;
    struct gqa_cpu_attend_task t = {.op = op, .n_new = d->n_new};

    /* The last tiles of a causal sequence have the most keys: they come
     * first, so that no thread is left with one at the end. */
    t.first = (a->n_tiles - 1 - task % a->n_tiles) * GQA_CPU_QUERIES;
    t.kv_head = task / a->n_tiles % op->n_kv_heads;
    t.sequence = task / a->n_tiles / op->n_kv_heads;
    t.n_padding = d->n_new - t.first < GQA_CPU_QUERIES ? d->n_new - t.first
                                                       : GQA_CPU_QUERIES;
    if (t.first < d->n_tokens[t.sequence])
        t.n = d->n_tokens[t.sequence] - t.first;
    if (t.n > t.n_padding)
        t.n = t.n_padding;
    t.n_padding -= t.n;
    t.start = d->starts[t.sequence];
    t.n_keys = op->key_counts ? op->key_counts[t.sequence]
                              : t.start + d->n_tokens[t.sequence];
    d->real->attend(&t, scratch);
}

enum gqa_status gqa_cpu_attend(struct gqa_device *device,
                               const struct gqa_attention_op *op)
{
    struct attention a = {.device = device,
                          .op = op,
                          .n_tiles = (device->n_new + GQA_CPU_QUERIES - 1) /
                                     GQA_CPU_QUERIES};
    const uint64_t group = op->q_place.n_heads / op->n_kv_heads;

    return gqa_cpu_pool_run(
        device->pool,
        (size_t)(a.n_tiles * op->n_kv_heads * device->n_sequences),
        device->real->attend_bytes(op->head_dim, group), attend_tile, &a);
}

/* --- Two sets of keys ----------------------------------------------------- */

struct merge {
    const struct gqa_device *device;
    char *out, *lse;
    const char *other, *other_lse;
    uint64_t n_heads, head_dim;
};

static void merge_row(void *ctx, size_t task, void *scratch)
{
    const struct merge *m = ctx;
    const struct gqa_cpu_real *real = m->device->real;

    (void)scratch;
    for (uint64_t h = 0; h < m->n_heads; h++) {
        const uint64_t head = task * m->n_heads + h;
        const uint64_t at = head * m->head_dim * real->size;
        const struct gqa_cpu_merge op = {
            .out = m->out + at,
            .lse = m->lse + head * real->size,
            .other = m->other + at,
            .other_lse = m->other_lse + head * real->size,
            .head_dim = (size_t)m->head_dim,
        };

        real->merge(&op);
    }
}

enum gqa_status gqa_cpu_merge(struct gqa_device *device, void *out, void *lse,
                              const void *other, const void *other_lse,
                              uint64_t n_heads, uint64_t head_dim)
{
    struct merge m = {device, out, lse, other, other_lse, n_heads, head_dim};

    return gqa_cpu_pool_run(device->pool,
                            (size_t)(device->n_sequences * device->n_new), 0,
                            merge_row, &m);
}

/* --- Sinks ---------------------------------------------------------------- */

struct sinking {
    const struct gqa_device *device;
    char *out, *lse;
    const void *sinks;
    uint64_t n_heads, head_dim;
};

static void sink_row(void *ctx, size_t row, void *scratch)
{
    const struct sinking *s = ctx;
    const struct gqa_cpu_real *real = s->device->real;
    const uint64_t head = row * s->n_heads;
    const struct gqa_cpu_sink op = {
        .out = s->out + head * s->head_dim * real->size,
        .lse = s->lse + head * real->size,
        .sinks = s->sinks,
        .n_heads = (size_t)s->n_heads,
        .head_dim = (size_t)s->head_dim,
    };

    (void)scratch;
    real->sink(&op);
}

enum gqa_status gqa_cpu_sink(struct gqa_device *device, void *out, void *lse,
                             const struct gqa_weight *sinks, uint64_t n_heads,
                             uint64_t head_dim)
{
    struct sinking s = {device, out, lse, NULL, n_heads, head_dim};
    const enum gqa_status st = gqa_cpu_vector(&s.sinks, device, 0, sinks);

    return st == GQA_OK
               ? gqa_cpu_pool_run(device->pool,
                                  (size_t)(device->n_sequences * device->n_new),
                                  0, sink_row, &s)
               : st;
}
