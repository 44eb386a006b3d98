/* What a file is, by its content and never by its name. */
#ifndef GQA_FORMATS_DETECT_H
#define GQA_FORMATS_DETECT_H

#include <stdint.h>

#include "common/status.h"

enum gqa_file_kind {
    GQA_FILE_SAFETENSORS,
    GQA_FILE_ZSTD, /* a .gqa, if it is one of ours */
    GQA_FILE_HDF5,
    GQA_FILE_JSON, /* an index, if it is one */
};

/*
 * Find the kind of a file of `size` bytes. Reads a few bytes here and there.
 *
 * Errors GQA_ERR_UNSUPPORTED: a kind that we do not read; the message names
 *        it and says what to do. GQA_ERR_FORMAT: empty, or nothing known.
 *        GQA_ERR_IO. The message has no file name.
 */
GQA_MUST_USE
enum gqa_status gqa_file_detect(enum gqa_file_kind *kind, int fd,
                                uint64_t size);

#endif
