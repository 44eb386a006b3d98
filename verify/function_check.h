/* What transforms of heads and frequencies of RoPE do, each by itself. */
#ifndef GQA_VERIFY_FUNCTION_CHECK_H
#define GQA_VERIFY_FUNCTION_CHECK_H

#include "common/progress.h"
#include "runtime/measure/trace.h"
#include "verify/claims.h"
#include "verify/run_checks.h"

/* All lent. */
struct gqa_function_job {
    struct gqa_report *report;
    const struct gqa_run_model *original, *converted;
    const struct gqa_claims *claims;
    const struct gqa_run_options *run;
    const struct gqa_tokens *tokens;
    struct gqa_trace *trace; /* of the original */
    struct gqa_progress *bar;
    const struct gqa_run_progress *progress;
};

/*
 * Checks of the group fidelity, where the claims give rise to them:
 *
 *   freed-pairs    the original with the converted one's frequencies, and
 *                  nothing else changed, beside itself; reported
 *   same-function  the converted model beside the original with these
 *                  frequencies: the relative L2 distance of all logits, or of
 *                  the rows in their place, where transforms are all that was
 *                  done. It has a limit where weights and runs are float64,
 *                  else it is reported.
 *
 * Errors those of gqa_running_open(), of traces and of the report.
 */
GQA_MUST_USE
enum gqa_status gqa_function_check(const struct gqa_function_job *job);

#endif
