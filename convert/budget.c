#include "convert/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/ull.h"
#include "convert/kv_options.h"
#include "formats/families/kv_said.h"
#include "formats/model/regroup.h"

/* Conversions at most until a bound is met closely, and how closely: the
 * measure itself is not sharper. */
enum { MAX_TRIES = 5 };
static const double CLOSE = 0.95;

/* Share of the mean below which what an attention loses is not told from
 * noise. */
static const double FAINT = 0.01;

/* What each attention would keep, and what came of it. */
struct attempt {
    uint64_t *pooled; /* [n_attentions]; NULL: there is none */
    struct gqa_kv_tried tried;
    double lost; /* predicted */
    bool frees;  /* pairs of RoPE */
    struct gqa_alignment *alignment;
};

struct search {
    const struct gqa_kv_choice_job *job;
    struct gqa_kv_options options;
    struct gqa_knapsack *knapsack; /* each its own; NULL: one for all */
    struct attempt best, other;
    uint64_t stored;
    uint64_t *alike; /* [n_alike]: numbers for all, fewest first */
    size_t n_alike;
};

bool gqa_kv_budget_is_given(const struct gqa_kv_budget *budget)
{
    return budget->share >= 0 || budget->max_kl >= 0;
}

bool gqa_kv_budget_is_measured(const struct gqa_kv_budget *budget)
{
    return budget->max_kl >= 0 || (budget->share >= 0 && !budget->uniform);
}

/* --- Attempts ------------------------------------------------------------- */

static void drop(struct attempt *attempt)
{
    free(attempt->pooled);
    gqa_alignment_free(attempt->alignment);
    *attempt = (struct attempt){.pooled = NULL};
}

static void move(struct attempt *to, struct attempt *from)
{
    drop(to);
    *to = *from;
    *from = (struct attempt){.pooled = NULL};
}

/* The alignment of what is not to be written takes room for nothing. */
static void set_aside(struct attempt *to, struct attempt *attempt)
{
    gqa_alignment_free(attempt->alignment);
    attempt->alignment = NULL;
    move(to, attempt);
}

/* One number, where all that are selected have it. */
static uint64_t number_of_all(const struct search *s, const uint64_t *pooled)
{
    uint64_t number = 0;

    for (size_t i = 0; i < s->options.n; i++) {
        const uint64_t p = pooled[s->options.attentions[i]];

        if (!s->options.selected[i])
            continue;
        if (number && p != number)
            return 0;
        number = p;
    }
    return number;
}

/* Of places [n] of the items' options, or, where that is NULL, of a number for
 * all that they can have. */
static enum gqa_status make_attempt(struct attempt *out, const struct search *s,
                                    const size_t *picks, uint64_t number)
{
    const struct gqa_kv_options *o = &s->options;

    *out = (struct attempt){
        .pooled = calloc(s->job->model->n_attentions, sizeof *out->pooled),
        .tried = {.kl = NAN}};
    if (!out->pooled)
        return gqa_fail_nomem();
    for (size_t i = 0; i < o->n; i++) {
        size_t j = picks ? picks[i] : 0;

        while (!picks && o->selected[i] && o->pooled[i][j] != number)
            j++;
        if (o->selected[i])
            out->pooled[o->attentions[i]] = o->pooled[i][j];
        out->tried.bytes += o->items[i].options[j].bytes;
        out->lost += o->items[i].options[j].lost;
    }
    out->tried.alike = number_of_all(s, out->pooled);
    return GQA_OK;
}

/* The best within so many bytes, of all or of one number for all. No pooled:
 * nothing is as small. */
static enum gqa_status best_within(struct attempt *out, const struct search *s,
                                   uint64_t bytes)
{
    struct gqa_knapsack_option best;
    size_t *picks = calloc(s->options.n + 1, sizeof *picks);
    enum gqa_status st = picks ? GQA_OK : gqa_fail_nomem();

    *out = (struct attempt){.pooled = NULL};
    if (picks && gqa_knapsack_within(&best, picks, s->knapsack, bytes))
        st = make_attempt(out, s, picks, 0);
    free(picks);
    return st;
}

static enum gqa_status alike_within(struct attempt *out, const struct search *s,
                                    uint64_t bytes)
{
    *out = (struct attempt){.pooled = NULL};
    for (size_t i = s->n_alike; i-- > 0;) {
        uint64_t size;

        if (gqa_kv_options_alike(&size, &s->options, s->alike[i]) &&
            size <= bytes)
            return make_attempt(out, s, NULL, s->alike[i]);
    }
    return GQA_OK;
}

static bool same(const struct search *s, const struct attempt *a,
                 const struct attempt *b)
{
    return memcmp(a->pooled, b->pooled,
                  s->job->model->n_attentions * sizeof *a->pooled) == 0;
}

static double percent(const struct search *s, uint64_t bytes)
{
    return 100 * (double)bytes / (double)s->stored;
}

/* Of an item; of one that is not selected there is one option. */
static double *lost_of(const struct search *s, const struct attempt *attempt,
                       size_t item)
{
    const struct gqa_kv_options *o = &s->options;
    const uint64_t pooled = attempt->pooled[o->attentions[item]];
    size_t j = 0;

    while (o->selected[item] && o->pooled[item][j] != pooled)
        j++;
    return &o->items[item].options[j].lost;
}

/* Factors [n] from what was predicted to what was measured, of attention i
 * alone kl[i]; of all together where an attention was not measured. False:
 * there are none. */
static bool find_factors(double *factors, const struct search *s,
                         const struct attempt *attempt, const double *kl)
{
    const struct gqa_kv_options *o = &s->options;
    double measured = 0, predicted = 0;
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++)
        if (!isnan(kl[o->attentions[i]])) {
            measured += kl[o->attentions[i]];
            predicted += *lost_of(s, attempt, i);
            n++;
        }
    if (n == 0 || !isfinite(measured) || !(measured > 0) || !(predicted > 0))
        return false;
    for (size_t i = 0; i < o->n; i++) {
        const double alone = kl[o->attentions[i]];
        const double lost = *lost_of(s, attempt, i);

        factors[i] = isnan(alone) || !(lost > 0)
                         ? measured / predicted
                         : fmax(alone, FAINT * measured / (double)n) / lost;
    }
    return true;
}

static void scale(struct search *s, struct attempt *attempt,
                  const double *factors)
{
    attempt->lost = 0;
    for (size_t i = 0; i < s->options.n; i++) {
        struct gqa_knapsack_item *item = &s->options.items[i];

        for (size_t j = 0; j < item->n; j++)
            item->options[j].lost *= factors[i];
        attempt->lost += *lost_of(s, attempt, i);
    }
}

/* What each attention loses, measured alone, scales what is predicted for
 * every number of its heads. */
static enum gqa_status sharpen(struct search *s, struct attempt *attempt,
                               const struct gqa_plan *plan)
{
    double *kl = calloc(s->job->model->n_attentions, sizeof *kl);
    double *factors = calloc(s->options.n + 1, sizeof *factors);
    enum gqa_status st = GQA_OK;

    if (!kl || !factors)
        st = gqa_fail_nomem();
    else
        st = gqa_calibrator_measure_each(kl, s->job->calibrator, plan,
                                         attempt->alignment);
    if (st == GQA_OK && find_factors(factors, s, attempt, kl)) {
        scale(s, attempt, factors);
        gqa_knapsack_free(s->knapsack);
        s->knapsack = NULL;
        st = gqa_knapsack_create(&s->knapsack, s->options.items, s->options.n);
    }
    free(kl);
    free(factors);
    return st;
}

/* Convert and measure. sharpens: its attentions one by one too. */
static enum gqa_status try(struct attempt *attempt, struct search *s,
                           bool sharpens)
{
    struct gqa_plan_options options = *s->job->options;
    struct gqa_plan *plan = NULL;
    enum gqa_status st;

    options.chosen = attempt->pooled;
    st = gqa_plan_create(&plan, s->job->model, &options);
    if (st == GQA_OK)
        st =
            gqa_calibrator_align(&attempt->alignment, s->job->calibrator, plan);
    if (st == GQA_OK)
        st = gqa_calibrator_measure(&attempt->tried.kl, s->job->calibrator,
                                    plan, attempt->alignment);
    if (st == GQA_OK && sharpens)
        st = sharpen(s, attempt, plan);
    gqa_plan_free(plan);
    attempt->frees = st == GQA_OK && attempt->alignment->divisors;
    if (st == GQA_OK)
        gqa_info("%.4g%% of the KV cache, %s: mean KL %.3g, on what was held "
                 "out",
                 percent(s, attempt->tried.bytes),
                 attempt->tried.alike ? "one number of KV heads for all"
                                      : "each attention its own number",
                 attempt->tried.kl);
    return st;
}

/* --- A budget ------------------------------------------------------------- */

static enum gqa_status too_small(const struct search *s, uint64_t fewest)
{
    return gqa_fail(GQA_ERR_USAGE,
                    "--kv-budget %.4g%% of the KV cache is less than the "
                    "fewest KV heads that each attention can have take: "
                    "%.4g%%",
                    100 * s->job->budget->share, percent(s, fewest));
}

static enum gqa_status meet_budget(struct search *s)
{
    const double share = fmin(s->job->budget->share, 1);
    /* 30% of ten heads are three. */
    const uint64_t bytes = (uint64_t)(share * (double)s->stored + 1e-6);
    struct attempt alike;
    enum gqa_status st;

    if ((st = alike_within(&alike, s, bytes)) != GQA_OK)
        return st;
    if (!s->knapsack) {
        uint64_t fewest = 0;

        if (!alike.pooled) {
            if (s->n_alike > 0)
                (void)gqa_kv_options_alike(&fewest, &s->options, s->alike[0]);
            return too_small(s, fewest);
        }
        move(&s->best, &alike);
        return GQA_OK;
    }
    if (alike.pooled)
        st = try(&alike, s, true);
    if (st == GQA_OK)
        st = best_within(&s->best, s, bytes);
    if (st == GQA_OK && !s->best.pooled)
        st = too_small(s, gqa_knapsack_fewest(s->knapsack));
    if (st == GQA_OK && alike.pooled && same(s, &alike, &s->best)) {
        move(&s->best, &alike);
    } else if (st == GQA_OK) {
        st = try(&s->best, s, false);
        if (st == GQA_OK && alike.pooled && alike.tried.kl < s->best.tried.kl) {
            set_aside(&s->other, &s->best);
            move(&s->best, &alike);
        } else if (st == GQA_OK && alike.pooled) {
            set_aside(&s->other, &alike);
        }
    }
    drop(&alike);
    return st;
}

/* --- A bound -------------------------------------------------------------- */

static enum gqa_status not_met(const struct search *s,
                               const struct attempt *last)
{
    return gqa_fail(GQA_ERR_USAGE,
                    "--max-kl %.4g: with %.4g%% of the KV cache the mean KL is "
                    "%.3g, and hardly more can be kept: give a larger bound%s",
                    s->job->budget->max_kl, percent(s, last->tried.bytes),
                    last->tried.kl, last->frees ? ", or --no-free-pairs" : "");
}

/* Whether an attempt meets the bound, and is the smallest yet that does. It is
 * taken, or kept in *last. */
static enum gqa_status judge(struct search *s, struct attempt *attempt,
                             struct attempt *last, bool sharpens, bool *meets)
{
    const enum gqa_status st = try(attempt, s, sharpens);

    if (st != GQA_OK)
        return st;
    *meets = attempt->tried.kl <= s->job->budget->max_kl;
    if (*meets)
        move(&s->best, attempt);
    else
        set_aside(last, attempt);
    return GQA_OK;
}

/* One number for all: the more heads the less is lost. */
static enum gqa_status meet_bound_alike(struct search *s)
{
    size_t low = 0, high = s->n_alike; /* high: meets it, or all there are */
    struct attempt last = {.pooled = NULL};
    enum gqa_status st = GQA_OK;

    while (low < high && st == GQA_OK) {
        const size_t middle = (low + high) / 2;
        struct attempt attempt;
        bool meets = false;

        st = make_attempt(&attempt, s, NULL, s->alike[middle]);
        if (st == GQA_OK)
            st = judge(s, &attempt, &last, false, &meets);
        if (meets)
            high = middle;
        else
            low = middle + 1;
        drop(&attempt);
    }
    if (st == GQA_OK && !s->best.pooled)
        st = not_met(s, &last);
    drop(&last);
    return st;
}

/* The fewest units between that promise to lose no more; in the middle, where
 * there are none. */
static uint64_t units_for(const struct search *s, uint64_t low, uint64_t high,
                          double lost)
{
    const uint64_t unit = gqa_knapsack_unit(s->knapsack);
    uint64_t from = low, to = high;

    while (from + 1 < to) {
        const uint64_t middle = from + (to - from) / 2;
        struct gqa_knapsack_option best;

        if (gqa_knapsack_within(&best, NULL, s->knapsack, middle * unit) &&
            best.lost <= lost)
            to = middle;
        else
            from = middle;
    }
    return to == high ? low + (high - low) / 2 : to;
}

/* What is predicted grows with what is measured: each attempt tells what the
 * next may lose. */
static enum gqa_status meet_bound_each(struct search *s)
{
    const double bound = s->job->budget->max_kl;
    const uint64_t unit = gqa_knapsack_unit(s->knapsack);
    uint64_t low = gqa_knapsack_fewest(s->knapsack) / unit - 1;
    uint64_t high = s->stored / unit; /* nothing is lost */
    uint64_t units = low + (high - low) / 2;
    struct attempt last = {.pooled = NULL};
    enum gqa_status st = GQA_OK;

    for (int n = 0; n < MAX_TRIES && low + 1 < high && st == GQA_OK; n++) {
        struct attempt attempt;
        struct gqa_kv_tried tried = {0};
        double lost = 0;
        const bool begins = n == 0; /* by what all of them alike lose */
        bool meets = false;

        st = begins ? alike_within(&attempt, s, units * unit)
                    : best_within(&attempt, s, units * unit);
        if (st == GQA_OK && begins && !attempt.pooled)
            st = best_within(&attempt, s, units * unit);
        if (st == GQA_OK)
            st = judge(s, &attempt, &last, begins, &meets);
        if (st == GQA_OK)
            lost = meets ? s->best.lost : last.lost;
        drop(&attempt);
        if (st != GQA_OK)
            break;
        tried = meets ? s->best.tried : last.tried;
        if (meets && tried.kl >= CLOSE * bound)
            break;
        if (meets)
            high = tried.bytes / unit;
        else if (!begins)
            low = units;
        units = isfinite(tried.kl) && tried.kl > 0
                    ? units_for(s, low, high,
                                lost * (1 + CLOSE) / 2 * bound / tried.kl)
                    : low + (high - low) / 2;
    }
    if (st == GQA_OK && !s->best.pooled)
        st = not_met(s, &last);
    drop(&last);
    return st;
}

/* One number for all may do as well with no more bytes. */
static enum gqa_status try_alike_as_well(struct search *s)
{
    struct attempt alike;
    enum gqa_status st = alike_within(&alike, s, s->best.tried.bytes);

    if (st != GQA_OK || !alike.pooled || same(s, &alike, &s->best)) {
        drop(&alike);
        return st;
    }
    st = try(&alike, s, false);
    if (st == GQA_OK && alike.tried.kl <= s->job->budget->max_kl &&
        (alike.tried.bytes < s->best.tried.bytes ||
         alike.tried.kl < s->best.tried.kl)) {
        set_aside(&s->other, &s->best);
        move(&s->best, &alike);
    } else if (st == GQA_OK) {
        set_aside(&s->other, &alike);
    }
    drop(&alike);
    return st;
}

static enum gqa_status meet_bound(struct search *s)
{
    enum gqa_status st;

    if (!s->knapsack)
        return meet_bound_alike(s);
    st = meet_bound_each(s);
    return st == GQA_OK ? try_alike_as_well(s) : st;
}

/* --- All ------------------------------------------------------------------ */

static bool can_say(const struct search *s, uint64_t pooled)
{
    const struct gqa_model *m = s->job->model;

    return !s->job->is_said ||
           gqa_kv_said_can(m->family, m->config, gqa_model_n_heads(m), pooled);
}

/* A number that all can have; as many as are stored only where a budget may
 * allow it. */
static enum gqa_status list_alike(struct search *s)
{
    size_t first = 0;

    while (first < s->options.n && !s->options.selected[first])
        first++;
    if (first == s->options.n)
        return GQA_OK; /* the plan has told why */
    s->alike = calloc(s->options.items[first].n, sizeof *s->alike);
    if (!s->alike)
        return gqa_fail_nomem();
    for (size_t j = s->options.items[first].n; j-- > 0;) {
        const uint64_t pooled = s->options.pooled[first][j];
        uint64_t bytes;

        if (can_say(s, pooled) &&
            gqa_kv_options_alike(&bytes, &s->options, pooled) &&
            (s->job->budget->max_kl < 0 || bytes < s->stored))
            s->alike[s->n_alike++] = pooled;
    }
    return GQA_OK;
}

/* What no conversion could do is told before anything runs. */
static enum gqa_status check_plan(const struct search *s)
{
    struct gqa_plan_options options = *s->job->options;
    const struct gqa_model *model = s->job->model;
    uint64_t *fewest = calloc(model->n_attentions + 1, sizeof *fewest);
    struct gqa_plan *plan = NULL;
    enum gqa_status st = GQA_OK;

    if (!fewest)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions; i++)
        fewest[i] = gqa_attention_fewest(&model->attentions[i]);
    options.chosen = fewest;
    st = gqa_plan_create(&plan, model, &options);
    gqa_plan_free(plan);
    free(fewest);
    return st;
}

/* A bound is met by fewer heads. */
static enum gqa_status check_fewer(const struct search *s)
{
    bool can = false;

    for (size_t i = 0; i < s->options.n; i++)
        can = can || s->options.items[i].n > 1;
    if (s->job->budget->max_kl < 0 ||
        (s->job->budget->uniform ? s->n_alike > 0 : can))
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE, "there is no choice of KV heads: %s",
                    can ? "no number that all attentions can have takes a "
                          "smaller cache"
                        : "each attention has the fewest that it can have");
}

static enum gqa_status run(struct search *s)
{
    enum gqa_status st = check_plan(s);

    if (st == GQA_OK)
        st = gqa_kv_options_create(&s->options, s->job->model, s->job->options);
    for (size_t i = 0; i < s->options.n && st == GQA_OK; i++)
        s->stored += s->options.items[i].options[0].bytes;
    if (st == GQA_OK)
        st = list_alike(s);
    if (st == GQA_OK)
        st = check_fewer(s);
    if (st == GQA_OK && s->job->calibrator && !s->job->budget->uniform)
        st = gqa_kv_options_weigh(&s->options, s->job);
    if (st == GQA_OK && !s->job->budget->uniform)
        st = gqa_knapsack_create(&s->knapsack, s->options.items, s->options.n);
    if (st != GQA_OK)
        return st;
    return s->job->budget->max_kl >= 0 ? meet_bound(s) : meet_budget(s);
}

/* Hand over what was found. */
static enum gqa_status tell(struct gqa_kv_choice **out,
                            struct gqa_alignment **alignment, struct search *s)
{
    struct gqa_kv_choice *choice = calloc(1, sizeof *choice);

    if (!choice)
        return gqa_fail_nomem();
    choice->pooled = s->best.pooled;
    s->best.pooled = NULL;
    choice->stored = s->stored;
    choice->chosen = s->best.tried;
    choice->other = s->other.tried;
    if (s->job->calibrator)
        gqa_calibrator_held_out(&choice->n_sequences, &choice->n_tokens,
                                s->job->calibrator);
    *alignment = s->best.alignment;
    s->best.alignment = NULL;
    *out = choice;
    return GQA_OK;
}

enum gqa_status gqa_kv_choice_create(struct gqa_kv_choice **out,
                                     struct gqa_alignment **alignment,
                                     const struct gqa_kv_choice_job *job)
{
    struct search s = {.job = job};
    enum gqa_status st = run(&s);

    if (st == GQA_OK)
        st = tell(out, alignment, &s);
    drop(&s.best);
    drop(&s.other);
    free(s.alike);
    gqa_knapsack_free(s.knapsack);
    gqa_kv_options_clear(&s.options);
    return st;
}

void gqa_kv_choice_free(struct gqa_kv_choice *choice)
{
    if (!choice)
        return;
    free(choice->pooled);
    free(choice);
}
