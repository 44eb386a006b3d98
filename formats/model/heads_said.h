/*
 * Heads by a configuration alone: of models whose tensors do not show them,
 * since they are quantised, or have other names.
 */
#ifndef GQA_FORMATS_MODEL_HEADS_SAID_H
#define GQA_FORMATS_MODEL_HEADS_SAID_H

#include "common/json.h"
#include "common/status.h"
#include "formats/families/load.h"

/* Of the stack that keeps a cache, or of an encoder. */
struct gqa_heads_said {
    char family[64];
    uint64_t n_layers, n_heads, head_dim;
    uint64_t n_kv_heads;   /* of each layer; 0: they differ */
    uint64_t all_kv_heads; /* of all layers, in sum */
    bool is_cached;        /* false: an encoder */
    bool has_cross;        /* each layer has as many for what it reads */
};

/*
 * config: of the whole checkpoint; may be NULL.
 *
 * *known  false: it says no type that choice has, or not as much as this takes
 * Errors GQA_ERR_NOMEM, and those of gqa_family_load().
 */
GQA_MUST_USE
enum gqa_status gqa_heads_said(bool *known, struct gqa_heads_said *out,
                               const json_t *config,
                               const struct gqa_family_choice *choice);

#endif
