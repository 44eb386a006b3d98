#include "verify/run_checks.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/progress.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"
#include "runtime/mapped.h"
#include "runtime/measure/trace.h"
#include "verify/dump.h"
#include "verify/fidelity_report.h"
#include "verify/generate.h"

enum {
    DEFAULT_SAMPLES = 8,
    DEFAULT_LENGTH = 256,
    /* What the runtime checks run. */
    SHORT_SEQUENCES = 2,
    SHORT_LENGTH = 64,
};

struct run {
    struct gqa_report *report;
    const struct gqa_run_model *original, *converted;
    const struct gqa_run_check_options *options;
    struct gqa_tokens tokens;
    struct gqa_trace *trace; /* of the original */
    uint64_t vocab_size;
    size_t n_layers[2]; /* of encoder and decoder */
    /* [SHORT_SEQUENCES, n_generate] of each model; NULL: none wanted */
    int32_t *generated[GQA_N_MODELS];
    struct gqa_fidelity_result result; /* of the converted model */
    double start;                      /* of the original's run */
    struct gqa_progress *bar;
    struct gqa_run_progress progress;
};

static bool needs_first(const struct run *r)
{
    return r->options->scale || r->options->budget.max_kl_of_first >= 0;
}

static enum gqa_status open_model(const struct run *r, struct gqa_running **out,
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
    gqa_clock_log("loading the weights of a model", start, n_bytes);
    return st;
}

static enum gqa_status state_device(const struct run *r,
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

/* Before anything is computed: a model has so many positions and no more. */
static enum gqa_status check_lengths(const struct gqa_tokens *tokens,
                                     const struct gqa_network *network,
                                     const char *path)
{
    const uint64_t max = network->max_positions;

    for (size_t i = 0; i < tokens->n && max > 0; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];
        const uint64_t n =
            s->n_encoder > s->n_decoder ? s->n_encoder : s->n_decoder;

        if (n > max)
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: sequence %zu has %llu tokens, and the model "
                            "has positions for %llu",
                            path, i, (unsigned long long)n,
                            (unsigned long long)max);
    }
    return GQA_OK;
}

/* The error, and which option helps where it is this one. */
static enum gqa_status advise(enum gqa_status st, enum gqa_status which,
                              const char *help)
{
    char message[512];

    if (st != which)
        return st;
    snprintf(message, sizeof message, "%s", gqa_error_message());
    return gqa_fail(st, "%s%s", message, help);
}

/* From a file, from text, or from the original itself. */
static enum gqa_status get_tokens(struct run *r, struct gqa_running *running)
{
    const struct gqa_network *network = gqa_running_network(running);
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    struct gqa_sample_options samples = r->options->samples;
    const uint64_t max = samples.n;
    enum gqa_status st;

    gqa_progress_phase(r->bar,
                       r->options->tokens_path || r->options->text_path
                           ? "getting the tokens"
                           : "drawing samples",
                       GQA_PROGRESS_TOKENS);
    samples.progress = gqa_progress_update;
    samples.progress_ctx = r->bar;

    samples.n = max > 0 ? max : DEFAULT_SAMPLES;
    samples.length = samples.length > 0 ? samples.length : DEFAULT_LENGTH;
    if (network->max_positions > 0 && samples.length > network->max_positions)
        samples.length = network->max_positions;
    if (r->options->tokens_path) {
        st = gqa_tokens_read(&r->tokens, r->options->tokens_path, &rules, max);
        if (st == GQA_OK && r->options->samples.length > 0)
            gqa_tokens_cut(&r->tokens, r->options->samples.length);
        if (st == GQA_OK)
            st = check_lengths(&r->tokens, network, r->options->tokens_path);
        if (st == GQA_OK && rules.is_encoder_decoder)
            st = gqa_sample_outputs(&r->tokens, gqa_running_runtime(running),
                                    network, &samples);
        return st;
    }
    if (r->options->text_path) {
        st = gqa_tokens_from_text(&r->tokens, r->options->text_path, &rules,
                                  samples.length, samples.n);
        return advise(st, GQA_ERR_UNSUPPORTED, " and give them by --tokens");
    }
    st =
        gqa_sample(&r->tokens, gqa_running_runtime(running), network, &samples);
    st = advise(st, GQA_ERR_FORMAT,
                "; with --tokens, the report says where it begins");
    return st == GQA_OK ? st : gqa_fail_prefix(st, "original");
}

/* What the models run on, in a line. */
static enum gqa_status state_data(const struct run *r)
{
    const struct gqa_run_check_options *o = r->options;
    const char *path = o->tokens_path ? o->tokens_path : o->text_path;
    char size[64], line[4200];

    snprintf(size, sizeof size, "%zu sequences, %llu positions", r->tokens.n,
             (unsigned long long)gqa_tokens_n_positions(&r->tokens));
    if (path)
        snprintf(line, sizeof line, "%s of %s", size, path);
    else
        snprintf(line, sizeof line, "%s sampled from the original, seed %llu",
                 size, (unsigned long long)o->samples.seed);
    return gqa_report_fact(r->report, "data", line);
}

static void learn_shape(struct run *r, const struct gqa_network *network)
{
    r->vocab_size = network->vocab_size;
    for (size_t i = 0; i < network->n_stacks; i++)
        r->n_layers[network->stacks[i].stack == GQA_STACK_DECODER] +=
            network->stacks[i].n_blocks;
}

static uint64_t n_short(const struct run *r)
{
    return r->tokens.n < SHORT_SEQUENCES ? r->tokens.n : SHORT_SEQUENCES;
}

static enum gqa_status generate(struct run *r, int model,
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

static enum gqa_status report_generated(struct run *r)
{
    const uint64_t n = r->options->n_generate;
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < n_short(r) && st == GQA_OK; s++) {
        const int32_t *const tokens[] = {r->generated[0] + s * n,
                                         r->generated[1] + s * n};

        st = gqa_generate_report(r->report, s, tokens, n);
    }
    return st;
}

static enum gqa_status run_original(struct run *r)
{
    const struct gqa_trace_options keep = {
        r->options->run.device.real == GQA_F64 ? GQA_F64 : GQA_F32, true};
    struct gqa_running *running = NULL;
    enum gqa_status st = open_model(r, &running, r->original, &r->options->run);
    double start = gqa_clock_s();

    if (st == GQA_OK)
        st = state_device(r, running);
    if (st == GQA_OK && (st = get_tokens(r, running)) != GQA_OK) {
        /* The message has the file's name, or says whose samples. */
        gqa_running_close(running);
        return st;
    }
    gqa_clock_log("getting the tokens", start, 0);
    if (st == GQA_OK)
        st = state_data(r);
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
    if (st == GQA_OK && r->options->n_generate > 0)
        st = generate(r, 0, running);
    gqa_running_close(running);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "original");
}

/* layers: [n_layers], or NULL. */
static enum gqa_status compare(struct run *r, const char *phase,
                               struct gqa_running *running,
                               struct gqa_fidelity_result *result,
                               struct gqa_drift *layers)
{
    const uint64_t n = gqa_tokens_n_positions(&r->tokens);
    struct gqa_comparison to = {.layers = layers};
    enum gqa_status st =
        gqa_fidelity_create(&to.fidelity, r->vocab_size, r->tokens.n, n);

    gqa_progress_phase(r->bar, phase, GQA_PROGRESS_TOKENS);
    if (st == GQA_OK)
        st = gqa_trace_compare(r->trace, running, 0, false, &to, &r->progress);
    if (st == GQA_OK)
        gqa_fidelity_finish(to.fidelity, result);
    gqa_fidelity_free(to.fidelity);
    return st;
}

static enum gqa_status check_fidelity(struct run *r,
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
        st = gqa_fidelity_report(r->report, &r->result, &r->options->budget,
                                 gqa_clock_s() - r->start);
    if (st == GQA_OK)
        st =
            gqa_drift_report(r->report, layers, r->n_layers[0], r->n_layers[1]);
    free(layers);
    return st;
}

static enum gqa_status dump(struct run *r, struct gqa_running *running)
{
    const struct gqa_trace_options keep = {GQA_F32, false};
    struct gqa_trace *converted = NULL;
    enum gqa_status st =
        gqa_trace_record(&converted, running, &r->tokens, &keep, NULL);

    if (st == GQA_OK)
        st = gqa_dump_logits(r->options->dump, r->options->dump_path, r->trace,
                             converted, &r->tokens, r->vocab_size);
    gqa_trace_free(converted);
    return st;
}

/* The distance between a trace and a run of the same tokens. */
static enum gqa_status check_distance(struct run *r, const char *name,
                                      struct gqa_trace *trace,
                                      struct gqa_running *running,
                                      bool token_by_token, bool squared,
                                      double limit)
{
    struct gqa_drift logits = {0};
    const struct gqa_comparison to = {.logits = &logits};
    const double start = gqa_clock_s();
    enum gqa_status st;

    gqa_progress_phase(r->bar, "checking the runtime", GQA_PROGRESS_TOKENS);
    st = gqa_trace_compare(trace, running, 0, token_by_token, &to, NULL);
    if (st != GQA_OK)
        return st;
    return gqa_distance_report(r->report, name, &logits,
                               squared ? GQA_DISTANCE_SQUARED
                                       : GQA_DISTANCE_RELATIVE,
                               limit, gqa_clock_s() - start);
}

static bool is_half(const struct run *r)
{
    const enum gqa_dtype real = r->options->run.device.real;

    return real == GQA_BF16 || real == GQA_F16;
}

/* Of two computations in the type of the run. */
static double same_limit(const struct run *r)
{
    if (is_half(r))
        return 5e-4;
    return r->options->run.device.real == GQA_F64 ? 1e-9 : 2e-6;
}

static enum gqa_status check_expanded(struct run *r, struct gqa_trace *trace)
{
    static const char name[] = "grouped-expanded";
    const struct gqa_model *model = r->converted->model;
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
    st = gqa_expand(&expanded, model, &r->converted->weights);
    if (st == GQA_OK) {
        weights = gqa_mapped_weights(expanded);
        st = gqa_running_open(&running, gqa_mapped_model(expanded), &weights,
                              &r->options->run);
    }
    if (st == GQA_OK)
        st = check_distance(r, name, trace, running, false, is_half(r),
                            same_limit(r));
    gqa_running_close(running);
    gqa_mapped_free(expanded);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "expanded");
}

/* What the device was held against, where that is another. */
static enum gqa_status state_reference(const struct run *r,
                                       struct gqa_running *running)
{
    struct gqa_device_info info = {0};
    char line[512];
    enum gqa_status st;

    if (r->options->run.backend == r->options->reference.backend)
        return GQA_OK;
    st = gqa_running_describe(running, &info);
    if (st != GQA_OK)
        return st;
    snprintf(line, sizeof line, "%s, %s", info.name, info.software);
    return gqa_report_fact(r->report, "reference", line);
}

static enum gqa_status check_reference(struct run *r, struct gqa_trace *trace)
{
    struct gqa_running *running = NULL;
    enum gqa_status st =
        open_model(r, &running, r->converted, &r->options->reference);

    if (st == GQA_OK)
        st = state_reference(r, running);
    if (st == GQA_OK)
        st = check_distance(r, "device-float64", trace, running, false, true,
                            is_half(r) ? 5e-4 : 1e-7);
    gqa_running_close(running);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "reference");
}

static enum gqa_status run_converted(struct run *r,
                                     struct gqa_trace **short_trace,
                                     const struct gqa_tokens *short_tokens)
{
    const struct gqa_trace_options keep = {GQA_F64, false};
    struct gqa_running *running = NULL;
    enum gqa_status st =
        open_model(r, &running, r->converted, &r->options->run);

    if (st == GQA_OK)
        st = check_fidelity(r, running);
    if (st == GQA_OK && r->options->n_generate > 0)
        st = generate(r, 1, running);
    if (st == GQA_OK && r->options->n_generate > 0)
        st = report_generated(r);
    if (st == GQA_OK)
        st = gqa_trace_record(short_trace, running, short_tokens, &keep, NULL);
    if (st == GQA_OK)
        st = check_distance(r, "decode-prefill", *short_trace, running, true,
                            is_half(r), same_limit(r));
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "converted");
    else if (r->options->dump_path)
        st = dump(r, running);
    gqa_running_close(running);
    return st;
}

static enum gqa_status run_scale(struct run *r, enum gqa_regrouping regrouping,
                                 const char *name)
{
    struct gqa_running *running = NULL;
    struct gqa_weight_source weights;
    struct gqa_mapped *mapped = NULL;
    struct gqa_fidelity_result result;
    const double start = gqa_clock_s();
    enum gqa_status st =
        gqa_regroup(&mapped, r->original->model, &r->original->weights,
                    r->converted->model, regrouping, r->options->samples.seed);

    if (st == GQA_OK) {
        weights = gqa_mapped_weights(mapped);
        st = gqa_running_open(&running, gqa_mapped_model(mapped), &weights,
                              &r->options->run);
    }
    if (st == GQA_OK)
        st = compare(r, "comparing another conversion", running, &result, NULL);
    if (st == GQA_OK)
        st = gqa_scale_report(r->report, name, &result, gqa_clock_s() - start);
    if (st == GQA_OK && regrouping == GQA_REGROUP_FIRST &&
        r->options->budget.max_kl_of_first >= 0)
        st = gqa_kl_of_first_report(r->report, &r->result, &result,
                                    &r->options->budget);
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

/* The first sequences, cut short; lent the pointers of r->tokens. */
static void shorten(struct gqa_sequence *list, struct gqa_tokens *out,
                    const struct run *r)
{
    *out = (struct gqa_tokens){list, 0};
    for (; out->n < n_short(r); out->n++) {
        struct gqa_sequence *s = &list[out->n];

        *s = r->tokens.sequences[out->n];
        if (s->n_decoder > SHORT_LENGTH)
            s->n_decoder = SHORT_LENGTH;
    }
}

enum gqa_status gqa_run_checks(struct gqa_report *report,
                               const struct gqa_run_model *original,
                               const struct gqa_run_model *converted,
                               const struct gqa_run_check_options *options)
{
    struct run r = {.report = report,
                    .original = original,
                    .converted = converted,
                    .options = options,
                    .start = gqa_clock_s()};
    struct gqa_sequence list[SHORT_SEQUENCES];
    struct gqa_trace *short_trace = NULL;
    struct gqa_tokens short_tokens;
    double start;
    enum gqa_status st = gqa_progress_create(&r.bar, options->log_level);

    if (st == GQA_OK)
        st = run_original(&r);
    if (st == GQA_OK) {
        shorten(list, &short_tokens, &r);
        st = run_converted(&r, &short_trace, &short_tokens);
    }
    start = gqa_clock_s();
    if (st == GQA_OK)
        st = check_expanded(&r, short_trace);
    if (st == GQA_OK)
        st = check_reference(&r, short_trace);
    gqa_clock_log("checking the runtime", start, 0);
    if (st == GQA_OK && needs_first(&r))
        st = run_scale(&r, GQA_REGROUP_FIRST, "scale-first");
    if (st == GQA_OK && options->scale)
        st = run_scale(&r, GQA_REGROUP_RANDOM, "scale-random");
    gqa_trace_free(short_trace);
    gqa_trace_free(r.trace);
    for (int m = 0; m < GQA_N_MODELS; m++)
        free(r.generated[m]);
    gqa_tokens_clear(&r.tokens);
    gqa_progress_free(r.bar);
    return st;
}
