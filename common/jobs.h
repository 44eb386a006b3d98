/* Functions that run on threads of their own while their caller goes on, a few
 * at a time, with one verdict. */
#ifndef GQA_COMMON_JOBS_H
#define GQA_COMMON_JOBS_H

#include "common/status.h"

struct gqa_jobs;

/* At most n_at_once run at the same time, at least 1. */
GQA_MUST_USE
enum gqa_status gqa_jobs_create(struct gqa_jobs **out, unsigned n_at_once);

/* Waits for those that run. */
void gqa_jobs_free(struct gqa_jobs *jobs);

/*
 * Run fn(ctx) on a thread, once there is a place for it; where no thread can
 * be started, here. ctx is lent until it has run. Errors that of the first
 * job that is known to have failed: fn is not run then.
 */
GQA_MUST_USE
enum gqa_status gqa_jobs_start(struct gqa_jobs *jobs,
                               enum gqa_status (*fn)(void *ctx), void *ctx);

/* Wait for all. The status of the first that failed, in the order in which
 * they were started, with its message, else GQA_OK. */
GQA_MUST_USE
enum gqa_status gqa_jobs_wait(struct gqa_jobs *jobs);

#endif
