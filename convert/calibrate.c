#include "convert/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/choose.h"
#include "align/free.h"
#include "align/learn_heads.h"
#include "align/refit.h"
#include "common/bounds.h"
#include "common/progress.h"
#include "convert/converted.h"
#include "formats/model/rope.h"
#include "formats/model/rope_config.h"
#include "runtime/measure/trace.h"
#include "runtime/weights.h"

/* What frequencies are tried on: tokens in all, and of a sequence at most. */
enum { CHOICE_TOKENS = 8192, CHOICE_LENGTH = 4096 };

/* For so many sequences one is held out, and no more than so many: beyond those
 * that were asked for, or, where there are no others, of them. */
enum { ONE_OF = 8, MAX_HELD_OUT = 16 };

/* Attentions one by one: the tokens of this many passes of what is learnt from,
 * which a conversion takes more of. */
enum { RUNS = 2 };

struct gqa_calibrator {
    const struct gqa_calibration *asked;
    unsigned n_threads;
    struct gqa_checkpoint *checkpoint;
    struct gqa_network *network, *becomes; /* before and after */
    struct gqa_checkpoint_weights weights;
    struct gqa_learning learning;
    struct gqa_tokens tokens;        /* all; owned */
    struct gqa_tokens fitted, apart; /* of them: learnt from, held out */
    struct gqa_tokens few;           /* of those apart */
    /* Of the source, on what is held out, and on few of that. */
    struct gqa_trace *trace, *few_trace;
    struct gqa_progress *bar;
    double *divisors; /* of freed pairs, [n_pairs]; NULL: not looked for */
    uint64_t context;
    struct gqa_choice_of_pairs choice;
    bool has_warned; /* of few tokens: numbers of heads are tried in turn */
};

/* --- Pairs that are freed ------------------------------------------------- */

/* Whether another frequency for each pair can be said where it is read. */
static bool may_free(const struct gqa_calibrator *c,
                     const struct gqa_plan *plan)
{
    const struct gqa_rope *rope = &c->network->rope;
    bool aligns = false;

    for (size_t i = 0; i < plan->model->n_attentions; i++)
        aligns = aligns || gqa_plan_is_aligned(plan, &plan->attentions[i]);
    return aligns && !c->asked->no_free_pairs && c->asked->can_say_pairs &&
           rope->n_pairs > 0 && rope->context == 0 && rope->magnitude == 1 &&
           gqa_rope_config_is_plain(plan->model->config);
}

static uint64_t context_of(const struct gqa_calibrator *c,
                           const struct gqa_plan *plan)
{
    return c->asked->keep_context
               ? c->asked->keep_context
               : (uint64_t)json_integer_value(json_object_get(
                     plan->model->config, "max_position_embeddings"));
}

static struct gqa_run_options run_options(const struct gqa_calibrator *c)
{
    return (struct gqa_run_options){
        .backend = c->learning.backend,
        .device = {.real = c->learning.real, .n_threads = c->n_threads}};
}

static enum gqa_status choose_pairs(struct gqa_calibrator *c,
                                    const struct gqa_plan *plan,
                                    uint64_t context,
                                    struct gqa_choice_of_pairs *choice)
{
    const struct gqa_run_options run = run_options(c);
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

/* Without tokens, or logits to measure by, those that do not turn by more than
 * a radian. */
static enum gqa_status free_pairs(struct gqa_calibrator *c,
                                  const struct gqa_plan *plan)
{
    const struct gqa_rope *rope = &c->network->rope;
    const uint64_t context = context_of(c, plan);
    struct gqa_choice_of_pairs choice = {0, NAN};
    enum gqa_status st = GQA_OK;

    c->divisors = calloc(c->network->rope.n_pairs + 1, sizeof *c->divisors);
    if (!c->divisors)
        return gqa_fail_nomem();
    if (gqa_learning_has_tokens(&c->asked->learning) && c->network->has_logits)
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

/* Say what was chosen. */
static enum gqa_status tell_pairs(struct gqa_alignment *alignment,
                                  const struct gqa_calibrator *c)
{
    const uint64_t n = c->network->rope.n_pairs;

    if (c->choice.n_changed == 0)
        return GQA_OK;
    alignment->divisors = malloc(n * sizeof *alignment->divisors);
    if (!alignment->divisors)
        return gqa_fail_nomem();
    memcpy(alignment->divisors, c->divisors, n * sizeof *c->divisors);
    alignment->n_pairs = n;
    alignment->n_changed = c->choice.n_changed;
    alignment->context = c->context;
    alignment->cost = c->choice.cost;
    return GQA_OK;
}

/* --- What a plan would write, in the source's shapes ---------------------- */

struct in_place {
    struct gqa_plan *plan;
    struct gqa_converted *converted;
    struct gqa_weight_source weights;
};

static void close_in_place(struct in_place *p)
{
    gqa_converted_free(p->converted);
    gqa_plan_free(p->plan);
}

/* End it also after an error. */
static enum gqa_status open_in_place(struct in_place *out,
                                     const struct gqa_calibrator *c,
                                     const struct gqa_plan *plan,
                                     const struct gqa_alignment *alignment)
{
    struct gqa_plan_options options = plan->options;
    enum gqa_status st;

    *out = (struct in_place){.plan = NULL};
    options.in_place = true;
    options.expand = false;
    options.keep_dtype = true;
    st = gqa_plan_create(&out->plan, plan->model, &options);
    if (st == GQA_OK)
        st = gqa_plan_align(out->plan, alignment);
    if (st == GQA_OK)
        st = gqa_converted_create(&out->converted, out->plan, c->checkpoint,
                                  c->n_threads + 1);
    if (st == GQA_OK)
        out->weights = gqa_converted_weights(out->converted);
    return st;
}

/* --- Transforms and fits -------------------------------------------------- */

/* Where there are fewer tokens than dimensions of heads that share. By itself
 * a head loses nothing. */
static void warn_of_few(struct gqa_calibrator *c, const struct gqa_plan *plan)
{
    const uint64_t n = gqa_tokens_n_positions(&c->fitted);
    uint64_t most = 0;

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (gqa_plan_is_aligned(plan, out) && out->pooled < out->source)
            most = gqa_max_u64(most, out->source / out->pooled *
                                         out->attention->head_dim);
    }
    if (n >= most || c->has_warned)
        return;
    c->has_warned = true;
    gqa_warn("%llu tokens cannot show all %llu dimensions of the heads that "
             "share: weights alone say what the others are worth; learn from "
             "more (--samples, --length)",
             (unsigned long long)n, (unsigned long long)most);
}

static enum gqa_status align(struct gqa_alignment **out,
                             struct gqa_calibrator *c,
                             const struct gqa_plan *plan,
                             const struct gqa_network *becomes)
{
    const struct gqa_model *model = plan->model;
    uint64_t *pooled = calloc(model->n_attentions, sizeof *pooled);
    struct gqa_statistics_job job = {.network = c->network,
                                     .backend = c->learning.backend,
                                     .device = c->learning.device,
                                     .weights = &c->learning.weights,
                                     .checkpoint = c->checkpoint,
                                     .n_threads = c->n_threads,
                                     .progress = gqa_progress_update,
                                     .progress_ctx = c->bar};
    enum gqa_status st;

    if (gqa_learning_has_tokens(&c->asked->learning)) {
        job.tokens = &c->fitted;
        warn_of_few(c, plan);
    }
    if (!pooled)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions; i++)
        if (plan->attentions[i].selected)
            pooled[i] = plan->attentions[i].pooled;
    gqa_progress_phase(c->bar, "calibrating", GQA_PROGRESS_TOKENS);
    st = gqa_align(
        out, c->checkpoint, model, pooled, &job, becomes,
        &(struct gqa_align_options){.regroup = !c->asked->no_regroup,
                                    .no_pooling = plan->options.no_pooling,
                                    .n_threads = c->n_threads});
    if (st == GQA_ERR_UNSUPPORTED)
        st = gqa_fail_prefix(st, "%s", gqa_checkpoint_path(c->checkpoint));
    if (st == GQA_OK) {
        (*out)->n_sequences = c->fitted.n;
        (*out)->n_tokens = gqa_tokens_n_positions(&c->fitted);
    }
    free(pooled);
    return st;
}

static enum gqa_status refit(struct gqa_alignment *alignment,
                             const struct gqa_calibrator *c,
                             const struct gqa_plan *plan,
                             const struct gqa_network *becomes)
{
    struct in_place converted;
    const struct gqa_refit_job job = {.network = c->network,
                                      .becomes = becomes,
                                      .backend = c->learning.backend,
                                      .device = c->learning.device,
                                      .real = c->learning.real,
                                      .no_scores = c->asked->no_fit_scores,
                                      .no_outputs = c->asked->no_refit,
                                      .no_values = c->asked->no_fit_values,
                                      .not_together = c->asked->no_fit_together,
                                      .original = &c->learning.weights,
                                      .converted = &converted.weights,
                                      .tokens = &c->fitted,
                                      .n_threads = c->n_threads,
                                      .progress = gqa_progress_update,
                                      .progress_ctx = c->bar};
    enum gqa_status st = open_in_place(&converted, c, plan, alignment);

    if (st == GQA_OK) {
        gqa_progress_phase(c->bar, "fitting", GQA_PROGRESS_TOKENS);
        st = gqa_refit(alignment, &job);
    }
    close_in_place(&converted);
    return st;
}

enum gqa_status gqa_calibrator_align(struct gqa_alignment **out,
                                     struct gqa_calibrator *c,
                                     const struct gqa_plan *plan)
{
    const bool frees = may_free(c, plan);
    const struct gqa_network *becomes = frees ? c->becomes : c->network;
    struct gqa_alignment *alignment = NULL;
    enum gqa_status st = GQA_OK;

    if (frees && !c->divisors)
        st = free_pairs(c, plan);
    if (st == GQA_OK)
        st = align(&alignment, c, plan, becomes);
    if (st == GQA_OK && frees)
        st = tell_pairs(alignment, c);
    if (st == GQA_OK && c->fitted.n > 0 &&
        !(c->asked->no_refit && c->asked->no_fit_scores &&
          c->asked->no_fit_values) &&
        !plan->options.no_pooling)
        st = refit(alignment, c, plan, becomes);
    if (st != GQA_OK) {
        gqa_alignment_free(alignment);
        return st;
    }
    *out = alignment;
    return GQA_OK;
}

enum gqa_status gqa_calibrator_learn_heads(
    struct gqa_calibrator *c, const bool *wanted,
    enum gqa_status (*take)(void *ctx, size_t attention,
                            const struct gqa_head_statistics *statistics),
    void *ctx, double *influence)
{
    return gqa_learn_heads(
        &(struct gqa_learn_heads_job){.learning = &c->learning,
                                      .checkpoint = c->checkpoint,
                                      .tokens = &c->fitted,
                                      .wanted = wanted,
                                      .take = take,
                                      .ctx = ctx,
                                      .influence = influence});
}

/* --- What is held out ----------------------------------------------------- */

static enum gqa_status record(struct gqa_trace **trace,
                              const struct gqa_calibrator *c,
                              const struct gqa_tokens *tokens)
{
    const struct gqa_run_options run = run_options(c);
    const struct gqa_trace_options options = {.dtype = GQA_F32};
    const struct gqa_run_progress progress = {gqa_progress_update, c->bar, 0,
                                              gqa_tokens_n_positions(tokens)};
    struct gqa_running *running = NULL;
    enum gqa_status st = gqa_running_open(&running, c->network->model,
                                          &c->learning.weights, &run);

    if (st == GQA_OK)
        st = gqa_trace_record(trace, running, tokens, &options, &progress);
    gqa_running_close(running);
    return st;
}

/* trace: of these tokens. */
static enum gqa_status compare(double *kl, const struct gqa_calibrator *c,
                               struct gqa_trace *trace,
                               const struct gqa_tokens *tokens,
                               const struct gqa_weight_source *weights,
                               const double *divisors)
{
    const struct gqa_run_options run = run_options(c);
    const uint64_t n = gqa_tokens_n_positions(tokens);
    const struct gqa_run_progress progress = {gqa_progress_update, c->bar, 0,
                                              n};
    struct gqa_comparison comparison = {0};
    struct gqa_fidelity_result result;
    struct gqa_running *running = NULL;
    enum gqa_status st = gqa_fidelity_create(
        &comparison.fidelity, c->network->vocab_size, tokens->n, n);

    if (st == GQA_OK)
        st = gqa_running_open(&running, c->network->model, weights, &run);
    if (st == GQA_OK && divisors)
        gqa_running_turn(running, divisors);
    if (st == GQA_OK)
        st =
            gqa_trace_compare(trace, running, 0, false, &comparison, &progress);
    if (st == GQA_OK) {
        gqa_fidelity_finish(comparison.fidelity, &result);
        *kl = result.n_nonfinite[1] > result.n_nonfinite[0] ? INFINITY
                                                            : result.kl_mean;
    }
    gqa_running_close(running);
    gqa_fidelity_free(comparison.fidelity);
    return st;
}

enum gqa_status gqa_calibrator_measure(double *kl, struct gqa_calibrator *c,
                                       const struct gqa_plan *plan,
                                       const struct gqa_alignment *alignment)
{
    struct in_place converted = {.plan = NULL};
    enum gqa_status st = GQA_OK;

    gqa_progress_phase(c->bar, "measuring", GQA_PROGRESS_TOKENS);
    if (!c->trace)
        st = record(&c->trace, c, &c->apart);
    if (st == GQA_OK)
        st = open_in_place(&converted, c, plan, alignment);
    if (st == GQA_OK)
        st = compare(kl, c, c->trace, &c->apart, &converted.weights,
                     alignment->divisors);
    close_in_place(&converted);
    return st;
}

/* --- One attention alone -------------------------------------------------- */

/* Others' heads stay, where they stand; nothing is fitted to make up for what
 * others lose. */
static void leave_alone(struct gqa_alignment *alone, size_t attention)
{
    for (size_t i = 0; i < alone->n; i++) {
        struct gqa_transforms *t = &alone->attentions[i];

        if (i != attention)
            *t =
                (struct gqa_transforms){.source = t->source, .heads = t->heads};
        t->fitted_o = t->fitted_q = t->fitted_k = t->fitted_v =
            (struct gqa_spill){NULL, 0};
    }
}

/* attention: none where it is n_attentions. The plan and what it lends are
 * copied as far as they change. */
static enum gqa_status measure_alone(double *kl, const struct gqa_calibrator *c,
                                     const struct gqa_plan *plan,
                                     const struct gqa_alignment *alignment,
                                     size_t attention)
{
    const size_t n = plan->model->n_attentions;
    struct gqa_alignment alone = *alignment;
    struct gqa_plan_options options = plan->options;
    struct in_place converted = {.plan = NULL};
    struct gqa_plan *plan_alone = NULL;
    uint64_t *pooled = calloc(n + 1, sizeof *pooled);
    enum gqa_status st = GQA_OK;

    alone.attentions = malloc((n + 1) * sizeof *alone.attentions);
    if (!pooled || !alone.attentions) {
        st = gqa_fail_nomem();
    } else {
        memcpy(alone.attentions, alignment->attentions,
               n * sizeof *alone.attentions);
        leave_alone(&alone, attention);
        for (size_t i = 0; i < n; i++)
            pooled[i] = i == attention ? plan->attentions[i].pooled
                                       : plan->attentions[i].source;
        options.chosen = pooled;
        st = gqa_plan_create(&plan_alone, plan->model, &options);
    }
    if (st == GQA_OK)
        st = open_in_place(&converted, c, plan_alone, &alone);
    if (st == GQA_OK)
        st = compare(kl, c, c->few_trace, &c->few, &converted.weights,
                     alignment->divisors);
    close_in_place(&converted);
    gqa_plan_free(plan_alone);
    free(alone.attentions);
    free(pooled);
    return st;
}

/* As many of the sequences held out as are run, by all attentions, no more than
 * RUNS times those that were learnt from. */
static enum gqa_status take_few(struct gqa_calibrator *c, size_t n_attentions)
{
    const size_t most = RUNS * c->fitted.n / (n_attentions ? n_attentions : 1);

    c->few = c->apart;
    c->few.n = (size_t)gqa_min_u64(c->apart.n, gqa_max_u64(most, 1));
    return c->few_trace ? GQA_OK : record(&c->few_trace, c, &c->few);
}

enum gqa_status gqa_calibrator_measure_each(
    double *kl, struct gqa_calibrator *c, const struct gqa_plan *plan,
    const struct gqa_alignment *alignment)
{
    const size_t n = plan->model->n_attentions;
    size_t n_shared = 0;
    double none = 0;
    enum gqa_status st;

    for (size_t i = 0; i < n; i++)
        n_shared += alignment->attentions[i].pooled > 0;
    gqa_progress_phase(c->bar, "measuring attentions", GQA_PROGRESS_TOKENS);
    st = take_few(c, n_shared);
    if (st == GQA_OK && alignment->divisors)
        st = measure_alone(&none, c, plan, alignment, n);
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        kl[i] = NAN;
        if (alignment->attentions[i].pooled == 0)
            continue;
        st = measure_alone(&kl[i], c, plan, alignment, i);
        kl[i] = fmax(kl[i] - none, 0);
    }
    return st;
}

void gqa_calibrator_held_out(uint64_t *n_sequences, uint64_t *n_tokens,
                             const struct gqa_calibrator *c)
{
    *n_sequences = c->apart.n;
    *n_tokens = gqa_tokens_n_positions(&c->apart);
}

/* --- Beginning and end ---------------------------------------------------- */

static uint64_t held_out_of(uint64_t n)
{
    return gqa_min_u64((n + ONE_OF - 1) / ONE_OF, MAX_HELD_OUT);
}

static enum gqa_status get_tokens(struct gqa_calibrator *c, bool holds_out)
{
    enum gqa_status st = gqa_learning_open(&c->learning);
    const uint64_t n = gqa_learning_n_sequences(&c->learning);
    const uint64_t more = holds_out ? held_out_of(n) : 0;
    size_t n_apart;

    if (st == GQA_ERR_UNSUPPORTED)
        st = gqa_fail_prefix(st, "%s", gqa_checkpoint_path(c->checkpoint));
    if (st == GQA_OK)
        st = gqa_learning_all_tokens(&c->tokens, &c->learning, more);
    if (st != GQA_OK)
        return st;
    n_apart =
        (size_t)(c->tokens.n == n + more ? more : held_out_of(c->tokens.n));
    if (!holds_out)
        n_apart = 0;
    if (holds_out && n_apart >= c->tokens.n)
        return gqa_fail(GQA_ERR_USAGE,
                        "one sequence of tokens is too few to learn from and "
                        "to measure on: give more (--samples N)");
    c->fitted = (struct gqa_tokens){c->tokens.sequences, c->tokens.n - n_apart};
    c->apart = (struct gqa_tokens){c->tokens.sequences + c->fitted.n, n_apart};
    return GQA_OK;
}

enum gqa_status gqa_calibrator_create(struct gqa_calibrator **out,
                                      const struct gqa_model *model,
                                      struct gqa_checkpoint *checkpoint,
                                      const struct gqa_calibration *calibration,
                                      bool holds_out, unsigned n_threads,
                                      enum gqa_log_level log_level)
{
    struct gqa_calibrator *c = calloc(1, sizeof *c);
    enum gqa_status st;

    if (!c)
        return gqa_fail_nomem();
    c->asked = calibration;
    c->n_threads = n_threads;
    c->checkpoint = checkpoint;
    c->weights = (struct gqa_checkpoint_weights){checkpoint, model};
    st = gqa_network_create(&c->network, model);
    if (st == GQA_OK)
        st = gqa_network_create(&c->becomes, model);
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", gqa_checkpoint_path(checkpoint));
    else if (holds_out && !c->network->has_logits)
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "%s: the model makes no logits of tokens, whose KL "
                      "divergence numbers of KV heads are chosen by; give them "
                      "by --groups",
                      gqa_checkpoint_path(checkpoint));
    if (st == GQA_OK)
        st = gqa_progress_create(&c->bar, log_level);
    c->learning = (struct gqa_learning){
        .asked = &calibration->learning,
        .n_threads = n_threads,
        .network = c->network,
        .weights = gqa_checkpoint_weight_source(&c->weights),
        .bar = c->bar};
    if (st == GQA_OK && gqa_learning_has_tokens(&calibration->learning))
        st = get_tokens(c, holds_out);
    if (st != GQA_OK) {
        gqa_calibrator_free(c);
        return st;
    }
    *out = c;
    return GQA_OK;
}

void gqa_calibrator_free(struct gqa_calibrator *c)
{
    if (!c)
        return;
    gqa_trace_free(c->trace);
    gqa_trace_free(c->few_trace);
    gqa_tokens_clear(&c->tokens);
    gqa_learning_close(&c->learning);
    gqa_progress_free(c->bar);
    gqa_network_free(c->becomes);
    gqa_network_free(c->network);
    free(c->divisors);
    free(c);
}

const struct gqa_network *gqa_calibrator_network(const struct gqa_calibrator *c)
{
    return c->network;
}

struct gqa_checkpoint *gqa_calibrator_checkpoint(const struct gqa_calibrator *c)
{
    return c->checkpoint;
}
