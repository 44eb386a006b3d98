/*
 * A model small enough to be worked out by hand: T5 with two layers in each
 * stack, two heads of two, width 8. Both KV heads are the same, so that
 * grouping them changes nothing.
 *
 * The residual stream of the decoder is 2 at the token's dimension and at
 * dimension 6, and from layer 0 on has in 4 and 5 what cross-attention tells
 * of the input; what decoder self-attention gives (nothing, as it should)
 * goes to dimension 7. With an input of one token the logits are
 *
 *   2 * token,  4 where token is 0,  the same + 10 * dimension 7,  the input
 */
#ifndef GQA_TESTS_TINY_MODEL_H
#define GQA_TESTS_TINY_MODEL_H

#include "runtime/weights.h"

enum { TINY_VOCAB = 4, TINY_LAYERS = 2, TINY_HEADS = 2 };

struct tiny_model {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source; /* of the weights; lent */
};

/* vocab: TINY_VOCAB or more; tokens beyond it are like none. Needs scratch.h's
 * folder. */
void tiny_model_open(struct tiny_model *tiny, size_t vocab, size_t n_kv_heads);
void tiny_model_close(struct tiny_model *tiny);

#endif
