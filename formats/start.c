#include "formats/start.h"

#include <string.h>

#include "common/strings.h"

bool gqa_start_has(const struct gqa_file_start *start, size_t offset,
                   const void *bytes, size_t n)
{
    return start->n >= offset && start->n - offset >= n &&
           memcmp(start->bytes + offset, bytes, n) == 0;
}

uint32_t gqa_start_u32(const struct gqa_file_start *start, size_t offset)
{
    const unsigned char *p = start->bytes + offset;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

size_t gqa_start_behind_space(const struct gqa_file_start *start, size_t offset)
{
    size_t i = offset == 0 ? gqa_utf8_mark(start->bytes, start->n) : offset;

    while (i < start->n && strchr(" \t\r\n", start->bytes[i]) &&
           start->bytes[i] != '\0')
        i++;
    return i;
}

bool gqa_start_is_json(const struct gqa_file_start *start)
{
    const size_t i = gqa_start_behind_space(start, 0);

    return i < start->n && start->bytes[i] == '{';
}
