/*
 * Where the frames of a .gqa file lie: from its seek table, or by a scan of
 * the file where the table is bad.
 */
#ifndef GQA_FORMATS_GQA_FRAME_TABLE_H
#define GQA_FORMATS_GQA_FRAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_frame {
    uint64_t offset;  /* in the file */
    uint64_t content; /* in the content */
    uint32_t checksum;
};

/*
 * n frames of content; each ends, in the file and in the content, where the
 * next begins. Frame 0 is the header's; frames[n] is the manifest's.
 * Zero-initialise; gqa_frame_table_clear() frees what filling put in.
 */
struct gqa_frame_table {
    struct gqa_frame *frames; /* [n + 1] */
    size_t n, capacity;
    bool has_checksums;
    uint64_t manifest_end; /* first byte after the manifest's frame */
};

/* The header's frame, which has been read without any table. */
struct gqa_first_frame {
    uint64_t n_bytes; /* compressed */
    uint64_t content_bytes;
    uint32_t checksum;
};

/*
 * Read the seek table and check it against itself and the file's size: its
 * marks, reserved bits, number of entries, and that the frames fill the file
 * and hold content_bytes. No more memory is taken than entries were read and
 * found sound.
 *
 * Errors GQA_ERR_FORMAT: the table is missing or wrong; GQA_ERR_IO,
 *        GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_table_load(struct gqa_frame_table *table, int fd,
                                     uint64_t file_bytes,
                                     const struct gqa_first_frame *first,
                                     uint64_t content_bytes);

/*
 * Check the table against each frame's own header and checksum: one small
 * read a frame. Errors GQA_ERR_FORMAT, GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_table_verify(const struct gqa_frame_table *table,
                                       int fd, uint64_t file_bytes);

/*
 * Find the frames and the manifest without the table, going from block to
 * block. Errors GQA_ERR_FORMAT: the file is cut off or damaged before the
 * manifest; GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_table_scan(struct gqa_frame_table *table, int fd,
                                     uint64_t file_bytes,
                                     const struct gqa_first_frame *first,
                                     uint64_t content_bytes);

void gqa_frame_table_clear(struct gqa_frame_table *table);

/* The frame that holds byte `at` of the content, which must have one. */
size_t gqa_frame_table_find(const struct gqa_frame_table *table, uint64_t at);

#endif
