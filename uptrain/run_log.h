/* A line of JSON for each step and each measure, as they come. Where one cannot
 * be written, a warning says so once, and the log ends there. */
#ifndef GQA_UPTRAIN_RUN_LOG_H
#define GQA_UPTRAIN_RUN_LOG_H

#include "uptrain/history.h"
#include "uptrain/trainer.h"

struct gqa_run_log;

/* path: NULL: of nothing. What is there stays, and is added to. Errors
 * GQA_ERR_IO, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_run_log_open(struct gqa_run_log **out, const char *path);
/* Accepts NULL. Errors GQA_ERR_IO: the log is not whole; GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_run_log_close(struct gqa_run_log *log);

/* step: from 1. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_run_log_step(struct gqa_run_log *log, uint64_t step,
                                 const struct gqa_step_result *result,
                                 double rate, double seconds);
GQA_MUST_USE
enum gqa_status gqa_run_log_measure(struct gqa_run_log *log,
                                    const struct gqa_evaluation *evaluation);
GQA_MUST_USE
enum gqa_status gqa_run_log_probe(struct gqa_run_log *log, double rate,
                                  double kl);
GQA_MUST_USE
enum gqa_status gqa_run_log_match(struct gqa_run_log *log,
                                  const struct gqa_layer_match *match);
GQA_MUST_USE
enum gqa_status gqa_run_log_plan(struct gqa_run_log *log,
                                 const struct gqa_time_plan *plan);
/* The run goes on behind this step. */
GQA_MUST_USE
enum gqa_status gqa_run_log_resume(struct gqa_run_log *log, uint64_t step);

#endif
