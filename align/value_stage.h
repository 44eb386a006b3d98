/* Fits of values (values.h) of a block's attentions, as a refit comes to
 * them: what they are made from is seen once, and fitted to again and again. */
#ifndef GQA_ALIGN_VALUE_STAGE_H
#define GQA_ALIGN_VALUE_STAGE_H

#include "align/records.h"
#include "align/refit.h"
#include "align/score_records.h"
#include "runtime/layers.h"

struct gqa_values;

struct gqa_value_stage_job {
    struct gqa_alignment *alignment;
    const struct gqa_refit_job *refit;
    const struct gqa_attention_block *block; /* of the original */
    /* The original's stream behind the attention; the converted's before it,
     * of the batch that runs. */
    struct gqa_records *target, *before;
    const void *output_bias; /* float64 on the device; NULL: none */
};

struct gqa_value_stage {
    struct gqa_value_stage_job job;
    struct gqa_score_records records;
    struct gqa_values *fitter; /* NULL: nothing was fitted yet */
    double *table;             /* of positions; NULL: none */
    size_t batch;              /* that runs */
    /* On the device, of so many rows: ones, and what they should add. */
    void *ones, *aim;
    uint64_t n_rows;
};

/* End it with gqa_value_stage_clear(). */
void gqa_value_stage_begin(struct gqa_value_stage *stage,
                           const struct gqa_value_stage_job *job);
void gqa_value_stage_clear(struct gqa_value_stage *stage);

/* For taps of the converted model's block, which may end at ATTENDED;
 * `before` is the caller's to fill. Errors those of the device. */
#define GQA_VALUE_STAGE_POINTS                                             \
    (GQA_TAP(GQA_TAP_ATTENDED) | GQA_TAP(GQA_TAP_Q) | GQA_TAP(GQA_TAP_K) | \
     GQA_TAP(GQA_TAP_Q_TURNED) | GQA_TAP(GQA_TAP_K_TURNED) |               \
     GQA_SCORE_RECORDS_OF_CONVERTED)
GQA_MUST_USE
enum gqa_status gqa_value_stage_see(struct gqa_value_stage *stage,
                                    const struct gqa_tapped *tapped);

/* Put fitted_v into the alignment, if that gains with o as it is; step: as of
 * gqa_values_fit(). Errors those of values.h. */
GQA_MUST_USE
enum gqa_status gqa_value_stage_fit(struct gqa_value_stage *stage,
                                    double *step);

/*
 * Put fitted_q, fitted_k and fitted_v into the alignment, and o into *output,
 * [n_heads * d, d_model], where all four gain together (attention_fit.h);
 * *changed: they did. Behind gqa_value_stage_fit(), which is no use any more.
 * Errors those of attention_fit.h.
 */
GQA_MUST_USE
enum gqa_status gqa_value_stage_fit_together(struct gqa_value_stage *stage,
                                             bool *changed, double **output);

/* Whether all tokens are fitted to, and not a part of them. */
bool gqa_value_stage_is_whole(const struct gqa_value_stage *stage);

#endif
