#include "uptrain/probe.h"

#include <math.h>
#include <stdlib.h>

#include "common/clock.h"

enum {
    STEPS = 10,
    WARMUP = 2,
    SEQUENCES = 8, /* that are measured */
};

/* From the smallest on; the first that is tried. */
static const double rates[] = {1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3};
enum { N_RATES = sizeof rates / sizeof *rates, FIRST = 6 };

static enum gqa_status try_steps(struct gqa_training_run *run, double rate)
{
    const struct gqa_schedule schedule = {.rate = rate,
                                          .n_steps = STEPS,
                                          .warmup = WARMUP,
                                          .decay = GQA_DECAY_LINEAR};
    const struct gqa_sequence **sequences =
        calloc(run->batch, sizeof *sequences);
    struct gqa_step_result result;
    enum gqa_status st = sequences ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < STEPS && st == GQA_OK; i++) {
        st = gqa_data_step(run->data, i, sequences);
        if (st == GQA_OK)
            st = gqa_trainer_step(run->trainer, &result, sequences, i + 1,
                                  gqa_schedule_rate(&schedule, i));
        gqa_progress_update(run->bar, i + 1, STEPS);
    }
    free(sequences);
    return st;
}

static bool may_try(const struct gqa_training_run *run)
{
    return run->probe_until_s == 0 || gqa_clock_s() < run->probe_until_s;
}

/* *kl: infinite where the rate makes a loss that is not finite. */
static enum gqa_status try_rate(struct gqa_training_run *run, const void *start,
                                double rate, double *kl)
{
    struct gqa_fidelity_result measured = {.kl_mean = INFINITY};
    enum gqa_status st = try_steps(run, rate);

    if (st == GQA_OK)
        st = gqa_trainer_measure(run->trainer, &measured,
                                 gqa_data_held_out(run->data), SEQUENCES);
    *kl =
        st == GQA_OK && measured.n_positions > 0 ? measured.kl_mean : INFINITY;
    if (st == GQA_OK || st == GQA_ERR_FORMAT)
        st = gqa_trainer_set(run->trainer, start);
    if (st == GQA_OK)
        st = gqa_optimiser_reset(gqa_trainer_optimiser(run->trainer));
    if (st == GQA_OK)
        st = gqa_history_add_probe(&run->history, rate, *kl);
    return st == GQA_OK ? gqa_run_log_probe(run->log, rate, *kl) : st;
}

enum gqa_status gqa_probe_rates(struct gqa_training_run *run, const void *start)
{
    struct gqa_history *h = &run->history;
    double kl[N_RATES];
    size_t best = FIRST;
    enum gqa_status st;

    gqa_progress_phase(run->bar, "trying rates", GQA_PROGRESS_TOKENS);
    st = try_rate(run, start, rates[FIRST], &kl[FIRST]);
    for (size_t i = FIRST + 1; i < N_RATES && st == GQA_OK && may_try(run);
         i++) {
        st = try_rate(run, start, rates[i], &kl[i]);
        if (st == GQA_OK && kl[i] < kl[best])
            best = i;
    }
    /* Lower ones as long as they do better. */
    for (size_t i = best;
         i-- > 0 && best <= FIRST && st == GQA_OK && may_try(run);) {
        st = try_rate(run, start, rates[i], &kl[i]);
        if (st != GQA_OK || kl[i] >= kl[best])
            break;
        best = i;
    }
    h->rate = rates[best];
    return st;
}
