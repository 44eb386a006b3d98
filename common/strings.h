/* Lists of strings. */
#ifndef GQA_COMMON_STRINGS_H
#define GQA_COMMON_STRINGS_H

#include <string.h>

/* For qsort() of an array of strings: the order of their bytes. */
static inline int gqa_compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#endif
