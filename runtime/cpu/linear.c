/*
 * Products of the CPU backend. Outputs are divided into panels, each a task:
 * it makes reals of its part of the weight, where these are not what is
 * stored, and multiplies while they are in the cache. OpenBLAS runs on one
 * thread, the task's own.
 */
#include <limits.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/cpu.h"

/*
 * Outputs and rows of a task, and inputs made real at a time. They depend on
 * the shape alone, so that no bit of a result depends on how many threads
 * there are.
 */
enum { PANEL = 256, ROWS = 256, INPUTS = 1024 };
enum { FEW_ROWS = 16, MANY_ROWS = 1024 };

struct linear {
    const struct gqa_device *device;
    char *out;
    const char *x, *added; /* added NULL: none */
    const struct gqa_weight *weight;
    const void *bias; /* reals, or NULL */
    uint64_t n_rows, inputs, outputs;
    uint64_t panel, rows; /* of a task */
    uint64_t n_panels;
    size_t sum_offset; /* of what is accumulated, in scratch */
    bool input_major, stored;
    double scale;
};

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

/* Where a task's products go: `out` itself, or a sum that something is added
 * to. */
struct target {
    char *first;
    uint64_t ld;
};

static void begin_with_bias(const struct linear *l, const struct target *t,
                            uint64_t n_rows, const struct part *p)
{
    const struct gqa_cpu_real *real = l->device->real;

    for (uint64_t r = 0; r < n_rows; r++)
        real->load(t->first + r * t->ld * real->size,
                   (const char *)l->bias + p->output * real->size,
                   l->device->dtype, (size_t)p->n);
}

static void multiply_panel(void *ctx, size_t task, void *scratch)
{
    const struct linear *l = ctx;
    const struct gqa_cpu_real *real = l->device->real;
    const uint64_t row = task / l->n_panels * l->rows;
    const uint64_t end = gqa_min_u64(row + l->rows, l->n_rows);
    struct part p = {.output = task % l->n_panels * l->panel};
    struct target target;
    const char *added;
    char *out;

    p.n = gqa_min_u64(l->panel, l->outputs - p.output);
    out = l->out + (row * l->outputs + p.output) * real->size;
    target = (struct target){out, l->outputs};
    /* BLAS would add in parts, each rounded at the size of what is there. */
    if (l->added)
        target = (struct target){(char *)scratch + l->sum_offset, p.n};
    if (l->bias)
        begin_with_bias(l, &target, end - row, &p);
    for (; p.input < l->inputs; p.input += p.k) {
        struct gqa_cpu_product product = {
            .x = l->x + (row * l->inputs + p.input) * real->size,
            .out = target.first,
            .n_rows = (int)(end - row),
            .n = (int)p.n,
            .ldx = (int)l->inputs,
            .ldout = (int)target.ld,
            .input_major = l->input_major,
            .accumulate = l->bias || p.input > 0,
            .scale = l->scale,
        };
        uint64_t ld;

        p.k = l->inputs - p.input;
        if (!l->stored)
            p.k = gqa_min_u64(p.k, INPUTS);
        product.w = part_of(l, &p, scratch, &ld);
        product.k = (int)p.k;
        product.ldw = (int)ld;
        real->multiply(&product);
    }
    if (!l->added)
        return;
    added = l->added + (out - l->out);
    for (uint64_t r = 0; r < end - row; r++) {
        const size_t at = (size_t)(r * l->outputs) * real->size;

        if (added != out)
            memcpy(out + at, added + at, (size_t)p.n * real->size);
        real->add(out + at, target.first + r * target.ld * real->size,
                  (size_t)p.n);
    }
}

/* out = scale * x W^T + bias + added. */
static enum gqa_status run(struct linear *l, struct gqa_device *d,
                           const struct gqa_weight *bias)
{
    size_t scratch_bytes;
    enum gqa_status st;

    l->device = d;
    l->inputs = l->input_major ? l->weight->rows : l->weight->cols;
    l->outputs = l->input_major ? l->weight->cols : l->weight->rows;
    l->stored = l->weight->dtype == d->dtype;
    if (l->n_rows > INT_MAX || l->inputs > INT_MAX || l->outputs > INT_MAX)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a product of more than %d rows, inputs or outputs",
                        INT_MAX);
    if ((st = gqa_cpu_vector(&l->bias, d, 1, bias)) != GQA_OK)
        return st;
    l->panel = l->n_rows <= FEW_ROWS   ? PANEL / 4
               : l->n_rows < MANY_ROWS ? PANEL
                                       : 2 * PANEL;
    l->rows = l->n_rows < MANY_ROWS ? ROWS : 2 * ROWS;
    l->n_panels = (l->outputs + l->panel - 1) / l->panel;
    if (!l->stored)
        l->sum_offset =
            (size_t)(l->panel * gqa_min_u64(l->inputs, INPUTS)) * d->real->size;
    scratch_bytes = l->sum_offset;
    if (l->added)
        scratch_bytes += (size_t)(l->panel * gqa_min_u64(l->rows, l->n_rows)) *
                         d->real->size;
    return gqa_cpu_pool_run(
        d->pool, (size_t)(l->n_panels * ((l->n_rows + l->rows - 1) / l->rows)),
        scratch_bytes, multiply_panel, l);
}

enum gqa_status gqa_cpu_linear(struct gqa_device *device, void *out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               const void *added)
{
    struct linear l = {.out = out,
                       .x = x,
                       .weight = weight,
                       .n_rows = n_rows,
                       .input_major = input_major,
                       .added = added,
                       .scale = 1};

    return run(&l, device, bias);
}

enum gqa_status gqa_cpu_unembed(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                double scale)
{
    struct linear l = {.out = out,
                       .x = x,
                       .weight = weight,
                       .n_rows = n_rows,
                       .input_major = input_major,
                       .scale = scale};

    return run(&l, device, bias);
}
