/* Fits of values (values.h) of a block's attentions, as a refit comes to
 * them. */
#ifndef GQA_ALIGN_VALUE_STAGE_H
#define GQA_ALIGN_VALUE_STAGE_H

#include "align/records.h"
#include "align/refit.h"
#include "runtime/layers.h"

struct gqa_value_stage_job {
    struct gqa_alignment *alignment;
    const struct gqa_refit_job *refit;
    const struct gqa_attention_block *block; /* of the original */
    struct gqa_layers *converted;            /* whose block comes next */
    /* The original's stream behind the attention; room for the converted's
     * before it; o's bias, float64 on the device, or NULL. */
    struct gqa_records *target, *before;
    const void *output_bias;
};

/* Look at the block, and put fitted_v into the alignment, if that gains.
 * Errors those of values.h and of the run. */
GQA_MUST_USE
enum gqa_status gqa_value_stage_fit(bool *changed,
                                    const struct gqa_value_stage_job *job);

#endif
