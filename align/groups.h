/* Which heads share: a partition into groups that loses little. */
#ifndef GQA_ALIGN_GROUPS_H
#define GQA_ALIGN_GROUPS_H

#include <stdint.h>

#include "align/likeness.h"

/* An attention whose heads are to share. */
struct gqa_sharing {
    const struct gqa_likeness *likeness;
    size_t pooled; /* groups, fewer than heads */
};

/*
 * heads: [n_heads], head heads[i] comes to stand at place i, so that those of a
 * group are neighbours. All attentions, of as many heads each, are given the
 * same order, the sum of their losses being small; it is never more than where
 * neighbours share as they stand. The same for any number of threads.
 *
 * Errors GQA_ERR_NOMEM; those of gqa_likeness_lost().
 */
GQA_MUST_USE
enum gqa_status gqa_groups_find(uint64_t *heads,
                                const struct gqa_sharing *attentions, size_t n,
                                unsigned n_threads);

#endif
