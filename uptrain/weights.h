/* The tensors of the output: what was trained, rounded once; all else as the
 * student has it. */
#ifndef GQA_UPTRAIN_WEIGHTS_H
#define GQA_UPTRAIN_WEIGHTS_H

#include "formats/write/output.h"
#include "uptrain/pair.h"

struct gqa_trained_weights;

/*
 * student: lent. trained: [n_params]; values: of those that are, one after
 * another in the order of parameters, of type `wide`; both lent. n_workers:
 * threads that produce at once. Errors GQA_ERR_NOMEM, those of
 * gqa_inventory_create().
 */
GQA_MUST_USE
enum gqa_status gqa_trained_weights_create(struct gqa_trained_weights **out,
                                           struct gqa_side *student,
                                           const bool *trained,
                                           const void *values,
                                           enum gqa_dtype wide,
                                           unsigned n_workers);
void gqa_trained_weights_free(struct gqa_trained_weights *weights);

/* Parameters, and behind them transforms that came with them. Lent. */
const struct gqa_output_tensor *gqa_trained_weights_list(
    const struct gqa_trained_weights *weights, size_t *n);

/* A gqa_produce_fn; ctx: the weights. */
GQA_MUST_USE
enum gqa_status gqa_trained_weights_produce(void *ctx, unsigned worker,
                                            size_t tensor, uint64_t offset,
                                            size_t n, void *buf);

/* The same for a runtime, read by any thread. Lent the weights. */
struct gqa_weight_source gqa_trained_weights_source(
    struct gqa_trained_weights *weights);

#endif
