/*
 * Attentions whose heads are put in one order: a table with a column for each
 * query head that several share, as T5's of relative positions, cannot follow
 * more than one.
 */
#ifndef GQA_ALIGN_SETS_H
#define GQA_ALIGN_SETS_H

#include "formats/model/network.h"

/* Of an attention that is in no set: its heads stay where they are. */
#define GQA_NO_SET ((size_t)-1)

struct gqa_head_set {
    size_t table;         /* param, or GQA_NO_PARAM: none goes with them */
    size_t summary_table; /* likewise, of summaries, which goes with that */
    size_t n_sharing;     /* attentions of it whose heads are to share */
};

/* Zero-initialise; owned. */
struct gqa_head_sets {
    struct gqa_head_set *items;
    size_t n;
    size_t *of; /* by the model's attentions */
};

/*
 * shares: by attention, whether its heads are to share. Sets in which none do
 * are left out, and so are those that have to keep their order; attentions that
 * do not share are in the set of the table that they read. regroup false:
 * everything is left out. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_head_sets_make(struct gqa_head_sets *out,
                                   const struct gqa_network *network,
                                   const bool *shares, bool regroup);
void gqa_head_sets_clear(struct gqa_head_sets *sets);

/* The block of an attention; NULL: the network has none. Lent. */
const struct gqa_attention_block *gqa_block_of(
    const struct gqa_network *network, const struct gqa_attention *a);

#endif
