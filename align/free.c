#include "align/free.h"

#include <math.h>

#include "formats/model/rope.h"

static double mean(const double *x, uint64_t n)
{
    double sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* Frequencies fall: the first and the last are the farthest from the mean. */
static bool may_fold(const double *frequency, uint64_t n, double most)
{
    const double middle = mean(frequency, n);

    return n == 1 ||
           fmax(frequency[0] - middle, middle - frequency[n - 1]) <= most;
}

uint64_t gqa_slow_pairs(const struct gqa_rope *rope, uint64_t context,
                        double radians)
{
    uint64_t first = rope->n_pairs;

    while (first > 0 && rope->frequency[first - 1] * (double)context <= radians)
        first--;
    return first;
}

uint64_t gqa_free_pairs(double *divisors, const struct gqa_rope *rope,
                        uint64_t context, uint64_t still, double fold)
{
    const double *f = rope->frequency;
    const double most = fold / (double)context;
    uint64_t n_changed = rope->n_pairs - still;

    for (uint64_t j = still; j < rope->n_pairs; j++)
        divisors[j] = GQA_ROPE_STILL;
    /* From the slow ones on: most of the keys' energy is there. */
    for (uint64_t end = still, begin; end > 0; end = begin) {
        begin = end - 1;
        while (begin > 0 && may_fold(f + begin - 1, end - begin + 1, most))
            begin--;
        n_changed += end - begin > 1 ? end - begin : 0;
        for (uint64_t j = begin; j < end; j++)
            divisors[j] =
                gqa_rope_plain(rope, j) / mean(f + begin, end - begin);
    }
    return n_changed;
}
