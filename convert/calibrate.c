#include "convert/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/choose.h"
#include "align/free.h"
#include "align/refit.h"
#include "common/bounds.h"
#include "common/progress.h"
#include "convert/converted.h"
#include "formats/model/rope.h"
#include "formats/model/rope_config.h"
#include "runtime/data/sample.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"
#include "runtime/weights.h"

/* As many tokens as give moments of a model of this size their last digit
 * that counts; more change figures by less than what is rounded. */
enum { DEFAULT_SEQUENCES = 64, DEFAULT_LENGTH = 512 };

/* What frequencies are tried on: tokens in all, and of a sequence at most. */
enum { CHOICE_TOKENS = 8192, CHOICE_LENGTH = 4096 };

struct calibrator {
    const struct gqa_calibration *asked;
    unsigned n_threads;
    struct gqa_network *network, *becomes; /* before and after */
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_tokens tokens;
    struct gqa_progress *bar;
    double *divisors; /* of freed pairs, [n_pairs]; NULL: not looked for */
    uint64_t context;
    struct gqa_choice_of_pairs choice;
};

static enum gqa_status draw(struct gqa_tokens *out, struct calibrator *c,
                            const struct gqa_sample_options *options)
{
    struct gqa_runtime *runtime = NULL;
    enum gqa_status st = gqa_runtime_create(&runtime, c->network, c->backend,
                                            c->device, &c->source);

    if (st == GQA_OK)
        st = gqa_sample(out, runtime, c->network, options);
    gqa_runtime_free(runtime);
    return st;
}

/* At most n sequences of at most so many tokens. */
static enum gqa_status get_tokens(struct gqa_tokens *out, struct calibrator *c,
                                  uint64_t n, uint64_t length)
{
    const struct gqa_calibration *asked = c->asked;
    const struct gqa_token_rules rules = gqa_token_rules_of(c->network);
    struct gqa_sample_options options = {
        .n = n,
        .length = length,
        .seed = asked->seed,
        .progress = gqa_progress_update,
        .progress_ctx = c->bar,
    };
    enum gqa_status st;

    if (c->network->max_positions > 0)
        options.length = gqa_min_u64(options.length, c->network->max_positions);
    gqa_progress_phase(c->bar, "getting tokens", GQA_PROGRESS_TOKENS);
    if (asked->text_path)
        return gqa_tokens_from_text(out, asked->text_path, &rules,
                                    options.length, options.n);
    if (!asked->from || strcmp(asked->from, "self") == 0)
        return draw(out, c, &options);
    st = gqa_tokens_read(out, asked->from, &rules, n);
    if (st == GQA_OK && length)
        gqa_tokens_cut(out, length);
    return st;
}

/* A file of tokens is taken as it is, where nothing is said. */
static enum gqa_status get_all_tokens(struct calibrator *c)
{
    const struct gqa_calibration *asked = c->asked;
    const bool file = asked->from && strcmp(asked->from, "self") != 0;
    const uint64_t n = asked->n || file ? asked->n : DEFAULT_SEQUENCES;
    const uint64_t length =
        asked->length || file ? asked->length : DEFAULT_LENGTH;

    return get_tokens(&c->tokens, c, n, length);
}

/* --- Pairs that are freed ------------------------------------------------- */

/* Whether another frequency for each pair can be said where it is read. */
static bool may_free(const struct calibrator *c, const struct gqa_plan *plan)
{
    const struct gqa_rope *rope = &c->network->rope;
    bool aligns = false;

    for (size_t i = 0; i < plan->model->n_attentions; i++)
        aligns = aligns || gqa_plan_is_aligned(plan, &plan->attentions[i]);
    return aligns && !c->asked->no_free_pairs && c->asked->can_say_pairs &&
           rope->n_pairs > 0 && rope->context == 0 && rope->magnitude == 1 &&
           gqa_rope_config_is_plain(plan->model->config);
}

static uint64_t context_of(const struct calibrator *c,
                           const struct gqa_plan *plan)
{
    return c->asked->keep_context
               ? c->asked->keep_context
               : (uint64_t)json_integer_value(json_object_get(
                     plan->model->config, "max_position_embeddings"));
}

static enum gqa_status choose_pairs(struct calibrator *c,
                                    const struct gqa_plan *plan,
                                    uint64_t context,
                                    struct gqa_choice_of_pairs *choice)
{
    const struct gqa_run_options run = {
        .backend = c->backend,
        .device = {.real = GQA_F32, .n_threads = c->n_threads}};
    struct gqa_tokens tokens = {NULL, 0};
    const struct gqa_choose_job job = {.model = plan->model,
                                       .weights = &c->source,
                                       .run = &run,
                                       .tokens = &tokens,
                                       .context = context,
                                       .progress = gqa_progress_update,
                                       .progress_ctx = c->bar};
    const uint64_t length = gqa_min_u64(context, CHOICE_LENGTH);
    uint64_t n = (CHOICE_TOKENS + length - 1) / length;
    enum gqa_status st;

    if (c->asked->n)
        n = gqa_min_u64(n, c->asked->n);
    st = get_tokens(&tokens, c, n, length);
    gqa_progress_phase(c->bar, "freeing pairs", GQA_PROGRESS_TOKENS);
    if (st == GQA_OK)
        st = gqa_choose_pairs(c->divisors, choice, &job);
    gqa_tokens_clear(&tokens);
    return st;
}

/* Without tokens those that do not turn by more than a radian. */
static enum gqa_status free_pairs(struct calibrator *c,
                                  const struct gqa_plan *plan)
{
    const struct gqa_rope *rope = &c->network->rope;
    const uint64_t context = context_of(c, plan);
    struct gqa_choice_of_pairs choice = {0, NAN};
    enum gqa_status st = GQA_OK;

    c->divisors = calloc(c->network->rope.n_pairs + 1, sizeof *c->divisors);
    if (!c->divisors)
        return gqa_fail_nomem();
    if (gqa_calibration_has_tokens(c->asked))
        st = choose_pairs(c, plan, context, &choice);
    else
        choice.n_changed = gqa_free_pairs(c->divisors, rope, context,
                                          gqa_slow_pairs(rope, context, 1), 0);
    c->context = context;
    c->choice = choice;
    if (st == GQA_OK && choice.n_changed > 0)
        gqa_rope_divide(&c->becomes->rope, c->divisors);
    return st;
}

/* Hand over what was chosen. */
static void tell_pairs(struct gqa_alignment *alignment, struct calibrator *c)
{
    if (c->choice.n_changed == 0)
        return;
    alignment->divisors = c->divisors;
    c->divisors = NULL;
    alignment->n_pairs = c->network->rope.n_pairs;
    alignment->n_changed = c->choice.n_changed;
    alignment->context = c->context;
    alignment->cost = c->choice.cost;
}

/* --- All ------------------------------------------------------------------ */

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
    st = gqa_align(
        out, checkpoint, model, pooled, &job, &c->becomes->rope,
        &(struct gqa_align_options){.regroup = !c->asked->no_regroup,
                                    .no_pooling = plan->options.no_pooling,
                                    .n_threads = c->n_threads});
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
                                      .becomes = c->becomes,
                                      .backend = c->backend,
                                      .device = c->device,
                                      .real = GQA_F32,
                                      .no_scores = c->asked->no_fit_scores,
                                      .no_outputs = c->asked->no_refit,
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
    st = gqa_plan_align(in_place, alignment);
    if (st == GQA_OK)
        st = gqa_converted_create(&converted, in_place, checkpoint,
                                  c->n_threads + 1);
    if (st == GQA_OK) {
        weights = gqa_converted_weights(converted);
        gqa_progress_phase(c->bar, "fitting", GQA_PROGRESS_TOKENS);
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
        st = get_all_tokens(&c);
    if (st == GQA_OK)
        st = gqa_network_create(&c.becomes, plan->model);
    if (st == GQA_OK && may_free(&c, plan))
        st = free_pairs(&c, plan);
    if (st == GQA_OK)
        st = align(out, &c, plan, checkpoint);
    if (st == GQA_OK)
        tell_pairs(*out, &c);
    if (st == GQA_OK && gqa_calibration_has_tokens(calibration) &&
        !(calibration->no_refit && calibration->no_fit_scores) &&
        !plan->options.no_pooling)
        st = refit(*out, &c, plan, checkpoint);
    gqa_tokens_clear(&c.tokens);
    if (c.device)
        c.backend->close(c.device);
    gqa_progress_free(c.bar);
    gqa_network_free(c.becomes);
    gqa_network_free(c.network);
    free(c.divisors);
    return st;
}
