#include "align/conjugate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "align/solve.h"
#include "common/workers.h"
#include "runtime/blas.h"

/* Of the mean diagonal, added to S so that it has an inverse. */
static const double ridge = 1e-3;

/* --- Heads, each by one thread -------------------------------------------- */

/* What is done with one head's rows: x, y, out at their first elements, n of
 * them; of its group, the factor. */
struct head_loop {
    struct gqa_conjugate *c;
    void (*fn)(const struct head_loop *loop, uint64_t head, uint64_t at,
               uint64_t n);
    const double *x, *y;
    double *out;
    const double *factors; /* [n_groups] */
    atomic_size_t next;
};

static uint64_t group_of(const struct gqa_conjugate *c, uint64_t head)
{
    return head / (c->n_heads / c->n_groups);
}

static enum gqa_status run_heads(void *ctx, unsigned worker)
{
    struct head_loop *loop = ctx;
    const uint64_t n = loop->c->head_dim * loop->c->inputs;
    size_t head;

    (void)worker;
    while ((head = atomic_fetch_add(&loop->next, 1)) < loop->c->n_heads)
        loop->fn(loop, head, head * n, n);
    return GQA_OK;
}

static enum gqa_status each_head(struct head_loop *loop)
{
    atomic_init(&loop->next, 0);
    return gqa_workers_run(loop->c->n_threads, run_heads, loop);
}

static void dot_head(const struct head_loop *loop, uint64_t head, uint64_t at,
                     uint64_t n)
{
    double sum = 0;

    for (uint64_t i = at; i < at + n; i++)
        sum += loop->x[i] * loop->y[i];
    loop->c->sums[head] = sum;
}

/* Of each group: x and y multiplied and added up. */
static enum gqa_status dot(struct gqa_conjugate *c, double *out,
                           const double *x, const double *y)
{
    struct head_loop loop = {.c = c, .fn = dot_head, .x = x, .y = y};
    const enum gqa_status st = each_head(&loop);

    memset(out, 0, c->n_groups * sizeof *out);
    for (uint64_t h = 0; h < c->n_heads; h++)
        out[group_of(c, h)] += c->sums[h];
    return st;
}

static void add_head(const struct head_loop *loop, uint64_t head, uint64_t at,
                     uint64_t n)
{
    const double factor = loop->factors[group_of(loop->c, head)];

    for (uint64_t i = at; i < at + n; i++)
        loop->out[i] += factor * loop->x[i];
}

/* out += factor * x, each group with its own. */
static enum gqa_status add(struct gqa_conjugate *c, double *out,
                           const double *factors, const double *x)
{
    struct head_loop loop = {
        .c = c, .fn = add_head, .x = x, .out = out, .factors = factors};

    return each_head(&loop);
}

static void follow_head(const struct head_loop *loop, uint64_t head,
                        uint64_t at, uint64_t n)
{
    const double factor = loop->factors[group_of(loop->c, head)];

    for (uint64_t i = at; i < at + n; i++)
        loop->out[i] = loop->x[i] + factor * loop->out[i];
}

/* out = x + factor * out. */
static enum gqa_status follow(struct gqa_conjugate *c, double *out,
                              const double *factors, const double *x)
{
    struct head_loop loop = {
        .c = c, .fn = follow_head, .x = x, .out = out, .factors = factors};

    return each_head(&loop);
}

static void precondition_head(const struct head_loop *loop, uint64_t head,
                              uint64_t at, uint64_t n)
{
    const struct gqa_conjugate *c = loop->c;
    const int d = (int)c->head_dim, width = (int)c->inputs;

    (void)n;
    gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, d, width, d, 1,
                   c->inverses + head * c->head_dim * c->head_dim, d,
                   c->rest + at, width, 0, c->turned + at, width);
}

/* spare = P^-1 rest. */
static enum gqa_status precondition(struct gqa_conjugate *c)
{
    struct head_loop loop = {.c = c, .fn = precondition_head};
    const enum gqa_status st = each_head(&loop);

    return st == GQA_OK ? c->divide(c->ctx, c->spare, c->turned) : st;
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status allocate(struct gqa_conjugate *c)
{
    const size_t n = (size_t)(c->n_heads * c->head_dim * c->inputs);
    const size_t dd = (size_t)(c->head_dim * c->head_dim);

    c->inverses = malloc(c->n_heads * dd * sizeof *c->inverses);
    c->solution = calloc(n, sizeof *c->solution);
    c->direction = malloc(n * sizeof *c->direction);
    c->rest = malloc(n * sizeof *c->rest);
    c->image = malloc(n * sizeof *c->image);
    c->spare = malloc(n * sizeof *c->spare);
    c->turned = malloc(n * sizeof *c->turned);
    c->energies = calloc(c->n_groups, sizeof *c->energies);
    c->sums = calloc(c->n_heads, sizeof *c->sums);
    return c->inverses && c->solution && c->direction && c->rest && c->image &&
                   c->spare && c->turned && c->energies && c->sums
               ? GQA_OK
               : gqa_fail_nomem();
}

enum gqa_status gqa_conjugate_begin(struct gqa_conjugate *c,
                                    const double *moments, const double *b)
{
    const size_t n = (size_t)(c->n_heads * c->head_dim * c->inputs);
    const uint64_t dd = c->head_dim * c->head_dim;
    enum gqa_status st = allocate(c);

    if (st != GQA_OK)
        return st;
    for (uint64_t h = 0; h < c->n_heads && st == GQA_OK; h++)
        st = gqa_inverse(c->inverses + h * dd, moments + h * dd, c->head_dim,
                         ridge);
    memcpy(c->rest, b, n * sizeof *b);
    if (st == GQA_OK)
        st = precondition(c);
    if (st != GQA_OK)
        return st;
    memcpy(c->direction, c->spare, n * sizeof *c->direction);
    /* P of the direction. */
    memcpy(c->image, c->rest, n * sizeof *c->image);
    return dot(c, c->energies, c->rest, c->spare);
}

/* Of each group. */
struct step {
    double *along, *damped, *steps, *energies;
};

static enum gqa_status go(struct gqa_conjugate *c, const double *product,
                          const struct step *s)
{
    enum gqa_status st = dot(c, s->along, c->direction, product);

    if (st == GQA_OK)
        st = dot(c, s->damped, c->direction, c->image);
    for (uint64_t g = 0; g < c->n_groups; g++) {
        const double energy = s->along[g] + c->damping * s->damped[g];

        s->steps[g] = energy > 0 ? c->energies[g] / energy : 0;
    }
    if (st == GQA_OK)
        st = add(c, c->solution, s->steps, c->direction);
    for (uint64_t g = 0; g < c->n_groups; g++)
        s->steps[g] *= -1;
    if (st == GQA_OK)
        st = add(c, c->rest, s->steps, product);
    for (uint64_t g = 0; g < c->n_groups; g++)
        s->steps[g] *= c->damping;
    return st == GQA_OK ? add(c, c->rest, s->steps, c->image) : st;
}

static enum gqa_status turn(struct gqa_conjugate *c, const struct step *s)
{
    enum gqa_status st = precondition(c);

    if (st == GQA_OK)
        st = dot(c, s->energies, c->rest, c->spare);
    for (uint64_t g = 0; g < c->n_groups; g++)
        s->steps[g] = c->energies[g] > 0 ? s->energies[g] / c->energies[g] : 0;
    if (st == GQA_OK)
        st = follow(c, c->direction, s->steps, c->spare);
    if (st == GQA_OK)
        st = follow(c, c->image, s->steps, c->rest);
    memcpy(c->energies, s->energies, c->n_groups * sizeof *c->energies);
    return st;
}

enum gqa_status gqa_conjugate_next(struct gqa_conjugate *c,
                                   const double *product, bool last)
{
    double *room = calloc(4 * c->n_groups, sizeof *room);
    struct step s;
    enum gqa_status st;

    if (!room)
        return gqa_fail_nomem();
    s = (struct step){room, room + c->n_groups, room + 2 * c->n_groups,
                      room + 3 * c->n_groups};
    st = go(c, product, &s);
    if (st == GQA_OK && !last)
        st = turn(c, &s);
    free(room);
    return st;
}

void gqa_conjugate_clear(struct gqa_conjugate *c)
{
    free(c->inverses);
    free(c->solution);
    free(c->direction);
    free(c->rest);
    free(c->image);
    free(c->spare);
    free(c->turned);
    free(c->energies);
    free(c->sums);
}
