#include "formats/gqa/frame_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/file.h"
#include "formats/gqa/layout.h"
#include "formats/gqa/zstd_frame.h"

struct entry {
    uint64_t n_bytes;
    uint64_t content_bytes;
    uint32_t checksum;
};

/* Sums stay small: 2^27 entries of at most 2^32. */
static enum gqa_status append(struct gqa_frame_table *table,
                              const struct entry *entry)
{
    struct gqa_frame *frame;

    if (table->n + 1 >= table->capacity) {
        const size_t capacity = table->capacity ? table->capacity * 2 : 256;
        struct gqa_frame *bigger =
            reallocarray(table->frames, capacity, sizeof *bigger);

        if (!bigger)
            return gqa_fail_nomem();
        if (table->capacity == 0)
            memset(bigger, 0, sizeof *bigger);
        table->frames = bigger;
        table->capacity = capacity;
    }
    frame = &table->frames[table->n++];
    frame->checksum = entry->checksum;
    frame[1] = (struct gqa_frame){frame->offset + entry->n_bytes,
                                  frame->content + entry->content_bytes, 0};
    return GQA_OK;
}

/* An entry of the seek table, as far as it can be wrong by itself. */
static enum gqa_status check_entry(size_t i, const struct entry *entry,
                                   const struct gqa_first_frame *first,
                                   bool has_checksums)
{
    if (i == 0) {
        if (entry->n_bytes != first->n_bytes ||
            entry->content_bytes != first->content_bytes)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the seek table says that the header's frame has "
                            "%" PRIu64 " bytes of %" PRIu64
                            " compressed; it has %" PRIu64 " of %" PRIu64,
                            entry->content_bytes, entry->n_bytes,
                            first->content_bytes, first->n_bytes);
        if (has_checksums && entry->checksum != first->checksum)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the seek table's checksum of frame 0 is not the "
                            "frame's own");
        return GQA_OK;
    }
    if (entry->content_bytes > GQA_MAX_FRAME_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "seek table entry %zu claims %" PRIu64
                        " bytes of content, more than the %" PRIu64
                        " allowed in a frame",
                        i, entry->content_bytes, GQA_MAX_FRAME_BYTES);
    if (entry->content_bytes == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "seek table entry %zu holds no content, but is not "
                        "the last",
                        i);
    if (entry->n_bytes > ZSTD_compressBound(GQA_MAX_FRAME_BYTES) ||
        entry->n_bytes == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "seek table entry %zu claims a frame of %" PRIu64
                        " bytes; %zu is the most there can be",
                        i, entry->n_bytes,
                        ZSTD_compressBound(GQA_MAX_FRAME_BYTES));
    return GQA_OK;
}

static struct entry parse_entry(const unsigned char *bytes, bool has_checksum)
{
    return (struct entry){gqa_read_u32(bytes), gqa_read_u32(bytes + 4),
                          has_checksum ? gqa_read_u32(bytes + 8) : 0};
}

/* Where the table lies, and what its entries look like. */
struct placement {
    uint64_t start; /* of its skippable frame, in the file */
    uint32_t n_entries;
    size_t entry_bytes;
    bool has_checksums;
};

static enum gqa_status find_table(struct placement *place, int fd,
                                  uint64_t file_bytes)
{
    unsigned char footer[GQA_SEEK_FOOTER_BYTES];
    unsigned char head[GQA_SKIPPABLE_HEADER_BYTES];
    uint64_t payload;
    enum gqa_status st;

    if (file_bytes < sizeof head + sizeof footer)
        return gqa_fail(GQA_ERR_FORMAT, "the seek table is missing");
    st = gqa_file_read(fd, footer, sizeof footer, file_bytes - sizeof footer);
    if (st != GQA_OK)
        return st;
    if (gqa_read_u32(footer + 5) != GQA_SEEK_FOOTER_MAGIC)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table is missing: the file does not end "
                        "with its mark");
    if (footer[4] & GQA_SEEK_RESERVED_BITS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table's descriptor 0x%02x has reserved bits "
                        "set",
                        footer[4]);
    place->n_entries = gqa_read_u32(footer);
    place->has_checksums = footer[4] & GQA_SEEK_HAS_CHECKSUMS;
    place->entry_bytes =
        place->has_checksums ? GQA_SEEK_ENTRY_BYTES : GQA_SEEK_ENTRY_BYTES_MIN;
    payload = (uint64_t)place->n_entries * place->entry_bytes + sizeof footer;
    if (place->n_entries > GQA_SEEK_MAX_FRAMES ||
        payload > file_bytes - sizeof head)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table claims %" PRIu32
                        " entries, more than the file can hold",
                        place->n_entries);
    place->start = file_bytes - payload - sizeof head;
    st = gqa_file_read(fd, head, sizeof head, place->start);
    if (st != GQA_OK)
        return st;
    if (gqa_read_u32(head) != GQA_SEEK_TABLE_MAGIC)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table claims %" PRIu32 " entries, but does "
                        "not begin where that puts it (byte %" PRIu64 ")",
                        place->n_entries, place->start);
    if (gqa_read_u32(head + 4) != payload)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table's frame claims %" PRIu32
                        " bytes; its entries take %" PRIu64,
                        gqa_read_u32(head + 4), payload);
    return GQA_OK;
}

/* All entries but the last, which is the manifest's and goes to *last. */
static enum gqa_status read_entries(struct gqa_frame_table *table,
                                    struct entry *last, int fd,
                                    const struct placement *place,
                                    const struct gqa_first_frame *first)
{
    enum { CHUNK = 1024 };
    unsigned char chunk[CHUNK * GQA_SEEK_ENTRY_BYTES];
    uint64_t at = place->start + GQA_SKIPPABLE_HEADER_BYTES;

    for (size_t i = 0; i < place->n_entries; i++) {
        const size_t left = place->n_entries - i;
        const size_t n_bytes =
            (left < CHUNK ? left : CHUNK) * place->entry_bytes;
        enum gqa_status st;

        if (i % CHUNK == 0) {
            if ((st = gqa_file_read(fd, chunk, n_bytes, at)) != GQA_OK)
                return st;
            at += n_bytes;
        }
        *last = parse_entry(chunk + i % CHUNK * place->entry_bytes,
                            place->has_checksums);
        if (left == 1)
            break;
        if ((st = check_entry(i, last, first, place->has_checksums)) !=
                GQA_OK ||
            (st = append(table, last)) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

/* The table must lead to the manifest's frame, and to its end. */
static enum gqa_status check_manifest_place(const struct gqa_frame_table *table,
                                            int fd)
{
    const uint64_t at = table->frames[table->n].offset;
    const uint64_t n_bytes = table->manifest_end - at;
    unsigned char head[GQA_SKIPPABLE_HEADER_BYTES];
    enum gqa_status st;

    if (n_bytes >= sizeof head) {
        if ((st = gqa_file_read(fd, head, sizeof head, at)) != GQA_OK)
            return st;
        if (gqa_read_u32(head) == GQA_MANIFEST_MAGIC &&
            gqa_read_u32(head + 4) == n_bytes - sizeof head)
            return GQA_OK;
    }
    return gqa_fail(GQA_ERR_FORMAT,
                    "the seek table puts a manifest of %" PRIu64
                    " bytes at byte %" PRIu64 "; there is none",
                    n_bytes, at);
}

enum gqa_status gqa_frame_table_load(struct gqa_frame_table *table, int fd,
                                     uint64_t file_bytes,
                                     const struct gqa_first_frame *first,
                                     uint64_t content_bytes)
{
    struct placement place = {0};
    struct entry manifest = {0};
    enum gqa_status st;

    if ((st = find_table(&place, fd, file_bytes)) != GQA_OK)
        return st;
    if (place.n_entries < 2)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table has %" PRIu32 " entries; the header's "
                        "and the manifest's are two",
                        place.n_entries);
    if ((st = read_entries(table, &manifest, fd, &place, first)) != GQA_OK)
        return st;
    table->has_checksums = place.has_checksums;
    if (manifest.content_bytes != 0 || manifest.checksum != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the seek table's last entry has %" PRIu64
                        " bytes of content and the checksum %08" PRIx32
                        "; the manifest has none",
                        manifest.content_bytes, manifest.checksum);
    table->manifest_end = table->frames[table->n].offset + manifest.n_bytes;
    if (table->manifest_end != place.start)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frames of the seek table take %" PRIu64
                        " bytes; %" PRIu64 " lie before it",
                        table->manifest_end, place.start);
    if (table->frames[table->n].content != content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frames of the seek table hold %" PRIu64
                        " bytes of content; the header needs %" PRIu64,
                        table->frames[table->n].content, content_bytes);
    return check_manifest_place(table, fd);
}

enum gqa_status gqa_frame_table_verify(const struct gqa_frame_table *table,
                                       int fd, uint64_t file_bytes)
{
    const size_t before = 4; /* the checksum that ends the frame before */

    for (size_t i = 1; i <= table->n; i++) {
        const struct gqa_frame *frame = &table->frames[i];
        const uint64_t at = frame->offset - before;
        const uint64_t left = file_bytes - at;
        unsigned char bytes[4 + GQA_ZSTD_MAX_HEADER];
        const size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
        struct gqa_zstd_header header;
        enum gqa_status st;

        if ((st = gqa_file_read(fd, bytes, n, at)) != GQA_OK)
            return st;
        if (table->has_checksums && gqa_read_u32(bytes) != frame[-1].checksum)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the seek table's checksum of frame %zu is not "
                            "the frame's own",
                            i - 1);
        if (i == table->n)
            break;
        st = gqa_zstd_header_parse(&header, bytes + before, n - before);
        if (st == GQA_OK)
            st = gqa_zstd_header_check(&header, GQA_MAX_FRAME_BYTES);
        if (st != GQA_OK)
            return gqa_fail_prefix(st, "seek table: frame %zu at byte %" PRIu64,
                                   i, frame->offset);
        if (header.content_bytes != frame[1].content - frame->content)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the seek table says that frame %zu holds "
                            "%" PRIu64 " bytes; the frame says %" PRIu64,
                            i, frame[1].content - frame->content,
                            header.content_bytes);
    }
    return GQA_OK;
}

/* The frame at `at`, which begins with n of its bytes. */
static enum gqa_status scan_frame(struct gqa_frame_table *table,
                                  struct gqa_peek *peek,
                                  const unsigned char *bytes, size_t n)
{
    const uint64_t at = table->frames[table->n].offset;
    struct gqa_zstd_header header;
    struct entry entry = {0};
    enum gqa_status st;
    uint64_t end;

    if ((st = gqa_zstd_header_parse(&header, bytes, n)) != GQA_OK ||
        (st = gqa_zstd_header_check(&header, GQA_MAX_FRAME_BYTES)) != GQA_OK)
        return st;
    if (header.content_bytes == 0)
        return gqa_fail(GQA_ERR_FORMAT, "the frame holds no content");
    st = gqa_zstd_find_end(&end, peek, at + header.n_bytes, true);
    if (st != GQA_OK)
        return st;
    if (end - at > ZSTD_compressBound(GQA_MAX_FRAME_BYTES))
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frame takes %" PRIu64 " bytes; %zu is the most "
                        "there can be",
                        end - at, ZSTD_compressBound(GQA_MAX_FRAME_BYTES));
    entry.n_bytes = end - at;
    entry.content_bytes = header.content_bytes;
    return append(table, &entry);
}

/* Frames up to the one that is no frame of content. */
static enum gqa_status scan_frames(struct gqa_frame_table *table,
                                   struct gqa_peek *peek,
                                   uint64_t content_bytes)
{
    while (table->frames[table->n].content <= content_bytes) {
        const uint64_t at = table->frames[table->n].offset;
        const unsigned char *bytes;
        enum gqa_status st;
        size_t n;

        st = gqa_peek(peek, &bytes, &n, at, GQA_ZSTD_MAX_HEADER);
        if (st != GQA_OK)
            return st;
        if (n >= 4 && gqa_read_u32(bytes) == GQA_MANIFEST_MAGIC)
            return GQA_OK;
        if (n < 4 || gqa_read_u32(bytes) != GQA_ZSTD_MAGIC)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s at byte %" PRIu64 ", where frame %zu or the "
                            "manifest should begin",
                            n < 4 ? "the file is cut off"
                                  : "there is something else",
                            at, table->n);
        if ((st = scan_frame(table, peek, bytes, n)) != GQA_OK)
            return gqa_fail_prefix(st, "frame %zu at byte %" PRIu64, table->n,
                                   at);
    }
    return GQA_OK;
}

enum gqa_status gqa_frame_table_scan(struct gqa_frame_table *table, int fd,
                                     uint64_t file_bytes,
                                     const struct gqa_first_frame *first,
                                     uint64_t content_bytes)
{
    const struct entry head = {first->n_bytes, first->content_bytes,
                               first->checksum};
    struct gqa_peek peek = {.fd = fd, .file_bytes = file_bytes};
    const unsigned char *bytes;
    enum gqa_status st;
    uint64_t at;
    size_t n;

    if ((st = append(table, &head)) != GQA_OK)
        return st;
    if ((st = scan_frames(table, &peek, content_bytes)) != GQA_OK)
        return st;
    if (table->frames[table->n].content != content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the frames hold %" PRIu64 " bytes of content; the "
                        "header needs %" PRIu64,
                        table->frames[table->n].content, content_bytes);
    at = table->frames[table->n].offset;
    st = gqa_peek(&peek, &bytes, &n, at, GQA_SKIPPABLE_HEADER_BYTES);
    if (st != GQA_OK)
        return st;
    if (n < GQA_SKIPPABLE_HEADER_BYTES)
        return gqa_fail(GQA_ERR_FORMAT, "the file is cut off in the manifest");
    table->manifest_end =
        at + GQA_SKIPPABLE_HEADER_BYTES + gqa_read_u32(bytes + 4);
    if (table->manifest_end > file_bytes)
        return gqa_fail(GQA_ERR_FORMAT, "the file is cut off in the manifest");
    return GQA_OK;
}

void gqa_frame_table_clear(struct gqa_frame_table *table)
{
    free(table->frames);
    memset(table, 0, sizeof *table);
}

size_t gqa_frame_table_find(const struct gqa_frame_table *table, uint64_t at)
{
    size_t low = 0, high = table->n;

    /* frames[low].content <= at < frames[high].content */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (table->frames[middle].content <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}
