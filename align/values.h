/*
 * Value projections fitted to what an attention should add to the stream, its
 * weights and o as they are: one least-squares problem, for values are linear
 * in them (docs/numerics.md derives it). Again and again, as o changes.
 */
#ifndef GQA_ALIGN_VALUES_H
#define GQA_ALIGN_VALUES_H

#include "align/head_rows.h"
#include "align/score_records.h"

struct gqa_values_job {
    /* Finished; of the converted model, but for aims. What heads gave is made
     * anew when values change. */
    struct gqa_score_records *records;
    const struct gqa_attention_block *becomes; /* in the original's shapes */
    uint64_t pooled;    /* KV heads of the converted model */
    uint64_t inputs;    /* of values */
    const double *bias; /* its T5's [n_buckets, n_heads]; NULL: none */
    uint64_t d_model;
    unsigned n_threads; /* the result is the same for any number */
};

struct gqa_values;

/* job: kept, and what it points to lent. Errors those of the device;
 * GQA_ERR_NOMEM; GQA_ERR_FORMAT: inputs are not finite. */
GQA_MUST_USE
enum gqa_status gqa_values_create(struct gqa_values **out,
                                  const struct gqa_values_job *job);
void gqa_values_free(struct gqa_values *fitter);

/*
 * values   pooled heads, those that the heads in the records were made with;
 *          changed where what is held out gains in its mean, and its worst
 *          sequence loses nothing.
 * output   o: [n_heads * d, d_model].
 * step     how much of the fit they went; 0: they stay what they are. Less than
 *          1 is a fit to what the tokens alone have, and so would others be.
 * Errors   those of the device; GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite;
 *          GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_values_fit(struct gqa_values *fitter,
                               struct gqa_head_rows *values,
                               const double *output, double *step);

/* The records' heads become what these values, as the model has them, give.
 * Errors those of the device. */
GQA_MUST_USE
enum gqa_status gqa_values_attend(struct gqa_values *fitter,
                                  const struct gqa_head_rows *values);

#endif
