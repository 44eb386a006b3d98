/* Scores of the CPU backend: which task takes which queries and keys. */
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/cpu.h"

/* Scores that a task holds of each kind: what a core's own cache has room
 * for, of sequences that are not long. */
enum { HELD = 32768, LEAST_QUERIES = 8 };

struct scores {
    const struct gqa_device *device;
    const struct gqa_score_op *op;
    uint64_t n_queries, n_tiles; /* of a tile; for each sequence and head */
    uint64_t tiles_at_once;      /* of a task: all, where it adds keys up */
    double *losses;              /* [tasks, group] */
};

static uint64_t queries_of_tile(uint64_t capacity)
{
    return gqa_min_u64(
        GQA_CPU_QUERIES,
        gqa_max_u64(LEAST_QUERIES, HELD / gqa_max_u64(capacity, 1)));
}

/* Queries from `first` on, at most n of them. */
static struct gqa_cpu_attend_task tile_of(const struct gqa_device *d,
                                          const struct gqa_attention_op *op,
                                          uint64_t sequence, uint64_t first,
                                          uint64_t n)
{
    struct gqa_cpu_attend_task t = {
        .op = op, .n_new = d->n_new, .sequence = sequence, .first = first};
    const uint64_t rows = gqa_min_u64(n, d->n_new - first);

    if (first < d->n_tokens[sequence])
        t.n = gqa_min_u64(rows, d->n_tokens[sequence] - first);
    t.n_padding = rows - t.n;
    t.start = d->starts[sequence];
    t.n_keys = op->key_counts ? op->key_counts[sequence]
                              : t.start + d->n_tokens[sequence];
    return t;
}

/* --- Scores --------------------------------------------------------------- */

static void clear_keys(const struct scores *s, uint64_t sequence,
                       uint64_t kv_head)
{
    const size_t size = s->device->real->size;
    const uint64_t d = s->op->original.head_dim;
    const uint64_t width = s->op->n_kv_heads * d;
    const uint64_t capacity = s->op->original.capacity;
    char *out = (char *)s->op->out_k +
                (sequence * capacity * width + kv_head * d) * size;

    for (uint64_t c = 0; c < capacity; c++)
        memset(out + c * width * size, 0, d * size);
}

static void compare(void *ctx, size_t task, void *scratch)
{
    const struct scores *s = ctx;
    const struct gqa_score_op *op = s->op;
    const uint64_t group = op->original.q_place.n_heads / op->n_kv_heads;
    const uint64_t per_head = s->n_tiles / s->tiles_at_once;
    const uint64_t kv_head = task / per_head % op->n_kv_heads;
    const uint64_t sequence = task / per_head / op->n_kv_heads;
    /* Later queries have more keys: they come first. */
    const uint64_t from = (per_head - 1 - task % per_head) * s->tiles_at_once;

    if (op->out_k)
        clear_keys(s, sequence, kv_head);
    for (uint64_t i = from; i < from + s->tiles_at_once; i++) {
        struct gqa_cpu_score_task t = {.op = op,
                                       .t = tile_of(s->device, &op->original,
                                                    sequence, i * s->n_queries,
                                                    s->n_queries),
                                       .losses = s->losses + task * group};

        t.t.kv_head = kv_head;
        s->device->real->scores(&t, scratch);
    }
}

/* In the order of tasks, whoever made them. */
static void sum_losses(const struct scores *s, size_t n_tasks)
{
    const uint64_t n_heads = s->op->original.q_place.n_heads;
    const uint64_t group = n_heads / s->op->n_kv_heads;
    const uint64_t per_head = s->n_tiles / s->tiles_at_once;

    for (uint64_t h = 0; h < n_heads; h++)
        s->op->losses[h] = 0;
    for (size_t task = 0; task < n_tasks; task++)
        for (uint64_t g = 0; g < group; g++)
            s->op->losses[task / per_head % s->op->n_kv_heads * group + g] +=
                s->losses[task * group + g];
}

enum gqa_status gqa_cpu_scores(struct gqa_device *device,
                               const struct gqa_score_op *op)
{
    const uint64_t queries = queries_of_tile(op->original.capacity);
    const uint64_t n_heads = op->original.q_place.n_heads;
    struct scores s = {.device = device,
                       .op = op,
                       .n_queries = queries,
                       .n_tiles = (device->n_new + queries - 1) / queries};
    size_t n_tasks;
    enum gqa_status st;

    s.tiles_at_once = op->out_k ? s.n_tiles : 1;
    n_tasks = (size_t)(s.n_tiles / s.tiles_at_once * op->n_kv_heads *
                       device->n_sequences);
    s.losses = calloc(n_tasks * (n_heads / op->n_kv_heads), sizeof *s.losses);
    if (!s.losses)
        return gqa_fail_nomem();
    st = gqa_cpu_pool_run(device->pool, n_tasks,
                          (size_t)(2 * queries * op->original.capacity) *
                              device->real->size,
                          compare, &s);
    if (st == GQA_OK && op->losses)
        sum_losses(&s, n_tasks);
    free(s.losses);
    return st;
}
