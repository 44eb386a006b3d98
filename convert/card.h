/* The model card of a folder: README.md. */
#ifndef GQA_CONVERT_CARD_H
#define GQA_CONVERT_CARD_H

#include <jansson.h>

#include "convert/convert.h"

/*
 * What was made of what and how, what it measures and how to load it, below
 * front matter for the Hugging Face Hub. Says nothing of the original's
 * qualities, which the conversion has not.
 *
 * out     receives the text; the caller owns it. NULL: the source is a folder
 *         whose weights come out as they went in, so that its own card holds.
 * config  of the output; recipe: of its making. Both lent.
 * Errors  GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_card_create(char **out, const struct gqa_conversion *c,
                                const json_t *config, const json_t *recipe);

#endif
