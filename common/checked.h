/*
 * Arithmetic on sizes that come from files: every operation tells whether
 * it wrapped. Each returns true when the result is sound.
 */
#ifndef GQA_COMMON_CHECKED_H
#define GQA_COMMON_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool gqa_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

static inline bool gqa_mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

#endif
