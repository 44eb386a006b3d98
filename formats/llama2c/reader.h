/* Reading a file of llama2.c: float32, versions 0 (which has no mark) and 1. */
#ifndef GQA_FORMATS_LLAMA2C_READER_H
#define GQA_FORMATS_LLAMA2C_READER_H

#include "formats/source.h"

/* See struct gqa_format. */
GQA_MUST_USE
enum gqa_status gqa_llama2c_open(struct gqa_source **out,
                                 const struct gqa_file_handle *file);
GQA_MUST_USE
enum gqa_status gqa_llama2c_bare_open(struct gqa_source **out,
                                      const struct gqa_file_handle *file);

#endif
