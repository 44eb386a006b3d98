#include "align/compare.h"

#include <math.h>
#include <stdlib.h>

#include "align/groups.h"
#include "align/moments.h"
#include "align/order.h"

/* Trace and squares of the block between two heads. */
static void measure_block(double *trace, double *squares, const double *moments,
                          size_t n, size_t d, size_t x, size_t y)
{
    *trace = *squares = 0;
    for (size_t i = 0; i < d; i++) {
        const double *row = moments + (x * d + i) * n * d + y * d;

        *trace += row[i];
        for (size_t j = 0; j < d; j++)
            *squares += row[j] * row[j];
    }
}

/* 0 where a head is nothing but zeros. */
static double over_roots(double x, double a, double b)
{
    const double own = sqrt(a) * sqrt(b);

    return own > 0 ? x / own : 0;
}

static enum gqa_status compare_as_they_stand(double **cosine, double **cka,
                                             size_t n, size_t d,
                                             const double *moments,
                                             const double *centred)
{
    double *traces = malloc(n * sizeof *traces);
    double *squares = malloc(n * sizeof *squares);
    enum gqa_status st = GQA_OK;
    double unused;

    *cosine = malloc(n * n * sizeof **cosine);
    *cka = malloc(n * n * sizeof **cka);
    if (!traces || !squares || !*cosine || !*cka)
        st = gqa_fail_nomem();
    for (size_t h = 0; h < n && st == GQA_OK; h++) {
        measure_block(&traces[h], &unused, moments, n, d, h, h);
        measure_block(&unused, &squares[h], centred, n, d, h, h);
    }
    for (size_t x = 0; x < n && st == GQA_OK; x++)
        for (size_t y = x; y < n; y++) {
            double trace, square;

            measure_block(&trace, &unused, moments, n, d, x, y);
            measure_block(&unused, &square, centred, n, d, x, y);
            (*cosine)[x * n + y] = (*cosine)[y * n + x] =
                over_roots(trace, traces[x], traces[y]);
            (*cka)[x * n + y] = (*cka)[y * n + x] =
                over_roots(square, squares[x], squares[y]);
        }
    free(traces);
    free(squares);
    return st;
}

/* Losses of pairs as the share of their energy that is kept. */
static enum gqa_status compare_aligned(struct gqa_compared_heads *c,
                                       unsigned n_threads)
{
    const size_t n = c->n;
    enum gqa_status st;

    for (int k = 0; k < 2; k++)
        c->kept[k] = malloc(n * n * sizeof *c->kept[k]);
    if (!c->kept[0] || !c->kept[1])
        return gqa_fail_nomem();
    st = gqa_likeness_pairs_apart(c->kept, &c->exact, c->likeness, n_threads);
    for (size_t x = 0; x < n && st == GQA_OK; x++)
        for (size_t y = 0; y < n; y++) {
            double a[2], b[2];

            gqa_likeness_energy(a, c->likeness, x);
            gqa_likeness_energy(b, c->likeness, y);
            for (int k = 0; k < 2; k++) {
                const double both = a[k] + b[k];
                double *kept = &c->kept[k][x * n + y];

                *kept = both > 0 ? fmax(1 - *kept / both, 0) : 1;
            }
        }
    return st;
}

/* Roots of how much queries and outputs make of keys and values. */
static enum gqa_status take_metrics(double *metrics[2],
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_model *model,
                                    const struct gqa_attention *a,
                                    const struct gqa_head_statistics *s,
                                    unsigned n_threads)
{
    const uint64_t dd = a->head_dim * a->head_dim;
    double *outputs = malloc((a->n_heads * dd + 1) * sizeof *outputs);
    enum gqa_status st = GQA_OK;

    for (int k = 0; k < 2; k++)
        metrics[k] = malloc((a->n_kv_heads * dd + 1) * sizeof *metrics[k]);
    if (!outputs || !metrics[0] || !metrics[1])
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        /* o's bias is no head's. */
        st = gqa_moments_of_weights(outputs, checkpoint, model, &a->o,
                                    a->head_dim, false, false, n_threads);
    if (st == GQA_OK) {
        gqa_moments_by_kv_head(metrics[0], a, s->queries);
        gqa_moments_by_kv_head(metrics[1], a, outputs);
    }
    free(outputs);
    return st;
}

static enum gqa_status make_likeness(struct gqa_compared_heads *c,
                                     struct gqa_checkpoint *checkpoint,
                                     const struct gqa_model *model,
                                     const struct gqa_attention *a,
                                     const struct gqa_attention_block *block,
                                     const struct gqa_head_statistics *s,
                                     unsigned n_threads)
{
    const uint64_t w = a->n_kv_heads * a->head_dim;
    double *metrics[2] = {NULL, NULL};
    double *keys = malloc((w * w + 1) * sizeof *keys);
    struct gqa_bands bands = {0}, whole = {0};
    enum gqa_status st = keys ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_bands_of_keys(&bands, a, block);
    if (st == GQA_OK)
        st = gqa_bands_whole(&whole, a->head_dim);
    if (st == GQA_OK)
        st = take_metrics(metrics, checkpoint, model, a, s, n_threads);
    if (st == GQA_OK) {
        gqa_moments_of_keys(keys, a, &bands, s);
        st = gqa_likeness_create(
            &c->likeness, c->n,
            &(struct gqa_likeness_part){&bands, keys, metrics[0]},
            &(struct gqa_likeness_part){&whole, s->values, metrics[1]});
    }
    free(keys);
    free(metrics[0]);
    free(metrics[1]);
    gqa_bands_clear(&bands);
    gqa_bands_clear(&whole);
    return st;
}

enum gqa_status gqa_compare_heads(struct gqa_compared_heads *out,
                                  struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block,
                                  const struct gqa_head_statistics *statistics,
                                  bool aligned, unsigned n_threads)
{
    enum gqa_status st;

    *out = (struct gqa_compared_heads){.n = a->n_kv_heads,
                                       .is_free = gqa_order_is_free(a)};
    st = compare_as_they_stand(&out->cosine[0], &out->cka[0], out->n,
                               a->head_dim, statistics->keys,
                               statistics->centred_keys);
    if (st == GQA_OK)
        st = compare_as_they_stand(&out->cosine[1], &out->cka[1], out->n,
                                   a->head_dim, statistics->values,
                                   statistics->values);
    if (st != GQA_OK || !aligned)
        return st;
    st = make_likeness(out, checkpoint, model, a, block, statistics, n_threads);
    return st == GQA_OK ? compare_aligned(out, n_threads) : st;
}

void gqa_compared_heads_shrink(struct gqa_compared_heads *comparison)
{
    gqa_likeness_free(comparison->likeness);
    comparison->likeness = NULL;
}

void gqa_compared_heads_clear(struct gqa_compared_heads *comparison)
{
    for (int k = 0; k < 2; k++) {
        free(comparison->cosine[k]);
        free(comparison->cka[k]);
        free(comparison->kept[k]);
    }
    gqa_likeness_free(comparison->likeness);
    *comparison = (struct gqa_compared_heads){0};
}

enum gqa_status gqa_compare_groups(uint64_t *heads, double lost[2],
                                   const struct gqa_compared_heads *c,
                                   size_t pooled, unsigned n_threads)
{
    const size_t m = c->n / pooled;
    size_t *group = malloc(m * sizeof *group);
    enum gqa_status st = group ? GQA_OK : gqa_fail_nomem();

    lost[0] = lost[1] = 0;
    for (size_t i = 0; i < c->n; i++)
        heads[i] = i;
    if (st == GQA_OK && c->is_free && pooled < c->n)
        st = gqa_groups_find(heads, &(struct gqa_sharing){c->likeness, pooled},
                             1, n_threads);
    for (size_t g = 0; g < pooled && m > 1 && st == GQA_OK; g++) {
        double part[2];

        for (size_t i = 0; i < m; i++)
            group[i] = heads[g * m + i];
        st = gqa_likeness_lost_apart(part, c->likeness, group, m);
        lost[0] += part[0];
        lost[1] += part[1];
    }
    free(group);
    return st;
}
