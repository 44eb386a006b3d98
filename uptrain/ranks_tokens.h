/* Sequences that one rank has read or drawn, given to all. */
#ifndef GQA_UPTRAIN_RANKS_TOKENS_H
#define GQA_UPTRAIN_RANKS_TOKENS_H

#include "runtime/data/tokens.h"
#include "uptrain/ranks.h"

/* tokens: of rank `from`, which stay; empty elsewhere, and filled. All call
 * it. Errors GQA_ERR_NOMEM; those of gqa_ranks_tell(). */
GQA_MUST_USE
enum gqa_status gqa_ranks_tell_tokens(struct gqa_ranks *ranks, unsigned from,
                                      struct gqa_tokens *tokens);

#endif
