/* What keys and values of past tokens take. */
#ifndef GQA_FORMATS_MODEL_KV_BYTES_H
#define GQA_FORMATS_MODEL_KV_BYTES_H

#include "formats/model/model.h"

/* Keys and values of one token in one attention, in the types of its weights;
 * false: more than 63 bits count. */
bool gqa_kv_attention_bytes(const struct gqa_model *model,
                            const struct gqa_attention *a, uint64_t n_kv_heads,
                            uint64_t *bytes);

/* True for attentions that keep a cache. */
bool gqa_kv_is_cached(const struct gqa_attention *attention);

#endif
