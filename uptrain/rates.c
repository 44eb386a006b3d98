#include "uptrain/rates.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/bounds.h"

static const double rates[] = {1e-6, 3e-6, 1e-5, 3e-5, 1e-4,
                               3e-4, 1e-3, 3e-3, 1e-2, 3e-2};
enum { N_RATES = sizeof rates / sizeof *rates, FIRST = 6 };

/* Of the best's gain, what is nearly as good. */
#define NEARLY 0.8

enum {
    SHARE = 20,       /* of the run's steps one in so many, */
    LEAST_TRIED = 20, /* or as many, where there are: a rate is tried for; */
    TIMED_RATES = 3, /* where time is short: the first, a higher, a lower one */
};

const double gqa_rate_untried = 1e-3;

double gqa_rates_steps_s(const struct gqa_rate_times *times)
{
    return times->left_s / TIMED_RATES - times->measure_s;
}

uint64_t gqa_rates_fit(uint64_t wanted, const struct gqa_rate_times *times)
{
    const double steps_s = gqa_rates_steps_s(times);

    if (steps_s >= (double)wanted * times->step_s)
        return wanted;
    return steps_s >= GQA_LEAST_STEPS * times->step_s
               ? (uint64_t)(steps_s / times->step_s)
               : 0;
}

uint64_t gqa_rates_steps(uint64_t n_steps, const struct gqa_rate_times *times)
{
    return gqa_rates_fit(
        gqa_min_u64(gqa_max_u64(n_steps / SHARE, LEAST_TRIED), n_steps), times);
}

static bool is_nearly(const struct gqa_rate_search *s, double value,
                      double best)
{
    return isfinite(value) && s->start - value >= NEARLY * (s->start - best);
}

enum gqa_status gqa_rates_search(double *rate,
                                 const struct gqa_rate_search *search)
{
    double values[N_RATES];
    size_t best = FIRST, last = FIRST;
    enum gqa_status st =
        search->attempt(search->ctx, rates[FIRST], &values[FIRST]);

    while (st == GQA_OK && best == last && last + 1 < N_RATES &&
           rates[last + 1] <= search->highest) {
        last++;
        st = search->attempt(search->ctx, rates[last], &values[last]);
        if (st == GQA_OK && values[last] < values[best])
            best = last;
    }
    /* What is ruined says nothing of lower rates. */
    for (size_t i = FIRST; i-- > 0 && best == i + 1 && st == GQA_OK;) {
        st = search->attempt(search->ctx, rates[i], &values[i]);
        if (st == GQA_OK &&
            (values[i] < values[best] || !isfinite(values[best])))
            best = i;
    }
    if (st != GQA_OK)
        return st;
    while (last > best && !is_nearly(search, values[last], values[best]))
        last--;
    *rate = rates[last];
    return GQA_OK;
}
