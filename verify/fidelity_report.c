#include "verify/fidelity_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/ull.h"
#include "formats/model/model.h"
#include "verify/summary.h"

static const char *const model_names[GQA_N_MODELS] = {"original", "converted"};

/* JSON has no infinity and no NaN: they are null. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static struct gqa_check fidelity_check(const char *name, double seconds)
{
    return (struct gqa_check){.group = GQA_CHECK_FIDELITY,
                              .name = name,
                              .verdict = GQA_REPORTED,
                              .seconds = seconds};
}

static enum gqa_verdict verdict_of(bool within)
{
    return within ? GQA_PASSED : GQA_FAILED;
}

static enum gqa_status add(struct gqa_report *report, struct gqa_check *check)
{
    if (!check->values)
        return gqa_fail_nomem();
    return gqa_report_add(report, check);
}

static enum gqa_status report_finite(struct gqa_report *report,
                                     const struct gqa_fidelity_result *r,
                                     double seconds)
{
    struct gqa_check check = fidelity_check("finite", seconds);
    size_t used = 0;

    check.verdict =
        verdict_of(r->n_nonfinite[0] == 0 && r->n_nonfinite[1] == 0);
    if (check.verdict == GQA_PASSED)
        snprintf(check.figure, sizeof check.figure,
                 "%llu position%s, no NaN, no infinity", ULL(r->n_positions),
                 r->n_positions == 1 ? "" : "s");
    else
        snprintf(check.figure, sizeof check.figure,
                 "NaN or infinity at %llu + %llu positions, %llu compared",
                 ULL(r->n_nonfinite[0]), ULL(r->n_nonfinite[1]),
                 ULL(r->n_positions));
    for (int m = 0; m < GQA_N_MODELS; m++) {
        int n;

        if (r->n_nonfinite[m] == 0)
            continue;
        n = snprintf(check.detail + used, sizeof check.detail - used,
                     "%sthe %s model's logits at %llu positions are not "
                     "finite, first in sequence %llu at position %llu",
                     used > 0 ? "; " : "", model_names[m],
                     ULL(r->n_nonfinite[m]),
                     ULL(r->first_nonfinite[m].sequence),
                     ULL(r->first_nonfinite[m].position));
        used += n > 0 ? (size_t)n : 0;
    }
    check.values =
        json_pack("{s:I, s:I, s:I}", "positions", (json_int_t)r->n_positions,
                  "original_nonfinite", (json_int_t)r->n_nonfinite[0],
                  "converted_nonfinite", (json_int_t)r->n_nonfinite[1]);
    return add(report, &check);
}

static const char no_position[] = "no position could be compared";
static const char no_next[] = "no following token is known";
static const char no_logits[] = "the model makes no logits of tokens";

/* Add a check that there is no figure for: a limit is then not kept. */
static enum gqa_status add_without(struct gqa_report *report,
                                   struct gqa_check *check, const char *why)
{
    if (*check->limit) {
        check->verdict = GQA_FAILED;
        snprintf(check->figure, sizeof check->figure, "%s", why);
    } else {
        check->verdict = GQA_SKIPPED;
        snprintf(check->detail, sizeof check->detail, "%s", why);
    }
    return gqa_report_add(report, check);
}

static enum gqa_status report_kl(struct gqa_report *report,
                                 const struct gqa_fidelity_result *r,
                                 const struct gqa_budget *budget,
                                 const char *why)
{
    struct gqa_check check = fidelity_check("kl", 0);

    if (budget->max_kl >= 0) {
        check.verdict = verdict_of(r->kl_mean <= budget->max_kl);
        snprintf(check.limit, sizeof check.limit, "mean <= %g", budget->max_kl);
    }
    if (r->n_positions == 0)
        return add_without(report, &check, why);
    snprintf(check.figure, sizeof check.figure,
             "mean %.3g, median %.3g, p99.9 %.3g, max %.3g nats", r->kl_mean,
             r->kl_p50, r->kl_p999, r->kl_max);
    if (r->kl_max > 0)
        snprintf(check.detail, sizeof check.detail,
                 "largest in sequence %llu at position %llu; worst sequence "
                 "%llu, mean %.3g",
                 ULL(r->kl_max_at.sequence), ULL(r->kl_max_at.position),
                 ULL(r->kl_worst_sequence), r->kl_worst);
    check.values = json_pack(
        "{s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:I, s:I}", "mean",
        number(r->kl_mean), "p50", number(r->kl_p50), "p99_9",
        number(r->kl_p999), "max", number(r->kl_max), "max_sequence",
        (json_int_t)r->kl_max_at.sequence, "max_position",
        (json_int_t)r->kl_max_at.position, "worst_sequence_mean",
        number(r->kl_worst), "worst_sequence", (json_int_t)r->kl_worst_sequence,
        "positions", (json_int_t)r->n_positions);
    return add(report, &check);
}

static enum gqa_status report_kl_p99(struct gqa_report *report,
                                     const struct gqa_fidelity_result *r,
                                     const struct gqa_budget *budget,
                                     const char *why)
{
    struct gqa_check check = fidelity_check("kl-p99", 0);

    if (budget->max_kl_p99 >= 0) {
        check.verdict = verdict_of(r->kl_p99 <= budget->max_kl_p99);
        snprintf(check.limit, sizeof check.limit, "p99 <= %g",
                 budget->max_kl_p99);
    }
    if (r->n_positions == 0)
        return add_without(report, &check, why);
    snprintf(check.figure, sizeof check.figure, "p99 %.3g nats", r->kl_p99);
    check.values = json_pack("{s:o}", "p99", number(r->kl_p99));
    return add(report, &check);
}

static enum gqa_status report_top1(struct gqa_report *report,
                                   const struct gqa_fidelity_result *r,
                                   const struct gqa_budget *budget,
                                   const char *why)
{
    struct gqa_check check = fidelity_check("top-1", 0);

    if (budget->min_top1 >= 0) {
        check.verdict = verdict_of(r->top1 >= budget->min_top1);
        snprintf(check.limit, sizeof check.limit, ">= %g %%",
                 100 * budget->min_top1);
    }
    if (r->n_positions == 0)
        return add_without(report, &check, why);
    snprintf(check.figure, sizeof check.figure,
             "%.2f %% have the same most likely token", 100 * r->top1);
    check.values = json_pack("{s:o}", "same", number(r->top1));
    return add(report, &check);
}

/* "12.742 -> 2000, x157 (x115 to x214)", "36.5 -> 56.5, +54.8 % +- 23 %" */
static void say_perplexity(char *out, size_t n,
                           const struct gqa_fidelity_result *r)
{
    const double error = r->log_difference_error;
    const double percent = 100 * r->perplexity_increase_error;
    char increase[GQA_INCREASE_SIZE], low[GQA_INCREASE_SIZE];
    char high[GQA_INCREASE_SIZE];
    int used;

    used =
        snprintf(out, n, "%.5g -> %.5g, %s", r->perplexity[0], r->perplexity[1],
                 gqa_say_increase(increase, r->perplexity_increase));
    /* Of one token no error is known. */
    if (r->n_next < 2)
        return;
    /* In either unit one standard error of the mean logarithm. */
    if (*increase == 'x')
        snprintf(out + used, n - (size_t)used, " (%s to %s)",
                 gqa_say_factor(low, exp(r->log_difference - error)),
                 gqa_say_factor(high, exp(r->log_difference + error)));
    else /* two digits, and no power of ten for a hundred and more */
        snprintf(out + used, n - (size_t)used,
                 percent < 9.95 ? " +- %.2g %%" : " +- %.0f %%", percent);
}

static enum gqa_status report_perplexity(struct gqa_report *report,
                                         const struct gqa_fidelity_result *r,
                                         const struct gqa_budget *budget,
                                         const char *why)
{
    struct gqa_check check = fidelity_check("perplexity", 0);

    if (budget->max_ppl_increase >= 0) {
        check.verdict =
            verdict_of(r->perplexity_increase <= budget->max_ppl_increase);
        snprintf(check.limit, sizeof check.limit, "<= +%g %%",
                 100 * budget->max_ppl_increase);
    }
    if (r->n_next == 0)
        return add_without(report, &check, r->n_positions > 0 ? no_next : why);
    say_perplexity(check.figure, sizeof check.figure, r);
    check.values = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "original",
        number(r->perplexity[0]), "converted", number(r->perplexity[1]),
        "increase", number(r->perplexity_increase), "increase_error",
        number(r->perplexity_increase_error), "log_difference",
        number(r->log_difference), "log_difference_error",
        number(r->log_difference_error), "tokens", (json_int_t)r->n_next);
    return add(report, &check);
}

/* why: no position could be compared. */
static enum gqa_status report_logits(struct gqa_report *report,
                                     const struct gqa_fidelity_result *r,
                                     const struct gqa_budget *budget,
                                     const char *why)
{
    enum gqa_status st = report_kl(report, r, budget, why);

    if (st == GQA_OK)
        st = report_kl_p99(report, r, budget, why);
    if (st == GQA_OK)
        st = report_top1(report, r, budget, why);
    return st == GQA_OK ? report_perplexity(report, r, budget, why) : st;
}

enum gqa_status gqa_fidelity_report(struct gqa_report *report,
                                    const struct gqa_fidelity_result *r,
                                    const struct gqa_budget *budget,
                                    double seconds)
{
    const enum gqa_status st = report_finite(report, r, seconds);

    return st == GQA_OK ? report_logits(report, r, budget, no_position) : st;
}

enum gqa_status gqa_scale_report(struct gqa_report *report, const char *name,
                                 const struct gqa_fidelity_result *r,
                                 double seconds)
{
    struct gqa_check check = fidelity_check(name, seconds);
    char increase[GQA_INCREASE_SIZE];

    if (r->n_positions == 0)
        return add_without(report, &check, no_position);
    snprintf(check.figure, sizeof check.figure,
             "KL mean %.3g, p99 %.3g nats, top-1 %.2f %%, perplexity %s",
             r->kl_mean, r->kl_p99, 100 * r->top1,
             gqa_say_increase(increase, r->perplexity_increase));
    check.values =
        json_pack("{s:o, s:o, s:o, s:o}", "kl_mean", number(r->kl_mean),
                  "kl_p99", number(r->kl_p99), "same", number(r->top1),
                  "increase", number(r->perplexity_increase));
    return add(report, &check);
}

static enum gqa_status report_kl_of_first(
    struct gqa_report *report, const struct gqa_fidelity_result *r,
    const struct gqa_fidelity_result *first, const struct gqa_budget *budget,
    const char *why)
{
    struct gqa_check check = fidelity_check("kl-of-first", 0);
    const double limit = budget->max_kl_of_first * first->kl_mean;

    snprintf(check.limit, sizeof check.limit, "<= %g times",
             budget->max_kl_of_first);
    if (r->n_positions == 0 || first->n_positions == 0)
        return add_without(report, &check, why);
    check.verdict = verdict_of(r->kl_mean <= limit);
    snprintf(check.figure, sizeof check.figure,
             "KL mean %.3g, that of first heads %.3g", r->kl_mean,
             first->kl_mean);
    check.values =
        json_pack("{s:o, s:o, s:o}", "mean", number(r->kl_mean), "first",
                  number(first->kl_mean), "limit", number(limit));
    return add(report, &check);
}

enum gqa_status gqa_kl_of_first_report(struct gqa_report *report,
                                       const struct gqa_fidelity_result *r,
                                       const struct gqa_fidelity_result *first,
                                       const struct gqa_budget *budget)
{
    return report_kl_of_first(report, r, first, budget, no_position);
}

/* --- Without logits ------------------------------------------------------- */

static enum gqa_status report_finite_rows(struct gqa_report *report,
                                          const struct gqa_drift *rows,
                                          uint64_t n_positions, double seconds)
{
    struct gqa_check check = fidelity_check("finite", seconds);

    check.verdict = verdict_of(rows->n_nonfinite == 0);
    if (check.verdict == GQA_PASSED)
        snprintf(check.figure, sizeof check.figure,
                 "%llu position%s, no NaN, no infinity", ULL(n_positions),
                 n_positions == 1 ? "" : "s");
    else
        snprintf(check.figure, sizeof check.figure,
                 "%llu values of %llu positions are NaN or infinity",
                 ULL(rows->n_nonfinite), ULL(n_positions));
    check.values = json_pack("{s:I, s:I}", "positions", (json_int_t)n_positions,
                             "nonfinite", (json_int_t)rows->n_nonfinite);
    return add(report, &check);
}

/* What figures of logits would be held against. */
static enum gqa_status report_no_logits(struct gqa_report *report,
                                        const struct gqa_budget *budget)
{
    const struct gqa_fidelity_result none = {.n_positions = 0};
    enum gqa_status st = report_logits(report, &none, budget, no_logits);

    return st == GQA_OK && budget->max_kl_of_first >= 0
               ? report_kl_of_first(report, &none, &none, budget, no_logits)
               : st;
}

/* A distance, as a figure and as a value. */
static enum gqa_status report_rows(struct gqa_report *report, const char *name,
                                   const struct gqa_drift *rows, double seconds)
{
    const double relative = gqa_drift_relative(rows);
    struct gqa_check check = fidelity_check(name, seconds);

    snprintf(check.figure, sizeof check.figure,
             "relative L2 of the last hidden state %.3g", relative);
    check.values = json_pack("{s:o}", "relative_l2", number(relative));
    return add(report, &check);
}

enum gqa_status gqa_rows_report(struct gqa_report *report,
                                const struct gqa_drift *rows,
                                uint64_t n_positions,
                                const struct gqa_budget *budget, double seconds)
{
    enum gqa_status st = report_finite_rows(report, rows, n_positions, seconds);

    if (st == GQA_OK)
        st = report_no_logits(report, budget);
    return st == GQA_OK ? report_rows(report, "hidden-state", rows, 0) : st;
}

enum gqa_status gqa_rows_scale_report(struct gqa_report *report,
                                      const char *name,
                                      const struct gqa_drift *rows,
                                      double seconds)
{
    return report_rows(report, name, rows, seconds);
}

/* --- Layers --------------------------------------------------------------- */

/* Append the layers of one stack to a JSON array. */
static bool list_layers(json_t *list, enum gqa_stack stack,
                        const struct gqa_drift *layers, size_t n)
{
    double before = 0;

    for (size_t i = 0; i < n; i++) {
        const double drift = gqa_drift_relative(&layers[i]);
        json_t *layer =
            json_pack("{s:s, s:I, s:o, s:o}", "stack", gqa_stack_name(stack),
                      "layer", (json_int_t)i, "drift", number(drift), "added",
                      number(drift - before));

        if (json_array_append_new(list, layer) != 0)
            return false;
        before = drift;
    }
    return true;
}

/* "decoder 0.012, most (+0.01) from layer 3", behind what is there. */
static void say_stack(struct gqa_check *check, enum gqa_stack stack,
                      const struct gqa_drift *layers, size_t n)
{
    const double end = gqa_drift_relative(&layers[n - 1]);
    const size_t worst = gqa_drift_worst(layers, n);
    const double before =
        worst > 0 ? gqa_drift_relative(&layers[worst - 1]) : 0;
    const double added = gqa_drift_relative(&layers[worst]) - before;
    const size_t used = strlen(check->figure);
    char *out = check->figure + used;
    const size_t size = sizeof check->figure - used;
    const char *between = used > 0 ? "; " : "";
    const char *name = gqa_stack_name(stack);

    if (isnan(end))
        snprintf(out, size, "%s%s not finite", between, name);
    else if (added > 0)
        snprintf(out, size, "%s%s %.3g, most (%+.2g) from layer %zu", between,
                 name, end, added, worst);
    else
        snprintf(out, size, "%s%s %.3g", between, name, end);
}

enum gqa_status gqa_drift_report(struct gqa_report *report,
                                 const struct gqa_drift *layers,
                                 size_t n_encoder, size_t n_decoder)
{
    const size_t counts[] = {n_encoder, n_decoder};
    struct gqa_check check = fidelity_check("drift", 0);
    json_t *list = json_array();
    bool listed = list != NULL;

    for (int i = 0; i < 2; i++) {
        const enum gqa_stack stack =
            i == 0 ? GQA_STACK_ENCODER : GQA_STACK_DECODER;

        for (size_t l = 0; l < counts[i]; l++)
            if (layers[l].n_nonfinite > 0 && check.verdict != GQA_FAILED) {
                check.verdict = GQA_FAILED;
                snprintf(check.detail, sizeof check.detail,
                         "%s layer %zu is the first with values that are not "
                         "finite (%llu of them)",
                         gqa_stack_name(stack), l, ULL(layers[l].n_nonfinite));
            }
        if (counts[i] > 0)
            say_stack(&check, stack, layers, counts[i]);
        listed = listed && list_layers(list, stack, layers, counts[i]);
        layers += counts[i];
    }
    if (!listed) {
        json_decref(list);
        return gqa_fail_nomem();
    }
    check.values = json_pack("{s:o}", "layers", list);
    return add(report, &check);
}
