#include "uptrain/probe.h"

#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/log.h"
#include "uptrain/rates.h"

/* More does well for a while where there is far to go, and ends worse. */
#define HIGHEST 3e-3

enum {
    WARMUP_SHARE = 5, /* of the steps, one in so many leads up to the rate */
    SEQUENCES = 8,    /* that are measured */
};

/* A step takes about as long as it takes to measure so many times as many
 * sequences: what has run forth goes back, and half of it twice. */
static const double step_by_measure = 2.5;

/* Rates being tried. */
struct probe {
    struct gqa_training_run *run;
    const void *start;
    uint64_t n_steps; /* of each */
    double until_s;   /* of gqa_clock_s(): none is begun that would take longer;
                         0: any time */
    double try_s;     /* where there is: for the steps of the first */
    double took_s;    /* the longest so far */
    bool is_settled;  /* n_steps were made at a rate, and stay as many */
};

/* What was thought of a step's time may be wrong: the first rate that is not
 * ruin is cut short, and those behind it make as many steps. */
static bool is_over(const struct probe *p, double start_s, uint64_t n_made)
{
    struct gqa_ranks *ranks = p->run->ranks;

    return n_made >= p->n_steps ||
           (p->until_s > 0 && !p->is_settled && n_made > 0 &&
            gqa_ranks_decide(ranks, gqa_clock_s() - start_s >= p->try_s));
}

static enum gqa_status try_steps(struct probe *p, double rate)
{
    struct gqa_training_run *run = p->run;
    const struct gqa_schedule schedule = {.rate = rate,
                                          .n_steps = p->n_steps,
                                          .warmup = p->n_steps / WARMUP_SHARE,
                                          .decay = GQA_DECAY_LINEAR};
    const double start_s = gqa_clock_s();
    const struct gqa_sequence **sequences =
        calloc(run->batch, sizeof *sequences);
    struct gqa_step_result result;
    enum gqa_status st = sequences ? GQA_OK : gqa_fail_nomem();
    uint64_t i = 0;

    while (st == GQA_OK && !is_over(p, start_s, i)) {
        st = gqa_data_step(run->data, i, sequences);
        if (st == GQA_OK)
            st = gqa_trainer_begin(run->trainer, sequences, i + 1);
        if (st == GQA_OK)
            st = gqa_trainer_end(run->trainer, &result,
                                 gqa_schedule_rate(&schedule, i));
        gqa_progress_update(run->bar, ++i, p->n_steps);
    }
    if (st == GQA_OK) {
        p->n_steps = i;
        p->is_settled = true;
    }
    free(sequences);
    return st;
}

static bool may_try(const struct probe *p)
{
    return p->until_s == 0 ||
           gqa_ranks_decide(p->run->ranks,
                            gqa_clock_s() + p->took_s <= p->until_s);
}

/* *kl: infinite where the rate makes a loss that is not finite, and where no
 * time is left to try another. */
static enum gqa_status attempt(void *ctx, double rate, double *kl)
{
    struct probe *p = ctx;
    struct gqa_training_run *run = p->run;
    const double start_s = gqa_clock_s();
    struct gqa_fidelity_result measured = {.kl_mean = INFINITY};
    enum gqa_status st;

    *kl = INFINITY;
    if (!may_try(p))
        return GQA_OK;
    st = try_steps(p, rate);
    if (st == GQA_OK)
        st = gqa_trainer_measure(run->trainer, &measured,
                                 gqa_data_held_out(run->data), SEQUENCES);
    *kl =
        st == GQA_OK && measured.n_positions > 0 ? measured.kl_mean : INFINITY;
    if (st == GQA_OK || st == GQA_ERR_FORMAT)
        st = gqa_trainer_set(run->trainer, p->start);
    if (st == GQA_OK)
        st = gqa_optimiser_reset(gqa_trainer_optimiser(run->trainer));
    p->took_s = fmax(p->took_s, gqa_clock_s() - start_s);
    if (st == GQA_OK)
        st = gqa_history_add_probe(&run->history, rate, *kl);
    return st == GQA_OK ? gqa_run_log_probe(run->log, rate, *kl) : st;
}

/* before_s: what the measure of the start took. */
static enum gqa_status plan(struct probe *p, double before_s)
{
    struct gqa_training_run *run = p->run;
    const uint64_t n_measured =
        gqa_min_u64(SEQUENCES, gqa_data_held_out(run->data)->n);
    const struct gqa_rate_times times = {
        .step_s = step_by_measure * before_s * (double)run->batch /
                  (double)gqa_max_u64(n_measured, 1),
        .measure_s = before_s,
        .left_s = p->until_s > 0 ? p->until_s - gqa_clock_s() : INFINITY};

    p->try_s = gqa_rates_steps_s(&times);
    p->n_steps = gqa_rates_steps(run->schedule.n_steps, &times);
    return gqa_ranks_tell(run->ranks, 0, &p->n_steps, sizeof p->n_steps);
}

enum gqa_status gqa_probe_rates(struct gqa_training_run *run, const void *start)
{
    struct probe p = {
        .run = run, .start = start, .until_s = run->probe_until_s};
    struct gqa_rate_search search = {
        .ctx = &p, .attempt = attempt, .highest = HIGHEST};
    const double start_s = gqa_clock_s();
    struct gqa_fidelity_result before;
    enum gqa_status st = gqa_trainer_measure(
        run->trainer, &before, gqa_data_held_out(run->data), SEQUENCES);

    if (st == GQA_OK)
        st = plan(&p, gqa_clock_s() - start_s);
    if (st != GQA_OK)
        return st;
    search.start = before.kl_mean;
    if (p.n_steps == 0) {
        gqa_info("no time to try rates: %g is taken", gqa_rate_untried);
        run->history.rate = gqa_rate_untried;
        return GQA_OK;
    }
    gqa_progress_phase(run->bar, "trying rates", GQA_PROGRESS_TOKENS);
    return gqa_rates_search(&run->history.rate, &search);
}
