#include <string.h>

#include "common/checked.h"
#include "formats/families/family.h"

/* A decimal number without leading zeros; returns where it ends, or NULL. */
static const char *parse_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;

    if (*text < '0' || *text > '9' ||
        (text[0] == '0' && text[1] >= '0' && text[1] <= '9'))
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++)
        if (!gqa_mul_u64(value, 10, &value) ||
            !gqa_add_u64(value, (uint64_t)(*text - '0'), &value))
            return NULL;
    *number = value;
    return text;
}

bool gqa_pattern_match(const char *pattern, const char *name, uint64_t *number,
                       const char **tail)
{
    for (; *pattern; pattern++) {
        if (*pattern == '%') {
            name = parse_number(name, number);
            if (!name)
                return false;
        } else if (*name++ != *pattern) {
            return false;
        }
    }
    if (!tail)
        return *name == '\0';
    *tail = name;
    return true;
}
