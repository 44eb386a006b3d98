/* Norms of all keys together, whose weights move into keys that are pooled. */
#ifndef GQA_VERIFY_NORM_CHECK_H
#define GQA_VERIFY_NORM_CHECK_H

#include "verify/heads_check.h"

/* The norm of an attention's keys; n 0: it has none of all heads together. */
struct gqa_key_norm {
    double *all; /* [n], owned */
    size_t n;
    const double *weights; /* the same; NULL: they are all one number */
};

/* Errors GQA_ERR_NOMEM, and as gqa_param_read(). */
GQA_MUST_USE
enum gqa_status gqa_norm_read(struct gqa_key_norm *out,
                              const struct gqa_subject *original,
                              size_t attention);
void gqa_norm_clear(struct gqa_key_norm *norm);

/*
 * That of the converted checkpoint: where heads share one number, such that
 * pooled keys are as large as what they are the mean of, else what it was.
 * check: of the attention, done. finding: receives what is wrong, if anything
 * is. Errors as gqa_norm_read().
 */
GQA_MUST_USE
enum gqa_status gqa_norm_check(struct gqa_finding *finding,
                               const struct gqa_key_norm *norm,
                               const struct gqa_heads_check *check);

#endif
