/* The first frame of a .gqa: the header of the safetensors stream. */
#ifndef GQA_FORMATS_GQA_HEADER_H
#define GQA_FORMATS_GQA_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "common/sha256.h"
#include "common/status.h"
#include "formats/gqa/frame_table.h"
#include "formats/safetensors/header.h"

struct gqa_header {
    struct gqa_first_frame frame;
    unsigned char sha256[GQA_SHA256_BYTES]; /* of the frame's content */
    struct gqa_st_header st;
};

/*
 * Read the first frame; nothing else of the file is needed or believed. The
 * content is decompressed as far as it proves to be a header.
 *
 * header  zero-initialised; on an error, too, the caller ends it with
 *         gqa_header_clear().
 * path    of the file, for the advice in messages.
 * Errors  GQA_ERR_UNSUPPORTED: a Zstandard file, but no .gqa, or one of a
 *         later version; GQA_ERR_FORMAT: damaged; GQA_ERR_IO,
 *         GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_header_read(struct gqa_header *header, int fd,
                                uint64_t file_bytes, const char *path);
void gqa_header_clear(struct gqa_header *header);

#endif
