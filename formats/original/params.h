/*
 * What params.json says beside weights in Meta's and Mistral's own layouts.
 */
#ifndef GQA_FORMATS_ORIGINAL_PARAMS_H
#define GQA_FORMATS_ORIGINAL_PARAMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

#define GQA_ORIGINAL_PARAMS "params.json"

struct gqa_original_shape {
    uint64_t d_model, n_layers, n_heads, n_kv_heads;
    uint64_t head_dim; /* even */
};

/* What the tensors tell of the configuration. */
struct gqa_original_sizes {
    uint64_t vocab_size;
    uint64_t d_ff; /* 0: no such tensor */
    size_t n_tensors;
    bool is_tied; /* no matrix of logits */
};

/* Error GQA_ERR_FORMAT: it does not say one of them, or nothing that is one. */
GQA_MUST_USE
enum gqa_status gqa_original_read_shape(struct gqa_original_shape *shape,
                                        const json_t *params);

/*
 * Hugging Face's configuration, which the caller owns: of a Llama, of a Mistral
 * where all layers slide, of a Ministral where some do.
 *
 * Errors GQA_ERR_FORMAT: a value that its key cannot have;
 *        GQA_ERR_UNSUPPORTED: a key that is not known, or what has no word
 *        there; GQA_ERR_NOMEM. *out is unchanged then.
 */
GQA_MUST_USE
enum gqa_status gqa_original_make_config(
    json_t **out, const json_t *params, const struct gqa_original_shape *shape,
    const struct gqa_original_sizes *sizes);

#endif
