/* What an attention loses with a number of KV heads, and which of them would
 * share. */
#ifndef GQA_ALIGN_SHARING_H
#define GQA_ALIGN_SHARING_H

#include "align/compare.h"

/* A number of KV heads that an attention can have. */
struct gqa_sharing_choice {
    uint64_t pooled;
    double lost[2];   /* of the energy of scores, and of that of outputs */
    double predicted; /* see below */
    uint64_t *heads;  /* [n]: as they come to stand, neighbours sharing */
};

/*
 * What is predicted of an attention: the mean of both losses. A softmax sees
 * how far scores are off, not by what share: where tokens tell how large they
 * are, that of keys counts as many times as their root mean square is.
 */

/* The root mean square of scores as the softmax sees them. */
double gqa_sharing_scores(const struct gqa_network *network,
                          const struct gqa_attention *a,
                          const struct gqa_likeness *likeness);

/*
 * scores: as above; 0: not known, by weights alone. out->heads is owned: free
 * it, also after an error. Errors those of gqa_compare_groups().
 */
GQA_MUST_USE
enum gqa_status gqa_sharing_choose(struct gqa_sharing_choice *out,
                                   const struct gqa_compared_heads *alike,
                                   uint64_t pooled, double scores,
                                   unsigned n_threads);

#endif
