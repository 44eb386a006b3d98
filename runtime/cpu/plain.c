#include "runtime/cpu/plain.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "runtime/cpu/cpu.h"
#include "runtime/cpu/plain_product.h"

/* Inputs whose weights a task holds at once, and rows of a task. */
enum { INPUTS = 256, ROWS = 256 };

/* --- Rounding ------------------------------------------------------------- */

struct rounding {
    double *x;
    enum gqa_dtype dtype;
    uint64_t n;
};

static void round_values(double *x, enum gqa_dtype dtype, size_t n)
{
    uint16_t narrow[256];

    if (dtype == GQA_F32) {
        for (size_t i = 0; i < n; i++)
            x[i] = (float)x[i];
        return;
    }
    for (size_t i = 0; i < n; i += sizeof narrow / sizeof *narrow) {
        const size_t some = gqa_min_u64(n - i, sizeof narrow / sizeof *narrow);

        gqa_store_f64(narrow, dtype, x + i, some);
        gqa_load_f64(x + i, narrow, dtype, some);
    }
}

static void round_part(void *ctx, size_t task, void *scratch)
{
    const struct rounding *r = ctx;
    const uint64_t first = task * GQA_CPU_GRAIN;

    (void)scratch;
    round_values(r->x + first, r->dtype,
                 (size_t)gqa_min_u64(GQA_CPU_GRAIN, r->n - first));
}

/* Round n values where st is GQA_OK. */
static enum gqa_status round_to(enum gqa_status st, struct gqa_device *d,
                                void *x, uint64_t n, enum gqa_dtype dtype)
{
    struct rounding r = {x, dtype, n};

    return st == GQA_OK
               ? gqa_cpu_pool_run(
                     d->pool, (size_t)((n + GQA_CPU_GRAIN - 1) / GQA_CPU_GRAIN),
                     0, round_part, &r)
               : st;
}

static enum gqa_status round_all(enum gqa_status st, struct gqa_device *d,
                                 void *x, uint64_t n)
{
    return round_to(st, d, x, n, d->rounded);
}

static uint64_t batch_rows(const struct gqa_device *d)
{
    return d->n_sequences * d->n_new;
}

/* --- Products ------------------------------------------------------------- */

struct product {
    const struct gqa_device *device;
    gqa_plain_add *add;
    double *out;
    const double *added; /* as out, or NULL */
    const float *x;      /* [n_rows, inputs] */
    const struct gqa_weight *weight;
    const double *bias; /* or NULL */
    uint64_t n_rows, inputs, outputs, n_panels;
    enum gqa_dtype rounded;
    bool input_major;
    double scale;
};

/* In a task's scratch. */
struct panel {
    float w[INPUTS][GQA_PLAIN_OUTPUTS];
    float sum[ROWS][GQA_PLAIN_OUTPUTS];
    float line[INPUTS];
};

/* Weights of n outputs and k inputs; other lanes are 0. */
static void load_panel(struct panel *p, const struct product *m,
                       uint64_t output, uint64_t n, uint64_t input, uint64_t k)
{
    const struct gqa_weight *w = m->weight;
    const size_t bytes = gqa_dtype_bits(w->dtype) / 8;
    const char *data = w->data;

    for (uint64_t i = 0; n < GQA_PLAIN_OUTPUTS && i < k; i++)
        for (uint64_t j = n; j < GQA_PLAIN_OUTPUTS; j++)
            p->w[i][j] = 0;
    for (uint64_t i = 0; m->input_major && i < k; i++)
        gqa_cpu_f32.load(p->w[i],
                         data + ((input + i) * w->cols + output) * bytes,
                         w->dtype, (size_t)n);
    for (uint64_t j = 0; !m->input_major && j < n; j++) {
        gqa_cpu_f32.load(p->line,
                         data + ((output + j) * w->cols + input) * bytes,
                         w->dtype, (size_t)k);
        for (uint64_t i = 0; i < k; i++)
            p->w[i][j] = p->line[i];
    }
}

static void finish_row(const struct product *m, const float *sum, uint64_t at,
                       const double *bias, uint64_t n)
{
    double values[GQA_PLAIN_OUTPUTS], *out = m->out + at;

    for (uint64_t j = 0; j < n; j++) {
        values[j] = m->scale * (double)sum[j];
        if (bias)
            values[j] += bias[j];
    }
    round_values(values, m->rounded, (size_t)n);
    for (uint64_t j = 0; j < n; j++)
        out[j] = m->added ? m->added[at + j] + values[j] : values[j];
    if (m->added)
        round_values(out, m->rounded, (size_t)n);
}

static void multiply_panel(void *ctx, size_t task, void *scratch)
{
    const struct product *m = ctx;
    const uint64_t row = task / m->n_panels * ROWS;
    const uint64_t n_rows = gqa_min_u64(ROWS, m->n_rows - row);
    const uint64_t output = task % m->n_panels * GQA_PLAIN_OUTPUTS;
    const uint64_t n = gqa_min_u64(GQA_PLAIN_OUTPUTS, m->outputs - output);
    struct panel *p = scratch;

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t j = 0; j < GQA_PLAIN_OUTPUTS; j++)
            p->sum[r][j] = 0;
    for (uint64_t input = 0; input < m->inputs; input += INPUTS) {
        const uint64_t k = gqa_min_u64(INPUTS, m->inputs - input);

        load_panel(p, m, output, n, input, k);
        m->add(p->sum[0], m->x + row * m->inputs + input, (size_t)m->inputs,
               (size_t)n_rows, p->w[0], (size_t)k);
    }
    for (uint64_t r = 0; r < n_rows; r++)
        finish_row(m, p->sum[r], (row + r) * m->outputs + output,
                   m->bias ? m->bias + output : NULL, n);
}

static gqa_plain_add *choose_add(void)
{
#ifdef GQA_X86_LEVELS
    const unsigned level = gqa_cpu_level();

    if (level >= 3)
        return level >= 4 ? gqa_plain_add_v4 : gqa_plain_add_v3;
#endif
    return gqa_plain_add_base;
}

static enum gqa_status multiply(struct product *m, struct gqa_device *d,
                                const double *x, const struct gqa_weight *bias)
{
    const void *vector;
    uint64_t n, n_bytes;
    float *narrow;
    enum gqa_status st = gqa_cpu_vector(&vector, d, 1, bias);

    if (st != GQA_OK)
        return st;
    m->device = d;
    m->add = choose_add();
    m->bias = vector;
    m->inputs = m->input_major ? m->weight->rows : m->weight->cols;
    m->outputs = m->input_major ? m->weight->cols : m->weight->rows;
    m->n_panels = (m->outputs + GQA_PLAIN_OUTPUTS - 1) / GQA_PLAIN_OUTPUTS;
    if (!gqa_mul_u64(m->n_rows, m->inputs, &n) ||
        !gqa_mul_u64(n, sizeof *narrow, &n_bytes) ||
        !(narrow = malloc((size_t)n_bytes + 1)))
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        narrow[i] = (float)x[i];
    m->x = narrow;
    st = gqa_cpu_pool_run(
        d->pool, (size_t)(m->n_panels * ((m->n_rows + ROWS - 1) / ROWS)),
        sizeof(struct panel), multiply_panel, m);
    free(narrow);
    return st;
}

static enum gqa_status plain_linear(struct gqa_device *d, void *out,
                                    const void *x, uint64_t n_rows,
                                    const struct gqa_weight *weight,
                                    bool input_major,
                                    const struct gqa_weight *bias,
                                    const void *added)
{
    struct product m = {.out = out,
                        .weight = weight,
                        .n_rows = n_rows,
                        .rounded = d->rounded,
                        .input_major = input_major,
                        .added = added,
                        .scale = 1};

    return multiply(&m, d, x, bias);
}

static enum gqa_status plain_unembed(struct gqa_device *d, void *out,
                                     const void *x, uint64_t n_rows,
                                     const struct gqa_weight *weight,
                                     bool input_major,
                                     const struct gqa_weight *bias,
                                     double scale)
{
    struct product m = {.out = out,
                        .weight = weight,
                        .n_rows = n_rows,
                        .rounded = GQA_F32,
                        .input_major = input_major,
                        .scale = scale};

    return multiply(&m, d, x, bias);
}

/* --- The CPU's operations, rounded ---------------------------------------- */

static enum gqa_status plain_embed(struct gqa_device *d, void *out,
                                   const struct gqa_weight *table, double scale,
                                   const struct gqa_weight *positions)
{
    round_values(&scale, d->rounded, 1);
    return round_all(gqa_cpu_embed(d, out, table, scale, positions), d, out,
                     batch_rows(d) * (table ? table : positions)->cols);
}

static enum gqa_status plain_rotate(struct gqa_device *d, void *x,
                                    uint64_t width,
                                    const struct gqa_head_place *place,
                                    uint64_t head_dim, uint64_t n_pairs,
                                    bool interleaved, const void *cos_sin)
{
    return round_all(gqa_cpu_rotate(d, x, width, place, head_dim, n_pairs,
                                    interleaved, cos_sin),
                     d, x, batch_rows(d) * width);
}

static enum gqa_status plain_attend(struct gqa_device *d,
                                    const struct gqa_attention_op *op)
{
    return round_all(gqa_cpu_attend(d, op), d, op->out,
                     batch_rows(d) * op->q_place.n_heads * op->head_dim);
}

static enum gqa_status plain_merge(struct gqa_device *d, void *out, void *lse,
                                   const void *other, const void *other_lse,
                                   uint64_t n_heads, uint64_t head_dim)
{
    return round_all(
        gqa_cpu_merge(d, out, lse, other, other_lse, n_heads, head_dim), d, out,
        batch_rows(d) * n_heads * head_dim);
}

static enum gqa_status plain_sink(struct gqa_device *d, void *out, void *lse,
                                  const struct gqa_weight *sinks,
                                  uint64_t n_heads, uint64_t head_dim)
{
    return round_all(gqa_cpu_sink(d, out, lse, sinks, n_heads, head_dim), d,
                     out, batch_rows(d) * n_heads * head_dim);
}

static enum gqa_status plain_sum_pieces(struct gqa_device *d, void *out,
                                        const void *x, uint64_t width,
                                        uint64_t size, uint64_t n_out)
{
    return round_all(gqa_cpu_sum_pieces(d, out, x, width, size, n_out), d, out,
                     d->n_sequences * n_out * width);
}

static enum gqa_status plain_norm(struct gqa_device *d, void *out,
                                  const void *x, uint64_t n_rows,
                                  uint64_t width, const struct gqa_norm_op *op,
                                  bool accumulate)
{
    return round_all(gqa_cpu_norm(d, out, x, n_rows, width, op, accumulate), d,
                     out, n_rows * width);
}

static enum gqa_status plain_norm_heads(struct gqa_device *d, void *x,
                                        uint64_t width,
                                        const struct gqa_head_place *place,
                                        uint64_t head_dim,
                                        const struct gqa_norm_op *op)
{
    return round_all(gqa_cpu_norm_heads(d, x, width, place, head_dim, op), d, x,
                     batch_rows(d) * width);
}

static enum gqa_status plain_activate(struct gqa_device *d, void *out,
                                      const void *x, const void *up, uint64_t n,
                                      enum gqa_activation activation)
{
    return round_all(gqa_cpu_activate(d, out, x, up, n, activation), d, out, n);
}

static enum gqa_status plain_add_rows(struct gqa_device *d, void *out,
                                      const void *x, uint64_t width,
                                      const uint64_t *rows,
                                      const double *weights, double scale,
                                      uint64_t n_rows)
{
    enum gqa_status st =
        gqa_cpu_add_rows(d, out, x, width, rows, weights, scale, n_rows);

    for (uint64_t i = 0; i < n_rows; i++)
        st = round_all(st, d, (double *)out + (rows ? rows[i] : i) * width,
                       width);
    return st;
}

static enum gqa_status plain_clip(struct gqa_device *d, void *x, uint64_t n,
                                  double limit)
{
    return round_all(gqa_cpu_clip(d, x, n, limit), d, x, n);
}

static enum gqa_status plain_xielu(struct gqa_device *d, void *x, uint64_t n,
                                   const struct gqa_xielu *constants)
{
    return round_all(gqa_cpu_xielu(d, x, n, constants), d, x, n);
}

static enum gqa_status plain_swiglu_pairs(
    struct gqa_device *d, void *out, const void *x, uint64_t n,
    const struct gqa_clamped_swiglu *constants)
{
    return round_all(gqa_cpu_swiglu_pairs(d, out, x, n, constants), d, out, n);
}

static enum gqa_status plain_soft_cap(struct gqa_device *d, void *x, uint64_t n,
                                      double cap)
{
    return round_to(gqa_cpu_soft_cap(d, x, n, cap), d, x, n, GQA_F32);
}

static enum gqa_status plain_open(struct gqa_device **out,
                                  const struct gqa_device_options *options)
{
    struct gqa_device_options wide = *options;
    enum gqa_status st;

    wide.real = GQA_F64;
    st = gqa_cpu_backend()->open(out, &wide);
    if (st == GQA_OK)
        (*out)->rounded = options->real;
    return st;
}

const struct gqa_backend *gqa_plain_backend(void)
{
    static struct gqa_backend backend;

    backend = *gqa_cpu_backend();
    backend.name = "plain";
    backend.gradients = NULL;
    backend.open = plain_open;
    backend.embed = plain_embed;
    backend.rotate = plain_rotate;
    backend.attend = plain_attend;
    backend.merge = plain_merge;
    backend.sink = plain_sink;
    backend.sum_pieces = plain_sum_pieces;
    backend.norm = plain_norm;
    backend.norm_heads = plain_norm_heads;
    backend.linear = plain_linear;
    backend.activate = plain_activate;
    backend.unembed = plain_unembed;
    backend.add_rows = plain_add_rows;
    backend.clip = plain_clip;
    backend.xielu = plain_xielu;
    backend.swiglu_pairs = plain_swiglu_pairs;
    backend.soft_cap = plain_soft_cap;
    return &backend;
}
