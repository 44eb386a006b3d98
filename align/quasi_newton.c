#include "align/quasi_newton.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"
#include "common/vectorised.h"

/* Memory of what steps have shown, of which the last ones are kept. */
static const uint64_t memory_bytes = UINT64_C(1) << 29;

/* Of what the slope promises, the share that a step must keep. */
static const double enough = 1e-4;

/* A step that does not keep it is made shorter, so many times. */
enum { TRIALS = 8 };

/* Of a first step, since blocks that a metric takes apart go too far together.
 */
static const double first_length = 0.25;
static const double shortest = 0.1, longest = 0.5;

/* Values that a thread takes at a time, whose sums are added in order. */
enum { BLOCK = 1 << 15 };

/* How far a step went, and how much the gradient changed by it. */
struct pair {
    double *step, *change;
    double product; /* of the two */
};

struct search {
    const struct gqa_quasi_newton_job *job;
    double value, *gradient;
    double *x, *tried, *tried_gradient, *direction;
    struct pair *pairs; /* [n_room], the newest at (n_made - 1) % n_room */
    uint64_t n_room, n_made;
    double *sums; /* of blocks */
};

/* --- Vectors -------------------------------------------------------------- */

struct vectors {
    const double *a, *b;
    double *out;
    double factor;
    uint64_t n;
};

/* out = a + factor b */
static GQA_VECTORISED void combine(double *out, const double *a,
                                   const double *b, double factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + factor * b[i];
}

static enum gqa_status combine_block(void *ctx, uint64_t first, uint64_t n)
{
    const struct vectors *v = ctx;

    combine(v->out + first, v->a + first, v->b + first, v->factor, (size_t)n);
    return GQA_OK;
}

static enum gqa_status multiply_block(void *ctx, uint64_t first, uint64_t n)
{
    const struct vectors *v = ctx;
    double sum = 0;

    for (uint64_t i = first; i < first + n; i++)
        sum += v->a[i] * v->b[i];
    v->out[first / BLOCK] = sum;
    return GQA_OK;
}

static enum gqa_status add(const struct search *s, double *out, const double *a,
                           const double *b, double factor)
{
    return gqa_ranges_run(s->job->n, BLOCK, s->job->n_threads, combine_block,
                          &(struct vectors){a, b, out, factor, s->job->n});
}

static enum gqa_status multiply(const struct search *s, double *out,
                                const double *a, const double *b)
{
    const enum gqa_status st =
        gqa_ranges_run(s->job->n, BLOCK, s->job->n_threads, multiply_block,
                       &(struct vectors){a, b, s->sums, 0, s->job->n});

    *out = 0;
    for (uint64_t i = 0; st == GQA_OK && i < (s->job->n + BLOCK - 1) / BLOCK;
         i++)
        *out += s->sums[i];
    return st;
}

/* --- Directions ----------------------------------------------------------- */

static const struct pair *pair_at(const struct search *s, uint64_t i)
{
    return &s->pairs[i % s->n_room];
}

/* P^-1 of the direction, times what the last step says of P. */
static enum gqa_status divide(struct search *s)
{
    const struct pair *last = s->n_made ? pair_at(s, s->n_made - 1) : NULL;
    double squares = 0;
    enum gqa_status st = s->job->divide(s->job->ctx, s->direction);

    if (st != GQA_OK || !last)
        return st;
    memcpy(s->tried, last->change, s->job->n * sizeof *s->tried);
    st = s->job->divide(s->job->ctx, s->tried);
    if (st == GQA_OK)
        st = multiply(s, &squares, s->tried, last->change);
    if (st == GQA_OK && squares > 0)
        st = add(s, s->direction, s->direction, s->direction,
                 last->product / squares - 1);
    return st;
}

/* Minus the inverse Hessian, as far as it is known, times the gradient. */
static enum gqa_status direct(struct search *s)
{
    const uint64_t first = s->n_made - gqa_min_u64(s->n_made, s->n_room);
    double *shares = calloc(s->n_room, sizeof *shares);
    double share;
    enum gqa_status st = shares ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < s->job->n; i++)
        s->direction[i] = -s->gradient[i];
    for (uint64_t i = s->n_made; i-- > first && st == GQA_OK;) {
        const struct pair *p = pair_at(s, i);

        st = multiply(s, &share, p->step, s->direction);
        share /= p->product;
        shares[i % s->n_room] = share;
        if (st == GQA_OK)
            st = add(s, s->direction, s->direction, p->change, -share);
    }
    if (st == GQA_OK)
        st = divide(s);
    for (uint64_t i = first; i < s->n_made && st == GQA_OK; i++) {
        const struct pair *p = pair_at(s, i);

        st = multiply(s, &share, p->change, s->direction);
        if (st == GQA_OK)
            st = add(s, s->direction, s->direction, p->step,
                     shares[i % s->n_room] - share / p->product);
    }
    free(shares);
    return st;
}

/* What the step to s->tried has shown, where it is convex there. */
static enum gqa_status learn(struct search *s)
{
    struct pair *p = &s->pairs[s->n_made % s->n_room];
    enum gqa_status st = add(s, p->step, s->tried, s->x, -1);

    if (st == GQA_OK)
        st = add(s, p->change, s->tried_gradient, s->gradient, -1);
    if (st == GQA_OK)
        st = multiply(s, &p->product, p->step, p->change);
    if (st == GQA_OK && p->product > 0)
        s->n_made++;
    return st;
}

/* --- Steps ---------------------------------------------------------------- */

/* Of the parabola through what is known, within bounds. */
static double shorten(double length, double value, double slope, double tried)
{
    const double least =
        -slope * length / (2 * (tried - value - slope * length));

    return length * (least > shortest ? fmin(least, longest) : shortest);
}

static enum gqa_status step(struct search *s, bool *taken)
{
    double slope = 0, length = s->n_made ? 1 : first_length;
    double value = INFINITY;
    enum gqa_status st = direct(s);

    *taken = false;
    if (st == GQA_OK)
        st = multiply(s, &slope, s->direction, s->gradient);
    if (st != GQA_OK || !(slope < 0))
        return st;
    for (int i = 0; i < TRIALS && st == GQA_OK && !*taken; i++) {
        st = add(s, s->tried, s->x, s->direction, length);
        if (st == GQA_OK)
            st = s->job->evaluate(s->job->ctx, s->tried, &value,
                                  s->tried_gradient);
        *taken = st == GQA_OK && value <= s->value + enough * length * slope;
        if (!*taken)
            length = isfinite(value) ? shorten(length, s->value, slope, value)
                                     : length * shortest;
    }
    if (st == GQA_OK && *taken) {
        st = learn(s);
        s->value = value;
        memcpy(s->x, s->tried, s->job->n * sizeof *s->x);
        memcpy(s->gradient, s->tried_gradient, s->job->n * sizeof *s->gradient);
    }
    return st;
}

static enum gqa_status run(struct search *s)
{
    bool taken = true, stop = false;
    enum gqa_status st =
        s->job->evaluate(s->job->ctx, s->x, &s->value, s->gradient);

    if (st == GQA_OK && !isfinite(s->value))
        return gqa_fail(GQA_ERR_FORMAT, "what is fitted to is not finite");
    for (unsigned i = 0; i < s->job->n_steps && taken && !stop && st == GQA_OK;
         i++) {
        st = step(s, &taken);
        if (st == GQA_OK && taken)
            st = s->job->see(s->job->ctx, s->x, &stop);
    }
    return st;
}

static enum gqa_status make_room(struct search *s)
{
    const uint64_t n = s->job->n, n_bytes = n * sizeof(double);
    double **const all[] = {&s->gradient, &s->tried, &s->tried_gradient,
                            &s->direction};

    s->n_room = gqa_max_u64(memory_bytes / (2 * n_bytes + 1), 2);
    s->n_room = gqa_min_u64(s->n_room, gqa_max_u64(s->job->n_steps, 1));
    s->pairs = calloc(s->n_room, sizeof *s->pairs);
    s->sums = calloc(n / BLOCK + 1, sizeof *s->sums);
    if (!s->pairs || !s->sums)
        return gqa_fail_nomem();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = gqa_large_malloc(n_bytes)))
            return gqa_fail_nomem();
    for (uint64_t i = 0; i < s->n_room; i++) {
        s->pairs[i].step = gqa_large_malloc(n_bytes);
        s->pairs[i].change = gqa_large_malloc(n_bytes);
        if (!s->pairs[i].step || !s->pairs[i].change)
            return gqa_fail_nomem();
    }
    return GQA_OK;
}

enum gqa_status gqa_quasi_newton(double *x,
                                 const struct gqa_quasi_newton_job *job)
{
    struct search s = {.job = job, .x = x};
    enum gqa_status st = make_room(&s);

    if (st == GQA_OK)
        st = run(&s);
    for (uint64_t i = 0; s.pairs && i < s.n_room; i++) {
        free(s.pairs[i].step);
        free(s.pairs[i].change);
    }
    free(s.pairs);
    free(s.sums);
    free(s.gradient);
    free(s.tried);
    free(s.tried_gradient);
    free(s.direction);
    return st;
}
