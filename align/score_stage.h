/* Fits to scores (scores.h) of a block's attentions, as a refit comes to
 * them. */
#ifndef GQA_ALIGN_SCORE_STAGE_H
#define GQA_ALIGN_SCORE_STAGE_H

#include "align/refit.h"
#include "align/score_records.h"
#include "runtime/layers.h"

/* The same attention of the converted model; NULL: it has none. */
const struct gqa_attention_block *gqa_score_stage_converted(
    const struct gqa_refit_job *job, const struct gqa_attention_block *block);

/* Of one block; end it with gqa_score_stage_clear(). */
struct gqa_score_stage {
    const struct gqa_refit_job *job;
    struct gqa_alignment *alignment;
    bool wanted[2]; /* by kind */
    struct gqa_score_records records[2];
};

void gqa_score_stage_begin(struct gqa_score_stage *stage,
                           struct gqa_alignment *alignment,
                           const struct gqa_refit_job *job,
                           const struct gqa_block *block);
void gqa_score_stage_clear(struct gqa_score_stage *stage);

/* Points that the original's run over the block is to show, and what to do
 * with them. Errors those of score_records.h. */
uint32_t gqa_score_stage_points(const struct gqa_score_stage *stage);
GQA_MUST_USE
enum gqa_status gqa_score_stage_see(struct gqa_score_stage *stage,
                                    const struct gqa_tapped *tapped);

/*
 * Fit one of the attentions, if it is wanted, whose block comes next in the
 * converted model's run: look at it, and put fitted_q and fitted_k into the
 * alignment.
 */
GQA_MUST_USE
enum gqa_status gqa_score_stage_fit(struct gqa_score_stage *stage,
                                    const struct gqa_attention_block *block,
                                    struct gqa_layers *converted);

#endif
