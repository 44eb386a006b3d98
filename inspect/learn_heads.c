#include "inspect/learn_heads.h"

#include <stdlib.h>

#include "align/influence.h"
#include "runtime/weights.h"

/* Sequences that attentions are weighed by. */
enum { MAX_INFLUENCE = 16 };

static enum gqa_status collect(const struct gqa_learn_heads_job *job,
                               const struct gqa_learning *learning,
                               const struct gqa_tokens *tokens)
{
    const size_t n = job->network->model->n_attentions;
    bool *wanted = malloc((n + 1) * sizeof *wanted);
    const struct gqa_statistics_job statistics = {.network = job->network,
                                                  .backend = learning->backend,
                                                  .device = learning->device,
                                                  .weights = &learning->weights,
                                                  .tokens = tokens,
                                                  .wanted = wanted,
                                                  .take = job->take,
                                                  .ctx = job->ctx,
                                                  .progress =
                                                      gqa_progress_update,
                                                  .progress_ctx = job->bar};
    enum gqa_status st;

    if (!wanted)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        wanted[i] = true;
    gqa_progress_phase(job->bar, "comparing heads", GQA_PROGRESS_TOKENS);
    st = gqa_statistics_collect(&statistics);
    free(wanted);
    return st;
}

/* Of some of the tokens: a share of energies needs no more. */
static enum gqa_status measure_influence(const struct gqa_learn_heads_job *job,
                                         const struct gqa_learning *learning,
                                         const struct gqa_tokens *tokens)
{
    const struct gqa_tokens some = {tokens->sequences, tokens->n < MAX_INFLUENCE
                                                           ? tokens->n
                                                           : MAX_INFLUENCE};
    const struct gqa_influence_job influence = {.network = job->network,
                                                .backend = learning->backend,
                                                .device = learning->device,
                                                .weights = &learning->weights,
                                                .tokens = &some,
                                                .progress = gqa_progress_update,
                                                .progress_ctx = job->bar};

    gqa_progress_phase(job->bar, "weighing attentions", GQA_PROGRESS_TOKENS);
    return gqa_influence_measure(job->influence, &influence);
}

enum gqa_status gqa_learn_heads(uint64_t *n_tokens,
                                const struct gqa_learn_heads_job *job)
{
    struct gqa_checkpoint_weights weights = {job->checkpoint,
                                             job->network->model};
    struct gqa_learning learning = {.asked = job->options,
                                    .n_threads = job->n_threads,
                                    .network = job->network,
                                    .weights =
                                        gqa_checkpoint_weight_source(&weights),
                                    .bar = job->bar};
    struct gqa_tokens tokens = {NULL, 0};
    enum gqa_status st = gqa_learning_open(&learning);

    if (st == GQA_OK)
        st = gqa_learning_all_tokens(&tokens, &learning);
    if (st == GQA_OK)
        st = collect(job, &learning, &tokens);
    if (st == GQA_OK)
        st = measure_influence(job, &learning, &tokens);
    if (st == GQA_OK)
        *n_tokens = gqa_tokens_n_positions(&tokens);
    gqa_tokens_clear(&tokens);
    gqa_learning_close(&learning);
    return st;
}
