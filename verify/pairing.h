/*
 * Which parameter of a converted checkpoint stands for which of the original:
 * the same name, or the same but for the prefix of the family's names. What
 * only one side has is a failure, unless nothing depends on it: buffers, and
 * a copy of the embedding where the other side shares the embedding itself.
 */
#ifndef GQA_VERIFY_PAIRING_H
#define GQA_VERIFY_PAIRING_H

#include "verify/finding.h"
#include "verify/subject.h"

struct gqa_pairing {
    size_t *partner; /* [n_params] of converted: in original, or
                        GQA_NO_PARAM */
    struct gqa_finding finding, remark;
};

/* *out: end it with gqa_pairing_free(), also on an error. Errors as
 * gqa_params_agree(), GQA_ERR_FORMAT, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_pairing_make(struct gqa_pairing *out,
                                 const struct gqa_subject *original,
                                 const struct gqa_subject *converted);
void gqa_pairing_free(struct gqa_pairing *pairing);

#endif
