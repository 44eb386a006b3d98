/*
 * How many bytes the keys and values of past tokens take while a model
 * generates, as it is stored and for every grouping that can be reached.
 *
 * Counted are the decoder's self-attentions, once for each token so far, and
 * its cross-attentions, once for each token of the source. An encoder runs
 * once and keeps no cache. An element takes the bytes of the K or V weight's
 * dtype.
 */
#ifndef GQA_INSPECT_KV_CACHE_H
#define GQA_INSPECT_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/families/family.h"
#include "formats/model/kv_bytes.h"

struct gqa_kv_bytes {
    uint64_t self;  /* for one generated (or prompt) token */
    uint64_t cross; /* for one source token; 0 in a decoder-only model */
};

/* Every cached attention as it is stored, and with all its query heads. */
struct gqa_kv_per_token {
    struct gqa_kv_bytes stored, mha;
};

/* Errors GQA_ERR_UNSUPPORTED: more bytes than 63 bits count. */
GQA_MUST_USE
enum gqa_status gqa_kv_per_token(struct gqa_kv_per_token *out,
                                 const struct gqa_model *model);

struct gqa_kv_row {
    uint64_t n_kv_heads; /* of every cached attention; 0: they differ */
    bool is_mha;         /* as many as there are query heads */
    bool is_stored;      /* what the checkpoint holds */
    struct gqa_kv_bytes per_token;
    uint64_t self_bytes, cross_bytes; /* for the whole context and batch */
    uint64_t total_bytes;
};

struct gqa_kv_plan {
    uint64_t context, batch;
    struct gqa_kv_row *rows; /* most heads first, the first is multi-head */
    size_t n_rows;
};

/*
 * A row for multi-head attention, one for the checkpoint as it is, and one
 * for each number of KV heads that all its cached attentions can be pooled
 * to. The source of an encoder-decoder is taken to be `context` tokens long.
 *
 * out    receives the plan on GQA_OK; the caller ends it with
 *        gqa_kv_plan_free().
 * Errors GQA_ERR_UNSUPPORTED: no attention keeps a cache, or more bytes than
 *        63 bits count; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_kv_plan_create(struct gqa_kv_plan **out,
                                   const struct gqa_model *model,
                                   uint64_t context, uint64_t batch);
void gqa_kv_plan_free(struct gqa_kv_plan *plan);

/*
 * The longest context that the configuration names under one of the keys, or 0
 * where it names none that makes sense; keys NULL: none.
 */
uint64_t gqa_kv_context_of_config(const json_t *config, gqa_texts keys);

#endif
