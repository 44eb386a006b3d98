/* Tables of what positions add to a model, in memory of the device: angles of
 * RoPE, biases of scores, rows of sines and cosines. */
#ifndef GQA_RUNTIME_POSITION_TABLES_H
#define GQA_RUNTIME_POSITION_TABLES_H

#include "runtime/state.h"

/*
 * Angles of a RoPE at positions below n_positions, in sequences of
 * `length` tokens (gqa_rope_kind()), as rotate() takes them: to *out, which is
 * allocated where it is NULL, and has room for as many where not. The caller
 * frees it. Errors those of the device, and GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_position_angles(const struct gqa_runtime *runtime,
                                    void **out, const struct gqa_rope *rope,
                                    uint64_t n_positions, uint64_t length);

/* Those of the network, for sequences of `length` tokens. */
GQA_MUST_USE
enum gqa_status gqa_position_turn(const struct gqa_runtime *runtime,
                                  struct gqa_angles *angles,
                                  uint64_t n_positions, uint64_t length);
void gqa_position_free(const struct gqa_runtime *runtime,
                       struct gqa_angles *angles);

/* Likewise the bias of an attention that has one, T5's or ALiBi's, as attend()
 * takes it: wide [n_heads, 2 * reach - 1]. */
GQA_MUST_USE
enum gqa_status gqa_position_bias(const struct gqa_runtime *runtime, void **out,
                                  const struct gqa_attention_block *a,
                                  uint64_t reach);

/* Likewise that of its summaries: reach is theirs. */
GQA_MUST_USE
enum gqa_status gqa_position_summary_bias(const struct gqa_runtime *runtime,
                                          void **out,
                                          const struct gqa_attention_block *a,
                                          uint64_t reach);

/* Likewise the positions that a stack computes, from row 0 on, as embed() takes
 * them. */
GQA_MUST_USE
enum gqa_status gqa_position_sinusoids(const struct gqa_runtime *runtime,
                                       struct gqa_weight *out,
                                       const struct gqa_network_stack *stack);

/* Whether an attention has a bias, and whether two have the same. */
bool gqa_position_has_bias(const struct gqa_attention_block *a);
bool gqa_position_same_bias(const struct gqa_attention_block *a,
                            const struct gqa_attention_block *b);
/* Whether the summaries of two have the same. */
bool gqa_position_same_summary_bias(const struct gqa_attention_block *a,
                                    const struct gqa_attention_block *b);

#endif
