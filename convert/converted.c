#include "convert/converted.h"

#include <pthread.h>
#include <stdlib.h>

struct gqa_converted {
    const struct gqa_plan *plan;
    struct gqa_producer *producer;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned n_threads;
    bool busy[]; /* [n_threads], under lock: the producer's workers */
};

enum gqa_status gqa_converted_create(struct gqa_converted **out,
                                     const struct gqa_plan *plan,
                                     struct gqa_checkpoint *checkpoint,
                                     unsigned n_threads)
{
    struct gqa_converted *c = calloc(1, sizeof *c + n_threads * sizeof(bool));
    enum gqa_status st;

    if (!c)
        return gqa_fail_nomem();
    c->plan = plan;
    c->n_threads = n_threads;
    st = gqa_producer_create(&c->producer, plan, checkpoint, n_threads);
    if (st != GQA_OK) {
        free(c);
        return st;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->freed, NULL);
    *out = c;
    return GQA_OK;
}

void gqa_converted_free(struct gqa_converted *c)
{
    if (!c)
        return;
    gqa_producer_free(c->producer);
    pthread_cond_destroy(&c->freed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static unsigned take_worker(struct gqa_converted *c)
{
    unsigned worker = 0;

    pthread_mutex_lock(&c->lock);
    while (c->busy[worker]) {
        if (++worker < c->n_threads)
            continue;
        worker = 0;
        pthread_cond_wait(&c->freed, &c->lock);
    }
    c->busy[worker] = true;
    pthread_mutex_unlock(&c->lock);
    return worker;
}

static void give_worker(struct gqa_converted *c, unsigned worker)
{
    pthread_mutex_lock(&c->lock);
    c->busy[worker] = false;
    pthread_cond_signal(&c->freed);
    pthread_mutex_unlock(&c->lock);
}

static enum gqa_status read(void *ctx, size_t param, uint64_t row,
                            uint64_t n_rows, void *buf)
{
    struct gqa_converted *c = ctx;
    const struct gqa_plan_tensor *t = &c->plan->tensors[param];
    const uint64_t row_bytes = t->cols * gqa_dtype_bits(t->dtype) / 8;
    const unsigned worker = take_worker(c);
    const enum gqa_status st =
        gqa_produce(c->producer, worker, param, row * row_bytes,
                    (size_t)(n_rows * row_bytes), buf);

    give_worker(c, worker);
    return st;
}

struct gqa_weight_source gqa_converted_weights(struct gqa_converted *c)
{
    return (struct gqa_weight_source){read, c};
}
