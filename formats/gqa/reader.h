/*
 * Reading a .gqa: a Zstandard stream in the seekable format whose content is
 * a safetensors file.
 */
#ifndef GQA_FORMATS_GQA_READER_H
#define GQA_FORMATS_GQA_READER_H

#include "formats/source.h"

/*
 * See struct gqa_format. Salvage: where only the seek table is bad, warn and
 * find the frames by a scan instead of failing.
 */
GQA_MUST_USE
enum gqa_status gqa_gqa_open(struct gqa_source **out,
                             const struct gqa_file_handle *file);

#endif
