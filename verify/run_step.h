/* The step of a verification that runs models: where, and whether at all. */
#ifndef GQA_VERIFY_RUN_STEP_H
#define GQA_VERIFY_RUN_STEP_H

#include "runtime/weights.h"
#include "verify/options.h"
#include "verify/run_checks.h"
#include "verify/subject.h"

/*
 * Whether a model can be run, before anything of it is read. Errors those of
 * gqa_network_create(), with the path and what the user can do.
 */
GQA_MUST_USE
enum gqa_status gqa_run_possible(const struct gqa_subject *subject);

/* Zeroed but for checks.dump, which is the caller's. */
struct gqa_run_job {
    struct gqa_run_check_options checks;
    struct gqa_checkpoint_weights weights[GQA_N_MODELS];
    struct gqa_run *run; /* NULL: not begun */
};

/*
 * Choose a device, say in the report, and on a terminal at once, what will
 * be run and what that costs, and begin: where a GPU runs the models, with the
 * original, while files are read.
 *
 * job     lends itself to what runs until gqa_run_job_end(); after an error
 *         it is as it was.
 * Errors  GQA_ERR_UNSUPPORTED: there is no such device; those of trying it.
 */
GQA_MUST_USE
enum gqa_status gqa_run_job_begin(struct gqa_run_job *job,
                                  struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_verify_options *options);

/*
 * Run the checks of run_checks.h. What cannot be run is an error, but where
 * another check has failed already: that verdict is not to be lost, and the
 * checks that could not be made are skipped.
 *
 * converted  its model is NULL where it could not be understood.
 * job        begun; where that failed it is done now.
 * Errors     those of both.
 */
GQA_MUST_USE
enum gqa_status gqa_run_job_finish(struct gqa_run_job *job,
                                   struct gqa_report *report,
                                   const struct gqa_subject *original,
                                   const struct gqa_subject *converted,
                                   const struct gqa_verify_options *options);

/* Waits for what runs, before the subjects are closed. */
void gqa_run_job_end(struct gqa_run_job *job);

#endif
