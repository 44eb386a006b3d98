/* What stock transformers makes of an output. */
#ifndef GQA_CONVERT_STOCK_H
#define GQA_CONVERT_STOCK_H

#include "convert/plan.h"
#include "formats/writers.h"

enum gqa_stock {
    GQA_STOCK_LOADS,
    GQA_STOCK_HAS_MODULE,       /* by a module that is written beside it */
    GQA_STOCK_COULD_HAVE,       /* its class has no groups; a module would */
    GQA_STOCK_HAS_NO_GROUPS,    /* its class has no grouped attention */
    GQA_STOCK_WANTS_ONE_NUMBER, /* its class has, but layers differ */
    GQA_STOCK_HAS_NO_WORD,      /* its configuration cannot say the number */
};

enum gqa_stock gqa_stock_of(const struct gqa_plan *plan);

/* In a sentence or two, of at most 80 columns a line; NULL: it loads it. */
const char *gqa_stock_note(enum gqa_stock stock);

/* Whether who loads an output of this kind reads frequencies of RoPE pair by
 * pair: gqa tools do, the family's stock loader may, and llama.cpp in some
 * architectures. */
bool gqa_stock_reads_pairs(const struct gqa_model *model,
                           const struct gqa_writer *writer);

/* KV heads of every attention of the decoder as written; 0: they differ. */
uint64_t gqa_uniform_kv_heads(const struct gqa_plan *plan);

/* Whether attentions of one kind differ from layer to layer in the decoder. */
bool gqa_is_hybrid(const struct gqa_plan *plan);

#endif
