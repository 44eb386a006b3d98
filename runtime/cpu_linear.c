/*
 * Products of the CPU backend. Outputs are divided into panels, each a task:
 * it makes reals of its part of the weight, where these are not what is
 * stored, and multiplies while they are in the cache. OpenBLAS runs on one
 * thread, the task's own.
 */
#include <limits.h>

#include "runtime/cpu.h"

/* Outputs of a panel, and inputs made real at a time. */
enum { PANEL = 512, PANEL_LEAST = 32, INPUTS = 1024 };
/* Rows of a task, where panels alone are too few for the threads. */
enum { ROWS_LEAST = 256 };

struct linear {
    const struct gqa_device *device;
    char *out;
    const char *x;
    const struct gqa_weight *weight;
    const void *bias; /* reals, or NULL */
    uint64_t n_rows, inputs, outputs;
    uint64_t panel, rows; /* of a task */
    uint64_t n_panels;
    bool input_major, accumulate, stored;
    double scale;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Part of the weight: n outputs from `output` on, k inputs from `input`. */
struct part {
    uint64_t output, n, input, k;
};

/* The part as reals: where it lies, or copied to scratch; *ld: from one of
 * its rows to the next. */
static const void *part_of(const struct linear *l, const struct part *p,
                           void *scratch, uint64_t *ld)
{
    const struct gqa_weight *w = l->weight;
    const struct gqa_cpu_real *real = l->device->real;
    const size_t bytes = gqa_dtype_bits(w->dtype) / 8;
    const uint64_t row = l->input_major ? p->input : p->output;
    const uint64_t col = l->input_major ? p->output : p->input;
    const uint64_t n_rows = l->input_major ? p->k : p->n;
    const uint64_t n_cols = l->input_major ? p->n : p->k;
    const char *src = (const char *)w->data + (row * w->cols + col) * bytes;

    *ld = w->cols;
    if (l->stored)
        return src;
    *ld = n_cols;
    for (uint64_t i = 0; i < n_rows; i++)
        real->load((char *)scratch + i * n_cols * real->size,
                   src + i * w->cols * bytes, w->dtype, (size_t)n_cols);
    return scratch;
}

/* What the products of a task add to, where there is a bias. */
static void begin_with_bias(const struct linear *l, uint64_t row, uint64_t end,
                            const struct part *p)
{
    const struct gqa_cpu_real *real = l->device->real;
    const char *bias = (const char *)l->bias + p->output * real->size;

    for (uint64_t r = row; r < end; r++) {
        char *out = l->out + (r * l->outputs + p->output) * real->size;

        if (l->accumulate)
            real->add(out, bias, (size_t)p->n);
        else
            real->load(out, bias, l->device->dtype, (size_t)p->n);
    }
}

static void multiply_panel(void *ctx, size_t task, void *scratch)
{
    const struct linear *l = ctx;
    const struct gqa_cpu_real *real = l->device->real;
    const uint64_t row = task / l->n_panels * l->rows;
    const uint64_t end = least(row + l->rows, l->n_rows);
    struct part p = {.output = task % l->n_panels * l->panel};

    p.n = least(l->panel, l->outputs - p.output);
    if (l->bias)
        begin_with_bias(l, row, end, &p);
    for (; p.input < l->inputs; p.input += p.k) {
        struct gqa_cpu_product product = {
            .x = l->x + (row * l->inputs + p.input) * real->size,
            .out = l->out + (row * l->outputs + p.output) * real->size,
            .n_rows = (int)(end - row),
            .n = (int)p.n,
            .ldx = (int)l->inputs,
            .ldout = (int)l->outputs,
            .input_major = l->input_major,
            .accumulate = l->accumulate || l->bias || p.input > 0,
            .scale = l->scale,
        };
        uint64_t ld;

        p.k = l->inputs - p.input;
        if (!l->stored)
            p.k = least(p.k, INPUTS);
        product.w = part_of(l, &p, scratch, &ld);
        product.k = (int)p.k;
        product.ldw = (int)ld;
        real->multiply(&product);
    }
}

static enum gqa_status run(struct linear *l, const struct gqa_weight *bias)
{
    struct gqa_device *d = (struct gqa_device *)(uintptr_t)l->device;
    const uint64_t threads = gqa_cpu_pool_n_threads(d->pool);
    enum gqa_status st;

    l->inputs = l->input_major ? l->weight->rows : l->weight->cols;
    l->outputs = l->input_major ? l->weight->cols : l->weight->rows;
    l->stored = l->weight->dtype == d->dtype;
    if (l->n_rows > INT_MAX || l->inputs > INT_MAX || l->outputs > INT_MAX)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a product of more than %d rows, inputs or outputs",
                        INT_MAX);
    if ((st = gqa_cpu_vector(&l->bias, d, 1, bias)) != GQA_OK)
        return st;
    l->panel = (l->outputs / (2 * threads) + 15) / 16 * 16;
    l->panel = l->panel < PANEL_LEAST ? PANEL_LEAST : least(l->panel, PANEL);
    l->n_panels = (l->outputs + l->panel - 1) / l->panel;
    l->rows = l->n_rows;
    if (l->n_panels < 2 * threads && l->n_rows > ROWS_LEAST)
        l->rows = ROWS_LEAST;
    return gqa_cpu_pool_run(
        d->pool, (size_t)(l->n_panels * ((l->n_rows + l->rows - 1) / l->rows)),
        l->stored
            ? 0
            : (size_t)(l->panel * least(l->inputs, INPUTS)) * d->real->size,
        multiply_panel, l);
}

enum gqa_status gqa_cpu_linear(struct gqa_device *device, void *out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               bool accumulate)
{
    struct linear l = {.device = device,
                       .out = out,
                       .x = x,
                       .weight = weight,
                       .n_rows = n_rows,
                       .input_major = input_major,
                       .accumulate = accumulate,
                       .scale = 1};

    return run(&l, bias);
}

enum gqa_status gqa_cpu_unembed(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                double scale)
{
    struct linear l = {.device = device,
                       .out = out,
                       .x = x,
                       .weight = weight,
                       .n_rows = n_rows,
                       .input_major = input_major,
                       .scale = scale};

    return run(&l, bias);
}
