/* Gradients of weights of the CPU backend: each task has a square of the
 * weight to itself and goes through all rows, so that no bit depends on how
 * many threads there are. */
#include <limits.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/back.h"

enum { SIDE = 256, COLUMNS = 64 };

/* out [n_x, n_y] += x^T y. */
struct columns {
    const struct gqa_device *device;
    char *out;
    const char *x, *y;
    uint64_t n_x, n_y, n_rows, n_squares;
};

static void multiply_square(void *ctx, size_t task, void *scratch)
{
    const struct columns *c = ctx;
    const size_t size = c->device->real->size;
    const uint64_t i = task / c->n_squares * SIDE;
    const uint64_t j = task % c->n_squares * SIDE;

    (void)scratch;
    c->device->real->back->multiply_columns(
        c->out + (i * c->n_y + j) * size, (int)c->n_y, c->x + i * size,
        (int)c->n_x, (int)gqa_min_u64(SIDE, c->n_x - i), c->y + j * size,
        (int)c->n_y, (int)gqa_min_u64(SIDE, c->n_y - j), (int)c->n_rows);
}

static void sum_columns(void *ctx, size_t task, void *scratch)
{
    const struct columns *c = ctx;
    const struct gqa_cpu_real *real = c->device->real;
    const uint64_t first = task * COLUMNS;
    const size_t n = (size_t)gqa_min_u64(COLUMNS, c->n_y - first);
    double sums[COLUMNS] = {0};

    (void)scratch;
    for (uint64_t r = 0; r < c->n_rows; r++)
        real->back->add_to_sums(sums, c->y + (r * c->n_y + first) * real->size,
                                n);
    real->back->add_sums(c->out + first * real->size, sums, n);
}

enum gqa_status gqa_cpu_back_linear_weight(struct gqa_device *device,
                                           void *d_weight, void *d_bias,
                                           const void *x, uint64_t inputs,
                                           const void *dy, uint64_t outputs,
                                           uint64_t n_rows, bool input_major)
{
    struct columns w = {
        .device = device,
        .out = d_weight,
        .x = input_major ? x : dy,
        .y = input_major ? dy : x,
        .n_x = input_major ? inputs : outputs,
        .n_y = input_major ? outputs : inputs,
        .n_rows = n_rows,
        .n_squares = ((input_major ? outputs : inputs) + SIDE - 1) / SIDE,
    };
    struct columns b = {.device = device,
                        .out = d_bias,
                        .y = dy,
                        .n_y = outputs,
                        .n_rows = n_rows};
    enum gqa_status st = GQA_OK;

    if (n_rows > INT_MAX || inputs > INT_MAX || outputs > INT_MAX)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a product of more than %d rows, inputs or outputs",
                        INT_MAX);
    if (d_weight)
        st = gqa_cpu_pool_run(device->pool,
                              (size_t)((w.n_x + SIDE - 1) / SIDE * w.n_squares),
                              0, multiply_square, &w);
    if (st == GQA_OK && d_bias)
        st = gqa_cpu_pool_run(device->pool,
                              (size_t)((outputs + COLUMNS - 1) / COLUMNS), 0,
                              sum_columns, &b);
    return st;
}
