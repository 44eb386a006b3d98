/* Heads of a projection as a model that runs has them. */
#ifndef GQA_ALIGN_HEAD_ROWS_H
#define GQA_ALIGN_HEAD_ROWS_H

#include "common/spill.h"
#include "formats/model/model.h"
#include "runtime/runtime.h"

/* Owned; end it with gqa_head_rows_clear(). */
struct gqa_head_rows {
    uint64_t n, inputs; /* rows: all heads', and what each is made from */
    double *weight;     /* [n, inputs], heads one after another */
    double *bias;       /* [n]; NULL: none */
    enum gqa_dtype dtype;
};

/* Every step-th head of a slice. Errors of reading; GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_head_rows_read(struct gqa_head_rows *out,
                                   const struct gqa_weight_source *source,
                                   const struct gqa_model *model,
                                   const struct gqa_slice *slice,
                                   uint64_t head_dim, uint64_t step,
                                   unsigned n_threads);

/* The weight in its dtype, in place of what was there. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_head_rows_keep(struct gqa_spill *out,
                                   const struct gqa_head_rows *rows);
void gqa_head_rows_clear(struct gqa_head_rows *rows);

#endif
