/*
 * Keys and values of an encoder that stand for several tokens each (struct
 * gqa_summaries of formats/model/network.h), beside those of its tokens: what a
 * session and a tape run them with. They are a batch of their own, in which
 * each is a token.
 */
#ifndef GQA_RUNTIME_SUMMARIES_H
#define GQA_RUNTIME_SUMMARIES_H

#include "formats/model/network.h"
#include "runtime/backend.h"

/* counts[s]: how many sequence s of the batch has. */
void gqa_summaries_count(uint64_t *counts, const struct gqa_batch *batch,
                         uint64_t size);

/* The batch that they are; most: room for each sequence of it, not 0. counts
 * is lent. */
struct gqa_batch gqa_summaries_batch(const struct gqa_batch *tokens,
                                     const uint64_t *counts, uint64_t most);

/* Of their biases, in sequences of so many tokens at most; at least 1. */
uint64_t gqa_summaries_reach(const struct gqa_summaries *summaries,
                             uint64_t n_tokens);

/* Attention of the same queries to them; out, k, v, bias, reach and lse are
 * for the caller to fill in. counts is lent. */
struct gqa_attention_op gqa_summaries_op(const struct gqa_attention_op *tokens,
                                         const struct gqa_summaries *summaries,
                                         const uint64_t *counts, uint64_t most);

#endif
