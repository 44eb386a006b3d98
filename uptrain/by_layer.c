#include "uptrain/by_layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/source_values.h"
#include "common/bounds.h"
#include "common/clock.h"
#include "common/dtype.h"
#include "common/interrupt.h"
#include "runtime/measure/trace.h"
#include "runtime/values.h"
#include "uptrain/rates.h"
#include "uptrain/weights.h"

/* A run that goes. */
struct going {
    const struct gqa_by_layer *run;
    const struct gqa_layerwise *stage;
    struct gqa_data *data;
    struct gqa_trace *original; /* of what is held out */
    struct gqa_history *history;
    double measure_s; /* what the last took */
};

static enum gqa_dtype wide_of(const struct gqa_layerwise *stage)
{
    return gqa_wide_of(stage->device->info.real);
}

size_t gqa_by_layer_bytes(const struct gqa_layerwise *stage)
{
    const struct gqa_model *model = stage->pair->student.model;
    size_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (stage->trained[i])
            n += (size_t)model->params[i].n_elements;
    return n * gqa_wide_bytes(stage->device->info.real);
}

/* --- What it begins with -------------------------------------------------- */

static enum gqa_status read_start(const struct gqa_layerwise *stage, char *out)
{
    struct gqa_side *student = &stage->pair->student;
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&student->weights);
    const enum gqa_dtype wide = wide_of(stage);
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < student->model->n_params && st == GQA_OK; i++) {
        const size_t n = (size_t)student->model->params[i].n_elements;
        double *values = NULL;

        if (!stage->trained[i])
            continue;
        st = gqa_source_values(&values, &source, student->model, i,
                               stage->device->info.n_threads);
        if (st == GQA_OK)
            gqa_store_f64(out, wide, values, n);
        free(values);
        out += n * gqa_wide_bytes(stage->device->info.real);
    }
    return st;
}

/* --- Data ----------------------------------------------------------------- */

/* Whether the original itself has a part in making it. */
static bool draws(const struct going *g)
{
    const struct gqa_data_list *list = g->run->data->list;

    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].kind == GQA_DATA_SELF)
            return true;
    return g->stage->pair->teacher.network->n_stacks > 1;
}

/* The teacher is there as long as it draws. */
static enum gqa_status make_data(struct going *g, struct gqa_tokens *tokens)
{
    struct gqa_side *teacher = &g->stage->pair->teacher;
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&teacher->weights);
    struct gqa_runtime *runtime = NULL;
    enum gqa_status st = GQA_OK;

    if (draws(g))
        st = gqa_runtime_create(&runtime, teacher->network,
                                g->stage->device->backend,
                                g->stage->device->device, &source);
    if (st == GQA_ERR_NOMEM)
        st = gqa_fail_prefix(st, "to draw sequences, ORIGINAL is held as a "
                                 "whole (--text and --tokens need it not)");
    if (st == GQA_OK)
        st = gqa_data_create(&g->data, g->run->data, runtime, teacher->network,
                             g->stage->bar);
    if (st == GQA_OK)
        st = gqa_data_take(g->data, tokens,
                           gqa_layerwise_data_steps(g->stage->n_steps));
    gqa_runtime_free(runtime);
    return st;
}

/* --- Measures ------------------------------------------------------------- */

static enum gqa_status open_running(struct gqa_running **out,
                                    const struct going *g,
                                    const struct gqa_model *model,
                                    const struct gqa_weight_source *source)
{
    const struct gqa_train_device *d = g->stage->device;
    const struct gqa_run_options options = {
        .backend = d->backend,
        .device = {.real = d->info.real, .n_threads = d->info.n_threads}};

    return gqa_running_open(out, model, source, &options);
}

static enum gqa_status record_original(struct going *g)
{
    struct gqa_side *teacher = &g->stage->pair->teacher;
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&teacher->weights);
    const struct gqa_trace_options options = {.dtype = wide_of(g->stage)};
    struct gqa_running *running = NULL;
    enum gqa_status st = open_running(&running, g, teacher->model, &source);

    if (st == GQA_OK)
        st = gqa_trace_record(&g->original, running, gqa_data_held_out(g->data),
                              &options, NULL);
    gqa_running_close(running);
    return st;
}

static enum gqa_status compare(struct going *g, struct gqa_running *running,
                               struct gqa_fidelity_result *out)
{
    const struct gqa_tokens *held_out = gqa_data_held_out(g->data);
    struct gqa_comparison comparison = {.fidelity = NULL};
    enum gqa_status st = gqa_fidelity_create(
        &comparison.fidelity, g->stage->pair->student.network->vocab_size,
        held_out->n, gqa_tokens_n_positions(held_out));

    if (st == GQA_OK)
        st = gqa_trace_compare(g->original, running, 0, false, &comparison,
                               NULL);
    if (st == GQA_OK)
        gqa_fidelity_finish(comparison.fidelity, out);
    gqa_fidelity_free(comparison.fidelity);
    return st == GQA_OK && out->n_positions == 0
               ? gqa_fail(GQA_ERR_FORMAT, "no logits are finite")
               : st;
}

/* The student with these values. */
static enum gqa_status measure(struct going *g, const void *values,
                               bool *is_best)
{
    const struct gqa_layerwise *stage = g->stage;
    struct gqa_trained_weights *weights = NULL;
    struct gqa_running *running = NULL;
    struct gqa_weight_source source;
    struct gqa_fidelity_result result;
    const double start_s = gqa_clock_s();
    enum gqa_status st =
        gqa_trained_weights_create(&weights, &stage->pair->student,
                                   stage->trained, values, wide_of(stage), 1);

    if (st == GQA_OK) {
        source = gqa_trained_weights_source(weights);
        st = open_running(&running, g, stage->pair->student.model, &source);
    }
    if (st == GQA_OK)
        st = compare(g, running, &result);
    gqa_running_close(running);
    gqa_trained_weights_free(weights);
    if (st == GQA_OK)
        st = gqa_history_add(g->history, 0, &result, is_best);
    if (st != GQA_OK)
        return st;
    g->measure_s = gqa_clock_s() - start_s;
    gqa_info("%s: mean KL %.4g, same most likely token %.1f %%",
             g->history->n_evaluations > 1 ? "behind the first stage"
                                           : "at the start",
             result.kl_mean, 100 * result.top1);
    return gqa_run_log_measure(
        stage->log, &g->history->evaluations[g->history->n_evaluations - 1]);
}

/* --- All of it ------------------------------------------------------------ */

/* Loops are to stop in time for a measure, which has until the deadline. */
static double stop_for_measure(const struct going *g)
{
    const double deadline_s = g->run->deadline_s;
    double until_s = 0;

    if (deadline_s > 0)
        until_s = fmax(deadline_s - GQA_MEASURE_SLACK * g->measure_s, 1e-9);
    gqa_interrupt_ask_at(until_s);
    return until_s;
}

static enum gqa_status match(struct going *g, const struct gqa_tokens *tokens,
                             void *best)
{
    struct gqa_layerwise stage = *g->stage;
    const size_t n_bytes = gqa_by_layer_bytes(&stage);
    void *values = malloc(n_bytes + 1);
    bool is_best = false;
    enum gqa_status st = values ? GQA_OK : gqa_fail_nomem();

    stage.tokens = tokens;
    stage.held_out = gqa_data_held_out(g->data);
    stage.until_s = stop_for_measure(g);
    if (st == GQA_OK)
        st = gqa_layerwise_run(&stage, g->history, values);
    gqa_interrupt_ask_at(g->run->deadline_s);
    if (st == GQA_OK)
        st = measure(g, values, &is_best);
    if (st == GQA_OK && is_best)
        memcpy(best, values, n_bytes);
    free(values);
    return st;
}

enum gqa_status gqa_by_layer_run(const struct gqa_by_layer *run,
                                 struct gqa_data **data,
                                 struct gqa_history *history, void *best)
{
    struct going g = {.run = run, .stage = run->stage, .history = history};
    struct gqa_tokens tokens = {NULL, 0};
    bool is_best;
    enum gqa_status st = read_start(run->stage, best);

    if (st == GQA_OK)
        st = make_data(&g, &tokens);
    if (st == GQA_OK)
        st = record_original(&g);
    if (st == GQA_OK)
        st = measure(&g, best, &is_best);
    if (st == GQA_OK)
        st = match(&g, &tokens, best);
    /* What was not measured in time does not count. */
    if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late() &&
        history->n_evaluations > 0)
        st = GQA_OK;
    if (st != GQA_ERR_INTERRUPTED)
        gqa_interrupt_ask_at(0);
    gqa_trace_free(g.original);
    gqa_tokens_clear(&tokens);
    *data = g.data;
    return st;
}
