#include "inspect/stats.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/workers.h"

/* Read at once. A multiple of what a .gqa is compressed in. */
#define BLOCK_BYTES ((size_t)4 << 20)

enum {
    MAX_THREADS = 8,
    STAGE = 1024, /* elements converted at once; fits the L1 cache */
    LANES = 8,
};

/* Heads of one K or V weight, read and summed by one worker from end to end
 * so that the order of additions does not depend on threads. */
struct head_task {
    const struct gqa_param *param;
    const struct gqa_slice *slice;
    uint64_t head_dim;
    double *norms;
};

struct job {
    struct gqa_checkpoint *checkpoint;
    struct gqa_stats *stats;
    struct head_task *head_tasks;
    size_t n_head_tasks;
    pthread_mutex_t lock; /* of what follows, and of stats->tensors */
    size_t next_head_task;
    size_t next_tensor;
    uint64_t next_offset;
    bool failed;
};

/* What one worker reads into. */
struct buffers {
    void *data, *scratch; /* BLOCK_BYTES each */
    double stage[STAGE];
};

static void scan(struct gqa_tensor_stats *stats, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) {
            stats->n_nan++;
        } else if (isinf(x[i])) {
            stats->n_inf++;
        } else {
            stats->min = x[i] < stats->min ? x[i] : stats->min;
            stats->max = x[i] > stats->max ? x[i] : stats->max;
            stats->n_finite++;
        }
    }
}

/*
 * Sum of squares in an order that is always the same. Several lanes, since
 * one chain of additions would be slower than reading.
 */
static double sum_squares(const double *x, size_t n)
{
    double lanes[LANES] = {0};
    double sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += x[i + j] * x[i + j];
    for (; i < n; i++)
        sum += x[i] * x[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static double sum_squares_of(struct buffers *buffers, const char *data,
                             enum gqa_dtype dtype, size_t n)
{
    const size_t size = gqa_dtype_bits(dtype) / 8;
    double sum = 0;

    for (size_t i = 0; i < n; i += STAGE) {
        const size_t m = (size_t)gqa_min_u64(STAGE, n - i);

        gqa_load_f64(buffers->stage, data + i * size, dtype, m);
        sum += sum_squares(buffers->stage, m);
    }
    return sum;
}

static enum gqa_status scan_block(struct job *job, struct buffers *buffers,
                                  size_t index, uint64_t offset)
{
    const struct gqa_tensor *tensor =
        gqa_checkpoint_tensor(job->checkpoint, index);
    const size_t size = gqa_dtype_bits(tensor->dtype) / 8;
    const size_t n_bytes =
        (size_t)gqa_min_u64(BLOCK_BYTES, tensor->n_bytes - offset);
    const size_t n = n_bytes / size;
    const struct gqa_span span = {
        .offset = offset, .piece = n_bytes, .stride = n_bytes, .count = 1};
    struct gqa_tensor_stats found = {.min = INFINITY, .max = -INFINITY};
    struct gqa_tensor_stats *all = &job->stats->tensors[index];
    enum gqa_status st;

    st = gqa_checkpoint_read(job->checkpoint, index, &span, buffers->data);
    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < n; i += STAGE) {
        const size_t m = (size_t)gqa_min_u64(STAGE, n - i);

        gqa_load_f64(buffers->stage, (const char *)buffers->data + i * size,
                     tensor->dtype, m);
        scan(&found, buffers->stage, m);
    }
    pthread_mutex_lock(&job->lock);
    all->n_nan += found.n_nan;
    all->n_inf += found.n_inf;
    all->n_finite += found.n_finite;
    all->min = found.min < all->min ? found.min : all->min;
    all->max = found.max > all->max ? found.max : all->max;
    pthread_mutex_unlock(&job->lock);
    return GQA_OK;
}

/* A rectangle of a parameter's matrix whose heads begin at head `first`. */
struct tile {
    uint64_t row, n_rows, col, n_cols;
};

/*
 * Add the squares of a tile to the heads it covers. run: the index along the
 * slice's axis at which head `first` begins.
 */
static enum gqa_status add_tile(struct job *job, struct buffers *buffers,
                                const struct head_task *task,
                                const struct tile *tile, uint64_t first,
                                uint64_t run)
{
    const enum gqa_dtype dtype = task->param->dtype;
    const size_t size = gqa_dtype_bits(dtype) / 8;
    const char *data = buffers->data;
    enum gqa_status st;

    st = gqa_param_read(job->checkpoint, task->param, tile->row, tile->n_rows,
                        tile->col, tile->n_cols, buffers->data, tile->n_cols,
                        buffers->scratch);
    if (st != GQA_OK)
        return st;
    for (uint64_t r = 0; r < tile->n_rows; r++) {
        uint64_t c = 0;

        while (c < tile->n_cols) {
            const uint64_t index =
                task->slice->axis == 0 ? tile->row + r : tile->col + c;
            const uint64_t head = (index - run) / task->head_dim;
            uint64_t n = tile->n_cols - c;

            if (task->slice->axis == 1) /* up to where the head ends */
                n = gqa_min_u64(n, (head + 1) * task->head_dim - (index - run));
            task->norms[first + head] +=
                sum_squares_of(buffers, data, dtype, (size_t)n);
            data += n * size;
            c += n;
        }
    }
    return GQA_OK;
}

/* Whether the parameter's columns, not its rows, lie together in the file. */
static bool lies_transposed(const struct gqa_param *param)
{
    return param->n_parts > 0 && param->parts[0].transposed;
}

/*
 * Heads [first, first + n_heads), whose indices along the axis follow each
 * other, tile by tile. A tile spans the side that lies together in the file
 * as far as the buffer allows.
 */
static enum gqa_status add_run(struct job *job, struct buffers *buffers,
                               const struct head_task *task, uint64_t first,
                               uint64_t n_heads)
{
    const struct gqa_param *param = task->param;
    const struct gqa_slice *slice = task->slice;
    const uint64_t run = gqa_slice_head(slice, task->head_dim, first);
    const uint64_t n = n_heads * task->head_dim;
    const uint64_t row_0 = slice->axis == 0 ? run : 0;
    const uint64_t col_0 = slice->axis == 0 ? 0 : run;
    const uint64_t n_rows = slice->axis == 0 ? n : param->rows;
    const uint64_t n_cols = slice->axis == 0 ? param->cols : n;
    const uint64_t room = BLOCK_BYTES / (gqa_dtype_bits(param->dtype) / 8);
    uint64_t tile_rows, tile_cols;

    if (n_rows == 0 || n_cols == 0)
        return GQA_OK;
    if (lies_transposed(param)) {
        tile_rows = gqa_min_u64(n_rows, room);
        tile_cols = gqa_min_u64(n_cols, room / tile_rows);
    } else {
        tile_cols = gqa_min_u64(n_cols, room);
        tile_rows = gqa_min_u64(n_rows, room / tile_cols);
    }
    for (uint64_t r = 0; r < n_rows; r += tile_rows)
        for (uint64_t c = 0; c < n_cols; c += tile_cols) {
            const struct tile tile = {
                row_0 + r, gqa_min_u64(tile_rows, n_rows - r), col_0 + c,
                gqa_min_u64(tile_cols, n_cols - c)};
            const enum gqa_status st =
                add_tile(job, buffers, task, &tile, first, run);

            if (st != GQA_OK)
                return st;
        }
    return GQA_OK;
}

static enum gqa_status sum_heads(struct job *job, struct buffers *buffers,
                                 const struct head_task *task)
{
    const struct gqa_slice *slice = task->slice;
    const uint64_t n_heads = slice->n_heads;
    const bool in_a_row =
        slice->block_stride == slice->per_block * task->head_dim;
    const uint64_t per_block = in_a_row ? n_heads : slice->per_block;
    enum gqa_status st;

    for (uint64_t h = 0; h < n_heads; h += per_block) {
        st =
            add_run(job, buffers, task, h, gqa_min_u64(per_block, n_heads - h));
        if (st != GQA_OK)
            return st;
    }
    for (uint64_t h = 0; h < n_heads; h++)
        task->norms[h] = sqrt(task->norms[h]);
    return GQA_OK;
}

/* Take the next block to scan. False: none is left. */
static bool next_block(struct job *job, size_t *tensor, uint64_t *offset)
{
    const size_t n_tensors = job->stats->n_tensors;

    for (; job->next_tensor < n_tensors; job->next_tensor++) {
        const struct gqa_tensor *t =
            gqa_checkpoint_tensor(job->checkpoint, job->next_tensor);

        if (job->stats->tensors[job->next_tensor].is_float &&
            job->next_offset < t->n_bytes) {
            *tensor = job->next_tensor;
            *offset = job->next_offset;
            job->next_offset += gqa_min_u64(BLOCK_BYTES, t->n_bytes - *offset);
            return true;
        }
        job->next_offset = 0;
    }
    return false;
}

/* One piece of work; *done when there was none. Heads are the longer ones
 * and go first. */
static enum gqa_status work_once(struct job *job, struct buffers *buffers,
                                 bool *done)
{
    const struct head_task *task = NULL;
    size_t tensor = 0;
    uint64_t offset = 0;

    pthread_mutex_lock(&job->lock);
    if (job->failed)
        *done = true;
    else if (job->next_head_task < job->n_head_tasks)
        task = &job->head_tasks[job->next_head_task++];
    else
        *done = !next_block(job, &tensor, &offset);
    pthread_mutex_unlock(&job->lock);
    if (*done)
        return GQA_OK;
    return task ? sum_heads(job, buffers, task)
                : scan_block(job, buffers, tensor, offset);
}

static enum gqa_status work(void *ctx, unsigned worker)
{
    struct job *job = ctx;
    struct buffers *buffers = calloc(1, sizeof *buffers);
    enum gqa_status st = GQA_OK;
    bool done = false;

    (void)worker;
    if (!buffers)
        return gqa_fail_nomem();
    buffers->data = malloc(BLOCK_BYTES);
    buffers->scratch = malloc(BLOCK_BYTES);
    if (!buffers->data || !buffers->scratch)
        st = gqa_fail_nomem();
    while (st == GQA_OK && !done)
        st = work_once(job, buffers, &done);
    if (st != GQA_OK) {
        pthread_mutex_lock(&job->lock);
        job->failed = true;
        pthread_mutex_unlock(&job->lock);
    }
    free(buffers->data);
    free(buffers->scratch);
    free(buffers);
    return st;
}

static enum gqa_status count_heads(size_t *n, const struct gqa_model *model)
{
    /* More than any model has; a guard against counts out of a file. */
    const uint64_t most = (uint64_t)1 << 24;
    uint64_t sum = 0;

    for (size_t i = 0; model && i < model->n_attentions; i++) {
        const uint64_t heads = model->attentions[i].n_kv_heads;

        if (heads > most || sum + 2 * heads > most)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "more than %llu key and value heads",
                            (unsigned long long)most);
        sum += 2 * heads;
    }
    *n = (size_t)sum;
    return GQA_OK;
}

/* Give each attention's K and V heads their room and their task. */
static void plan_heads(struct gqa_stats *stats, struct job *job,
                       const struct gqa_model *model)
{
    double *room = stats->norms;

    for (size_t i = 0; i < stats->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const struct gqa_slice *slices[2] = {&a->k, &a->v};
        double **norms[2] = {&stats->heads[i].k, &stats->heads[i].v};

        for (unsigned j = 0; j < 2; j++) {
            const struct gqa_param *param = &model->params[slices[j]->weight];

            if (!gqa_dtype_is_float(param->dtype))
                continue;
            *norms[j] = room;
            room += a->n_kv_heads;
            job->head_tasks[job->n_head_tasks++] =
                (struct head_task){.param = param,
                                   .slice = slices[j],
                                   .head_dim = a->head_dim,
                                   .norms = *norms[j]};
        }
    }
}

enum gqa_status gqa_stats_create(struct gqa_stats **out,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_model *model,
                                 unsigned n_threads)
{
    struct gqa_stats *stats = calloc(1, sizeof *stats);
    struct job job = {.checkpoint = checkpoint,
                      .stats = stats,
                      .lock = PTHREAD_MUTEX_INITIALIZER};
    enum gqa_status st;
    size_t n_norms = 0;

    if (!stats)
        return gqa_fail_nomem();
    stats->n_tensors = gqa_checkpoint_n_tensors(checkpoint);
    stats->n_attentions = model ? model->n_attentions : 0;
    if ((st = count_heads(&n_norms, model)) != GQA_OK)
        goto done;
    /* One more of each: calloc(0) may give NULL. */
    stats->tensors = calloc(stats->n_tensors + 1, sizeof *stats->tensors);
    stats->heads = calloc(stats->n_attentions + 1, sizeof *stats->heads);
    stats->norms = calloc(n_norms + 1, sizeof *stats->norms);
    job.head_tasks =
        calloc(2 * stats->n_attentions + 1, sizeof *job.head_tasks);
    if (!stats->tensors || !stats->heads || !stats->norms || !job.head_tasks) {
        st = gqa_fail_nomem();
        goto done;
    }
    for (size_t i = 0; i < stats->n_tensors; i++) {
        stats->tensors[i].is_float =
            gqa_dtype_is_float(gqa_checkpoint_tensor(checkpoint, i)->dtype);
        stats->tensors[i].min = INFINITY;
        stats->tensors[i].max = -INFINITY;
    }
    plan_heads(stats, &job, model);
    st = gqa_workers_run(n_threads < MAX_THREADS ? n_threads : MAX_THREADS,
                         work, &job);
    if (st == GQA_OK) {
        *out = stats;
        stats = NULL;
    }
done:
    free(job.head_tasks);
    gqa_stats_free(stats);
    return st;
}

void gqa_stats_free(struct gqa_stats *stats)
{
    if (!stats)
        return;
    free(stats->tensors);
    free(stats->heads);
    free(stats->norms);
    free(stats);
}
