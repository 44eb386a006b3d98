#include "common/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    pthread_t thread;
    enum gqa_status (*fn)(void *ctx, unsigned worker);
    void *ctx;
    unsigned number;
    enum gqa_status status;
    char message[2048];
};

static void *run_worker(void *arg)
{
    struct worker *w = arg;

    w->status = w->fn(w->ctx, w->number);
    if (w->status != GQA_OK) {
        strncpy(w->message, gqa_error_message(), sizeof w->message - 1);
        w->message[sizeof w->message - 1] = '\0';
    }
    return NULL;
}

enum gqa_status gqa_workers_run(unsigned n_threads,
                                enum gqa_status (*fn)(void *ctx,
                                                      unsigned worker),
                                void *ctx)
{
    enum gqa_status st = GQA_OK;
    struct worker *workers;
    unsigned started = 1;

    if (n_threads == 0)
        n_threads = 1;
    workers = calloc(n_threads, sizeof *workers);
    if (!workers)
        return gqa_fail_nomem();
    for (unsigned i = 0; i < n_threads; i++) {
        workers[i].fn = fn;
        workers[i].ctx = ctx;
        workers[i].number = i;
    }
    while (started < n_threads &&
           pthread_create(&workers[started].thread, NULL, run_worker,
                          &workers[started]) == 0)
        started++;
    run_worker(&workers[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < started && st == GQA_OK; i++)
        if (workers[i].status != GQA_OK)
            st = gqa_fail(workers[i].status, "%s", workers[i].message);
    free(workers);
    return st;
}
