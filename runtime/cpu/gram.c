/*
 * Moments of the CPU backend: out += X^T Y. Each task has a square of `out`
 * to itself and goes through all rows, a slab at a time, whose part it makes
 * float64 where it is not. Of a symmetric sum only the squares on the
 * diagonal and above are made; the others are copied from them.
 */
#include <limits.h>

#include "common/bounds.h"
#include "runtime/blas.h"
#include "runtime/cpu/cpu.h"

/* Of a task: sides of its square, and rows of a slab. No bit of a result
 * depends on how many threads there are, since these do not. */
enum { SIDE = 128, SLAB = 512 };

struct gram {
    const struct gqa_device *device;
    double *out;
    const char *x, *y;
    uint64_t x_width, y_width, n_rows;
    uint64_t n_squares; /* side by side */
    bool symmetric;
};

/* n columns of a matrix from `col` on, over the rows of a slab. */
struct columns {
    const char *matrix;
    uint64_t width, col, n;
};

/* As float64: where they lie, or copied to room; *ld: from row to row. */
static const double *columns_of(const struct gram *g, const struct columns *c,
                                uint64_t row, uint64_t n_rows, double *room,
                                int *ld)
{
    const enum gqa_dtype dtype = g->device->dtype;
    const size_t size = g->device->real->size;
    const char *from = c->matrix + (row * c->width + c->col) * size;

    if (dtype == GQA_F64) {
        *ld = (int)c->width;
        return (const void *)from;
    }
    for (uint64_t r = 0; r < n_rows; r++)
        gqa_load_f64(room + r * c->n, from + r * c->width * size, dtype,
                     (size_t)c->n);
    *ld = (int)c->n;
    return room;
}

/* What lies on the other side of the diagonal. */
static void mirror(const struct gram *g, uint64_t row, uint64_t n_rows,
                   uint64_t col, uint64_t n_cols)
{
    for (uint64_t i = row; i < row + n_rows; i++)
        for (uint64_t j = gqa_max_u64(col, i + 1); j < col + n_cols; j++)
            g->out[j * g->y_width + i] = g->out[i * g->y_width + j];
}

static void add_square(void *ctx, size_t task, void *scratch)
{
    const struct gram *g = ctx;
    const uint64_t i = task / g->n_squares * SIDE;
    const uint64_t j = task % g->n_squares * SIDE;
    const struct columns a = {g->x, g->x_width, i,
                              gqa_min_u64(SIDE, g->x_width - i)};
    const struct columns b = {g->y, g->y_width, j,
                              gqa_min_u64(SIDE, g->y_width - j)};
    double *room = scratch;

    if (g->symmetric && j < i)
        return;
    for (uint64_t row = 0; row < g->n_rows; row += SLAB) {
        const uint64_t n = gqa_min_u64(SLAB, g->n_rows - row);
        int lda, ldb;
        const double *left = columns_of(g, &a, row, n, room, &lda);
        const double *right =
            columns_of(g, &b, row, n, room + (size_t)SLAB * SIDE, &ldb);

        gqa_blas.dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)a.n,
                       (int)b.n, (int)n, 1, left, lda, right, ldb, 1,
                       g->out + i * g->y_width + j, (int)g->y_width);
    }
    if (g->symmetric)
        mirror(g, i, a.n, j, b.n);
}

enum gqa_status gqa_cpu_gram(struct gqa_device *device, void *out,
                             const void *x, uint64_t x_width, const void *y,
                             uint64_t y_width, uint64_t n_rows)
{
    struct gram g = {
        .device = device,
        .out = out,
        .x = x,
        .y = y ? y : x,
        .x_width = x_width,
        .y_width = y ? y_width : x_width,
        .n_rows = n_rows,
        .symmetric = !y,
    };

    if (g.x_width > INT_MAX || g.y_width > INT_MAX)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "moments of more than %d columns",
                        INT_MAX);
    g.n_squares = (g.y_width + SIDE - 1) / SIDE;
    return gqa_cpu_pool_run(
        device->pool, (size_t)((g.x_width + SIDE - 1) / SIDE * g.n_squares),
        device->dtype == GQA_F64 ? 0 : (size_t)2 * SLAB * SIDE * sizeof(double),
        add_square, &g);
}
