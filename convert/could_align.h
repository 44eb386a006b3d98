/* Whether an aligned conversion could have been made in place of a mean. */
#ifndef GQA_CONVERT_COULD_ALIGN_H
#define GQA_CONVERT_COULD_ALIGN_H

#include <stdbool.h>

#include "convert/plan.h"

/*
 * Of all attentions that share heads: the model can be run, and nothing stands
 * between projections and their use that no transform passes. No weight is
 * read. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_could_align(bool *out, const struct gqa_plan *plan);

#endif
