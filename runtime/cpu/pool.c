#include "runtime/cpu/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

struct worker {
    struct gqa_cpu_pool *pool;
    pthread_t thread;
    void *scratch;
    size_t scratch_bytes;
};

struct gqa_cpu_pool {
    struct worker *workers; /* the first is the caller */
    unsigned n_workers;
    pthread_mutex_t lock;
    pthread_cond_t begun, ended;
    /* Under the lock. */
    unsigned long generation; /* of jobs */
    unsigned n_running;
    bool stopping;
    /* The job. */
    void (*job)(void *ctx, size_t task, void *scratch);
    void *ctx;
    size_t n_tasks;
    atomic_size_t next;
};

static void work(struct gqa_cpu_pool *pool, const struct worker *worker)
{
    size_t task;

    while ((task = atomic_fetch_add(&pool->next, 1)) < pool->n_tasks)
        pool->job(pool->ctx, task, worker->scratch);
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    struct gqa_cpu_pool *pool = worker->pool;
    unsigned long seen = 0;

    pthread_mutex_lock(&pool->lock);
    while (true) {
        while (pool->generation == seen && !pool->stopping)
            pthread_cond_wait(&pool->begun, &pool->lock);
        if (pool->stopping)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->lock);
        work(pool, worker);
        pthread_mutex_lock(&pool->lock);
        if (--pool->n_running == 0)
            pthread_cond_signal(&pool->ended);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum gqa_status gqa_cpu_pool_create(struct gqa_cpu_pool **out,
                                    unsigned n_threads)
{
    struct gqa_cpu_pool *pool = calloc(1, sizeof *pool);

    if (n_threads == 0)
        n_threads = 1;
    if (!pool || !(pool->workers = calloc(n_threads, sizeof *pool->workers))) {
        free(pool);
        return gqa_fail_nomem();
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begun, NULL);
    pthread_cond_init(&pool->ended, NULL);
    pool->workers[0].pool = pool;
    for (pool->n_workers = 1; pool->n_workers < n_threads; pool->n_workers++) {
        struct worker *worker = &pool->workers[pool->n_workers];

        worker->pool = pool;
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
            break;
    }
    *out = pool;
    return GQA_OK;
}

void gqa_cpu_pool_free(struct gqa_cpu_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->begun);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_workers; i++) {
        if (i > 0)
            pthread_join(pool->workers[i].thread, NULL);
        free(pool->workers[i].scratch);
    }
    pthread_cond_destroy(&pool->begun);
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

unsigned gqa_cpu_pool_n_threads(const struct gqa_cpu_pool *pool)
{
    return pool->n_workers;
}

static enum gqa_status grow(struct worker *worker, size_t bytes)
{
    const size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *scratch;

    if (bytes <= worker->scratch_bytes)
        return GQA_OK;
    scratch = whole >= bytes ? aligned_alloc(ALIGNMENT, whole) : NULL;
    if (!scratch)
        return gqa_fail_nomem();
    free(worker->scratch);
    worker->scratch = scratch;
    worker->scratch_bytes = whole;
    return GQA_OK;
}

enum gqa_status gqa_cpu_pool_run(
    struct gqa_cpu_pool *pool, size_t n_tasks, size_t scratch_bytes,
    void (*job)(void *ctx, size_t task, void *scratch), void *ctx)
{
    const unsigned n =
        n_tasks < pool->n_workers ? (unsigned)n_tasks : pool->n_workers;
    enum gqa_status st;

    /* Any of the workers may come to take a task. */
    for (unsigned i = 0; i < (n > 1 ? pool->n_workers : 1); i++)
        if ((st = grow(&pool->workers[i], scratch_bytes)) != GQA_OK)
            return st;
    if (n <= 1) {
        for (size_t i = 0; i < n_tasks; i++)
            job(ctx, i, pool->workers[0].scratch);
        return GQA_OK;
    }
    pthread_mutex_lock(&pool->lock);
    pool->job = job;
    pool->ctx = ctx;
    pool->n_tasks = n_tasks;
    atomic_store(&pool->next, 0);
    pool->n_running = pool->n_workers - 1;
    pool->generation++;
    pthread_cond_broadcast(&pool->begun);
    pthread_mutex_unlock(&pool->lock);
    work(pool, &pool->workers[0]);
    pthread_mutex_lock(&pool->lock);
    while (pool->n_running > 0)
        pthread_cond_wait(&pool->ended, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return GQA_OK;
}
