#include "uptrain/schedule.h"

#include <math.h>

enum { WARMUP = 20, WARMUP_SHARE = 20 };

uint64_t gqa_schedule_warmup(uint64_t n_steps)
{
    const uint64_t share = n_steps / WARMUP_SHARE;

    return share > WARMUP ? WARMUP : share > 0 ? share : 1;
}

double gqa_schedule_left(const struct gqa_schedule *s, uint64_t step)
{
    const uint64_t end = gqa_schedule_end(s);
    const uint64_t from = s->end > 0 ? s->falls_from : s->warmup;
    const double left = s->end > 0 ? s->falls_left : 1;

    if (step >= end)
        return 0;
    return step <= from ? left
                        : left * (double)(end - step) / (double)(end - from);
}

double gqa_schedule_rate(const struct gqa_schedule *s, uint64_t step)
{
    const double pi = 3.141592653589793;
    double left;

    if (step < s->warmup)
        return s->rate * (double)(step + 1) / (double)s->warmup;
    if (s->decay == GQA_DECAY_NONE)
        return s->rate;
    left = gqa_schedule_left(s, step);
    if (s->decay == GQA_DECAY_COSINE)
        left = (1 - cos(pi * left)) / 2;
    return s->rate * left;
}

const char *gqa_decay_name(enum gqa_decay decay)
{
    static const char *const names[] = {[GQA_DECAY_LINEAR] = "linear",
                                        [GQA_DECAY_COSINE] = "cosine",
                                        [GQA_DECAY_NONE] = "constant"};

    return names[decay];
}
