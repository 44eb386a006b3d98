/* Biases of attention scores by distance, T5's and ALiBi's, laid out for a
 * backend. */
#ifndef GQA_RUNTIME_RELATIVE_BIAS_H
#define GQA_RUNTIME_RELATIVE_BIAS_H

#include "formats/model/network.h"

/*
 * Bucket of a key that stands `distance` behind the query's position
 * (negative: before it). In float32 as the source does it, since its buckets
 * begin where float32 says.
 *
 * Source: transformers, T5Attention._relative_position_bucket.
 */
uint64_t gqa_relative_bucket(const struct gqa_relative_bias *bias,
                             int64_t distance);

/*
 * out [n_heads, 2 * reach - 1]: of distance i - reach + 1 at [h, i].
 * table  [n_buckets, n_heads]
 */
void gqa_relative_bias_spread(double *out, const struct gqa_relative_bias *bias,
                              const double *table, uint64_t n_heads,
                              uint64_t reach);

/* Of such a table: what is farther away than `within` counts nothing, whatever
 * the score. */
void gqa_bias_keep_within(double *out, uint64_t n_heads, uint64_t reach,
                          uint64_t within);

/* ALiBi: the same of -slopes[h] * |distance|. */
void gqa_slopes_spread(double *out, const double *slopes, uint64_t n_heads,
                       uint64_t reach);

#endif
