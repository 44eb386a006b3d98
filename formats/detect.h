/* What a file is, by its content and never by its name. */
#ifndef GQA_FORMATS_DETECT_H
#define GQA_FORMATS_DETECT_H

#include <stdint.h>

#include "common/status.h"
#include "formats/formats.h"

/*
 * Find the format of a file of `size` bytes: one that is read, or an index.
 * Reads a few bytes here and there.
 *
 * Errors GQA_ERR_UNSUPPORTED: a format that we do not read; the message names
 *        it and says what to do. GQA_ERR_FORMAT: empty, or nothing known.
 *        GQA_ERR_IO. The message has no file name.
 */
GQA_MUST_USE
enum gqa_status gqa_file_detect(const struct gqa_format **format, int fd,
                                uint64_t size);

#endif
