/* What versions of transformers read differently of RoPE. */
#ifndef GQA_FORMATS_MODEL_ROPE_READINGS_H
#define GQA_FORMATS_MODEL_ROPE_READINGS_H

#include <jansson.h>

#include "common/status.h"
#include "formats/model/model.h"

/*
 * Add to list a text for each, and for each key that nothing reads because
 * another counts in its place. model: with its configuration. Errors
 * GQA_ERR_FORMAT, GQA_ERR_NOMEM; what jansson misses, gqa_json_check() tells.
 */
GQA_MUST_USE
enum gqa_status gqa_rope_readings_add(json_t *list,
                                      const struct gqa_model *model);

#endif
