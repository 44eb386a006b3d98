#include "formats/write/weights.h"

#include <stdlib.h>
#include <string.h>

#include "formats/gqa/frame_write.h"
#include "formats/gqa/manifest_write.h"
#include "formats/write/sink.h"
#include "formats/write/stream.h"

static enum gqa_framing framing_of(const struct gqa_weights *w)
{
    if (w->options->kind != GQA_OUTPUT_GQA)
        return GQA_FRAMING_NONE;
    return w->options->store ? GQA_FRAMING_STORED : GQA_FRAMING_COMPRESS;
}

uint64_t gqa_weights_file_bytes(const struct gqa_weights *w)
{
    const size_t block = gqa_frame_stored_bytes(GQA_BLOCK_BYTES);
    uint64_t total = gqa_frame_stored_bytes(w->header->n_bytes);

    if (framing_of(w) == GQA_FRAMING_NONE)
        return w->header->n_bytes + w->header->data_bytes;
    if (framing_of(w) == GQA_FRAMING_COMPRESS)
        return 0;
    for (size_t i = 0; i < w->n; i++) {
        const uint64_t n_bytes = w->tensors[w->order[i]].n_bytes;
        const size_t rest = n_bytes % GQA_BLOCK_BYTES;

        total += n_bytes / GQA_BLOCK_BYTES * block;
        total += rest > 0 ? gqa_frame_stored_bytes(rest) : 0;
    }
    return total;
}

static void init_stream(struct gqa_stream *stream, const struct gqa_weights *w,
                        struct gqa_sink *sink)
{
    *stream = (struct gqa_stream){
        .sink = sink,
        .framing = framing_of(w),
        .level = w->options->level,
        .n_threads = w->options->n_threads,
        .tensors = w->tensors,
        .order = w->order,
        .n = w->n,
        .produce = w->produce,
        .produce_ctx = w->produce_ctx,
        .progress = w->options->progress,
        .progress_ctx = w->options->progress_ctx,
        .progress_base = w->progress_base,
        .progress_all = w->progress_all,
    };
}

static enum gqa_status write_plain(const struct gqa_weights *w,
                                   struct gqa_sink *sink)
{
    struct gqa_stream stream;
    enum gqa_status st;

    st = gqa_sink_write(sink, w->header->bytes, w->header->n_bytes);
    if (st != GQA_OK)
        return st;
    init_stream(&stream, w, sink);
    if (w->digest)
        gqa_content_digest_update(w->digest, w->header->bytes,
                                  w->header->n_bytes);
    stream.content_digest = w->digest;
    return gqa_stream_run(&stream);
}

/* Frame 0: the length and the header, and nothing else. */
static enum gqa_status write_header_frame(const struct gqa_weights *w,
                                          struct gqa_sink *sink,
                                          struct gqa_frame_info *info)
{
    const struct gqa_st_text *header = w->header;
    struct gqa_frame_encoder *encoder = NULL;
    size_t frame_bytes = 0;
    enum gqa_status st = GQA_OK;
    void *frame = malloc(gqa_frame_stored_bytes(header->n_bytes));

    if (!frame)
        return gqa_fail_nomem();
    if (w->options->store) {
        frame_bytes = gqa_frame_store(frame, header->bytes, header->n_bytes);
    } else {
        st = gqa_frame_encoder_create(&encoder, w->options->level);
        if (st == GQA_OK)
            st = gqa_frame_encode(encoder, frame, &frame_bytes, header->bytes,
                                  header->n_bytes);
        gqa_frame_encoder_free(encoder);
    }
    if (st == GQA_OK) {
        info->frame_bytes = (uint32_t)frame_bytes;
        info->content_bytes = (uint32_t)header->n_bytes;
        info->checksum = gqa_frame_checksum(frame, frame_bytes);
        st = gqa_sink_write(sink, frame, frame_bytes);
    }
    free(frame);
    return st;
}

static enum gqa_status write_manifest(const struct gqa_weights *w,
                                      struct gqa_sink *sink,
                                      const struct gqa_digest *digests,
                                      struct gqa_frame_info *info)
{
    const struct gqa_st_text *h = w->header;
    unsigned char skippable[GQA_SKIPPABLE_HEADER_BYTES];
    unsigned char header_sha256[GQA_SHA256_BYTES];
    char *text = NULL;
    size_t n_bytes = 0;
    enum gqa_status st;

    st = gqa_sha256(header_sha256, h->bytes, h->n_bytes);
    if (st == GQA_OK)
        st = gqa_manifest_create(&text, &n_bytes, h->n_bytes + h->data_bytes,
                                 header_sha256, digests, w->tensors, w->order,
                                 w->n);
    if (st != GQA_OK)
        return st;
    if (n_bytes > GQA_MAX_MANIFEST_BYTES)
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "%s: the manifest of %zu tensors is longer than a .gqa "
                      "can have",
                      w->path, w->n);
    gqa_skippable_header(skippable, GQA_MANIFEST_MAGIC, (uint32_t)n_bytes);
    if (st == GQA_OK)
        st = gqa_sink_write(sink, skippable, sizeof skippable);
    if (st == GQA_OK)
        st = gqa_sink_write(sink, text, n_bytes);
    free(text);
    info->frame_bytes = (uint32_t)(sizeof skippable + n_bytes);
    info->content_bytes = 0;
    info->checksum = 0;
    return st;
}

static enum gqa_status write_seek_table(struct gqa_sink *sink,
                                        const struct gqa_frame_info *frames,
                                        size_t n)
{
    unsigned char skippable[GQA_SKIPPABLE_HEADER_BYTES];
    unsigned char footer[GQA_SEEK_FOOTER_BYTES];
    unsigned char entry[GQA_SEEK_ENTRY_BYTES];
    enum gqa_status st;

    gqa_skippable_header(skippable, GQA_SEEK_TABLE_MAGIC,
                         (uint32_t)(n * sizeof entry + sizeof footer));
    st = gqa_sink_write(sink, skippable, sizeof skippable);
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        gqa_seek_entry(entry, frames[i].frame_bytes, frames[i].content_bytes,
                       frames[i].checksum);
        st = gqa_sink_write(sink, entry, sizeof entry);
    }
    if (st != GQA_OK)
        return st;
    gqa_seek_footer(footer, (uint32_t)n);
    return gqa_sink_write(sink, footer, sizeof footer);
}

static enum gqa_status write_framed(const struct gqa_weights *w,
                                    struct gqa_sink *sink)
{
    /* The header, the blocks, the manifest. */
    size_t n_frames = 2;
    struct gqa_frame_info *frames;
    struct gqa_digest *digests;
    struct gqa_stream stream;
    enum gqa_status st;

    init_stream(&stream, w, sink);
    n_frames += gqa_stream_n_blocks(&stream);
    if (n_frames > GQA_SEEK_MAX_FRAMES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %zu frames are more than a .gqa can list", w->path,
                        n_frames);
    frames = calloc(n_frames, sizeof *frames);
    digests = calloc(w->n ? w->n : 1, sizeof *digests);
    if (!frames || !digests) {
        st = gqa_fail_nomem();
        goto done;
    }
    if ((st = write_header_frame(w, sink, &frames[0])) != GQA_OK)
        goto done;
    stream.digests = digests;
    stream.frames = frames + 1;
    if ((st = gqa_stream_run(&stream)) != GQA_OK)
        goto done;
    st = write_manifest(w, sink, digests, &frames[n_frames - 1]);
    if (st == GQA_OK)
        st = write_seek_table(sink, frames, n_frames);
done:
    free(digests);
    free(frames);
    return st;
}

enum gqa_status gqa_weights_write(const struct gqa_weights *w, int fd,
                                  uint64_t *file_bytes)
{
    struct gqa_sink *sink = NULL;
    enum gqa_status st;

    st = gqa_sink_create(&sink, fd, w->path, gqa_weights_file_bytes(w));
    if (st != GQA_OK)
        return st;
    st = framing_of(w) == GQA_FRAMING_NONE ? write_plain(w, sink)
                                           : write_framed(w, sink);
    if (st == GQA_OK)
        st = gqa_sink_finish(sink);
    *file_bytes = gqa_sink_offset(sink);
    gqa_sink_free(sink);
    return st;
}
