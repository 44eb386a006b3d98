/* The smaller and the larger of two counts. */
#ifndef GQA_COMMON_BOUNDS_H
#define GQA_COMMON_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t gqa_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t gqa_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t gqa_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
