/* Experts that take so many tokens of a sequence, and no more. */
#ifndef GQA_RUNTIME_CAPACITY_H
#define GQA_RUNTIME_CAPACITY_H

#include <stdbool.h>

#include "common/status.h"
#include "formats/model/network.h"
#include "runtime/ops.h"

struct gqa_capacity {
    const struct gqa_experts *experts; /* lent */
    const struct gqa_batch *batch;     /* whose rows are asked for, lent */
    uint64_t *taken; /* [n_sequences, experts->n]: how many tokens so far,
                        lent; of sequences that begin here, anything */
};

/*
 * Whether an expert takes a row of the batch, which is one more of what it has
 * taken then. Rows are asked for in their order; those that pad are taken, and
 * are none. Without a capacity all are.
 */
bool gqa_capacity_takes(const struct gqa_capacity *capacity, uint64_t row,
                        uint64_t expert);

#endif
