/*
 * Which rows of a batch each expert of a mixture has, on the host, as the
 * router's logits say. A pair is a row and one of its experts; those of an
 * expert lie together.
 */
#ifndef GQA_RUNTIME_BACK_PAIRS_H
#define GQA_RUNTIME_BACK_PAIRS_H

#include "common/status.h"
#include "runtime/experts.h"

struct gqa_pairs {
    const struct gqa_experts *experts; /* lent */
    const double *correction;          /* as a chooser has it */
    uint64_t n_rows, n;                /* n: of pairs */
    double *logits;                    /* [n_rows, experts] */
    double *scores;                    /* [experts] */
    uint64_t *chosen;                  /* [n_rows, n_chosen]: experts */
    double *shares;                    /* likewise: what they count */
    bool *left_out;                    /* likewise: not taken, and counting 0 */
    uint64_t *places;                  /* likewise: their pairs */
    /* Expert e has pairs [first[e], first[e + 1]), in the order of rows. */
    uint64_t *first;
    uint64_t *rows;  /* [n] */
    double *weights; /* [n]: the pairs' shares */
};

/* All zeros before, with logits to fill in behind it. correction: as a chooser
 * has it. Errors GQA_ERR_NOMEM: end it all the same. */
GQA_MUST_USE
enum gqa_status gqa_pairs_create(struct gqa_pairs *pairs,
                                 const struct gqa_experts *experts,
                                 const double *correction, uint64_t n_rows);
void gqa_pairs_clear(struct gqa_pairs *pairs);

/* Choose each row's experts by the logits (gqa_experts_choose()), once. batch:
 * whose rows they are. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_pairs_sort(struct gqa_pairs *pairs,
                               const struct gqa_batch *batch);

/* d_logits, [n_rows, experts], set, from d of weights, [n], of pairs. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_pairs_back(double *d_logits, const struct gqa_pairs *pairs,
                               const double *d_weights);

#endif
