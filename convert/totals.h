/* What a conversion changes, in all. */
#ifndef GQA_CONVERT_TOTALS_H
#define GQA_CONVERT_TOTALS_H

#include "convert/plan.h"

/* Smallest and largest of a count over the attentions that are grouped. */
struct gqa_range {
    uint64_t low, high;
};

/* The attentions that a line of the summary speaks of. */
struct gqa_totals {
    size_t n_grouped; /* those that were to be */
    size_t n_fewer;   /* of these, those with fewer KV heads than before */
    struct gqa_range before, after;
    /* KV-cache: bytes a token takes in the caches of decoder self-attention,
     * and bytes a source token takes in those of cross-attention. */
    uint64_t self_before, self_after, cross_before, cross_after;
    /* Elements and bytes of all tensors. */
    uint64_t params_before, params_after, bytes_before, bytes_after;
};

struct gqa_totals gqa_totals_of(const struct gqa_plan *plan);

#endif
