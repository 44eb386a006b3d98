/* Moments of an attention's heads, as factor.h and likeness.h take them. */
#ifndef GQA_ALIGN_MOMENTS_H
#define GQA_ALIGN_MOMENTS_H

#include "align/factor.h"
#include "align/statistics.h"

/*
 * X X^T of a slice's heads, X being their rows: their moments where inputs
 * have the identity's. out: together, [n d, n d]; else of each, [n, d, d].
 * OpenBLAS is loaded. Errors those of gqa_heads_read().
 */
GQA_MUST_USE
enum gqa_status gqa_moments_of_weights(double *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       const struct gqa_slice *slice,
                                       uint64_t head_dim, bool together,
                                       bool with_bias, unsigned n_threads);

/* Statistics of an attention where its inputs have these moments. out has
 * room (gqa_head_statistics_create()). Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_statistics_of_weights(struct gqa_head_statistics *out,
                                          struct gqa_checkpoint *checkpoint,
                                          const struct gqa_model *model,
                                          const struct gqa_attention *a,
                                          unsigned n_threads);

/*
 * What tokens say of an attention, and a small share of what weights do: as if
 * some of the inputs had come from all directions alike. Where tokens are few
 * they do not span a head's space, and what they have not shown would count
 * for nothing. OpenBLAS is loaded. Errors those of gqa_heads_read().
 */
GQA_MUST_USE
enum gqa_status gqa_statistics_add_share(struct gqa_head_statistics *statistics,
                                         struct gqa_checkpoint *checkpoint,
                                         const struct gqa_model *model,
                                         const struct gqa_attention *a,
                                         unsigned n_threads);

/* Metrics [n_heads, d, d] of query heads, summed over those that read one KV
 * head: out [n_kv_heads, d, d]. */
void gqa_moments_by_kv_head(double *out, const struct gqa_attention *a,
                            const double *metrics);

/* E|O_h v|^2 of each query head, out [n_heads], v being the values that it
 * reads; metrics [n_heads, d, d]: O_h^T O_h, values [n_kv_heads d, n_kv_heads
 * d]: moments of all values. */
void gqa_moments_of_outputs(double *out, const struct gqa_attention *a,
                            const double *metrics, const double *values);

/* Moments of all keys, [n_kv_heads d, n_kv_heads d]; about the mean where
 * coordinates do not turn. */
void gqa_moments_of_keys(double *out, const struct gqa_attention *a,
                         const struct gqa_bands *bands,
                         const struct gqa_head_statistics *statistics);

#endif
