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
#include "runtime/weights.h"

/* What frequencies are tried on: tokens in all, and of a sequence at most. */
enum { CHOICE_TOKENS = 8192, CHOICE_LENGTH = 4096 };

struct calibrator {
    const struct gqa_calibration *asked;
    unsigned n_threads;
    struct gqa_network *network, *becomes; /* before and after */
    struct gqa_checkpoint_weights weights;
    struct gqa_learning learning;
    struct gqa_tokens tokens;
    struct gqa_progress *bar;
    double *divisors; /* of freed pairs, [n_pairs]; NULL: not looked for */
    uint64_t context;
    struct gqa_choice_of_pairs choice;
};

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
        .backend = c->learning.backend,
        .device = {.real = GQA_F32, .n_threads = c->n_threads}};
    struct gqa_tokens tokens = {NULL, 0};
    const struct gqa_choose_job job = {.model = plan->model,
                                       .weights = &c->learning.weights,
                                       .run = &run,
                                       .tokens = &tokens,
                                       .context = context,
                                       .progress = gqa_progress_update,
                                       .progress_ctx = c->bar};
    const uint64_t length = gqa_min_u64(context, CHOICE_LENGTH);
    uint64_t n = (CHOICE_TOKENS + length - 1) / length;
    enum gqa_status st;

    if (c->asked->learning.n)
        n = gqa_min_u64(n, c->asked->learning.n);
    st = gqa_learning_tokens(&tokens, &c->learning, n, length);
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
    if (gqa_learning_has_tokens(&c->asked->learning))
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
                                     .backend = c->learning.backend,
                                     .device = c->learning.device,
                                     .weights = &c->learning.weights,
                                     .progress = gqa_progress_update,
                                     .progress_ctx = c->bar};
    enum gqa_status st;

    if (gqa_learning_has_tokens(&c->asked->learning))
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
                                      .backend = c->learning.backend,
                                      .device = c->learning.device,
                                      .real = GQA_F32,
                                      .no_scores = c->asked->no_fit_scores,
                                      .no_outputs = c->asked->no_refit,
                                      .original = &c->learning.weights,
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

enum gqa_status gqa_calibrate(struct gqa_alignment **out,
                              const struct gqa_plan *plan,
                              struct gqa_checkpoint *checkpoint,
                              const struct gqa_calibration *calibration,
                              unsigned n_threads, enum gqa_log_level log_level)
{
    struct calibrator c = {.asked = calibration,
                           .n_threads = n_threads,
                           .weights = {checkpoint, plan->model}};
    const bool has_tokens = gqa_learning_has_tokens(&calibration->learning);
    enum gqa_status st = gqa_network_create(&c.network, plan->model);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "%s", gqa_checkpoint_path(checkpoint));
    st = gqa_progress_create(&c.bar, log_level);
    c.learning = (struct gqa_learning){
        .asked = &calibration->learning,
        .n_threads = n_threads,
        .network = c.network,
        .weights = gqa_checkpoint_weight_source(&c.weights),
        .bar = c.bar};
    if (st == GQA_OK && has_tokens)
        st = gqa_learning_open(&c.learning);
    if (st == GQA_OK && has_tokens)
        st = gqa_learning_all_tokens(&c.tokens, &c.learning);
    if (st == GQA_OK)
        st = gqa_network_create(&c.becomes, plan->model);
    if (st == GQA_OK && may_free(&c, plan))
        st = free_pairs(&c, plan);
    if (st == GQA_OK)
        st = align(out, &c, plan, checkpoint);
    if (st == GQA_OK)
        tell_pairs(*out, &c);
    if (st == GQA_OK && has_tokens &&
        !(calibration->no_refit && calibration->no_fit_scores) &&
        !plan->options.no_pooling)
        st = refit(*out, &c, plan, checkpoint);
    gqa_tokens_clear(&c.tokens);
    gqa_learning_close(&c.learning);
    gqa_progress_free(c.bar);
    gqa_network_free(c.becomes);
    gqa_network_free(c.network);
    free(c.divisors);
    return st;
}
