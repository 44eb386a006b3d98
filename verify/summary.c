#include "verify/summary.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "verify/report_formats.h"

/* From the nearest on; both must hold. */
static const struct {
    double max_kl, min_top1;
    const char *name, *words;
} levels[] = {
    [GQA_NEAR_EQUAL] = {0, 1, "equal", "the same as the original"},
    [GQA_NEAR_ROUNDING] = {1e-6, 0.999, "rounding",
                           "the same as the original but for rounding"},
    [GQA_NEAR_8_BIT] = {2.4e-4, 0.992, "8-bit",
                        "as close as 8-bit quantisation"},
    [GQA_NEAR_5_BIT] = {4.7e-3, 0.965, "5-bit",
                        "as close as 5-bit quantisation"},
    [GQA_NEAR_3_BIT] = {0.16, 0.817, "3-bit", "as close as 3-bit quantisation"},
    [GQA_NEAR_NOT] = {HUGE_VAL, 0, "far", "far from the original"},
};

const char *gqa_nearness_name(enum gqa_nearness nearness)
{
    return levels[nearness].name;
}

const char *gqa_say_factor(char buf[GQA_INCREASE_SIZE], double factor)
{
    if (factor < 1e6)
        snprintf(buf, GQA_INCREASE_SIZE, "x%.*f", factor < 100 ? 1 : 0, factor);
    else
        snprintf(buf, GQA_INCREASE_SIZE, "x%.1e", factor);
    return buf;
}

const char *gqa_say_increase(char buf[GQA_INCREASE_SIZE], double increase)
{
    if (increase >= 9)
        gqa_say_factor(buf, 1 + increase);
    else
        snprintf(buf, GQA_INCREASE_SIZE, "%+.3g %%", 100 * increase);
    return buf;
}

/* Add to a line; what does not fit is left out. */
GQA_PRINTF(3, 4)
static void say(char *line, size_t size, const char *fmt, ...)
{
    const size_t used = strlen(line);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line + used, size - used, fmt, ap);
    va_end(ap);
}
#define SAY(line, ...) say(line, sizeof(line), __VA_ARGS__)

static double figure(const struct gqa_report *report, const char *check,
                     const char *key)
{
    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = &report->entries[i];
        const json_t *value = json_object_get(e->values, key);

        if (e->group == GQA_CHECK_FIDELITY && strcmp(e->name, check) == 0 &&
            json_is_number(value))
            return json_number_value(value);
    }
    return (double)NAN;
}

static enum gqa_nearness nearness(double kl, double top1)
{
    enum gqa_nearness n = GQA_NEAR_EQUAL;

    if (isnan(kl) || isnan(top1))
        return GQA_NEAR_UNKNOWN;
    while (kl > levels[n].max_kl || top1 < levels[n].min_top1)
        n++;
    return n;
}

/* " (NAME, NAME...)": the failed ones of a kind. */
static void name_failed(char *line, size_t size,
                        const struct gqa_report *report, bool fidelity)
{
    enum { MAX_NAMES = 4 };
    size_t n = 0;

    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = &report->entries[i];

        if (e->verdict != GQA_FAILED ||
            (e->group == GQA_CHECK_FIDELITY) != fidelity || ++n > MAX_NAMES)
            continue;
        say(line, size, n == 1 ? " (" : ", ");
        if (!fidelity)
            say(line, size, "%s ", gqa_check_group_name(e->group));
        say(line, size, "%s", e->name);
    }
    say(line, size, n > MAX_NAMES ? "...)" : ")");
}

static void say_exact(struct gqa_summary *s, const struct gqa_report *report,
                      size_t n_skipped)
{
    if (s->n_exact_failed > 0) {
        SAY(s->exact, "FAILED: %zu of %zu checks", s->n_exact_failed,
            s->n_exact);
        name_failed(s->exact, sizeof s->exact, report, false);
    } else if (report->error) {
        SAY(s->exact, "not checked");
    } else {
        SAY(s->exact, "PASSED (%zu check%s", s->n_exact,
            s->n_exact == 1 ? "" : "s");
        if (n_skipped > 0)
            SAY(s->exact, ", %zu skipped", n_skipped);
        SAY(s->exact, ")");
    }
}

static void say_fidelity(struct gqa_summary *s, const struct gqa_report *report)
{
    const double kl = figure(report, "kl", "mean");
    const double top1 = figure(report, "top-1", "same");
    const double increase = figure(report, "perplexity", "increase");
    const double rows = figure(report, "hidden-state", "relative_l2");
    char text[GQA_INCREASE_SIZE];

    s->nearness = nearness(kl, top1);
    if (s->n_limits_failed > 0) {
        SAY(s->fidelity, "FAILED: %zu of %zu checks", s->n_limits_failed,
            s->n_limits);
        name_failed(s->fidelity, sizeof s->fidelity, report, true);
        SAY(s->fidelity, "; ");
    } else if (s->n_limits > 1) {
        /* One is `finite`, which needs no budget. */
        SAY(s->fidelity, "PASSED (%zu checks); ", s->n_limits);
    }
    /* No words for these: what a head makes of them tells. */
    if (!isnan(rows)) {
        SAY(s->fidelity, "the last hidden state is off by %.3g (relative L2)",
            rows);
        return;
    }
    if (s->nearness == GQA_NEAR_UNKNOWN) {
        SAY(s->fidelity, "not measured");
        return;
    }
    SAY(s->fidelity, "%s", levels[s->nearness].words);
    if (s->nearness > GQA_NEAR_EQUAL) {
        SAY(s->fidelity, ": mean KL %.3g nats, top-1 %.4g %%", kl, 100 * top1);
        if (!isnan(increase))
            SAY(s->fidelity, ", perplexity %s",
                gqa_say_increase(text, increase));
    }
    /* What is wrong is not to be trained. */
    if (s->nearness == GQA_NEAR_NOT && s->n_exact_failed == 0)
        SAY(s->fidelity, "; uptrain it before use");
}

void gqa_summarise(struct gqa_summary *out, const struct gqa_report *report)
{
    size_t n_skipped = 0;
    bool ran = false;

    *out = (struct gqa_summary){.nearness = GQA_NEAR_UNKNOWN};
    for (size_t i = 0; i < report->n_entries; i++) {
        const struct gqa_report_entry *e = &report->entries[i];
        const bool failed = e->verdict == GQA_FAILED;
        const bool judged = failed || e->verdict == GQA_PASSED;

        if (e->group == GQA_CHECK_FIDELITY) {
            ran = true;
            out->n_limits += judged;
            out->n_limits_failed += failed;
        } else {
            out->n_exact += judged;
            out->n_exact_failed += failed;
            n_skipped += e->verdict == GQA_SKIPPED;
        }
    }
    say_exact(out, report, n_skipped);
    if (ran)
        say_fidelity(out, report);
}
