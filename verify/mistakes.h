/*
 * What went wrong with keys or values that are not what they must be, if it is
 * a mistake that has a name.
 */
#ifndef GQA_VERIFY_MISTAKES_H
#define GQA_VERIFY_MISTAKES_H

#include "verify/heads_check.h"

/*
 * check: one that found something wrong; the cause is put behind its
 * `grouped`, and behind `unchanged` where queries are part of it.
 * Errors as gqa_recompute_head(), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_mistakes_explain(struct gqa_heads_check *check,
                                     struct gqa_recompute *recompute);

/* --- Parts of it: each sets *found, and cause where it is true ------------ */

/* Elements of some heads, row-major in [heads * dim, cols], whichever way they
 * lie in the parameter; of wide ones the first columns alone. */
struct gqa_head_matrix {
    double *at; /* owned by whoever loaded it */
    uint64_t n_heads, dim, cols;
    enum gqa_dtype dtype; /* of the parameter */
};

/* Block `head` of the parameter, beginning at first[head], and so on. */
GQA_MUST_USE
enum gqa_status gqa_head_matrix_load(struct gqa_head_matrix *out,
                                     struct gqa_checkpoint *checkpoint,
                                     const struct gqa_param *param,
                                     unsigned axis, const uint64_t *first,
                                     uint64_t n_heads, uint64_t dim,
                                     uint64_t max_elements);

/* Other ways to make a head of several: mistakes_pooling.c */
GQA_MUST_USE
enum gqa_status gqa_mistakes_of_pooling(bool *found, struct gqa_finding *cause,
                                        const struct gqa_head_pair *pair,
                                        uint64_t pooled);

/* The order of heads in a tensor that they share: mistakes_fused.c */
GQA_MUST_USE
enum gqa_status gqa_mistakes_of_order(bool *found, struct gqa_finding *cause,
                                      const struct gqa_heads_check *check);

#endif
