#include "verify/run_checks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/interrupt.h"
#include "common/progress.h"
#include "common/units.h"
#include "runtime/mapped.h"
#include "runtime/measure/trace.h"
#include "runtime/values.h"
#include "verify/dump.h"
#include "verify/fidelity_report.h"
#include "verify/function_check.h"
#include "verify/generate.h"
#include "verify/reference.h"
#include "verify/run_tokens.h"

/* Sequences that have continuations. */
enum { SHORT_SEQUENCES = 2 };

/* How far a model is from the original: its logits, or, where it makes none,
 * the rows in their place. */
struct measured {
    struct gqa_fidelity_result logits;
    struct gqa_drift rows;
};

struct gqa_run {
    struct gqa_report *report;
    struct gqa_report *facts; /* found before there was a report */
    struct gqa_run_model original, converted;
    const struct gqa_run_check_options *options;
    struct gqa_tokens tokens;
    struct gqa_trace *trace; /* of the original */
    /* What the runtime checks run, lent the pointers of tokens. */
    struct gqa_sequence short_list[GQA_REFERENCE_SEQUENCES];
    struct gqa_tokens short_tokens;
    struct gqa_reference *reference;
    /* Of the original's network, and of others that are compared with it. */
    bool has_logits, is_encoder;
    uint64_t n_outputs;
    size_t n_layers[2]; /* of encoder and decoder */
    /* [SHORT_SEQUENCES, n_generate] of each model; NULL: none wanted */
    int32_t *generated[GQA_N_MODELS];
    struct measured result; /* of the converted model */
    double start;           /* of the original's run */
    struct gqa_progress *bar;
    struct gqa_run_progress progress;
    pthread_t thread; /* runs the original */
    bool is_running;
    /* Of what it ran. */
    enum gqa_status status;
    char message[2048];
};

static bool needs_first(const struct gqa_run *r)
{
    return r->options->scale || r->options->budget.max_kl_of_first >= 0;
}

static enum gqa_status open_model(const struct gqa_run *r,
                                  struct gqa_running **out,
                                  const struct gqa_run_model *model,
                                  const struct gqa_run_options *options)
{
    const double start = gqa_clock_s();
    uint64_t n_bytes = 0;
    enum gqa_status st;

    gqa_progress_phase(r->bar, "loading a model", GQA_PROGRESS_BYTES);
    st = gqa_running_open(out, model->model, &model->weights, options);
    for (size_t i = 0; i < model->model->n_params; i++)
        n_bytes += model->model->params[i].n_bytes;
    /* By layer nothing was loaded yet. */
    if (st == GQA_OK && gqa_running_runtime(*out))
        gqa_clock_log("loading the weights of a model", start, n_bytes);
    return st;
}

static enum gqa_status state_device(const struct gqa_run *r,
                                    struct gqa_running *running)
{
    struct gqa_device_info info = {0};
    enum gqa_status st = gqa_running_describe(running, &info);

    if (st == GQA_OK)
        st = gqa_report_fact(r->report, "backend",
                             r->options->run.backend->name);
    if (st == GQA_OK)
        st = gqa_report_fact(r->report, "device", info.name);
    if (st == GQA_OK)
        st = gqa_report_fact(r->report, "software", info.software);
    if (st == GQA_OK)
        st = gqa_report_fact(r->report, "dtype",
                             gqa_dtype_name(r->options->run.device.real));
    return st;
}

/* By layer: why, in the report; by token it is what one expects. */
static enum gqa_status state_order(const struct gqa_run *r,
                                   const struct gqa_running *running)
{
    const struct gqa_order_choice choice = gqa_running_order(running);
    char weights[GQA_UNITS_MAX], room[GQA_UNITS_MAX], line[128];

    gqa_units_bytes(weights, choice.weight_bytes);
    gqa_units_bytes(room, choice.free_bytes);
    if (choice.order == GQA_ORDER_TOKEN) {
        gqa_info("order: by token; the weights take %s of %s free", weights,
                 room);
        return GQA_OK;
    }
    snprintf(line, sizeof line, "layer by layer, as %s",
             r->options->run.order == GQA_ORDER_LAYER ? "--order=layer says"
                                                      : "the weights take ");
    if (r->options->run.order == GQA_ORDER_AUTO)
        snprintf(line + strlen(line), sizeof line - strlen(line),
                 "%s of %s free", weights, room);
    gqa_info("order: %s", line);
    return gqa_report_fact(r->report, "order", line);
}

static void learn_shape(struct gqa_run *r, const struct gqa_network *network)
{
    r->has_logits = network->has_logits;
    r->is_encoder = gqa_network_is_encoder(network);
    r->n_outputs = network->n_outputs;
    for (size_t i = 0; i < network->n_stacks; i++)
        r->n_layers[network->stacks[i].stack == GQA_STACK_DECODER] +=
            network->stacks[i].n_blocks;
}

static uint64_t n_short(const struct gqa_run *r)
{
    return r->tokens.n < SHORT_SEQUENCES ? r->tokens.n : SHORT_SEQUENCES;
}

/* By layer each token would take a pass over the weights. */
static bool generates(const struct gqa_run *r, struct gqa_running *running)
{
    return r->options->n_generate > 0 && r->has_logits &&
           gqa_running_runtime(running);
}

static enum gqa_status generate(struct gqa_run *r, int model,
                                struct gqa_running *running)
{
    const uint64_t n = r->options->n_generate;
    int32_t *out = calloc(SHORT_SEQUENCES * n, sizeof *out);
    enum gqa_status st = GQA_OK;

    if (!out)
        return gqa_fail_nomem();
    r->generated[model] = out;
    for (uint64_t s = 0; s < n_short(r) && st == GQA_OK; s++)
        st = gqa_generate(out + s * n, n, running, &r->tokens.sequences[s]);
    return st;
}

static enum gqa_status report_generated(struct gqa_run *r)
{
    const uint64_t n = r->options->n_generate;
    const struct gqa_check skipped = {
        .group = GQA_CHECK_FIDELITY,
        .name = "generate-0",
        .verdict = GQA_SKIPPED,
        .detail = "layer by layer, each token would take a pass over the "
                  "weights"};
    const struct gqa_check none = {.group = GQA_CHECK_FIDELITY,
                                   .name = "generate-0",
                                   .verdict = GQA_SKIPPED,
                                   .detail =
                                       "the model makes no logits of tokens"};
    enum gqa_status st = GQA_OK;

    if (!r->has_logits)
        return gqa_report_add(r->report, &none);
    if (!r->generated[0] || !r->generated[1])
        return gqa_report_add(r->report, &skipped);
    for (uint64_t s = 0; s < n_short(r) && st == GQA_OK; s++) {
        const int32_t *const tokens[] = {r->generated[0] + s * n,
                                         r->generated[1] + s * n};

        st = gqa_generate_report(r->report, s, tokens, n);
    }
    return st;
}

/* Where a GPU works, the CPU has nothing else to do. */
static bool runs_aside(const struct gqa_run *r)
{
    return !r->options->run.backend->in_place;
}

static enum gqa_status begin_reference(struct gqa_run *r)
{
    const struct gqa_reference_options options = {
        .run = r->options->reference,
        .type = r->options->run.device.real,
        .aside = runs_aside(r)};

    r->short_tokens = gqa_run_tokens_first(
        r->short_list, &r->tokens, GQA_REFERENCE_SEQUENCES,
        r->options->reference_length > 0 ? r->options->reference_length
                                         : GQA_REFERENCE_LENGTH);
    return gqa_reference_begin(&r->reference, r->converted.model,
                               &r->converted.weights, &r->short_tokens,
                               &options);
}

/* What logits are kept in, and written. */
static enum gqa_dtype kept_dtype(const struct gqa_run *r)
{
    return gqa_wide_of(r->options->run.device.real);
}

static enum gqa_status run_original(struct gqa_run *r)
{
    const struct gqa_trace_options keep = {.dtype = kept_dtype(r),
                                           .residual = true};
    struct gqa_running *running = NULL;
    enum gqa_status st =
        open_model(r, &running, &r->original, &r->options->run);
    double start = gqa_clock_s();

    if (st == GQA_OK)
        st = state_device(r, running);
    if (st == GQA_OK)
        st = state_order(r, running);
    if (st == GQA_OK && (st = gqa_run_tokens(&r->tokens, r->report, running,
                                             r->options, r->bar)) != GQA_OK) {
        /* The message has the file's name, or says whose samples. */
        gqa_running_close(running);
        return st;
    }
    gqa_clock_log("getting the tokens", start, 0);
    if (st == GQA_OK) {
        const uint64_t n = gqa_tokens_n_positions(&r->tokens);

        learn_shape(r, gqa_running_network(running));
        r->progress =
            (struct gqa_run_progress){gqa_progress_update, r->bar, 0, n};
        gqa_progress_phase(r->bar, "running the original", GQA_PROGRESS_TOKENS);
        start = gqa_clock_s();
        st = gqa_trace_record(&r->trace, running, &r->tokens, &keep,
                              &r->progress);
        gqa_clock_log("running the original", start, 0);
    }
    if (st == GQA_OK && generates(r, running))
        st = generate(r, 0, running);
    gqa_running_close(running);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "original");
}

/* layers: [n_layers], or NULL. */
static enum gqa_status compare(struct gqa_run *r, const char *phase,
                               struct gqa_running *running,
                               struct measured *out, struct gqa_drift *layers)
{
    const uint64_t n = gqa_tokens_n_positions(&r->tokens);
    struct gqa_comparison to = {.layers = layers};
    enum gqa_status st = GQA_OK;

    *out = (struct measured){.rows = {0}};
    if (r->has_logits)
        st = gqa_fidelity_create(&to.fidelity, r->n_outputs, r->tokens.n, n);
    else
        to.logits = &out->rows;
    gqa_progress_phase(r->bar, phase, GQA_PROGRESS_TOKENS);
    if (st == GQA_OK)
        st = gqa_trace_compare(r->trace, running, 0, false, &to, &r->progress);
    if (st == GQA_OK && r->has_logits)
        gqa_fidelity_finish(to.fidelity, &out->logits);
    gqa_fidelity_free(to.fidelity);
    return st;
}

static enum gqa_status check_fidelity(struct gqa_run *r,
                                      struct gqa_running *running)
{
    const size_t n = gqa_trace_n_layers(r->trace);
    struct gqa_drift *layers = calloc(n ? n : 1, sizeof *layers);
    const double start = gqa_clock_s();
    enum gqa_status st = layers ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = compare(r, "comparing the converted model", running, &r->result,
                     layers);
    gqa_clock_log("running the converted model", start, 0);
    if (st == GQA_OK)
        st = r->has_logits ? gqa_fidelity_report(r->report, &r->result.logits,
                                                 &r->options->budget,
                                                 gqa_clock_s() - r->start)
                           : gqa_rows_report(r->report, &r->result.rows,
                                             gqa_tokens_n_positions(&r->tokens),
                                             &r->options->budget,
                                             gqa_clock_s() - r->start);
    if (st == GQA_OK)
        st =
            gqa_drift_report(r->report, layers, r->n_layers[0], r->n_layers[1]);
    free(layers);
    return st;
}

static enum gqa_status dump(struct gqa_run *r, struct gqa_running *running)
{
    const struct gqa_trace_options keep = {.dtype = kept_dtype(r)};
    struct gqa_trace *converted = NULL;
    enum gqa_status st =
        gqa_trace_record(&converted, running, &r->tokens, &keep, NULL);

    if (st == GQA_OK)
        st = gqa_dump_logits(r->options->dump, r->options->dump_path, r->trace,
                             converted, &r->tokens, keep.dtype);
    gqa_trace_free(converted);
    return st;
}

static enum gqa_status check_expanded(struct gqa_run *r)
{
    static const char name[] = "grouped-expanded";
    const struct gqa_model *model = r->converted.model;
    struct gqa_running *running = NULL;
    struct gqa_weight_source weights;
    struct gqa_mapped *expanded = NULL;
    bool grouped = false;
    enum gqa_status st;

    for (size_t i = 0; i < model->n_attentions; i++)
        grouped = grouped || model->attentions[i].n_kv_heads <
                                 model->attentions[i].n_heads;
    if (!grouped) {
        const struct gqa_check check = {.group = GQA_CHECK_RUNTIME,
                                        .name = name,
                                        .verdict = GQA_SKIPPED,
                                        .detail = "no attention is grouped"};

        return gqa_report_add(r->report, &check);
    }
    st = gqa_expand(&expanded, model, &r->converted.weights);
    if (st == GQA_OK) {
        weights = gqa_mapped_weights(expanded);
        st = gqa_running_open(&running, gqa_mapped_model(expanded), &weights,
                              &r->options->run);
    }
    if (st == GQA_OK)
        st = gqa_reference_check(r->reference, r->report, name, running, false);
    gqa_running_close(running);
    gqa_mapped_free(expanded);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "expanded");
}

/* Token by token, from the KV cache. */
static enum gqa_status check_steps(struct gqa_run *r,
                                   struct gqa_running *running)
{
    static const char name[] = "decode-prefill";
    const struct gqa_check none = {
        .group = GQA_CHECK_RUNTIME,
        .name = name,
        .verdict = GQA_SKIPPED,
        .detail = "an encoder takes all tokens of a sequence at once"};

    return r->is_encoder ? gqa_report_add(r->report, &none)
                         : gqa_reference_check(r->reference, r->report, name,
                                               running, true);
}

static enum gqa_status run_converted(struct gqa_run *r)
{
    struct gqa_running *running = NULL;
    enum gqa_status st =
        open_model(r, &running, &r->converted, &r->options->run);

    if (st == GQA_OK)
        st = check_fidelity(r, running);
    if (st == GQA_OK && generates(r, running))
        st = generate(r, 1, running);
    if (st == GQA_OK && r->options->n_generate > 0)
        st = report_generated(r);
    gqa_progress_phase(r->bar, "checking the runtime", GQA_PROGRESS_TOKENS);
    if (st == GQA_OK)
        st = check_steps(r, running);
    if (st == GQA_OK)
        st = gqa_reference_check(r->reference, r->report, "device-float64",
                                 running, false);
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "converted");
    else if (r->options->dump_path)
        st = dump(r, running);
    gqa_running_close(running);
    return st;
}

static enum gqa_status run_scale(struct gqa_run *r,
                                 enum gqa_regrouping regrouping,
                                 const char *name)
{
    struct gqa_running *running = NULL;
    struct gqa_weight_source weights;
    struct gqa_mapped *mapped = NULL;
    struct measured result;
    const double start = gqa_clock_s();
    enum gqa_status st =
        gqa_regroup(&mapped, r->original.model, &r->original.weights,
                    r->converted.model, regrouping, r->options->samples.seed);

    if (st == GQA_OK) {
        weights = gqa_mapped_weights(mapped);
        st = gqa_running_open(&running, gqa_mapped_model(mapped), &weights,
                              &r->options->run);
    }
    if (st == GQA_OK)
        st = compare(r, "comparing another conversion", running, &result, NULL);
    if (st == GQA_OK)
        st = r->has_logits
                 ? gqa_scale_report(r->report, name, &result.logits,
                                    gqa_clock_s() - start)
                 : gqa_rows_scale_report(r->report, name, &result.rows,
                                         gqa_clock_s() - start);
    if (st == GQA_OK && regrouping == GQA_REGROUP_FIRST && r->has_logits &&
        r->options->budget.max_kl_of_first >= 0)
        st = gqa_kl_of_first_report(r->report, &r->result.logits,
                                    &result.logits, &r->options->budget);
    gqa_running_close(running);
    gqa_mapped_free(mapped);
    /* Not every layout can be regrouped; nothing else depends on it. */
    if (st == GQA_ERR_UNSUPPORTED) {
        struct gqa_check check = {
            .group = GQA_CHECK_FIDELITY, .name = name, .verdict = GQA_SKIPPED};

        /* A limit that nothing can be held against is not kept. */
        if (regrouping == GQA_REGROUP_FIRST &&
            r->options->budget.max_kl_of_first >= 0)
            check.verdict = GQA_FAILED;
        snprintf(check.detail, sizeof check.detail, "%s", gqa_error_message());
        return gqa_report_add(r->report, &check);
    }
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", name);
}

static enum gqa_status check_function(struct gqa_run *r,
                                      const struct gqa_claims *claims)
{
    const struct gqa_function_job job = {.report = r->report,
                                         .original = &r->original,
                                         .converted = &r->converted,
                                         .claims = claims,
                                         .run = &r->options->run,
                                         .tokens = &r->tokens,
                                         .trace = r->trace,
                                         .bar = r->bar,
                                         .progress = &r->progress};

    return gqa_function_check(&job);
}

/* --- From outside --------------------------------------------------------- */

static void *run_original_aside(void *arg)
{
    struct gqa_run *r = arg;

    r->status = run_original(r);
    if (r->status != GQA_OK)
        snprintf(r->message, sizeof r->message, "%s", gqa_error_message());
    return NULL;
}

enum gqa_status gqa_run_begin(struct gqa_run **out,
                              const struct gqa_run_model *original,
                              const struct gqa_run_check_options *options)
{
    struct gqa_run *r = calloc(1, sizeof *r);
    enum gqa_status st;

    if (!r)
        return gqa_fail_nomem();
    r->original = *original;
    r->options = options;
    r->start = gqa_clock_s();
    st = gqa_report_create(&r->facts);
    r->report = r->facts;
    /* What goes on meanwhile has a bar of its own. */
    if (st == GQA_OK)
        st = gqa_progress_create(&r->bar, GQA_LOG_ERROR);
    if (st != GQA_OK) {
        gqa_run_free(r);
        return st;
    }
    r->is_running = runs_aside(r) && pthread_create(&r->thread, NULL,
                                                    run_original_aside, r) == 0;
    *out = r;
    return GQA_OK;
}

static void wait_for_original(struct gqa_run *r)
{
    if (r->is_running)
        pthread_join(r->thread, NULL);
    r->is_running = false;
}

void gqa_run_free(struct gqa_run *r)
{
    if (!r)
        return;
    /* What still runs has no use: something else went wrong. */
    gqa_interrupt_ask(true);
    wait_for_original(r);
    gqa_reference_free(r->reference);
    gqa_interrupt_ask(false);
    gqa_trace_free(r->trace);
    for (int m = 0; m < GQA_N_MODELS; m++)
        free(r->generated[m]);
    gqa_tokens_clear(&r->tokens);
    gqa_progress_free(r->bar);
    gqa_report_free(r->facts);
    free(r);
}

static enum gqa_status finish_original(struct gqa_run *r,
                                       struct gqa_report *report)
{
    const bool was_aside = r->is_running;
    struct gqa_progress *bar = NULL;
    enum gqa_status st = gqa_progress_create(&bar, r->options->log_level);

    if (st != GQA_OK)
        return st;
    if (was_aside)
        gqa_progress_phase(bar, "running the original", GQA_PROGRESS_TOKENS);
    wait_for_original(r);
    gqa_progress_free(r->bar);
    r->bar = bar;
    r->progress.ctx = bar;
    r->report = report;
    if (!was_aside)
        return run_original(r);
    st = gqa_report_add_facts(report, r->facts);
    return r->status == GQA_OK ? st : gqa_fail(r->status, "%s", r->message);
}

enum gqa_status gqa_run_finish(struct gqa_run *r, struct gqa_report *report,
                               const struct gqa_run_model *converted,
                               const struct gqa_claims *claims)
{
    const struct gqa_run_check_options *options = r->options;
    enum gqa_status st;

    r->converted = *converted;
    st = finish_original(r, report);
    if (st == GQA_OK) {
        if (!runs_aside(r))
            gqa_progress_phase(r->bar, "running the reference",
                               GQA_PROGRESS_TOKENS);
        st = begin_reference(r);
    }
    if (st == GQA_OK)
        st = run_converted(r);
    if (st == GQA_OK)
        st = check_expanded(r);
    if (st == GQA_OK && options->run.backend != options->reference.backend)
        st = gqa_reference_state(r->reference, report);
    if (st == GQA_OK &&
        (claims->same_function || (options->scale && claims->divisors)))
        st = check_function(r, claims);
    if (st == GQA_OK && options->scale && claims->is_aligned)
        st = run_scale(r, GQA_REGROUP_MEAN, "scale-mean");
    if (st == GQA_OK && needs_first(r))
        st = run_scale(r, GQA_REGROUP_FIRST, "scale-first");
    if (st == GQA_OK && options->scale)
        st = run_scale(r, GQA_REGROUP_RANDOM, "scale-random");
    return st;
}
