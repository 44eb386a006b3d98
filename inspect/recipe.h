/* What a grouped checkpoint records of the conversion that made it. */
#ifndef GQA_INSPECT_RECIPE_H
#define GQA_INSPECT_RECIPE_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/checkpoint.h"

/* True when a file of the checkpoint has a recipe in its metadata. */
bool gqa_recipe_exists(const struct gqa_checkpoint *checkpoint);

/*
 * The recipe, parsed. The caller owns *out (json_decref).
 * Errors GQA_ERR_UNSUPPORTED: the checkpoint records none; GQA_ERR_FORMAT:
 *        it is not JSON.
 */
GQA_MUST_USE
enum gqa_status gqa_recipe_load(json_t **out,
                                const struct gqa_checkpoint *checkpoint);

#endif
