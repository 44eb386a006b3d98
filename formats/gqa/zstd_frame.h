/*
 * The outside of Zstandard frames (RFC 8878): what a frame's header says,
 * and where the frame ends. libzstd looks inside; its stable interface does
 * not tell these.
 */
#ifndef GQA_FORMATS_GQA_ZSTD_FRAME_H
#define GQA_FORMATS_GQA_ZSTD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum { GQA_ZSTD_MAX_HEADER = 18 };

struct gqa_zstd_header {
    size_t n_bytes; /* of the header itself, magic included */
    bool has_content_bytes, has_checksum, has_dictionary;
    uint64_t content_bytes;
    uint64_t window_bytes;
};

/*
 * Parse the first n bytes of a frame; GQA_ZSTD_MAX_HEADER always suffice.
 * Errors GQA_ERR_FORMAT: not a frame, cut off, reserved bits set.
 */
GQA_MUST_USE
enum gqa_status gqa_zstd_header_parse(struct gqa_zstd_header *header,
                                      const unsigned char *bytes, size_t n);

/*
 * Check that a frame is such as a .gqa may hold: content size and checksum
 * there, the content at most max_content_bytes, the window small, no
 * dictionary. Errors GQA_ERR_FORMAT.
 */
GQA_MUST_USE
enum gqa_status gqa_zstd_header_check(const struct gqa_zstd_header *header,
                                      uint64_t max_content_bytes);

/* A small buffer over a file that is read here and there, forwards. */
struct gqa_peek {
    int fd;
    uint64_t file_bytes;
    uint64_t at; /* of buffer in the file */
    size_t n;    /* valid in buffer */
    unsigned char buffer[4096];
};

/*
 * The n bytes (at most 64) at `at`, or those up to the end of the file.
 * bytes: lent until the next call. Errors GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_peek(struct gqa_peek *peek, const unsigned char **bytes,
                         size_t *got, uint64_t at, size_t n);

/*
 * Where the frame ends whose blocks begin at `at`, by the sizes of its
 * blocks alone. Errors GQA_ERR_FORMAT: cut off, or no block; GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_zstd_find_end(uint64_t *end, struct gqa_peek *peek,
                                  uint64_t at, bool has_checksum);

#endif
