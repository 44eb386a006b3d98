/* Reading a file of torch.save(). */
#ifndef GQA_FORMATS_TORCH_READER_H
#define GQA_FORMATS_TORCH_READER_H

#include "formats/source.h"

/* See struct gqa_format. */
GQA_MUST_USE
enum gqa_status gqa_torch_open(struct gqa_source **out,
                               const struct gqa_file_handle *file);

#endif
