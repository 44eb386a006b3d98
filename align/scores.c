#include "align/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/conjugate.h"
#include "align/gradient_sums.h"
#include "align/input_moments.h"
#include "align/score_bias.h"
#include "align/turning.h"
#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/values.h"

enum {
    ITERATIONS = 4,
    PROBED = 4, /* one part in so many tells what gradients look like */
};

/* Of the preconditioner, as a ridge that pulls to what a fit began with. */
static const double damping = 1e-2;

/* How far to go along what was fitted; the first that does no harm. */
static const double steps[] = {1, 0.5, 0.2};
enum { N_STEPS = sizeof steps / sizeof *steps };

/* Queries or keys. */
struct side {
    bool keys;
    struct gqa_head_rows *rows;
    void *bias;    /* on the device, or NULL */
    void *divisor; /* real [inputs, inputs] on the device: the inverse of the
                      inputs' moments; NULL: as of queries, whose inputs are
                      these */
};

struct fitter {
    const struct gqa_scores_job *job;
    const struct gqa_score_records *records;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    struct gqa_turning turning; /* of the converted model */
    struct side queries, keys;
    const struct side *side; /* that is fitted */
    void *score_bias;        /* of the original, and its reach */
    uint64_t reach;
    /* On the device; of the largest part: */
    void *rows;                    /* a projection's outputs */
    void *cache;                   /* keys of `rows` */
    void *out;                     /* gradients */
    void *weight;                  /* real [rows, inputs] of a side */
    void *vector[2];               /* the same */
    void *moments;                 /* float64 [rows, rows] of a side */
    struct gqa_gradient_sums sums; /* [rows, inputs] of a side */
    /* By part: current queries and keys. */
    void **now_q, **now_k;
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

/* --- Projections ---------------------------------------------------------- */

/* Heads side by side. */
static struct gqa_head_place place_of(const struct fitter *f,
                                      const struct side *side)
{
    const uint64_t n = side->rows->n / f->job->block->heads->head_dim;

    return (struct gqa_head_place){n, 0, n, 0};
}

static enum gqa_status turn(const struct fitter *f, void *rows,
                            const struct side *side, const void *table)
{
    const struct gqa_head_place place = place_of(f, side);
    const struct gqa_rope *rope = f->turning.rope;

    return rope ? f->backend->rotate(f->device, rows, side->rows->n, &place,
                                     f->job->block->heads->head_dim,
                                     rope->n_pairs, rope->interleaved, table)
                : GQA_OK;
}

/* What f->weight makes of a part's inputs, turned; keys into a cache too. The
 * part's side becomes the batch. */
static enum gqa_status project(const struct fitter *f,
                               const struct gqa_score_part *p,
                               const struct side *side, bool with_bias,
                               void *out, void *cache)
{
    const struct gqa_head_place place = place_of(f, side);
    const struct gqa_weight weight = {f->weight, f->real, side->rows->n,
                                      side->rows->inputs};
    const struct gqa_weight bias = {side->bias, f->real, side->rows->n, 1};
    enum gqa_status st = gqa_score_records_begin(f->records, p, side->keys);

    if (st == GQA_OK)
        st = f->backend->linear(
            f->device, out, gqa_score_part_inputs(p, side->keys),
            gqa_score_part_rows(p, side->keys), &weight, false,
            with_bias && side->bias ? &bias : NULL, NULL);
    if (st == GQA_OK)
        st = turn(f, out, side, f->turning.forth);
    return st == GQA_OK && side->keys
               ? f->backend->store(f->device, cache, p->n_keys, out,
                                   side->rows->n, &place,
                                   f->job->block->heads->head_dim)
               : st;
}

/* Current queries, or keys, of all parts. */
static enum gqa_status update_now(const struct fitter *f,
                                  const struct side *side)
{
    enum gqa_status st = put(f, f->weight, side->rows->weight,
                             side->rows->n * side->rows->inputs);

    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++)
        st = project(f, &f->records->parts[i], side, true,
                     side->keys ? f->rows : f->now_q[i], f->now_k[i]);
    return st;
}

/* --- Comparing ------------------------------------------------------------ */

static struct gqa_score_op op_of(const struct fitter *f, size_t part,
                                 const void *q, const void *k)
{
    const struct gqa_score_part *p = &f->records->parts[part];
    struct gqa_score_op op = {.original =
                                  gqa_score_part_attention(p, f->job->block),
                              .q = q,
                              .q_width = f->queries.rows->n,
                              .q_place = place_of(f, &f->queries),
                              .k = k,
                              .n_kv_heads = f->job->pooled,
                              .heads = f->job->heads,
                              .weights = p->weights,
                              .scale = f->job->becomes->scale};

    op.original.q = p->q;
    op.original.q_width = f->records->q_width;
    op.original.q_place = f->records->q_place;
    op.original.k = p->k;
    op.original.bias = f->score_bias;
    op.original.reach = f->reach;
    return op;
}

/* The operation's r, as a gradient of the rows of the side that is fitted, to
 * f->out. */
static enum gqa_status differentiate(const struct fitter *f, size_t part,
                                     struct gqa_score_op *op)
{
    const struct gqa_score_part *p = &f->records->parts[part];
    enum gqa_status st = gqa_score_records_begin(f->records, p, false);

    if (f->side->keys)
        op->out_k = f->out;
    else
        op->out_q = f->out;
    if (st == GQA_OK)
        st = f->backend->scores(f->device, op);
    if (st == GQA_OK && f->side->keys)
        st = gqa_score_records_begin(f->records, p, true);
    return st == GQA_OK ? turn(f, f->out, f->side, f->turning.back) : st;
}

static enum gqa_status add_gradient(const struct fitter *f, size_t part)
{
    const struct gqa_score_part *p = &f->records->parts[part];
    const bool keys = f->side->keys;

    return gqa_gradient_sums_add(
        &f->sums, f->out, f->side->rows->n, gqa_score_part_inputs(p, keys),
        f->side->rows->inputs, gqa_score_part_rows(p, keys));
}

/* The gradient of the loss, [rows, inputs]; of the direction in f->weight, A
 * of it. */
static enum gqa_status sum_gradients(const struct fitter *f, double *out,
                                     const double *direction)
{
    const struct side *s = f->side;
    const uint64_t n = s->rows->n * s->rows->inputs;
    enum gqa_status st = gqa_gradient_sums_begin(&f->sums, n);

    if (st == GQA_OK && direction)
        st = put(f, f->weight, direction, n);
    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];
        struct gqa_score_op op = op_of(f, i, f->now_q[i], f->now_k[i]);

        if (p->held_out)
            continue;
        op.subtract = !direction;
        if (direction && s->keys)
            op.k = f->cache;
        else if (direction)
            op.q = f->rows;
        if (direction)
            st = project(f, p, s, false, f->rows, f->cache);
        if (st == GQA_OK)
            st = differentiate(f, i, &op);
        if (st == GQA_OK)
            st = add_gradient(f, i);
        if (gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    }
    return st == GQA_OK ? gqa_gradient_sums_get(&f->sums, out, n) : st;
}

/* Moments of random gradients, [heads, d, d] of each head, as if of all
 * parts. */
static enum gqa_status probe(const struct fitter *f, double *out)
{
    const uint64_t d = f->job->block->heads->head_dim, n = f->side->rows->n;
    double *all = gqa_large_malloc(n * n * sizeof *all);
    uint64_t n_all = 0, n_probed = 0, n_fit = 0;
    enum gqa_status st =
        all ? f->backend->zero(f->device, f->moments, n * n * sizeof *all)
            : gqa_fail_nomem();

    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];
        struct gqa_score_op op = op_of(f, i, f->now_q[i], f->now_k[i]);

        if (p->held_out)
            continue;
        n_all += gqa_score_part_rows(p, false);
        if (n_fit++ % PROBED)
            continue;
        n_probed += gqa_score_part_rows(p, false);
        op.probe = i + 1;
        st = differentiate(f, i, &op);
        if (st == GQA_OK)
            st = f->backend->gram(f->device, f->moments, f->out, n, NULL, 0,
                                  gqa_score_part_rows(p, f->side->keys));
    }
    if (st == GQA_OK)
        st = f->backend->download(f->device, all, f->moments,
                                  n * n * sizeof *all);
    for (uint64_t i = 0; i < n * d && st == GQA_OK && n_probed > 0; i++)
        out[i] = all[i / d * n + i / d / d * d + i % d] * (double)n_all /
                 (double)n_probed;
    free(all);
    return st;
}

/* --- Held-out sequences --------------------------------------------------- */

/* Losses of each group, [held-out parts, pooled], with the side's weight in
 * f->weight. */
static enum gqa_status lose(const struct fitter *f, double *out)
{
    const uint64_t n_heads = f->job->block->heads->n_heads;
    const uint64_t pooled = f->job->pooled;
    double *losses = malloc(n_heads * sizeof *losses);
    enum gqa_status st = losses ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < f->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &f->records->parts[i];
        struct gqa_score_op op = f->side->keys
                                     ? op_of(f, i, f->now_q[i], f->cache)
                                     : op_of(f, i, f->rows, f->now_k[i]);

        if (!p->held_out)
            continue;
        op.subtract = true;
        op.losses = losses;
        st = project(f, p, f->side, true, f->rows, f->cache);
        if (st == GQA_OK)
            st = gqa_score_records_begin(f->records, p, false);
        if (st == GQA_OK)
            st = f->backend->scores(f->device, &op);
        for (uint64_t g = 0; g < pooled && st == GQA_OK; g++) {
            double sum = 0;

            for (uint64_t h = 0; h < n_heads / pooled; h++)
                sum += losses[g * (n_heads / pooled) + h];
            *out++ = sum;
        }
    }
    free(losses);
    return st;
}

/* Of one group, over all held-out sequences: their sum and the largest. */
struct tally {
    double sum, worst;
};

static struct tally tally(const double *losses, size_t n_held, uint64_t pooled,
                          uint64_t group)
{
    struct tally t = {0, 0};

    for (size_t i = 0; i < n_held; i++) {
        const double loss = losses[i * pooled + group];

        t.sum += loss;
        t.worst = fmax(t.worst, loss);
    }
    return t;
}

static size_t count_held(const struct gqa_score_records *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_parts; i++)
        n += r->parts[i].held_out;
    return n;
}

/* A candidate for the side's weight: groups that are done stay as they are. */
struct candidate {
    double *out;
    const double *weight, *solution;
    double step;
    const bool *done;
    uint64_t n; /* values of a group */
};

static enum gqa_status go_group(void *ctx, uint64_t group, uint64_t n_groups)
{
    const struct candidate *c = ctx;
    const uint64_t end = (group + n_groups) * c->n;

    for (uint64_t i = group * c->n; i < end; i++)
        c->out[i] =
            c->weight[i] + (c->done[i / c->n] ? 0 : c->step * c->solution[i]);
    return GQA_OK;
}

static enum gqa_status go(double *out, const struct fitter *f,
                          const double *solution, double step, const bool *done)
{
    const struct gqa_head_rows *rows = f->side->rows;
    struct candidate c = {
        .out = out,
        .weight = rows->weight,
        .solution = solution,
        .step = step,
        .done = done,
        .n = rows->n / f->job->pooled * rows->inputs,
    };

    return gqa_ranges_run(f->job->pooled, 1, f->job->n_threads, go_group, &c);
}

/* What is accepted of a solution goes into the weight. */
static enum gqa_status accept(const struct fitter *f, const double *solution,
                              struct gqa_scores_gain *gain, bool *changed)
{
    const struct gqa_head_rows *rows = f->side->rows;
    const uint64_t pooled = f->job->pooled, n = rows->n * rows->inputs;
    const size_t n_held = count_held(f->records);
    double *before = malloc((n_held + 1) * pooled * sizeof *before);
    double *after = malloc((n_held + 1) * pooled * sizeof *after);
    double *tried = gqa_large_malloc(n * sizeof *tried);
    bool *done = calloc(pooled, sizeof *done);
    enum gqa_status st =
        before && after && tried && done ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = put(f, f->weight, rows->weight, n);
    if (st == GQA_OK)
        st = lose(f, before);
    gain->after = 0;
    for (uint64_t g = 0; g < pooled && st == GQA_OK; g++)
        gain->after += tally(before, n_held, pooled, g).sum;
    if (isnan(gain->before))
        gain->before = gain->after;
    for (int i = 0; i < N_STEPS && st == GQA_OK; i++) {
        st = go(tried, f, solution, steps[i], done);
        if (st == GQA_OK)
            st = put(f, f->weight, tried, n);
        if (st == GQA_OK)
            st = lose(f, after);
        for (uint64_t g = 0; g < pooled && st == GQA_OK; g++) {
            const struct tally was = tally(before, n_held, pooled, g);
            const struct tally is = tally(after, n_held, pooled, g);
            const uint64_t part = n / pooled;

            if (done[g] || !(is.sum < was.sum) || is.worst > was.worst)
                continue;
            done[g] = *changed = true;
            gain->after += is.sum - was.sum;
            memcpy(rows->weight + g * part, tried + g * part,
                   part * sizeof *tried);
        }
    }
    free(before);
    free(after);
    free(tried);
    free(done);
    return st;
}

/* --- One side ------------------------------------------------------------- */

static enum gqa_status divide(void *ctx, double *x)
{
    const struct fitter *f = ctx;
    const struct gqa_head_rows *rows = f->side->rows;
    const struct gqa_weight inverse = {f->side->divisor ? f->side->divisor
                                                        : f->queries.divisor,
                                       f->real, rows->inputs, rows->inputs};
    enum gqa_status st = put(f, f->vector[0], x, rows->n * rows->inputs);

    if (st == GQA_OK)
        st = f->backend->linear(f->device, f->vector[1], f->vector[0], rows->n,
                                &inverse, false, NULL, NULL);
    return st == GQA_OK ? get(f, x, f->vector[1], rows->n * rows->inputs) : st;
}

static enum gqa_status solve(const struct fitter *f, struct gqa_conjugate *c,
                             double *sum, const double *moments)
{
    const uint64_t n = f->side->rows->n * f->side->rows->inputs;
    enum gqa_status st = sum_gradients(f, sum, NULL);

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        sum[i] = -sum[i];
    if (st == GQA_OK)
        st = gqa_conjugate_begin(c, moments, sum);
    for (int i = 1; i <= ITERATIONS && st == GQA_OK; i++) {
        st = sum_gradients(f, sum, c->direction);
        if (st == GQA_OK)
            st = gqa_conjugate_next(c, sum, i == ITERATIONS);
    }
    return st;
}

static enum gqa_status fit_side(struct fitter *f, const struct side *side,
                                struct gqa_scores_gain *gain, bool *changed)
{
    const struct gqa_head_rows *rows = side->rows;
    const uint64_t d = f->job->block->heads->head_dim;
    struct gqa_conjugate c = {.n_groups = f->job->pooled,
                              .n_heads = rows->n / d,
                              .head_dim = d,
                              .inputs = rows->inputs,
                              .n_threads = f->job->n_threads,
                              .damping = damping,
                              .divide = divide,
                              .ctx = f};
    double *sum = gqa_large_malloc(rows->n * rows->inputs * sizeof *sum);
    double *moments = calloc(rows->n * d, sizeof *moments);
    enum gqa_status st = sum && moments ? GQA_OK : gqa_fail_nomem();

    f->side = side;
    if (st == GQA_OK)
        st = probe(f, moments);
    if (st == GQA_OK)
        st = solve(f, &c, sum, moments);
    if (st == GQA_OK)
        st = accept(f, c.solution, gain, changed);
    if (st == GQA_OK)
        st = update_now(f, side);
    gqa_conjugate_clear(&c);
    free(sum);
    free(moments);
    return st;
}

/* What inputs are divided by, on the device. */
static enum gqa_status invert_inputs(const struct fitter *f, struct side *side)
{
    const uint64_t n = side->rows->inputs * side->rows->inputs;
    double *inverse = NULL;
    enum gqa_status st = gqa_input_moments_invert(
        &inverse, f->records, side->keys, side->rows->inputs);

    if (st == GQA_OK)
        st = alloc_reals(f, &side->divisor, n);
    if (st == GQA_OK)
        st = put(f, side->divisor, inverse, n);
    free(inverse);
    return st;
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status alloc_parts(struct fitter *f)
{
    const struct gqa_score_records *r = f->records;
    enum gqa_status st = GQA_OK;

    f->now_q = calloc(r->n_parts + 1, sizeof *f->now_q);
    f->now_k = calloc(r->n_parts + 1, sizeof *f->now_k);
    if (!f->now_q || !f->now_k)
        return gqa_fail_nomem();
    for (size_t i = 0; i < r->n_parts && st == GQA_OK; i++) {
        st = alloc_reals(f, &f->now_q[i],
                         gqa_score_part_rows(&r->parts[i], false) *
                             f->queries.rows->n);
        if (st == GQA_OK)
            st = alloc_reals(f, &f->now_k[i],
                             gqa_score_part_rows(&r->parts[i], true) *
                                 f->keys.rows->n);
    }
    return st;
}

static enum gqa_status alloc_room(struct fitter *f)
{
    const struct gqa_head_rows *q = f->queries.rows, *k = f->keys.rows;
    const uint64_t inputs = gqa_max_u64(q->inputs, k->inputs);
    const uint64_t n = gqa_max_u64(q->n, k->n);
    const struct gqa_score_sizes most = gqa_score_records_sizes(f->records);
    const uint64_t n_rows = gqa_max_u64(most.n_queries, most.n_keys);
    enum gqa_status st;

    f->reach = most.reach;
    if ((st = alloc_reals(f, &f->rows, n_rows * n)) != GQA_OK ||
        (st = alloc_reals(f, &f->cache, n_rows * k->n)) != GQA_OK ||
        (st = alloc_reals(f, &f->out, n_rows * gqa_max_u64(n, inputs))) !=
            GQA_OK ||
        (st = alloc_reals(f, &f->weight, n * inputs)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[0], n * inputs)) != GQA_OK ||
        (st = alloc_reals(f, &f->vector[1], n * inputs)) != GQA_OK)
        return st;
    st = f->backend->alloc(f->device, &f->moments, n * n * sizeof(double));
    return st == GQA_OK
               ? gqa_gradient_sums_create(&f->sums, f->backend, f->device,
                                          f->real, n * inputs)
               : st;
}

static enum gqa_status put_bias(const struct fitter *f, struct side *side)
{
    enum gqa_status st;

    if (!side->rows->bias)
        return GQA_OK;
    st = alloc_reals(f, &side->bias, side->rows->n);
    return st == GQA_OK ? put(f, side->bias, side->rows->bias, side->rows->n)
                        : st;
}

/* Keys are made from something else than queries. */
static bool reads_memory(const struct gqa_score_records *r)
{
    return r->n_parts > 0 && r->parts[0].y;
}

static enum gqa_status begin(struct fitter *f)
{
    enum gqa_status st = alloc_room(f);

    if (st == GQA_OK)
        st = alloc_parts(f);
    if (st == GQA_OK)
        st = gqa_score_bias_upload(&f->score_bias, f->backend, f->device,
                                   f->real, f->job->block, f->job->bias,
                                   f->reach);
    if (st == GQA_OK)
        st = gqa_turning_create(&f->turning, f->backend, f->device, f->real,
                                f->job->becomes->rope, f->reach);
    for (int i = 0; i < 2 && st == GQA_OK; i++) {
        struct side *side = i ? &f->keys : &f->queries;

        st = put_bias(f, side);
        if (st == GQA_OK && (!side->keys || reads_memory(f->records)))
            st = invert_inputs(f, side);
        if (st == GQA_OK)
            st = update_now(f, side);
    }
    return st;
}

static void end(struct fitter *f)
{
    void *const memory[] = {f->queries.bias, f->keys.bias,
                            f->score_bias,   f->rows,
                            f->cache,        f->out,
                            f->weight,       f->vector[0],
                            f->vector[1],    f->queries.divisor,
                            f->keys.divisor, f->moments};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        f->backend->free(f->device, memory[i]);
    for (size_t i = 0; i < f->records->n_parts; i++) {
        if (f->now_q)
            f->backend->free(f->device, f->now_q[i]);
        if (f->now_k)
            f->backend->free(f->device, f->now_k[i]);
    }
    free(f->now_q);
    free(f->now_k);
    gqa_gradient_sums_clear(&f->sums);
    gqa_turning_clear(&f->turning, f->backend, f->device);
}

enum gqa_status gqa_scores_fit(struct gqa_head_rows *queries,
                               struct gqa_head_rows *keys,
                               struct gqa_scores_gain *out,
                               const struct gqa_scores_job *job)
{
    struct fitter f = {.job = job,
                       .records = job->records,
                       .backend = job->records->backend,
                       .device = job->records->device,
                       .real = job->records->real,
                       .queries = {.rows = queries},
                       .keys = {.keys = true, .rows = keys}};
    enum gqa_status st = begin(&f);

    *out = (struct gqa_scores_gain){.before = NAN, .after = NAN};
    if (st == GQA_OK)
        st = fit_side(&f, &f.queries, out, &out->queries);
    if (st == GQA_OK)
        st = fit_side(&f, &f.keys, out, &out->keys);
    if (st == GQA_OK)
        st = fit_side(&f, &f.queries, out, &out->queries);
    end(&f);
    return st;
}
