/* Statistics of heads, and what attentions count for, from runs of the
 * original. */
#ifndef GQA_ALIGN_LEARN_HEADS_H
#define GQA_ALIGN_LEARN_HEADS_H

#include "align/learning.h"
#include "align/statistics.h"

struct gqa_learn_heads_job {
    const struct gqa_learning *learning; /* open */
    struct gqa_checkpoint *checkpoint;   /* of the original */
    const struct gqa_tokens *tokens;
    const bool *wanted; /* as of struct gqa_statistics_job, and what follows */
    enum gqa_status (*take)(void *ctx, size_t attention,
                            const struct gqa_head_statistics *statistics);
    void *ctx;
    double *influence; /* [n_attentions], filled: align/influence.h */
};

/* Errors those of gqa_statistics_collect() and gqa_influence_measure(). */
GQA_MUST_USE
enum gqa_status gqa_learn_heads(const struct gqa_learn_heads_job *job);

#endif
