/* Reading a GGUF file. */
#ifndef GQA_FORMATS_GGUF_READER_H
#define GQA_FORMATS_GGUF_READER_H

#include "formats/source.h"

/* See struct gqa_format. */
GQA_MUST_USE
enum gqa_status gqa_gguf_open(struct gqa_source **out,
                              const struct gqa_file_handle *file);

#endif
