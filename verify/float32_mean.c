#include "verify/float32_mean.h"

#include <math.h>
#include <stdint.h>

static float add_lanes(const float *x, size_t n, size_t n_lanes)
{
    float total = 0;

    for (size_t lane = 0; lane < n_lanes && lane < n; lane++) {
        float sum = x[lane];

        for (size_t i = lane + n_lanes; i < n; i += n_lanes)
            sum += x[i];
        total = lane == 0 ? sum : total + sum;
    }
    return total;
}

/* Pairs of neighbours, or of one in each half, until one is left. */
static float add_tree(float *x, size_t n, int neighbours)
{
    while (n > 1) {
        const size_t half = n / 2;

        for (size_t i = 0; i < half; i++)
            x[i] = neighbours ? x[2 * i] + x[2 * i + 1]
                              : x[i] + x[i + (n + 1) / 2];
        if (neighbours && n % 2)
            x[half] = x[n - 1];
        n -= half;
    }
    return x[0];
}

static float add(float *x, size_t n, enum gqa_sum_order order)
{
    float sum;

    switch (order) {
    case GQA_SUM_DESCENDING:
        sum = x[n - 1];
        for (size_t i = n - 1; i > 0; i--)
            sum += x[i - 1];
        return sum;
    case GQA_SUM_NEIGHBOURS:
        return add_tree(x, n, 1);
    case GQA_SUM_HALVES:
        return add_tree(x, n, 0);
    case GQA_SUM_LANES:
        return add_lanes(x, n, 4);
    case GQA_SUM_PAIRS:
        return add_lanes(x, n, 2);
    case GQA_SUM_ASCENDING:
    case GQA_N_SUM_ORDERS:
        break;
    }
    return add_lanes(x, n, 1);
}

float gqa_float32_mean(float *x, size_t n, enum gqa_sum_order order)
{
    return add(x, n, order) / (float)n;
}

/* The lowest bit that is set, as a number; 0 of zero and what is not finite. */
static double lowest_bit(double x)
{
    int exponent;
    uint64_t bits;

    if (x == 0 || !isfinite(x))
        return 0;
    bits = (uint64_t)(fabs(frexp(x, &exponent)) * 0x1p53);
    return ldexp((double)(bits & (~bits + 1)), exponent - 53);
}

void gqa_float32_terms_add(struct gqa_float32_terms *terms, const double *x,
                           size_t n, bool is_first)
{
    for (size_t i = 0; i < n; i++) {
        struct gqa_float32_terms *t = &terms[i];
        const double bit = lowest_bit(x[i]);

        if (is_first)
            *t = (struct gqa_float32_terms){0, 0};
        t->magnitudes += fabs(x[i]);
        if (bit > 0 && (t->quantum == 0 || bit < t->quantum))
            t->quantum = bit;
    }
}

/*
 * A sum of n numbers has n - 1 roundings in any order, each of a relative
 * error of at most u = 2^-24, and a number takes part in at most all of them;
 * a division has one more, a product with a rounded 1 / n two: (1 + u)^k - 1
 * times the mean of the magnitudes with k = n + 1, and that is less than
 * k u (1 + k u) as long as k u is small. Below the normal numbers roundings are
 * of 2^-150. Where no sum needs more than 24 bits, of multiples of the smallest
 * bit, and the division is by a power of two, nothing else is rounded.
 */
double gqa_float32_mean_error(const struct gqa_float32_terms *terms, size_t n)
{
    const double k = (double)n + 1;
    const bool is_exact =
        (n & (n - 1)) == 0 && terms->magnitudes <= terms->quantum * 0x1p24;

    return (is_exact ? 0
                     : k * 0x1p-24 * (1 + k * 0x1p-24) * terms->magnitudes /
                           (double)n) +
           k * 0x1p-150;
}
