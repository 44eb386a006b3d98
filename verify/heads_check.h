/* The key and value heads of one attention, and what went wrong with them. */
#ifndef GQA_VERIFY_HEADS_CHECK_H
#define GQA_VERIFY_HEADS_CHECK_H

#include "verify/finding.h"
#include "verify/recompute.h"
#include "verify/subject.h"

/* Weights and biases of k and v in both checkpoints, queries' left out. */
enum { GQA_MAX_PAIRS = 4 };
struct gqa_head_pairs {
    struct gqa_head_pair items[GQA_MAX_PAIRS];
    size_t n;
};

struct gqa_heads_check {
    const struct gqa_subject *original, *converted;
    size_t attention;   /* the same index in both models */
    const double *norm; /* of the original's keys, as of a head pair; lent */
    /* Of queries: as of a head pair. */
    const enum gqa_dtype *through;
    size_t n_through;
    bool has_recipe; /* hypothesis is what it says */
    /* By the recipe; else receives what fits best, before the steps in it that
     * come after. */
    struct gqa_hypothesis hypothesis;
    /* Of each of its pairs: means in float32 may be in another order. */
    struct gqa_hypothesis of_pair[GQA_MAX_PAIRS];
    bool is_wrong; /* keys or values: `first` of them, at `pair` */
    struct gqa_difference first;
    struct gqa_head_pair pair;
    bool is_explained;            /* gqa_mistakes_explain() knew the mistake */
    bool zero_signs;              /* they differ in signs of zeros */
    struct gqa_finding grouped;   /* of keys and values */
    struct gqa_finding unchanged; /* of queries in a fused tensor */
};

/* Errors as gqa_recompute_head(). */
GQA_MUST_USE
enum gqa_status gqa_heads_check(struct gqa_heads_check *check,
                                struct gqa_recompute *recompute);

void gqa_head_pairs_make(struct gqa_head_pairs *out,
                         const struct gqa_heads_check *check);

/* Add all elements of a pair's heads to the measure. */
GQA_MUST_USE
enum gqa_status gqa_heads_measure(struct gqa_measure *measure,
                                  struct gqa_recompute *recompute,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *hypothesis);

/* That of `from` in the original and `to` in the converted checkpoint. */
struct gqa_head_pair gqa_head_pair_make(const struct gqa_heads_check *check,
                                        const struct gqa_slice *from,
                                        const struct gqa_slice *to,
                                        bool is_bias, bool is_value);

/* Group of KV head `head` of the converted checkpoint. */
uint64_t gqa_head_group(const struct gqa_head_pair *pair,
                        const struct gqa_hypothesis *h, uint64_t head);

/* "mean over contiguous groups, expanded". */
const char *gqa_hypothesis_text(char *buf, size_t n,
                                const struct gqa_hypothesis *hypothesis,
                                const struct gqa_attention *original,
                                const struct gqa_attention *converted);

#endif
