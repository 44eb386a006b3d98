#include "align/order.h"

#include <stdlib.h>

#include "align/groups.h"

bool gqa_order_is_free(const struct gqa_attention *a)
{
    return a->position.scheme != GQA_POSITION_ALIBI;
}

static enum gqa_status compare(struct gqa_likeness **out, uint64_t n_heads,
                               const struct gqa_energies *e)
{
    return gqa_likeness_create(
        out, n_heads,
        &(struct gqa_likeness_part){&e->key_bands, e->keys, e->key_metrics},
        &(struct gqa_likeness_part){&e->value_bands, e->values,
                                    e->value_metrics});
}

enum gqa_status gqa_order_find(uint64_t *heads, uint64_t n_heads,
                               const struct gqa_order_item *items, size_t n,
                               unsigned n_threads)
{
    struct gqa_likeness **likeness = calloc(n, sizeof *likeness);
    struct gqa_sharing *sharing = calloc(n, sizeof *sharing);
    enum gqa_status st = likeness && sharing ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        st = compare(&likeness[i], n_heads, items[i].energies);
        sharing[i] = (struct gqa_sharing){likeness[i], items[i].pooled};
    }
    if (st == GQA_OK)
        st = gqa_groups_find(heads, sharing, n, n_threads);
    for (size_t i = 0; likeness && i < n; i++)
        gqa_likeness_free(likeness[i]);
    free(likeness);
    free(sharing);
    return st;
}

uint64_t gqa_order_query_head(const uint64_t *heads,
                              const struct gqa_attention *a, uint64_t head)
{
    const uint64_t per = a->n_heads / a->n_kv_heads;

    return heads[head / per] * per + head % per;
}
