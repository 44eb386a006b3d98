#include "uptrain/match.h"

#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "runtime/values.h"
#include "uptrain/rates.h"

#define HIGHEST 3e-2

/* What is being trained of one attention. */
struct training {
    const struct gqa_match *match;
    const struct gqa_match_options *options;
    bool cross;
    struct gqa_trainee *trainees;
    size_t n;
    struct gqa_optimiser *optimiser;
    void *sum;        /* device float64 */
    double scale;     /* of the loss: 1 is what it was at the start */
    uint64_t n_steps; /* at each rate */
    double start_s;   /* of gqa_clock_s() */
    double took_s;    /* by the longest attempt */
    /* Weights, in memory of the host: then, and of the best attempt. */
    char *start, *best;
    double best_error, best_rate;
};

size_t gqa_match_mark(bool *trained, const struct gqa_model *model,
                      const struct gqa_attention_block *a, const bool *among)
{
    const struct gqa_linear *parts[] = {&a->q, &a->k, &a->v, &a->o};
    size_t n = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t params[] = {parts[i]->weight, parts[i]->bias};

        for (size_t k = 0; k < 2; k++) {
            const size_t p = params[k];

            if (p == GQA_NO_PARAM || p >= model->n_params || !among[p])
                continue;
            n += !trained[p];
            trained[p] = true;
        }
    }
    return n;
}

/* --- Life ----------------------------------------------------------------- */

static enum gqa_status list_trainees(struct training *t, const bool *trained)
{
    const struct gqa_match *m = t->match;
    const size_t n_params = m->network->model->n_params;

    t->trainees = calloc(n_params + 1, sizeof *t->trainees);
    if (!t->trainees)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n_params; i++) {
        const struct gqa_master *master =
            trained[i] ? gqa_masters_of(m->masters, i) : NULL;
        bool is_matrix;

        if (!master)
            continue;
        is_matrix = master->rows > 1 && master->cols > 1;
        t->trainees[t->n++] =
            (struct gqa_trainee){.param = i,
                                 .n_rows = is_matrix ? master->rows : 1,
                                 .n_cols = is_matrix ? master->cols : master->n,
                                 .weights = master->weights,
                                 .gradients = gqa_layer_gradient(m->student, i),
                                 .copy = master->copy,
                                 .copy_dtype = master->copy_dtype};
    }
    return GQA_OK;
}

static size_t n_bytes(const struct training *t, size_t i)
{
    const size_t wide = gqa_wide_bytes(t->match->device->info.real);

    return (size_t)(t->trainees[i].n_rows * t->trainees[i].n_cols) * wide;
}

static void clear(struct training *t)
{
    const struct gqa_train_device *d = t->match->device;

    if (t->sum)
        d->backend->free(d->device, t->sum);
    gqa_optimiser_free(t->optimiser);
    free(t->trainees);
    free(t->start);
    free(t->best);
}

static enum gqa_status begin(struct training *t, const bool *trained)
{
    const struct gqa_train_device *d = t->match->device;
    struct gqa_optimiser_options options = t->options->optimiser;
    size_t all = 1;
    enum gqa_status st = list_trainees(t, trained);

    options.clip = 0;
    for (size_t i = 0; i < t->n; i++)
        all += n_bytes(t, i);
    t->start = malloc(all);
    t->best = malloc(all);
    if (st == GQA_OK && (!t->start || !t->best))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_optimiser_create(&t->optimiser, d->backend, d->device,
                                  t->trainees, t->n, &options);
    return st == GQA_OK ? d->backend->alloc(d->device, &t->sum, sizeof(double))
                        : st;
}

/* --- Error and gradient --------------------------------------------------- */

/* Each model up to the attention's end, on its own stream; the sum grows by
 * factor / 2 times the squares of what they differ by, d_out is set. */
static enum gqa_status compare(struct training *t, size_t batch, double factor)
{
    const struct gqa_match *m = t->match;
    const struct gqa_train_device *d = m->device;
    void *target = NULL, *x = NULL;
    enum gqa_status st =
        gqa_walk_feed(m->walk, GQA_WALK_TEACHER, m->teacher, &m->place, batch);

    if (st == GQA_OK)
        st = gqa_layer_attend(m->teacher, t->cross, &target);
    if (st == GQA_OK)
        st = gqa_walk_feed(m->walk, GQA_WALK_STUDENT, m->student, &m->place,
                           batch);
    if (st == GQA_OK)
        st = gqa_layer_attend(m->student, t->cross, &x);
    return st == GQA_OK ? d->backend->gradients->squares(
                              d->device, gqa_layer_d_out(m->student), x, target,
                              gqa_layer_n_rows(m->student), m->network->d_model,
                              factor, t->sum)
                        : st;
}

static double n_values(const struct training *t, size_t batch)
{
    const struct gqa_match *m = t->match;

    return (double)gqa_walk_n_tokens(m->walk, batch, m->place.stack) *
           (double)m->network->d_model;
}

/* On what is held out. */
static enum gqa_status measure(struct training *t, double *error)
{
    const struct gqa_train_device *d = t->match->device;
    const size_t n = gqa_walk_n_batches(t->match->walk);
    double sum = 0, values = 0;
    enum gqa_status st = d->backend->zero(d->device, t->sum, sizeof sum);

    for (size_t i = gqa_walk_n_trained_on(t->match->walk);
         i < n && st == GQA_OK; i++) {
        st = compare(t, i, 2);
        values += n_values(t, i);
    }
    if (st == GQA_OK)
        st = d->backend->download(d->device, &sum, t->sum, sizeof sum);
    *error = sum / values;
    return st;
}

/* --- Steps ---------------------------------------------------------------- */

static enum gqa_status step(struct training *t,
                            const struct gqa_schedule *schedule,
                            uint64_t number)
{
    const struct gqa_match *m = t->match;
    const uint64_t n_batches = gqa_walk_n_trained_on(m->walk);
    const uint64_t n = t->options->accumulate;
    double values = 0;
    enum gqa_status st = gqa_layer_zero(m->student);

    for (uint64_t i = 0; i < n; i++)
        values += n_values(t, (size_t)((number * n + i) % n_batches));
    for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
        st = compare(t, (size_t)((number * n + i) % n_batches),
                     2 * t->scale / values);
        if (st == GQA_OK)
            st = gqa_layer_attend_back(m->student, t->cross);
    }
    return st == GQA_OK
               ? gqa_optimiser_step(t->optimiser, number + 1,
                                    gqa_schedule_rate(schedule, number), 0)
               : st;
}

/* Weights to the host, or back. */
static enum gqa_status move(struct training *t, char *values, bool back)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        const size_t param = t->trainees[i].param;

        st = back ? gqa_masters_write(t->match->masters, param, values)
                  : gqa_masters_read(t->match->masters, param, values);
        values += n_bytes(t, i);
    }
    return st;
}

/* A rate is tried in any case. */
static bool may_try(const struct training *t)
{
    return t->options->until_s == 0 || t->took_s == 0 ||
           gqa_clock_s() + t->took_s <= t->start_s + t->options->share_s;
}

/* All steps from the start, whatever was done before; what comes nearest is
 * kept. *error: infinite where no time is left to try another rate. */
static enum gqa_status attempt(void *ctx, double rate, double *error)
{
    struct training *t = ctx;
    struct gqa_schedule schedule = t->options->schedule;
    const double start_s = gqa_clock_s();
    enum gqa_status st;

    *error = INFINITY;
    if (!may_try(t))
        return GQA_OK;
    st = move(t, t->start, true);
    schedule.rate = rate;
    if (t->n_steps < schedule.n_steps) {
        schedule.n_steps = t->n_steps;
        schedule.warmup = gqa_schedule_warmup(t->n_steps);
    }
    if (st == GQA_OK)
        st = gqa_optimiser_reset(t->optimiser);
    for (uint64_t i = 0; i < schedule.n_steps && st == GQA_OK; i++)
        st = step(t, &schedule, i);
    if (st == GQA_OK)
        st = measure(t, error);
    t->took_s = fmax(t->took_s, gqa_clock_s() - start_s);
    if (st != GQA_OK)
        return st;
    if (!isfinite(*error))
        *error = INFINITY;
    if (*error >= t->best_error)
        return GQA_OK;
    t->best_error = *error;
    t->best_rate = rate;
    return move(t, t->best, false);
}

/* The first step of an attempt, which is made anew. */
static enum gqa_status time_step(struct training *t, double *seconds)
{
    const struct gqa_train_device *d = t->match->device;
    const double start_s = gqa_clock_s();
    double sum;
    enum gqa_status st = step(t, &t->options->schedule, 0);

    /* The device may still be at it. */
    if (st == GQA_OK)
        st = d->backend->download(d->device, &sum, t->sum, sizeof sum);
    *seconds = gqa_clock_s() - start_s;
    return st;
}

/* What a step takes: the second, for which all is ready. */
static enum gqa_status time_steps(struct training *t, double *seconds)
{
    const enum gqa_status st = time_step(t, seconds);

    return st == GQA_OK ? time_step(t, seconds) : st;
}

/* Steps that fit into the time. */
static uint64_t fitting(double seconds, double step_s, uint64_t most)
{
    const double n = seconds / step_s;

    return !(n > 0) ? 0 : n < (double)most ? (uint64_t)n : most;
}

/* How many steps there is time for, at the rate that is given or at several
 * (*rate is 0); where that is too short, some at one that is as good as any. */
static enum gqa_status plan(struct training *t, double *rate, double measure_s)
{
    const struct gqa_match_options *o = t->options;
    struct gqa_rate_times times = {.measure_s = GQA_MEASURE_SLACK * measure_s};
    uint64_t in_share, until_end;
    enum gqa_status st;

    *rate = o->schedule.rate;
    t->n_steps = o->schedule.n_steps;
    if (o->until_s == 0)
        return GQA_OK;
    if ((st = time_steps(t, &times.step_s)) != GQA_OK)
        return st;
    times.left_s = t->start_s + o->share_s - gqa_clock_s();
    if (*rate == 0 && (t->n_steps = gqa_rates_fit(t->n_steps, &times)) > 0)
        return GQA_OK;
    if (*rate == 0)
        *rate = gqa_rate_untried;
    in_share = fitting(times.left_s - times.measure_s, times.step_s,
                       o->schedule.n_steps);
    until_end = fitting(o->until_s - gqa_clock_s() - times.measure_s,
                        times.step_s, o->schedule.n_steps);
    t->n_steps = gqa_min_u64(gqa_max_u64(in_share, GQA_LEAST_STEPS), until_end);
    return GQA_OK;
}

static enum gqa_status search(struct training *t, double rate, double before)
{
    const struct gqa_rate_search rates = {t, attempt, before, HIGHEST};
    double error;

    if (t->n_steps == 0)
        return GQA_OK;
    return rate > 0 ? attempt(t, rate, &error)
                    : gqa_rates_search(&rate, &rates);
}

/* out->before is known, and what that took. */
static enum gqa_status match(struct training *t, struct gqa_match_result *out,
                             double measure_s)
{
    double rate;
    enum gqa_status st = move(t, t->start, false), moved;

    t->scale = 1 / out->before;
    t->best_error = out->before;
    if (st == GQA_OK)
        st = plan(t, &rate, measure_s);
    if (st == GQA_OK)
        st = search(t, rate, out->before);
    out->gained = t->best_error < out->before;
    out->after = t->best_error;
    out->rate = t->best_rate;
    out->n_steps = t->n_steps;
    if (st != GQA_OK && !(st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late()))
        return st;
    moved = move(t, out->gained ? t->best : t->start, true);
    return moved == GQA_OK ? st : moved;
}

enum gqa_status gqa_match_attention(struct gqa_match_result *out,
                                    const struct gqa_match *m, bool cross,
                                    const bool *trained,
                                    const struct gqa_match_options *options)
{
    struct training t = {.match = m,
                         .options = options,
                         .cross = cross,
                         .start_s = gqa_clock_s()};
    enum gqa_status st = begin(&t, trained);

    *out = (struct gqa_match_result){.gained = false};
    if (st == GQA_OK)
        st = measure(&t, &out->before);
    out->after = out->before;
    /* What is the same, or cannot be told, is left alone. */
    if (st == GQA_OK && out->before > 0 && isfinite(out->before))
        st = match(&t, out, gqa_clock_s() - t.start_s);
    clear(&t);
    return st;
}
