#include "uptrain/probe.h"

#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "uptrain/rates.h"

/* More does well for a while where there is far to go, and ends worse. */
#define HIGHEST 3e-3

enum {
    SHARE = 20,       /* of the run's steps one in so many, */
    LEAST_STEPS = 20, /* or as many, where there are: a rate is tried for */
    WARMUP_SHARE = 5, /* of these, one in so many leads up to the rate */
    SEQUENCES = 8,    /* that are measured */
};

/* Rates being tried. */
struct probe {
    struct gqa_training_run *run;
    const void *start;
};

static enum gqa_status try_steps(struct gqa_training_run *run, double rate)
{
    const uint64_t all = run->schedule.n_steps;
    const uint64_t n = gqa_min_u64(gqa_max_u64(all / SHARE, LEAST_STEPS), all);
    const struct gqa_schedule schedule = {.rate = rate,
                                          .n_steps = n,
                                          .warmup = n / WARMUP_SHARE,
                                          .decay = GQA_DECAY_LINEAR};
    const struct gqa_sequence **sequences =
        calloc(run->batch, sizeof *sequences);
    struct gqa_step_result result;
    enum gqa_status st = sequences ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
        st = gqa_data_step(run->data, i, sequences);
        if (st == GQA_OK)
            st = gqa_trainer_begin(run->trainer, sequences, i + 1);
        if (st == GQA_OK)
            st = gqa_trainer_end(run->trainer, &result,
                                 gqa_schedule_rate(&schedule, i));
        gqa_progress_update(run->bar, i + 1, n);
    }
    free(sequences);
    return st;
}

static bool may_try(const struct gqa_training_run *run)
{
    return run->probe_until_s == 0 ||
           gqa_ranks_decide(run->ranks, gqa_clock_s() < run->probe_until_s);
}

/* *kl: infinite where the rate makes a loss that is not finite, and where no
 * time is left to try another. */
static enum gqa_status attempt(void *ctx, double rate, double *kl)
{
    const struct probe *p = ctx;
    struct gqa_training_run *run = p->run;
    struct gqa_fidelity_result measured = {.kl_mean = INFINITY};
    enum gqa_status st;

    *kl = INFINITY;
    if (run->history.n_probes > 0 && !may_try(run))
        return GQA_OK;
    st = try_steps(run, rate);
    if (st == GQA_OK)
        st = gqa_trainer_measure(run->trainer, &measured,
                                 gqa_data_held_out(run->data), SEQUENCES);
    *kl =
        st == GQA_OK && measured.n_positions > 0 ? measured.kl_mean : INFINITY;
    if (st == GQA_OK || st == GQA_ERR_FORMAT)
        st = gqa_trainer_set(run->trainer, p->start);
    if (st == GQA_OK)
        st = gqa_optimiser_reset(gqa_trainer_optimiser(run->trainer));
    if (st == GQA_OK)
        st = gqa_history_add_probe(&run->history, rate, *kl);
    return st == GQA_OK ? gqa_run_log_probe(run->log, rate, *kl) : st;
}

enum gqa_status gqa_probe_rates(struct gqa_training_run *run, const void *start)
{
    struct probe p = {run, start};
    struct gqa_rate_search search = {
        .ctx = &p, .attempt = attempt, .highest = HIGHEST};
    struct gqa_fidelity_result before;
    enum gqa_status st = gqa_trainer_measure(
        run->trainer, &before, gqa_data_held_out(run->data), SEQUENCES);

    search.start = before.kl_mean;
    gqa_progress_phase(run->bar, "trying rates", GQA_PROGRESS_TOKENS);
    return st == GQA_OK ? gqa_rates_search(&run->history.rate, &search) : st;
}
