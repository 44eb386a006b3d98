/*
 * One block over the rows of a batch: norms, attention, cross-attention and
 * feed-forward, in the order that the network says. Every order of running
 * a model comes through here.
 */
#ifndef GQA_RUNTIME_BLOCK_H
#define GQA_RUNTIME_BLOCK_H

#include "runtime/state.h"

/* The tokens of the batch, which is set, become work.x. */
GQA_MUST_USE
enum gqa_status gqa_block_embed(const struct gqa_pass *pass);

/* The pass's rows of work.x, normed: in `room`, or where they are if there
 * is no norm. room may be work.x itself. */
GQA_MUST_USE
enum gqa_status gqa_block_norm(const struct gqa_pass *pass, const void **out,
                               void *room, const struct gqa_norm *norm);

/*
 * Run block number `layer` of the pass's stack over work.x, in place. The
 * batch is set; what an earlier batch of these sequences left in the
 * block's cache is seen. It ends at the pass's last point, where that is set:
 * work.x is then of no use.
 */
GQA_MUST_USE
enum gqa_status gqa_block_run(const struct gqa_pass *pass,
                              const struct gqa_block *block, size_t layer);

/*
 * Keys and values that the cross-attention of decoder block `layer` reads,
 * from the encoder's normed output, `memory`. The pass and the batch are the
 * encoder's.
 */
GQA_MUST_USE
enum gqa_status gqa_block_keys(const struct gqa_pass *pass, const void *memory,
                               const struct gqa_attention_block *cross,
                               size_t layer);

#endif
