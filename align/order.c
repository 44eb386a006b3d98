#include "align/order.h"

#include <stdlib.h>
#include <string.h>

#include "align/groups.h"

bool gqa_order_is_free(const struct gqa_attention *a)
{
    return a->position.scheme != GQA_POSITION_RELATIVE_BIAS &&
           a->position.scheme != GQA_POSITION_ALIBI;
}

enum gqa_status gqa_order_find(uint64_t *heads, const struct gqa_attention *a,
                               uint64_t pooled, const struct gqa_bands *bands,
                               const double *moments, const double *values,
                               double *const metrics[2], unsigned n_threads)
{
    const struct gqa_likeness_part keys = {bands, moments, metrics[0]};
    struct gqa_bands whole;
    struct gqa_likeness *likeness = NULL;
    enum gqa_status st = gqa_bands_whole(&whole, a->head_dim);

    if (st != GQA_OK)
        return st;
    st = gqa_likeness_create(
        &likeness, a->n_kv_heads, &keys,
        &(struct gqa_likeness_part){&whole, values, metrics[1]});
    if (st == GQA_OK)
        st = gqa_groups_find(heads, &(struct gqa_sharing){likeness, pooled}, 1,
                             n_threads);
    gqa_likeness_free(likeness);
    gqa_bands_clear(&whole);
    return st;
}

uint64_t gqa_order_query_head(const uint64_t *heads,
                              const struct gqa_attention *a, uint64_t head)
{
    const uint64_t per = a->n_heads / a->n_kv_heads;

    return heads[head / per] * per + head % per;
}

enum gqa_status gqa_order_queries(double *blocks, const uint64_t *heads,
                                  const struct gqa_attention *a)
{
    const size_t dd = a->head_dim * a->head_dim;
    double *old = malloc(a->n_heads * dd * sizeof *old);

    if (!old)
        return gqa_fail_nomem();
    memcpy(old, blocks, a->n_heads * dd * sizeof *old);
    for (uint64_t h = 0; h < a->n_heads; h++)
        memcpy(blocks + h * dd, old + gqa_order_query_head(heads, a, h) * dd,
               dd * sizeof *old);
    free(old);
    return GQA_OK;
}

enum gqa_status gqa_order_moments(double *moments, const uint64_t *heads,
                                  const struct gqa_attention *a)
{
    const uint64_t d = a->head_dim, n = a->n_kv_heads, w = n * d;
    double *old = malloc(w * w * sizeof *old);

    if (!old)
        return gqa_fail_nomem();
    memcpy(old, moments, w * w * sizeof *old);
    for (uint64_t i = 0; i < w; i++)
        for (uint64_t h = 0; h < n; h++)
            memcpy(moments + i * w + h * d,
                   old + (heads[i / d] * d + i % d) * w + heads[h] * d,
                   d * sizeof *old);
    free(old);
    return GQA_OK;
}
