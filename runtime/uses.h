/*
 * Which parameters a part of a network needs, and where. `uses` has an
 * element for each parameter of the model; what the part needs is marked,
 * and nothing else is changed.
 */
#ifndef GQA_RUNTIME_USES_H
#define GQA_RUNTIME_USES_H

#include "formats/model/network.h"

enum gqa_use {
    GQA_USE_NONE,
    GQA_USE_DEVICE,   /* as a weight, in its own dtype */
    GQA_USE_HOST,     /* as a table of doubles */
    GQA_USE_CONSTANT, /* likewise, and never trained */
};

/* Whether training may change what is used so. */
bool gqa_use_is_trainable(enum gqa_use use);

void gqa_use_embedding(enum gqa_use *uses,
                       const struct gqa_network_stack *stack);
void gqa_use_attention(enum gqa_use *uses, const struct gqa_attention_block *a);
void gqa_use_block(enum gqa_use *uses, const struct gqa_block *block);
void gqa_use_norm(enum gqa_use *uses, const struct gqa_norm *norm);
/* What makes logits of the last residual stream: final norm and table. */
void gqa_use_unembedding(enum gqa_use *uses, const struct gqa_network *network);
void gqa_use_all(enum gqa_use *uses, const struct gqa_network *network);

/* Bytes of those on the device; UINT64_MAX where that is no number. */
uint64_t gqa_use_bytes(const enum gqa_use *uses, const struct gqa_model *model);

#endif
