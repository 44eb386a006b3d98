/* Threads that stay, for many short jobs. */
#ifndef GQA_RUNTIME_CPU_POOL_H
#define GQA_RUNTIME_CPU_POOL_H

#include <stddef.h>

#include "common/status.h"

struct gqa_cpu_pool;

/*
 * n_threads  of them all, the caller's included; 0 counts as 1. Where the
 *            system grants fewer, those do the work.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_cpu_pool_create(struct gqa_cpu_pool **out,
                                    unsigned n_threads);
void gqa_cpu_pool_free(struct gqa_cpu_pool *pool);

unsigned gqa_cpu_pool_n_threads(const struct gqa_cpu_pool *pool);

/*
 * Call job(ctx, i, scratch) for each i below n_tasks and return when all
 * have ended. Tasks are taken in order by whichever thread is free; scratch
 * is the thread's own, of scratch_bytes, aligned to 64 bytes, and holds
 * anything. One run at a time. Errors GQA_ERR_NOMEM, and nothing was done.
 */
GQA_MUST_USE
enum gqa_status gqa_cpu_pool_run(
    struct gqa_cpu_pool *pool, size_t n_tasks, size_t scratch_bytes,
    void (*job)(void *ctx, size_t task, void *scratch), void *ctx);

#endif
