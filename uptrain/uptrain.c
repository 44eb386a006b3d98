#include "uptrain/uptrain.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/advice.h"
#include "common/atomic.h"
#include "common/bounds.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/log.h"
#include "common/progress.h"
#include "common/whole_file.h"
#include "convert/convert.h"
#include "formats/families/kv_said.h"
#include "formats/families/remote_code.h"
#include "formats/recorded.h"
#include "formats/write/apart.h"
#include "formats/write/digests.h"
#include "runtime/values.h"
#include "uptrain/by_layer.h"
#include "uptrain/card.h"
#include "uptrain/convert_first.h"
#include "uptrain/describe.h"
#include "uptrain/page.h"
#include "uptrain/ranks_run.h"
#include "uptrain/trained.h"
#include "uptrain/weights.h"

/* --- Signals -------------------------------------------------------------- */

/* Seconds that a run may take to come to an end of a step and save its state,
 * once it is asked to stop. */
enum { PATIENCE = 300 };

static volatile sig_atomic_t patience;

static bool clean_up(void)
{
    if (patience > 0) {
        patience = patience - 1;
        return false;
    }
    return gqa_atomic_clean();
}

/* --- What there is -------------------------------------------------------- */

static enum gqa_status check_output(const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_model *m = u->pair.student.model;
    enum gqa_status st = gqa_output_check_apart(
        o->output, false, u->pair.teacher.checkpoint, o->family_path);

    if (st == GQA_OK && o->student)
        st = gqa_output_check_apart(o->output, false,
                                    u->pair.student.checkpoint, o->family_path);
    if (st == GQA_OK && o->writer->needs_config &&
        !u->pair.student.model->config_is_complete)
        st = gqa_fail(GQA_ERR_USAGE,
                      "%s has no configuration, and no runtime loads a %s "
                      "without; write a .gqa or .safetensors",
                      o->student ? o->student : o->teacher, o->writer->label);
    if (st == GQA_OK && o->writer->is_folder && m->config_is_complete &&
        !gqa_config_tells_class(gqa_model_whole_config(m)))
        st = gqa_fail(GQA_ERR_USAGE,
                      "%s: its configuration says no model_type, and no "
                      "runtime loads a %s without; write a .gqa or "
                      ".safetensors",
                      o->student ? o->student : o->teacher, o->writer->label);
    if (st == GQA_OK && o->writer->is_folder &&
        !gqa_remote_code_class(gqa_model_whole_config(m)))
        st = gqa_kv_said_check(m->family, m->config, gqa_model_n_heads(m),
                               gqa_model_kv_heads(m), o->output,
                               !o->student && gqa_has_remote_code(m)
                                   ? ", or give --remote-code"
                                   : "");
    return st;
}

/* The run is told of in files of its own: a log is appended to what is there,
 * and a page replaces it. path: NULL: none. */
static enum gqa_status check_told(const struct gqa_uptraining *u,
                                  const char *option, const char *path)
{
    const struct gqa_uptrain_options *o = u->options;
    enum gqa_status st = GQA_OK;

    if (!path)
        return GQA_OK;
    if (strcmp(path, o->output) == 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --%s: %s is OUTPUT; give another name", option,
                        path);
    if (o->student)
        st = gqa_output_check_apart(path, false, u->pair.student.checkpoint,
                                    o->family_path);
    for (size_t i = 0; i < o->data.n && st == GQA_OK; i++)
        st = gqa_output_check_apart(path, false, u->pair.teacher.checkpoint,
                                    o->data.items[i].path);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "option --%s", option);
}

static enum gqa_status check_told_apart(const struct gqa_uptraining *u)
{
    const char *log = u->options->log_path, *page = u->options->html_path;
    enum gqa_status st = check_told(u, "log", log);

    if (st == GQA_OK)
        st = check_told(u, "html", page);
    if (st == GQA_OK && log && page && strcmp(log, page) == 0)
        st = gqa_fail(GQA_ERR_USAGE, "--log and --html are one file, %s", log);
    return st;
}

/* A state among what is read would be taken for a part of it, and one in place
 * of what is to be written keeps that from being written. */
static enum gqa_status check_state_apart(const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct {
        const char *name, *path;
    } written[] = {{"OUTPUT", o->output},
                   {"--log", o->log_path},
                   {"--html", o->html_path}};
    const struct {
        const char *path;
        const struct gqa_checkpoint *checkpoint;
    } read[] = {{o->teacher, u->pair.teacher.checkpoint},
                {o->student, u->pair.student.checkpoint}};
    enum gqa_status st = GQA_OK;
    bool same;

    if (!o->checkpoint)
        return GQA_OK;
    for (size_t i = 0; i < 3; i++) {
        if (!written[i].path)
            continue;
        st = gqa_output_is_place(&same, o->checkpoint, written[i].path);
        if (st != GQA_OK || same)
            return st != GQA_OK
                       ? st
                       : gqa_fail(GQA_ERR_USAGE,
                                  "option --checkpoint: %s is %s; give another "
                                  "folder",
                                  o->checkpoint, written[i].name);
    }
    for (size_t i = 0; i < 2 && st == GQA_OK; i++)
        if (read[i].path)
            st = gqa_output_check_apart(o->checkpoint, false,
                                        read[i].checkpoint, o->family_path);
    return st == GQA_ERR_USAGE
               ? gqa_fail(st,
                          "option --checkpoint: %s holds what is read; give "
                          "another folder",
                          o->checkpoint)
               : st;
}

/* Whose other files come along: the student's, or those of what it was made
 * of here. */
static const struct gqa_checkpoint *main_source(const struct gqa_uptraining *u)
{
    return u->options->student ? u->pair.student.checkpoint
                               : u->pair.teacher.checkpoint;
}

static struct gqa_output_options output_options(const struct gqa_uptraining *u)
{
    const struct gqa_checkpoint *source = main_source(u);

    return (struct gqa_output_options){
        .writer = u->options->writer,
        .settings = u->options->settings,
        .n_threads = u->options->common.n_threads,
        .force = u->options->force,
        .card = "", /* there will be one */
        .tool = gqa_uptrain_tool.name,
        .config = gqa_model_whole_config(u->pair.student.model),
        .copy_from = gqa_checkpoint_is_folder(source)
                         ? gqa_checkpoint_folder(source)
                         : NULL,
        .model = u->pair.student.model,
        .source = source,
        .n_kv_heads = gqa_model_kv_heads(u->pair.student.model),
    };
}

/* What can be said of its place before there is a student, who is made beside
 * it by a name that nobody should be told. */
static enum gqa_status try_place(const struct gqa_uptraining *u)
{
    const struct gqa_output_options options = {
        .writer = u->options->writer, .force = u->options->force, .card = ""};

    return gqa_ranks_is_first(u->ranks)
               ? gqa_output_try(u->options->output, &options)
               : GQA_OK;
}

/* Nothing is trained for an output that would be refused. */
static enum gqa_status try_output(const struct gqa_uptraining *u)
{
    const struct gqa_output_options options = output_options(u);

    return gqa_output_try(u->options->output, &options);
}

/* Not every format, nor who loads it, knows every model. */
static enum gqa_status check_model(struct gqa_uptraining *u)
{
    const struct gqa_output_options options = output_options(u);
    struct gqa_output output = {.path = u->options->output,
                                .options = &options};
    struct gqa_trained_weights *weights = NULL;
    bool *none;
    enum gqa_status st;

    if (!options.writer->check_model)
        return GQA_OK;
    none = calloc(options.model->n_params + 1, sizeof *none);
    st = none ? gqa_trained_weights_create(&weights, &u->pair.student, none,
                                           NULL, GQA_F32, 1)
              : gqa_fail_nomem();
    if (st == GQA_OK) {
        output.tensors = gqa_trained_weights_list(weights, &output.n_tensors);
        st = options.writer->check_model(&output);
    }
    gqa_trained_weights_free(weights);
    free(none);
    return st;
}

/* fd: NULL: it has a name, which is that of the options. */
static enum gqa_status open_pair(struct gqa_uptraining *u, const int *fd,
                                 bool shapes_alone)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_pair_options open = {.teacher = o->teacher,
                                          .student = fd ? GQA_MADE_STUDENT
                                                        : o->student,
                                          .student_fd = fd,
                                          .shapes_alone = shapes_alone,
                                          .family_path = o->family_path,
                                          .unsafe_hdf5 = o->common.unsafe_hdf5,
                                          .dequantise = o->common.dequantise,
                                          .state_dict = o->common.state_dict,
                                          .may_differ = o->may_differ,
                                          .n_threads = o->common.n_threads};

    return gqa_pair_open(&u->pair, &open);
}

/* The first stage has something to do; without another nothing else is. */
static enum gqa_status check_layers(struct gqa_uptraining *u)
{
    const size_t n_params = u->pair.student.model->n_params;
    bool *matched = calloc(n_params + 1, sizeof *matched);
    size_t n;

    if (!matched)
        return gqa_fail_nomem();
    n = gqa_layerwise_mark(matched, u->pair.student.network, u->trained);
    if (u->options->n_steps == 0)
        memcpy(u->trained, matched, n_params * sizeof *matched);
    free(matched);
    return n > 0 ? GQA_OK
                 : gqa_fail(GQA_ERR_USAGE,
                            "option --layerwise: --train names no query, key, "
                            "value or output of an attention");
}

static struct gqa_layerwise first_stage(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;

    return (struct gqa_layerwise){
        .device = &u->device,
        .pair = &u->pair,
        .trained = u->trained,
        .log = u->run.log,
        .bar = u->run.bar,
        .batch = o->batch,
        .accumulate = o->accumulate,
        .length = u->settings.length,
        .n_steps = o->n_layer_steps,
        .optimiser = {.kind = (enum gqa_optimiser_kind)o->optimiser,
                      .decay = o->weight_decay},
        .decay = (enum gqa_decay)o->decay};
}

/* What it takes, and whether that is there. */
static enum gqa_status plan(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    enum gqa_status st = gqa_train_device_open(
        &u->device, o->device, o->ordinal, o->dtype, o->common.n_threads);

    if (st != GQA_OK)
        return st;
    if (!u->was_planned && (st = gqa_settings_check(o, &u->pair)) != GQA_OK)
        return st;
    u->was_planned = true;
    u->settings = gqa_settings_choose(o, &u->pair, u->device.backend);
    u->layerwise = first_stage(u);
    st = o->n_steps > 0 ? gqa_estimate_make(&u->estimate, o, &u->settings,
                                            &u->pair, u->trained, &u->device)
                        : gqa_estimate_layers(&u->estimate, &u->layerwise);
    return st == GQA_OK ? gqa_estimate_check(&u->estimate, &u->device) : st;
}

/* What the pair leaves to be found out before anything is run. */
static enum gqa_status look(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_trained_facts facts = {.network = u->pair.student.network,
                                            .used = u->pair.used,
                                            .differs = u->pair.differs};
    enum gqa_status st = check_output(u);

    if (st != GQA_OK)
        return st;
    u->trained =
        calloc(u->pair.student.model->n_params + 1, sizeof *u->trained);
    if (!u->trained)
        return gqa_fail_nomem();
    st = gqa_trained_mark(u->trained, o->train, &facts);
    if (st == GQA_OK && o->layerwise)
        st = check_layers(u);
    if (st == GQA_OK && gqa_ranks_is_first(u->ranks))
        st = try_output(u);
    if (st == GQA_OK && !u->was_planned && gqa_ranks_is_first(u->ranks))
        st = check_model(u);
    if (st == GQA_OK)
        st = check_told_apart(u);
    if (st == GQA_OK)
        st = check_state_apart(u);
    if (st == GQA_OK && o->html_path)
        st = gqa_atomic_try_file(o->html_path, o->force);
    return st == GQA_OK ? plan(u) : st;
}

static void forget(struct gqa_uptraining *u)
{
    gqa_train_device_close(&u->device);
    free(u->trained);
    u->trained = NULL;
    gqa_pair_close(&u->pair);
}

/* All that shapes tell is known before a student is made, which takes long. */
static enum gqa_status look_at_shapes(struct gqa_uptraining *u)
{
    int fd = -1;
    enum gqa_status st = try_place(u);

    if (st == GQA_OK)
        st = gqa_made_student_plan(&fd, u->options);
    gqa_advice_use(gqa_uptrain_tool.advices);
    if (st == GQA_OK)
        st = open_pair(u, &fd, true);
    if (fd >= 0)
        close(fd);
    return st == GQA_OK ? look(u) : st;
}

/* A student that is made here is gone once it is closed. */
static enum gqa_status open_made(struct gqa_uptraining *u)
{
    int fd = -1;
    enum gqa_status st = gqa_made_student_create(&fd, u->options);

    gqa_advice_use(gqa_uptrain_tool.advices);
    gqa_interrupt_catch(clean_up);
    if (st == GQA_OK)
        st = open_pair(u, &fd, false);
    if (fd >= 0)
        close(fd);
    return st;
}

static enum gqa_status prepare(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    enum gqa_status st;

    if (o->student) {
        st = open_pair(u, NULL, false);
        return st == GQA_OK ? look(u) : st;
    }
    if ((st = look_at_shapes(u)) != GQA_OK || o->dry_run)
        return st;
    forget(u);
    st = open_made(u);
    return st == GQA_OK ? look(u) : st;
}

/* --- Writing -------------------------------------------------------------- */

static enum gqa_status finish(void *ctx,
                              const struct gqa_output_summary *summary)
{
    struct gqa_uptraining *u = ctx;
    enum gqa_status st = gqa_json_check();

    if (st == GQA_OK && u->options->student)
        st = gqa_checkpoint_check_unchanged(u->pair.student.checkpoint);
    if (st == GQA_OK)
        st = gqa_checkpoint_check_unchanged(u->pair.teacher.checkpoint);
    if (st != GQA_OK)
        return st;
    u->output = *summary;
    u->written = true;
    return u->report(u);
}

static enum gqa_status write_weights(struct gqa_uptraining *u,
                                     struct gqa_trained_weights *weights,
                                     struct gqa_output_options *out)
{
    struct gqa_output_summary summary;
    size_t n;
    const struct gqa_output_tensor *list =
        gqa_trained_weights_list(weights, &n);

    gqa_progress_phase(u->run.bar, "writing", GQA_PROGRESS_BYTES);
    out->progress = gqa_progress_update;
    out->progress_ctx = u->run.bar;
    out->ready = finish;
    out->ready_ctx = u;
    return gqa_output_write(&summary, u->options->output, list, n,
                            gqa_trained_weights_produce, weights, out);
}

/* Weights, and what the recipe has to say of those that were trained. */
static enum gqa_status make_weights(struct gqa_trained_weights **weights,
                                    json_t **digests, struct gqa_uptraining *u,
                                    unsigned n_threads)
{
    size_t n;
    enum gqa_status st = gqa_trained_weights_create(
        weights, &u->pair.student, u->trained, u->run.best,
        gqa_wide_of(u->device.info.real), n_threads);

    *digests = NULL;
    return st == GQA_OK ? gqa_output_digests(
                              digests, gqa_trained_weights_list(*weights, &n),
                              u->trained, u->pair.student.model->n_params,
                              gqa_trained_weights_produce, *weights, n_threads)
                        : st;
}

static enum gqa_status write_output(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_checkpoint *source = u->pair.student.checkpoint;
    struct gqa_output_options out = output_options(u);
    struct gqa_trained_weights *weights = NULL;
    json_t *digests;
    enum gqa_status st = make_weights(&weights, &digests, u, out.n_threads);
    json_t *recipe =
        gqa_run_recipe(o, &u->settings, &u->pair, u->trained, u->data,
                       &u->run.history, &u->device.info, digests);
    json_t *metadata =
        o->writer->is_folder
            ? gqa_record_shards(source, recipe)
            : gqa_record_metadata(source,
                                  gqa_model_whole_config(u->pair.student.model),
                                  recipe);
    char *card = NULL;
    struct gqa_module module = {.text = NULL};

    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK && o->remote_code) {
        st = gqa_conversion_module(&module, u->pair.student.model);
        out.module_name = module.name;
        out.module = module.text;
    }
    if (st == GQA_OK && o->writer->is_folder)
        st = gqa_trained_card(&card, main_source(u), recipe, &u->run.history);
    out.card = card;
    out.metadata = metadata;
    if (st == GQA_OK)
        st = write_weights(u, weights, &out);
    gqa_trained_weights_free(weights);
    free(module.text);
    free(card);
    json_decref(metadata);
    json_decref(recipe);
    return st;
}

/* --- The run -------------------------------------------------------------- */

static enum gqa_status create_trainer(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_trainer_options options = {
        .loss = o->loss,
        .optimiser = {.kind = (enum gqa_optimiser_kind)o->optimiser,
                      .decay = o->weight_decay,
                      .clip = o->clip},
        .ranks = u->ranks,
        .batch = u->settings.batch,
        .n_sequences = o->batch * o->accumulate,
        .length = u->settings.length};

    return gqa_trainer_create(&u->trainer, &u->device, &u->pair, u->trained,
                              &options);
}

static struct gqa_data_options data_options(const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const uint64_t n_layer_steps =
        o->layerwise ? gqa_layerwise_data_steps(o->n_layer_steps) : 0;

    return (struct gqa_data_options){.ranks = u->ranks,
                                     .list = &o->data,
                                     .batch = o->batch * o->accumulate,
                                     .length = u->settings.length,
                                     .n_held_out = o->n_held_out,
                                     .n_steps =
                                         gqa_max_u64(o->n_steps, n_layer_steps),
                                     .n_own = u->settings.n_own,
                                     .temperature = o->temperature,
                                     .top_k = o->top_k,
                                     .seed = o->seed};
}

static enum gqa_status create_data(struct gqa_uptraining *u)
{
    const struct gqa_data_options options = data_options(u);

    return gqa_data_create(&u->data, &options, gqa_trainer_teacher(u->trainer),
                           u->pair.teacher.network, u->run.bar);
}

static enum gqa_status create_run(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    struct gqa_training_run *run = &u->run;
    enum gqa_status st = gqa_history_create(&run->history, o->n_steps);

    run->ranks = u->ranks;
    run->trainer = u->trainer;
    run->data = u->data;
    run->batch = o->batch * o->accumulate;
    run->limits = (struct gqa_run_limits){.eval_every = o->eval_every,
                                          .until_kl = o->until_kl,
                                          .deadline_s = u->deadline_s,
                                          .budget_s = o->budget_s,
                                          .save_every = o->every};
    run->schedule = (struct gqa_schedule){.rate = o->rate,
                                          .n_steps = o->n_steps,
                                          .warmup = o->warmup,
                                          .decay = (enum gqa_decay)o->decay};
    run->warmup_is_given = gqa_uptrain_given(o, "warmup");
    u->layerwise = first_stage(u);
    run->layerwise = o->layerwise ? &u->layerwise : NULL;
    if (st == GQA_OK &&
        !(run->best = malloc(gqa_trainer_bytes(u->trainer) + 1)))
        st = gqa_fail_nomem();
    if (st != GQA_OK || !o->checkpoint)
        return st;
    patience = PATIENCE;
    if (!gqa_ranks_is_first(u->ranks))
        return GQA_OK;
    u->what = gqa_run_what(o, &u->settings, &u->pair, u->data, &u->device.info);
    u->saved.what = u->what;
    run->saved = &u->saved;
    return gqa_json_check();
}

/* What can be told of a run that has come to its end. */
static enum gqa_status write_page(const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    struct gqa_whole_file file;
    enum gqa_status st;

    if (!o->html_path || u->run.history.n_evaluations == 0)
        return GQA_OK;
    st = gqa_whole_file_begin(&file, o->html_path, o->force);
    if (st != GQA_OK)
        return st;
    return gqa_whole_file_end(
        &file, gqa_run_page(file.stream, o->student ? o->student : o->teacher,
                            &u->run.history));
}

/* The first stage alone, which holds neither model as a whole. */
static enum gqa_status train_by_layer(struct gqa_uptraining *u)
{
    const struct gqa_data_options data = data_options(u);
    const struct gqa_by_layer run = {&u->layerwise, &data, u->deadline_s};
    const double start = gqa_clock_s();
    enum gqa_status st = gqa_history_create(&u->run.history, 0);

    u->layerwise = first_stage(u);
    if (st == GQA_OK &&
        !(u->run.best = malloc(gqa_by_layer_bytes(&u->layerwise) + 1)))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_by_layer_run(&run, &u->data, &u->run.history, u->run.best);
    u->run.history.seconds = gqa_clock_s() - start;
    u->gained = u->run.history.best > 0;
    return st;
}

/* All ranks do the same, on devices that can be joined. */
static enum gqa_status join(struct gqa_uptraining *u)
{
    json_t *what =
        gqa_run_what(u->options, &u->settings, &u->pair, NULL, &u->device.info);
    enum gqa_status st = gqa_ranks_check_what(u->ranks, what);

    json_decref(what);
    return st == GQA_OK
               ? gqa_ranks_use(u->ranks, u->device.backend, u->device.device)
               : st;
}

static enum gqa_status train(struct gqa_uptraining *u)
{
    enum gqa_status st;

    if (u->options->n_steps == 0 && gqa_ranks_n(u->ranks) > 1)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --steps: 0 leaves the first stage, which one "
                        "device makes: it cannot be shared by %u processes",
                        gqa_ranks_n(u->ranks));
    if (u->options->n_steps == 0)
        return train_by_layer(u);
    if ((st = join(u)) != GQA_OK || (st = create_trainer(u)) != GQA_OK ||
        (st = create_data(u)) != GQA_OK || (st = create_run(u)) != GQA_OK)
        return st;
    st = gqa_training_run(&u->run);
    patience = 0;
    u->gained = u->run.history.best > 0;
    if (st == GQA_OK || (st == GQA_ERR_FORMAT && u->gained))
        st = gqa_ranks_finish(u->ranks, st);
    return st;
}

/* What was gained before a loss that is not finite is kept; the error stays,
 * beside that of a page that cannot be written. */
static enum gqa_status rescue(struct gqa_uptraining *u)
{
    char *message = strdup(gqa_error_message());
    enum gqa_status st = message ? write_output(u) : gqa_fail_nomem();
    char *page = NULL;

    if (st == GQA_OK && write_page(u) != GQA_OK &&
        !(page = strdup(gqa_error_message())))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "%s; what was best until then is in %s%s%s", message,
                      u->options->output, page ? "; " : "", page ? page : "");
    free(page);
    free(message);
    return st;
}

/* What was trained outlives an output that cannot be written. */
static enum gqa_status tell_of_state(const struct gqa_uptraining *u,
                                     enum gqa_status st)
{
    char *message = strdup(gqa_error_message());

    if (!message)
        return gqa_fail_nomem();
    if (u->run.saved && u->run.is_saved)
        st = gqa_fail(st,
                      "%s; what was trained is kept in %s: the same command "
                      "writes it, another OUTPUT too",
                      message, u->saved.folder);
    else
        st = gqa_fail(st, "%s; what was trained is lost%s", message,
                      u->run.saved ? ", since no state of its end could be kept"
                                   : " (--checkpoint would have kept it)");
    free(message);
    return st;
}

static enum gqa_status write_result(struct gqa_uptraining *u)
{
    const enum gqa_status st =
        u->gained || u->options->write_start ? write_output(u) : u->report(u);

    return st == GQA_ERR_IO || st == GQA_ERR_NOMEM ? tell_of_state(u, st) : st;
}

/* The error behind which something was written all the same. Takes message,
 * which is NULL where memory was short. */
static enum gqa_status tell_of_output(const struct gqa_uptraining *u,
                                      enum gqa_status st, char *message)
{
    st = message ? gqa_fail(st, "%s; %s is written all the same", message,
                            u->written ? u->options->output : "what there is")
                 : gqa_fail_nomem();
    free(message);
    return st;
}

/* A state or a page that cannot be written does not keep the output from being
 * written. */
static enum gqa_status end(struct gqa_uptraining *u)
{
    enum gqa_status st = gqa_training_save(&u->run);
    enum gqa_status page, output;
    char *message = st == GQA_OK ? NULL : strdup(gqa_error_message());

    page = write_page(u);
    if (page != GQA_OK && st == GQA_OK) {
        st = page;
        message = strdup(gqa_error_message());
    }
    output = write_result(u);
    if (output == GQA_OK && st != GQA_OK)
        return tell_of_output(u, st, message);
    free(message);
    return output;
}

/* st: of all else, whose message stays. */
static enum gqa_status close_log(struct gqa_uptraining *u, enum gqa_status st)
{
    char *message = st == GQA_OK ? NULL : strdup(gqa_error_message());
    const enum gqa_status closed = gqa_run_log_close(u->run.log);

    u->run.log = NULL;
    if (st == GQA_OK)
        return closed == GQA_OK || !u->written
                   ? closed
                   : tell_of_output(u, closed, strdup(gqa_error_message()));
    st = message ? gqa_fail(st, "%s", message) : gqa_fail_nomem();
    free(message);
    return st;
}

/* What is known of a run before it begins, where anybody reads it. */
static enum gqa_status tell_of_pace(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const bool is_seen =
        isatty(STDERR_FILENO) && o->common.log_level == GQA_LOG_WARN;
    char text[GQA_PACE_MAX];
    enum gqa_status st;

    if (o->n_steps == 0 || !gqa_ranks_is_first(u->ranks) ||
        !(o->dry_run || o->common.json || is_seen ||
          o->common.log_level >= GQA_LOG_INFO))
        return GQA_OK;
    st = gqa_pace_estimate(&u->pace, o, &u->settings, &u->pair, u->trained,
                           &u->device);
    if (st != GQA_OK || o->dry_run)
        return st;
    gqa_pace_say(text, &u->pace, o->n_steps);
    if (is_seen)
        fprintf(stderr, "will train, as an estimate, %s\n", text);
    else
        gqa_info("will train, as an estimate, %s", text);
    return GQA_OK;
}

static enum gqa_status go(struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    enum gqa_status st = prepare(u);

    if (st == GQA_OK)
        st = tell_of_pace(u);
    /* What all would say the first one says. */
    st = gqa_ranks_agree(u->ranks, st);
    if (st != GQA_OK)
        return st;
    if (o->dry_run)
        return gqa_ranks_is_first(u->ranks) ? u->report(u) : GQA_OK;
    u->saved = (struct gqa_saved){.folder = o->checkpoint};
    if (o->checkpoint && gqa_ranks_is_first(u->ranks) &&
        (st = gqa_saved_prepare(&u->saved)) != GQA_OK)
        return st;
    if ((st = gqa_progress_create(&u->run.bar, o->common.log_level)) !=
            GQA_OK ||
        (st = gqa_run_log_open(&u->run.log, o->log_path)) != GQA_OK)
        return st;
    st = train(u);
    if (!gqa_ranks_is_first(u->ranks))
        return st;
    if (st == GQA_ERR_FORMAT && u->gained)
        return rescue(u);
    return st == GQA_OK ? end(u) : st;
}

enum gqa_status gqa_uptrain(
    struct gqa_uptraining *out, const struct gqa_uptrain_options *options,
    struct gqa_ranks *ranks,
    enum gqa_status (*report)(const struct gqa_uptraining *u))
{
    enum gqa_status st;

    *out = (struct gqa_uptraining){
        .options = options, .ranks = ranks, .report = report};
    gqa_interrupt_catch(clean_up);
    if (options->budget_s > 0) {
        out->deadline_s = gqa_clock_s() + options->budget_s;
        if (gqa_ranks_n(ranks) == 1)
            gqa_interrupt_ask_at(out->deadline_s);
    }
    st = gqa_ranks_explain(ranks, go(out));
    if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late())
        st =
            gqa_fail(GQA_ERR_USAGE,
                     "option --budget-time: the time was over before the start "
                     "was measured; fewer --eval-sequences of less --length "
                     "take less");
    gqa_interrupt_ask_at(0);
    gqa_progress_free(out->run.bar);
    out->run.bar = NULL;
    return close_log(out, st);
}

void gqa_uptraining_clear(struct gqa_uptraining *u)
{
    gqa_history_clear(&u->run.history);
    free(u->run.best);
    json_decref(u->what);
    gqa_data_free(u->data);
    gqa_trainer_free(u->trainer);
    gqa_ranks_let_go(u->ranks);
    gqa_train_device_close(&u->device);
    free(u->trained);
    gqa_pair_close(&u->pair);
}
