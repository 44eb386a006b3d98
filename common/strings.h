/* Strings: order, beginnings and endings. */
#ifndef GQA_COMMON_STRINGS_H
#define GQA_COMMON_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* For qsort() of an array of strings: the order of their bytes. */
static inline int gqa_compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Also where nothing stands before the ending. */
static inline bool gqa_ends_with(const char *text, const char *ending)
{
    const size_t n = strlen(text), m = strlen(ending);

    return n >= m && strcmp(text + n - m, ending) == 0;
}

/* Only where something does: a file's name is more than its ending. */
static inline bool gqa_has_ending(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);

    return n > m && name[n - m - 1] != '/' && gqa_ends_with(name, ending);
}

/* Bytes of the byte order mark that editors put before UTF-8, of n bytes of
 * text; 0: there is none. */
static inline size_t gqa_utf8_mark(const void *text, size_t n)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t length = sizeof mark - 1;

    return n >= length && memcmp(text, mark, length) == 0 ? length : 0;
}

#endif
