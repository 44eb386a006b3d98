/* What a run is in all ranks: the same one, from the same state. */
#ifndef GQA_UPTRAIN_RANKS_RUN_H
#define GQA_UPTRAIN_RANKS_RUN_H

#include <jansson.h>

#include "uptrain/history.h"
#include "uptrain/ranks.h"
#include "uptrain/trainer.h"

/* what: of this rank, names to values; NULL: memory was short. Errors
 * GQA_ERR_USAGE: some rank was started with others, and which. */
GQA_MUST_USE
enum gqa_status gqa_ranks_check_what(struct gqa_ranks *ranks,
                                     const json_t *what);

/* Where a run begins, or goes on: weights, and where *resumed is true in the
 * first rank, moments and history, become what they are there. */
GQA_MUST_USE
enum gqa_status gqa_ranks_take_up(struct gqa_ranks *ranks, bool *resumed,
                                  struct gqa_trainer *trainer,
                                  struct gqa_history *history);

#endif
