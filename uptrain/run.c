#include "uptrain/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "uptrain/probe.h"
#include "uptrain/ranks_run.h"
#include "uptrain/rates.h"

/* The part of the time that is left which rates are tried in. */
static const double probing = 0.25;

/* And the part of it that the first stage has. */
static const double matching = 0.5;

/* Measures until a deadline, at least; but what lies between two is at least so
 * many times what one takes. */
enum { TIMED_MEASURES = 10, MEASURES_APART = 8 };

/* What a step takes is known behind so many of this process, which took such a
 * part of the time that they had. */
enum { PLANNING_STEPS = 4 };
static const double planning = 0.05;

/* What a run is in the middle of. */
struct going {
    struct gqa_training_run *run;
    const struct gqa_sequence **sequences;
    bool has_next;            /* they are those of the next step */
    double start_s, before_s; /* of this process; what was spent before it */
    /* What a step takes, and a measure, which the last is followed by. */
    double step_s, measure_s;
    double measured_s; /* of gqa_clock_s(): when the last was over */
    double apart_s;    /* as long after that the next is due; with a deadline */
    /* Where the steps of this process began, and where the first was over; what
     * measures took since. */
    double steps_s, paced_s, measuring_s;
    uint64_t first_step, first_tokens;
};

enum gqa_status gqa_training_save(struct gqa_training_run *run)
{
    enum gqa_status st;

    if (!run->saved || run->is_saved ||
        (run->history.n_steps == 0 && run->history.n_matches == 0))
        return GQA_OK;
    st = gqa_saved_write(run->saved, run->trainer, &run->history, run->best);
    run->is_saved = st == GQA_OK;
    return st;
}

static enum gqa_status save(struct going *g)
{
    g->run->history.seconds = g->before_s + gqa_clock_s() - g->start_s;
    return gqa_training_save(g->run);
}

/* What was trained is worth more than a state of it. */
static enum gqa_status save_on_the_way(struct going *g)
{
    const enum gqa_status st = save(g);

    if (st != GQA_ERR_IO)
        return st;
    gqa_warn("no state was kept after step %" PRIu64 ": %s",
             g->run->history.n_steps, gqa_error_message());
    return GQA_OK;
}

/* Loops are to stop so long before the deadline; those of several ranks, which
 * must stop at the same place, between steps alone. */
static void stop_before(const struct going *g, double seconds)
{
    const double deadline = g->run->limits.deadline_s;

    if (deadline > 0 && gqa_ranks_n(g->run->ranks) == 1)
        gqa_interrupt_ask_at(fmax(deadline - g->before_s - seconds, 1e-9));
}

static enum gqa_status run_measure(struct going *g)
{
    struct gqa_training_run *run = g->run;
    struct gqa_history *h = &run->history;
    const double start = gqa_clock_s();
    struct gqa_fidelity_result result;
    bool is_best = false;
    enum gqa_status st = gqa_trainer_measure(run->trainer, &result,
                                             gqa_data_held_out(run->data), 0);

    if (st == GQA_ERR_FORMAT)
        return gqa_fail_prefix(st, "after step %" PRIu64, h->n_steps);
    if (st == GQA_OK && result.n_positions == 0)
        st = gqa_fail(GQA_ERR_FORMAT, "no logits of the original are finite");
    if (st != GQA_OK)
        return st;
    run->is_saved = false;
    st = gqa_history_add(h, h->n_steps, &result, &is_best);
    if (st == GQA_OK && is_best)
        st = gqa_trainer_get(run->trainer, run->best);
    if (st != GQA_OK)
        return st;
    g->measured_s = gqa_clock_s();
    g->measure_s = g->measured_s - start;
    g->measuring_s += g->measure_s;
    gqa_info("step %" PRIu64 ": mean KL %.4g, same most likely token %.1f %%",
             h->n_steps, result.kl_mean, 100 * result.top1);
    return gqa_run_log_measure(run->log, &h->evaluations[h->n_evaluations - 1]);
}

/* Steps stop in time for it. */
static enum gqa_status measure(struct going *g)
{
    enum gqa_status st;

    stop_before(g, 0);
    st = run_measure(g);
    stop_before(g, GQA_MEASURE_SLACK * g->measure_s);
    return st;
}

/* How far it is, how fast, and how long it will take. */
static void show(const struct going *g, const struct gqa_step_result *r)
{
    const struct gqa_history *h = &g->run->history;
    const uint64_t n_steps = gqa_schedule_end(&g->run->schedule);
    const double spent = gqa_clock_s() - g->steps_s;
    const double left = spent / (double)(h->n_steps - g->first_step) *
                        (double)(n_steps - h->n_steps);
    char text[192];

    snprintf(text, sizeof text,
             "step %" PRIu64 " of %" PRIu64 "  %.0f%%  loss %.3g  KL %.3g  "
             "%.0f tokens/s  ETA %.0f:%02.0f",
             h->n_steps, n_steps,
             floor(100 * (double)h->n_steps / (double)n_steps), r->loss,
             gqa_history_best(h)->kl,
             (double)(h->n_tokens - g->first_tokens) / spent, floor(left / 60),
             floor(fmod(left, 60)));
    gqa_progress_say(g->run->bar, text);
}

/* What can be done of the step behind the one that has begun. A measure would
 * undo it. */
static enum gqa_status run_ahead(struct going *g)
{
    struct gqa_training_run *run = g->run;
    const uint64_t next = run->history.n_steps + 1;
    enum gqa_status st;

    if (next >= gqa_schedule_end(&run->schedule) ||
        next % run->limits.eval_every == 0)
        return GQA_OK;
    st = gqa_data_step(run->data, next, g->sequences);
    g->has_next = st == GQA_OK;
    if (st == GQA_OK)
        gqa_trainer_run_ahead(run->trainer, g->sequences);
    return st;
}

static enum gqa_status step(struct going *g)
{
    struct gqa_training_run *run = g->run;
    struct gqa_history *h = &run->history;
    const double rate = gqa_schedule_rate(&run->schedule, h->n_steps);
    const double start = gqa_clock_s();
    struct gqa_step_result r;
    enum gqa_status st = GQA_OK, ahead = GQA_OK;

    if (!g->has_next)
        st = gqa_data_step(run->data, h->n_steps, g->sequences);
    g->has_next = false;
    if (st == GQA_OK)
        st = gqa_trainer_begin(run->trainer, g->sequences, h->n_steps + 1);
    if (st == GQA_OK) {
        ahead = run_ahead(g);
        st = gqa_trainer_end(run->trainer, &r, rate);
    }
    if (st == GQA_ERR_FORMAT)
        return gqa_fail_prefix(st, "step %" PRIu64, h->n_steps + 1);
    if (st != GQA_OK)
        return st;
    h->losses[h->n_steps++] = r.loss;
    run->is_saved = false;
    h->n_tokens += r.n_tokens;
    h->n_counted += r.n_counted;
    g->step_s = gqa_clock_s() - start;
    if (h->n_steps == g->first_step + 1) {
        g->paced_s = start + g->step_s;
        g->measuring_s = 0;
    }
    show(g, &r);
    st = gqa_run_log_step(run->log, h->n_steps, &r, rate, g->step_s);
    return st == GQA_OK ? ahead : st;
}

/* Another step and a measure would not be done in time. */
static bool is_late(const struct going *g)
{
    const double deadline = g->run->limits.deadline_s;

    return deadline > 0 && g->before_s + gqa_clock_s() + g->step_s +
                                   GQA_MEASURE_SLACK * g->measure_s >=
                               deadline;
}

static bool has_come_near(const struct gqa_training_run *run)
{
    return run->limits.until_kl >= 0 &&
           gqa_history_best(&run->history)->kl <= run->limits.until_kl;
}

static bool is_over(const struct going *g)
{
    const struct gqa_history *h = &g->run->history;

    return h->n_steps >= gqa_schedule_end(&g->run->schedule) ||
           has_come_near(g->run) ||
           (g->run->limits.deadline_s > 0 &&
            gqa_ranks_decide(g->run->ranks, is_late(g)));
}

/* Fewer steps may fit into the time than lie between two measures. */
static bool is_measure_due(const struct going *g)
{
    const struct gqa_training_run *run = g->run;

    return run->history.n_steps % run->limits.eval_every == 0 || is_over(g) ||
           (run->limits.deadline_s > 0 &&
            gqa_ranks_decide(run->ranks,
                             gqa_clock_s() - g->measured_s >= g->apart_s));
}

/* --- The plan ------------------------------------------------------------- */

/* What a step takes is known. A rate that does not fall needs no plan. */
static bool may_plan(const struct going *g)
{
    const struct gqa_training_run *run = g->run;
    const double deadline = run->limits.deadline_s;

    return run->schedule.decay != GQA_DECAY_NONE &&
           run->history.n_steps >= g->first_step + PLANNING_STEPS &&
           run->history.n_steps < gqa_schedule_end(&run->schedule) &&
           gqa_clock_s() - g->steps_s >=
               planning * (deadline - g->before_s - g->steps_s);
}

/* With all that comes between them, but for measures. */
static double pace_s(const struct going *g)
{
    return (gqa_clock_s() - g->paced_s - g->measuring_s) /
           (double)(g->run->history.n_steps - g->first_step - 1);
}

/* Of those that are left. */
static uint64_t fitting_steps(const struct going *g)
{
    const struct gqa_run_limits *l = &g->run->limits;
    const struct gqa_history *h = &g->run->history;
    const struct gqa_plan_times times = {.left_s = l->deadline_s - g->before_s -
                                                   gqa_clock_s(),
                                         .step_s = pace_s(g),
                                         .measure_s = g->measure_s,
                                         .eval_every = l->eval_every,
                                         .apart_s = g->apart_s};

    return gqa_min_u64(gqa_time_plan_fit(&times), h->room - h->n_steps);
}

/* The first as soon as may be; behind a measure it is seen whether it holds. */
static bool is_plan_due(const struct going *g, uint64_t fit, bool was_measured)
{
    const struct gqa_history *h = &g->run->history;

    return h->plan.n_steps == 0 ||
           (was_measured && gqa_time_plan_is_off(&h->plan, h->n_steps, fit));
}

static enum gqa_status plan(struct going *g, bool was_measured, bool *is_new)
{
    struct gqa_training_run *run = g->run;
    struct gqa_history *h = &run->history;
    uint64_t fit = 0;
    enum gqa_status st;

    *is_new = false;
    if (run->limits.deadline_s <= 0)
        return GQA_OK;
    if (may_plan(g)) {
        fit = fitting_steps(g);
        *is_new = is_plan_due(g, fit, was_measured);
    }
    *is_new = gqa_ranks_decide(run->ranks, *is_new);
    if (!*is_new)
        return GQA_OK;
    h->plan = gqa_time_plan_make(&run->schedule, h->n_steps, fit,
                                 run->warmup_is_given, run->limits.budget_s);
    st = gqa_ranks_tell(run->ranks, 0, &h->plan, sizeof h->plan);
    if (st != GQA_OK)
        return st;
    gqa_time_plan_follow(&run->schedule, &h->plan);
    run->is_saved = false;
    gqa_info("step %" PRIu64 ": there is time for %" PRIu64 " in all",
             h->n_steps, h->plan.n_steps);
    return gqa_run_log_plan(run->log, &h->plan);
}

/* What is due behind a step: a measure, a plan, the state. */
static enum gqa_status after_step(struct going *g)
{
    struct gqa_training_run *run = g->run;
    const struct gqa_history *h = &run->history;
    const bool is_due = !gqa_history_is_measured(h) && is_measure_due(g);
    bool is_planned = false;
    enum gqa_status st = is_due ? measure(g) : GQA_OK;

    if (st == GQA_OK)
        st = plan(g, is_due, &is_planned);
    /* Taken up again from here on, the run follows the same plan. */
    if (st == GQA_OK &&
        (is_planned || h->n_steps % run->limits.save_every == 0))
        st = save_on_the_way(g);
    return st;
}

/* When the first stage is to be over; 0: there is no deadline. */
static double matching_until_s(const struct going *g)
{
    const double deadline = g->run->limits.deadline_s;
    const double now = gqa_clock_s();

    return deadline > 0 ? now + matching * (deadline - now) : 0;
}

/* By the first rank, for all: the weights that are the best become those of
 * the trainer. */
static enum gqa_status match_layers(struct going *g)
{
    struct gqa_training_run *run = g->run;
    struct gqa_layerwise stage = *run->layerwise;
    struct gqa_tokens tokens = {NULL, 0};
    void *values = malloc(gqa_trainer_bytes(run->trainer) + 1);
    enum gqa_status st =
        values ? gqa_data_take(run->data, &tokens,
                               gqa_layerwise_data_steps(stage.n_steps))
               : gqa_fail_nomem();

    stage.tokens = &tokens;
    stage.held_out = gqa_data_held_out(run->data);
    stage.until_s = matching_until_s(g);
    if (st == GQA_OK && gqa_ranks_is_first(run->ranks)) {
        st = gqa_trainer_get(run->trainer, values);
        if (st == GQA_OK)
            st = gqa_layerwise_run(&stage, &run->history, values);
        if (st == GQA_OK)
            st = gqa_trainer_set(run->trainer, values);
    }
    st = gqa_ranks_agree(run->ranks, st);
    if (st == GQA_OK)
        st = gqa_trainer_share(run->trainer, false);
    if (st == GQA_OK)
        st = measure(g);
    if (st == GQA_OK && run->history.best == 0)
        st = gqa_trainer_set(run->trainer, run->best);
    gqa_tokens_clear(&tokens);
    free(values);
    return st;
}

/* It was one for the time that there was: with another there is another. */
static void take_up_plan(struct gqa_training_run *run)
{
    struct gqa_time_plan *plan = &run->history.plan;

    if (run->limits.deadline_s > 0 && plan->budget_s == run->limits.budget_s)
        gqa_time_plan_follow(&run->schedule, plan);
    else
        *plan = (struct gqa_time_plan){.n_steps = 0};
}

static enum gqa_status start(struct going *g)
{
    struct gqa_training_run *run = g->run;
    struct gqa_history *h = &run->history;
    enum gqa_status st = GQA_OK;

    if (run->saved)
        st = gqa_saved_read(&run->resumed, run->saved, run->trainer, h,
                            run->best);
    st = gqa_ranks_agree(run->ranks, st);
    if (st == GQA_OK)
        st = gqa_ranks_take_up(run->ranks, &run->resumed, run->trainer, h);
    if (st == GQA_OK && run->resumed) {
        take_up_plan(run);
        run->is_saved = true;
        g->before_s = h->seconds;
        stop_before(g, 0);
        gqa_info("going on behind step %" PRIu64, h->n_steps);
        return gqa_run_log_resume(run->log, h->n_steps);
    }
    if (st == GQA_OK)
        st = measure(g);
    if (st == GQA_OK && run->layerwise)
        st = match_layers(g);
    if (st == GQA_OK && run->schedule.rate > 0)
        h->rate = run->schedule.rate;
    if (st == GQA_OK && has_come_near(run)) {
        gqa_alert("the mean KL of the start, %.4g, is within --until-kl "
                  "already: there is nothing to train",
                  gqa_history_start(h)->kl);
        return GQA_OK;
    }
    if (st != GQA_OK || h->rate > 0)
        return st;
    if (run->limits.deadline_s > 0) {
        const double now = gqa_clock_s();

        run->probe_until_s = now + probing * (run->limits.deadline_s - now);
    }
    return gqa_probe_rates(run, run->best);
}

static enum gqa_status go(struct going *g)
{
    struct gqa_training_run *run = g->run;
    enum gqa_status st = start(g);

    if (st != GQA_OK)
        return st;
    run->schedule.rate = run->history.rate;
    /* What was matched is not to be matched again. */
    if (run->layerwise && !run->resumed && (st = save_on_the_way(g)) != GQA_OK)
        return st;
    gqa_progress_phase(run->bar, "training", GQA_PROGRESS_TOKENS);
    g->steps_s = gqa_clock_s();
    g->first_step = run->history.n_steps;
    g->first_tokens = run->history.n_tokens;
    g->measured_s = g->steps_s;
    g->apart_s = fmax((run->limits.deadline_s - g->before_s - g->steps_s) /
                          TIMED_MEASURES,
                      MEASURES_APART * g->measure_s);
    st = after_step(g);
    while (st == GQA_OK && !is_over(g)) {
        st = step(g);
        if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late() &&
            !gqa_history_is_measured(&run->history)) {
            st = measure(g);
            break;
        }
        if (st == GQA_OK)
            st = after_step(g);
    }
    /* No step was half made: what is there can be gone on from. */
    if (st == GQA_ERR_INTERRUPTED && save(g) == GQA_OK)
        st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    return st;
}

enum gqa_status gqa_training_run(struct gqa_training_run *run)
{
    struct going g = {.run = run, .start_s = gqa_clock_s()};
    enum gqa_status st;

    g.sequences = calloc(run->batch, sizeof *g.sequences);
    st = g.sequences ? go(&g) : gqa_fail_nomem();
    /* No more is done than is done; of what was measured the best counts. */
    if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late() &&
        run->history.n_evaluations > 0)
        st = GQA_OK;
    if (st != GQA_ERR_INTERRUPTED)
        gqa_interrupt_ask_at(0);
    run->history.seconds = g.before_s + gqa_clock_s() - g.start_s;
    free(g.sequences);
    return st;
}
