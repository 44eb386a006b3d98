/* Frequencies of rotary position embeddings: those of a length, and others
 * in their place. */
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

/* Divides a frequency of a pair that is not to turn: over no context is an
 * angle left. */
#define GQA_ROPE_STILL 1e30

/* Whether the pair turns at all. */
bool gqa_rope_turns(const struct gqa_rope *rope, uint64_t pair);

/* theta^(-2 pair / dim): before any scaling. */
double gqa_rope_plain(const struct gqa_rope *rope, uint64_t pair);

/* What sines and cosines of YaRN are times: 0.1 mscale ln(factor) + 1, and 1
 * where nothing is stretched. */
double gqa_rope_yarn_magnitude(double factor, double mscale);

/* Plain frequencies divided by divisors [n_pairs], at any length: RoPE of kind
 * longrope with two equal lists. */
void gqa_rope_divide(struct gqa_rope *rope, const double *divisors);

#endif
