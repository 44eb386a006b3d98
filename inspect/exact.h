/*
 * What could be kept in place of keys and values without any loss: the inputs
 * that they are made of, where keys are not rotated, so that the projections
 * of keys and values can move into those of queries and outputs.
 */
#ifndef GQA_INSPECT_EXACT_H
#define GQA_INSPECT_EXACT_H

#include "inspect/similarity.h"

enum gqa_exact_kind {
    GQA_EXACT_ENCODER_OUTPUT, /* once, for the cross-attention of all layers */
    GQA_EXACT_LAYER_INPUT,    /* of the self-attention of each layer */
};

enum { GQA_N_EXACT = 2 };

struct gqa_exact {
    enum gqa_exact_kind kind;
    size_t n_attentions;
    uint64_t bytes;  /* of a token */
    uint64_t stored; /* that keys and values take */
    /* Multiplications for scores and sums over values, times as many: they
     * run over the width of the input, not that of a head. */
    double work;
};

/* Those that there are, into out, and how many. */
size_t gqa_exact_find(struct gqa_exact out[GQA_N_EXACT],
                      const struct gqa_model *model,
                      const struct gqa_similarity *similarity);

const char *gqa_exact_word(enum gqa_exact_kind kind); /* in JSON */
const char *gqa_exact_text(enum gqa_exact_kind kind); /* for people */

#endif
