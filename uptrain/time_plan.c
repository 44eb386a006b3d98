#include "uptrain/time_plan.h"

#include <math.h>

#include "common/bounds.h"
#include "uptrain/rates.h"

/* A plan is off by one in so many of the steps that it has left, and by one in
 * so many of all: near the end a few more or less are no matter. */
enum { OFF_BY = 10, OFF_BY_OF_ALL = 50 };

uint64_t gqa_time_plan_fit(const struct gqa_plan_times *t)
{
    const double left_s = t->left_s - GQA_MEASURE_SLACK * t->measure_s;
    /* Measures come by steps or by time, by what comes first. */
    const double measures = fmax(1 / (double)t->eval_every,
                                 t->step_s / fmax(t->apart_s, t->step_s));
    const double n = left_s / (t->step_s + measures * t->measure_s);

    return !(n > 0) ? 0 : n < 1e15 ? (uint64_t)n : UINT64_MAX;
}

bool gqa_time_plan_is_off(const struct gqa_time_plan *plan, uint64_t made,
                          uint64_t fit)
{
    const uint64_t left = plan->n_steps - made;
    const uint64_t by = fit > left ? fit - left : left - fit;

    return by > left / OFF_BY && by > plan->n_steps / OFF_BY_OF_ALL;
}

struct gqa_time_plan gqa_time_plan_make(const struct gqa_schedule *schedule,
                                        uint64_t made, uint64_t fit,
                                        bool warmup_is_given, double budget_s)
{
    struct gqa_schedule s = *schedule;
    struct gqa_time_plan p = {.made = made,
                              .n_steps =
                                  made + gqa_min_u64(fit, s.n_steps - made),
                              .budget_s = budget_s};

    /* A rate that has risen already does not rise again. */
    if (!warmup_is_given && p.n_steps < s.n_steps)
        s.warmup = gqa_min_u64(
            s.warmup, gqa_max_u64(made, gqa_schedule_warmup(p.n_steps)));
    p.warmup = s.warmup;
    if (p.n_steps < s.n_steps || s.end > 0)
        p.left = gqa_schedule_left(&s, gqa_max_u64(made, s.warmup));
    return p;
}

void gqa_time_plan_follow(struct gqa_schedule *schedule,
                          const struct gqa_time_plan *plan)
{
    if (plan->left == 0)
        return;
    schedule->warmup = plan->warmup;
    schedule->falls_from = gqa_max_u64(plan->made, plan->warmup);
    schedule->falls_left = plan->left;
    schedule->end = plan->n_steps;
}
