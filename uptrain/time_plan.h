/*
 * Where the learning rate is at its end when time is over before the steps are:
 * once it is known what a step takes, the run is planned to end with as many as
 * fit, and the rate falls to 0 with them. A run that is taken up again goes on
 * by its plan; another is made where the pace is no longer what it was.
 */
#ifndef GQA_UPTRAIN_TIME_PLAN_H
#define GQA_UPTRAIN_TIME_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "uptrain/schedule.h"

struct gqa_time_plan {
    uint64_t made;    /* steps, when it was made */
    uint64_t n_steps; /* of the run; 0: there is no plan */
    uint64_t warmup;  /* steps */
    /* Of the fall of the rate, where it begins; 0: it falls as the schedule
     * says. */
    double left;
    double budget_s; /* seconds that the run was given */
};

struct gqa_plan_times {
    double left_s;            /* until all is over */
    double step_s, measure_s; /* what each takes */
    /* Between two measures there are at most so many steps and seconds. */
    uint64_t eval_every;
    double apart_s;
};

/* How many steps fit into the time that is left, with their measures. */
uint64_t gqa_time_plan_fit(const struct gqa_plan_times *times);

/* Whether so many are no longer about as many as the plan has left. */
bool gqa_time_plan_is_off(const struct gqa_time_plan *plan, uint64_t made,
                          uint64_t fit);

/*
 * A plan for a run of which `made` steps are made and `fit` more fit into the
 * time. Where all of the schedule's do, it is what the schedule says already.
 * schedule         by the plan that there was, if there was one
 * warmup_is_given  else it is cut short where few steps fit
 */
struct gqa_time_plan gqa_time_plan_make(const struct gqa_schedule *schedule,
                                        uint64_t made, uint64_t fit,
                                        bool warmup_is_given, double budget_s);

/* Rates of the steps behind it are the plan's. */
void gqa_time_plan_follow(struct gqa_schedule *schedule,
                          const struct gqa_time_plan *plan);

#endif
