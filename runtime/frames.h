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

/* A stack of frames and the tokens of a batch that it reads. */
struct gqa_frames_run {
    const struct gqa_runtime *runtime;
    const struct gqa_network_stack *stack;
    const struct gqa_batch *batch; /* the device's; it stays that */
    uint64_t n_rows;
    uint64_t at_once; /* windows that go to the device together */
};

/*
 * The rows that the stack makes of the tokens, to x, real [n_rows, memory_width
 * or d_model]. room: real [n_rows, d_model]; not looked at without
 * convolutions.
 */
GQA_MUST_USE
enum gqa_status gqa_frames_embed(const struct gqa_frames_run *run, void *x,
                                 void *room);

/*
 * Gradients of the weights and biases of its convolutions, by number of these,
 * which are added to: device memory, wide; NULL where one is not wanted. d_x:
 * real [n_rows, d_model], of what gqa_frames_embed() makes before a norm. What
 * comes between is made again.
 */
struct gqa_frames_gradient {
    void *d_weight[GQA_MAX_CONVOLUTIONS], *d_bias[GQA_MAX_CONVOLUTIONS];
};
GQA_MUST_USE
enum gqa_status gqa_frames_back(const struct gqa_frames_run *run,
                                const struct gqa_frames_gradient *gradient,
                                const void *d_x);

#endif
