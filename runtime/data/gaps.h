/*
 * Text that a model grows by itself, where it is made to fill gaps: T5 and
 * its like are trained to say what was cut from a text, a special token (a
 * sentinel) standing in each place.
 */
#ifndef GQA_RUNTIME_DATA_GAPS_H
#define GQA_RUNTIME_DATA_GAPS_H

#include "runtime/data/drawing.h"

/* How a model fills gaps. */
struct gqa_gaps {
    int64_t sentinel; /* of the first gap; others count down from it */
    uint64_t length;  /* tokens that it fills one with */
};

/*
 * Whether the model fills gaps, seen by what it does: its outputs for random
 * tokens all begin with one token, and where that and the one below it stand
 * among random tokens, most outputs say the one, some tokens, and the other.
 * Sequences must have room for four times as many tokens as it fills a gap
 * with.
 *
 * drawing  of an encoder-decoder. Errors those of runs.
 */
GQA_MUST_USE
enum gqa_status gqa_gaps_find(bool *found, struct gqa_gaps *gaps,
                              struct gqa_runtime *runtime,
                              const struct gqa_drawing *drawing);

/* Tokens that gqa_gaps_grow() draws, at most. */
uint64_t gqa_gaps_cost(const struct gqa_gaps *gaps,
                       const struct gqa_sample_options *options);

/*
 * Append options->n inputs with gaps in them; outputs are yet to be drawn.
 * Texts begin as random tokens. Gaps wander over them, and what the model fills
 * them with takes the place of what was there, until nothing is left of the
 * noise. Errors those of runs.
 */
GQA_MUST_USE
enum gqa_status gqa_gaps_grow(struct gqa_tokens *tokens,
                              struct gqa_runtime *runtime,
                              struct gqa_drawing *drawing,
                              const struct gqa_gaps *gaps);

#endif
