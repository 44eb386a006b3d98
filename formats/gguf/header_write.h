/* What a GGUF file begins with, version 3. */
#ifndef GQA_FORMATS_GGUF_HEADER_WRITE_H
#define GQA_FORMATS_GGUF_HEADER_WRITE_H

#include <stdio.h>

#include "formats/gguf/split.h"

/* n bytes of a number, the least first. */
void gqa_gguf_put(FILE *out, uint64_t value, unsigned n);

/* n bytes, behind their number. */
void gqa_gguf_put_text(FILE *out, const char *text, size_t n);

struct gqa_gguf_text {
    unsigned char *bytes; /* up to the first tensor's; owned */
    size_t n_bytes;
};

/*
 * The header of a part of a draft: of the first its keys and the pairs besides,
 * of several which one it is, and its tensors, whose offsets are from its own
 * data's beginning; it ends at a multiple of GQA_GGUF_ALIGNMENT. Whole numbers
 * are written as u32 where they fit, lists of them as i32.
 *
 * out    receives it on GQA_OK; end it with gqa_gguf_text_free().
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_text_create(struct gqa_gguf_text *out,
                                     const struct gqa_gguf_draft *draft,
                                     const struct gqa_gguf_part *part);
void gqa_gguf_text_free(struct gqa_gguf_text *text);

#endif
