/*
 * Teacher and student over the same sequences, a layer at a time: residual
 * streams of both between layers, and the batches that they run in.
 */
#ifndef GQA_UPTRAIN_WALK_H
#define GQA_UPTRAIN_WALK_H

#include "runtime/back/layer.h"
#include "uptrain/device.h"
#include "uptrain/pair.h"

enum gqa_walker { GQA_WALK_TEACHER, GQA_WALK_STUDENT, GQA_N_WALKERS };

struct gqa_walk_options {
    uint64_t batch, length; /* sequences and tokens at a time, at most */
    /* Sequences that are trained on, and others that are measured on: no batch
     * has both. Lent. */
    const struct gqa_tokens *tokens, *held_out;
};

struct gqa_walk;

/* device, pair: lent. Errors GQA_ERR_NOMEM; GQA_ERR_IO: no file for streams
 * that are too many for memory. */
GQA_MUST_USE
enum gqa_status gqa_walk_create(struct gqa_walk **out,
                                const struct gqa_train_device *device,
                                struct gqa_pair *pair,
                                const struct gqa_walk_options *options);
void gqa_walk_free(struct gqa_walk *walk);

/* Batches: those to train on first, then those held out. */
size_t gqa_walk_n_batches(const struct gqa_walk *walk);
size_t gqa_walk_n_trained_on(const struct gqa_walk *walk);
/* Tokens of a batch in a stack, padding left out. */
uint64_t gqa_walk_n_tokens(const struct gqa_walk *walk, size_t batch,
                           size_t stack);

/* Of one of both, at a place; trained: as gqa_tape_options has it. */
GQA_MUST_USE
enum gqa_status gqa_walk_load(struct gqa_layer **out, struct gqa_walk *walk,
                              enum gqa_walker who,
                              const struct gqa_layer_place *place,
                              const bool *trained);

/* Give a layer a batch, and the stream that `who` has there. */
GQA_MUST_USE
enum gqa_status gqa_walk_feed(struct gqa_walk *walk, enum gqa_walker who,
                              struct gqa_layer *layer,
                              const struct gqa_layer_place *place,
                              size_t batch);

/* Take a layer's streams on, of all batches. */
GQA_MUST_USE
enum gqa_status gqa_walk_on(struct gqa_walk *walk, enum gqa_walker who,
                            struct gqa_layer *layer,
                            const struct gqa_layer_place *place);

#endif
