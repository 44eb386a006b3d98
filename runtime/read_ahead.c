#include "runtime/read_ahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/large.h"

/* Read at a time: a thread that is to end does so within one. */
#define SLICE_BYTES ((uint64_t)16 << 20)

struct gqa_read_ahead {
    struct gqa_weight_source source;
    const struct gqa_model *model;
    char **data; /* [n_params]; NULL: not read */
    enum gqa_use *uses;
    pthread_t thread;
    bool is_running;
    atomic_bool stop;
};

/* Whether all of it was read. */
static bool read_param(struct gqa_read_ahead *a, size_t index, char *data)
{
    const struct gqa_param *p = &a->model->params[index];
    const uint64_t row_bytes = p->n_bytes / p->rows;
    const uint64_t step = gqa_max_u64(SLICE_BYTES / row_bytes, 1);

    for (uint64_t row = 0; row < p->rows; row += step) {
        const uint64_t n = gqa_min_u64(p->rows - row, step);

        if (atomic_load(&a->stop) || gqa_interrupt_pending() ||
            a->source.read(a->source.ctx, index, row, n,
                           data + row * row_bytes) != GQA_OK)
            return false;
    }
    return true;
}

static void *read_all(void *arg)
{
    struct gqa_read_ahead *a = arg;

    for (size_t i = 0; i < a->model->n_params && !atomic_load(&a->stop); i++) {
        char *data;

        if (a->uses[i] != GQA_USE_DEVICE)
            continue;
        data = gqa_large_malloc((size_t)a->model->params[i].n_bytes);
        if (!data || !read_param(a, i, data)) {
            free(data);
            return NULL;
        }
        a->data[i] = data;
    }
    return NULL;
}

enum gqa_status gqa_read_ahead_create(struct gqa_read_ahead **out,
                                      const struct gqa_weight_source *source,
                                      const struct gqa_model *model)
{
    struct gqa_read_ahead *a = calloc(1, sizeof *a);

    if (!a)
        return gqa_fail_nomem();
    a->source = *source;
    a->model = model;
    a->data = calloc(model->n_params, sizeof *a->data);
    a->uses = calloc(model->n_params, sizeof *a->uses);
    if (!a->data || !a->uses) {
        gqa_read_ahead_free(a);
        return gqa_fail_nomem();
    }
    *out = a;
    return GQA_OK;
}

void gqa_read_ahead_wait(struct gqa_read_ahead *a)
{
    if (a->is_running)
        pthread_join(a->thread, NULL);
    a->is_running = false;
}

void gqa_read_ahead_drop(struct gqa_read_ahead *a)
{
    atomic_store(&a->stop, true);
    gqa_read_ahead_wait(a);
    for (size_t i = 0; a->data && i < a->model->n_params; i++) {
        free(a->data[i]);
        a->data[i] = NULL;
    }
}

void gqa_read_ahead_begin(struct gqa_read_ahead *a, const enum gqa_use *uses)
{
    gqa_read_ahead_drop(a);
    atomic_store(&a->stop, false);
    memcpy(a->uses, uses, a->model->n_params * sizeof *uses);
    a->is_running = pthread_create(&a->thread, NULL, read_all, a) == 0;
}

void gqa_read_ahead_free(struct gqa_read_ahead *a)
{
    if (!a)
        return;
    gqa_read_ahead_drop(a);
    free(a->data);
    free(a->uses);
    free(a);
}

static enum gqa_status read_rows(void *ctx, size_t param, uint64_t row,
                                 uint64_t n_rows, void *buf)
{
    const struct gqa_read_ahead *a = ctx;
    const struct gqa_param *p = &a->model->params[param];
    const uint64_t row_bytes = p->n_bytes / p->rows;

    if (!a->data[param])
        return a->source.read(a->source.ctx, param, row, n_rows, buf);
    memcpy(buf, a->data[param] + row * row_bytes, (size_t)(n_rows * row_bytes));
    return GQA_OK;
}

struct gqa_weight_source gqa_read_ahead_source(struct gqa_read_ahead *a)
{
    return (struct gqa_weight_source){read_rows, a};
}
