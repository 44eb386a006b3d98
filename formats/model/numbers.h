/*
 * Numbers of a configuration that no model has: an epsilon below 0, a window
 * of no keys, more experts chosen than there are, RoPE scaled by nothing.
 * Classes of transformers do not load such a model, or compute nonsense.
 */
#ifndef GQA_FORMATS_MODEL_NUMBERS_H
#define GQA_FORMATS_MODEL_NUMBERS_H

#include "common/status.h"
#include "formats/model/model.h"

/*
 * Every number that a run of the model would take from its configuration is one
 * that it can be. Nothing is said of what only these tools do not know: a kind
 * of RoPE, a list of layers of other kinds.
 *
 * Errors GQA_ERR_FORMAT, naming the key and its value; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_check_numbers(const struct gqa_model *model);

#endif
