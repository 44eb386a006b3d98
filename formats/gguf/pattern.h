/*
 * Names with '%' in the place of numbers: a layer's, and behind it an
 * expert's.
 */
#ifndef GQA_FORMATS_GGUF_PATTERN_H
#define GQA_FORMATS_GGUF_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* The digits that stand where a pattern has '%'; they lie in the name. */
struct gqa_gguf_numbers {
    const char *digits[2];
    size_t lengths[2];
    size_t n;
};

/* "blk.12.attn_q.weight" fits "blk.%.attn_q.weight"; the number is 12. */
bool gqa_gguf_fits(const char *name, const char *pattern,
                   struct gqa_gguf_numbers *found);

/* The pattern with these numbers; the caller owns it. NULL: no memory. */
char *gqa_gguf_make_name(const char *pattern,
                         const struct gqa_gguf_numbers *found);

/* The first of them, a layer's; 0 where there is none. */
size_t gqa_gguf_layer(const struct gqa_gguf_numbers *found);

#endif
