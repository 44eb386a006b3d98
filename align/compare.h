/*
 * How alike the KV heads of an attention are, as they stand and where they
 * share a space, and what a number of KV heads would lose.
 */
#ifndef GQA_ALIGN_COMPARE_H
#define GQA_ALIGN_COMPARE_H

#include "align/likeness.h"
#include "align/statistics.h"

/* Of keys [0] and values [1]; matrices are [n, n], symmetric. */
struct gqa_compared_heads {
    size_t n; /* KV heads */
    /* E[x_i . x_j] over the roots of E[x_i . x_i] and E[x_j . x_j]; of weights
     * the cosine between them. */
    double *cosine[2];
    /* Linear CKA (Kornblith et al., 2019): |E[x_i x_j^T]|^2 over |E[x_i x_i^T]|
     * and |E[x_j x_j^T]|, which no rotation of a head changes. */
    double *cka[2];
    /* The share of two heads' energy, in scores and in outputs, that one head
     * keeps which both share. NULL: their keys are normed, and share none. */
    double *kept[2];
    bool exact; /* or kept is estimated */
    struct gqa_likeness *likeness;
    bool is_free; /* heads may change places (order.h) */
};

/*
 * block       of the attention, as gqa_bands_of_keys() takes it.
 * statistics  of the attention.
 * aligned     whether heads may share a space (gqa_align_obstacle()).
 * out         end it with gqa_compared_heads_clear(), also after an error.
 * Errors      those of gqa_moments_of_weights() and gqa_likeness_create().
 * The same for any number of threads. OpenBLAS is loaded.
 */
GQA_MUST_USE
enum gqa_status gqa_compare_heads(struct gqa_compared_heads *out,
                                  struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block,
                                  const struct gqa_head_statistics *statistics,
                                  bool aligned, unsigned n_threads);

/* What is of use to gqa_compare_groups() alone, and takes most of the
 * memory. */
void gqa_compared_heads_shrink(struct gqa_compared_heads *comparison);
void gqa_compared_heads_clear(struct gqa_compared_heads *comparison);

/*
 * The groups that a conversion would choose: head heads[i] at place i, and
 * neighbours share. lost: of the energy of scores, and of outputs. Errors
 * those of gqa_groups_find().
 */
GQA_MUST_USE
enum gqa_status gqa_compare_groups(uint64_t *heads, double lost[2],
                                   const struct gqa_compared_heads *comparison,
                                   size_t pooled, unsigned n_threads);

#endif
