/*
 * Pairs of RoPE that hardly turn within a context, freed: neighbours are given
 * one frequency, the slowest none. Keys of pairs that turn alike may be mixed
 * with each other (factor.h), so that heads that share lose less.
 */
#ifndef GQA_ALIGN_FREE_H
#define GQA_ALIGN_FREE_H

#include "formats/model/network.h"

/*
 * Divisors of plain frequencies (gqa_rope_divide()), [n_pairs]: pairs from
 * `still` on do not turn; of those before it neighbours turn together, at their
 * mean frequency, where none is off by more than `fold` radians between tokens
 * that are `context` apart (0: none do). Returns how many pairs are changed.
 */
uint64_t gqa_free_pairs(double *divisors, const struct gqa_rope *rope,
                        uint64_t context, uint64_t still, double fold);

/* The first pair that makes no more than so many radians in a context. */
uint64_t gqa_slow_pairs(const struct gqa_rope *rope, uint64_t context,
                        double radians);

#endif
