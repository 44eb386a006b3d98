/*
 * The order in which heads come to stand before neighbours share: those that
 * lose least together become neighbours (groups.h), and query heads go with the
 * KV head that they read.
 */
#ifndef GQA_ALIGN_ORDER_H
#define GQA_ALIGN_ORDER_H

#include "align/factor.h"
#include "runtime/layers.h"

/* Whether an attention's heads may change places: a learned bias for each, or
 * a slope, stays where it is. */
bool gqa_order_is_free(const struct gqa_attention *a);

/*
 * heads      [n_kv_heads]: KV head heads[i] comes to stand at place i.
 * pooled     KV heads to keep.
 * moments    of keys, [n_kv_heads d, n_kv_heads d], as gqa_factor() takes them.
 * metrics    [2][n_kv_heads, d, d]: of keys, of values.
 * n_threads  the order is the same for any number of them.
 * Errors     those of gqa_groups_find().
 */
GQA_MUST_USE
enum gqa_status gqa_order_find(uint64_t *heads, const struct gqa_attention *a,
                               uint64_t pooled, const struct gqa_bands *bands,
                               const double *moments, const double *values,
                               double *const metrics[2], unsigned n_threads);

/* Old query head of place `head`. */
uint64_t gqa_order_query_head(const uint64_t *heads,
                              const struct gqa_attention *a, uint64_t head);

/* Blocks [d, d] of query heads, or moments between KV heads, in the new order.
 * Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_order_queries(double *blocks, const uint64_t *heads,
                                  const struct gqa_attention *a);
GQA_MUST_USE
enum gqa_status gqa_order_moments(double *moments, const uint64_t *heads,
                                  const struct gqa_attention *a);

#endif
