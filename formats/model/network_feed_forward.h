/* The feed-forwards of a network's blocks, experts among them. */
#ifndef GQA_FORMATS_MODEL_NETWORK_FEED_FORWARD_H
#define GQA_FORMATS_MODEL_NETWORK_FEED_FORWARD_H

#include "formats/model/network_params.h"

/* What a sublayer adds to the stream is times this; 0: it is as it is.
 * is_normed: the sublayer's output has a norm, which cannot be had with that.
 */
GQA_MUST_USE
enum gqa_status gqa_choose_residual_scale(double *out,
                                          const struct gqa_network_builder *b,
                                          const struct gqa_stack_rule *stack,
                                          bool is_normed);

/* Errors as gqa_take_param(), and GQA_ERR_FORMAT: a key of the configuration is
 * bad, or the tensors have another width; GQA_ERR_UNSUPPORTED: an activation
 * that is not known. out->experts is the network's. */
GQA_MUST_USE
enum gqa_status gqa_take_feed_forward(struct gqa_feed_forward *out,
                                      const struct gqa_network_builder *b,
                                      enum gqa_stack which, size_t layer);

#endif
