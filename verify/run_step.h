/* The step of a verification that runs models: where, and whether at all. */
#ifndef GQA_VERIFY_RUN_STEP_H
#define GQA_VERIFY_RUN_STEP_H

#include "verify/options.h"
#include "verify/subject.h"

/*
 * Whether a model can be run, before anything of it is read. Errors those of
 * gqa_network_create(), with the path and what the user can do.
 */
GQA_MUST_USE
enum gqa_status gqa_run_possible(const struct gqa_subject *subject);

/*
 * Choose a device and say in the report, and on a terminal at once, what will
 * be run and what that costs.
 *
 * checks  all but `dump`, which is the caller's; after an error as it was.
 * Errors  GQA_ERR_UNSUPPORTED: there is no such device; those of trying it.
 */
GQA_MUST_USE
enum gqa_status gqa_run_prepare(struct gqa_run_check_options *checks,
                                struct gqa_report *report,
                                const struct gqa_subject *original,
                                const struct gqa_verify_options *options);

/*
 * Run the checks of run_checks.h. What cannot be run is an error, but where
 * another check has failed already: that verdict is not to be lost, and the
 * checks that could not be made are skipped.
 *
 * converted  its model is NULL where it could not be understood.
 * checks     prepared; where that failed it is done now.
 * Errors     those of both.
 */
GQA_MUST_USE
enum gqa_status gqa_run_step(struct gqa_report *report,
                             const struct gqa_subject *original,
                             const struct gqa_subject *converted,
                             const struct gqa_verify_options *options,
                             struct gqa_run_check_options *checks);

#endif
