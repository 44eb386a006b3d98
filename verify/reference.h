/*
 * What the runtime checks hold a model's runs against: the same tokens in
 * float64 on the CPU, and how far from that the plain computation in the
 * type of the runs is (runtime/cpu/plain.h). Both go layer by layer, so that
 * no more than a layer's weights are in memory.
 */
#ifndef GQA_VERIFY_REFERENCE_H
#define GQA_VERIFY_REFERENCE_H

#include "runtime/measure/trace.h"
#include "verify/report.h"

struct gqa_reference;

struct gqa_reference_options {
    struct gqa_run_options run; /* CPU, F64 */
    enum gqa_dtype type;        /* of the runs to come */
    bool aside; /* on threads of its own, while a GPU has work */
};

/*
 * Begin. model, weights, tokens: lent until gqa_reference_free(); weights
 * are read from other threads where it runs aside.
 * Errors GQA_ERR_NOMEM; not aside, those of the runs.
 */
GQA_MUST_USE
enum gqa_status gqa_reference_begin(
    struct gqa_reference **out, const struct gqa_model *model,
    const struct gqa_weight_source *weights, const struct gqa_tokens *tokens,
    const struct gqa_reference_options *options);

/* Waits for what runs. Accepts NULL. */
void gqa_reference_free(struct gqa_reference *reference);

/* Name the processor in the report. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_reference_state(struct gqa_reference *reference,
                                    struct gqa_report *report);

/* The limits for runs in a type; docs/numerics.md says why. */
struct gqa_error_limits gqa_runtime_limits(enum gqa_dtype type);

/* What a run was found to be off by. */
struct gqa_runtime_figures {
    struct gqa_error_verdict verdict;
    /* Of the trace's points, the last of which are the logits. Lent until
     * the next run. */
    const struct gqa_trace *trace;
    const struct gqa_errors *errors, *plain;
    size_t n_points;
    enum gqa_dtype type;
    struct gqa_error_limits limits;
    double seconds;
};

/*
 * Run the tokens on `running`, whose model is the reference's or computes the
 * same. Waits for the reference, and has its errors; those of the run.
 */
GQA_MUST_USE
enum gqa_status gqa_reference_measure(struct gqa_runtime_figures *out,
                                      struct gqa_reference *reference,
                                      struct gqa_running *running,
                                      bool token_by_token);

/*
 * The check `name` of the group runtime: behind each block and at the logits
 * the run is off by no more than its limits. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_runtime_report(struct gqa_report *report, const char *name,
                                   const struct gqa_runtime_figures *figures);

/* Both. */
GQA_MUST_USE
enum gqa_status gqa_reference_check(struct gqa_reference *reference,
                                    struct gqa_report *report, const char *name,
                                    struct gqa_running *running,
                                    bool token_by_token);

#endif
