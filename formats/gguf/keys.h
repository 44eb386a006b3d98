/* The keys of a GGUF file, from a configuration in the keys of Hugging Face. */
#ifndef GQA_FORMATS_GGUF_KEYS_H
#define GQA_FORMATS_GGUF_KEYS_H

#include "formats/gguf/draft.h"

/*
 * Make draft->header.keys, once its tensors are there. Where llama.cpp has no
 * windows, the context is no longer than the model's, and draft->window says
 * so. Errors GQA_ERR_UNSUPPORTED: the configuration does not say what a key
 * has to; GQA_ERR_FORMAT; memory: as gqa_json_check() tells.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_keys_create(struct gqa_gguf_draft *draft,
                                     const struct gqa_output *output);

/* The smallest window of a layer that slides; 0: none does. Errors those of
 * gqa_layer_slides() and gqa_setting_count(). */
GQA_MUST_USE
enum gqa_status gqa_gguf_keys_window(uint64_t *out,
                                     const struct gqa_output *output);

/* "llama.vocab_size" of "%.vocab_size", and its value, which this takes. */
void gqa_gguf_key_set(struct gqa_gguf_draft *draft, const char *key,
                      json_t *value);

#endif
