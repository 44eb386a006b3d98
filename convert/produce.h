/*
 * The content of output tensors, block by block: read, pool or copy, round.
 * Several workers produce at once; each has buffers of its own.
 */
#ifndef GQA_CONVERT_PRODUCE_H
#define GQA_CONVERT_PRODUCE_H

#include "convert/plan.h"

struct gqa_producer;

/* What was met on the way, for a warning. */
struct gqa_nonfinite {
    uint64_t n_nan, n_inf;
};

/*
 * plan and checkpoint are lent and must outlive the producer. Memory grows
 * with n_workers alone, by some MiB each.
 */
GQA_MUST_USE
enum gqa_status gqa_producer_create(struct gqa_producer **out,
                                    const struct gqa_plan *plan,
                                    struct gqa_checkpoint *checkpoint,
                                    unsigned n_workers);
void gqa_producer_free(struct gqa_producer *producer);

/*
 * Fill buf with bytes [offset, offset + n) of output tensor `tensor`; both
 * whole elements. worker: below n_workers; one call at a time for each. The
 * signature is that of gqa_produce_fn, ctx being the producer.
 */
GQA_MUST_USE
enum gqa_status gqa_produce(void *ctx, unsigned worker, size_t tensor,
                            uint64_t offset, size_t n, void *buf);

/* NaN and infinities in what was produced of a tensor so far. */
struct gqa_nonfinite gqa_producer_nonfinite(const struct gqa_producer *producer,
                                            size_t tensor);

#endif
