#include "verify/reference.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "runtime/cpu/plain.h"

struct gqa_reference {
    const struct gqa_model *model;
    struct gqa_weight_source weights;
    const struct gqa_tokens *tokens;
    struct gqa_reference_options options;
    struct gqa_trace *trace;
    struct gqa_errors *plain, *errors; /* [n_points]; of one check */
    size_t n_points;
    struct gqa_device_info device;
    pthread_t thread;
    bool is_running;
    /* Of what ran aside. */
    enum gqa_status status;
    char message[2048];
};

/* Of a type: half a unit in the last place of 1. */
static double roundoff(enum gqa_dtype type)
{
    switch (type) {
    case GQA_F64:
        return 0x1p-53;
    case GQA_BF16:
        return 0x1p-8;
    case GQA_F16:
        return 0x1p-11;
    default:
        return 0x1p-24;
    }
}

struct gqa_error_limits gqa_runtime_limits(enum gqa_dtype type)
{
    /* In 16 bits sums are float32, and what is left is rounding of results;
     * else the functions have errors too. */
    const bool half = gqa_dtype_is_half(type);

    return (struct gqa_error_limits){
        .factor = half ? 3 : 8,
        .scale = type == GQA_F64 ? roundoff(GQA_F64) / roundoff(GQA_F32) : 1,
        .floor = (half ? 1 : 8) * roundoff(type),
        .ceiling = 1,
    };
}

/* --- Running -------------------------------------------------------------- */

static enum gqa_status run_reference(struct gqa_reference *r)
{
    const struct gqa_trace_options keep = {GQA_F64, true, true};
    struct gqa_running *running = NULL;
    const double start = gqa_clock_s();
    enum gqa_status st =
        gqa_running_open(&running, r->model, &r->weights, &r->options.run);

    if (st == GQA_OK)
        st = gqa_running_describe(running, &r->device);
    if (st == GQA_OK)
        st = gqa_trace_record(&r->trace, running, r->tokens, &keep, NULL);
    if (st == GQA_OK) {
        r->n_points = gqa_trace_n_points(r->trace);
        r->plain = calloc(r->n_points, sizeof *r->plain);
        r->errors = calloc(r->n_points, sizeof *r->errors);
        if (!r->plain || !r->errors)
            st = gqa_fail_nomem();
    }
    gqa_running_close(running);
    gqa_clock_log("the reference, in float64", start, 0);
    return st;
}

static enum gqa_status run_plain(struct gqa_reference *r)
{
    const enum gqa_dtype type = r->options.type;
    const struct gqa_comparison to = {.errors = r->plain};
    struct gqa_run_options options = r->options.run;
    struct gqa_running *running = NULL;
    const double start = gqa_clock_s();
    enum gqa_status st;

    options.backend = gqa_plain_backend();
    options.device.real = type == GQA_F64 ? GQA_F32 : type;
    st = gqa_running_open(&running, r->model, &r->weights, &options);
    if (st == GQA_OK)
        st = gqa_trace_compare(r->trace, running, 0, false, &to, NULL);
    gqa_running_close(running);
    gqa_clock_log("the plain computation", start, 0);
    return st;
}

static enum gqa_status run_both(struct gqa_reference *r)
{
    enum gqa_status st = run_reference(r);

    if (st == GQA_OK)
        st = run_plain(r);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "reference");
}

static void *run_aside(void *arg)
{
    struct gqa_reference *r = arg;

    r->status = run_both(r);
    if (r->status != GQA_OK)
        snprintf(r->message, sizeof r->message, "%s", gqa_error_message());
    return NULL;
}

static enum gqa_status wait_for(struct gqa_reference *r)
{
    if (r->is_running)
        pthread_join(r->thread, NULL);
    r->is_running = false;
    return r->status == GQA_OK ? GQA_OK : gqa_fail(r->status, "%s", r->message);
}

enum gqa_status gqa_reference_begin(struct gqa_reference **out,
                                    const struct gqa_model *model,
                                    const struct gqa_weight_source *weights,
                                    const struct gqa_tokens *tokens,
                                    const struct gqa_reference_options *options)
{
    struct gqa_reference *r = calloc(1, sizeof *r);
    enum gqa_status st = GQA_OK;

    if (!r)
        return gqa_fail_nomem();
    r->model = model;
    r->weights = *weights;
    r->tokens = tokens;
    r->options = *options;
    r->options.run.order = GQA_ORDER_LAYER;
    r->is_running =
        options->aside && pthread_create(&r->thread, NULL, run_aside, r) == 0;
    if (!r->is_running)
        st = run_both(r);
    if (st == GQA_OK)
        *out = r;
    else
        gqa_reference_free(r);
    return st;
}

void gqa_reference_free(struct gqa_reference *r)
{
    if (!r)
        return;
    if (r->is_running)
        pthread_join(r->thread, NULL);
    gqa_trace_free(r->trace);
    free(r->plain);
    free(r->errors);
    free(r);
}

enum gqa_status gqa_reference_state(struct gqa_reference *r,
                                    struct gqa_report *report)
{
    char line[512];
    enum gqa_status st = wait_for(r);

    if (st != GQA_OK)
        return st;
    snprintf(line, sizeof line, "%s, %s", r->device.name, r->device.software);
    return gqa_report_fact(report, "reference", line);
}

enum gqa_status gqa_reference_measure(struct gqa_runtime_figures *out,
                                      struct gqa_reference *r,
                                      struct gqa_running *running,
                                      bool token_by_token)
{
    enum gqa_status st = wait_for(r);
    const struct gqa_comparison to = {.errors = r->errors};
    const double start = gqa_clock_s();

    if (st != GQA_OK)
        return st;
    memset(r->errors, 0, r->n_points * sizeof *r->errors);
    st = gqa_trace_compare(r->trace, running, 0, token_by_token, &to, NULL);
    *out = (struct gqa_runtime_figures){
        .trace = r->trace,
        .errors = r->errors,
        .plain = r->plain,
        .n_points = r->n_points,
        .type = r->options.type,
        .limits = gqa_runtime_limits(r->options.type),
        .seconds = gqa_clock_s() - start,
    };
    if (st == GQA_OK)
        gqa_errors_judge(&out->verdict, r->errors, r->plain, r->n_points,
                         &out->limits);
    return st;
}

enum gqa_status gqa_reference_check(struct gqa_reference *r,
                                    struct gqa_report *report, const char *name,
                                    struct gqa_running *running,
                                    bool token_by_token)
{
    struct gqa_runtime_figures figures;
    const double start = gqa_clock_s();
    const enum gqa_status st =
        gqa_reference_measure(&figures, r, running, token_by_token);

    if (st != GQA_OK)
        return st;
    gqa_clock_log(name, start, 0);
    return gqa_runtime_report(report, name, &figures);
}
