/*
 * Sizes of a model that a configuration has keys for, and what its tensors
 * make of them.
 */
#ifndef GQA_FORMATS_MODEL_SIZES_H
#define GQA_FORMATS_MODEL_SIZES_H

#include "formats/families/family.h"
#include "formats/model/inventory.h"

struct gqa_size {
    gqa_texts keys;     /* NULL: the family has none */
    uint64_t fact;      /* by the tensors; 0: not known */
    uint64_t otherwise; /* what it is where it is null or not there; 0: that
                           follows from no other size */
};

enum { GQA_N_SIZES = 10 };

/* All but KV heads and the size of a head. */
void gqa_model_sizes(struct gqa_size out[GQA_N_SIZES],
                     const struct gqa_model *model,
                     const struct gqa_inventory *inventory);

/*
 * Whether a configuration says no token of padding, and the class's own is
 * beyond the vocabulary: classes that set its row apart do not load such a
 * model. *token and *rows receive both.
 */
bool gqa_model_pads_beyond(uint64_t *token, uint64_t *rows,
                           const json_t *config, const struct gqa_model *model);

/*
 * Write into config, the model's, what it does not say, or not as a number, and
 * loaders would not work out: sizes, the size of a head, KV heads, that there
 * is no token of padding. n_kv_heads: of all attentions, or 0 where they
 * differ. Memory: as gqa_json_check() tells.
 */
void gqa_model_say_sizes(json_t *config, const struct gqa_model *model,
                         const struct gqa_inventory *inventory,
                         uint64_t n_kv_heads);

#endif
