/* A GGUF file, or several, for llama.cpp. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/atomic.h"
#include "common/log.h"
#include "common/units.h"
#include "formats/gguf/content.h"
#include "formats/gguf/header_write.h"
#include "formats/gguf/layer_numbers.h"
#include "formats/model/model.h"
#include "formats/write/sink.h"
#include "formats/write/weights.h"
#include "formats/writers.h"

/* One of a model's, its header, and what its tensors are made of. */
struct file {
    struct gqa_weights weights; /* first: what forms are given */
    struct gqa_gguf_text text;
    uint64_t data_bytes;
    char *path;
};

static uint64_t file_bytes(const struct gqa_weights *w)
{
    const struct file *file = (const struct file *)w;

    return file->text.n_bytes + file->data_bytes;
}

static enum gqa_status write_all(const struct gqa_weights *w,
                                 struct gqa_sink *sink)
{
    const struct file *file = (const struct file *)w;
    const enum gqa_status st =
        gqa_sink_write(sink, file->text.bytes, file->text.n_bytes);
    struct gqa_stream stream;

    if (st != GQA_OK)
        return st;
    stream = gqa_weights_stream(w, sink);
    return gqa_stream_run(&stream);
}

static const struct gqa_weights_form form = {file_bytes, write_all};

/* Tensors with their padding, in the order of the draft. */
static enum gqa_status list_tensors(struct gqa_output_tensor **tensors,
                                    size_t **order,
                                    const struct gqa_gguf_draft *draft)
{
    const size_t n = draft->header.n;

    *tensors = calloc(n + 1, sizeof **tensors);
    *order = calloc(n + 1, sizeof **order);
    if (!*tensors || !*order)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        const struct gqa_gguf_tensor *t = &draft->header.tensors[i];

        (*order)[i] = i;
        (*tensors)[i] =
            (struct gqa_output_tensor){.name = t->name,
                                       .dtype = t->type->dtype,
                                       .rank = t->rank,
                                       .shape = t->shape,
                                       .n_bytes = gqa_gguf_padded(t->n_bytes)};
    }
    return GQA_OK;
}

static enum gqa_status begin_file(struct file *file,
                                  const struct gqa_gguf_draft *draft,
                                  const struct gqa_gguf_part *part,
                                  const struct gqa_output *theirs,
                                  const size_t *order)
{
    file->path = gqa_gguf_part_path(theirs->path, part);
    if (!file->path)
        return gqa_fail_nomem();
    file->data_bytes = part->data_bytes;
    file->weights = (struct gqa_weights){
        .path = file->path,
        .output = theirs,
        .order = order + part->first,
        .n = part->n,
        .progress_base =
            part->n ? draft->header.tensors[part->first].offset : 0,
        .progress_all = draft->data_bytes};
    return gqa_gguf_text_create(&file->text, draft, part);
}

/* All headers are made before anything is written. */
static enum gqa_status write_files(struct gqa_output_summary *summary,
                                   const struct gqa_output *theirs,
                                   const struct gqa_gguf_draft *draft,
                                   const struct gqa_gguf_split *split,
                                   const size_t *order)
{
    struct file *files = calloc(split->n, sizeof *files);
    const struct gqa_weights **weights = calloc(split->n, sizeof *weights);
    enum gqa_status st = files && weights ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < split->n && st == GQA_OK; i++) {
        st = begin_file(&files[i], draft, &split->parts[i], theirs, order);
        weights[i] = &files[i].weights;
        summary->content_bytes += files[i].text.n_bytes + files[i].data_bytes;
    }
    if (st == GQA_OK)
        st = split->n == 1
                 ? gqa_one_file_put(summary, weights[0], &form)
                 : gqa_several_files_put(summary, weights, split->n, &form);
    for (size_t i = 0; files && i < split->n; i++) {
        gqa_gguf_text_free(&files[i].text);
        free(files[i].path);
    }
    free(weights);
    free(files);
    return st;
}

static enum gqa_status write_draft(struct gqa_output_summary *summary,
                                   const struct gqa_output *output,
                                   const struct gqa_gguf_draft *draft,
                                   const struct gqa_gguf_split *split)
{
    struct gqa_output_tensor *tensors = NULL;
    struct gqa_gguf_content *content = NULL;
    struct gqa_output theirs = {.path = output->path,
                                .n_tensors = draft->header.n,
                                .produce = gqa_gguf_content_produce,
                                .options = output->options};
    size_t *order = NULL;
    enum gqa_status st = list_tensors(&tensors, &order, draft);

    if (st == GQA_OK)
        st = gqa_gguf_content_create(&content, draft, output);
    theirs.tensors = tensors;
    theirs.produce_ctx = content;
    if (st == GQA_OK)
        st = write_files(summary, &theirs, draft, split, order);
    gqa_gguf_content_free(content);
    free(order);
    free(tensors);
    return st;
}

/* What is to be written, and in how many files. */
struct plan {
    struct gqa_gguf_draft draft;
    struct gqa_gguf_split split;
};

static enum gqa_status make_plan(struct plan *plan,
                                 const struct gqa_output *output)
{
    enum gqa_status st = gqa_gguf_draft_create(&plan->draft, output);

    plan->split = (struct gqa_gguf_split){.n = 0};
    if (st == GQA_OK)
        st = gqa_gguf_split_create(&plan->split, &plan->draft,
                                   output->options->settings.shard_bytes);
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", output->path);
}

static void clear_plan(struct plan *plan)
{
    gqa_gguf_split_clear(&plan->split);
    gqa_gguf_draft_clear(&plan->draft);
}

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  const struct gqa_output *output)
{
    struct plan plan;
    enum gqa_status st = make_plan(&plan, output);

    if (st == GQA_OK)
        st = gqa_gguf_layer_numbers_fill(&plan.draft, output);
    if (st == GQA_OK)
        st = write_draft(summary, output, &plan.draft, &plan.split);
    clear_plan(&plan);
    return st;
}

/* Files of a split model come to be together, which replacing some would not:
 * those that are there stay. */
static enum gqa_status check_places(const char *path,
                                    const struct gqa_gguf_split *split)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < split->n && st == GQA_OK; i++) {
        char *part = gqa_gguf_part_path(path, &split->parts[i]);
        struct stat info;

        if (!part)
            return gqa_fail_nomem();
        if (lstat(part, &info) == 0)
            st = gqa_fail(GQA_ERR_USAGE,
                          "%s: exists, and files of a split model are not "
                          "replaced, nor with --force: remove all of them "
                          "first, or give another name",
                          part);
        else
            st = gqa_atomic_try_file(part, false);
        free(part);
    }
    return st;
}

static void say_limits(const char *path, const struct gqa_gguf_draft *draft)
{
    if (draft->window > 0)
        gqa_warn("%s: llama.cpp has no windows in the architecture %s: the "
                 "file says a context of %llu tokens, the window's, within "
                 "which the model is the same",
                 path, draft->architecture->name,
                 (unsigned long long)draft->window);
    if (draft->grows)
        gqa_warn("%s: llama.cpp has no RoPE of kind 'dynamic': within the "
                 "context that the file says the model is the same, and in "
                 "longer texts nothing is scaled",
                 path);
    if (!draft->has_vocabulary)
        gqa_warn("%s: without a vocabulary, so that llama.cpp takes tokens by "
                 "their numbers; a folder with a tokenizer.model or "
                 "tokenizer.json of BPE, or a GGUF file, gives one",
                 path);
    if (draft->texts_differ)
        gqa_warn("%s: %s, and some texts may become other tokens", path,
                 draft->texts_differ);
}

static enum gqa_status check_model(const struct gqa_output *output)
{
    struct plan plan;
    enum gqa_status st = make_plan(&plan, output);

    if (st == GQA_OK && output->options->settings.shard_bytes)
        st = plan.split.n > 1
                 ? check_places(output->path, &plan.split)
                 : gqa_one_file_check(output->path, output->options);
    if (st == GQA_OK)
        say_limits(output->path, &plan.draft);
    clear_plan(&plan);
    return st;
}

/* Of several files check_model() looks at the names, once it knows them. */
static enum gqa_status check(const char *path,
                             const struct gqa_output_options *options)
{
    return options->settings.shard_bytes ? GQA_OK
                                         : gqa_one_file_check(path, options);
}

static unsigned takes(const struct gqa_model *model)
{
    const struct gqa_gguf_architecture *a =
        gqa_gguf_architecture_of(model->model_type);

    return (a && a->has_factors ? GQA_TAKES_PAIRS : 0) |
           (a && a->by_layer ? GQA_TAKES_HYBRID : 0);
}

static void describe(char *out, size_t size,
                     const struct gqa_output_settings *settings)
{
    char bytes[GQA_UNITS_MAX];

    if (settings->shard_bytes)
        snprintf(out, size, "GGUF files with at most %s of tensors each",
                 gqa_units_bytes(bytes, settings->shard_bytes));
    else
        snprintf(out, size, "a GGUF file");
}

static void first_of(char out[PATH_MAX], const char *path, size_t n_files)
{
    gqa_gguf_part_name(
        out, PATH_MAX, path,
        &(const struct gqa_gguf_part){.count = (unsigned)n_files});
}

const struct gqa_writer gqa_writer_gguf = {
    .word = ".gguf",
    .name = "gguf",
    .label = "GGUF file",
    .form = "NAME.gguf",
    .names = (const char *const[]){"*.gguf", NULL},
    .settings = GQA_SETTING_SHARDS,
    .needs_config = true,
    .takes = takes,
    .describe = describe,
    .check = check,
    .check_model = check_model,
    .write = write_file,
    .first = first_of,
};
