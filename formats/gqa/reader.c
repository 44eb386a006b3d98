#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/file.h"
#include "common/log.h"
#include "formats/formats.h"
#include "formats/gqa/frame_reader.h"
#include "formats/gqa/frame_table.h"
#include "formats/gqa/header.h"
#include "formats/gqa/layout.h"
#include "formats/gqa/manifest.h"
#include "formats/gqa/reader.h"
#include "formats/span.h"

struct gqa_reader {
    struct gqa_source base;
    int fd;
    uint64_t data_start; /* of the tensors' data, in the content */
    uint64_t *offsets;   /* [base.n_tensors] from data_start */
    struct gqa_frame_table table;
    struct gqa_frame_reader *frames;
};

/* A run of bytes of the content, and where they go. */
struct cursor {
    struct gqa_reader *reader;
    struct gqa_kept_frame *kept; /* the frame in use, or NULL */
    size_t frame;
    const unsigned char *content; /* of that frame */
};

static void release(struct cursor *cursor)
{
    if (cursor->kept)
        gqa_frame_reader_release(cursor->reader->frames, cursor->kept);
    cursor->kept = NULL;
}

/*
 * As much of [at, at + n) as lies in one frame. Rows of a matrix share
 * frames, so the frame is held for the next call; one that is wanted whole
 * goes straight to buf.
 */
static enum gqa_status read_some(struct cursor *cursor, size_t *got,
                                 uint64_t at, uint64_t n, unsigned char *buf)
{
    const struct gqa_reader *r = cursor->reader;
    const struct gqa_frame *frame = &r->table.frames[cursor->frame];
    enum gqa_status st;
    uint64_t end;

    if (!cursor->kept || at < frame->content || at >= frame[1].content) {
        release(cursor);
        cursor->frame = gqa_frame_table_find(&r->table, at);
        frame = &r->table.frames[cursor->frame];
        if (at == frame->content && n >= frame[1].content - at) {
            *got = (size_t)(frame[1].content - at);
            return gqa_frame_reader_read(r->frames, cursor->frame, buf);
        }
        st = gqa_frame_reader_acquire(r->frames, cursor->frame, &cursor->kept,
                                      &cursor->content);
        if (st != GQA_OK)
            return st;
    }
    end = at + n < frame[1].content ? at + n : frame[1].content;
    *got = (size_t)(end - at);
    memcpy(buf, cursor->content + (at - frame->content), *got);
    return GQA_OK;
}

static enum gqa_status gqa_reader_read(struct gqa_source *source, size_t index,
                                       const struct gqa_span *span, void *buf)
{
    struct gqa_reader *r = (struct gqa_reader *)source;
    const struct gqa_span s = gqa_span_simplify(*span);
    struct cursor cursor = {.reader = r};
    enum gqa_status st = GQA_OK;
    unsigned char *to = buf;

    for (uint64_t i = 0; i < s.count && st == GQA_OK; i++) {
        uint64_t at =
            r->data_start + r->offsets[index] + s.offset + i * s.stride;
        uint64_t left = s.piece;

        while (left > 0) {
            size_t got;

            if ((st = read_some(&cursor, &got, at, left, to)) != GQA_OK)
                break;
            at += got;
            to += got;
            left -= got;
        }
    }
    release(&cursor);
    if (st != GQA_OK)
        return gqa_fail_prefix(st, "tensor %s", source->tensors[index].name);
    return GQA_OK;
}

static void gqa_reader_close(struct gqa_source *source)
{
    struct gqa_reader *r = (struct gqa_reader *)source;

    gqa_frame_reader_free(r->frames);
    gqa_frame_table_clear(&r->table);
    close(r->fd);
    free(r->offsets);
    gqa_source_clear(source);
    free(r);
}

static const struct gqa_source_ops gqa_reader_ops = {gqa_reader_read,
                                                     gqa_reader_close};

/* Each tensor that has bytes must begin a frame. */
static enum gqa_status check_boundaries(const struct gqa_frame_table *table,
                                        const struct gqa_header *header)
{
    size_t frame = 0;

    for (size_t i = 0; i < header->st.n_tensors; i++) {
        const uint64_t at = header->frame.content_bytes + header->st.offsets[i];

        if (header->st.tensors[i].n_bytes == 0)
            continue;
        while (table->frames[frame].content < at)
            frame++;
        if (table->frames[frame].content != at)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s begins at byte %" PRIu64
                            " of the content, within frame %zu instead of at "
                            "its start",
                            header->st.tensors[i].name, at, frame - 1);
    }
    return GQA_OK;
}

static enum gqa_status load_table(struct gqa_reader *r,
                                  const struct gqa_header *header,
                                  uint64_t content_bytes, bool verify)
{
    enum gqa_status st = gqa_frame_table_load(
        &r->table, r->fd, r->base.file_bytes, &header->frame, content_bytes);

    if (st == GQA_OK)
        st = check_boundaries(&r->table, header);
    if (st == GQA_OK && verify)
        st = gqa_frame_table_verify(&r->table, r->fd, r->base.file_bytes);
    return st;
}

static enum gqa_status scan_table(struct gqa_reader *r,
                                  const struct gqa_header *header,
                                  uint64_t content_bytes)
{
    enum gqa_status st;

    gqa_frame_table_clear(&r->table);
    st = gqa_frame_table_scan(&r->table, r->fd, r->base.file_bytes,
                              &header->frame, content_bytes);
    return st == GQA_OK ? check_boundaries(&r->table, header) : st;
}

/*
 * Find the frames. Where the table is bad, the frames themselves tell
 * whether nothing else is: only then is there something to salvage, or to
 * recommend.
 */
static enum gqa_status find_frames(struct gqa_reader *r,
                                   const struct gqa_header *header,
                                   uint64_t content_bytes, bool salvage)
{
    enum gqa_status st = load_table(r, header, content_bytes, salvage);
    char why[512];

    if (st != GQA_ERR_FORMAT)
        return st;
    strncpy(why, gqa_error_message(), sizeof why - 1);
    why[sizeof why - 1] = '\0';
    if ((st = scan_table(r, header, content_bytes)) != GQA_OK)
        return gqa_fail_prefix(st, "%s; and the frames are not whole", why);
    if (!salvage)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s; the frames are whole, so `zstd -dc %s > "
                        "model.safetensors` recovers the content",
                        why, r->base.path);
    gqa_warn("%s: %s; went on with a scan of the frames, which are whole",
             r->base.path, why);
    return GQA_OK;
}

static enum gqa_status read_manifest(struct gqa_reader *r,
                                     const struct gqa_header *header)
{
    const struct gqa_manifest_subject subject = {
        r->base.content_bytes, header->sha256, r->base.tensors,
        r->base.n_tensors};
    const uint64_t start = r->table.frames[r->table.n].offset;
    const uint64_t n_bytes =
        r->table.manifest_end - start - GQA_SKIPPABLE_HEADER_BYTES;
    enum gqa_status st;
    char *text;

    if (n_bytes > GQA_MAX_MANIFEST_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the manifest has %" PRIu64 " bytes, more than the "
                        "%" PRIu64 " allowed",
                        n_bytes, GQA_MAX_MANIFEST_BYTES);
    text = malloc((size_t)n_bytes + 1);
    if (!text)
        return gqa_fail_nomem();
    st = gqa_file_read(r->fd, text, (size_t)n_bytes,
                       start + GQA_SKIPPABLE_HEADER_BYTES);
    if (st == GQA_OK)
        st = gqa_manifest_parse(&r->base.manifest, text, (size_t)n_bytes,
                                &subject);
    free(text);
    return st;
}

static enum gqa_status parse_file(struct gqa_reader *r, bool salvage)
{
    struct gqa_header header = {0};
    enum gqa_status st;

    st = gqa_header_read(&header, r->fd, r->base.file_bytes, r->base.path);
    if (st != GQA_OK)
        goto done;
    r->data_start = header.frame.content_bytes;
    if (!gqa_add_u64(r->data_start, header.st.data_bytes,
                     &r->base.content_bytes)) {
        st = gqa_fail(GQA_ERR_FORMAT,
                      "header: the tensors' sizes overflow 64 bits");
        goto done;
    }
    st = find_frames(r, &header, r->base.content_bytes, salvage);
    if (st != GQA_OK)
        goto done;
    if ((st = gqa_st_header_move(&r->base, &header.st)) != GQA_OK)
        goto done;
    r->offsets = header.st.offsets;
    header.st.offsets = NULL;
    if ((st = read_manifest(r, &header)) != GQA_OK)
        goto done;
    st = gqa_frame_reader_create(&r->frames, r->fd, &r->table);
done:
    gqa_header_clear(&header);
    return st;
}

enum gqa_status gqa_gqa_open(struct gqa_source **out,
                             const struct gqa_file_handle *file)
{
    enum gqa_status st;
    struct gqa_reader *r = calloc(1, sizeof *r);

    if (!r) {
        close(file->fd);
        return gqa_fail_nomem();
    }
    r->base.ops = &gqa_reader_ops;
    r->base.format = &gqa_format_gqa;
    r->base.file_bytes = file->size;
    r->fd = file->fd;
    r->base.path = strdup(file->path);
    if (!r->base.path)
        st = gqa_fail_nomem();
    else
        st = parse_file(r, file->salvage);
    if (st != GQA_OK) {
        gqa_reader_close(&r->base);
        return st;
    }
    *out = &r->base;
    return GQA_OK;
}
