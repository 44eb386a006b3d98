#include "formats/gqa/frame_reader.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "common/file.h"
#include "formats/gqa/layout.h"
#include "formats/gqa/zstd_frame.h"

/* Kept at most: a dozen frames as our own writer makes them. */
enum { MAX_KEPT_BYTES = 48 << 20, MAX_KEPT = 64 };

struct decoder {
    struct decoder *next; /* idle ones form a list */
    ZSTD_DCtx *context;
    unsigned char *in; /* [capacity] compressed bytes */
    size_t capacity;
};

struct gqa_kept_frame {
    struct gqa_kept_frame *next;
    size_t frame;
    size_t n_bytes;
    unsigned users;
    bool is_ready; /* else a thread is decompressing it */
    uint64_t last_use;
    unsigned char content[];
};

struct gqa_frame_reader {
    int fd;
    const struct gqa_frame_table *table;
    pthread_mutex_t lock; /* of all below; never held for long */
    pthread_cond_t changed;
    struct decoder *idle;
    struct gqa_kept_frame *kept;
    size_t n_kept, kept_bytes;
    uint64_t n_uses;
};

enum gqa_status gqa_frame_reader_create(struct gqa_frame_reader **out, int fd,
                                        const struct gqa_frame_table *table)
{
    struct gqa_frame_reader *r = calloc(1, sizeof *r);

    if (!r)
        return gqa_fail_nomem();
    r->fd = fd;
    r->table = table;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    *out = r;
    return GQA_OK;
}

static void free_decoder(struct decoder *decoder)
{
    ZSTD_freeDCtx(decoder->context);
    free(decoder->in);
    free(decoder);
}

void gqa_frame_reader_free(struct gqa_frame_reader *reader)
{
    if (!reader)
        return;
    while (reader->idle) {
        struct decoder *decoder = reader->idle;

        reader->idle = decoder->next;
        free_decoder(decoder);
    }
    while (reader->kept) {
        struct gqa_kept_frame *kept = reader->kept;

        reader->kept = kept->next;
        free(kept);
    }
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

/* An idle decoder, or a new one: there are as many as threads that read. */
static enum gqa_status take_decoder(struct decoder **out,
                                    struct gqa_frame_reader *reader)
{
    struct decoder *decoder;

    pthread_mutex_lock(&reader->lock);
    decoder = reader->idle;
    if (decoder)
        reader->idle = decoder->next;
    pthread_mutex_unlock(&reader->lock);
    if (!decoder) {
        decoder = calloc(1, sizeof *decoder);
        if (!decoder)
            return gqa_fail_nomem();
        decoder->context = ZSTD_createDCtx();
        if (!decoder->context) {
            free_decoder(decoder);
            return gqa_fail_nomem();
        }
    }
    *out = decoder;
    return GQA_OK;
}

static void give_decoder(struct gqa_frame_reader *reader,
                         struct decoder *decoder)
{
    pthread_mutex_lock(&reader->lock);
    decoder->next = reader->idle;
    reader->idle = decoder;
    pthread_mutex_unlock(&reader->lock);
}

/* Whether the frame is what the table says, before it is decompressed. */
static enum gqa_status check_frame(const struct gqa_frame_table *table,
                                   size_t i, const unsigned char *in, size_t n)
{
    const struct gqa_frame *frame = &table->frames[i];
    const uint64_t content_bytes = frame[1].content - frame->content;
    struct gqa_zstd_header header;
    enum gqa_status st;

    if ((st = gqa_zstd_header_parse(&header, in, n)) != GQA_OK ||
        (st = gqa_zstd_header_check(&header, GQA_MAX_FRAME_BYTES)) != GQA_OK)
        return st;
    if (header.content_bytes != content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "it holds %" PRIu64 " bytes; the seek table says "
                        "%" PRIu64,
                        header.content_bytes, content_bytes);
    if (ZSTD_findFrameCompressedSize(in, n) != n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its blocks do not take the %zu bytes that the seek "
                        "table says",
                        n);
    if (table->has_checksums && gqa_read_u32(in + n - 4) != frame->checksum)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its checksum is %08" PRIx32 "; the seek table says "
                        "%08" PRIx32,
                        gqa_read_u32(in + n - 4), frame->checksum);
    return GQA_OK;
}

static enum gqa_status decompress(struct decoder *decoder,
                                  const struct gqa_frame_reader *reader,
                                  size_t i, void *buf)
{
    const struct gqa_frame *frame = &reader->table->frames[i];
    const size_t n = (size_t)(frame[1].offset - frame->offset);
    const size_t n_content = (size_t)(frame[1].content - frame->content);
    enum gqa_status st;
    size_t result;

    if (!decoder->in || decoder->capacity < n) {
        free(decoder->in);
        decoder->capacity = 0;
        decoder->in = malloc(n + 1); /* an empty one is an error told below */
        if (!decoder->in)
            return gqa_fail_nomem();
        decoder->capacity = n;
    }
    st = gqa_file_read(reader->fd, decoder->in, n, frame->offset);
    if (st != GQA_OK)
        return st;
    if ((st = check_frame(reader->table, i, decoder->in, n)) != GQA_OK)
        return st;
    result =
        ZSTD_decompressDCtx(decoder->context, buf, n_content, decoder->in, n);
    if (ZSTD_getErrorCode(result) == ZSTD_error_checksum_wrong)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the content does not fit the checksum; it is damaged");
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return gqa_fail_nomem();
    if (ZSTD_isError(result))
        return gqa_fail(GQA_ERR_FORMAT, "it is damaged: %s",
                        ZSTD_getErrorName(result));
    if (result != n_content)
        return gqa_fail(GQA_ERR_FORMAT,
                        "it is damaged: %zu bytes of content instead of %zu",
                        result, n_content);
    return GQA_OK;
}

enum gqa_status gqa_frame_reader_read(struct gqa_frame_reader *reader, size_t i,
                                      void *buf)
{
    struct decoder *decoder = NULL;
    enum gqa_status st;

    if ((st = take_decoder(&decoder, reader)) != GQA_OK)
        return st;
    st = decompress(decoder, reader, i, buf);
    give_decoder(reader, decoder);
    if (st != GQA_OK)
        return gqa_fail_prefix(st, "frame %zu at byte %" PRIu64, i,
                               reader->table->frames[i].offset);
    return GQA_OK;
}

/* The lock is held in what follows, up to gqa_frame_reader_acquire(). */

static struct gqa_kept_frame *find_kept(const struct gqa_frame_reader *reader,
                                        size_t i)
{
    struct gqa_kept_frame *kept = reader->kept;

    while (kept && kept->frame != i)
        kept = kept->next;
    return kept;
}

static void drop(struct gqa_frame_reader *reader, struct gqa_kept_frame *kept)
{
    struct gqa_kept_frame **link = &reader->kept;

    while (*link != kept)
        link = &(*link)->next;
    *link = kept->next;
    reader->n_kept--;
    reader->kept_bytes -= kept->n_bytes;
    free(kept);
}

/* Forget frames that nobody uses, the longest unused first. */
static void make_room(struct gqa_frame_reader *reader, size_t n_bytes)
{
    while (reader->n_kept > 0 &&
           (reader->n_kept >= MAX_KEPT ||
            reader->kept_bytes + n_bytes > MAX_KEPT_BYTES)) {
        struct gqa_kept_frame *oldest = NULL;

        for (struct gqa_kept_frame *k = reader->kept; k; k = k->next)
            if (k->users == 0 && (!oldest || k->last_use < oldest->last_use))
                oldest = k;
        if (!oldest)
            return;
        drop(reader, oldest);
    }
}

/* A place for frame i, not ready; NULL when out of memory. */
static struct gqa_kept_frame *add_kept(struct gqa_frame_reader *reader,
                                       size_t i)
{
    const struct gqa_frame *frame = &reader->table->frames[i];
    const size_t n_bytes = (size_t)(frame[1].content - frame->content);
    struct gqa_kept_frame *kept;

    make_room(reader, n_bytes);
    kept = malloc(sizeof *kept + n_bytes);
    if (!kept)
        return NULL;
    kept->frame = i;
    kept->n_bytes = n_bytes;
    kept->users = 1;
    kept->is_ready = false;
    kept->next = reader->kept;
    reader->kept = kept;
    reader->n_kept++;
    reader->kept_bytes += n_bytes;
    return kept;
}

static enum gqa_status fill(struct gqa_frame_reader *reader,
                            struct gqa_kept_frame *kept)
{
    const enum gqa_status st =
        gqa_frame_reader_read(reader, kept->frame, kept->content);

    pthread_mutex_lock(&reader->lock);
    kept->is_ready = true;
    kept->last_use = ++reader->n_uses;
    if (st != GQA_OK)
        drop(reader, kept);
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
    return st;
}

enum gqa_status gqa_frame_reader_acquire(struct gqa_frame_reader *reader,
                                         size_t i, struct gqa_kept_frame **out,
                                         const unsigned char **content)
{
    enum gqa_status st = GQA_OK;
    struct gqa_kept_frame *kept;
    bool is_new = false;

    pthread_mutex_lock(&reader->lock);
    while ((kept = find_kept(reader, i)) && !kept->is_ready)
        pthread_cond_wait(&reader->changed, &reader->lock);
    if (kept) {
        kept->users++;
        kept->last_use = ++reader->n_uses;
    } else {
        kept = add_kept(reader, i);
        is_new = true;
    }
    pthread_mutex_unlock(&reader->lock);
    if (!kept)
        return gqa_fail_nomem();
    if (is_new && (st = fill(reader, kept)) != GQA_OK)
        return st;
    *out = kept;
    *content = kept->content;
    return GQA_OK;
}

void gqa_frame_reader_release(struct gqa_frame_reader *reader,
                              struct gqa_kept_frame *kept)
{
    pthread_mutex_lock(&reader->lock);
    kept->users--;
    make_room(reader, 0);
    pthread_mutex_unlock(&reader->lock);
}
