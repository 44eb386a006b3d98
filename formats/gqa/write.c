/* A .gqa: a safetensors file in frames, with a manifest and a seek table. */
#include <stdio.h>
#include <stdlib.h>

#include "formats/gqa/frame_write.h"
#include "formats/gqa/manifest_write.h"
#include "formats/write/sink.h"
#include "formats/write/weights.h"
#include "formats/writers.h"

static uint64_t file_bytes(const struct gqa_weights *w)
{
    const size_t block = gqa_frame_stored_bytes(GQA_BLOCK_BYTES);
    uint64_t total = gqa_frame_stored_bytes(w->header->n_bytes);

    if (!w->output->options->settings.store)
        return 0;
    for (size_t i = 0; i < w->n; i++) {
        const uint64_t n_bytes = w->output->tensors[w->order[i]].n_bytes;
        const size_t rest = n_bytes % GQA_BLOCK_BYTES;

        total += n_bytes / GQA_BLOCK_BYTES * block;
        total += rest > 0 ? gqa_frame_stored_bytes(rest) : 0;
    }
    return total;
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
    if (w->output->options->settings.store) {
        frame_bytes = gqa_frame_store(frame, header->bytes, header->n_bytes);
    } else {
        st = gqa_frame_encoder_create(&encoder,
                                      (int)w->output->options->settings.level);
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
                                 header_sha256, digests, w->output->tensors,
                                 w->order, w->n);
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

static enum gqa_status write_all(const struct gqa_weights *w,
                                 struct gqa_sink *sink)
{
    /* The header, the blocks, the manifest. */
    size_t n_frames = 2;
    struct gqa_frame_info *frames;
    struct gqa_digest *digests;
    struct gqa_stream stream;
    enum gqa_status st;

    stream = gqa_weights_stream(w, sink);
    stream.framing = w->output->options->settings.store ? GQA_FRAMING_STORED
                                                        : GQA_FRAMING_COMPRESS;
    stream.level = (int)w->output->options->settings.level;
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

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  const struct gqa_output *output)
{
    static const struct gqa_weights_form form = {file_bytes, write_all};

    return gqa_one_file_write(summary, output, &form);
}

static void describe(char *out, size_t size,
                     const struct gqa_output_settings *settings)
{
    if (settings->store)
        snprintf(out, size, "a .gqa, not compressed");
    else
        snprintf(out, size, "a .gqa, zstd level %u", settings->level);
}

const struct gqa_writer gqa_writer_gqa = {
    .word = ".gqa",
    .name = "gqa",
    .label = ".gqa",
    .form = "NAME.gqa",
    .names = (const char *const[]){"*.gqa", NULL},
    .settings = GQA_SETTING_COMPRESSION,
    .describe = describe,
    .check = gqa_one_file_check,
    .write = write_file,
};
