#include "align/choose.h"

#include <stdlib.h>
#include <string.h>

#include "align/free.h"
#include "common/bounds.h"
#include "runtime/measure/trace.h"

/* Mean KL, in nats, that freeing may cost by itself. */
static const double MOST = 1e-2;

/* A pair that makes more than so many radians in the context turns: by half a
 * turn a score changes its sign. Where no sequence is as long as the context,
 * what is far apart is not measured, and the angle alone must be small. */
static const double FASTEST = 8, FASTEST_UNSEEN = 1;

/* Radians by which a pair that turns with others may be off at the far end of
 * the context, tried one after another. */
static const double folds[] = {0.25, 0.5, 1, 2};
enum { N_FOLDS = sizeof folds / sizeof *folds, N_FOLDS_UNSEEN = 2 };

struct chooser {
    const struct gqa_choose_job *job;
    struct gqa_running *running;
    struct gqa_trace *trace;
    const struct gqa_rope *rope; /* of the original */
    double *tried;               /* [n_pairs] */
    size_t n_folds;              /* that are tried */
    uint64_t n_runs, all_runs;   /* all: at most */
    double *divisors;            /* the best so far, and what it is */
    struct gqa_choice_of_pairs best;
};

static enum gqa_status measure(struct chooser *c, double *cost)
{
    const struct gqa_tokens *tokens = c->job->tokens;
    const uint64_t n = gqa_tokens_n_positions(tokens);
    const struct gqa_run_progress progress = {c->job->progress,
                                              c->job->progress_ctx,
                                              n * ++c->n_runs, n * c->all_runs};
    struct gqa_fidelity_result result;
    struct gqa_comparison comparison = {0};
    enum gqa_status st = gqa_fidelity_create(
        &comparison.fidelity, gqa_running_network(c->running)->vocab_size,
        tokens->n, n);

    if (st != GQA_OK)
        return st;
    gqa_running_turn(c->running, c->tried);
    st = gqa_trace_compare(c->trace, c->running, 0, false, &comparison,
                           &progress);
    if (st == GQA_OK) {
        gqa_fidelity_finish(comparison.fidelity, &result);
        /* What is not finite is no less than what is far. */
        *cost = result.n_nonfinite[1] > result.n_nonfinite[0] ? MOST + 1
                                                              : result.kl_mean;
    }
    gqa_fidelity_free(comparison.fidelity);
    return st;
}

/* Whether so much costs little; where it does, it is the best so far. */
static enum gqa_status try(struct chooser *c, uint64_t still, double fold,
                           bool *is_good)
{
    const uint64_t n =
        gqa_free_pairs(c->tried, c->rope, c->job->context, still, fold);
    const size_t n_bytes = c->rope->n_pairs * sizeof *c->tried;
    double cost = 0;
    enum gqa_status st;

    *is_good = true;
    if (memcmp(c->tried, c->divisors, n_bytes) == 0)
        return GQA_OK;
    st = measure(c, &cost);
    *is_good = st == GQA_OK && cost <= MOST;
    if (*is_good) {
        memcpy(c->divisors, c->tried, n_bytes);
        c->best = (struct gqa_choice_of_pairs){n, cost};
    }
    return st;
}

/* The more pairs are freed the more it costs: the border is found by halves,
 * and then how far those that still turn may be folded. */
static enum gqa_status try_all(struct chooser *c, uint64_t fastest)
{
    uint64_t still = c->rope->n_pairs, low = fastest;
    bool is_good = true;
    enum gqa_status st = GQA_OK;

    while (low < still && st == GQA_OK) {
        const uint64_t middle = (low + still) / 2;

        st = try(c, middle, 0, &is_good);
        if (is_good)
            still = middle;
        else
            low = middle + 1;
    }
    is_good = true;
    for (size_t i = 0; i < c->n_folds && is_good && st == GQA_OK; i++)
        st = try(c, still, folds[i], &is_good);
    return st;
}

/* Runs at most: of the original, of halves, of folds. */
static uint64_t count_runs(uint64_t n_borders)
{
    uint64_t n = 1 + N_FOLDS;

    for (; n_borders > 0; n_borders /= 2)
        n++;
    return n;
}

static bool reach(const struct gqa_tokens *tokens, uint64_t context)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < tokens->n; i++)
        longest = gqa_max_u64(longest, tokens->sequences[i].n_decoder);
    return longest >= context;
}

static enum gqa_status run(struct chooser *c)
{
    const struct gqa_choose_job *job = c->job;
    const struct gqa_trace_options options = {.dtype = GQA_F32};
    const bool all_seen = reach(job->tokens, job->context);
    const uint64_t fastest = gqa_slow_pairs(
        c->rope, job->context, all_seen ? FASTEST : FASTEST_UNSEEN);
    struct gqa_run_progress progress = {job->progress, job->progress_ctx, 0, 0};
    enum gqa_status st;

    gqa_free_pairs(c->divisors, c->rope, job->context, c->rope->n_pairs, 0);
    c->n_folds = all_seen ? N_FOLDS : N_FOLDS_UNSEEN;
    c->all_runs = count_runs(c->rope->n_pairs - fastest);
    progress.all = gqa_tokens_n_positions(job->tokens) * c->all_runs;
    st = gqa_running_open(&c->running, job->model, job->weights, job->run);
    if (st == GQA_OK)
        st = gqa_trace_record(&c->trace, c->running, job->tokens, &options,
                              &progress);
    if (st == GQA_OK)
        st = try_all(c, fastest);
    gqa_trace_free(c->trace);
    gqa_running_close(c->running);
    return st;
}

enum gqa_status gqa_choose_pairs(double *divisors,
                                 struct gqa_choice_of_pairs *out,
                                 const struct gqa_choose_job *job)
{
    struct gqa_network *original = NULL;
    struct chooser c = {.job = job, .divisors = divisors};
    enum gqa_status st = gqa_network_create(&original, job->model);

    if (st == GQA_OK) {
        c.rope = &original->rope;
        c.tried = calloc(c.rope->n_pairs + 1, sizeof *c.tried);
        st = c.tried ? run(&c) : gqa_fail_nomem();
    }
    *out = c.best;
    gqa_network_free(original);
    free(c.tried);
    return st;
}
