/* Tables of positions that are computed: those of sines and cosines. */
#ifndef GQA_FORMATS_MODEL_SINUSOIDS_H
#define GQA_FORMATS_MODEL_SINUSOIDS_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/checkpoint.h"
#include "formats/model/model.h"
#include "formats/model/network.h"

/* row: of a position, receives 2 * half numbers. kind: not
 * GQA_SINUSOIDS_NONE. */
void gqa_sinusoids_row(double *row, enum gqa_sinusoids kind, uint64_t half,
                       uint64_t position);

/*
 * Whether parameter `index` is the table of a stack whose positions the family
 * computes, and holds what is computed: a library that does so does not store
 * it. A table with other numbers is one that somebody needs. Errors as
 * gqa_checkpoint_read(), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_param_is_sinusoids(bool *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       size_t index);

#endif
