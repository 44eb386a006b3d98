/* Looking at the beginning of a file. */
#ifndef GQA_FORMATS_START_H
#define GQA_FORMATS_START_H

#include "formats/formats.h"

/* Whether these bytes lie at offset. */
bool gqa_start_has(const struct gqa_file_start *start, size_t offset,
                   const void *bytes, size_t n);

/* Four bytes, little-endian; the caller knows that they are there. */
uint32_t gqa_start_u32(const struct gqa_file_start *start, size_t offset);

/* Where white space from offset on is over; at the very beginning a byte order
 * mark may come before it. At most start->n. */
size_t gqa_start_behind_space(const struct gqa_file_start *start,
                              size_t offset);

/* A '{' after white space and a byte order mark, if any. */
bool gqa_start_is_json(const struct gqa_file_start *start);

#endif
