/*
 * Attention of the CPU backend, backwards: which task takes which heads. A
 * task has all queries and keys of its heads, so that it alone adds to their
 * gradients. Where that makes few tasks, the query heads of a group are tasks
 * of their own, and what they say of their keys is added behind them.
 */
#include <stdlib.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "runtime/cpu/back.h"

/* Tasks of whole groups that are enough; no bit of a result depends on how
 * many threads there are, since this does not. */
enum { ENOUGH = 16 };

struct attention {
    const struct gqa_device *device;
    const struct gqa_attention_gradient *op;
    uint64_t group, n_together; /* query heads of a KV head; of a task */
    size_t kv_bytes;            /* of one head's keys, or values */
    /* Of each task, where its group has more; else NULL. */
    char *d_k, *d_v;
    char *d_bias; /* real [n_sequences, n_heads, 2 * reach - 1], or NULL */
    uint64_t n_offsets;
};

static void attend_heads_back(void *ctx, size_t task, void *scratch)
{
    const struct attention *a = ctx;
    const struct gqa_device *d = a->device;
    const struct gqa_attention_op *f = &a->op->forward;
    const uint64_t per_sequence = f->q_place.n_heads / a->n_together;
    struct gqa_cpu_attend_back_task t = {
        .op = a->op,
        .sequence = task / per_sequence,
        .head = task % per_sequence * a->n_together,
        .n_heads = a->n_together,
        .n_new = d->n_new,
    };
    const uint64_t cache = t.sequence * f->n_kv_heads + t.head / a->group;

    t.kv_head = t.head / a->group;
    t.n_tokens = d->n_tokens[t.sequence];
    t.start = d->starts[t.sequence];
    t.n_keys = f->key_counts ? f->key_counts[t.sequence] : t.start + t.n_tokens;
    t.d_k = a->d_k ? a->d_k + task * a->kv_bytes
                   : (char *)a->op->d_k + cache * a->kv_bytes;
    t.d_v = a->d_v ? a->d_v + task * a->kv_bytes
                   : (char *)a->op->d_v + cache * a->kv_bytes;
    if (a->d_bias)
        t.d_bias = a->d_bias + (t.sequence * f->q_place.n_heads + t.head) *
                                   a->n_offsets * d->real->size;
    d->real->back->attend(&t, scratch);
}

/* Keys and values of one KV head: those of its query heads, in their order. */
static void add_group(void *ctx, size_t task, void *scratch)
{
    const struct attention *a = ctx;
    const struct gqa_cpu_real *real = a->device->real;
    const size_t n = a->kv_bytes / real->size;
    char *d_k = (char *)a->op->d_k + task * a->kv_bytes;
    char *d_v = (char *)a->op->d_v + task * a->kv_bytes;

    (void)scratch;
    for (uint64_t i = 0; i < a->group; i++) {
        const size_t from = (size_t)(task * a->group + i) * a->kv_bytes;

        if (i == 0) {
            real->load(d_k, a->d_k + from, a->device->dtype, n);
            real->load(d_v, a->d_v + from, a->device->dtype, n);
        } else {
            real->add(d_k, a->d_k + from, n);
            real->add(d_v, a->d_v + from, n);
        }
    }
}

/* A head's biases, of all sequences in their order. */
static void add_biases(void *ctx, size_t task, void *scratch)
{
    const struct attention *a = ctx;
    const struct gqa_cpu_real *real = a->device->real;
    const size_t n = (size_t)a->n_offsets;

    (void)scratch;
    for (uint64_t s = 0; s < a->device->n_sequences; s++)
        real->add((char *)a->op->d_bias + task * n * real->size,
                  a->d_bias + (s * a->op->forward.q_place.n_heads + task) * n *
                                  real->size,
                  n);
}

static enum gqa_status make_room(struct attention *a, uint64_t n_tasks)
{
    const struct gqa_attention_op *f = &a->op->forward;
    uint64_t n;

    if (a->n_together < a->group) {
        if (!gqa_mul_u64(n_tasks, a->kv_bytes, &n) || n > SIZE_MAX)
            return gqa_fail_nomem();
        a->d_k = malloc((size_t)n + 1);
        a->d_v = malloc((size_t)n + 1);
        if (!a->d_k || !a->d_v)
            return gqa_fail_nomem();
    }
    if (!a->op->d_bias)
        return GQA_OK;
    a->n_offsets = 2 * f->reach - 1;
    if (!gqa_mul_u64(a->device->n_sequences * f->q_place.n_heads,
                     a->n_offsets * a->device->real->size, &n) ||
        !(a->d_bias = malloc((size_t)n + 1)))
        return gqa_fail_nomem();
    return GQA_OK;
}

enum gqa_status gqa_cpu_back_attend_back(
    struct gqa_device *device, const struct gqa_attention_gradient *op)
{
    const struct gqa_attention_op *f = &op->forward;
    const uint64_t n_caches = device->n_sequences * f->n_kv_heads;
    struct attention a = {
        .device = device,
        .op = op,
        .group = f->q_place.n_heads / f->n_kv_heads,
        .kv_bytes = (size_t)(f->capacity * f->head_dim) * device->real->size,
    };
    uint64_t n_tasks;
    enum gqa_status st;

    a.n_together = n_caches >= ENOUGH ? a.group : 1;
    n_tasks = n_caches * (a.group / a.n_together);
    st = make_room(&a, n_tasks);
    if (st == GQA_OK)
        st = gqa_cpu_pool_run(device->pool, (size_t)n_tasks,
                              device->real->back->attend_bytes(),
                              attend_heads_back, &a);
    if (st == GQA_OK && a.d_k)
        st = gqa_cpu_pool_run(device->pool, (size_t)n_caches, 0, add_group, &a);
    if (st == GQA_OK && a.d_bias)
        st = gqa_cpu_pool_run(device->pool, (size_t)f->q_place.n_heads, 0,
                              add_biases, &a);
    free(a.d_k);
    free(a.d_v);
    free(a.d_bias);
    return st;
}

/* --- Sinks ---------------------------------------------------------------- */

struct sinking {
    const struct gqa_device *device;
    char *d_sinks;
    const char *out, *lse, *d_out, *sinks;
    uint64_t n_heads, head_dim;
};

/* A head's, of all rows in their order. */
static void sink_head_back(void *ctx, size_t head, void *scratch)
{
    const struct sinking *s = ctx;
    const struct gqa_cpu_real *real = s->device->real;
    const uint64_t n_rows = s->device->n_sequences * s->device->n_new;
    double sum = 0;

    (void)scratch;
    for (uint64_t r = 0; r < n_rows; r++) {
        const uint64_t i = r * s->n_heads + head;
        const size_t at = (size_t)(i * s->head_dim) * real->size;

        sum += real->back->sink(s->out + at, s->lse + i * real->size,
                                s->d_out + at, s->sinks + head * real->size,
                                (size_t)s->head_dim);
    }
    real->back->add_sums(s->d_sinks + head * real->size, &sum, 1);
}

enum gqa_status gqa_cpu_back_sink(struct gqa_device *device, void *d_sinks,
                                  const void *out, const void *lse,
                                  const void *d_out,
                                  const struct gqa_weight *sinks,
                                  uint64_t n_heads, uint64_t head_dim)
{
    struct sinking s = {device, d_sinks, out,     lse,
                        d_out,  NULL,    n_heads, head_dim};
    const void *reals;
    const enum gqa_status st = gqa_cpu_vector(&reals, device, 0, sinks);

    s.sinks = reals;
    return st == GQA_OK ? gqa_cpu_pool_run(device->pool, (size_t)n_heads, 0,
                                           sink_head_back, &s)
                        : st;
}
