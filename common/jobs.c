#include "common/jobs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct job {
    pthread_t thread;
    bool is_running; /* and has to be joined */
    enum gqa_status (*fn)(void *ctx);
    void *ctx;
    enum gqa_status status;
    char message[2048];
};

struct gqa_jobs {
    unsigned n_at_once, next; /* next: whose place is taken next */
    enum gqa_status status;   /* of the first that failed */
    char message[2048];
    struct job places[]; /* the oldest job is at `next` */
};

enum gqa_status gqa_jobs_create(struct gqa_jobs **out, unsigned n_at_once)
{
    struct gqa_jobs *jobs;

    if (n_at_once == 0)
        n_at_once = 1;
    jobs = calloc(1, sizeof *jobs + n_at_once * sizeof *jobs->places);
    if (!jobs)
        return gqa_fail_nomem();
    jobs->n_at_once = n_at_once;
    *out = jobs;
    return GQA_OK;
}

static void *run(void *arg)
{
    struct job *job = arg;

    job->status = job->fn(job->ctx);
    if (job->status != GQA_OK) {
        strncpy(job->message, gqa_error_message(), sizeof job->message - 1);
        job->message[sizeof job->message - 1] = '\0';
    }
    return NULL;
}

static void end(struct gqa_jobs *jobs, const struct job *job)
{
    if (jobs->status != GQA_OK || job->status == GQA_OK)
        return;
    jobs->status = job->status;
    memcpy(jobs->message, job->message, sizeof jobs->message);
}

static void join(struct gqa_jobs *jobs, struct job *job)
{
    if (!job->is_running)
        return;
    pthread_join(job->thread, NULL);
    job->is_running = false;
    end(jobs, job);
}

static enum gqa_status verdict(const struct gqa_jobs *jobs)
{
    return jobs->status == GQA_OK ? GQA_OK
                                  : gqa_fail(jobs->status, "%s", jobs->message);
}

void gqa_jobs_free(struct gqa_jobs *jobs)
{
    if (!jobs)
        return;
    for (unsigned i = 0; i < jobs->n_at_once; i++)
        join(jobs, &jobs->places[i]);
    free(jobs);
}

enum gqa_status gqa_jobs_start(struct gqa_jobs *jobs,
                               enum gqa_status (*fn)(void *ctx), void *ctx)
{
    struct job *job = &jobs->places[jobs->next];

    join(jobs, job);
    if (jobs->status != GQA_OK)
        return verdict(jobs);
    *job = (struct job){.fn = fn, .ctx = ctx};
    jobs->next = (jobs->next + 1) % jobs->n_at_once;
    if (pthread_create(&job->thread, NULL, run, job) == 0) {
        job->is_running = true;
        return GQA_OK;
    }
    run(job);
    end(jobs, job);
    return verdict(jobs);
}

enum gqa_status gqa_jobs_wait(struct gqa_jobs *jobs)
{
    for (unsigned i = 0; i < jobs->n_at_once; i++)
        join(jobs, &jobs->places[(jobs->next + i) % jobs->n_at_once]);
    return verdict(jobs);
}
