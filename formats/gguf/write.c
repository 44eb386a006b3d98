/* A GGUF file, for llama.cpp. */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "formats/gguf/content.h"
#include "formats/gguf/header_write.h"
#include "formats/model/model.h"
#include "formats/write/sink.h"
#include "formats/write/weights.h"
#include "formats/writers.h"

/* Its header, and what its tensors are made of. */
struct file {
    struct gqa_weights weights; /* first: what forms are given */
    struct gqa_gguf_text text;
    uint64_t data_bytes;
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

static enum gqa_status write_draft(struct gqa_output_summary *summary,
                                   const struct gqa_output *output,
                                   const struct gqa_gguf_draft *draft)
{
    static const struct gqa_weights_form form = {file_bytes, write_all};
    struct gqa_output_tensor *tensors = NULL;
    struct gqa_gguf_content *content = NULL;
    struct file file = {.data_bytes = draft->data_bytes};
    struct gqa_output theirs = {.path = output->path,
                                .n_tensors = draft->header.n,
                                .produce = gqa_gguf_content_produce,
                                .options = output->options};
    size_t *order = NULL;
    enum gqa_status st = list_tensors(&tensors, &order, draft);

    if (st == GQA_OK)
        st = gqa_gguf_content_create(&content, draft, output);
    if (st == GQA_OK)
        st = gqa_gguf_text_create(&file.text, draft);
    theirs.tensors = tensors;
    theirs.produce_ctx = content;
    file.weights = (struct gqa_weights){.path = output->path,
                                        .output = &theirs,
                                        .order = order,
                                        .n = draft->header.n,
                                        .progress_all = draft->data_bytes};
    summary->content_bytes = file.text.n_bytes + draft->data_bytes;
    if (st == GQA_OK)
        st = gqa_one_file_put(summary, &file.weights, &form);
    gqa_gguf_text_free(&file.text);
    gqa_gguf_content_free(content);
    free(order);
    free(tensors);
    return st;
}

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  const struct gqa_output *output)
{
    struct gqa_gguf_draft draft;
    enum gqa_status st = gqa_gguf_draft_create(&draft, output);

    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", output->path);
    else
        st = write_draft(summary, output, &draft);
    gqa_gguf_draft_clear(&draft);
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
    struct gqa_gguf_draft draft;
    enum gqa_status st = gqa_gguf_draft_create(&draft, output);

    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", output->path);
    else
        say_limits(output->path, &draft);
    gqa_gguf_draft_clear(&draft);
    return st;
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
    (void)settings;
    snprintf(out, size, "a GGUF file");
}

const struct gqa_writer gqa_writer_gguf = {
    .word = ".gguf",
    .name = "gguf",
    .label = "GGUF file",
    .form = "NAME.gguf",
    .names = (const char *const[]){"*.gguf", NULL},
    .needs_config = true,
    .takes = takes,
    .describe = describe,
    .check = gqa_one_file_check,
    .check_model = check_model,
    .write = write_file,
};
