/*
 * Mixtures of experts: feed-forwards of which each row runs a few, as a router
 * says. Which ones is decided on the host, from the router's logits.
 */
#ifndef GQA_RUNTIME_EXPERTS_H
#define GQA_RUNTIME_EXPERTS_H

#include "runtime/block.h"

/* What experts of rows are chosen by. */
struct gqa_chooser {
    const struct gqa_experts *experts; /* lent */
    const double *correction;          /* [experts->n], lent; NULL: none */
    double *scores;                    /* [experts->n]: room of the caller's */
};

/*
 * The experts of one row, the first the one that is the best, and what each
 * counts. logits: [experts->n]. chosen, weights: [experts->n_chosen].
 *
 * Of equal ones the first is taken. Logits that are not finite choose the first
 * experts, and weights are then no numbers.
 */
void gqa_experts_choose(uint64_t *chosen, double *weights, const double *logits,
                        const struct gqa_chooser *chooser);

/* What is added where experts are chosen, as a chooser has it; lent. */
const double *gqa_experts_correction(const struct gqa_runtime *runtime,
                                     const struct gqa_experts *experts);

/*
 * d_logits [experts->n]: set to what a row's logits are to blame for, given
 * that of its weights [n_chosen]; chosen as gqa_experts_choose() said. Which
 * experts those are is no part of it, as nowhere: a step that changes that has
 * no slope.
 */
void gqa_experts_choose_back(double *d_logits, const double *d_weights,
                             const uint64_t *chosen, const double *logits,
                             const struct gqa_experts *experts);

/* Add what the experts of a layer make of rows that are normed, and no part of
 * the stream, to all rows of the stream. */
GQA_MUST_USE
enum gqa_status gqa_block_experts(const struct gqa_pass *pass,
                                  const struct gqa_feed_forward *ff,
                                  size_t layer, const void *normed);

#endif
