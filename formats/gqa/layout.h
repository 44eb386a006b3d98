/*
 * How a .gqa file is laid out (docs/gqa-format.md): numbers that its reader
 * and its writer share.
 */
#ifndef GQA_FORMATS_GQA_LAYOUT_H
#define GQA_FORMATS_GQA_LAYOUT_H

#include <stdint.h>

#define GQA_MANIFEST_VERSION 1

/* Content bytes of one frame of a tensor: as written, and at most. */
#define GQA_FRAME_BYTES     ((uint64_t)4 << 20)
#define GQA_MAX_FRAME_BYTES ((uint64_t)16 << 20)

#define GQA_MAX_WINDOW_BYTES   ((uint64_t)16 << 20)
#define GQA_MAX_MANIFEST_BYTES ((uint64_t)12 << 20)

/* First four bytes of a frame, little-endian. */
#define GQA_ZSTD_MAGIC       UINT32_C(0xfd2fb528)
#define GQA_MANIFEST_MAGIC   UINT32_C(0x184d2a5d)
#define GQA_SEEK_TABLE_MAGIC UINT32_C(0x184d2a5e)

/* A skippable frame begins with its magic and its size, four bytes each. */
#define GQA_SKIPPABLE_HEADER_BYTES 8

/* The seek table ends the file: entries, their number, a descriptor and a
 * magic number; bit 7 of the descriptor: entries have a checksum. */
#define GQA_SEEK_FOOTER_BYTES    9
#define GQA_SEEK_FOOTER_MAGIC    UINT32_C(0x8f92eab1)
#define GQA_SEEK_HAS_CHECKSUMS   0x80u
#define GQA_SEEK_RESERVED_BITS   0x7cu
#define GQA_SEEK_MAX_FRAMES      (UINT32_C(1) << 27)
#define GQA_SEEK_ENTRY_BYTES     12
#define GQA_SEEK_ENTRY_BYTES_MIN 8 /* without checksums */

static inline uint32_t gqa_read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

#endif
