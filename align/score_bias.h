/* What an attention adds to its scores, on a device. */
#ifndef GQA_ALIGN_SCORE_BIAS_H
#define GQA_ALIGN_SCORE_BIAS_H

#include "formats/model/network.h"
#include "runtime/backend.h"

/*
 * As attend() takes it, of distances below reach; NULL where the attention has
 * none.
 *
 * table   T5's [n_buckets, n_heads], or NULL.
 * Errors  GQA_ERR_NOMEM, and those of the device.
 */
GQA_MUST_USE
enum gqa_status gqa_score_bias_upload(void **out,
                                      const struct gqa_backend *backend,
                                      struct gqa_device *device,
                                      enum gqa_dtype real,
                                      const struct gqa_attention_block *block,
                                      const double *table, uint64_t reach);

#endif
