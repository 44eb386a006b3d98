/*
 * Arrays of many MiB, of which an aligned conversion makes and frees
 * thousands. The system gives such memory back at once and finds it again page
 * by page, which costs as much as the arithmetic on it: asked for large pages,
 * it does so 512 times less often. Freed with free().
 *
 * These are inline so that each use is an allocation by itself for those who
 * make allocations fail one by one.
 */
#ifndef GQA_COMMON_LARGE_H
#define GQA_COMMON_LARGE_H

#include <stddef.h>
#include <stdlib.h>

enum { GQA_LARGE_BYTES = 4 << 20 };

/* Asks for large pages for that memory, where the system has them. */
void gqa_large_advise(void *memory, size_t n_bytes);

/* As malloc(). */
static inline void *gqa_large_malloc(size_t n_bytes)
{
    void *memory = malloc(n_bytes);

    if (memory && n_bytes >= GQA_LARGE_BYTES)
        gqa_large_advise(memory, n_bytes);
    return memory;
}

/* As calloc(). */
static inline void *gqa_large_calloc(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    if (memory && n * size >= GQA_LARGE_BYTES)
        gqa_large_advise(memory, n * size);
    return memory;
}

#endif
