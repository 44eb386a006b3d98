/*
 * One option for each of several items, so that least is lost within a number
 * of bytes: exactly, for every number at once.
 */
#ifndef GQA_ALIGN_KNAPSACK_H
#define GQA_ALIGN_KNAPSACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* Losses of options add up. */
struct gqa_knapsack_option {
    uint64_t bytes;
    double lost;
};

struct gqa_knapsack_item {
    /* [n], at least one: most bytes first. */
    struct gqa_knapsack_option *options;
    size_t n;
};

struct gqa_knapsack;

/*
 * items are read, not kept. Errors GQA_ERR_UNSUPPORTED: bytes do not fit, or
 * differ too much; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_knapsack_create(struct gqa_knapsack **out,
                                    const struct gqa_knapsack_item *items,
                                    size_t n);
void gqa_knapsack_free(struct gqa_knapsack *knapsack);

/* Of the first options of all items, of the last ones, and what all that can be
 * reached is a multiple of. */
uint64_t gqa_knapsack_most(const struct gqa_knapsack *knapsack);
uint64_t gqa_knapsack_fewest(const struct gqa_knapsack *knapsack);
uint64_t gqa_knapsack_unit(const struct gqa_knapsack *knapsack);

/*
 * *out: where least is lost in at most so many bytes, with more than fewer only
 * where that is of use. picks: [n] of each item's options, or NULL. False: no
 * options take as little.
 */
bool gqa_knapsack_within(struct gqa_knapsack_option *out, size_t *picks,
                         const struct gqa_knapsack *knapsack, uint64_t bytes);

#endif
