#include "convert/calibrate.h"

#include <stdlib.h>
#include <string.h>

#include "align/refit.h"
#include "common/bounds.h"
#include "common/progress.h"
#include "convert/converted.h"
#include "runtime/data/sample.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"
#include "runtime/weights.h"

/* As many tokens as give moments of a model of this size their last digit
 * that counts; more change figures by less than what is rounded. */
enum { DEFAULT_SEQUENCES = 64, DEFAULT_LENGTH = 512 };

struct calibrator {
    const struct gqa_calibration *asked;
    unsigned n_threads;
    struct gqa_network *network;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_tokens tokens;
    struct gqa_progress *bar;
};

static enum gqa_status draw(struct calibrator *c,
                            const struct gqa_sample_options *options)
{
    struct gqa_runtime *runtime = NULL;
    enum gqa_status st = gqa_runtime_create(&runtime, c->network, c->backend,
                                            c->device, &c->source);

    if (st == GQA_OK)
        st = gqa_sample(&c->tokens, runtime, c->network, options);
    gqa_runtime_free(runtime);
    return st;
}

static enum gqa_status get_tokens(struct calibrator *c)
{
    const struct gqa_calibration *asked = c->asked;
    const struct gqa_token_rules rules = gqa_token_rules_of(c->network);
    struct gqa_sample_options options = {
        .n = asked->n ? asked->n : DEFAULT_SEQUENCES,
        .length = asked->length ? asked->length : DEFAULT_LENGTH,
        .seed = asked->seed,
        .progress = gqa_progress_update,
        .progress_ctx = c->bar,
    };
    enum gqa_status st;

    if (c->network->max_positions > 0)
        options.length = gqa_min_u64(options.length, c->network->max_positions);
    gqa_progress_phase(c->bar, "getting tokens", GQA_PROGRESS_TOKENS);
    if (asked->text_path)
        return gqa_tokens_from_text(&c->tokens, asked->text_path, &rules,
                                    options.length, options.n);
    if (!asked->from || strcmp(asked->from, "self") == 0)
        return draw(c, &options);
    st = gqa_tokens_read(&c->tokens, asked->from, &rules, asked->n);
    if (st == GQA_OK && asked->length)
        gqa_tokens_cut(&c->tokens, asked->length);
    return st;
}

static enum gqa_status align(struct gqa_alignment **out, struct calibrator *c,
                             const struct gqa_plan *plan,
                             struct gqa_checkpoint *checkpoint)
{
    const struct gqa_model *model = plan->model;
    uint64_t *pooled = calloc(model->n_attentions, sizeof *pooled);
    struct gqa_statistics_job job = {.network = c->network,
                                     .backend = c->backend,
                                     .device = c->device,
                                     .weights = &c->source,
                                     .progress = gqa_progress_update,
                                     .progress_ctx = c->bar};
    enum gqa_status st;

    if (gqa_calibration_has_tokens(c->asked))
        job.tokens = &c->tokens;
    if (!pooled)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions; i++)
        if (plan->attentions[i].selected)
            pooled[i] = plan->attentions[i].pooled;
    gqa_progress_phase(c->bar, "calibrating", GQA_PROGRESS_TOKENS);
    st = gqa_align(out, checkpoint, model, pooled, &job, &c->network->rope);
    if (st == GQA_ERR_UNSUPPORTED)
        st = gqa_fail_prefix(st, "%s", gqa_checkpoint_path(checkpoint));
    if (st == GQA_OK) {
        (*out)->n_sequences = c->tokens.n;
        (*out)->n_tokens = gqa_tokens_n_positions(&c->tokens);
    }
    free(pooled);
    return st;
}

/* The same conversion in the source's shapes, which its network runs. */
static enum gqa_status refit(struct gqa_alignment *alignment,
                             struct calibrator *c, const struct gqa_plan *plan,
                             struct gqa_checkpoint *checkpoint)
{
    struct gqa_plan_options options = plan->options;
    struct gqa_plan *in_place = NULL;
    struct gqa_converted *converted = NULL;
    struct gqa_weight_source weights;
    const struct gqa_refit_job job = {.network = c->network,
                                      .backend = c->backend,
                                      .device = c->device,
                                      .original = &c->source,
                                      .converted = &weights,
                                      .tokens = &c->tokens,
                                      .progress = gqa_progress_update,
                                      .progress_ctx = c->bar};
    enum gqa_status st;

    options.in_place = true;
    options.expand = false;
    options.keep_dtype = true;
    if ((st = gqa_plan_create(&in_place, plan->model, &options)) != GQA_OK)
        return st;
    in_place->alignment = alignment;
    st = gqa_converted_create(&converted, in_place, checkpoint,
                              c->n_threads + 1);
    if (st == GQA_OK) {
        weights = gqa_converted_weights(converted);
        gqa_progress_phase(c->bar, "fitting outputs", GQA_PROGRESS_TOKENS);
        st = gqa_refit(alignment, &job);
    }
    gqa_converted_free(converted);
    gqa_plan_free(in_place);
    return st;
}

static enum gqa_status open_device(struct calibrator *c)
{
    const struct gqa_device_options options = {.real = GQA_F32,
                                               .n_threads = c->n_threads};
    enum gqa_status st = GQA_ERR_UNSUPPORTED;

    if (c->asked->device != GQA_CALIBRATE_CPU) {
        st = gqa_cuda_backend_load(&c->backend);
        if (st == GQA_OK)
            st = c->backend->open(&c->device, &options);
    }
    if (st != GQA_ERR_UNSUPPORTED || c->asked->device == GQA_CALIBRATE_CUDA)
        return st;
    c->backend = gqa_cpu_backend();
    return c->backend->open(&c->device, &options);
}

bool gqa_calibration_has_tokens(const struct gqa_calibration *calibration)
{
    return !calibration->from || strcmp(calibration->from, "none") != 0;
}

enum gqa_status gqa_calibrate(struct gqa_alignment **out,
                              const struct gqa_plan *plan,
                              struct gqa_checkpoint *checkpoint,
                              const struct gqa_calibration *calibration,
                              unsigned n_threads, enum gqa_log_level log_level)
{
    struct calibrator c = {.asked = calibration,
                           .n_threads = n_threads,
                           .weights = {checkpoint, plan->model}};
    enum gqa_status st = gqa_network_create(&c.network, plan->model);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "%s", gqa_checkpoint_path(checkpoint));
    c.source = gqa_checkpoint_weight_source(&c.weights);
    if (st == GQA_OK)
        st = gqa_progress_create(&c.bar, log_level);
    if (st == GQA_OK && gqa_calibration_has_tokens(calibration))
        st = open_device(&c);
    if (st == GQA_OK && gqa_calibration_has_tokens(calibration))
        st = get_tokens(&c);
    if (st == GQA_OK)
        st = align(out, &c, plan, checkpoint);
    if (st == GQA_OK && gqa_calibration_has_tokens(calibration) &&
        !calibration->no_refit)
        st = refit(*out, &c, plan, checkpoint);
    gqa_tokens_clear(&c.tokens);
    if (c.device)
        c.backend->close(c.device);
    gqa_progress_free(c.bar);
    gqa_network_free(c.network);
    return st;
}
