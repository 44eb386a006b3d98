#include "align/learn_heads.h"

#include "align/influence.h"

/* Sequences that attentions are weighed by. */
enum { MAX_INFLUENCE = 16 };

static enum gqa_status collect(const struct gqa_learn_heads_job *job)
{
    const struct gqa_learning *learning = job->learning;
    const struct gqa_statistics_job statistics = {
        .network = learning->network,
        .backend = learning->backend,
        .device = learning->device,
        .weights = &learning->weights,
        .checkpoint = job->checkpoint,
        .tokens = job->tokens,
        .wanted = job->wanted,
        .take = job->take,
        .ctx = job->ctx,
        .n_threads = learning->n_threads,
        .progress = gqa_progress_update,
        .progress_ctx = learning->bar};

    gqa_progress_phase(learning->bar, "comparing heads", GQA_PROGRESS_TOKENS);
    return gqa_statistics_collect(&statistics);
}

/* Of some of the tokens: a share of energies needs no more. */
static enum gqa_status measure_influence(const struct gqa_learn_heads_job *job)
{
    const struct gqa_learning *learning = job->learning;
    const struct gqa_tokens *tokens = job->tokens;
    const struct gqa_tokens some = {tokens->sequences, tokens->n < MAX_INFLUENCE
                                                           ? tokens->n
                                                           : MAX_INFLUENCE};
    const struct gqa_influence_job influence = {.network = learning->network,
                                                .backend = learning->backend,
                                                .device = learning->device,
                                                .weights = &learning->weights,
                                                .tokens = &some,
                                                .progress = gqa_progress_update,
                                                .progress_ctx = learning->bar};

    gqa_progress_phase(learning->bar, "weighing attentions",
                       GQA_PROGRESS_TOKENS);
    return gqa_influence_measure(job->influence, &influence);
}

enum gqa_status gqa_learn_heads(const struct gqa_learn_heads_job *job)
{
    const enum gqa_status st = collect(job);

    return st == GQA_OK ? measure_influence(job) : st;
}
