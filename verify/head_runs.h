/* Heads of a converted checkpoint that stand there several times. */
#ifndef GQA_VERIFY_HEAD_RUNS_H
#define GQA_VERIFY_HEAD_RUNS_H

#include "verify/recompute.h"

/*
 * *n receives the number of KV heads that were expanded to those that are
 * there, each written once for each query head that reads it: the smallest
 * number of equal runs, or all of them. Of wide heads the first columns tell.
 * Errors as gqa_checkpoint_read(), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_head_runs(uint64_t *n, const struct gqa_head_pair *pair);

#endif
