/* The key and value heads of one attention, and what went wrong with them. */
#ifndef GQA_VERIFY_HEADS_CHECK_H
#define GQA_VERIFY_HEADS_CHECK_H

#include "verify/recompute.h"
#include "verify/subject.h"

enum { GQA_FINDING_MAX = 768 };

/* A failure, in words; empty: none. */
struct gqa_finding {
    char text[GQA_FINDING_MAX];
};

struct gqa_heads_check {
    const struct gqa_subject *original, *converted;
    size_t attention; /* the same index in both models */
    bool has_recipe;
    /* By the recipe; else receives what fits best. */
    struct gqa_hypothesis hypothesis;
    struct gqa_finding grouped;   /* of keys and values */
    struct gqa_finding unchanged; /* of queries in a fused tensor */
};

/* Errors as gqa_recompute_head(). */
GQA_MUST_USE
enum gqa_status gqa_heads_check(struct gqa_heads_check *check,
                                struct gqa_recompute *recompute);

/* "mean over contiguous groups, expanded". */
const char *gqa_hypothesis_text(char *buf, size_t n,
                                const struct gqa_hypothesis *hypothesis,
                                const struct gqa_attention *original,
                                const struct gqa_attention *converted);

#endif
