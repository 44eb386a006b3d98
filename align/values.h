/*
 * Value projections fitted to what an attention should add to the stream, its
 * weights and o as they are: one least-squares problem, for values are linear
 * in them (docs/numerics.md derives it).
 */
#ifndef GQA_ALIGN_VALUES_H
#define GQA_ALIGN_VALUES_H

#include "align/head_rows.h"
#include "align/score_records.h"

struct gqa_values_job {
    /* Finished; of the converted model, but for aims. */
    const struct gqa_score_records *records;
    const struct gqa_attention_block *becomes; /* in the original's shapes */
    uint64_t pooled;      /* KV heads of the converted model */
    const double *bias;   /* its T5's [n_buckets, n_heads]; NULL: none */
    const double *output; /* o: [n_heads * d, d_model] */
    uint64_t d_model;
    unsigned n_threads; /* the result is the same for any number */
};

/*
 * values   pooled heads; changed where what is held out gains in its mean, and
 *          its worst sequence loses nothing.
 * changed  whether they were.
 * Errors   those of the device; GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite;
 *          GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_values_fit(struct gqa_head_rows *values, bool *changed,
                               const struct gqa_values_job *job);

#endif
