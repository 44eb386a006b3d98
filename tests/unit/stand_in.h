/*
 * A model in the runtime's place: two layers in each stack, width 2, four
 * tokens. The residual stream of a layer is (1 + layer, token); the logits
 * at a position are (token, position, 0, the first token of the input).
 */
#ifndef GQA_TESTS_STAND_IN_H
#define GQA_TESTS_STAND_IN_H

#include "runtime/runtime.h"

enum { STAND_IN_VOCAB = 4, STAND_IN_WIDTH = 2, STAND_IN_LAYERS = 2 };

/* What models made from now on get wrong. */
struct stand_in {
    double logit_error;    /* in logit 2 */
    double grouped_error;  /* likewise, of grouped models alone */
    double decoding_error; /* likewise, behind the first token of a step */
    double layer_error;    /* in decoder layer 1 */
    uint64_t vocab_size;
};

extern struct stand_in stand_in;
extern unsigned stand_in_n_steps, stand_in_n_open; /* decodes, devices */

/* Right in everything, and nothing counted. */
void stand_in_reset(void);

extern const struct gqa_backend stand_in_backend;

#endif
