/*
 * What stands in for sound and pictures: an encoder's token number t is
 * `per_position` frames that are drawn by t and by nothing else, and so a file
 * of tokens, a sample and a seed say all of an input. Element c of frame i of
 * them is
 *
 *   sqrt(3) (2 u - 1),  u = gqa_random_uniform(key, i * width + c),
 *   key = gqa_random_key(t, "frames", 0),
 *
 * of mean 0 and variance 1. A sequence's frames are followed by zeros.
 */
#ifndef GQA_RUNTIME_FRAMES_H
#define GQA_RUNTIME_FRAMES_H

#include "runtime/state.h"

/* n = per_position * width elements of a token. */
void gqa_frames_draw(double *out, uint64_t n, int32_t token);

/*
 * The rows that a stack of frames makes of the pass's tokens, to work.x. The
 * device's batch has other tokens then, which nothing reads any more.
 */
GQA_MUST_USE
enum gqa_status gqa_frames_embed(const struct gqa_pass *pass);

#endif
