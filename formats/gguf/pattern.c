#include "formats/gguf/pattern.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DIGITS = 6 };

bool gqa_gguf_fits(const char *name, const char *pattern,
                   struct gqa_gguf_numbers *found)
{
    found->n = 0;
    for (; *pattern; pattern++) {
        const size_t length = strspn(name, "0123456789");

        if (*pattern != '%') {
            if (*name++ != *pattern)
                return false;
            continue;
        }
        if (length == 0 || length > MAX_DIGITS || found->n == 2)
            return false;
        found->digits[found->n] = name;
        found->lengths[found->n++] = length;
        name += length;
    }
    return *name == '\0';
}

char *gqa_gguf_make_name(const char *pattern,
                         const struct gqa_gguf_numbers *found)
{
    char *name = calloc(strlen(pattern) + 2 * (size_t)MAX_DIGITS + 1, 1),
         *end = name;
    size_t k = 0;

    for (; name && *pattern; pattern++) {
        if (*pattern == '%' && k < found->n) {
            memcpy(end, found->digits[k], found->lengths[k]);
            end += found->lengths[k++];
        } else {
            *end++ = *pattern;
        }
    }
    return name;
}

size_t gqa_gguf_layer(const struct gqa_gguf_numbers *found)
{
    return found->n > 0 ? strtoul(found->digits[0], NULL, 10) : 0;
}
