#include "runtime/load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/cli.h"
#include "common/interrupt.h"
#include "common/large.h"
#include "common/workers.h"

enum {
    MAX_THREADS = 8, /* more than fill a bus from the page cache */
    STAGINGS = 2,    /* a thread's: one is read into, one uploaded */
};

/*
 * Bytes of a slice, what is read at a time: enough to pay for an upload, and
 * for a transposed weight to be read in pieces of a page or so. Two in
 * pinned memory for each thread; where none are needed, what reading itself
 * needs beside it is to stay small.
 */
static const uint64_t STAGED_BYTES = (uint64_t)8 << 20;
static const uint64_t IN_PLACE_BYTES = (uint64_t)4 << 20;

/* A load that is no more than a block's attention is cut finer, so that all
 * threads have some of it: its weights may have to be made, not only read. */
static const uint64_t LEAST_BYTES = (uint64_t)1 << 20;
enum { SLICES_A_THREAD = 4 };

/* Rows of a parameter. */
struct slice {
    const struct gqa_load *load;
    uint64_t row, n_rows;
};

struct worker {
    struct gqa_staging *stagings[STAGINGS];
    unsigned turn;
};

struct gqa_loader {
    const struct gqa_model *model;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    unsigned n_threads;
    struct worker workers[MAX_THREADS];
    /* Of a run. */
    const struct gqa_weight_source *weights;
    struct slice *slices;
    size_t n_slices;
    uint64_t slice_bytes; /* of the largest */
    pthread_mutex_t lock;
    /* Under the lock. Slices are taken in order, so that when one fails, all
     * before it have been taken, and the first to fail is known. */
    size_t next, failed; /* failed: n_slices where none has */
    enum gqa_status status;
    char message[2048];
};

enum gqa_status gqa_loader_create(struct gqa_loader **out,
                                  const struct gqa_model *model,
                                  const struct gqa_backend *backend,
                                  struct gqa_device *device)
{
    struct gqa_device_info info = {.n_threads = 0};
    const enum gqa_status st = backend->describe(device, &info);
    struct gqa_loader *l;

    if (st != GQA_OK)
        return st;
    if (!(l = calloc(1, sizeof *l)))
        return gqa_fail_nomem();
    l->model = model;
    l->backend = backend;
    l->device = device;
    l->n_threads = info.n_threads ? info.n_threads : gqa_cli_n_processors();
    if (l->n_threads > MAX_THREADS)
        l->n_threads = MAX_THREADS;
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return GQA_OK;
}

void gqa_loader_free(struct gqa_loader *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < MAX_THREADS; i++)
        for (unsigned j = 0; j < STAGINGS; j++)
            if (l->workers[i].stagings[j])
                l->backend->stage_close(l->device, l->workers[i].stagings[j]);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* --- Slices --------------------------------------------------------------- */

static const struct gqa_param *param_of(const struct gqa_loader *l,
                                        const struct gqa_load *load)
{
    return &l->model->params[load->param];
}

static uint64_t row_bytes(const struct gqa_param *p)
{
    return p->n_bytes / p->rows;
}

static uint64_t bytes_of_slice(const struct gqa_loader *l,
                               const struct gqa_load *loads, size_t n)
{
    const uint64_t most = l->backend->in_place ? IN_PLACE_BYTES : STAGED_BYTES;
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += param_of(l, &loads[i])->n_bytes;
    total /= (uint64_t)l->n_threads * SLICES_A_THREAD;
    return gqa_min_u64(gqa_max_u64(total, LEAST_BYTES), most);
}

static uint64_t rows_of_slice(const struct gqa_param *p, uint64_t n_bytes)
{
    return gqa_min_u64(gqa_max_u64(n_bytes / row_bytes(p), 1), p->rows);
}

static enum gqa_status cut(struct gqa_loader *l, const struct gqa_load *loads,
                           size_t n)
{
    const uint64_t n_bytes = bytes_of_slice(l, loads, n);
    size_t total = 0;

    for (size_t i = 0; i < n; i++) {
        const struct gqa_param *p = param_of(l, &loads[i]);
        const uint64_t step = rows_of_slice(p, n_bytes);

        total += (size_t)((p->rows + step - 1) / step);
    }
    l->n_slices = 0;
    l->slice_bytes = 0;
    if (!(l->slices = calloc(total ? total : 1, sizeof *l->slices)))
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        const struct gqa_param *p = param_of(l, &loads[i]);
        const uint64_t step = rows_of_slice(p, n_bytes);

        l->slice_bytes = gqa_max_u64(l->slice_bytes, step * row_bytes(p));
        for (uint64_t row = 0; row < p->rows; row += step)
            l->slices[l->n_slices++] = (struct slice){
                &loads[i], row, gqa_min_u64(step, p->rows - row)};
    }
    return GQA_OK;
}

/* --- What a thread does --------------------------------------------------- */

static enum gqa_status read_slice(struct gqa_loader *l,
                                  const struct slice *slice, void *buf)
{
    return l->weights->read(l->weights->ctx, slice->load->param, slice->row,
                            slice->n_rows, buf);
}

static enum gqa_status fill_table(struct gqa_loader *l,
                                  const struct slice *slice)
{
    const struct gqa_param *p = param_of(l, slice->load);
    void *buf = gqa_large_malloc((size_t)(slice->n_rows * row_bytes(p)));
    enum gqa_status st;

    if (!buf)
        return gqa_fail_nomem();
    st = read_slice(l, slice, buf);
    if (st == GQA_OK)
        gqa_load_f64(slice->load->table + slice->row * p->cols, buf, p->dtype,
                     (size_t)(slice->n_rows * p->cols));
    free(buf);
    return st;
}

/* The thread's next staging, free to be written. */
static enum gqa_status take_staging(struct gqa_staging **out,
                                    const struct gqa_loader *l,
                                    struct worker *worker)
{
    struct gqa_staging **at = &worker->stagings[worker->turn++ % STAGINGS];
    enum gqa_status st = GQA_OK;

    if (*at && (*at)->n_bytes < l->slice_bytes) {
        l->backend->stage_close(l->device, *at);
        *at = NULL;
    }
    st = *at ? l->backend->stage_wait(l->device, *at)
             : l->backend->stage_open(l->device, at, l->slice_bytes);
    *out = *at;
    return st;
}

static enum gqa_status load_slice(struct gqa_loader *l, struct worker *worker,
                                  const struct slice *slice)
{
    const uint64_t pitch = row_bytes(param_of(l, slice->load));
    struct gqa_staging *staging = NULL;
    enum gqa_status st;
    char *to;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    if (slice->load->table)
        return fill_table(l, slice);
    to = (char *)slice->load->data + slice->row * pitch;
    if (l->backend->in_place)
        return read_slice(l, slice, to);
    st = take_staging(&staging, l, worker);
    if (st == GQA_OK)
        st = read_slice(l, slice, staging->data);
    if (st == GQA_OK)
        st = l->backend->stage_send(l->device, staging, to,
                                    slice->n_rows * pitch);
    return st;
}

/* The next slice, or n_slices: all are taken, or one has failed. */
static size_t take_slice(struct gqa_loader *l)
{
    size_t i = l->n_slices;

    pthread_mutex_lock(&l->lock);
    if (l->failed == l->n_slices && l->next < l->n_slices)
        i = l->next++;
    pthread_mutex_unlock(&l->lock);
    return i;
}

static void note_failure(struct gqa_loader *l, size_t i, enum gqa_status st)
{
    pthread_mutex_lock(&l->lock);
    if (i < l->failed) {
        l->failed = i;
        l->status = st;
        snprintf(l->message, sizeof l->message, "%s", gqa_error_message());
    }
    pthread_mutex_unlock(&l->lock);
}

static enum gqa_status work(void *ctx, unsigned number)
{
    struct gqa_loader *l = ctx;
    size_t i;

    while ((i = take_slice(l)) < l->n_slices) {
        const enum gqa_status st =
            load_slice(l, &l->workers[number], &l->slices[i]);

        if (st != GQA_OK)
            note_failure(l, i, st);
    }
    return GQA_OK;
}

/* --- All of it ------------------------------------------------------------ */

/* Also after a failure: where uploads go may be freed next. */
static enum gqa_status wait_for_uploads(const struct gqa_loader *l)
{
    enum gqa_status first = GQA_OK;

    for (unsigned i = 0; i < MAX_THREADS; i++)
        for (unsigned j = 0; j < STAGINGS; j++) {
            struct gqa_staging *staging = l->workers[i].stagings[j];
            const enum gqa_status st =
                staging ? l->backend->stage_wait(l->device, staging) : GQA_OK;

            if (first == GQA_OK)
                first = st;
        }
    return first;
}

enum gqa_status gqa_loader_run(struct gqa_loader *l,
                               const struct gqa_weight_source *weights,
                               const struct gqa_load *loads, size_t n)
{
    enum gqa_status st = cut(l, loads, n), uploaded;

    if (st != GQA_OK)
        return st;
    l->weights = weights;
    l->next = 0;
    l->failed = l->n_slices;
    st = gqa_workers_run(
        (unsigned)gqa_min_u64(l->n_threads, gqa_max_u64(l->n_slices, 1)), work,
        l);
    uploaded = wait_for_uploads(l);
    if (st == GQA_OK)
        st = l->failed < l->n_slices ? gqa_fail(l->status, "%s", l->message)
                                     : uploaded;
    free(l->slices);
    l->slices = NULL;
    l->weights = NULL;
    return st;
}
