#include "formats/gqa/zstd_frame.h"

#include <inttypes.h>

#include "common/file.h"
#include "formats/gqa/layout.h"

static uint64_t read_uint(const unsigned char *p, size_t n)
{
    uint64_t value = 0;

    while (n-- > 0)
        value = value << 8 | p[n];
    return value;
}

enum gqa_status gqa_zstd_header_parse(struct gqa_zstd_header *header,
                                      const unsigned char *bytes, size_t n)
{
    static const size_t dictionary_bytes[4] = {0, 1, 2, 4};
    static const size_t size_bytes[4] = {0, 2, 4, 8};
    bool is_single_segment;
    size_t n_dictionary, n_size;
    unsigned descriptor;
    size_t at = 5;

    if (n < 5 || gqa_read_u32(bytes) != GQA_ZSTD_MAGIC)
        return gqa_fail(GQA_ERR_FORMAT, "not a Zstandard frame");
    descriptor = bytes[4];
    if (descriptor & 0x08)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frame header has a reserved bit set");
    is_single_segment = descriptor & 0x20;
    n_dictionary = dictionary_bytes[descriptor & 3];
    n_size = size_bytes[descriptor >> 6];
    if (n_size == 0 && is_single_segment)
        n_size = 1;
    header->n_bytes =
        5u + (is_single_segment ? 0u : 1u) + n_dictionary + n_size;
    if (n < header->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT, "the frame header is cut off");
    header->has_checksum = descriptor & 0x04;
    header->window_bytes = 0;
    if (!is_single_segment) {
        const unsigned exponent = bytes[at] >> 3, mantissa = bytes[at] & 7;
        const uint64_t base = UINT64_C(1) << (10 + exponent);

        header->window_bytes = base + base / 8 * mantissa;
        at++;
    }
    header->has_dictionary = n_dictionary > 0;
    at += n_dictionary;
    header->has_content_bytes = n_size > 0;
    header->content_bytes = read_uint(bytes + at, n_size);
    if (n_size == 2)
        header->content_bytes += 256;
    if (is_single_segment)
        header->window_bytes = header->content_bytes;
    return GQA_OK;
}

enum gqa_status gqa_zstd_header_check(const struct gqa_zstd_header *header,
                                      uint64_t max_content_bytes)
{
    if (!header->has_content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frame header does not state the content's size");
    if (!header->has_checksum)
        return gqa_fail(GQA_ERR_FORMAT, "the frame has no checksum");
    if (header->has_dictionary)
        return gqa_fail(GQA_ERR_FORMAT, "the frame needs a dictionary");
    if (header->content_bytes > max_content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frame claims %" PRIu64 " bytes of content, more "
                        "than the %" PRIu64 " allowed",
                        header->content_bytes, max_content_bytes);
    if (header->window_bytes > GQA_MAX_WINDOW_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frame asks for a window of %" PRIu64
                        " bytes, more than the %" PRIu64 " allowed",
                        header->window_bytes, GQA_MAX_WINDOW_BYTES);
    return GQA_OK;
}

enum gqa_status gqa_peek(struct gqa_peek *peek, const unsigned char **bytes,
                         size_t *got, uint64_t at, size_t n)
{
    const uint64_t left = at < peek->file_bytes ? peek->file_bytes - at : 0;

    if (n > left)
        n = (size_t)left;
    if (at < peek->at || at - peek->at > peek->n ||
        peek->n - (size_t)(at - peek->at) < n) {
        const size_t fill =
            left < sizeof peek->buffer ? (size_t)left : sizeof peek->buffer;
        const enum gqa_status st =
            gqa_file_read(peek->fd, peek->buffer, fill, at);

        peek->at = at;
        peek->n = st == GQA_OK ? fill : 0;
        if (st != GQA_OK)
            return st;
    }
    *bytes = peek->buffer + (at - peek->at);
    *got = n;
    return GQA_OK;
}

enum gqa_status gqa_zstd_find_end(uint64_t *end, struct gqa_peek *peek,
                                  uint64_t at, bool has_checksum)
{
    enum { RAW, RLE, COMPRESSED, RESERVED };
    const uint64_t checksum_bytes = has_checksum ? 4 : 0;
    const uint32_t max_block = 128 << 10;
    bool is_last = false;

    while (!is_last) {
        const unsigned char *bytes;
        enum gqa_status st;
        uint32_t head, size;
        size_t got;

        if ((st = gqa_peek(peek, &bytes, &got, at, 3)) != GQA_OK)
            return st;
        if (got < 3)
            return gqa_fail(GQA_ERR_FORMAT, "the file is cut off in the frame");
        head = (uint32_t)read_uint(bytes, 3);
        is_last = head & 1;
        size = head >> 3;
        if ((head >> 1 & 3) == RESERVED || size > max_block)
            return gqa_fail(
                GQA_ERR_FORMAT,
                "the frame's block at byte %" PRIu64 " is not a block", at);
        at += 3 + ((head >> 1 & 3) == RLE ? 1 : size);
    }
    if (at > peek->file_bytes || peek->file_bytes - at < checksum_bytes)
        return gqa_fail(GQA_ERR_FORMAT, "the file is cut off in the frame");
    *end = at + checksum_bytes;
    return GQA_OK;
}
