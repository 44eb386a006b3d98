#include "runtime/relative_bias.h"

#include <math.h>

uint64_t gqa_relative_bucket(const struct gqa_relative_bias *bias,
                             int64_t distance)
{
    uint64_t n = bias->n_buckets;
    uint64_t base = 0;
    uint64_t exact, away;
    float share;

    if (bias->bidirectional) {
        n /= 2;
        base = distance > 0 ? n : 0;
    } else if (distance > 0) {
        distance = 0;
    }
    away = (uint64_t)(distance < 0 ? -distance : distance);
    exact = n / 2;
    if (away < exact)
        return base + away;
    share = logf((float)away / (float)exact) /
            (float)log((double)bias->max_distance / (double)exact) *
            (float)(n - exact);
    /* Past the last bucket the share may not fit an integer. */
    if (share >= (float)(n - exact))
        return base + n - 1;
    away = exact + (uint64_t)share;
    return base + (away < n ? away : n - 1);
}

void gqa_relative_bias_spread(double *out, const struct gqa_relative_bias *bias,
                              const double *table, uint64_t n_heads,
                              uint64_t reach)
{
    const uint64_t width = 2 * reach - 1;

    for (uint64_t i = 0; i < width; i++) {
        const uint64_t bucket =
            gqa_relative_bucket(bias, (int64_t)i - (int64_t)reach + 1);

        for (uint64_t h = 0; h < n_heads; h++)
            out[h * width + i] = table[bucket * n_heads + h];
    }
}

void gqa_bias_keep_within(double *out, uint64_t n_heads, uint64_t reach,
                          uint64_t within)
{
    /* Finite, so that rows of nothing else are no NaN on their way. */
    static const double unseen = -1e30;
    const uint64_t width = 2 * reach - 1;

    for (uint64_t h = 0; h < n_heads; h++)
        for (uint64_t i = 0; i < width; i++)
            if (fabs((double)i - (double)(reach - 1)) > (double)within)
                out[h * width + i] = unseen;
}

void gqa_slopes_spread(double *out, const double *slopes, uint64_t n_heads,
                       uint64_t reach)
{
    const uint64_t width = 2 * reach - 1;

    for (uint64_t h = 0; h < n_heads; h++)
        for (uint64_t i = 0; i < width; i++)
            out[h * width + i] =
                -slopes[h] * fabs((double)i - (double)(reach - 1));
}
