/* Models that no description has words for, and why. */
#ifndef GQA_FORMATS_MODEL_UNHANDLED_H
#define GQA_FORMATS_MODEL_UNHANDLED_H

#include <jansson.h>

/* The reason, as a part of a sentence; NULL: the type is none of these. */
const char *gqa_why_unhandled(const char *model_type);

/* Likewise of models of a type whose layers may be of other kinds: these are,
 * by layer_types, or by its absence. */
const char *gqa_why_layers_unhandled(const json_t *config,
                                     const char *model_type);

#endif
