/* The word that somebody meant, for messages. */
#ifndef GQA_COMMON_NEAREST_H
#define GQA_COMMON_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How many letters have to be put in, left out, replaced or swapped with
 * their neighbour to make one word the other. SIZE_MAX for words that are too
 * long to be looked at.
 */
size_t gqa_word_distance(const char *a, const char *b);

/*
 * Whether a word of this length, at this distance from another, may be meant
 * to be that: at most one letter in three is wrong.
 */
bool gqa_word_is_near(size_t length, size_t distance);

#endif
