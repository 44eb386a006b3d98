#include "align/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/conjugate.h"
#include "align/gradient_sums.h"
#include "align/input_moments.h"
#include "align/score_bias.h"
#include "common/interrupt.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/blas.h"
#include "runtime/values.h"

enum { ITERATIONS = 8 };

/* How far to go along what was fitted; the first that does no harm. */
static const double steps[] = {1, 0.5, 0.2};
enum { N_STEPS = sizeof steps / sizeof *steps };

struct gqa_values {
    struct gqa_values_job job;
    const struct gqa_score_records *records;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    uint64_t n;       /* rows of values */
    uint64_t width;   /* of all query heads side by side */
    void *score_bias; /* and its reach */
    uint64_t reach;
    /* On the device, real: o, O O^T, and ones. */
    void *output, *square, *ones;
    /* Of the largest part: */
    void *missing;   /* what is still to be added */
    void *rows;      /* values of KV heads, or what they are to blame for */
    void *cache;     /* values of `rows` */
    void *heads;     /* what attention makes of them */
    void *back;      /* what heads are to blame for */
    void *weight;    /* real [rows of the records' KV heads, inputs] */
    void *bias;      /* real [those rows] */
    void *vector[2]; /* real [rows, inputs] */
    void *divisor;   /* real [inputs, inputs]: of the moments of keys' inputs */
    struct gqa_gradient_sums sums; /* [rows, inputs] */
};

/* --- Memory --------------------------------------------------------------- */

static enum gqa_status put(const struct gqa_values *f, void *out,
                           const double *values, uint64_t n)
{
    return gqa_values_upload(f->backend, f->device, out, f->real, values, n);
}

static enum gqa_status get(const struct gqa_values *f, double *values,
                           const void *from, uint64_t n)
{
    return gqa_values_download(f->backend, f->device, values, from, f->real, n);
}

static enum gqa_status alloc_reals(const struct gqa_values *f, void **out,
                                   uint64_t n)
{
    return f->backend->alloc(f->device, out, n * gqa_dtype_bits(f->real) / 8);
}

/* --- What a change of values does ----------------------------------------- */

static const struct gqa_attention *heads_of(const struct gqa_values *f)
{
    return f->job.becomes->heads;
}

static struct gqa_attention_op attention_of(const struct gqa_values *f,
                                            const struct gqa_score_part *p)
{
    struct gqa_attention_op op = gqa_score_part_attention(p, f->job.becomes);

    op.out = f->heads;
    op.q = p->q;
    op.q_width = f->records->q_width;
    op.q_place = f->records->q_place;
    op.k = p->k;
    op.v = f->cache;
    op.n_kv_heads = f->records->n_kv_heads;
    op.bias = f->score_bias;
    op.reach = f->reach;
    return op;
}

/* Values of the pooled heads, n of each, for each KV head that the records
 * have. */
static enum gqa_status put_heads(const struct gqa_values *f, void *out,
                                 const double *values, uint64_t n)
{
    const uint64_t n_kv_heads = f->records->n_kv_heads;
    double *all;
    enum gqa_status st;

    if (n_kv_heads == f->job.pooled)
        return put(f, out, values, n_kv_heads * n);
    all = gqa_large_malloc(n_kv_heads * n * sizeof *all);
    if (!all)
        return gqa_fail_nomem();
    for (uint64_t h = 0; h < n_kv_heads; h++)
        memcpy(all + h * n, values + h / (n_kv_heads / f->job.pooled) * n,
               n * sizeof *all);
    st = put(f, out, all, n_kv_heads * n);
    free(all);
    return st;
}

/* To f->weight. */
static enum gqa_status put_direction(const struct gqa_values *f,
                                     const double *direction)
{
    return put_heads(f, f->weight, direction,
                     heads_of(f)->head_dim * f->job.inputs);
}

/* What a part's heads give by values of f->weight, and of f->bias, to out. */
static enum gqa_status attend_with(const struct gqa_values *f, void *out,
                                   const struct gqa_score_part *p,
                                   bool with_bias)
{
    const struct gqa_attention *a = heads_of(f);
    const uint64_t n_kv_heads = f->records->n_kv_heads;
    const struct gqa_head_place place = {n_kv_heads, 0, n_kv_heads, 0};
    const uint64_t width = n_kv_heads * a->head_dim;
    const struct gqa_weight weight = {f->weight, f->real, width, f->job.inputs};
    const struct gqa_weight bias = {f->bias, f->real, width, 1};
    struct gqa_attention_op op = attention_of(f, p);
    enum gqa_status st = gqa_score_records_begin(f->records, p, true);

    op.out = out;

    if (st == GQA_OK)
        st = f->backend->linear(f->device, f->rows,
                                gqa_score_part_inputs(p, true),
                                gqa_score_part_rows(p, true), &weight, false,
                                with_bias ? &bias : NULL, NULL);
    if (st == GQA_OK)
        st = f->backend->store(f->device, f->cache, p->n_keys, f->rows, width,
                               &place, a->head_dim);
    if (st == GQA_OK)
        st = gqa_score_records_begin(f->records, p, false);
    return st == GQA_OK ? f->backend->attend(f->device, &op) : st;
}

/* Likewise, of a direction to f->heads. */
static enum gqa_status attend(const struct gqa_values *f,
                              const struct gqa_score_part *p)
{
    return attend_with(f, f->heads, p, false);
}

/* f->back = heads O O^T. */
static enum gqa_status multiply(const struct gqa_values *f,
                                const struct gqa_score_part *p)
{
    const struct gqa_weight square = {f->square, f->real, f->width, f->width};

    return f->backend->linear(f->device, f->back, f->heads,
                              gqa_score_part_rows(p, false), &square, false,
                              NULL, NULL);
}

/* To f->missing. */
static enum gqa_status make_missing(const struct gqa_values *f,
                                    const struct gqa_score_part *p)
{
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job.d_model};
    const enum gqa_status st = f->backend->linear(
        f->device, f->missing, p->attended, n_rows, &output, true, NULL, NULL);

    return st == GQA_OK
               ? f->backend->weigh_rows(f->device, f->missing, p->aim,
                                        f->missing, NULL, f->job.d_model,
                                        f->ones, 1, n_rows)
               : st;
}

/* What heads are to blame for, of what is still missing. */
static enum gqa_status begin_gradient(const struct gqa_values *f,
                                      const struct gqa_score_part *p)
{
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job.d_model};
    const enum gqa_status st = make_missing(f, p);

    return st == GQA_OK ? gqa_linear_transposed(f->backend, f->device, f->back,
                                                f->missing,
                                                gqa_score_part_rows(p, false),
                                                &output, true, false)
                        : st;
}

/* f->back, through attention's weights, to the sums. */
static enum gqa_status add_gradient(const struct gqa_values *f,
                                    const struct gqa_score_part *p)
{
    const uint64_t n_heads = heads_of(f)->n_heads;
    const struct gqa_score_op op = {.original = attention_of(f, p),
                                    .q = f->back,
                                    .q_width = f->width,
                                    .q_place = {n_heads, 0, n_heads, 0},
                                    .n_kv_heads = f->job.pooled,
                                    .weights = p->weights,
                                    .scale = 1,
                                    .plain = true,
                                    .out_k = f->rows};
    enum gqa_status st = gqa_score_records_begin(f->records, p, false);

    if (st == GQA_OK)
        st = f->backend->scores(f->device, &op);
    return st == GQA_OK ? gqa_gradient_sums_add(&f->sums, f->rows, f->n,
                                                gqa_score_part_inputs(p, true),
                                                f->job.inputs,
                                                gqa_score_part_rows(p, true))
                        : st;
}

/* Minus the gradient of half the loss; of a direction, A of it. */
static enum gqa_status sum_gradients(const struct gqa_values *f, double *out,
                                     const double *direction)
{
    const uint64_t n = f->n * f->job.inputs;
    enum gqa_status st = gqa_gradient_sums_begin(&f->sums, n);

    if (st == GQA_OK && direction)
        st = put_direction(f, direction);
    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];

        if (p->held_out)
            continue;
        if (direction) {
            st = attend(f, p);
            if (st == GQA_OK)
                st = multiply(f, p);
        } else {
            st = begin_gradient(f, p);
        }
        if (st == GQA_OK)
            st = add_gradient(f, p);
        if (gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    }
    return st == GQA_OK ? gqa_gradient_sums_get(&f->sums, out, n) : st;
}

/* --- Held-out sequences --------------------------------------------------- */

/* The loss of a sequence as it is, and what a step makes of it: loss - 2 step
 * slope + step^2 curve. */
struct parabola {
    double loss, slope, curve;
};

static double loss_after(const struct parabola *p, double step)
{
    return p->loss + step * (step * p->curve - 2 * p->slope);
}

/* Rows of what is missing, and of what the solution in f->weight adds. */
static enum gqa_status look(const struct gqa_values *f, double *missing,
                            double *added, const struct gqa_score_part *p)
{
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const uint64_t n = n_rows * f->job.d_model;
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job.d_model};
    enum gqa_status st = make_missing(f, p);

    if (st == GQA_OK)
        st = get(f, missing, f->missing, n);
    if (st == GQA_OK)
        st = attend(f, p);
    if (st == GQA_OK)
        st = f->backend->linear(f->device, f->missing, f->heads, n_rows,
                                &output, true, NULL, NULL);
    return st == GQA_OK ? get(f, added, f->missing, n) : st;
}

static enum gqa_status judge(const struct gqa_values *f, struct parabola *out,
                             const struct gqa_score_part *p)
{
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const uint64_t n_heads = heads_of(f)->n_heads, d = f->job.d_model;
    const enum gqa_dtype wide = gqa_wide_of(f->real);
    double *missing = malloc(n_rows * d * sizeof *missing);
    double *added = malloc(n_rows * d * sizeof *added);
    double *weights = malloc(n_rows * n_heads * sizeof *weights);
    enum gqa_status st = missing && added && weights
                             ? look(f, missing, added, p)
                             : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_values_download(f->backend, f->device, weights, p->weights,
                                 wide, n_rows * n_heads);
    *out = (struct parabola){0};
    /* One sequence: what is real stands first. */
    for (uint64_t i = 0; i < p->n_tokens[0] * d && st == GQA_OK; i++) {
        const double weight = weights[i / d * n_heads];

        out->loss += weight * missing[i] * missing[i];
        out->slope += weight * missing[i] * added[i];
        out->curve += weight * added[i] * added[i];
    }
    free(missing);
    free(added);
    free(weights);
    return st;
}

/* The step that is taken; 0: none does no harm. */
static double choose(const struct parabola *held, size_t n)
{
    for (int i = 0; i < N_STEPS; i++) {
        double was = 0, is = 0, worst_was = 0, worst_is = 0;

        for (size_t j = 0; j < n; j++) {
            const double after = loss_after(&held[j], steps[i]);

            was += held[j].loss;
            is += after;
            worst_was = fmax(worst_was, held[j].loss);
            worst_is = fmax(worst_is, after);
        }
        if (is < was && worst_is <= worst_was)
            return steps[i];
    }
    return 0;
}

static enum gqa_status accept(const struct gqa_values *f,
                              struct gqa_head_rows *values,
                              const double *solution, double *step)
{
    struct parabola *held = calloc(f->records->n_parts + 1, sizeof *held);
    size_t n = 0;
    enum gqa_status st = held ? put_direction(f, solution) : gqa_fail_nomem();

    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++)
        if (f->records->parts[i].held_out)
            st = judge(f, &held[n++], &f->records->parts[i]);
    if (st == GQA_OK)
        *step = choose(held, n);
    for (uint64_t i = 0; i<f->n * f->job.inputs && * step> 0; i++)
        values->weight[i] += *step * solution[i];
    free(held);
    return st;
}

/* --- The fit -------------------------------------------------------------- */

static enum gqa_status divide(void *ctx, double *x)
{
    const struct gqa_values *f = ctx;
    const uint64_t n = f->n * f->job.inputs;
    const struct gqa_weight inverse = {f->divisor, f->real, f->job.inputs,
                                       f->job.inputs};
    enum gqa_status st = put(f, f->vector[0], x, n);

    if (st == GQA_OK)
        st = f->backend->linear(f->device, f->vector[1], f->vector[0], f->n,
                                &inverse, false, NULL, NULL);
    return st == GQA_OK ? get(f, x, f->vector[1], n) : st;
}

struct metrics {
    const struct gqa_values *f;
    const double *output;
    double *out;
};

static enum gqa_status add_metrics(void *ctx, uint64_t first, uint64_t n)
{
    const struct metrics *m = ctx;
    const struct gqa_attention *a = heads_of(m->f);
    const uint64_t d = a->head_dim, group = a->n_heads / m->f->job.pooled;
    const int width = (int)m->f->job.d_model;

    for (uint64_t h = first * group; h < (first + n) * group; h++) {
        const double *head = m->output + h * d * m->f->job.d_model;

        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)d, (int)d,
                       width, 1, head, width, head, width, h % group ? 1 : 0,
                       m->out + h / group * d * d, (int)d);
    }
    return GQA_OK;
}

/* [pooled, d, d]: sums of O O^T over the query heads that read a KV head. */
static enum gqa_status metrics_of(double *out, const struct gqa_values *f,
                                  const double *output)
{
    struct metrics m = {f, output, out};

    return gqa_ranges_run(f->job.pooled, 1, f->job.n_threads, add_metrics, &m);
}

static enum gqa_status solve(const struct gqa_values *f,
                             struct gqa_conjugate *c, const double *metrics)
{
    double *sum = gqa_large_malloc(f->n * f->job.inputs * sizeof *sum);
    enum gqa_status st = sum ? sum_gradients(f, sum, NULL) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_conjugate_begin(c, metrics, sum);
    for (int i = 1; i <= ITERATIONS && st == GQA_OK; i++) {
        st = sum_gradients(f, sum, c->direction);
        if (st == GQA_OK)
            st = gqa_conjugate_next(c, sum, i == ITERATIONS);
    }
    free(sum);
    return st;
}

/* O, and O O^T, to the device. */
static enum gqa_status put_output(const struct gqa_values *f,
                                  const double *output)
{
    const struct gqa_weight weight = {f->output, f->real, f->width,
                                      f->job.d_model};
    const enum gqa_status st =
        put(f, f->output, output, f->width * f->job.d_model);

    return st == GQA_OK
               ? f->backend->linear(f->device, f->square, f->output, f->width,
                                    &weight, false, NULL, NULL)
               : st;
}

enum gqa_status gqa_values_fit(struct gqa_values *f,
                               struct gqa_head_rows *values,
                               const double *output, double *step)
{
    const uint64_t d = heads_of(f)->head_dim;
    struct gqa_conjugate c = {.n_groups = 1,
                              .n_heads = f->job.pooled,
                              .head_dim = d,
                              .inputs = f->job.inputs,
                              .n_threads = f->job.n_threads,
                              .divide = divide,
                              .ctx = f};
    double *metrics = malloc(f->n * d * sizeof *metrics);
    enum gqa_status st = metrics ? put_output(f, output) : gqa_fail_nomem();

    *step = 0;
    if (st == GQA_OK)
        st = metrics_of(metrics, f, output);
    if (st == GQA_OK)
        st = solve(f, &c, metrics);
    if (st == GQA_OK)
        st = accept(f, values, c.solution, step);
    gqa_conjugate_clear(&c);
    free(metrics);
    return st;
}

enum gqa_status gqa_values_attend(struct gqa_values *f,
                                  const struct gqa_head_rows *values)
{
    enum gqa_status st = put_direction(f, values->weight);

    if (st == GQA_OK && values->bias)
        st = put_heads(f, f->bias, values->bias, heads_of(f)->head_dim);
    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];

        st = attend_with(f, p->attended, p, values->bias != NULL);
    }
    return st;
}

/* --- Beginning and end ---------------------------------------------------- */

static enum gqa_status alloc_room(struct gqa_values *f)
{
    const uint64_t width = f->records->n_kv_heads * heads_of(f)->head_dim;
    const uint64_t inputs = f->job.inputs, n = f->n * inputs;
    const struct gqa_score_sizes most = gqa_score_records_sizes(f->records);
    const uint64_t n_rows = most.n_queries, n_keys = most.n_keys;
    enum gqa_status st;

    f->reach = most.reach;
    if ((st = alloc_reals(f, &f->output, f->width * f->job.d_model)) !=
            GQA_OK ||
        (st = alloc_reals(f, &f->square, f->width * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->ones, n_rows)) != GQA_OK ||
        (st = alloc_reals(f, &f->missing, n_rows * f->job.d_model)) != GQA_OK ||
        (st = alloc_reals(f, &f->rows, n_keys * width)) != GQA_OK ||
        (st = alloc_reals(f, &f->cache, n_keys * width)) != GQA_OK ||
        (st = alloc_reals(f, &f->heads, n_rows * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->back, n_rows * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->weight, width * inputs)) != GQA_OK ||
        (st = alloc_reals(f, &f->bias, width)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[0], n)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[1], n)) != GQA_OK ||
        (st = alloc_reals(f, &f->divisor, inputs * inputs)) != GQA_OK ||
        (st = gqa_gradient_sums_create(&f->sums, f->backend, f->device, f->real,
                                       n)) != GQA_OK)
        return st;
    return gqa_values_fill(f->backend, f->device, f->ones, f->real, 1, n_rows);
}

static enum gqa_status begin(struct gqa_values *f)
{
    double *inverse = NULL;
    enum gqa_status st = alloc_room(f);

    if (st == GQA_OK)
        st = gqa_score_bias_upload(&f->score_bias, f->backend, f->device,
                                   f->real, f->job.becomes, f->job.bias,
                                   f->reach);
    if (st == GQA_OK)
        st =
            gqa_input_moments_invert(&inverse, f->records, true, f->job.inputs);
    if (st == GQA_OK)
        st = put(f, f->divisor, inverse, f->job.inputs * f->job.inputs);
    free(inverse);
    return st;
}

enum gqa_status gqa_values_create(struct gqa_values **out,
                                  const struct gqa_values_job *job)
{
    const struct gqa_attention *a = job->becomes->heads;
    struct gqa_values *f = calloc(1, sizeof *f);
    enum gqa_status st;

    if (!f)
        return gqa_fail_nomem();
    f->job = *job;
    f->records = job->records;
    f->backend = job->records->backend;
    f->device = job->records->device;
    f->real = job->records->real;
    f->n = job->pooled * a->head_dim;
    f->width = a->n_heads * a->head_dim;
    st = begin(f);
    if (st == GQA_OK)
        *out = f;
    else
        gqa_values_free(f);
    return st;
}

void gqa_values_free(struct gqa_values *f)
{
    if (!f)
        return;

    void *const memory[] = {f->score_bias, f->output, f->square, f->ones,
                            f->missing,    f->rows,   f->cache,  f->heads,
                            f->back,       f->weight, f->bias,   f->vector[0],
                            f->vector[1],  f->divisor};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        f->backend->free(f->device, memory[i]);
    gqa_gradient_sums_clear(&f->sums);
    free(f);
}
