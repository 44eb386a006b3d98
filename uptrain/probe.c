#include "uptrain/probe.h"

#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"

enum {
    STEPS = 10,
    WARMUP = 3,
    SEQUENCES = 8, /* that are measured */
    MAX_RATES = 8,
};

/* The first is the middle one; each next is so many times larger or smaller. */
#define FIRST_RATE   1e-3
#define LARGEST_RATE 3e-3
#define FACTOR       3.0

/* Numbers that are easily said: 1 and 3 times powers of 10. */
static double tidy(double rate)
{
    const double power = pow(10, floor(log10(rate) + 1e-6));

    return (rate / power > 2 ? 3 : 1) * power;
}

static enum gqa_status try_steps(struct gqa_training_run *run, double rate)
{
    const struct gqa_schedule schedule = {.rate = rate,
                                          .n_steps = STEPS,
                                          .warmup = WARMUP,
                                          .decay = GQA_DECAY_NONE};
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

static size_t best_of(const struct gqa_history *h)
{
    size_t best = 0;

    for (size_t i = 1; i < h->n_probes; i++)
        if (h->probes[i].kl < h->probes[best].kl)
            best = i;
    return best;
}

/* The next one to try beside the best: 0: there is none. */
static double next_rate(const struct gqa_history *h)
{
    const struct gqa_probe_result *best = &h->probes[best_of(h)];
    bool has_less = false, has_more = best->rate >= LARGEST_RATE * 0.999;

    for (size_t i = 0; i < h->n_probes; i++) {
        has_less |= h->probes[i].rate < best->rate;
        has_more |= h->probes[i].rate > best->rate;
    }
    if (h->n_probes >= MAX_RATES)
        return 0;
    return !has_more   ? tidy(best->rate * FACTOR)
           : !has_less ? tidy(best->rate / FACTOR)
                       : 0;
}

enum gqa_status gqa_probe_rates(struct gqa_training_run *run, const void *start)
{
    struct gqa_history *h = &run->history;
    enum gqa_status st = GQA_OK;
    double rate = FIRST_RATE, kl;

    gqa_progress_phase(run->bar, "trying rates", GQA_PROGRESS_TOKENS);
    for (; rate > 0 && st == GQA_OK; rate = st == GQA_OK ? next_rate(h) : 0)
        st = try_rate(run, start, rate, &kl);
    if (st == GQA_OK)
        h->rate = h->probes[best_of(h)].rate;
    return st;
}
