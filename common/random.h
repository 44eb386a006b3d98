/* Numbers that depend on seed, place and nothing else. */
#ifndef GQA_COMMON_RANDOM_H
#define GQA_COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* A key for one tensor and stream, from the seed the user gave. */
uint64_t gqa_random_key(uint64_t seed, const char *name, uint64_t stream);

/* Number `counter` of the key's sequence, uniform in (0, 1). */
double gqa_random_uniform(uint64_t key, uint64_t counter);

/*
 * out[i]: number first + i of the key's sequence, normally distributed with
 * mean 0 and this standard deviation. Each number stands for itself, so any
 * thread can draw any of them.
 */
void gqa_random_normal(double *out, size_t n, uint64_t key, uint64_t first,
                       double deviation);

#endif
