#include "common/ranges.h"

#include <stdatomic.h>

#include "common/bounds.h"
#include "common/workers.h"

struct ranges {
    uint64_t all, step;
    enum gqa_status (*fn)(void *ctx, uint64_t first, uint64_t n);
    void *ctx;
    atomic_uint_fast64_t next;
};

static enum gqa_status take(void *ctx, unsigned worker)
{
    struct ranges *r = ctx;
    enum gqa_status st = GQA_OK;
    uint64_t first;

    (void)worker;
    while (st == GQA_OK &&
           (first = atomic_fetch_add(&r->next, r->step)) < r->all)
        st = r->fn(r->ctx, first, gqa_min_u64(r->step, r->all - first));
    return st;
}

enum gqa_status gqa_ranges_run(uint64_t all, uint64_t step, unsigned n_threads,
                               enum gqa_status (*fn)(void *ctx, uint64_t first,
                                                     uint64_t n),
                               void *ctx)
{
    struct ranges r = {.all = all, .step = step, .fn = fn, .ctx = ctx};
    const uint64_t n = (all + step - 1) / step;

    return gqa_workers_run((unsigned)gqa_min_u64(n_threads, n), take, &r);
}
