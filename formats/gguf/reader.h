/* Reading a GGUF file. */
#ifndef GQA_FORMATS_GGUF_READER_H
#define GQA_FORMATS_GGUF_READER_H

#include "formats/gguf/header.h"
#include "formats/source.h"

/* See struct gqa_format. */
GQA_MUST_USE
enum gqa_status gqa_gguf_open(struct gqa_source **out,
                              const struct gqa_file_handle *file);

/* What travels from a source to a file that is made of it: their number, 0 for
 * a source of another format; lent. */
size_t gqa_gguf_source_pairs(const struct gqa_source *source,
                             const struct gqa_gguf_pair **pairs);

/* The bytes of one, key and value: buf has room for pair->n_bytes. Errors
 * GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_gguf_source_pair_read(const struct gqa_source *source,
                                          const struct gqa_gguf_pair *pair,
                                          void *buf);

#endif
