#include "convert/convert.h"

#include <stdlib.h>
#include <string.h>

#include "common/atomic.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/progress.h"
#include "convert/card.h"
#include "convert/check_inventory.h"
#include "convert/could_align.h"
#include "convert/describe.h"
#include "convert/produce.h"
#include "convert/remote_code.h"
#include "convert/say.h"
#include "convert/stock.h"
#include "convert/summary.h"
#include "convert/tell_choice.h"
#include "convert/transforms.h"
#include "formats/families/kv_said.h"
#include "formats/families/load.h"
#include "formats/model/readings.h"
#include "formats/recorded.h"
#include "formats/unwritten.h"
#include "formats/write/apart.h"
#include "formats/write/digests.h"

/* Named so that a reader knows which file a message speaks of. */
static enum gqa_status in_source(enum gqa_status st,
                                 const struct gqa_convert_options *options)
{
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", options->input);
}

/* What nobody wrote reads as a fill value, and is no weight. */
static enum gqa_status check_written(struct gqa_conversion *c)
{
    char text[GQA_UNWRITTEN_MAX];
    const struct gqa_tensor *tensor;
    size_t n, first = 0;

    if (!c->options->strict) {
        c->n_unwritten = gqa_unwritten_warn(c->source);
        return GQA_OK;
    }
    n = gqa_unwritten_count(c->source, &first);
    if (n == 0)
        return GQA_OK;
    tensor = gqa_checkpoint_tensor(c->source, first);
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: '%s' %s%s; write the file anew, or convert it without "
                    "--strict",
                    c->options->input, tensor->name,
                    gqa_unwritten_describe(text, tensor),
                    n > 1 ? ", and it is not the only one" : "");
}

static enum gqa_status check_config(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;

    if (o->writer->is_folder && c->model->config_is_complete &&
        !o->plan.remote_code &&
        !gqa_config_tells_class(gqa_model_whole_config(c->model)))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: its configuration says no model_type, and no "
                        "runtime loads a %s without; give --config FILE that "
                        "says it, or write a .gqa or .safetensors",
                        o->input, o->writer->label);
    if (c->model->config_is_complete)
        return GQA_OK;
    if (o->writer->needs_config)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s has no configuration, and no runtime loads a "
                        "%s without; give --config FILE, or write a .gqa "
                        "or .safetensors",
                        o->input, o->writer->label);
    gqa_warn("%s has no configuration: the output records only what the "
             "shapes prove (--config FILE gives one)",
             o->input);
    return GQA_OK;
}

/* Where words of the configuration tell loaders how many KV heads there are,
 * not every number has one. */
static enum gqa_status check_said(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    const struct gqa_model *m = c->model;

    if (!o->writer->is_folder)
        return GQA_OK;
    if (o->plan.remote_code)
        return in_source(gqa_remote_code_needed(c->plan), o);
    return gqa_kv_said_check(m->family, m->config, gqa_model_n_heads(m),
                             gqa_uniform_kv_heads(c->plan), o->output,
                             gqa_has_remote_code(m)
                                 ? ", or give --remote-code or --expand"
                                 : ", or give --expand");
}

/* A head of the task that no class of the module reads is copied, and lost on
 * whoever loads the model. */
static void warn_unread_head(const struct gqa_conversion *c)
{
    const char *lacks =
        c->options->plan.remote_code ? gqa_remote_code_lacks(c->model) : NULL;

    for (size_t i = 0; lacks && i < c->model->n_params; i++)
        if (c->inventory->roles[i] == GQA_ROLE_HEAD) {
            gqa_warn("architectures names %.100s, of which the module has no "
                     "grouped class: it loads the model without that head",
                     lacks);
            return;
        }
}

/* A folder is for loaders of others. */
static enum gqa_status check_hybrid(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;

    if (!o->writer->is_folder || !gqa_is_hybrid(c->plan) || o->plan.remote_code)
        return GQA_OK;
    if (!o->allow_hybrid)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: its layers would differ in KV heads, and no stock "
                        "loader takes such a folder: write a .gqa, or give "
                        "%s--expand or --allow-hybrid",
                        o->output,
                        gqa_has_remote_code(c->model) ? "--remote-code, " : "");
    gqa_warn("%s: its layers differ in KV heads: no stock loader takes it",
             o->output);
    return GQA_OK;
}

static void list_params(struct gqa_output_tensor *list,
                        const struct gqa_conversion *c)
{
    for (size_t i = 0; i < c->model->n_params; i++) {
        const struct gqa_plan_tensor *t = &c->plan->tensors[i];

        list[i] = (struct gqa_output_tensor){
            .name = t->param->name,
            .dtype = t->dtype,
            .rank = t->rank,
            .shape = t->shape,
            .n_bytes = t->n_bytes,
            .part = gqa_role_is_needless(c->inventory->roles[i])
                        ? GQA_OUTPUT_NEEDLESS
                        : GQA_OUTPUT_WEIGHT,
        };
    }
}

/* What writers are told of the model, which may not be planned yet. */
static struct gqa_output_options describe_output(const struct gqa_conversion *c,
                                                 const json_t *config)
{
    const struct gqa_convert_options *o = c->options;

    return (struct gqa_output_options){
        .writer = o->writer,
        .settings = o->settings,
        .n_threads = o->common.n_threads,
        .force = o->force,
        .to_stdout = o->to_stdout,
        .config = config,
        .model = c->model,
        .source = c->source,
        .converts = true,
        .n_kv_heads = c->plan ? gqa_uniform_kv_heads(c->plan) : 0,
        .allow_hybrid = o->allow_hybrid,
        .copy_from = gqa_checkpoint_is_folder(c->source)
                         ? gqa_checkpoint_folder(c->source)
                         : NULL,
    };
}

/* Not every format, nor who loads it, knows every model. */
static enum gqa_status check_model(const struct gqa_conversion *c)
{
    const size_t n = c->model->n_params;
    struct gqa_output_tensor *list;
    json_t *config;
    enum gqa_status st;

    if (!c->options->writer->check_model)
        return GQA_OK;
    list = calloc(n ? n : 1, sizeof *list);
    config = gqa_describe_config(c->plan, c->inventory, NULL);
    st = list ? gqa_json_check() : gqa_fail_nomem();
    if (st == GQA_OK) {
        const struct gqa_output_options options = describe_output(c, config);

        list_params(list, c);
        st = c->options->writer->check_model(
            &(const struct gqa_output){.path = gqa_output_name(c->options),
                                       .tensors = list,
                                       .n_tensors = n,
                                       .options = &options});
    }
    json_decref(config);
    free(list);
    return st;
}

/* Every tensor with NaN or infinities is named, up to a few. */
static void warn_nonfinite(const struct gqa_conversion *c,
                           const struct gqa_producer *producer)
{
    enum { MAX_NAMED = 5 };
    size_t n = 0;

    for (size_t i = 0; i < c->model->n_params; i++) {
        const struct gqa_nonfinite found = gqa_producer_nonfinite(producer, i);

        if ((found.n_nan || found.n_inf) && n++ < MAX_NAMED)
            gqa_warn("'%s' has %llu NaN and %llu infinite values",
                     c->model->params[i].name, (unsigned long long)found.n_nan,
                     (unsigned long long)found.n_inf);
    }
    if (n > MAX_NAMED)
        gqa_warn("%zu more tensors have NaN or infinite values", n - MAX_NAMED);
    if (n && c->options->plan.dtype == GQA_F16 && !c->options->plan.keep_dtype)
        gqa_warn("values beyond 65504 become infinite in f16; bf16 holds them");
}

/* What the summary says, and as JSON; who asked for it is told. */
static enum gqa_status summarise(struct gqa_conversion *c)
{
    enum gqa_status st = GQA_OK;

    c->elapsed_s = gqa_clock_s() - c->start_s;
    if (c->options->common.json)
        st = gqa_summary_json(&c->json, c);
    else if (c->options->common.log_level >= GQA_LOG_WARN &&
             c->options->plan.method == GQA_METHOD_MEAN)
        st = gqa_could_align(&c->could_align, c->plan);
    return st == GQA_OK ? c->report(c) : st;
}

struct written {
    struct gqa_conversion *c;
    struct gqa_producer *producer;
    struct gqa_kept_transforms *kept;
};

/* Parameters, and transforms behind them. */
static enum gqa_status produce(void *ctx, unsigned worker, size_t tensor,
                               uint64_t offset, size_t n, void *buf)
{
    const struct written *w = ctx;
    const size_t n_params = w->c->model->n_params;

    return tensor < n_params
               ? gqa_produce(w->producer, worker, tensor, offset, n, buf)
               : gqa_kept_transforms_read(w->kept, tensor - n_params, offset, n,
                                          buf);
}

/* All is written, and nothing has its name: what can fail does so now. */
static enum gqa_status finish(void *ctx,
                              const struct gqa_output_summary *output)
{
    const struct written *written = ctx;
    struct gqa_conversion *c = written->c;
    enum gqa_status st = gqa_json_check();

    if (st == GQA_OK)
        st = gqa_checkpoint_check_unchanged(c->source);
    if (st != GQA_OK)
        return st;
    c->output = *output;
    for (size_t i = 0; i < c->model->n_params; i++) {
        const struct gqa_nonfinite found =
            gqa_producer_nonfinite(written->producer, i);

        c->n_nan += found.n_nan;
        c->n_inf += found.n_inf;
    }
    return summarise(c);
}

enum gqa_status gqa_conversion_module(struct gqa_module *out,
                                      const struct gqa_model *model)
{
    gqa_remote_code_file(out->name, model);
    return gqa_remote_code_text(&out->text, model);
}

/* By a producer of its own: what is met on the way is counted once. */
static enum gqa_status digest_fits(json_t **out, const struct written *w,
                                   const struct gqa_output_tensor *list)
{
    const struct gqa_conversion *c = w->c;
    const unsigned n_threads = c->options->common.n_threads;
    const size_t n = c->model->n_params;
    bool *fitted = calloc(n + 1, sizeof *fitted);
    struct gqa_producer *producer = NULL;
    enum gqa_status st = fitted ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_producer_create(&producer, c->plan, c->source, n_threads);
    if (st == GQA_OK) {
        gqa_transforms_mark_fitted(fitted, c->plan);
        st = gqa_output_digests(out, list, fitted, n, gqa_produce, producer,
                                n_threads);
    }
    gqa_producer_free(producer);
    free(fitted);
    return st;
}

static enum gqa_status list_all(struct gqa_output_tensor **out,
                                json_t **digests, const struct written *w)
{
    const size_t n_params = w->c->model->n_params;
    struct gqa_output_tensor *list =
        calloc(n_params + w->kept->n + 1, sizeof *list);

    *out = list;
    *digests = NULL;
    if (!list)
        return gqa_fail_nomem();
    list_params(list, w->c);
    if (w->kept->n > 0)
        memcpy(list + n_params, w->kept->tensors, w->kept->n * sizeof *list);
    return digest_fits(digests, w, list);
}

/* Output options and what the checkpoint says of itself. */
static enum gqa_status write_output(struct written *w)
{
    struct gqa_conversion *c = w->c;
    const struct gqa_convert_options *o = c->options;
    struct gqa_output_summary output;
    struct gqa_progress *progress = NULL;
    char *card = NULL;
    struct gqa_module module = {.text = NULL};
    const size_t n = c->model->n_params + w->kept->n;
    struct gqa_output_tensor *list;
    json_t *digests;
    enum gqa_status st = list_all(&list, &digests, w);
    json_t *config = gqa_describe_config(c->plan, c->inventory, NULL);
    json_t *budget =
        c->choice ? gqa_choice_describe(&o->budget, c->choice) : NULL;
    json_t *recipe = gqa_describe_recipe(
        c->plan, c->source, &c->options->calibration, w->kept, budget, digests);
    json_t *metadata =
        o->writer->is_folder
            ? gqa_record_shards(c->source,
                                gqa_is_repacking(c->plan) ? NULL : recipe)
            : gqa_record_metadata(c->source, config, recipe);
    struct gqa_output_options out = describe_output(c, config);

    if (st == GQA_OK)
        st = gqa_json_check();
    out.kept_fd = o->kept_fd;
    out.tool = gqa_convert_tool.name;
    out.metadata = metadata;
    out.progress = gqa_progress_update;
    out.ready = finish;
    out.ready_ctx = w;
    if (st == GQA_OK && o->writer->is_folder)
        st = gqa_card_create(&card, c, config, recipe);
    out.card = card;
    if (st == GQA_OK && o->plan.remote_code) {
        st = gqa_conversion_module(&module, c->model);
        out.module_name = module.name;
        out.module = module.text;
    }
    if (st != GQA_OK)
        goto done;
    if ((st = gqa_progress_create(&progress, o->common.log_level)) != GQA_OK)
        goto done;
    gqa_progress_phase(progress, "writing", GQA_PROGRESS_BYTES);
    out.progress_ctx = progress;
    st = gqa_output_write(&output, gqa_output_name(o), list, n, produce, w,
                          &out);
done:
    gqa_progress_free(progress);
    free(module.text);
    free(card);
    json_decref(metadata);
    json_decref(recipe);
    json_decref(config);
    free(list);
    return st;
}

/* Takes texts. */
static void warn_all(json_t *texts)
{
    json_t *text;
    size_t i;

    json_array_foreach(texts, i, text)
    {
        gqa_warn("%s", json_string_value(text));
    }
    json_decref(texts);
}

/* What loaders of others read in two ways. */
static enum gqa_status warn_readings(const struct gqa_conversion *c)
{
    json_t *texts = NULL;
    const enum gqa_status st =
        gqa_readings_create(&texts, c->source, c->model, GQA_TIED_ALL);

    warn_all(texts);
    return st;
}

/* What the tensors mean, and whether they are all there. */
static enum gqa_status understand(struct gqa_conversion *c,
                                  const struct gqa_model_hints *hints)
{
    enum gqa_status st = gqa_model_create(&c->model, c->source, hints);

    if (st == GQA_OK)
        st = gqa_inventory_create(&c->inventory, c->model, c->source);
    return st == GQA_OK ? gqa_check_inventory(
                              c->inventory, c->model, c->options->allow_extra,
                              c->options->plan.attentions & GQA_SELECT_ENCODER)
                        : st;
}

static enum gqa_status plan(struct gqa_conversion *c)
{
    struct gqa_plan_options options = c->options->plan;

    options.roles = c->inventory->roles;
    options.chosen = c->choice ? c->choice->pooled : NULL;
    return gqa_plan_create(&c->plan, c->model, &options);
}

/* The output is refused here where it would be refused when it is written:
 * nobody waits for what is to be lost. */
static enum gqa_status try_output(const struct gqa_conversion *c)
{
    struct gqa_output_options out = describe_output(c, NULL);

    out.card = ""; /* there will be one */
    return gqa_output_try(c->options->output, &out);
}

/* --- What a run of the source tells -------------------------------------- */

static enum gqa_status begin_calibration(struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;

    c->calibration = o->calibration;
    c->calibration.can_say_pairs = gqa_stock_reads_pairs(c->model, o->writer);
    return gqa_calibrator_create(&c->calibrator, c->model, c->source,
                                 &c->calibration,
                                 gqa_kv_budget_is_measured(&o->budget),
                                 o->common.n_threads, o->common.log_level);
}

/* Whether words of a folder's configuration tell loaders how many there are. */
static bool is_said(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;

    return o->writer->is_folder && !o->plan.expand && !o->plan.remote_code &&
           gqa_kv_said(c->model->family);
}

/* Numbers that differ are found at last, when much was run: what they would be
 * refused for is told before. */
static enum gqa_status check_may_differ(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    const struct gqa_writer *w = o->writer;
    const bool may_be =
        w->takes ? w->takes(c->model) & GQA_TAKES_HYBRID : !w->is_folder;

    if (may_be || o->budget.uniform || o->plan.expand || o->plan.remote_code ||
        (o->allow_hybrid && !is_said(c)))
        return GQA_OK;
    return gqa_fail(
        GQA_ERR_USAGE,
        is_said(c) ? "%s: its layers may come to differ in KV heads, and no "
                     "stock loader takes such a %s: write a .gqa, or give "
                     "--uniform%s or --expand"
                   : "%s: its layers may come to differ in KV heads, and no "
                     "stock loader takes such a %s: write a .gqa, or give "
                     "--uniform%s, --expand or --allow-hybrid",
        gqa_output_name(o), w->label,
        w->is_folder && gqa_has_remote_code(c->model) ? ", --remote-code" : "");
}

/* How many KV heads each attention keeps, where no numbers are asked for. */
static enum gqa_status choose(struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    const double start = gqa_clock_s();
    struct gqa_kv_choice_job job = {.model = c->model,
                                    .budget = &o->budget,
                                    .options = &o->plan,
                                    .no_regroup = o->calibration.no_regroup,
                                    .is_said = is_said(c),
                                    .n_threads = o->common.n_threads};
    enum gqa_status st;

    if ((st = check_may_differ(c)) != GQA_OK)
        return st;
    /* What --force may replace hangs on the numbers. */
    if (!o->force && (st = try_output(c)) != GQA_OK)
        return st;
    if (gqa_kv_budget_is_measured(&o->budget) &&
        (st = begin_calibration(c)) != GQA_OK)
        return st;
    job.calibrator = c->calibrator;
    st = gqa_kv_choice_create(&c->choice, &c->alignment, &job);
    if (st == GQA_ERR_USAGE || st == GQA_ERR_UNSUPPORTED)
        st = in_source(st, o);
    gqa_clock_log("choosing numbers of KV heads", start, 0);
    return st;
}

static enum gqa_status align(struct gqa_conversion *c)
{
    const double start = gqa_clock_s();
    enum gqa_status st = GQA_OK;

    if (!c->calibrator && !c->alignment)
        st = try_output(c);
    if (st == GQA_OK && !c->calibrator)
        st = begin_calibration(c);
    if (st == GQA_OK && !c->alignment)
        st = gqa_calibrator_align(&c->alignment, c->calibrator, c->plan);
    gqa_calibrator_free(c->calibrator);
    c->calibrator = NULL;
    if (st == GQA_OK)
        st = gqa_plan_align(c->plan, c->alignment);
    gqa_clock_log("aligning", start, 0);
    return st;
}

/* What of the configuration is made to say the output's KV heads. */
static enum gqa_status warn_adapted(const struct gqa_conversion *c)
{
    json_t *told = json_array();
    enum gqa_status st;

    json_decref(gqa_describe_config(c->plan, c->inventory, told));
    st = told ? gqa_json_check() : gqa_fail_nomem();
    if (st == GQA_OK)
        warn_all(told);
    else
        json_decref(told);
    return st;
}

static enum gqa_status run(struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    const struct gqa_checkpoint_options open = {
        .config_path = o->config_path,
        .unsafe_hdf5 = o->common.unsafe_hdf5,
        .dequantise = o->common.dequantise,
        .unwrap = true,
        .state_dict = o->common.state_dict};
    struct gqa_model_hints hints = o->hints;
    struct written written = {.c = c};
    double start = gqa_clock_s();
    enum gqa_status st;

    if (o->family_path &&
        (st = gqa_family_file_open(&c->family, o->family_path)) != GQA_OK)
        return st;
    hints.family = c->family;
    if ((st = gqa_checkpoint_open(&c->source, o->input, &open)) != GQA_OK)
        return st;
    gqa_clock_log("opening the input", start, 0);
    start = gqa_clock_s();
    if ((st = gqa_checkpoint_check_state_dict(open.state_dict, c->source,
                                              NULL)) != GQA_OK ||
        (st = gqa_output_check_apart(gqa_output_name(o), o->to_stdout,
                                     c->source, o->family_path)) != GQA_OK ||
        (st = check_written(c)) != GQA_OK)
        return st;
    st = in_source(understand(c, &hints), o);
    if (st == GQA_OK)
        st = warn_readings(c);
    if (st == GQA_OK)
        st = check_config(c);
    if (st == GQA_OK && o->plan.remote_code)
        st = in_source(gqa_remote_code_allow(c->model), o);
    if (st == GQA_OK && gqa_kv_budget_is_given(&o->budget))
        st = choose(c);
    if (st == GQA_OK)
        st = in_source(plan(c), o);
    if (st != GQA_OK || (st = check_said(c)) != GQA_OK ||
        (st = check_hybrid(c)) != GQA_OK || (st = check_model(c)) != GQA_OK ||
        (st = warn_adapted(c)) != GQA_OK)
        return st;
    warn_unread_head(c);
    gqa_say_plan(c->plan, o);
    gqa_clock_log("planning", start, 0);
    for (size_t i = 0; i < gqa_checkpoint_n_sources(c->source); i++)
        c->source_file_bytes += gqa_checkpoint_source(c->source, i)->file_bytes;
    for (size_t i = 0; i < c->model->n_params; i++)
        c->content_bytes += c->plan->tensors[i].n_bytes;
    if ((st = gqa_json_check()) != GQA_OK)
        return st;
    if (o->dry_run) {
        st = try_output(c);
        return st == GQA_OK ? summarise(c) : st;
    }
    if (o->plan.method == GQA_METHOD_ALIGNED && (st = align(c)) != GQA_OK)
        return st;
    start = gqa_clock_s();
    st = gqa_kept_transforms_create(&written.kept, c->plan, c->source,
                                    gqa_recorded_steps(c->source));
    if (st == GQA_OK)
        st = gqa_producer_create(&written.producer, c->plan, c->source,
                                 o->common.n_threads);
    /* Up to here there is nothing to clean up: a signal ends us at once. */
    gqa_interrupt_catch(gqa_atomic_clean);
    if (st == GQA_OK)
        st = write_output(&written);
    if (st == GQA_OK)
        gqa_clock_log("reading, pooling and writing", start, c->content_bytes);
    if (st == GQA_OK)
        warn_nonfinite(c, written.producer);
    gqa_producer_free(written.producer);
    gqa_kept_transforms_free(written.kept);
    return st;
}

enum gqa_status gqa_convert(
    struct gqa_conversion *out, const struct gqa_convert_options *options,
    enum gqa_status (*report)(const struct gqa_conversion *c))
{
    enum gqa_status st;

    memset(out, 0, sizeof *out);
    out->options = options;
    out->report = report;
    out->start_s = gqa_clock_s();
    st = run(out);
    if (st != GQA_OK)
        gqa_conversion_clear(out);
    return st;
}

json_t *gqa_conversion_config(const struct gqa_conversion *c)
{
    return gqa_describe_config(c->plan, c->inventory, NULL);
}

void gqa_conversion_clear(struct gqa_conversion *conversion)
{
    free(conversion->json);
    gqa_calibrator_free(conversion->calibrator);
    gqa_kv_choice_free(conversion->choice);
    gqa_plan_free(conversion->plan);
    gqa_alignment_free(conversion->alignment);
    gqa_inventory_free(conversion->inventory);
    gqa_model_free(conversion->model);
    gqa_checkpoint_close(conversion->source);
    gqa_family_file_free(conversion->family);
}
