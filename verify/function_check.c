#include "verify/function_check.h"

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "runtime/values.h"
#include "verify/fidelity_report.h"

/* docs/numerics.md */
static const double MAX_RELATIVE = 1e-9;

static enum gqa_status measure(const struct gqa_function_job *job,
                               struct gqa_running *running)
{
    const double start = gqa_clock_s();
    const struct gqa_network *network = gqa_running_network(running);
    struct gqa_fidelity_result result;
    struct gqa_drift rows = {0};
    struct gqa_comparison to = {0};
    enum gqa_status st = GQA_OK;

    if (network->has_logits)
        st = gqa_fidelity_create(&to.fidelity, network->n_outputs,
                                 job->tokens->n,
                                 gqa_tokens_n_positions(job->tokens));
    else
        to.logits = &rows;
    if (st == GQA_OK)
        st = gqa_trace_compare(job->trace, running, 0, false, &to,
                               job->progress);
    if (st == GQA_OK && !network->has_logits) {
        st = gqa_rows_scale_report(job->report, "freed-pairs", &rows,
                                   gqa_clock_s() - start);
    } else if (st == GQA_OK) {
        gqa_fidelity_finish(to.fidelity, &result);
        st = gqa_scale_report(job->report, "freed-pairs", &result,
                              gqa_clock_s() - start);
    }
    gqa_fidelity_free(to.fidelity);
    return st;
}

/* *turned: what the original gives with other frequencies; NULL: nobody asks
 * for it. */
static enum gqa_status run_turned(const struct gqa_function_job *job,
                                  struct gqa_trace **turned)
{
    const struct gqa_trace_options keep = {
        .dtype = gqa_wide_of(job->run->device.real)};
    struct gqa_running *running = NULL;
    enum gqa_status st = gqa_running_open(&running, job->original->model,
                                          &job->original->weights, job->run);

    if (st != GQA_OK)
        return st;
    /* What does not fit is wrong in the configuration, which is told there. */
    if (gqa_running_network(running)->rope.n_pairs == job->claims->n_pairs) {
        gqa_running_turn(running, job->claims->divisors);
        st = measure(job, running);
        if (st == GQA_OK && turned)
            st = gqa_trace_record(turned, running, job->tokens, &keep,
                                  job->progress);
    }
    gqa_running_close(running);
    return st;
}

static enum gqa_status report(const struct gqa_function_job *job,
                              const struct gqa_drift *logits, double seconds)
{
    const char *what =
        gqa_trace_has_logits(job->trace) ? "logits" : "the last hidden state";
    const double relative = gqa_drift_relative(logits);
    const bool is_exact =
        job->claims->in_float64 && job->run->device.real == GQA_F64;
    struct gqa_check check = {.group = GQA_CHECK_FIDELITY,
                              .name = "same-function",
                              .verdict = GQA_REPORTED,
                              .seconds = seconds};

    snprintf(check.figure, sizeof check.figure, "relative L2 of %s %.2g%s",
             what, relative,
             job->claims->divisors ? " but for the freed pairs" : "");
    if (is_exact) {
        check.verdict = relative <= MAX_RELATIVE ? GQA_PASSED : GQA_FAILED;
        snprintf(check.limit, sizeof check.limit, "<= %g", MAX_RELATIVE);
    } else {
        snprintf(check.detail, sizeof check.detail,
                 "as rounding allows; a conversion with --dtype=f64, and "
                 "--dtype=f64 here, tell whether transforms change nothing");
    }
    check.values =
        json_pack("{s:o}", "relative_l2",
                  isfinite(relative) ? json_real(relative) : json_null());
    return check.values ? gqa_report_add(job->report, &check)
                        : gqa_fail_nomem();
}

static enum gqa_status compare(const struct gqa_function_job *job,
                               struct gqa_trace *reference)
{
    const double start = gqa_clock_s();
    struct gqa_drift logits = {0};
    const struct gqa_comparison to = {.logits = &logits};
    struct gqa_running *running = NULL;
    enum gqa_status st = gqa_running_open(&running, job->converted->model,
                                          &job->converted->weights, job->run);

    if (st == GQA_OK)
        st =
            gqa_trace_compare(reference, running, 0, false, &to, job->progress);
    if (st == GQA_OK)
        st = report(job, &logits, gqa_clock_s() - start);
    gqa_running_close(running);
    return st;
}

enum gqa_status gqa_function_check(const struct gqa_function_job *job)
{
    struct gqa_trace *turned = NULL;
    enum gqa_status st = GQA_OK;

    gqa_progress_phase(job->bar, "transforms by themselves",
                       GQA_PROGRESS_TOKENS);
    if (job->claims->divisors)
        st = run_turned(job, job->claims->same_function ? &turned : NULL);
    if (st == GQA_OK && job->claims->same_function)
        st = compare(job, turned ? turned : job->trace);
    gqa_trace_free(turned);
    return st;
}
