/*
 * Projections fitted anew, layer by layer, all layers before being converted
 * and fitted: queries and keys to the original's scores (scores.h), then output
 * projections to what the original's residual stream is behind the attention,
 * from what the converted model's heads give, in turn with values (values.h),
 * and all of them together (attention_fit.h). It takes back what a layer lost,
 * and what those before it did.
 */
#ifndef GQA_ALIGN_REFIT_H
#define GQA_ALIGN_REFIT_H

#include "align/align.h"

struct gqa_refit_job {
    /* Of the original, and of the converted model in the original's shapes:
     * they may turn otherwise. */
    const struct gqa_network *network, *becomes;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;                   /* that it was opened with */
    bool no_scores, no_outputs, no_values; /* leave these as they are */
    bool not_together; /* nor fit q, k, v and o at once, behind them all */
    /* Of the original, and of the converted model in the original's shapes,
     * which has what is fitted as soon as it is there. */
    const struct gqa_weight_source *original, *converted;
    const struct gqa_tokens *tokens;
    unsigned n_threads; /* of the host; the result is the same for any */
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *progress_ctx;
};

/*
 * Fill fitted_q, fitted_k, fitted_v and fitted_o of the alignment's attentions,
 * where that helps on sequences that were not fitted to (one in eight).
 */
GQA_MUST_USE
enum gqa_status gqa_refit(struct gqa_alignment *alignment,
                          const struct gqa_refit_job *job);

#endif
