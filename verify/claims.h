/* What a recipe says of a converted model that its runs can be held to. */
#ifndef GQA_VERIFY_CLAIMS_H
#define GQA_VERIFY_CLAIMS_H

#include "verify/subject.h"

/* Zero: nothing; owned. */
struct gqa_claims {
    bool is_aligned; /* heads were transformed, and fewer are left */
    /* Heads were transformed, and none share: the function is the same but for
     * frequencies that were changed. */
    bool same_function;
    bool in_float64;  /* nothing that was transformed was rounded to less */
    double *divisors; /* of RoPE, since the original; NULL: it turns alike */
    uint64_t n_pairs;
};

/*
 * Both models have the same attentions (same_model.h). End it with
 * gqa_claims_clear(), also on an error. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_claims_read(struct gqa_claims *out,
                                const struct gqa_subject *original,
                                const struct gqa_subject *converted);
void gqa_claims_clear(struct gqa_claims *claims);

#endif
