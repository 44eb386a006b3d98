/* Heads of a projection as a matrix of doubles. */
#ifndef GQA_ALIGN_WEIGHTS_H
#define GQA_ALIGN_WEIGHTS_H

#include "formats/model/model.h"

/*
 * *out: [slice->n_heads * head_dim, *cols], owned by the caller (free): row i
 * is element i of the heads side by side, over the projection's other axis,
 * and behind it the bias, where there is one. Errors those of reading;
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_heads_read(double **out, uint64_t *cols,
                               struct gqa_checkpoint *checkpoint,
                               const struct gqa_model *model,
                               const struct gqa_slice *slice, uint64_t head_dim,
                               unsigned n_threads);

#endif
