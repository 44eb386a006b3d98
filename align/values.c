#include "align/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/conjugate.h"
#include "align/input_moments.h"
#include "align/score_bias.h"
#include "common/bounds.h"
#include "common/interrupt.h"
#include "runtime/values.h"

enum { ITERATIONS = 8 };

/* How far to go along what was fitted; the first that does no harm. */
static const double steps[] = {1, 0.5, 0.2};
enum { N_STEPS = sizeof steps / sizeof *steps };

struct fitter {
    const struct gqa_values_job *job;
    const struct gqa_score_records *records;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    struct gqa_head_rows *values;
    uint64_t width;   /* of all heads side by side */
    void *score_bias; /* and its reach */
    uint64_t reach;
    /* On the device, real: o, and minus and plus O O^T. */
    void *output, *less, *square;
    /* Of the largest part: */
    void *rows;      /* values of all heads, or what they are to blame for */
    void *cache;     /* values of `rows` */
    void *heads;     /* what attention makes of them */
    void *back;      /* what heads are to blame for */
    void *weight;    /* real [rows of all KV heads, inputs] */
    void *vector[2]; /* real [rows, inputs] */
    void *divisor;   /* real [inputs, inputs]: of the moments of keys' inputs */
    void *sums;      /* float64 [rows, inputs] */
};

/* --- Memory --------------------------------------------------------------- */

static enum gqa_status put(const struct fitter *f, void *out,
                           const double *values, uint64_t n)
{
    return gqa_values_upload(f->backend, f->device, out, f->real, values, n);
}

static enum gqa_status get(const struct fitter *f, double *values,
                           const void *from, uint64_t n)
{
    return gqa_values_download(f->backend, f->device, values, from, f->real, n);
}

static enum gqa_status alloc_reals(const struct fitter *f, void **out,
                                   uint64_t n)
{
    return f->backend->alloc(f->device, out, n * gqa_dtype_bits(f->real) / 8);
}

/* --- What a change of values does ----------------------------------------- */

static const struct gqa_attention *heads_of(const struct fitter *f)
{
    return f->job->becomes->heads;
}

static struct gqa_attention_op attention_of(const struct fitter *f,
                                            const struct gqa_score_part *p)
{
    const struct gqa_attention_block *b = f->job->becomes;
    const bool cross = b->heads->kind == GQA_ATTENTION_CROSS;

    return (struct gqa_attention_op){.out = f->heads,
                                     .q = p->q,
                                     .q_width = f->records->q_width,
                                     .q_place = f->records->q_place,
                                     .k = p->k,
                                     .v = f->cache,
                                     .n_kv_heads = b->heads->n_kv_heads,
                                     .head_dim = b->heads->head_dim,
                                     .capacity = p->n_keys,
                                     .scale = b->scale,
                                     .soft_cap = b->soft_cap,
                                     .causal = b->causal,
                                     .window = b->window,
                                     .key_counts = cross ? p->key_counts : NULL,
                                     .bias = f->score_bias,
                                     .reach = f->reach};
}

/* A direction to f->weight, for each KV head that the runtime has. */
static enum gqa_status put_direction(const struct fitter *f,
                                     const double *direction)
{
    const uint64_t n_kv_heads = heads_of(f)->n_kv_heads;
    const uint64_t n = heads_of(f)->head_dim * f->values->inputs;
    double *all = malloc(n_kv_heads * n * sizeof *all);
    enum gqa_status st = all ? GQA_OK : gqa_fail_nomem();

    for (uint64_t h = 0; h < n_kv_heads && all; h++)
        memcpy(all + h * n, direction + h / (n_kv_heads / f->job->pooled) * n,
               n * sizeof *all);
    if (st == GQA_OK)
        st = put(f, f->weight, all, n_kv_heads * n);
    free(all);
    return st;
}

/* What a part's heads give by values of f->weight, to f->heads. */
static enum gqa_status attend(const struct fitter *f,
                              const struct gqa_score_part *p)
{
    const struct gqa_attention *a = heads_of(f);
    const struct gqa_head_place place = {a->n_kv_heads, 0, a->n_kv_heads, 0};
    const uint64_t width = a->n_kv_heads * a->head_dim;
    const struct gqa_weight weight = {f->weight, f->real, width,
                                      f->values->inputs};
    const struct gqa_attention_op op = attention_of(f, p);
    enum gqa_status st = gqa_score_records_begin(f->records, p, true);

    if (st == GQA_OK)
        st = f->backend->linear(
            f->device, f->rows, gqa_score_part_inputs(p, true),
            gqa_score_part_rows(p, true), &weight, false, NULL, false);
    if (st == GQA_OK)
        st = f->backend->store(f->device, f->cache, p->n_keys, f->rows, width,
                               &place, a->head_dim);
    if (st == GQA_OK)
        st = gqa_score_records_begin(f->records, p, false);
    return st == GQA_OK ? f->backend->attend(f->device, &op) : st;
}

/* f->back = heads O O^T, or that less than what is there. */
static enum gqa_status multiply(const struct fitter *f,
                                const struct gqa_score_part *p,
                                const void *heads, bool subtract)
{
    const struct gqa_weight square = {subtract ? f->less : f->square, f->real,
                                      f->width, f->width};

    return f->backend->linear(f->device, f->back, heads,
                              gqa_score_part_rows(p, false), &square, false,
                              NULL, subtract);
}

/* What heads are to blame for, of what is still missing. */
static enum gqa_status begin_gradient(const struct fitter *f,
                                      const struct gqa_score_part *p)
{
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job->d_model};
    const enum gqa_status st = gqa_linear_transposed(
        f->backend, f->device, f->back, p->aim, gqa_score_part_rows(p, false),
        &output, true, false);

    return st == GQA_OK ? multiply(f, p, p->attended, true) : st;
}

/* f->back, through attention's weights, to the sums. */
static enum gqa_status add_gradient(const struct fitter *f,
                                    const struct gqa_score_part *p)
{
    const uint64_t n_heads = heads_of(f)->n_heads;
    const struct gqa_score_op op = {.original = attention_of(f, p),
                                    .q = f->back,
                                    .q_width = f->width,
                                    .q_place = {n_heads, 0, n_heads, 0},
                                    .n_kv_heads = f->job->pooled,
                                    .weights = p->weights,
                                    .scale = 1,
                                    .plain = true,
                                    .out_k = f->rows};
    enum gqa_status st = gqa_score_records_begin(f->records, p, false);

    if (st == GQA_OK)
        st = f->backend->scores(f->device, &op);
    return st == GQA_OK
               ? f->backend->gram(f->device, f->sums, f->rows, f->values->n,
                                  gqa_score_part_inputs(p, true),
                                  f->values->inputs,
                                  gqa_score_part_rows(p, true))
               : st;
}

/* Minus the gradient of half the loss; of a direction, A of it. */
static enum gqa_status sum_gradients(const struct fitter *f, double *out,
                                     const double *direction)
{
    const uint64_t n = f->values->n * f->values->inputs;
    enum gqa_status st =
        f->backend->zero(f->device, f->sums, n * sizeof(double));

    if (st == GQA_OK && direction)
        st = put_direction(f, direction);
    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];

        if (p->held_out)
            continue;
        if (direction) {
            st = attend(f, p);
            if (st == GQA_OK)
                st = multiply(f, p, f->heads, false);
        } else {
            st = begin_gradient(f, p);
        }
        if (st == GQA_OK)
            st = add_gradient(f, p);
        if (gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    }
    return st == GQA_OK
               ? f->backend->download(f->device, out, f->sums, n * sizeof *out)
               : st;
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
static enum gqa_status look(const struct fitter *f, double *missing,
                            double *added, const struct gqa_score_part *p)
{
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const uint64_t n = n_rows * f->job->d_model;
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job->d_model};
    double *aim = malloc(n * sizeof *aim);
    void *out = NULL;
    enum gqa_status st = aim ? attend(f, p) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = alloc_reals(f, &out, n);
    if (st == GQA_OK)
        st = f->backend->linear(f->device, out, f->heads, n_rows, &output, true,
                                NULL, false);
    if (st == GQA_OK)
        st = get(f, added, out, n);
    if (st == GQA_OK)
        st = f->backend->linear(f->device, out, p->attended, n_rows, &output,
                                true, NULL, false);
    if (st == GQA_OK)
        st = get(f, missing, out, n);
    if (st == GQA_OK)
        st = get(f, aim, p->aim, n);
    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        missing[i] = aim[i] - missing[i];
    f->backend->free(f->device, out);
    free(aim);
    return st;
}

static enum gqa_status judge(const struct fitter *f, struct parabola *out,
                             const struct gqa_score_part *p)
{
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const uint64_t n_heads = heads_of(f)->n_heads, d = f->job->d_model;
    const enum gqa_dtype wide = f->real == GQA_F64 ? GQA_F64 : GQA_F32;
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

static enum gqa_status accept(const struct fitter *f, const double *solution,
                              bool *changed)
{
    struct parabola *held = calloc(f->records->n_parts + 1, sizeof *held);
    double step = 0;
    size_t n = 0;
    enum gqa_status st = held ? put_direction(f, solution) : gqa_fail_nomem();

    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++)
        if (f->records->parts[i].held_out)
            st = judge(f, &held[n++], &f->records->parts[i]);
    if (st == GQA_OK)
        step = choose(held, n);
    for (uint64_t i = 0; i < f->values->n * f->values->inputs && step > 0; i++)
        f->values->weight[i] += step * solution[i];
    *changed = step > 0;
    free(held);
    return st;
}

/* --- The fit -------------------------------------------------------------- */

static enum gqa_status divide(void *ctx, double *x)
{
    const struct fitter *f = ctx;
    const struct gqa_head_rows *rows = f->values;
    const struct gqa_weight inverse = {f->divisor, f->real, rows->inputs,
                                       rows->inputs};
    enum gqa_status st = put(f, f->vector[0], x, rows->n * rows->inputs);

    if (st == GQA_OK)
        st = f->backend->linear(f->device, f->vector[1], f->vector[0], rows->n,
                                &inverse, false, NULL, false);
    return st == GQA_OK ? get(f, x, f->vector[1], rows->n * rows->inputs) : st;
}

/* [pooled, d, d]: sums of O O^T over the query heads that read a KV head. */
static void metrics_of(double *out, const struct fitter *f,
                       const double *square)
{
    const uint64_t d = heads_of(f)->head_dim, n_heads = heads_of(f)->n_heads;
    const uint64_t group = n_heads / f->job->pooled;

    for (uint64_t h = 0; h < n_heads; h++)
        for (uint64_t i = 0; i < d; i++)
            for (uint64_t j = 0; j < d; j++)
                out[h / group * d * d + i * d + j] +=
                    square[(h * d + i) * f->width + h * d + j];
}

static enum gqa_status solve(const struct fitter *f, struct gqa_conjugate *c,
                             const double *metrics)
{
    double *sum = malloc(f->values->n * f->values->inputs * sizeof *sum);
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

/* O O^T, here and on the device, and minus that there. */
static enum gqa_status make_square(const struct fitter *f, double *square)
{
    const uint64_t n = f->width * f->width;
    const struct gqa_weight output = {f->output, f->real, f->width,
                                      f->job->d_model};
    enum gqa_status st = f->backend->linear(
        f->device, f->square, f->output, f->width, &output, false, NULL, false);

    if (st == GQA_OK)
        st = get(f, square, f->square, n);
    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        square[i] = -square[i];
    if (st == GQA_OK)
        st = put(f, f->less, square, n);
    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        square[i] = -square[i];
    return st;
}

static enum gqa_status alloc_room(struct fitter *f)
{
    const uint64_t width = heads_of(f)->n_kv_heads * heads_of(f)->head_dim;
    const uint64_t n = f->values->n * f->values->inputs;
    const uint64_t inputs = f->values->inputs;
    uint64_t n_rows = 1, n_keys = 1;
    enum gqa_status st;

    f->reach = 1;
    for (size_t i = 0; i < f->records->n_parts; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];

        n_rows = gqa_max_u64(n_rows, gqa_score_part_rows(p, false));
        n_keys = gqa_max_u64(n_keys, gqa_score_part_rows(p, true));
        f->reach = gqa_max_u64(f->reach, gqa_max_u64(p->n_new, p->n_keys));
    }
    if ((st = alloc_reals(f, &f->output, f->width * f->job->d_model)) !=
            GQA_OK ||
        (st = alloc_reals(f, &f->less, f->width * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->square, f->width * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->rows, n_keys * width)) != GQA_OK ||
        (st = alloc_reals(f, &f->cache, n_keys * width)) != GQA_OK ||
        (st = alloc_reals(f, &f->heads, n_rows * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->back, n_rows * f->width)) != GQA_OK ||
        (st = alloc_reals(f, &f->weight, width * inputs)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[0], n)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[1], n)) != GQA_OK ||
        (st = alloc_reals(f, &f->divisor, inputs * inputs)) != GQA_OK)
        return st;
    return f->backend->alloc(f->device, &f->sums, n * sizeof(double));
}

static enum gqa_status begin(struct fitter *f, double *square)
{
    double *inverse = NULL;
    enum gqa_status st = alloc_room(f);

    if (st == GQA_OK)
        st = put(f, f->output, f->job->output, f->width * f->job->d_model);
    if (st == GQA_OK)
        st = make_square(f, square);
    if (st == GQA_OK)
        st = gqa_score_bias_upload(&f->score_bias, f->backend, f->device,
                                   f->real, f->job->becomes, f->job->bias,
                                   f->reach);
    if (st == GQA_OK)
        st = gqa_input_moments_invert(&inverse, f->records, true,
                                      f->values->inputs);
    if (st == GQA_OK)
        st = put(f, f->divisor, inverse, f->values->inputs * f->values->inputs);
    free(inverse);
    return st;
}

static void end(struct fitter *f)
{
    void *const memory[] = {
        f->score_bias, f->output,  f->less, f->square, f->rows,
        f->cache,      f->heads,   f->back, f->weight, f->vector[0],
        f->vector[1],  f->divisor, f->sums};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        f->backend->free(f->device, memory[i]);
}

enum gqa_status gqa_values_fit(struct gqa_head_rows *values, bool *changed,
                               const struct gqa_values_job *job)
{
    const struct gqa_attention *a = job->becomes->heads;
    struct fitter f = {.job = job,
                       .records = job->records,
                       .backend = job->records->backend,
                       .device = job->records->device,
                       .real = job->records->real,
                       .values = values,
                       .width = a->n_heads * a->head_dim};
    struct gqa_conjugate c = {.n_groups = 1,
                              .n_heads = job->pooled,
                              .head_dim = a->head_dim,
                              .inputs = values->inputs,
                              .n_threads = job->n_threads,
                              .divide = divide,
                              .ctx = &f};
    double *square = malloc(f.width * f.width * sizeof *square);
    double *metrics = calloc(values->n * a->head_dim, sizeof *metrics);
    enum gqa_status st =
        square && metrics ? begin(&f, square) : gqa_fail_nomem();

    *changed = false;
    if (st == GQA_OK)
        metrics_of(metrics, &f, square);
    if (st == GQA_OK)
        st = solve(&f, &c, metrics);
    if (st == GQA_OK)
        st = accept(&f, c.solution, changed);
    gqa_conjugate_clear(&c);
    end(&f);
    free(square);
    free(metrics);
    return st;
}
