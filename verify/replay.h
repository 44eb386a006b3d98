/*
 * Aligned conversions made again: weights = transform x original, with the
 * transforms that were kept and the order of heads that the recipe tells of
 * (docs/numerics.md). Nothing here is shared with gqa-convert.
 */
#ifndef GQA_VERIFY_REPLAY_H
#define GQA_VERIFY_REPLAY_H

#include "verify/recipe.h"

struct gqa_replay {
    const struct gqa_subject *original, *converted;
    const struct gqa_recipe *recipe;
    size_t attention;
    /* Trained since; where its keys or values were, it is not asked for. */
    bool q_is_trained, o_is_trained;
};

/* The projections, as the letters "kvqo" in that order name them. */
enum { GQA_N_PROJECTIONS = 4 };

/* What was computed again, and the first that is not as it has to be. */
struct gqa_replayed {
    bool everything;                   /* but what was fitted */
    bool is_fitted[GQA_N_PROJECTIONS]; /* and so cannot be made again */
    struct gqa_finding finding;
};

/* Errors those of reading, GQA_ERR_INTERRUPTED. */
GQA_MUST_USE
enum gqa_status gqa_replay(struct gqa_replayed *out,
                           const struct gqa_replay *replay);

#endif
