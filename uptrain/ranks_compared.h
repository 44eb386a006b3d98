/* Positions that ranks have compared, each its own, as figures of all. */
#ifndef GQA_UPTRAIN_RANKS_COMPARED_H
#define GQA_UPTRAIN_RANKS_COMPARED_H

#include "runtime/measure/fidelity.h"
#include "uptrain/ranks.h"

struct gqa_compared {
    struct gqa_logit_comparison comparison;
    struct gqa_place place;
    uint64_t has_next;
};

/* n: of this rank. Those of all are added to `fidelity`, everywhere. All call
 * it. Errors GQA_ERR_NOMEM; those of gqa_ranks_tell(). */
GQA_MUST_USE
enum gqa_status gqa_ranks_add_compared(struct gqa_ranks *ranks,
                                       struct gqa_fidelity *fidelity,
                                       struct gqa_compared *compared,
                                       uint64_t n);

#endif
