/*
 * Zstandard frames and the skippable frames of the seekable format.
 */
#ifndef GQA_FORMATS_GQA_FRAME_WRITE_H
#define GQA_FORMATS_GQA_FRAME_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/gqa/layout.h"

/* Bytes of a frame that stores n bytes of content as they are. */
size_t gqa_frame_stored_bytes(size_t n);

/*
 * Store n > 0 bytes as one frame of raw blocks, with content size and
 * checksum. dst: gqa_frame_stored_bytes(n) bytes. Returns that number.
 */
size_t gqa_frame_store(void *dst, const void *src, size_t n);

struct gqa_frame_encoder;

/* Errors GQA_ERR_USAGE: no such level; GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_frame_encoder_create(struct gqa_frame_encoder **out,
                                         int level);
void gqa_frame_encoder_free(struct gqa_frame_encoder *encoder);

/* Memory that the encoder holds since its largest frame. */
size_t gqa_frame_encoder_bytes(const struct gqa_frame_encoder *encoder);

/*
 * Compress n > 0 bytes into one frame, or store them where that is not
 * longer. The bytes depend on content and level alone. dst:
 * gqa_frame_stored_bytes(n) bytes. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_encode(struct gqa_frame_encoder *encoder, void *dst,
                                 size_t *frame_bytes, const void *src,
                                 size_t n);

/* The frame's own checksum of its content: its last four bytes. */
uint32_t gqa_frame_checksum(const void *frame, size_t frame_bytes);

/* The 8 bytes before n bytes that decoders skip. */
void gqa_skippable_header(unsigned char dst[GQA_SKIPPABLE_HEADER_BYTES],
                          uint32_t magic, uint32_t n);

/* One entry of the seek table; content and checksum 0 for a skippable one. */
void gqa_seek_entry(unsigned char dst[GQA_SEEK_ENTRY_BYTES],
                    uint32_t frame_bytes, uint32_t content_bytes,
                    uint32_t checksum);

/* What ends the file. */
void gqa_seek_footer(unsigned char dst[GQA_SEEK_FOOTER_BYTES],
                     uint32_t n_frames);

#endif
