/* A parameter of a model that runs, as doubles. */
#ifndef GQA_ALIGN_SOURCE_VALUES_H
#define GQA_ALIGN_SOURCE_VALUES_H

#include "runtime/runtime.h"

/*
 * *out: [rows, cols] of the parameter, owned by the caller (free). Rows are
 * read by several threads, since a source may have to make them. Errors those
 * of reading; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_source_values(double **out,
                                  const struct gqa_weight_source *source,
                                  const struct gqa_model *model, size_t param,
                                  unsigned n_threads);

#endif
