#include "align/conjugate.h"

#include <stdlib.h>
#include <string.h>

#include "align/solve.h"
#include "runtime/blas.h"

/* Of the mean diagonal, added to S so that it has an inverse. */
static const double ridge = 1e-3;

static uint64_t n_rows(const struct gqa_conjugate *c)
{
    return c->n_heads * c->head_dim;
}

/* Of each group: x and y multiplied and added up. */
static double dot(const struct gqa_conjugate *c, uint64_t group,
                  const double *x, const double *y)
{
    const uint64_t n = n_rows(c) / c->n_groups * c->inputs;
    double sum = 0;

    for (uint64_t i = group * n; i < (group + 1) * n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* y += factor * x, of one group. */
static void add(const struct gqa_conjugate *c, uint64_t group, double *y,
                double factor, const double *x)
{
    const uint64_t n = n_rows(c) / c->n_groups * c->inputs;

    for (uint64_t i = group * n; i < (group + 1) * n; i++)
        y[i] += factor * x[i];
}

/* y = x + factor * y, of one group. */
static void follow(const struct gqa_conjugate *c, uint64_t group, double *y,
                   double factor, const double *x)
{
    const uint64_t n = n_rows(c) / c->n_groups * c->inputs;

    for (uint64_t i = group * n; i < (group + 1) * n; i++)
        y[i] = x[i] + factor * y[i];
}

/* spare = P^-1 rest. */
static enum gqa_status precondition(struct gqa_conjugate *c)
{
    const int d = (int)c->head_dim, n = (int)c->inputs;
    double *turned = malloc(n_rows(c) * c->inputs * sizeof *turned);
    enum gqa_status st;

    if (!turned)
        return gqa_fail_nomem();
    for (uint64_t h = 0; h < c->n_heads; h++)
        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, d, n, d, 1,
                       c->inverses + h * c->head_dim * c->head_dim, d,
                       c->rest + h * c->head_dim * c->inputs, n, 0,
                       turned + h * c->head_dim * c->inputs, n);
    st = c->divide(c->ctx, c->spare, turned);
    free(turned);
    return st;
}

enum gqa_status gqa_conjugate_begin(struct gqa_conjugate *c,
                                    const double *moments, const double *b)
{
    const size_t n = (size_t)(n_rows(c) * c->inputs);
    const uint64_t dd = c->head_dim * c->head_dim;
    enum gqa_status st = GQA_OK;

    c->inverses = malloc(c->n_heads * dd * sizeof *c->inverses);
    c->solution = calloc(n, sizeof *c->solution);
    c->direction = malloc(n * sizeof *c->direction);
    c->rest = malloc(n * sizeof *c->rest);
    c->image = malloc(n * sizeof *c->image);
    c->spare = malloc(n * sizeof *c->spare);
    c->energies = calloc(c->n_groups, sizeof *c->energies);
    if (!c->inverses || !c->solution || !c->direction || !c->rest ||
        !c->image || !c->spare || !c->energies)
        return gqa_fail_nomem();
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
    for (uint64_t g = 0; g < c->n_groups; g++)
        c->energies[g] = dot(c, g, c->rest, c->spare);
    return GQA_OK;
}

enum gqa_status gqa_conjugate_next(struct gqa_conjugate *c,
                                   const double *product, bool last)
{
    enum gqa_status st;

    for (uint64_t g = 0; g < c->n_groups; g++) {
        const double energy = dot(c, g, c->direction, product) +
                              c->damping * dot(c, g, c->direction, c->image);
        const double step = energy > 0 ? c->energies[g] / energy : 0;

        add(c, g, c->solution, step, c->direction);
        add(c, g, c->rest, -step, product);
        add(c, g, c->rest, -step * c->damping, c->image);
    }
    if (last)
        return GQA_OK;
    if ((st = precondition(c)) != GQA_OK)
        return st;
    for (uint64_t g = 0; g < c->n_groups; g++) {
        const double energy = dot(c, g, c->rest, c->spare);
        const double share = c->energies[g] > 0 ? energy / c->energies[g] : 0;

        follow(c, g, c->direction, share, c->spare);
        follow(c, g, c->image, share, c->rest);
        c->energies[g] = energy;
    }
    return GQA_OK;
}

void gqa_conjugate_clear(struct gqa_conjugate *c)
{
    free(c->inverses);
    free(c->solution);
    free(c->direction);
    free(c->rest);
    free(c->image);
    free(c->spare);
    free(c->energies);
}
