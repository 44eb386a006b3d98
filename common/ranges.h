/* A loop whose steps may be taken in any order, by several threads. */
#ifndef GQA_COMMON_RANGES_H
#define GQA_COMMON_RANGES_H

#include <stdint.h>

#include "common/status.h"

/* fn(ctx, first, n) for [0, all) in ranges of `step` (at least 1), the last
 * one shorter; on at most n_threads. Once one has failed no more are begun by
 * its thread; the status is as of gqa_workers_run(). */
GQA_MUST_USE
enum gqa_status gqa_ranges_run(uint64_t all, uint64_t step, unsigned n_threads,
                               enum gqa_status (*fn)(void *ctx, uint64_t first,
                                                     uint64_t n),
                               void *ctx);

#endif
