/*
 * The recorded recipe of a converted checkpoint, as it bears on an original:
 * which of the conversions that it tells of were made since.
 */
#ifndef GQA_VERIFY_RECIPE_H
#define GQA_VERIFY_RECIPE_H

#include "verify/finding.h"
#include "verify/recompute.h"
#include "verify/subject.h"

/* A step since the original, of conversion or of training. */
struct gqa_recorded {
    const json_t *digests; /* by name: of what it fitted or trained; or NULL */
    const json_t *trained; /* names; NULL: it trained none */
    size_t n_before;       /* conversions up to it, itself among them */
};

/* What a conversion did with types of floats. */
struct gqa_recorded_dtype {
    bool keeps_dtype;
    enum gqa_dtype dtype;
};

struct gqa_recipe {
    size_t n_before;             /* conversions up to the original */
    size_t n_steps;              /* since then; may be 0 */
    struct gqa_pool_step *steps; /* [n_attentions][n_steps] */
    bool *fits;                  /* [n_attentions] */
    /* [n_attentions]: a step transformed q, k, v and o, or put their heads in
     * another order: replay.h. */
    bool *aligned;
    /* False: how the heads came from the original to the first step is not
     * recorded. */
    bool is_whole;
    const char *method; /* of the last step that groups, or NULL */
    /* Types that floats were converted to, one after another; none: they
     * kept theirs. */
    enum gqa_dtype dtypes[GQA_MAX_STEPS];
    size_t n_dtypes;
    /* Of RoPE's frequencies, by the last that changed them; NULL: none. */
    const json_t *divisors;
    /* All steps since the original, in turn, lent; those that trained weights
     * are none of `steps`. */
    struct gqa_recorded recorded[GQA_MAX_STEPS];
    size_t n_recorded, n_trainings;
    struct gqa_recorded_dtype keeps[GQA_MAX_STEPS]; /* [n_steps] */
    struct gqa_finding finding, remark;
};

/*
 * Read it; converted->recipe must be there, and both models have the same
 * attentions (same_model.h). *out: end it with
 * gqa_recipe_free(), also on an error. What is wrong with it is its finding.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_recipe_read(struct gqa_recipe *out,
                                const struct gqa_subject *original,
                                const struct gqa_subject *converted);
void gqa_recipe_free(struct gqa_recipe *recipe);

/* Whether a parameter was trained since the original. */
bool gqa_recipe_is_trained(const struct gqa_recipe *recipe, const char *param);

bool gqa_recorded_is_trained(const struct gqa_recorded *recorded,
                             const char *param);

/* What attention `i` must be: its steps, less those that change nothing. */
struct gqa_hypothesis gqa_recipe_hypothesis(const struct gqa_recipe *recipe,
                                            size_t i, uint64_t source);

#endif
