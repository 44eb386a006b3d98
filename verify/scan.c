#include "verify/scan.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/interrupt.h"
#include "common/workers.h"

/* Read at once. A multiple of what a .gqa is compressed in. */
#define BLOCK_BYTES ((uint64_t)4 << 20)

enum { MAX_THREADS = 16 };

struct job {
    struct gqa_checkpoint *checkpoint;
    struct gqa_tensor_scan *scans;
    bool with_digests;
    uint64_t all_bytes;
    pthread_mutex_t lock; /* of what follows */
    size_t next;
    uint64_t done_bytes;
    bool failed;
    struct gqa_progress *progress;
};

static void advance(struct job *job, uint64_t n_bytes)
{
    pthread_mutex_lock(&job->lock);
    job->done_bytes += n_bytes;
    if (job->progress)
        gqa_progress_update(job->progress, job->done_bytes, job->all_bytes);
    pthread_mutex_unlock(&job->lock);
}

static enum gqa_status scan_block(struct job *job, size_t index,
                                  uint64_t offset, void *buf,
                                  struct gqa_sha256 *sha256)
{
    const struct gqa_tensor *t = gqa_checkpoint_tensor(job->checkpoint, index);
    const uint64_t left = t->n_bytes - offset;
    const uint64_t n = left < BLOCK_BYTES ? left : BLOCK_BYTES;
    const struct gqa_span span = {
        .offset = offset, .piece = n, .stride = n, .count = 1};
    enum gqa_status st =
        gqa_checkpoint_read(job->checkpoint, index, &span, buf);

    if (st == GQA_OK && sha256)
        st = gqa_sha256_update(sha256, buf, (size_t)n);
    if (st != GQA_OK)
        return st;
    if (gqa_dtype_is_float(t->dtype))
        gqa_count_nonfinite(buf, t->dtype,
                            (size_t)(n / (gqa_dtype_bits(t->dtype) / 8)),
                            &job->scans[index].n_nan, &job->scans[index].n_inf);
    advance(job, n);
    return GQA_OK;
}

static enum gqa_status scan_tensor(struct job *job, size_t index, void *buf)
{
    const struct gqa_tensor *t = gqa_checkpoint_tensor(job->checkpoint, index);
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st = GQA_OK;

    if (job->with_digests)
        st = gqa_sha256_create(&sha256);
    for (uint64_t at = 0; at < t->n_bytes && st == GQA_OK; at += BLOCK_BYTES)
        st = gqa_interrupt_pending()
                 ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
                 : scan_block(job, index, at, buf, sha256);
    if (st == GQA_OK && sha256)
        st = gqa_sha256_finish(sha256, job->scans[index].sha256);
    gqa_sha256_free(sha256);
    return st;
}

/* The next tensor to read; false: none is left, or one failed. */
static bool take(struct job *job, size_t *index)
{
    bool found;

    pthread_mutex_lock(&job->lock);
    found =
        !job->failed && job->next < gqa_checkpoint_n_tensors(job->checkpoint);
    if (found)
        *index = job->next++;
    pthread_mutex_unlock(&job->lock);
    return found;
}

static enum gqa_status work(void *ctx, unsigned worker)
{
    struct job *job = ctx;
    void *buf = malloc(BLOCK_BYTES);
    enum gqa_status st = GQA_OK;
    size_t index;

    (void)worker;
    if (!buf)
        return gqa_fail_nomem();
    while (st == GQA_OK && take(job, &index))
        st = scan_tensor(job, index, buf);
    if (st != GQA_OK) {
        pthread_mutex_lock(&job->lock);
        job->failed = true;
        pthread_mutex_unlock(&job->lock);
    }
    free(buf);
    return st;
}

enum gqa_status gqa_scan(struct gqa_tensor_scan *scans,
                         struct gqa_checkpoint *checkpoint, bool with_digests,
                         unsigned n_threads, struct gqa_progress *progress)
{
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);
    struct job job = {.checkpoint = checkpoint,
                      .scans = scans,
                      .with_digests = with_digests,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .progress = progress};

    for (size_t i = 0; i < n; i++) {
        scans[i] = (struct gqa_tensor_scan){0};
        job.all_bytes += gqa_checkpoint_tensor(checkpoint, i)->n_bytes;
    }
    return gqa_workers_run(n_threads < MAX_THREADS ? n_threads : MAX_THREADS,
                           work, &job);
}
