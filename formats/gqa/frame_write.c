#include "formats/gqa/frame_write.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    MAX_BLOCK = 128 << 10, /* of a frame, set by the format */
    BLOCK_HEADER = 3,
    CHECKSUM = 4,
    MAX_WINDOW_LOG = 22,
    /*
     * Weights hold no repeats, and level 1 loses nothing with a table of
     * matches so small that it stays in the first cache; it gains 4 %.
     */
    FAST_LEVEL = 1,
    FAST_HASH_LOG = 10,
    CHECKSUM_FLAG = 1 << 2,
    SINGLE_SEGMENT_FLAG = 1 << 5,
};

struct gqa_frame_encoder {
    ZSTD_CCtx *ctx;
    int level;
};

static unsigned char *put_le(unsigned char *dst, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++, value >>= 8)
        *dst++ = (unsigned char)(value & 0xff);
    return dst;
}

static size_t n_blocks(size_t n)
{
    return (n + MAX_BLOCK - 1) / MAX_BLOCK;
}

/* Bytes of the content size field, and the flag that says so. */
static unsigned size_field(size_t n, unsigned *flag)
{
    *flag = n < 256 ? 0 : n < 65536 + 256 ? 1 : n <= UINT32_MAX ? 2 : 3;
    return 1u << *flag;
}

/*
 * Content up to the largest window is one segment; what is longer has a
 * window descriptor instead, and then no content size of one byte occurs.
 */
static size_t header_bytes(size_t n)
{
    unsigned flag;

    return 4 + 1 + (n > (size_t)1 << MAX_WINDOW_LOG ? 1u : 0u) +
           size_field(n, &flag);
}

size_t gqa_frame_stored_bytes(size_t n)
{
    return header_bytes(n) + n_blocks(n) * BLOCK_HEADER + n + CHECKSUM;
}

size_t gqa_frame_store(void *dst, const void *src, size_t n)
{
    const bool single = n <= (size_t)1 << MAX_WINDOW_LOG;
    const unsigned char *from = src;
    unsigned char *to = dst;
    const uint64_t checksum = XXH64(src, n, 0);
    unsigned flag;
    const unsigned size_bytes = size_field(n, &flag);

    to = put_le(to, GQA_ZSTD_MAGIC, 4);
    to = put_le(
        to, flag << 6 | CHECKSUM_FLAG | (single ? SINGLE_SEGMENT_FLAG : 0u), 1);
    if (!single)
        to = put_le(to, (MAX_WINDOW_LOG - 10) << 3, 1);
    to = put_le(to, flag == 1 ? n - 256 : n, size_bytes);
    while (n > 0) {
        const size_t block = n < MAX_BLOCK ? n : MAX_BLOCK;

        /* Bit 0: the last one; bits 1 and 2: raw, which is 0. */
        to = put_le(to, block << 3 | (block == n), BLOCK_HEADER);
        memcpy(to, from, block);
        to += block;
        from += block;
        n -= block;
    }
    to = put_le(to, checksum & UINT32_MAX, CHECKSUM);
    return (size_t)(to - (unsigned char *)dst);
}

enum gqa_status gqa_frame_encoder_create(struct gqa_frame_encoder **out,
                                         int level)
{
    struct gqa_frame_encoder *encoder;

    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return gqa_fail(GQA_ERR_USAGE,
                        "compression level %d is not between %d and %d", level,
                        ZSTD_minCLevel(), ZSTD_maxCLevel());
    encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return gqa_fail_nomem();
    encoder->level = level;
    encoder->ctx = ZSTD_createCCtx();
    if (!encoder->ctx) {
        free(encoder);
        return gqa_fail_nomem();
    }
    *out = encoder;
    return GQA_OK;
}

void gqa_frame_encoder_free(struct gqa_frame_encoder *encoder)
{
    if (!encoder)
        return;
    ZSTD_freeCCtx(encoder->ctx);
    free(encoder);
}

size_t gqa_frame_encoder_bytes(const struct gqa_frame_encoder *encoder)
{
    return ZSTD_sizeof_CCtx(encoder->ctx);
}

enum gqa_status gqa_frame_encode(struct gqa_frame_encoder *encoder, void *dst,
                                 size_t *frame_bytes, const void *src, size_t n)
{
    /* No room for a frame that is not shorter than a stored one. */
    const size_t room = gqa_frame_stored_bytes(n) - 1;
    ZSTD_CCtx *ctx = encoder->ctx;
    size_t result;

    ZSTD_CCtx_reset(ctx, ZSTD_reset_session_and_parameters);
    result =
        ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, encoder->level);
    if (!ZSTD_isError(result))
        result = ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(result) && n > (size_t)1 << MAX_WINDOW_LOG)
        result = ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, MAX_WINDOW_LOG);
    if (!ZSTD_isError(result) && encoder->level == FAST_LEVEL)
        result = ZSTD_CCtx_setParameter(ctx, ZSTD_c_hashLog, FAST_HASH_LOG);
    if (!ZSTD_isError(result))
        result = ZSTD_compress2(ctx, dst, room, src, n);
    if (!ZSTD_isError(result))
        *frame_bytes = result;
    else if (ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall)
        *frame_bytes = gqa_frame_store(dst, src, n);
    else if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return gqa_fail_nomem();
    else
        return gqa_fail(GQA_ERR_IO, "zstd: %s", ZSTD_getErrorName(result));
    return GQA_OK;
}

uint32_t gqa_frame_checksum(const void *frame, size_t frame_bytes)
{
    return gqa_read_u32((const unsigned char *)frame + frame_bytes - CHECKSUM);
}

void gqa_skippable_header(unsigned char dst[GQA_SKIPPABLE_HEADER_BYTES],
                          uint32_t magic, uint32_t n)
{
    put_le(put_le(dst, magic, 4), n, 4);
}

void gqa_seek_entry(unsigned char dst[GQA_SEEK_ENTRY_BYTES],
                    uint32_t frame_bytes, uint32_t content_bytes,
                    uint32_t checksum)
{
    put_le(put_le(put_le(dst, frame_bytes, 4), content_bytes, 4), checksum, 4);
}

void gqa_seek_footer(unsigned char dst[GQA_SEEK_FOOTER_BYTES],
                     uint32_t n_frames)
{
    dst = put_le(dst, n_frames, 4);
    dst = put_le(dst, GQA_SEEK_HAS_CHECKSUMS, 1);
    put_le(dst, GQA_SEEK_FOOTER_MAGIC, 4);
}
