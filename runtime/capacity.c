#include "runtime/capacity.h"

#include <string.h>

bool gqa_capacity_takes(const struct gqa_capacity *c, uint64_t row,
                        uint64_t expert)
{
    const struct gqa_experts *x = c->experts;
    const uint64_t sequence = row / c->batch->n_new;
    const uint64_t token = row % c->batch->n_new;
    uint64_t *taken;

    if (x->capacity == 0 || token >= c->batch->n_tokens[sequence])
        return true;
    taken = c->taken + sequence * x->n;
    if (c->batch->starts[sequence] + token == 0)
        memset(taken, 0, x->n * sizeof *taken);
    return ++taken[expert] <= x->capacity;
}
