/* Layers that predict more tokens than the next one, which checkpoints have and
 * stock classes do not load. */
#ifndef GQA_FORMATS_MODEL_MORE_LAYERS_H
#define GQA_FORMATS_MODEL_MORE_LAYERS_H

#include <jansson.h>

#include "formats/families/family.h"
#include "formats/model/params.h"

/*
 * Take what the description says is left out from the parameters, and tell of
 * it: names.left_out, and of config.more_layers those behind the last layer.
 * config: of the language model, or NULL.
 */
void gqa_leave_more_layers(struct gqa_params *params,
                           const struct gqa_family *family,
                           const json_t *config);

#endif
