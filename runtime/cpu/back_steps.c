/* Optimisers of the CPU backend. */
#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "runtime/cpu/back.h"

static size_t parts_of(uint64_t n)
{
    return (size_t)((n + GQA_CPU_GRAIN - 1) / GQA_CPU_GRAIN);
}

static struct gqa_cpu_part part_of(uint64_t n, size_t task)
{
    const uint64_t first = task * GQA_CPU_GRAIN;

    return (struct gqa_cpu_part){(size_t)first,
                                 (size_t)gqa_min_u64(GQA_CPU_GRAIN, n - first)};
}

/* In their order, whoever made them. */
static double sum_of(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* --- Norm ----------------------------------------------------------------- */

struct squares {
    const struct gqa_cpu_real *real;
    const char *x;
    uint64_t n;
    double *sums; /* of each part */
};

static void square_part(void *ctx, size_t task, void *scratch)
{
    const struct squares *s = ctx;
    const struct gqa_cpu_part p = part_of(s->n, task);

    (void)scratch;
    s->sums[task] =
        s->real->back->sum_squares(s->x + p.first * s->real->size, p.n);
}

enum gqa_status gqa_cpu_back_norm2(struct gqa_device *device, void *out,
                                   const void *x, uint64_t n)
{
    const size_t n_parts = parts_of(n);
    struct squares s = {device->real, x, n,
                        calloc(n_parts + 1, sizeof *s.sums)};
    enum gqa_status st;

    if (!s.sums)
        return gqa_fail_nomem();
    st = gqa_cpu_pool_run(device->pool, n_parts, 0, square_part, &s);
    if (st == GQA_OK)
        *(double *)out += sum_of(s.sums, n_parts);
    free(s.sums);
    return st;
}

/* --- AdamW ---------------------------------------------------------------- */

struct adamw {
    const struct gqa_cpu_real *real;
    const struct gqa_adamw_op *op;
};

static void adamw_part(void *ctx, size_t task, void *scratch)
{
    const struct adamw *a = ctx;
    const struct gqa_cpu_part p = part_of(a->op->n, task);

    (void)scratch;
    a->real->back->adamw(a->op, &p);
}

enum gqa_status gqa_cpu_back_adamw(struct gqa_device *device,
                                   const struct gqa_adamw_op *op)
{
    struct adamw a = {device->real, op};

    return gqa_cpu_pool_run(device->pool, parts_of(op->n), 0, adamw_part, &a);
}

/* --- Adafactor ------------------------------------------------------------ */

enum { COLUMNS = 256 };

struct adafactor {
    const struct gqa_cpu_real *real;
    const struct gqa_adafactor_op *op;
    double beta, mean_row, divisor;
    double *sums; /* of each row */
};

static void row_moment(void *ctx, size_t task, void *scratch)
{
    const struct adafactor *a = ctx;

    (void)scratch;
    a->real->back->adafactor_row(a->op, a->beta, task);
}

static void column_moments(void *ctx, size_t task, void *scratch)
{
    const struct adafactor *a = ctx;
    const uint64_t first = task * COLUMNS;
    const struct gqa_cpu_part p = {
        (size_t)first, (size_t)gqa_min_u64(COLUMNS, a->op->n_cols - first)};

    a->real->back->adafactor_columns(a->op, a->beta, &p, scratch);
}

static void update_row(void *ctx, size_t task, void *scratch)
{
    const struct adafactor *a = ctx;

    (void)scratch;
    a->sums[task] =
        a->real->back->adafactor_update(a->op, task, a->mean_row, a->divisor);
}

static enum gqa_status take_moments(struct gqa_device *device,
                                    struct adafactor *a)
{
    const struct gqa_adafactor_op *op = a->op;
    enum gqa_status st = gqa_cpu_pool_run(
        device->pool, (size_t)((op->n_cols + COLUMNS - 1) / COLUMNS),
        COLUMNS * sizeof(double), column_moments, a);

    if (op->n_rows == 1 || st != GQA_OK)
        return st;
    st = gqa_cpu_pool_run(device->pool, (size_t)op->n_rows, 0, row_moment, a);
    for (uint64_t r = 0; r < op->n_rows; r++) {
        double moment;

        gqa_load_f64(&moment, (const char *)op->row + r * a->real->size,
                     device->dtype, 1);
        a->mean_row += moment / (double)op->n_rows;
    }
    return st;
}

enum gqa_status gqa_cpu_back_adafactor(struct gqa_device *device,
                                       const struct gqa_adafactor_op *op)
{
    const size_t n_rows = (size_t)op->n_rows;
    struct adafactor a = {
        .real = device->real,
        .op = op,
        .beta = 1 - pow((double)op->step, -op->decay_power),
        .sums = calloc(n_rows + 1, sizeof *a.sums),
    };
    enum gqa_status st;

    if (!a.sums)
        return gqa_fail_nomem();
    st = take_moments(device, &a);
    if (st == GQA_OK)
        st = gqa_cpu_pool_run(device->pool, n_rows, 0, update_row, &a);
    if (st == GQA_OK) {
        const double mean =
            sum_of(a.sums, n_rows) / ((double)n_rows * (double)op->n_cols);

        a.divisor = fmax(1, sqrt(mean) / op->clip);
        st = gqa_cpu_pool_run(device->pool, n_rows, 0, update_row, &a);
    }
    free(a.sums);
    return st;
}
