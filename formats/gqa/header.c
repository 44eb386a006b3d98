#include "formats/gqa/header.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "common/file.h"
#include "common/json.h"
#include "formats/gqa/layout.h"
#include "formats/gqa/zstd_frame.h"

/* Content that grows as it is decompressed: its size is only a claim. */
struct text {
    char *bytes;
    size_t n, capacity;
};

static enum gqa_status refuse_other(const char *path, const char *why)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "a Zstandard file, but not a .gqa: %s; decompress it "
                    "first: zstd -dc %s > model.safetensors",
                    why, path);
}

static enum gqa_status check_start(const struct text *text,
                                   const struct gqa_zstd_header *frame,
                                   const char *path)
{
    const uint64_t length =
        gqa_st_header_length((const unsigned char *)text->bytes);
    enum gqa_status st;

    if (length > GQA_ST_MAX_HEADER_BYTES ||
        text->bytes[GQA_ST_PREFIX_BYTES] != '{')
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a Zstandard file, but its content is no safetensors "
                        "stream; decompress it first (zstd -d)");
    if (!frame->has_content_bytes ||
        frame->content_bytes != GQA_ST_PREFIX_BYTES + length)
        return refuse_other(path, "its first frame is not the header alone");
    if ((st = gqa_json_check_bytes(length, "header")) != GQA_OK)
        return st;
    return gqa_zstd_header_check(frame, frame->content_bytes);
}

static enum gqa_status grow(struct text *text, uint64_t max)
{
    const size_t first = 64 << 10;
    const size_t wanted = text->capacity ? text->capacity * 2 : first;
    char *bigger;

    text->capacity = wanted < max ? wanted : (size_t)max;
    bigger = realloc(text->bytes, text->capacity);
    if (!bigger)
        return gqa_fail_nomem();
    text->bytes = bigger;
    return GQA_OK;
}

/*
 * Decompress the frame at the file's start. One byte more than a header may
 * have leaves room to tell that the content is none.
 */
static enum gqa_status decompress(struct text *text, uint64_t *frame_bytes,
                                  ZSTD_DStream *stream, int fd,
                                  uint64_t file_bytes,
                                  const struct gqa_zstd_header *frame,
                                  const char *path)
{
    const uint64_t max = GQA_ST_PREFIX_BYTES + GQA_ST_MAX_HEADER_BYTES + 1;
    unsigned char chunk[16 << 10];
    ZSTD_inBuffer in = {chunk, 0, 0};
    bool is_checked = false;
    uint64_t at = 0;
    size_t result;

    do {
        ZSTD_outBuffer out;
        enum gqa_status st;

        if (in.pos == in.size && at < file_bytes) {
            const uint64_t left = file_bytes - at;

            in.size = left < sizeof chunk ? (size_t)left : sizeof chunk;
            in.pos = 0;
            if ((st = gqa_file_read(fd, chunk, in.size, at)) != GQA_OK)
                return st;
            at += in.size;
        }
        if (text->n == text->capacity && (st = grow(text, max)) != GQA_OK)
            return st;
        out = (ZSTD_outBuffer){text->bytes, text->capacity, text->n};
        result = ZSTD_decompressStream(stream, &out, &in);
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
            return gqa_fail_nomem();
        if (ZSTD_isError(result))
            return gqa_fail(GQA_ERR_FORMAT, "the header's frame is damaged: %s",
                            ZSTD_getErrorName(result));
        if (out.pos == text->n && in.pos == in.size && at == file_bytes &&
            result != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the file is cut off in the header's frame");
        text->n = out.pos;
        if (!is_checked && text->n > GQA_ST_PREFIX_BYTES) {
            is_checked = true;
            if ((st = check_start(text, frame, path)) != GQA_OK)
                return st;
        }
    } while (result != 0);
    if (!is_checked)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a Zstandard file, but its content is no safetensors "
                        "stream; decompress it first (zstd -d)");
    *frame_bytes = at - (in.size - in.pos);
    return GQA_OK;
}

static enum gqa_status read_frame(struct text *text, uint64_t *frame_bytes,
                                  int fd, uint64_t file_bytes, const char *path)
{
    const int max_window_log = 24; /* GQA_MAX_WINDOW_BYTES */
    unsigned char bytes[GQA_ZSTD_MAX_HEADER];
    const size_t n =
        file_bytes < sizeof bytes ? (size_t)file_bytes : sizeof bytes;
    struct gqa_zstd_header frame;
    ZSTD_DStream *stream;
    enum gqa_status st;

    if ((st = gqa_file_read(fd, bytes, n, 0)) != GQA_OK)
        return st;
    if (n >= 4 && gqa_read_u32(bytes) != GQA_ZSTD_MAGIC)
        return refuse_other(path, "it begins with a skippable frame");
    if ((st = gqa_zstd_header_parse(&frame, bytes, n)) != GQA_OK)
        return gqa_fail_prefix(st, "the header's frame");
    stream = ZSTD_createDStream();
    if (!stream)
        return gqa_fail_nomem();
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, max_window_log);
    st = decompress(text, frame_bytes, stream, fd, file_bytes, &frame, path);
    ZSTD_freeDStream(stream);
    return st;
}

static enum gqa_status check_version(const json_t *metadata, const char *path)
{
    const char *version =
        json_string_value(json_object_get(metadata, "gqa.version"));

    if (!version)
        return refuse_other(path, "__metadata__ has no gqa.version");
    if (strcmp(version, GQA_FORMAT_VERSION) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a .gqa of version \"%.40s\"; this tool reads version "
                        "%s, so a newer one is needed",
                        version, GQA_FORMAT_VERSION);
    return GQA_OK;
}

enum gqa_status gqa_header_read(struct gqa_header *header, int fd,
                                uint64_t file_bytes, const char *path)
{
    unsigned char checksum[4];
    struct text text = {0};
    enum gqa_status st, version;

    st = read_frame(&text, &header->frame.n_bytes, fd, file_bytes, path);
    if (st != GQA_OK)
        goto done;
    header->frame.content_bytes = text.n;
    /* It has one: decompressing checked that. */
    st = gqa_file_read(fd, checksum, sizeof checksum,
                       header->frame.n_bytes - sizeof checksum);
    if (st != GQA_OK)
        goto done;
    header->frame.checksum = gqa_read_u32(checksum);
    if ((st = gqa_sha256(header->sha256, text.bytes, text.n)) != GQA_OK)
        goto done;
    st = gqa_st_header_parse(&header->st, text.bytes + GQA_ST_PREFIX_BYTES,
                             text.n - GQA_ST_PREFIX_BYTES);
    /* A later version may well have tensors that this parser refuses. */
    if (st == GQA_OK || header->st.metadata) {
        version = check_version(header->st.metadata, path);
        if (version != GQA_OK)
            st = version;
    }
done:
    free(text.bytes);
    return st;
}

void gqa_header_clear(struct gqa_header *header)
{
    gqa_st_header_clear(&header->st);
    memset(header, 0, sizeof *header);
}
