/* Tensors that a checkpoint names but that nobody wrote, or not wholly. */
#ifndef GQA_FORMATS_UNWRITTEN_H
#define GQA_FORMATS_UNWRITTEN_H

#include "formats/checkpoint.h"

enum { GQA_UNWRITTEN_MAX = 128 };

/* How many there are; *first receives the index of the first, if any. */
size_t gqa_unwritten_count(const struct gqa_checkpoint *checkpoint,
                           size_t *first);

/*
 * "was never written" or "lacks 2 of its 8 chunks", of one that is counted
 * above. text: GQA_UNWRITTEN_MAX bytes; returned.
 */
const char *gqa_unwritten_describe(char *text, const struct gqa_tensor *tensor);

/* Warn of them, a few by name. Returns how many there are. */
size_t gqa_unwritten_warn(const struct gqa_checkpoint *checkpoint);

#endif
