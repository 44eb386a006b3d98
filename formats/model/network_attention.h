/* The attentions of a network's blocks. */
#ifndef GQA_FORMATS_MODEL_NETWORK_ATTENTION_H
#define GQA_FORMATS_MODEL_NETWORK_ATTENTION_H

#include "formats/model/network_params.h"

/*
 * before: the same attention of the layer before it, whose table of biases may
 * be this one's too; NULL: this is the first. Errors as gqa_take_param(), and
 * GQA_ERR_FORMAT: a key of the configuration is bad.
 */
GQA_MUST_USE
enum gqa_status gqa_take_attention(struct gqa_attention_block *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_attention_rule *rule,
                                   const struct gqa_attention *heads,
                                   const struct gqa_attention_block *before);

/* What scores are multiplied with, whatever the layer. */
GQA_MUST_USE
enum gqa_status gqa_choose_even_scale(double *out,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_attention_rule *rule,
                                      const struct gqa_attention *heads);

#endif
