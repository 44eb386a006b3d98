#include "align/conjugate.h"

#include <stdlib.h>
#include <string.h>

#include "align/solve.h"
#include "common/large.h"
#include "common/ranges.h"
#include "common/vectorised.h"
#include "runtime/blas.h"

/* Of the mean diagonal, added to S so that it has an inverse. */
static const double ridge = 1e-3;

/* --- Heads, each by one thread -------------------------------------------- */

/* What is done with the rows of one head, of factors and sums of its own. */
struct head_pass {
    struct gqa_conjugate *c;
    void (*fn)(const struct head_pass *pass, uint64_t head, size_t at,
               size_t n);
    const double *product; /* A of the direction */
    const double *factors; /* [n_groups] */
};

static uint64_t group_of(const struct gqa_conjugate *c, uint64_t head)
{
    return head / (c->n_heads / c->n_groups);
}

static enum gqa_status run_heads(void *ctx, uint64_t first, uint64_t n_heads)
{
    const struct head_pass *pass = ctx;
    const size_t n = (size_t)(pass->c->head_dim * pass->c->inputs);

    for (uint64_t h = first; h < first + n_heads; h++)
        pass->fn(pass, h, h * n, n);
    return GQA_OK;
}

static enum gqa_status each_head(struct head_pass *pass)
{
    return gqa_ranges_run(pass->c->n_heads, 1, pass->c->n_threads, run_heads,
                          pass);
}

/* Of each group: what its heads' sums are in all. */
static void add_up(const struct gqa_conjugate *c, double *out)
{
    memset(out, 0, c->n_groups * sizeof *out);
    for (uint64_t h = 0; h < c->n_heads; h++)
        out[group_of(c, h)] += c->sums[h];
}

static GQA_VECTORISED void subtract(double *solution, double *rest,
                                    const double *direction,
                                    const double *product, const double *image,
                                    double step, double damping, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        solution[i] += step * direction[i];
        rest[i] -= step * (product[i] + damping * image[i]);
    }
}

static GQA_VECTORISED void follow(double *direction, double *image,
                                  const double *spare, const double *rest,
                                  double share, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        direction[i] = spare[i] + share * direction[i];
        image[i] = rest[i] + share * image[i];
    }
}

/* Sums of as many lanes as a vector has: the same whatever it has. */
enum { LANES = 8 };

static double add_lanes(const double *lanes)
{
    double sum = 0;

    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

/* x times (y + factor z), added up; z may be NULL. */
static GQA_VECTORISED double multiply(const double *x, const double *y,
                                      const double *z, double factor, size_t n)
{
    double lanes[LANES] = {0};
    size_t i = 0;

    for (; z && i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * (y[i + l] + factor * z[i + l]);
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        lanes[0] += x[i] * (z ? y[i] + factor * z[i] : y[i]);
    return add_lanes(lanes);
}

/* Of no solution: rest, and with it P of the direction that is rest's
 * preconditioned. */
static void begin_head(const struct head_pass *pass, uint64_t head, size_t at,
                       size_t n)
{
    struct gqa_conjugate *c = pass->c;

    (void)head;
    memcpy(c->rest + at, c->spare + at, n * sizeof *c->rest);
    memcpy(c->image + at, c->spare + at, n * sizeof *c->image);
}

static void direct_head(const struct head_pass *pass, uint64_t head, size_t at,
                        size_t n)
{
    struct gqa_conjugate *c = pass->c;

    (void)head;
    memcpy(c->direction + at, c->spare + at, n * sizeof *c->direction);
}

/* Sums of the direction times A and damped P of it. */
static void bend_head(const struct head_pass *pass, uint64_t head, size_t at,
                      size_t n)
{
    const struct gqa_conjugate *c = pass->c;

    c->sums[head] = multiply(c->direction + at, pass->product + at,
                             c->image + at, c->damping, n);
}

static void step_head(const struct head_pass *pass, uint64_t head, size_t at,
                      size_t n)
{
    struct gqa_conjugate *c = pass->c;

    subtract(c->solution + at, c->rest + at, c->direction + at,
             pass->product + at, c->image + at,
             pass->factors[group_of(c, head)], c->damping, n);
}

static void precondition_head(const struct head_pass *pass, uint64_t head,
                              size_t at, size_t n)
{
    const struct gqa_conjugate *c = pass->c;
    const int d = (int)c->head_dim, width = (int)c->inputs;

    (void)n;
    gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, d, width, d, 1,
                   c->inverses + head * c->head_dim * c->head_dim, d,
                   c->rest + at, width, 0, c->spare + at, width);
}

/* Sums of rest times P^-1 of it. */
static void rest_head(const struct head_pass *pass, uint64_t head, size_t at,
                      size_t n)
{
    const struct gqa_conjugate *c = pass->c;

    c->sums[head] = multiply(c->rest + at, c->spare + at, NULL, 0, n);
}

static void follow_head(const struct head_pass *pass, uint64_t head, size_t at,
                        size_t n)
{
    struct gqa_conjugate *c = pass->c;

    follow(c->direction + at, c->image + at, c->spare + at, c->rest + at,
           pass->factors[group_of(c, head)], n);
}

/* spare = P^-1 rest, and of each group the energy of both. */
static enum gqa_status precondition(struct gqa_conjugate *c, double *energies)
{
    struct head_pass pass = {.c = c, .fn = precondition_head};
    enum gqa_status st = each_head(&pass);

    if (st == GQA_OK)
        st = c->divide(c->ctx, c->spare);
    pass.fn = rest_head;
    if (st == GQA_OK)
        st = each_head(&pass);
    add_up(c, energies);
    return st;
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status allocate(struct gqa_conjugate *c)
{
    const size_t n = (size_t)(c->n_heads * c->head_dim * c->inputs);
    const size_t dd = (size_t)(c->head_dim * c->head_dim);

    c->inverses = gqa_large_malloc(c->n_heads * dd * sizeof *c->inverses);
    c->solution = gqa_large_calloc(n, sizeof *c->solution);
    c->direction = gqa_large_malloc(n * sizeof *c->direction);
    c->rest = gqa_large_malloc(n * sizeof *c->rest);
    c->image = gqa_large_malloc(n * sizeof *c->image);
    c->energies = calloc(c->n_groups, sizeof *c->energies);
    c->sums = calloc(c->n_heads, sizeof *c->sums);
    return c->inverses && c->solution && c->direction && c->rest && c->image &&
                   c->energies && c->sums
               ? GQA_OK
               : gqa_fail_nomem();
}

enum gqa_status gqa_conjugate_begin(struct gqa_conjugate *c,
                                    const double *moments, double *b)
{
    const uint64_t dd = c->head_dim * c->head_dim;
    struct head_pass pass = {.c = c, .fn = begin_head};
    enum gqa_status st = allocate(c);

    for (uint64_t h = 0; h < c->n_heads && st == GQA_OK; h++)
        st = gqa_inverse(c->inverses + h * dd, moments + h * dd, c->head_dim,
                         ridge);
    c->spare = b;
    if (st == GQA_OK)
        st = each_head(&pass);
    if (st == GQA_OK)
        st = precondition(c, c->energies);
    pass.fn = direct_head;
    return st == GQA_OK ? each_head(&pass) : st;
}

static enum gqa_status go(struct gqa_conjugate *c, const double *product,
                          double *steps)
{
    struct head_pass pass = {
        .c = c, .fn = bend_head, .product = product, .factors = steps};
    const enum gqa_status st = each_head(&pass);

    add_up(c, steps);
    for (uint64_t g = 0; g < c->n_groups; g++)
        steps[g] = steps[g] > 0 ? c->energies[g] / steps[g] : 0;
    pass.fn = step_head;
    return st == GQA_OK ? each_head(&pass) : st;
}

static enum gqa_status turn(struct gqa_conjugate *c, double *shares)
{
    struct head_pass pass = {.c = c, .fn = follow_head, .factors = shares};
    const enum gqa_status st = precondition(c, shares);

    for (uint64_t g = 0; g < c->n_groups; g++) {
        const double energy = shares[g];

        shares[g] = c->energies[g] > 0 ? energy / c->energies[g] : 0;
        c->energies[g] = energy;
    }
    return st == GQA_OK ? each_head(&pass) : st;
}

enum gqa_status gqa_conjugate_next(struct gqa_conjugate *c, double *product,
                                   bool last)
{
    double *factors = calloc(c->n_groups, sizeof *factors);
    enum gqa_status st = factors ? go(c, product, factors) : gqa_fail_nomem();

    c->spare = product;
    if (st == GQA_OK && !last)
        st = turn(c, factors);
    free(factors);
    return st;
}

void gqa_conjugate_clear(struct gqa_conjugate *c)
{
    free(c->inverses);
    free(c->solution);
    free(c->direction);
    free(c->rest);
    free(c->image);
    free(c->energies);
    free(c->sums);
}
