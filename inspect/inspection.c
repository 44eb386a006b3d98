#include "inspect/inspection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "formats/families/family.h"
#include "formats/families/load.h"
#include "formats/model/inventory.h"
#include "formats/model/readings.h"
#include "formats/transforms.h"
#include "formats/unwritten.h"
#include "inspect/adapter.h"
#include "inspect/recipe.h"

enum { DEFAULT_CONTEXT = 4096 };

/* Sums of what is only shown stop at the top instead of wrapping. */
static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Many messages already begin with the path, or a file in it. */
static enum gqa_status fail_with_path(enum gqa_status st, const char *path)
{
    if (strncmp(gqa_error_message(), path, strlen(path)) == 0)
        return st;
    return gqa_fail_prefix(st, "%s", path);
}

/* What is wrong with the model is told, and all of it shown. */
static enum gqa_status take_inventory(struct gqa_inspection *inspection)
{
    const struct gqa_checkpoint *checkpoint = inspection->checkpoint;
    struct gqa_inventory *inventory = NULL;
    char text[1536];
    enum gqa_status st =
        gqa_inventory_create(&inventory, inspection->model, checkpoint);

    if (st == GQA_OK)
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_NUMBER,
                           GQA_FAULT_ATTENTION);
    else if (st == GQA_ERR_FORMAT)
        snprintf(text, sizeof text, "%s", gqa_error_message());
    else
        return st;
    gqa_inventory_free(inventory);
    if (!*text)
        return GQA_OK;
    inspection->faults = strdup(text);
    return inspection->faults ? GQA_OK : gqa_fail_nomem();
}

/* "x.weight" as "x.bias"; NULL where it has no such ending. */
static enum gqa_status bias_name(char **out, const char *weight)
{
    static const char ending[] = ".weight";
    const size_t length = strlen(weight);
    const size_t stem = length - (sizeof ending - 1);

    *out = NULL;
    if (length < sizeof ending - 1 || strcmp(weight + stem, ending) != 0)
        return GQA_OK;
    *out = malloc(stem + sizeof ".bias");
    if (!*out)
        return gqa_fail_nomem();
    memcpy(*out, weight, stem);
    memcpy(*out + stem, ".bias", sizeof ".bias");
    return GQA_OK;
}

/* out: receives the bias of a weight, or GQA_NO_PARAM. */
static enum gqa_status find_bias(size_t *out, const struct gqa_model *model,
                                 const char *weight)
{
    char *name;
    const enum gqa_status st = bias_name(&name, weight);

    if (!name || !gqa_model_find(model, name, out))
        *out = GQA_NO_PARAM;
    free(name);
    return st;
}

static enum gqa_status find_output_biases(struct gqa_inspection *inspection)
{
    const struct gqa_model *model = inspection->model;
    enum gqa_status st = GQA_OK;

    /* One more: malloc(0) may give NULL. */
    inspection->output_bias =
        malloc((model->n_attentions + 1) * sizeof *inspection->output_bias);
    if (!inspection->output_bias)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions && st == GQA_OK; i++)
        st = find_bias(&inspection->output_bias[i], model,
                       model->params[model->attentions[i].o.weight].name);
    return st;
}

static enum gqa_status summarise_model(struct gqa_inspection *inspection)
{
    const struct gqa_model *model = inspection->model;
    enum gqa_status st;

    for (size_t i = 0; i < model->n_params; i++)
        inspection->n_parameters =
            add_capped(inspection->n_parameters, model->params[i].n_elements);
    for (size_t i = 0; i < model->n_attentions; i++)
        if (model->attentions[i].n_kv_heads < model->attentions[i].n_heads)
            inspection->n_grouped++;
    if ((st = find_output_biases(inspection)) != GQA_OK)
        return st;
    return gqa_kv_per_token(&inspection->kv_per_token, model);
}

static enum gqa_status create_model(struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    const struct gqa_model_hints hints = {.n_heads = show->n_heads,
                                          .head_dim = show->head_dim,
                                          .family = inspection->family};
    const char *trouble = gqa_checkpoint_config_trouble(inspection->checkpoint);
    enum gqa_status st;

    if (trouble)
        return gqa_fail(GQA_ERR_FORMAT, "%s", trouble);
    st = gqa_model_create(&inspection->model, inspection->checkpoint, &hints);
    if (st == GQA_OK)
        st = summarise_model(inspection);
    if (st == GQA_OK)
        st = take_inventory(inspection);
    return st == GQA_OK ? gqa_readings_create(&inspection->readings,
                                              inspection->checkpoint,
                                              inspection->model, GQA_TIED_SOME)
                        : st;
}

/* What it says of the model, or why it says nothing. */
static enum gqa_status understand(struct gqa_inspection *inspection)
{
    const char *path = gqa_checkpoint_path(inspection->checkpoint);
    enum gqa_status st = create_model(inspection);

    if (st == GQA_OK)
        return st;
    st = fail_with_path(st, path);
    /* These are asked of the model alone. */
    if (inspection->show.kv_cache || inspection->show.compare ||
        (st != GQA_ERR_FORMAT && st != GQA_ERR_UNSUPPORTED &&
         st != GQA_ERR_USAGE))
        return st;
    gqa_model_free(inspection->model);
    inspection->model = NULL;
    inspection->model_refused = st;
    inspection->model_unknown = strdup(gqa_error_message());
    if (!inspection->model_unknown)
        return gqa_fail_nomem();
    st = gqa_heads_said(
        &inspection->has_said, &inspection->said,
        gqa_checkpoint_config(inspection->checkpoint),
        &(struct gqa_family_choice){.own = inspection->family,
                                    .library = &gqa_builtin_families});
    return st == GQA_OK ? gqa_adapter_config(&inspection->adapter,
                                             inspection->checkpoint)
                        : st;
}

static enum gqa_status plan_kv_cache(struct gqa_inspection *inspection)
{
    uint64_t context = inspection->show.context;

    assert(inspection->model);
    inspection->context_origin = GQA_CONTEXT_OPTION;
    if (context == 0) {
        context = gqa_kv_context_of_config(
            inspection->model->config,
            inspection->model->family->keys.max_positions);
        inspection->context_origin = GQA_CONTEXT_CONFIG;
    }
    if (context == 0) {
        context = DEFAULT_CONTEXT;
        inspection->context_origin = GQA_CONTEXT_DEFAULT;
    }
    return gqa_kv_plan_create(&inspection->kv_plan, inspection->model, context,
                              inspection->show.batch);
}

/* A page is made without a plan, where there can be none. */
static enum gqa_status make_plan(struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    const char *path = gqa_checkpoint_path(inspection->checkpoint);
    enum gqa_status st =
        gqa_trade_off_create(&inspection->trade_off, inspection->model,
                             inspection->similarity, show->budget);

    if (st == GQA_ERR_UNSUPPORTED && !show->plan) {
        gqa_info("%s: no plan: %s", path, gqa_error_message());
        return GQA_OK;
    }
    return st == GQA_OK ? st : fail_with_path(st, path);
}

static enum gqa_status compare(struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    const char *path = gqa_checkpoint_path(inspection->checkpoint);
    const struct gqa_similarity_options options = {
        .groups = show->groups,
        .learning = show->learning,
        .all = show->plan || show->page_path || show->figure_path,
        .n_threads = show->common.n_threads,
        .log_level = show->common.log_level};
    enum gqa_status st =
        gqa_similarity_create(&inspection->similarity, inspection->checkpoint,
                              inspection->model, &options);

    if (st == GQA_OK && options.all)
        st = make_plan(inspection);
    if (st == GQA_OK && inspection->similarity->unaligned)
        gqa_warn("%s: what heads lose where they share is not worked out: %s",
                 path, inspection->similarity->unaligned);
    return st;
}

/* One line that names the first of them; the table has the rest. */
static void warn_of_nan(const struct gqa_inspection *inspection)
{
    const struct gqa_stats *stats = inspection->stats;
    size_t n = 0, first = 0;

    for (size_t i = stats->n_tensors; i-- > 0;)
        if (stats->tensors[i].n_nan > 0 || stats->tensors[i].n_inf > 0) {
            first = i;
            n++;
        }
    if (n > 0)
        gqa_warn("%s: NaN or infinite values in %zu of %zu tensors, the "
                 "first of them %s",
                 gqa_checkpoint_path(inspection->checkpoint), n,
                 stats->n_tensors,
                 gqa_checkpoint_tensor(inspection->checkpoint, first)->name);
}

static enum gqa_status list_tensors(struct gqa_inspection *in)
{
    const size_t n = gqa_checkpoint_n_tensors(in->checkpoint);

    in->tensors = calloc(n + 1, sizeof *in->tensors);
    if (!in->tensors)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(in->checkpoint, i);
        const bool aside = gqa_is_transform(t->name);
        uint64_t *sum = aside ? &in->transform_bytes : &in->tensor_bytes;

        *sum = add_capped(*sum, t->n_bytes);
        if (aside)
            in->n_transforms++;
        else
            in->tensors[in->n_tensors++] = i;
    }
    return GQA_OK;
}

static enum gqa_status examine(struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    const bool wants_summary =
        show->common.json || show->compare || (!show->tensors && !show->recipe);
    enum gqa_status st = GQA_OK;
    double start;

    if ((st = list_tensors(inspection)) != GQA_OK)
        return st;
    inspection->n_unwritten = gqa_unwritten_warn(inspection->checkpoint);
    inspection->has_recipe = gqa_recipe_exists(inspection->checkpoint);
    if (show->recipe)
        st = gqa_recipe_load(&inspection->recipe, inspection->checkpoint);
    start = gqa_clock_s();
    if (st == GQA_OK && (wants_summary || show->stats || show->kv_cache))
        st = understand(inspection);
    gqa_clock_log("understanding the tensors", start, 0);
    if (st == GQA_OK && show->kv_cache)
        st = plan_kv_cache(inspection);
    if (st == GQA_OK && show->compare)
        st = compare(inspection);
    start = gqa_clock_s();
    if (st == GQA_OK && show->stats) {
        st = gqa_stats_create(&inspection->stats, inspection->checkpoint,
                              inspection->model, show->common.n_threads);
        if (st == GQA_OK)
            warn_of_nan(inspection);
        gqa_clock_log("reading for statistics", start,
                      inspection->tensor_bytes);
    }
    return st;
}

enum gqa_status gqa_inspection_create(struct gqa_inspection **out,
                                      const struct gqa_inspect_options *options)
{
    /* A damaged seek table is no reason not to look. */
    const struct gqa_checkpoint_options open_options = {
        .config_path = options->config_path,
        .salvage = true,
        .keep_going = true,
        .unsafe_hdf5 = options->common.unsafe_hdf5,
        .dequantise = options->common.dequantise,
        .unwrap = true,
        .state_dict = options->common.state_dict};
    struct gqa_inspection *inspection = calloc(1, sizeof *inspection);
    const double start = gqa_clock_s();
    enum gqa_status st;

    if (!inspection)
        return gqa_fail_nomem();
    inspection->show = *options;
    st = options->family_path
             ? gqa_family_file_open(&inspection->family, options->family_path)
             : GQA_OK;
    if (st == GQA_OK)
        st = gqa_checkpoint_open(&inspection->checkpoint, options->path,
                                 &open_options);
    gqa_clock_log("opening", start, 0);
    if (st == GQA_OK)
        st = gqa_checkpoint_check_state_dict(options->common.state_dict,
                                             inspection->checkpoint, NULL);
    if (st == GQA_OK)
        st = examine(inspection);
    if (st == GQA_OK)
        st = gqa_checkpoint_check_unchanged(inspection->checkpoint);
    if (st == GQA_OK) {
        *out = inspection;
        inspection = NULL;
    }
    gqa_inspection_free(inspection);
    return st;
}

enum gqa_status gqa_inspection_judge(const struct gqa_inspection *inspection)
{
    const char *refusal = inspection->model_unknown;
    json_t *text;
    size_t i;

    if (inspection->faults)
        gqa_warn("%s: %s", gqa_checkpoint_path(inspection->checkpoint),
                 inspection->faults);
    json_array_foreach(inspection->readings, i, text)
    {
        gqa_warn("%s: %s", gqa_checkpoint_path(inspection->checkpoint),
                 json_string_value(text));
    }
    if (!refusal)
        return GQA_OK;
    if (inspection->model_refused != GQA_ERR_UNSUPPORTED)
        return gqa_fail(inspection->model_refused, "%s", refusal);
    gqa_warn("%s; %s", refusal,
             inspection->has_said
                 ? "the tensors are shown, and heads by the configuration"
                 : "the tensors alone are shown");
    return GQA_OK;
}

void gqa_inspection_free(struct gqa_inspection *inspection)
{
    if (!inspection)
        return;
    gqa_kv_plan_free(inspection->kv_plan);
    gqa_trade_off_free(inspection->trade_off);
    gqa_similarity_free(inspection->similarity);
    gqa_stats_free(inspection->stats);
    json_decref(inspection->recipe);
    json_decref(inspection->adapter);
    gqa_model_free(inspection->model);
    free(inspection->model_unknown);
    free(inspection->faults);
    json_decref(inspection->readings);
    free(inspection->output_bias);
    free(inspection->tensors);
    gqa_checkpoint_close(inspection->checkpoint);
    gqa_family_file_free(inspection->family);
    free(inspection);
}

const struct gqa_source *gqa_inspection_source_of(
    const struct gqa_inspection *inspection, size_t tensor)
{
    return gqa_checkpoint_source_of(inspection->checkpoint, tensor);
}

const struct gqa_sharing_choice *gqa_inspection_drawn(
    const struct gqa_inspection *inspection, size_t attention)
{
    const struct gqa_trade_off *t = inspection->trade_off;
    const struct gqa_similar_heads *heads =
        &inspection->similarity->attentions[attention];

    for (size_t i = 0; t && !inspection->show.groups && i < t->n; i++)
        if (t->attentions[i] == attention)
            return gqa_trade_off_pick(t, inspection->similarity, i);
    return heads->n_choices ? &heads->choices[heads->shown] : NULL;
}
