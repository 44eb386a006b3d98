/*
 * How alike the KV heads of each attention are, which would share, and what
 * that loses: one attention after another, so that no more than one's weights
 * are in memory.
 */
#ifndef GQA_INSPECT_SIMILARITY_H
#define GQA_INSPECT_SIMILARITY_H

#include <stdio.h>

#include "align/learning.h"
#include "align/sharing.h"
#include "common/log.h"

struct gqa_similar_heads {
    struct gqa_compared_heads alike;
    struct gqa_sharing_choice *choices; /* most KV heads first; none where heads
                                           cannot share */
    size_t n_choices;
    size_t shown; /* of choices: the one that was asked for */
    /* How much of the residual stream the attention makes (influence.h); 1
     * where heads are compared by weights alone. */
    double weight;
    double scores; /* root mean square; 0: not known, by weights alone */
};

struct gqa_similarity {
    struct gqa_similar_heads *attentions; /* [n], as the model's */
    size_t n;
    size_t n_unaligned; /* whose heads cannot share */
    char *unaligned;    /* why, of all of them, or NULL */
    uint64_t n_tokens;  /* that they were compared by; 0: by weights alone */
};

struct gqa_similarity_options {
    uint64_t groups; /* KV heads to show; 0: half as many as there are */
    bool all;        /* choices for every number of KV heads, not that alone */
    struct gqa_learning_options learning;
    unsigned n_threads;
    enum gqa_log_level log_level;
};

/*
 * Errors GQA_ERR_USAGE: no attention can be given options->groups;
 * GQA_ERR_UNSUPPORTED, GQA_ERR_FORMAT: weights that are no numbers; those of
 * gqa_compare_heads() and, with tokens, of gqa_learn_heads().
 */
GQA_MUST_USE
enum gqa_status gqa_similarity_create(
    struct gqa_similarity **out, struct gqa_checkpoint *checkpoint,
    const struct gqa_model *model,
    const struct gqa_similarity_options *options);
void gqa_similarity_free(struct gqa_similarity *similarity);

/* Mean over all pairs of two heads; 1 where there is one head. */
double gqa_similarity_mean(const double *matrix, size_t n);

/* The end of a scale for all that two heads keep: a round number that is no
 * more than the least of it, and below 1. */
double gqa_similarity_least_kept(const struct gqa_similarity *similarity);

/* A mean for people, who need no -0.00. */
void gqa_similarity_put_mean(FILE *out, const double *matrix, size_t n);

#endif
