/* Two checkpoints that have to hold the same, each in a format of its own. */
#ifndef GQA_TESTS_TWINS_H
#define GQA_TESTS_TWINS_H

#include <stddef.h>

struct gqa_checkpoint;

/* Names below the tests' data. The same tensors, whichever part is read; where
 * the first has float32 and the second a half type, the same numbers. */
void twins_are_same(const char *first, const char *second);

/* All values of the i-th tensor; the caller frees them. */
double *twins_read(struct gqa_checkpoint *c, size_t i);

/* Likewise, where the first is read with a configuration. */
void twins_are_same_with(const char *first, const char *second,
                         const char *config);

#endif
