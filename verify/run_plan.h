/* What a run will do and what it costs, before anything of it is done. */
#ifndef GQA_VERIFY_RUN_PLAN_H
#define GQA_VERIFY_RUN_PLAN_H

#include "verify/run_checks.h"

/* The runs in float64 that the runtime checks need: gqa_reference_begin(). */
struct gqa_reference_cost {
    uint64_t length;  /* tokens of each sequence */
    double flop;      /* of both computations */
    uint64_t n_bytes; /* of host memory, at most */
};

/*
 * The more a token costs, the fewer there are: what is paid is bounded, but
 * for the shortest sequences that still have a past. Depends on the model
 * alone, so that every machine checks the same. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_reference_cost_of(struct gqa_reference_cost *out,
                                      const struct gqa_network *network);

/*
 * Say it in a line, as the fact `plan`, and at once on a terminal or with -v.
 * network, cost: the original's. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_run_plan_state(struct gqa_report *report,
                                   const struct gqa_network *network,
                                   const struct gqa_reference_cost *cost,
                                   const struct gqa_run_check_options *checks);

#endif
