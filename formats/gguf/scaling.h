/* What a configuration says of RoPE beyond its base, for llama.cpp. */
#ifndef GQA_FORMATS_GGUF_SCALING_H
#define GQA_FORMATS_GGUF_SCALING_H

#include "formats/gguf/draft.h"

/* Room that a draft leaves for what gqa_gguf_scaling_add() adds. */
enum { GQA_GGUF_SCALING_TENSORS = 2 };

/* Whether tensors say it there: the divisors of all frequencies. */
bool gqa_gguf_scaling_is_by_tensors(const struct gqa_output *output);

/* Where keys say it, add them. Errors GQA_ERR_UNSUPPORTED: a kind of scaling
 * that llama.cpp does not know, or not of such models. */
GQA_MUST_USE
enum gqa_status gqa_gguf_scaling_keys(struct gqa_gguf_draft *draft,
                                      const struct gqa_output *output);

/* Where tensors do, add them, and the keys that go with them. Errors those of
 * gqa_rope_create(). */
GQA_MUST_USE
enum gqa_status gqa_gguf_scaling_add(struct gqa_gguf_draft *draft,
                                     const struct gqa_output *output);

/* What a configuration says of it, lent; or NULL. */
const json_t *gqa_gguf_scaling_said(const json_t *config);

/* The same configuration with one key for the base of RoPE, where a second, or
 * an alpha, says what that is times. Owned; NULL: no memory. */
json_t *gqa_gguf_scaling_folded(const struct gqa_model *model,
                                const json_t *config);

/* Likewise, and where it has RoPE by kinds of layers (transformers 5) with what
 * versions before had in their place. */
json_t *gqa_gguf_scaling_flat(const struct gqa_model *model,
                              const json_t *config);

#endif
