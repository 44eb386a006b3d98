/*
 * Operations of the CPU backend, backwards, that go row by row. What is
 * summed over rows is summed by each task over its own, and then in the order
 * of tasks; which rows these have depends on the shape alone.
 */
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/back.h"

/* Rows that make a task of these elements each; at least one. */
static uint64_t rows_of_task(uint64_t width)
{
    return width < GQA_CPU_GRAIN ? GQA_CPU_GRAIN / (width ? width : 1) : 1;
}

static size_t tasks_of(uint64_t n_rows, uint64_t rows)
{
    return (size_t)((n_rows + rows - 1) / rows);
}

static uint64_t batch_rows(const struct gqa_device *d)
{
    return d->n_sequences * d->n_new;
}

/* --- Embedding ------------------------------------------------------------ */

/* Columns of a task, which goes through all rows in order. */
enum { COLUMNS = 32 };

struct embedding {
    const struct gqa_device *device;
    char *d_table, *d_positions;
    const char *dx;
    uint64_t width;
    double scale;
};

static void embed_columns(void *ctx, size_t task, void *scratch)
{
    const struct embedding *e = ctx;
    const struct gqa_device *d = e->device;
    const struct gqa_cpu_real *real = d->real;
    const uint64_t first = task * COLUMNS;
    const size_t n = (size_t)gqa_min_u64(COLUMNS, e->width - first);

    (void)scratch;
    for (uint64_t r = 0; r < batch_rows(d); r++) {
        const uint64_t s = r / d->n_new, i = r % d->n_new;
        const char *dx = e->dx + (r * e->width + first) * real->size;

        if (i >= d->n_tokens[s])
            continue;
        if (e->d_table)
            real->back->add_scaled(
                e->d_table +
                    ((uint64_t)d->tokens[r] * e->width + first) * real->size,
                dx, n, e->scale);
        if (e->d_positions)
            real->add(e->d_positions +
                          ((d->starts[s] + i) * e->width + first) * real->size,
                      dx, n);
    }
}

enum gqa_status gqa_cpu_back_embed(struct gqa_device *device, void *d_table,
                                   uint64_t n_rows_of_table, void *d_positions,
                                   uint64_t n_positions, const void *dx,
                                   uint64_t width, double scale)
{
    struct embedding e = {device, d_table, d_positions, dx, width, scale};

    (void)n_rows_of_table;
    (void)n_positions;
    return gqa_cpu_pool_run(device->pool, tasks_of(width, COLUMNS), 0,
                            embed_columns, &e);
}

/* --- Heads ---------------------------------------------------------------- */

struct heads {
    const struct gqa_device *device;
    char *x;
    const char *cache;
    uint64_t width, head_dim, capacity;
    const struct gqa_head_place *place;
    uint64_t n_pairs;
    bool interleaved;
    const char *cos_sin;
    uint64_t rows; /* of a task */
};

static char *head_of(const struct heads *a, uint64_t r, uint64_t h)
{
    return a->x + (r * a->width + gqa_cpu_head(a->place, a->head_dim, h)) *
                      a->device->real->size;
}

static void unstore_rows(void *ctx, size_t task, void *scratch)
{
    const struct heads *a = ctx;
    const struct gqa_device *d = a->device;
    const size_t head_bytes = (size_t)a->head_dim * d->real->size;
    const uint64_t first = task * a->rows;
    const uint64_t end = gqa_min_u64(first + a->rows, batch_rows(d));

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t s = r / d->n_new, i = r % d->n_new;
        const uint64_t position = d->starts[s] + i;

        for (uint64_t h = 0; h < a->place->n_heads; h++)
            if (i < d->n_tokens[s])
                memcpy(head_of(a, r, h),
                       a->cache + ((s * a->place->n_heads + h) * a->capacity +
                                   position) *
                                      head_bytes,
                       head_bytes);
            else
                memset(head_of(a, r, h), 0, head_bytes);
    }
}

static enum gqa_status unstore(struct gqa_device *device, void *x,
                               uint64_t width,
                               const struct gqa_head_place *place,
                               const void *cache, const struct gqa_turn_op *op)
{
    struct heads a = {.device = device,
                      .x = x,
                      .cache = cache,
                      .width = width,
                      .head_dim = op->head_dim,
                      .capacity = op->capacity,
                      .place = place,
                      .rows = rows_of_task(place->n_heads * op->head_dim)};

    return gqa_cpu_pool_run(device->pool, tasks_of(batch_rows(device), a.rows),
                            0, unstore_rows, &a);
}

static void rotate_rows(void *ctx, size_t task, void *scratch)
{
    const struct heads *a = ctx;
    const struct gqa_device *d = a->device;
    const uint64_t first = task * a->rows;
    const uint64_t end = gqa_min_u64(first + a->rows, batch_rows(d));

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t position =
            gqa_cpu_position(d, r / d->n_new, r % d->n_new);

        for (uint64_t h = 0; h < a->place->n_heads; h++)
            d->real->back->rotate(head_of(a, r, h), a->n_pairs, a->interleaved,
                                  a->cos_sin + position * a->n_pairs * 2 *
                                                   d->real->size);
    }
}

static enum gqa_status rotate(struct gqa_device *device, void *dx,
                              uint64_t width,
                              const struct gqa_head_place *place,
                              const struct gqa_turn_op *op)
{
    struct heads a = {.device = device,
                      .x = dx,
                      .width = width,
                      .head_dim = op->head_dim,
                      .place = place,
                      .n_pairs = op->n_pairs,
                      .interleaved = op->interleaved,
                      .cos_sin = op->cos_sin,
                      .rows = rows_of_task(place->n_heads * op->n_pairs * 2)};

    if (op->n_pairs == 0)
        return GQA_OK;
    return gqa_cpu_pool_run(device->pool, tasks_of(batch_rows(device), a.rows),
                            0, rotate_rows, &a);
}

enum gqa_status gqa_cpu_back_turn(struct gqa_device *device,
                                  const struct gqa_turn_op *op)
{
    enum gqa_status st = GQA_OK;

    if (op->q)
        st = rotate(device, op->q, op->q_width, &op->q_place, op);
    if (st != GQA_OK || !op->cache_k)
        return st;
    st = unstore(device, op->k, op->k_width, &op->k_place, op->cache_k, op);
    if (st == GQA_OK)
        st = rotate(device, op->k, op->k_width, &op->k_place, op);
    return st == GQA_OK ? unstore(device, op->v, op->v_width, &op->v_place,
                                  op->cache_v, op)
                        : st;
}

static enum gqa_status rotate_forth(struct gqa_device *device, void *x,
                                    uint64_t width,
                                    const struct gqa_head_place *place,
                                    const struct gqa_turn_op *op)
{
    return op->n_pairs > 0
               ? gqa_cpu_rotate(device, x, width, place, op->head_dim,
                                op->n_pairs, op->interleaved, op->cos_sin)
               : GQA_OK;
}

enum gqa_status gqa_cpu_turn(struct gqa_device *device,
                             const struct gqa_turn_op *op)
{
    enum gqa_status st = GQA_OK;

    if (op->q)
        st = rotate_forth(device, op->q, op->q_width, &op->q_place, op);
    if (st != GQA_OK || !op->cache_k)
        return st;
    st = rotate_forth(device, op->k, op->k_width, &op->k_place, op);
    if (st == GQA_OK)
        st = gqa_cpu_store(device, op->cache_k, op->capacity, op->k,
                           op->k_width, &op->k_place, op->head_dim);
    return st == GQA_OK
               ? gqa_cpu_store(device, op->cache_v, op->capacity, op->v,
                               op->v_width, &op->v_place, op->head_dim)
               : st;
}

/* --- Norms ---------------------------------------------------------------- */

struct norm {
    const struct gqa_device *device;
    struct gqa_cpu_norm norm;
    char *dx;
    const char *x, *dy;
    uint64_t width, n_rows, rows;
    double *d_weight, *d_bias; /* [tasks, width], or NULL */
    /* Of heads within the rows: in place. */
    const struct gqa_head_place *place;
    uint64_t head_dim;
};

static double *sums_of(double *sums, size_t task, uint64_t width)
{
    return sums ? sums + task * width : NULL;
}

static void norm_rows(void *ctx, size_t task, void *scratch)
{
    const struct norm *n = ctx;
    const struct gqa_cpu_real *real = n->device->real;
    const uint64_t first = task * n->rows;
    const uint64_t end = gqa_min_u64(first + n->rows, n->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t at = r * n->width * real->size;

        real->back->norm(n->dx ? n->dx + at : NULL,
                         sums_of(n->d_weight, task, n->width),
                         sums_of(n->d_bias, task, n->width), n->x + at,
                         n->dy + at, (size_t)n->width, &n->norm);
    }
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
            const uint64_t at =
                (r * n->width + gqa_cpu_head(n->place, n->head_dim, h)) *
                real->size;

            real->back->norm(n->dx + at,
                             sums_of(n->d_weight, task, n->head_dim),
                             sums_of(n->d_bias, task, n->head_dim), n->x + at,
                             n->dx + at, (size_t)n->head_dim, &n->norm);
        }
}

/* Sums of all tasks, in their order, to `out`. */
static void add_tasks(const struct norm *n, void *out, double *sums,
                      size_t n_tasks, uint64_t width)
{
    for (size_t task = 1; sums && task < n_tasks; task++)
        for (uint64_t i = 0; i < width; i++)
            sums[i] += sums[task * width + i];
    if (sums && n_tasks)
        n->device->real->back->add_sums(out, sums, (size_t)width);
}

/* width: of the weight. */
static enum gqa_status run_norm(struct gqa_device *device, struct norm *n,
                                const struct gqa_norm_op *op, void *d_weight,
                                void *d_bias, uint64_t width,
                                void (*job)(void *, size_t, void *))
{
    const size_t n_tasks = tasks_of(n->n_rows, n->rows);
    enum gqa_status st = gqa_cpu_vector(&n->norm.weight, device, 0, op->weight);

    n->norm.kind = op->kind;
    n->norm.eps = op->eps;
    n->norm.one_plus = op->one_plus;
    if (d_weight)
        n->d_weight = calloc((n_tasks + 1) * width, sizeof *n->d_weight);
    if (d_bias)
        n->d_bias = calloc((n_tasks + 1) * width, sizeof *n->d_bias);
    if (st == GQA_OK && ((d_weight && !n->d_weight) || (d_bias && !n->d_bias)))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_cpu_pool_run(device->pool, n_tasks, 0, job, n);
    if (st == GQA_OK) {
        add_tasks(n, d_weight, n->d_weight, n_tasks, width);
        add_tasks(n, d_bias, n->d_bias, n_tasks, width);
    }
    free(n->d_weight);
    free(n->d_bias);
    return st;
}

enum gqa_status gqa_cpu_back_norm(struct gqa_device *device, void *dx,
                                  void *d_weight, void *d_bias, const void *x,
                                  const void *dy, uint64_t n_rows,
                                  uint64_t width, const struct gqa_norm_op *op,
                                  bool accumulate)
{
    struct norm n = {.device = device,
                     .norm = {.accumulate = accumulate},
                     .dx = dx,
                     .x = x,
                     .dy = dy,
                     .width = width,
                     .n_rows = n_rows,
                     .rows = rows_of_task(width)};

    return run_norm(device, &n, op, d_weight, d_bias, width, norm_rows);
}

enum gqa_status gqa_cpu_back_norm_heads(struct gqa_device *device, void *dy,
                                        void *d_weight, void *d_bias,
                                        const void *x, uint64_t width,
                                        const struct gqa_head_place *place,
                                        uint64_t head_dim,
                                        const struct gqa_norm_op *op)
{
    struct norm n = {.device = device,
                     .dx = dy,
                     .x = x,
                     .width = width,
                     .n_rows = batch_rows(device),
                     .rows = rows_of_task(place->n_heads * head_dim),
                     .place = place,
                     .head_dim = head_dim};

    return run_norm(device, &n, op, d_weight, d_bias, head_dim,
                    norm_heads_of_rows);
}

/* --- Activations ---------------------------------------------------------- */

struct activation {
    const struct gqa_cpu_real *real;
    char *d_gate, *d_up;
    const char *gate, *up, *dy;
    uint64_t d_width, width;
    size_t per_row; /* tasks */
    enum gqa_activation kind;
};

static void activate_part(void *ctx, size_t task, void *scratch)
{
    const struct activation *a = ctx;
    const uint64_t row = task / a->per_row;
    const uint64_t first = task % a->per_row * GQA_CPU_GRAIN;
    const size_t at = (size_t)(row * a->width + first) * a->real->size;
    const size_t to = (size_t)(row * a->d_width + first) * a->real->size;

    (void)scratch;
    a->real->back->activate(
        a->d_gate + to, a->d_up ? a->d_up + to : NULL, a->gate + at,
        a->up ? a->up + at : NULL, a->dy + at,
        (size_t)gqa_min_u64(GQA_CPU_GRAIN, a->width - first), a->kind);
}

enum gqa_status gqa_cpu_back_activate(struct gqa_device *device, void *d_gate,
                                      void *d_up, uint64_t d_width,
                                      const void *gate, const void *up,
                                      const void *dy, uint64_t n_rows,
                                      uint64_t width,
                                      enum gqa_activation activation)
{
    struct activation a = {device->real, d_gate,  d_up,  gate, up,
                           dy,           d_width, width, 0,    activation};

    if (d_width == width) { /* one row, of all */
        a.width = a.d_width = n_rows * width;
        n_rows = 1;
    }
    a.per_row = tasks_of(a.width, GQA_CPU_GRAIN);
    return gqa_cpu_pool_run(device->pool, (size_t)n_rows * a.per_row, 0,
                            activate_part, &a);
}

struct xielu {
    const struct gqa_cpu_real *real;
    char *dx;
    const char *x, *dy;
    uint64_t n;
    const struct gqa_xielu *constants;
    double *sums; /* [tasks, 2] */
};

static void xielu_part(void *ctx, size_t task, void *scratch)
{
    const struct xielu *a = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;
    const size_t at = (size_t)first * a->real->size;

    (void)scratch;
    a->real->back->xielu(a->dx + at, a->sums + 2 * task, a->x + at, a->dy + at,
                         (size_t)gqa_min_u64(GQA_CPU_GRAIN, a->n - first),
                         a->constants);
}

enum gqa_status gqa_cpu_back_xielu(struct gqa_device *device, void *dx,
                                   void *sums, const void *x, const void *dy,
                                   uint64_t n,
                                   const struct gqa_xielu *constants)
{
    const size_t n_tasks = tasks_of(n, GQA_CPU_GRAIN);
    struct xielu a = {device->real,
                      dx,
                      x,
                      dy,
                      n,
                      constants,
                      calloc(n_tasks + 1, 2 * sizeof *a.sums)};
    double *out = sums;
    enum gqa_status st;

    if (!a.sums)
        return gqa_fail_nomem();
    st = gqa_cpu_pool_run(device->pool, n_tasks, 0, xielu_part, &a);
    for (size_t i = 0; i < 2 * n_tasks && st == GQA_OK && out; i++)
        out[i % 2] += a.sums[i];
    free(a.sums);
    return st;
}

struct pairs {
    const struct gqa_cpu_real *real;
    char *dx;
    const char *x, *dy;
    uint64_t n;
    const struct gqa_clamped_swiglu *constants;
};

static void pairs_part(void *ctx, size_t task, void *scratch)
{
    const struct pairs *p = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;
    const size_t at = (size_t)first * p->real->size;

    (void)scratch;
    p->real->back->swiglu_pairs(
        p->dx + 2 * at, p->x + 2 * at, p->dy + at,
        (size_t)gqa_min_u64(GQA_CPU_GRAIN, p->n - first), p->constants);
}

enum gqa_status gqa_cpu_back_swiglu_pairs(
    struct gqa_device *device, void *dx, const void *x, const void *dy,
    uint64_t n, const struct gqa_clamped_swiglu *constants)
{
    struct pairs p = {device->real, dx, x, dy, n, constants};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            pairs_part, &p);
}

struct clipping {
    const struct gqa_cpu_real *real;
    char *dy;
    const char *x;
    uint64_t n;
    double limit;
};

static void clip_part(void *ctx, size_t task, void *scratch)
{
    const struct clipping *c = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;
    const size_t at = (size_t)first * c->real->size;

    (void)scratch;
    c->real->back->clip(c->dy + at, c->x + at,
                        (size_t)gqa_min_u64(GQA_CPU_GRAIN, c->n - first),
                        c->limit);
}

enum gqa_status gqa_cpu_back_clip(struct gqa_device *device, void *dy,
                                  const void *x, uint64_t n, double limit)
{
    struct clipping c = {device->real, dy, x, n, limit};

    return gqa_cpu_pool_run(device->pool, tasks_of(n, GQA_CPU_GRAIN), 0,
                            clip_part, &c);
}

/* --- Products of rows ----------------------------------------------------- */

struct products {
    const struct gqa_cpu_real *real;
    double *out;
    const char *x, *y;
    uint64_t width, n_rows, rows;
};

static void dot_some_rows(void *ctx, size_t task, void *scratch)
{
    const struct products *p = ctx;
    const uint64_t first = task * p->rows;
    const uint64_t end = gqa_min_u64(first + p->rows, p->n_rows);

    (void)scratch;
    for (uint64_t r = first; r < end; r++) {
        const uint64_t at = r * p->width * p->real->size;

        p->out[r] =
            p->real->back->sum_products(p->x + at, p->y + at, (size_t)p->width);
    }
}

enum gqa_status gqa_cpu_dot_rows(struct gqa_device *device, double *out,
                                 const void *x, const void *y, uint64_t width,
                                 uint64_t n_rows)
{
    struct products p = {device->real,       out, x, y, width, n_rows,
                         rows_of_task(width)};

    return gqa_cpu_pool_run(device->pool, tasks_of(n_rows, p.rows), 0,
                            dot_some_rows, &p);
}

/* --- Squares -------------------------------------------------------------- */

struct squares {
    const struct gqa_device *device;
    char *dx;
    const char *x, *target;
    uint64_t n_rows, width;
    double factor;
    double *sums; /* of each row */
};

static void square_row(void *ctx, size_t r, void *scratch)
{
    const struct squares *s = ctx;
    const struct gqa_device *d = s->device;
    const size_t row_bytes = (size_t)s->width * d->real->size;
    const size_t at = r * row_bytes;

    (void)scratch;
    if (r % d->n_new >= d->n_tokens[r / d->n_new])
        memset(s->dx + at, 0, row_bytes);
    else
        s->sums[r] = d->real->back->squares(
            s->dx + at, s->x + at, s->target + at, (size_t)s->width, s->factor);
}

enum gqa_status gqa_cpu_back_squares(struct gqa_device *device, void *dx,
                                     const void *x, const void *target,
                                     uint64_t n_rows, uint64_t width,
                                     double factor, void *sum)
{
    struct squares s = {
        device, dx,    x,      target,
        n_rows, width, factor, calloc((size_t)n_rows + 1, sizeof *s.sums)};
    double all = 0;
    enum gqa_status st;

    if (!s.sums)
        return gqa_fail_nomem();
    st = gqa_cpu_pool_run(device->pool, (size_t)n_rows, 0, square_row, &s);
    for (uint64_t r = 0; r < n_rows; r++)
        all += s.sums[r];
    if (st == GQA_OK && sum)
        *(double *)sum += factor / 2 * all;
    free(s.sums);
    return st;
}

/* --- Pieces --------------------------------------------------------------- */

struct pieces {
    const struct gqa_device *device;
    char *dx;
    const char *dy;
    uint64_t width, size, n_out;
};

static void add_piece(void *ctx, size_t task, void *scratch)
{
    const struct pieces *p = ctx;
    const struct gqa_device *d = p->device;
    const uint64_t s = task / p->n_out;
    const size_t row_bytes = (size_t)p->width * d->real->size;
    uint64_t first, end;

    (void)scratch;
    gqa_cpu_piece(&first, &end, task % p->n_out, d->n_tokens[s], p->size);
    for (uint64_t i = first; i < end; i++)
        d->real->add(p->dx + (s * d->n_new + i) * row_bytes,
                     p->dy + task * row_bytes, (size_t)p->width);
}

enum gqa_status gqa_cpu_back_sum_pieces(struct gqa_device *device, void *dx,
                                        const void *dy, uint64_t width,
                                        uint64_t size, uint64_t n_out)
{
    struct pieces p = {device, dx, dy, width, size, n_out};

    return gqa_cpu_pool_run(device->pool, (size_t)(device->n_sequences * n_out),
                            0, add_piece, &p);
}
