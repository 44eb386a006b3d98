/*
 * Sets of numbers, as people write them: "0-3,8", "0-30/2" for every second
 * one, as in crontab(5); and where names have such numbers.
 */
#ifndef GQA_INSPECT_NUMBERS_H
#define GQA_INSPECT_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/status.h"

struct gqa_number_run {
    uint64_t first, last;
    uint64_t step; /* 0: first alone */
};

/* All zeros: an empty set. End with gqa_numbers_free(). */
struct gqa_numbers {
    struct gqa_number_run *runs; /* [n] */
    size_t n, capacity;
};

/* Add a number above all that are in it. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_numbers_add(struct gqa_numbers *numbers, uint64_t number);

void gqa_numbers_put(FILE *out, const struct gqa_numbers *numbers);

/* Columns that this takes. */
size_t gqa_numbers_width(const struct gqa_numbers *numbers);

void gqa_numbers_free(struct gqa_numbers *numbers);

/*
 * The first number in name at or after `from` that is a component of its own:
 * between dots and slashes, or set before a slash by Keras ("dense_1/kernel").
 *
 * at, n, value: receive where it begins, its digits and what it is. False:
 * there is none.
 */
bool gqa_name_next_number(const char *name, size_t from, size_t *at, size_t *n,
                          uint64_t *value);

#endif
