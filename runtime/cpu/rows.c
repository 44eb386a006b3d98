/* Operations of the CPU backend that go row by row. */
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/cpu.h"

/* Rows that make a task of these elements each; at least one. */
static uint64_t rows_of_task(uint64_t width)
{
    return width < GQA_CPU_GRAIN ? GQA_CPU_GRAIN / (width ? width : 1) : 1;
}

static size_t tasks_of(uint64_t n_rows, uint64_t rows)
{
    return (size_t)((n_rows + rows - 1) / rows);
}

/* --- Embedding ------------------------------------------------------------ */

struct embedding {
    const struct gqa_device *device;
    char *out;
    const struct gqa_weight *table, *positions;
    double scale;
    uint64_t n_rows, rows;
};

static const void *weight_row(const struct gqa_weight *weight, uint64_t row)
{
    return (const char *)weight->data +
           row * weight->cols * gqa_dtype_bits(weight->dtype) / 8;
}

/* Of what is embedded. */
static size_t embedded_width(const struct embedding *e)
{
    return (size_t)(e->table ? e->table : e->positions)->cols;
}

static void embed_rows(void *ctx, size_t task, void *scratch)
{
    const struct embedding *e = ctx;
    const struct gqa_device *d = e->device;
    const size_t width = embedded_width(e);
    const uint64_t first = task * e->rows;
    const uint64_t end = gqa_min_u64(first + e->rows, e->n_rows);

    for (uint64_t r = first; r < end; r++) {
        const uint64_t s = r / d->n_new;
        char *out = e->out + r * width * d->real->size;

        if (e->table)
            d->real->load(out, weight_row(e->table, (uint64_t)d->tokens[r]),
                          e->table->dtype, width);
        if (e->table && e->scale != 1)
            d->real->scale(out, width, e->scale);
        if (!e->positions)
            continue;
        d->real->load(e->table ? scratch : out,
                      weight_row(e->positions,
                                 e->positions->rows == 1
                                     ? 0
                                     : gqa_cpu_position(d, s, r % d->n_new)),
                      e->positions->dtype, width);
        if (e->table)
            d->real->add(out, scratch, width);
    }
}

enum gqa_status gqa_cpu_embed(struct gqa_device *device, void *out,
                              const struct gqa_weight *table, double scale,
                              const struct gqa_weight *positions)
{
    struct embedding e = {
        .device = device,
        .out = out,
        .table = table,
        .positions = positions,
        .scale = scale,
        .n_rows = device->n_sequences * device->n_new,
    };

    e.rows = rows_of_task(embedded_width(&e));
    return gqa_cpu_pool_run(device->pool, tasks_of(e.n_rows, e.rows),
                            embedded_width(&e) * device->real->size, embed_rows,
                            &e);
}

/* --- Heads ---------------------------------------------------------------- */

struct heads {
    const struct gqa_device *device;
    char *x, *cache;
    uint64_t width, head_dim, capacity;
    const struct gqa_head_place *place;
    uint64_t n_pairs;
    bool interleaved;
    const char *cos_sin;
    uint64_t n_rows, rows;
};

static void rotate_rows(void *ctx, size_t task, void *scratch)
{
    const struct heads *a = ctx;
    const struct gqa_device *d = a->device;
    const uint64_t first = task * a->rows;
    const uint64_t end = gqa_min_u64(first + a->rows, a->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t position =
            gqa_cpu_position(d, r / d->n_new, r % d->n_new);
        const char *cos_sin =
            a->cos_sin + position * a->n_pairs * 2 * d->real->size;

        for (uint64_t h = 0; h < a->place->n_heads; h++)
            d->real->rotate(
                a->x + (r * a->width + gqa_cpu_head(a->place, a->head_dim, h)) *
                           d->real->size,
                a->n_pairs, a->interleaved, cos_sin);
    }
}

enum gqa_status gqa_cpu_rotate(struct gqa_device *device, void *x,
                               uint64_t width,
                               const struct gqa_head_place *place,
                               uint64_t head_dim, uint64_t n_pairs,
                               bool interleaved, const void *cos_sin)
{
    struct heads a = {
        .device = device,
        .x = x,
        .width = width,
        .head_dim = head_dim,
        .place = place,
        .n_pairs = n_pairs,
        .interleaved = interleaved,
        .cos_sin = cos_sin,
        .n_rows = device->n_sequences * device->n_new,
        .rows = rows_of_task(place->n_heads * n_pairs * 2),
    };

    return gqa_cpu_pool_run(device->pool, tasks_of(a.n_rows, a.rows), 0,
                            rotate_rows, &a);
}

static void store_rows(void *ctx, size_t task, void *scratch)
{
    const struct heads *a = ctx;
    const struct gqa_device *d = a->device;
    const size_t head_bytes = (size_t)a->head_dim * d->real->size;
    const uint64_t first = task * a->rows;
    const uint64_t end = gqa_min_u64(first + a->rows, a->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t s = r / d->n_new;
        const uint64_t i = r % d->n_new;
        const uint64_t position = d->starts[s] + i;

        if (i >= d->n_tokens[s])
            continue;
        for (uint64_t h = 0; h < a->place->n_heads; h++)
            memcpy(a->cache +
                       ((s * a->place->n_heads + h) * a->capacity + position) *
                           head_bytes,
                   a->x +
                       (r * a->width + gqa_cpu_head(a->place, a->head_dim, h)) *
                           d->real->size,
                   head_bytes);
    }
}

enum gqa_status gqa_cpu_store(struct gqa_device *device, void *cache,
                              uint64_t capacity, const void *x, uint64_t width,
                              const struct gqa_head_place *place,
                              uint64_t head_dim)
{
    struct heads a = {
        .device = device,
        .x = (char *)(uintptr_t)x, /* only read */
        .cache = cache,
        .capacity = capacity,
        .width = width,
        .head_dim = head_dim,
        .place = place,
        .n_rows = device->n_sequences * device->n_new,
        .rows = rows_of_task(place->n_heads * head_dim),
    };

    return gqa_cpu_pool_run(device->pool, tasks_of(a.n_rows, a.rows), 0,
                            store_rows, &a);
}

/* --- Norms ---------------------------------------------------------------- */

struct norm {
    const struct gqa_device *device;
    struct gqa_cpu_norm norm;
    char *out;
    const char *x;
    uint64_t width;
    uint64_t n_rows, rows;
    /* Of heads within the rows. */
    const struct gqa_head_place *place;
    uint64_t head_dim;
};

static enum gqa_status take_vectors(struct gqa_cpu_norm *out,
                                    struct gqa_device *device,
                                    const struct gqa_norm_op *op)
{
    const enum gqa_status st =
        gqa_cpu_vector(&out->weight, device, 0, op->weight);

    out->kind = op->kind;
    out->eps = op->eps;
    out->one_plus = op->one_plus;
    return st == GQA_OK ? gqa_cpu_vector(&out->bias, device, 1, op->bias) : st;
}

static void norm_rows(void *ctx, size_t task, void *scratch)
{
    const struct norm *n = ctx;
    const struct gqa_cpu_real *real = n->device->real;
    const size_t row_bytes = (size_t)n->width * real->size;
    const uint64_t first = task * n->rows;
    const uint64_t end = gqa_min_u64(first + n->rows, n->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++)
        real->norm(n->out + r * row_bytes, n->x + r * row_bytes,
                   (size_t)n->width, &n->norm);
}

enum gqa_status gqa_cpu_norm(struct gqa_device *device, void *out,
                             const void *x, uint64_t n_rows, uint64_t width,
                             const struct gqa_norm_op *op, bool accumulate)
{
    struct norm n = {.device = device,
                     .norm = {.accumulate = accumulate},
                     .out = out,
                     .x = x,
                     .width = width,
                     .n_rows = n_rows,
                     .rows = rows_of_task(width)};
    const enum gqa_status st = take_vectors(&n.norm, device, op);

    return st == GQA_OK
               ? gqa_cpu_pool_run(device->pool, tasks_of(n_rows, n.rows), 0,
                                  norm_rows, &n)
               : st;
}

static void norm_heads_of_rows(void *ctx, size_t task, void *scratch)
{
    const struct norm *n = ctx;
    const struct gqa_cpu_real *real = n->device->real;
    const uint64_t first = task * n->rows;
    const uint64_t end = gqa_min_u64(first + n->rows, n->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++)
        for (uint64_t h = 0; h < n->place->n_heads; h++) {
            char *head = n->out + (r * n->width +
                                   gqa_cpu_head(n->place, n->head_dim, h)) *
                                      real->size;

            real->norm(head, head, (size_t)n->head_dim, &n->norm);
        }
}

enum gqa_status gqa_cpu_norm_heads(struct gqa_device *device, void *x,
                                   uint64_t width,
                                   const struct gqa_head_place *place,
                                   uint64_t head_dim,
                                   const struct gqa_norm_op *op)
{
    struct norm n = {
        .device = device,
        .out = x,
        .width = width,
        .n_rows = device->n_sequences * device->n_new,
        .rows = rows_of_task(place->n_heads * head_dim),
        .place = place,
        .head_dim = head_dim,
    };
    const enum gqa_status st = take_vectors(&n.norm, device, op);

    return st == GQA_OK
               ? gqa_cpu_pool_run(device->pool, tasks_of(n.n_rows, n.rows), 0,
                                  norm_heads_of_rows, &n)
               : st;
}

/* --- Weights of rows ------------------------------------------------------ */

struct weigh {
    const struct gqa_cpu_real *real;
    char *out;
    const char *x, *less, *by;
    const void *bias;
    uint64_t width, by_width, n_rows, rows;
};

static void weigh_some(void *ctx, size_t task, void *scratch)
{
    const struct weigh *w = ctx;
    const size_t row_bytes = (size_t)w->width * w->real->size;
    const uint64_t first = task * w->rows;
    const uint64_t end = gqa_min_u64(first + w->rows, w->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const struct gqa_cpu_weigh op = {
            .less = w->less ? w->less + r * row_bytes : NULL,
            .bias = w->bias,
            .by = w->by + r * (size_t)w->by_width * w->real->size,
            .width = (size_t)w->width,
            .by_width = (size_t)w->by_width,
        };

        w->real->weigh(w->out + r * row_bytes, w->x + r * row_bytes, &op);
    }
}

enum gqa_status gqa_cpu_weigh_rows(struct gqa_device *device, void *out,
                                   const void *x, const void *less,
                                   const struct gqa_weight *bias,
                                   uint64_t width, const void *by,
                                   uint64_t by_width, uint64_t n_rows)
{
    struct weigh w = {
        .real = device->real,
        .out = out,
        .x = x,
        .less = less,
        .by = by,
        .width = width,
        .by_width = by_width,
        .n_rows = n_rows,
        .rows = rows_of_task(width),
    };
    const enum gqa_status st = gqa_cpu_vector(&w.bias, device, 1, bias);

    return st == GQA_OK
               ? gqa_cpu_pool_run(device->pool, tasks_of(n_rows, w.rows), 0,
                                  weigh_some, &w)
               : st;
}

/* --- Activations ---------------------------------------------------------- */

struct activation {
    const struct gqa_cpu_real *real;
    char *out;
    const char *x, *up;
    uint64_t n;
    enum gqa_activation kind;
};

static void activate_part(void *ctx, size_t task, void *scratch)
{
    const struct activation *a = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;
    const uint64_t offset = first * a->real->size;
    const size_t n = (size_t)gqa_min_u64(GQA_CPU_GRAIN, a->n - first);

    (void)scratch;
    if (a->out != a->x)
        memcpy(a->out + offset, a->x + offset, n * a->real->size);
    a->real->activate(a->out + offset, a->up ? a->up + offset : NULL, n,
                      a->kind);
}

enum gqa_status gqa_cpu_activate(struct gqa_device *device, void *out,
                                 const void *x, const void *up, uint64_t n,
                                 enum gqa_activation activation)
{
    struct activation a = {device->real, out, x, up, n, activation};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            activate_part, &a);
}

/* What is done to each element where it is. */
struct elements {
    const struct gqa_cpu_real *real;
    char *x;
    uint64_t n;
    double limit;
    const struct gqa_xielu *constants;
};

static void clip_part(void *ctx, size_t task, void *scratch)
{
    const struct elements *e = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;

    (void)scratch;
    e->real->clip(e->x + first * e->real->size,
                  (size_t)gqa_min_u64(GQA_CPU_GRAIN, e->n - first), e->limit);
}

enum gqa_status gqa_cpu_clip(struct gqa_device *device, void *x, uint64_t n,
                             double limit)
{
    struct elements e = {device->real, x, n, limit, NULL};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            clip_part, &e);
}

static void xielu_part(void *ctx, size_t task, void *scratch)
{
    const struct elements *e = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;

    (void)scratch;
    e->real->xielu(e->x + first * e->real->size,
                   (size_t)gqa_min_u64(GQA_CPU_GRAIN, e->n - first),
                   e->constants);
}

enum gqa_status gqa_cpu_xielu(struct gqa_device *device, void *x, uint64_t n,
                              const struct gqa_xielu *constants)
{
    struct elements e = {device->real, x, n, 0, constants};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            xielu_part, &e);
}

struct pairs {
    const struct gqa_cpu_real *real;
    char *out;
    const char *x;
    uint64_t n;
    const struct gqa_clamped_swiglu *constants;
};

static void pairs_part(void *ctx, size_t task, void *scratch)
{
    const struct pairs *p = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;

    (void)scratch;
    p->real->swiglu_pairs(
        p->out + first * p->real->size, p->x + 2 * first * p->real->size,
        (size_t)gqa_min_u64(GQA_CPU_GRAIN, p->n - first), p->constants);
}

enum gqa_status gqa_cpu_swiglu_pairs(struct gqa_device *device, void *out,
                                     const void *x, uint64_t n,
                                     const struct gqa_clamped_swiglu *constants)
{
    struct pairs p = {device->real, out, x, n, constants};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            pairs_part, &p);
}

static void cap_part(void *ctx, size_t task, void *scratch)
{
    const struct elements *e = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;

    (void)scratch;
    e->real->soft_cap(e->x + first * e->real->size,
                      (size_t)gqa_min_u64(GQA_CPU_GRAIN, e->n - first),
                      e->limit);
}

enum gqa_status gqa_cpu_soft_cap(struct gqa_device *device, void *x, uint64_t n,
                                 double cap)
{
    struct elements e = {device->real, x, n, cap, NULL};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            cap_part, &e);
}

enum gqa_status gqa_cpu_gather(struct gqa_device *device, void *out,
                               const void *x, uint64_t width,
                               const uint64_t *rows, uint64_t n_rows)
{
    const size_t row_bytes = (size_t)width * device->real->size;

    for (uint64_t i = 0; i < n_rows; i++)
        memcpy((char *)out + i * row_bytes,
               (const char *)x + rows[i] * row_bytes, row_bytes);
    return GQA_OK;
}

struct added {
    const struct gqa_cpu_real *real;
    char *out;
    const char *x;
    uint64_t width, n_rows, rows_of_task;
    const uint64_t *rows;
    const double *weights;
    double scale;
};

static void add_some(void *ctx, size_t task, void *scratch)
{
    const struct added *a = ctx;
    const uint64_t row_bytes = a->width * a->real->size;
    const uint64_t first = task * a->rows_of_task;
    const uint64_t end = gqa_min_u64(a->n_rows, first + a->rows_of_task);

    (void)scratch;
    for (uint64_t i = first; i < end; i++)
        a->real->add_scaled(a->out + (a->rows ? a->rows[i] : i) * row_bytes,
                            a->x + i * row_bytes, (size_t)a->width,
                            a->scale * (a->weights ? a->weights[i] : 1));
}

enum gqa_status gqa_cpu_add_rows(struct gqa_device *device, void *out,
                                 const void *x, uint64_t width,
                                 const uint64_t *rows, const double *weights,
                                 double scale, uint64_t n_rows)
{
    struct added a = {.real = device->real,
                      .out = out,
                      .x = x,
                      .width = width,
                      .n_rows = n_rows,
                      .rows_of_task = rows_of_task(width),
                      .rows = rows,
                      .weights = weights,
                      .scale = scale};

    return gqa_cpu_pool_run(device->pool, tasks_of(n_rows, a.rows_of_task), 0,
                            add_some, &a);
}

struct pieces {
    const struct gqa_device *device;
    char *out;
    const char *x;
    uint64_t width, size, n_out;
};

static void sum_piece(void *ctx, size_t task, void *scratch)
{
    const struct pieces *p = ctx;
    const struct gqa_device *d = p->device;
    const uint64_t s = task / p->n_out;
    const size_t row_bytes = (size_t)p->width * d->real->size;
    char *out = p->out + task * row_bytes;
    uint64_t first, end;

    (void)scratch;
    gqa_cpu_piece(&first, &end, task % p->n_out, d->n_tokens[s], p->size);
    memset(out, 0, row_bytes);
    for (uint64_t i = first; i < end; i++)
        d->real->add(out, p->x + (s * d->n_new + i) * row_bytes,
                     (size_t)p->width);
}

enum gqa_status gqa_cpu_sum_pieces(struct gqa_device *device, void *out,
                                   const void *x, uint64_t width, uint64_t size,
                                   uint64_t n_out)
{
    struct pieces p = {device, out, x, width, size, n_out};

    return gqa_cpu_pool_run(device->pool, (size_t)(device->n_sequences * n_out),
                            0, sum_piece, &p);
}
