/*
 * Values that nothing makes again, since they were fitted or trained, against
 * the digests that the recipe records of them (docs/gqa-format.md).
 */
#ifndef GQA_VERIFY_DIGESTS_H
#define GQA_VERIFY_DIGESTS_H

#include "verify/pairing.h"
#include "verify/recipe.h"

enum gqa_digest_verdict {
    GQA_DIGEST_NONE,  /* none is recorded */
    GQA_DIGEST_RIGHT, /* what was written */
    GQA_DIGEST_WRONG,
    /* Stored in a type that does not hold what was written, or changed by a
     * conversion after it. */
    GQA_DIGEST_UNTOLD,
};

struct gqa_digested {
    enum gqa_digest_verdict verdict;
    struct gqa_finding finding; /* where it is wrong */
};

/* What to hold against each other: a parameter of the converted checkpoint, by
 * its name there or that of its partner in the original. */
struct gqa_digest_pair {
    const struct gqa_subject *original, *converted;
    const struct gqa_pairing *pairing;
    const struct gqa_recipe *recipe;
    size_t param;
    bool follows; /* a table that goes with an attention's heads */
    /* It may have been stored as 1 + what it is, rounded. */
    bool may_have_one_more;
};

/* Errors those of reading; GQA_ERR_NOMEM, GQA_ERR_INTERRUPTED. */
GQA_MUST_USE
enum gqa_status gqa_digest_check(struct gqa_digested *out,
                                 const struct gqa_digest_pair *pair);

#endif
