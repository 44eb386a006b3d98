/* Statistics of heads from a run of the model. */
#ifndef GQA_INSPECT_LEARN_HEADS_H
#define GQA_INSPECT_LEARN_HEADS_H

#include "align/learning.h"
#include "align/statistics.h"

struct gqa_learn_heads_job {
    struct gqa_checkpoint *checkpoint;
    const struct gqa_network *network;
    const struct gqa_learning_options *options;
    unsigned n_threads;
    struct gqa_progress *bar;
    /* As of struct gqa_statistics_job, for every attention. */
    enum gqa_status (*take)(void *ctx, size_t attention,
                            const struct gqa_head_statistics *statistics);
    void *ctx;
    double *influence; /* [n_attentions], filled: align/influence.h */
};

/* n_tokens: receives how many were learnt from. Errors those of learning.h and
 * gqa_statistics_collect(). */
GQA_MUST_USE
enum gqa_status gqa_learn_heads(uint64_t *n_tokens,
                                const struct gqa_learn_heads_job *job);

#endif
