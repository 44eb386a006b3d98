/*
 * What a run leaves that is killed: a hidden file or folder. It holds a lock
 * on it while it lives, so that the next one into the same place can tell, and
 * removes it.
 */
#ifndef GQA_COMMON_ATOMIC_LITTER_H
#define GQA_COMMON_ATOMIC_LITTER_H

#include "common/atomic.h"
#include "common/atomic_target.h"

/* In a hidden folder: what has been, or was about to be, created there. */
#define GQA_ATOMIC_JOURNAL ".gqa-partial"

/*
 * Hold what has just been created under the name, open as fd. False: another
 * run has taken it for litter; it is gone, or about to go.
 */
bool gqa_atomic_hold(int parent, const char *name, int fd);

/*
 * Remove what dead runs into this place have left. A folder goes only where
 * all that it holds is in its journal, or judge, unless NULL, calls it ours.
 * What cannot be told is left.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_clean_litter(const struct gqa_atomic *atomic,
                                        const struct gqa_atomic_judge *judge);

#endif
