/*
 * Workers take blocks in data order. A block gets one or two buffers, is
 * produced into the first and, where frames are wanted, framed into the
 * second. From then on it waits for two things that keep their order: the
 * writer thread, which takes one block after the other, and the digest of
 * its tensor or of the file, which any worker that looks for work continues as
 * soon as the block before has been hashed. When both are done its buffers are
 * free.
 *
 * Blocks in flight are in a ring, at their number modulo its length.
 */
#include "formats/write/stream.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/workers.h"
#include "formats/gqa/frame_write.h"
#include "formats/write/buffers.h"

enum {
    RING = 64,
    /* A block, the bytes of its frame, and room to lie in place. */
    BUFFER_BYTES = (4 << 20) + 4 * GQA_SINK_ALIGN,
    BUDGET_BYTES = 160 << 20, /* buffers and encoders */
    SPARE_BUFFERS = 6,        /* where blocks wait for their turn */
    MIN_SPARE_BUFFERS = 4,
};

enum block_state { BLOCK_FREE, BLOCK_WORKING, BLOCK_READY };

struct block {
    enum block_state state;
    bool hashing, hashed, written;
    size_t rank; /* of its tensor, in data order */
    uint64_t offset;
    size_t n_bytes;
    void *content_buffer, *frame_buffer; /* of the pool, or NULL */
    unsigned char *content, *frame;      /* where in them the bytes lie */
    size_t frame_bytes;
    struct gqa_frame_encoder *encoder; /* while it is made, or NULL */
};

struct pipeline {
    const struct gqa_stream *stream;
    struct gqa_buffers *buffers;
    size_t buffers_per_block;
    struct gqa_sha256 **hashes; /* [n], one while its tensor is hashed */
    uint64_t n_blocks;

    /* Every encoder that exists, and those nobody uses now. */
    struct gqa_frame_encoder *encoders[RING], *idle_encoders[RING];
    unsigned n_encoders, n_idle_encoders;

    pthread_mutex_t lock;
    pthread_cond_t work;  /* something for a worker to do, or the end */
    pthread_cond_t ready; /* something for the writer to do, or the end */
    /* All below, and the pools, under lock. */
    struct block ring[RING];
    uint64_t claimed; /* blocks taken so far */
    uint64_t tail;    /* first block still in flight */
    size_t rank;      /* the next block to take */
    uint64_t offset;
    uint64_t file_offset; /* where it will lie, unless compressed */
    enum gqa_status status;
    char message[2048]; /* of the first failure */
};

static uint64_t tensor_blocks(const struct gqa_output_tensor *t)
{
    return t->n_bytes / GQA_BLOCK_BYTES + (t->n_bytes % GQA_BLOCK_BYTES != 0);
}

size_t gqa_stream_n_blocks(const struct gqa_stream *s)
{
    uint64_t n_blocks = 0;

    for (size_t i = 0; i < s->n; i++)
        n_blocks += tensor_blocks(&s->tensors[s->order[i]]);
    return (size_t)n_blocks;
}

static struct block *block_at(struct pipeline *p, uint64_t number)
{
    return &p->ring[number % RING];
}

static const struct gqa_output_tensor *tensor_at(const struct pipeline *p,
                                                 size_t rank)
{
    return &p->stream->tensors[p->stream->order[rank]];
}

/* Keep the first failure of any thread and wake all, so that they stop. */
static void note_failure(struct pipeline *p, enum gqa_status st)
{
    pthread_mutex_lock(&p->lock);
    if (p->status == GQA_OK) {
        p->status = st;
        strncpy(p->message, gqa_error_message(), sizeof p->message - 1);
    }
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->ready);
    pthread_mutex_unlock(&p->lock);
}

static bool is_framed(const struct pipeline *p)
{
    return p->stream->framing != GQA_FRAMING_NONE;
}

/* Free what a block no longer needs, and the front of the ring. Locked. */
static void release(struct pipeline *p, struct block *b)
{
    void **const content = &b->content_buffer;
    void **const frame = &b->frame_buffer;

    if (*content && b->hashed && (b->written || is_framed(p))) {
        gqa_buffers_give(p->buffers, *content);
        *content = NULL;
    }
    if (*frame && b->written) {
        gqa_buffers_give(p->buffers, *frame);
        *frame = NULL;
    }
    while (p->tail < p->claimed && block_at(p, p->tail)->hashed &&
           block_at(p, p->tail)->written) {
        block_at(p, p->tail)->state = BLOCK_FREE;
        p->tail++;
    }
    pthread_cond_broadcast(&p->work);
}

/* The next tensor that has blocks left. Locked. */
static void skip_empty(struct pipeline *p)
{
    while (p->rank < p->stream->n &&
           p->offset >= tensor_at(p, p->rank)->n_bytes) {
        p->rank++;
        p->offset = 0;
    }
}

/* Locked. */
static bool can_claim(const struct pipeline *p)
{
    return p->claimed < p->n_blocks && p->claimed - p->tail < RING &&
           gqa_buffers_n_left(p->buffers) >= p->buffers_per_block &&
           (p->stream->framing != GQA_FRAMING_COMPRESS ||
            p->n_idle_encoders > 0);
}

/*
 * Take the next block and what it needs. Where its place in the file is
 * known, what will be written lies so that it can be written in place.
 * Locked.
 */
static struct block *claim(struct pipeline *p)
{
    struct block *b = block_at(p, p->claimed++);
    const uint64_t left = tensor_at(p, p->rank)->n_bytes - p->offset;
    const size_t lead = p->file_offset % GQA_SINK_ALIGN;

    memset(b, 0, sizeof *b);
    b->state = BLOCK_WORKING;
    b->rank = p->rank;
    b->offset = p->offset;
    b->n_bytes = left < GQA_BLOCK_BYTES ? (size_t)left : GQA_BLOCK_BYTES;
    p->offset += b->n_bytes;
    skip_empty(p);
    b->content_buffer = gqa_buffers_take(p->buffers);
    b->content = (unsigned char *)b->content_buffer + GQA_SINK_ALIGN;
    if (is_framed(p)) {
        b->frame_buffer = gqa_buffers_take(p->buffers);
        b->frame = (unsigned char *)b->frame_buffer + GQA_SINK_ALIGN;
    } else {
        b->hashed = !p->stream->content_digest;
    }
    switch (p->stream->framing) {
    case GQA_FRAMING_NONE:
        b->content += lead;
        p->file_offset += b->n_bytes;
        break;
    case GQA_FRAMING_STORED:
        b->frame += lead;
        p->file_offset += gqa_frame_stored_bytes(b->n_bytes);
        break;
    case GQA_FRAMING_COMPRESS:
        b->encoder = p->idle_encoders[--p->n_idle_encoders];
        break;
    }
    return b;
}

static enum gqa_status make_block(struct pipeline *p, struct block *b,
                                  unsigned worker)
{
    const struct gqa_stream *s = p->stream;
    enum gqa_status st = s->produce(s->produce_ctx, worker, s->order[b->rank],
                                    b->offset, b->n_bytes, b->content);

    if (st != GQA_OK)
        return st;
    switch (s->framing) {
    case GQA_FRAMING_NONE:
        break;
    case GQA_FRAMING_STORED:
        b->frame_bytes = gqa_frame_store(b->frame, b->content, b->n_bytes);
        break;
    case GQA_FRAMING_COMPRESS:
        st = gqa_frame_encode(b->encoder, b->frame, &b->frame_bytes, b->content,
                              b->n_bytes);
        break;
    }
    return st;
}

/* A block whose turn it is in the digest of its tensor, or NULL. Locked. */
static struct block *find_hashable(struct pipeline *p)
{
    for (uint64_t i = p->tail; i < p->claimed; i++) {
        struct block *b = block_at(p, i);

        if (b->state == BLOCK_READY && !b->hashing && !b->hashed &&
            ((b->offset == 0 && !p->stream->content_digest) || i == p->tail ||
             block_at(p, i - 1)->hashed))
            return b;
    }
    return NULL;
}

static enum gqa_status hash_block(struct pipeline *p, const struct block *b)
{
    struct gqa_sha256 **hash = &p->hashes[b->rank];
    enum gqa_status st;

    if (p->stream->content_digest) {
        gqa_content_digest_update(p->stream->content_digest, b->content,
                                  b->n_bytes);
        return GQA_OK;
    }
    if (b->offset == 0 && (st = gqa_sha256_create(hash)) != GQA_OK)
        return st;
    if ((st = gqa_sha256_update(*hash, b->content, b->n_bytes)) != GQA_OK)
        return st;
    if (b->offset + b->n_bytes < tensor_at(p, b->rank)->n_bytes)
        return GQA_OK;
    st = gqa_sha256_finish(*hash, p->stream->digests[b->rank].bytes);
    gqa_sha256_free(*hash);
    *hash = NULL;
    return st;
}

/*
 * One piece of work, if there is any: first what frees buffers. Called and
 * left locked.
 */
static enum gqa_status work_once(struct pipeline *p, unsigned worker)
{
    struct block *b = find_hashable(p);
    enum gqa_status st;

    if (b) {
        b->hashing = true;
        pthread_mutex_unlock(&p->lock);
        st = hash_block(p, b);
        pthread_mutex_lock(&p->lock);
        b->hashed = true;
        release(p, b);
        return st;
    }
    if (!can_claim(p)) {
        pthread_cond_wait(&p->work, &p->lock);
        return GQA_OK;
    }
    b = claim(p);
    pthread_mutex_unlock(&p->lock);
    st = make_block(p, b, worker);
    pthread_mutex_lock(&p->lock);
    if (b->encoder)
        p->idle_encoders[p->n_idle_encoders++] = b->encoder;
    if (st == GQA_OK)
        b->state = BLOCK_READY;
    pthread_cond_broadcast(&p->work);
    pthread_cond_signal(&p->ready);
    return st;
}

static enum gqa_status run_worker(void *arg, unsigned worker)
{
    struct pipeline *p = arg;
    enum gqa_status st = GQA_OK;

    pthread_mutex_lock(&p->lock);
    while (st == GQA_OK && p->status == GQA_OK && p->tail < p->n_blocks) {
        if (gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        else
            st = work_once(p, worker);
    }
    pthread_mutex_unlock(&p->lock);
    if (st != GQA_OK)
        note_failure(p, st);
    return GQA_OK; /* the verdict is p->status */
}

static enum gqa_status write_block(struct pipeline *p, struct block *b,
                                   uint64_t number)
{
    const struct gqa_stream *s = p->stream;

    if (!is_framed(p))
        return gqa_sink_write_in_place(s->sink, b->content, b->n_bytes);
    s->frames[number] = (struct gqa_frame_info){
        .frame_bytes = (uint32_t)b->frame_bytes,
        .content_bytes = (uint32_t)b->n_bytes,
        .checksum = gqa_frame_checksum(b->frame, b->frame_bytes),
    };
    return gqa_sink_write_in_place(s->sink, b->frame, b->frame_bytes);
}

static void *run_writer(void *arg)
{
    struct pipeline *p = arg;
    const struct gqa_stream *s = p->stream;
    uint64_t done = s->progress_base;
    enum gqa_status st = GQA_OK;

    pthread_mutex_lock(&p->lock);
    for (uint64_t i = 0; i < p->n_blocks && st == GQA_OK; i++) {
        struct block *b = block_at(p, i);

        while (p->status == GQA_OK &&
               (i >= p->claimed || b->state != BLOCK_READY))
            pthread_cond_wait(&p->ready, &p->lock);
        if (p->status != GQA_OK)
            break;
        pthread_mutex_unlock(&p->lock);
        st = write_block(p, b, i);
        done += b->n_bytes;
        if (st == GQA_OK && s->progress)
            s->progress(s->progress_ctx, done, s->progress_all);
        pthread_mutex_lock(&p->lock);
        b->written = true;
        release(p, b);
    }
    pthread_mutex_unlock(&p->lock);
    if (st != GQA_OK)
        note_failure(p, st);
    return NULL;
}

/*
 * Memory that one encoder takes. It is not known until it has worked, so
 * the first one compresses an empty block.
 */
static enum gqa_status measure_encoder(struct pipeline *p, size_t *n_bytes)
{
    size_t frame_bytes;
    enum gqa_status st;
    char *zeros, *frame;

    st = gqa_frame_encoder_create(&p->encoders[0], p->stream->level);
    if (st != GQA_OK)
        return st;
    p->n_encoders = 1;
    zeros = calloc(1, GQA_BLOCK_BYTES);
    frame = malloc(gqa_frame_stored_bytes(GQA_BLOCK_BYTES));
    st = zeros && frame ? gqa_frame_encode(p->encoders[0], frame, &frame_bytes,
                                           zeros, GQA_BLOCK_BYTES)
                        : gqa_fail_nomem();
    free(frame);
    free(zeros);
    *n_bytes = gqa_frame_encoder_bytes(p->encoders[0]);
    return st;
}

/*
 * How many buffers and encoders: what the workers can use, as far as the
 * budget goes. High levels take so much memory for each encoder that fewer
 * than the workers may compress at a time.
 */
static enum gqa_status plan_memory(struct pipeline *p, size_t *n_buffers,
                                   size_t *n_encoders)
{
    const size_t all = BUDGET_BYTES / BUFFER_BYTES;
    const size_t n_threads = p->stream->n_threads;
    size_t encoder_bytes = 0, left;
    enum gqa_status st;

    *n_encoders = 0;
    *n_buffers =
        gqa_min_size(all, 2 * p->buffers_per_block * n_threads + SPARE_BUFFERS);
    if (p->stream->framing != GQA_FRAMING_COMPRESS)
        return GQA_OK;
    if ((st = measure_encoder(p, &encoder_bytes)) != GQA_OK)
        return st;
    *n_encoders = (BUDGET_BYTES - MIN_SPARE_BUFFERS * (size_t)BUFFER_BYTES) /
                  (encoder_bytes + 2 * (size_t)BUFFER_BYTES);
    *n_encoders = gqa_min_size(*n_encoders ? *n_encoders : 1, n_threads);
    left =
        BUDGET_BYTES - gqa_min_size(BUDGET_BYTES, *n_encoders * encoder_bytes);
    *n_buffers = gqa_min_size(*n_buffers, left / BUFFER_BYTES);
    if (*n_buffers < MIN_SPARE_BUFFERS)
        *n_buffers = MIN_SPARE_BUFFERS;
    return GQA_OK;
}

static enum gqa_status prepare(struct pipeline *p)
{
    const struct gqa_stream *s = p->stream;
    size_t n_buffers, n_encoders;
    enum gqa_status st;

    p->n_blocks = gqa_stream_n_blocks(s);
    p->file_offset = gqa_sink_offset(s->sink);
    p->buffers_per_block = is_framed(p) ? 2 : 1;
    p->hashes = calloc(s->n ? s->n : 1, sizeof(struct gqa_sha256 *));
    if (!p->hashes)
        return gqa_fail_nomem();
    if ((st = plan_memory(p, &n_buffers, &n_encoders)) != GQA_OK)
        return st;
    for (; p->n_encoders < n_encoders; p->n_encoders++) {
        st = gqa_frame_encoder_create(&p->encoders[p->n_encoders], s->level);
        if (st != GQA_OK)
            return st;
    }
    memcpy(p->idle_encoders, p->encoders, sizeof p->encoders);
    p->n_idle_encoders = p->n_encoders;
    skip_empty(p);
    return gqa_buffers_create(&p->buffers, n_buffers, BUFFER_BYTES);
}

/* The digest of no bytes, for tensors that have no blocks. */
static enum gqa_status digest_empty(const struct pipeline *p)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < p->stream->n && st == GQA_OK; i++)
        if (tensor_at(p, i)->n_bytes == 0)
            st = gqa_sha256(p->stream->digests[i].bytes, "", 0);
    return st;
}

static enum gqa_status run_threads(struct pipeline *p)
{
    /* More could only wait for buffers. */
    const unsigned n_workers =
        (unsigned)gqa_min_size(p->stream->n_threads, RING);
    enum gqa_status st;
    pthread_t writer;

    if (pthread_create(&writer, NULL, run_writer, p) != 0)
        return gqa_fail(GQA_ERR_NOMEM, "out of memory for a thread");
    st = gqa_workers_run(n_workers, run_worker, p);
    if (st != GQA_OK)
        note_failure(p, st);
    pthread_join(writer, NULL);
    return p->status == GQA_OK ? GQA_OK : gqa_fail(p->status, "%s", p->message);
}

enum gqa_status gqa_stream_run(const struct gqa_stream *stream)
{
    struct pipeline p = {.stream = stream};
    enum gqa_status st;

    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.work, NULL);
    pthread_cond_init(&p.ready, NULL);
    st = prepare(&p);
    if (st == GQA_OK && is_framed(&p))
        st = digest_empty(&p);
    if (st == GQA_OK && p.n_blocks > 0)
        st = run_threads(&p);
    for (size_t i = 0; p.hashes && i < stream->n; i++)
        gqa_sha256_free(p.hashes[i]);
    free(p.hashes);
    for (unsigned i = 0; i < p.n_encoders; i++)
        gqa_frame_encoder_free(p.encoders[i]);
    gqa_buffers_free(p.buffers);
    pthread_cond_destroy(&p.ready);
    pthread_cond_destroy(&p.work);
    pthread_mutex_destroy(&p.lock);
    return st;
}
