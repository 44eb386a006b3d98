/* Where the heads of an attention lie: the one place that says it. */
#ifndef GQA_FORMATS_MODEL_REGROUP_H
#define GQA_FORMATS_MODEL_REGROUP_H

#include "formats/model/model.h"

/*
 * The same attention with another number of KV heads, which divides its query
 * heads: the layout, the parameters and their axes stay, and every slice is
 * where that many heads put it.
 */
struct gqa_attention gqa_attention_regrouped(const struct gqa_attention *a,
                                             uint64_t n_kv_heads);

/* Whether its KV heads can be pooled to so many: a divisor of them, which the
 * layout takes. */
bool gqa_attention_can_have(const struct gqa_attention *a, uint64_t n_kv_heads);

/* The fewest of those. */
uint64_t gqa_attention_fewest(const struct gqa_attention *a);

/* Length of the parameters of a's slice q, k or v, along the axis that its
 * heads lie on. */
uint64_t gqa_attention_length(const struct gqa_attention *a,
                              const struct gqa_slice *slice);

#endif
