/*
 * The order in which heads come to stand before neighbours share: those that
 * lose least together become neighbours (groups.h), and query heads go with the
 * KV head that they read.
 */
#ifndef GQA_ALIGN_ORDER_H
#define GQA_ALIGN_ORDER_H

#include "align/energies.h"
#include "runtime/layers.h"

/* Whether an attention's heads may change places: one that has a slope stays
 * where it is. */
bool gqa_order_is_free(const struct gqa_attention *a);

/* An attention whose heads are to share; lent. */
struct gqa_order_item {
    const struct gqa_energies *energies;
    uint64_t pooled; /* KV heads to keep */
};

/*
 * heads      [n_heads]: KV head heads[i] comes to stand at place i, in each of
 *            n attentions of n_heads KV heads.
 * n_threads  the order is the same for any number of them.
 * Errors     those of gqa_groups_find().
 */
GQA_MUST_USE
enum gqa_status gqa_order_find(uint64_t *heads, uint64_t n_heads,
                               const struct gqa_order_item *items, size_t n,
                               unsigned n_threads);

/* Old query head of place `head`. */
uint64_t gqa_order_query_head(const uint64_t *heads,
                              const struct gqa_attention *a, uint64_t head);

#endif
