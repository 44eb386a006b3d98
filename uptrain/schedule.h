/* How the learning rate goes over a run. */
#ifndef GQA_UPTRAIN_SCHEDULE_H
#define GQA_UPTRAIN_SCHEDULE_H

#include <stdint.h>

enum gqa_decay {
    GQA_DECAY_LINEAR, /* to 0 behind the last step */
    GQA_DECAY_COSINE, /* likewise, along half a cosine */
    GQA_DECAY_NONE,
};

struct gqa_schedule {
    double rate;      /* the highest */
    uint64_t n_steps; /* of the run */
    uint64_t warmup;  /* steps that lead up to it, in equal parts */
    enum gqa_decay decay;
    /* Of a run that ends with others than its steps (time_plan.h): at one of
     * them so much of the fall is left, and nothing behind `end`. end 0: there
     * is no other end. */
    uint64_t falls_from, end;
    double falls_left;
};

/* Steps until the rate is 0, which are all that are made. */
static inline uint64_t gqa_schedule_end(const struct gqa_schedule *s)
{
    return s->end > 0 ? s->end : s->n_steps;
}

/* Of the fall of the rate: 1 up to the first step behind the warm-up, 0 behind
 * the last. */
double gqa_schedule_left(const struct gqa_schedule *schedule, uint64_t step);

/* As many steps as 20, and at most a twentieth of the run; of short runs 1. */
uint64_t gqa_schedule_warmup(uint64_t n_steps);

/* Of step 0, 1 ... n_steps - 1. */
double gqa_schedule_rate(const struct gqa_schedule *schedule, uint64_t step);

const char *gqa_decay_name(enum gqa_decay decay);

#endif
