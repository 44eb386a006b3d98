/*
 * The blocks of a list of tensors on their way into one file: produced,
 * hashed and framed on several threads, written in order by one more.
 */
#ifndef GQA_FORMATS_WRITE_STREAM_H
#define GQA_FORMATS_WRITE_STREAM_H

#include "formats/content_digest.h"
#include "formats/gqa/manifest_write.h"
#include "formats/write/output.h"
#include "formats/write/sink.h"

enum gqa_framing {
    GQA_FRAMING_NONE,     /* content as it is, not hashed */
    GQA_FRAMING_STORED,   /* a frame for each block, without compression */
    GQA_FRAMING_COMPRESS, /* a frame for each block, stored if not shorter */
};

/* A frame as the seek table lists it. */
struct gqa_frame_info {
    uint32_t frame_bytes, content_bytes, checksum;
};

struct gqa_stream {
    struct gqa_sink *sink; /* lent; blocks follow what is in it */
    enum gqa_framing framing;
    int level;
    unsigned n_threads;
    const struct gqa_output_tensor *tensors; /* lent */
    const size_t *order;                     /* [n], lent: data order */
    size_t n;
    gqa_produce_fn produce;
    void *produce_ctx;
    /* As in gqa_output_options; done_bytes starts at progress_base. */
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t all_bytes);
    void *progress_ctx;
    uint64_t progress_base, progress_all;

    /* Filled when framed, both lent. */
    struct gqa_digest *digests;    /* [n], in data order */
    struct gqa_frame_info *frames; /* [gqa_stream_n_blocks()] */

    /* Unframed: all bytes go into it, in their order; lent, or NULL. */
    struct gqa_content_digest *content_digest;
};

/* Blocks that the tensors are cut into. */
size_t gqa_stream_n_blocks(const struct gqa_stream *stream);

/*
 * Send all blocks into the sink.
 *
 * The bytes do not depend on n_threads. Memory: a fixed budget, whatever
 * the tensors, n_threads or level.
 *
 * Errors those of produce; GQA_ERR_INTERRUPTED; GQA_ERR_IO from the
 *        sink; GQA_ERR_USAGE: no such level; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_stream_run(const struct gqa_stream *stream);

#endif
