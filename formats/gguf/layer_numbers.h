/*
 * Numbers that each layer has: tensors of one element in the original, and a
 * list of all layers' among the keys of a GGUF file (the constants of xIELU).
 */
#ifndef GQA_FORMATS_GGUF_LAYER_NUMBERS_H
#define GQA_FORMATS_GGUF_LAYER_NUMBERS_H

#include "formats/gguf/draft.h"

/* Which of the architecture's the tensor is, and of which layer; NULL: none.
 * A model without its head is written without its prefix. */
const struct gqa_gguf_layer_number *gqa_gguf_layer_number_find(
    size_t *layer, const struct gqa_gguf_architecture *architecture,
    const struct gqa_family *family, const char *name);

/* The keys of a draft, whose numbers are known when it is written: 0 until
 * then. Errors GQA_ERR_UNSUPPORTED: a layer has none, or more than one number;
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_gguf_layer_numbers_add(struct gqa_gguf_draft *draft,
                                           const struct gqa_output *output);

/* What they are, of the output's content. Errors those of producing it. */
GQA_MUST_USE
enum gqa_status gqa_gguf_layer_numbers_fill(struct gqa_gguf_draft *draft,
                                            const struct gqa_output *output);

/* How many tensors a file's keys stand for. Errors GQA_ERR_FORMAT: there are
 * none for so many layers. */
GQA_MUST_USE
enum gqa_status gqa_gguf_layer_numbers_count(
    size_t *n, const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header);

/* One of them: its name in the original, which the caller owns, and the
 * number. index: below that count. Errors GQA_ERR_FORMAT: no key says it;
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_gguf_layer_numbers_take(
    char **name, unsigned *rank, float *number, size_t index,
    const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header);

#endif
