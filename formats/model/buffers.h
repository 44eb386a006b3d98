/* Tensors of a checkpoint that are no weights: what a library computes anew
 * and stores all the same, and no computation reads. */
#ifndef GQA_FORMATS_MODEL_BUFFERS_H
#define GQA_FORMATS_MODEL_BUFFERS_H

#include <stdbool.h>

#include "formats/model/model.h"

/*
 * Whether a name, without the family's prefix, is one that its description
 * ignores.
 */
bool gqa_family_ignores(const struct gqa_family *family, const char *name);

/*
 * Whether a parameter of this name is one: those that the family's
 * description ignores (masks, rotary frequencies), in an attention or of the
 * whole model.
 */
bool gqa_model_is_buffer(const struct gqa_model *model, const char *name);

#endif
