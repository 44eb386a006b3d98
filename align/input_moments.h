/* Moments of what projections are made from, of the records of a fit. */
#ifndef GQA_ALIGN_INPUT_MOMENTS_H
#define GQA_ALIGN_INPUT_MOMENTS_H

#include "align/score_records.h"

/*
 * The inverse of the mean of x x^T over the inputs of queries, or of keys, of
 * all parts that are fitted to, and a thousandth of its mean diagonal.
 *
 * out     [width, width]; owned by the caller.
 * Errors  those of the device; GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite.
 */
GQA_MUST_USE
enum gqa_status gqa_input_moments_invert(double **out,
                                         const struct gqa_score_records *r,
                                         bool keys, uint64_t width);

#endif
