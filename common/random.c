#include "common/random.h"

#include <math.h>

#include "common/signs.h"

uint64_t gqa_random_key(uint64_t seed, const char *name, uint64_t stream)
{
    uint64_t key = gqa_mix_bits(seed);

    for (; *name; name++)
        key = gqa_mix_bits(key ^ (unsigned char)*name);
    return gqa_mix_bits(key ^ stream);
}

double gqa_random_uniform(uint64_t key, uint64_t counter)
{
    return gqa_uniform(key, counter);
}

void gqa_random_normal(double *out, size_t n, uint64_t key, uint64_t first,
                       double deviation)
{
    static const double two_pi = 6.283185307179586;

    for (size_t i = 0; i < n; i++) {
        const double radius =
            sqrt(-2 * log(gqa_random_uniform(key, 2 * (first + i))));
        const double angle =
            two_pi * gqa_random_uniform(key, 2 * (first + i) + 1);

        out[i] = deviation * radius * cos(angle);
    }
}
