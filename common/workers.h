/* A function run on several threads, with one verdict. */
#ifndef GQA_COMMON_WORKERS_H
#define GQA_COMMON_WORKERS_H

#include "common/status.h"

/*
 * Run fn(ctx, 0) ... fn(ctx, n_threads - 1), one on this thread and the
 * others on threads of their own, and wait for all. Returns the status of
 * the lowest-numbered worker that failed, with its message, else GQA_OK.
 * Where a thread cannot be started the others do its share: fn must divide
 * the work dynamically, not by worker number.
 */
GQA_MUST_USE
enum gqa_status gqa_workers_run(unsigned n_threads,
                                enum gqa_status (*fn)(void *ctx,
                                                      unsigned worker),
                                void *ctx);

#endif
