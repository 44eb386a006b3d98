/*
 * Parameters that lie one behind the other on a device, so that queries, keys
 * and values are one product: of one weight, whose outputs are those of all
 * three. Likewise gate and up of a feed-forward, on the way back.
 */
#ifndef GQA_RUNTIME_JOINT_H
#define GQA_RUNTIME_JOINT_H

#include "runtime/parts.h"
#include "runtime/state.h"

/* Whether a self-attention's projections can be one: weights of their own, of
 * one type, outputs first, all biased or none, and no norm of heads and no
 * clipping, which would keep what they were before. */
bool gqa_joint_may(const struct gqa_network *network,
                   const struct gqa_attention_block *attention);

/*
 * Whether they are, in this runtime: *weight [outputs of all, inputs]; *bias
 * likewise, its data NULL where there is none.
 */
bool gqa_joint_weights(struct gqa_weight *weight, struct gqa_weight *bias,
                       const struct gqa_runtime *runtime,
                       const struct gqa_attention_block *attention);

/* Where queries, keys and values lie in rows `x` of such a product. */
void gqa_joint_heads(struct gqa_heads *q, struct gqa_heads *k,
                     struct gqa_heads *v, const struct gqa_runtime *runtime,
                     const struct gqa_attention_block *attention, void *x);

/* Outputs of all three. */
uint64_t gqa_joint_outputs(const struct gqa_runtime *runtime,
                           const struct gqa_attention_block *attention);

/* Whether gate and up of a feed-forward can be one: weights of their own, of
 * one type and shape, outputs first, without biases. */
bool gqa_joint_gated_may(const struct gqa_network *network,
                         const struct gqa_feed_forward *ff);

/* Whether they are, in this runtime: *weight [outputs of gate, then of up;
 * inputs]. */
bool gqa_joint_gated(struct gqa_weight *weight,
                     const struct gqa_runtime *runtime,
                     const struct gqa_feed_forward *ff);

/*
 * behind[i]: the parameter that is to lie right behind i, or GQA_NO_PARAM;
 * follows[i]: i lies behind another. Both [n_params of the model]. Only what
 * is wholly among `chosen` (NULL: all) is put together.
 */
void gqa_joint_order(size_t *behind, bool *follows,
                     const struct gqa_network *network, const bool *chosen);

/*
 * Places of the chosen parameters in one piece of memory, in elements, behind
 * each other as above; others begin at multiples of 64. Returns how many
 * elements the piece has. Errors GQA_ERR_NOMEM: of the host.
 */
GQA_MUST_USE
enum gqa_status gqa_joint_place(uint64_t *places, uint64_t *n_elements,
                                const struct gqa_network *network,
                                const bool *chosen);

#endif
