#include "common/random.h"

#include <math.h>

/*
 * The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection
 * whose output at successive inputs passes the usual tests of randomness.
 */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t gqa_random_key(uint64_t seed, const char *name, uint64_t stream)
{
    uint64_t key = mix(seed);

    for (; *name; name++)
        key = mix(key ^ (unsigned char)*name);
    return mix(key ^ stream);
}

/* From 53 bits; never 0, whose logarithm is not finite. */
double gqa_random_uniform(uint64_t key, uint64_t counter)
{
    return ((double)(mix(key ^ mix(counter)) >> 11) + 0.5) * 0x1p-53;
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
