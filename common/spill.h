/* Bytes that are kept for long and seldom read: of a file without a name where
 * they are many, so that they take no memory meanwhile. */
#ifndef GQA_COMMON_SPILL_H
#define GQA_COMMON_SPILL_H

#include <stdint.h>

#include "common/status.h"

struct gqa_spill {
    const void *data;  /* NULL: nothing is kept */
    uint64_t n_mapped; /* bytes of a file; 0: of memory */
};

/*
 * Keep a copy of n bytes, n > 0, in place of what was there. They are in
 * memory where they are few, or where there is no room for a file
 * (temporary.h). Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_spill_keep(struct gqa_spill *spill, const void *bytes,
                               uint64_t n);

/* What was read of them need not stay in memory. */
void gqa_spill_rest(const struct gqa_spill *spill);
void gqa_spill_clear(struct gqa_spill *spill);

#endif
