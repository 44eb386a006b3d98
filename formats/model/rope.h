/* Frequencies of rotary position embeddings that depend on how long a
 * sequence is. */
#ifndef GQA_FORMATS_MODEL_ROPE_H
#define GQA_FORMATS_MODEL_ROPE_H

#include "formats/model/network.h"

/*
 * Sequences of equal kinds have the same frequencies: 0 those within the
 * context, and all where length does not matter. length: of the whole
 * sequence, since transformers rotates all of it alike.
 */
uint64_t gqa_rope_kind(const struct gqa_rope *rope, uint64_t length);

/* out: [n_pairs], of sequences of this length. */
void gqa_rope_frequencies(double *out, const struct gqa_rope *rope,
                          uint64_t length);

#endif
