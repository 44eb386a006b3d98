#include "uptrain/ranks_compared.h"

#include <stdlib.h>

static void add(struct gqa_fidelity *fidelity, const struct gqa_compared *c,
                uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        gqa_fidelity_add_compared(fidelity, &c[i].comparison,
                                  c[i].has_next != 0, c[i].place);
}

/* Of rank `from`, which has n of them. */
static enum gqa_status add_of(struct gqa_ranks *ranks, unsigned from,
                              struct gqa_fidelity *fidelity,
                              struct gqa_compared *compared, uint64_t n)
{
    struct gqa_compared *theirs = NULL;
    enum gqa_status st = gqa_ranks_tell(ranks, from, &n, sizeof n);

    if (st == GQA_OK && from != gqa_ranks_rank(ranks)) {
        compared = theirs = calloc((size_t)n + 1, sizeof *theirs);
        st = theirs ? GQA_OK : gqa_fail_nomem();
    }
    if (st == GQA_OK)
        st =
            gqa_ranks_tell(ranks, from, compared, (size_t)n * sizeof *compared);
    if (st == GQA_OK)
        add(fidelity, compared, n);
    free(theirs);
    return st;
}

enum gqa_status gqa_ranks_add_compared(struct gqa_ranks *ranks,
                                       struct gqa_fidelity *fidelity,
                                       struct gqa_compared *compared,
                                       uint64_t n)
{
    enum gqa_status st = GQA_OK;

    for (unsigned i = 0; i < gqa_ranks_n(ranks) && st == GQA_OK; i++)
        st = add_of(ranks, i, fidelity, compared, n);
    return st;
}
