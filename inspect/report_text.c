/* The summary: what the checkpoint is, and a row for each attention. */
#include <inttypes.h>
#include <string.h>

#include "common/checked.h"
#include "common/memory_stream.h"
#include "common/text.h"
#include "common/units.h"
#include "inspect/json_text.h"
#include "inspect/report.h"
#include "inspect/report_tables.h"

enum { LABEL_COLUMNS = 17 };

static void put_label(FILE *out, const char *label)
{
    fprintf(out, "%-*s", LABEL_COLUMNS, label);
}

static enum gqa_status put_path(FILE *out, const char *label, const char *path)
{
    struct gqa_memory_stream memory;
    enum gqa_status st = gqa_memory_stream_open(&memory);

    if (st != GQA_OK)
        return st;
    gqa_text_put(memory.out, path);
    st = gqa_memory_stream_flush(&memory);
    put_label(out, label);
    if (st == GQA_OK)
        gqa_text_put_wrapped(out, memory.text, memory.n, LABEL_COLUMNS,
                             LABEL_COLUMNS);
    fputc('\n', out);
    gqa_memory_stream_free(&memory);
    return st;
}

static void put_size(FILE *out, uint64_t bytes)
{
    fprintf(out, "%s", gqa_units_bytes((char[GQA_UNITS_MAX]){""}, bytes));
    if (bytes >= 1024)
        fprintf(out, " (%" PRIu64 " bytes)", bytes);
}

/* Where the configuration was found, if it was. */
static enum gqa_status put_config_path(FILE *out,
                                       const struct gqa_checkpoint *checkpoint)
{
    const char *path = gqa_checkpoint_config_path(checkpoint);

    if (!path)
        return GQA_OK;
    for (size_t i = 0; i < gqa_checkpoint_n_sources(checkpoint); i++)
        if (strcmp(path, gqa_checkpoint_source(checkpoint, i)->path) == 0) {
            put_label(out, "Configuration");
            fputs("inside the file\n", out);
            return GQA_OK;
        }
    return put_path(out, "Configuration", path);
}

static enum gqa_status put_checkpoint(FILE *out,
                                      const struct gqa_inspection *in)
{
    uint64_t file_bytes = 0, content_bytes = 0;
    enum gqa_status st =
        put_path(out, "Checkpoint", gqa_checkpoint_path(in->checkpoint));

    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < gqa_checkpoint_n_sources(in->checkpoint); i++) {
        const struct gqa_source *source =
            gqa_checkpoint_source(in->checkpoint, i);

        file_bytes += source->file_bytes;
        content_bytes += source->content_bytes;
    }
    put_label(out, "Kind");
    fprintf(out, "%s, ", gqa_checkpoint_kind(in->checkpoint));
    put_size(out, file_bytes);
    if (content_bytes != file_bytes)
        fprintf(out, ", %s uncompressed",
                gqa_units_bytes((char[GQA_UNITS_MAX]){""}, content_bytes));
    fputc('\n', out);
    st = put_config_path(out, in->checkpoint);
    if (in->has_recipe) {
        put_label(out, "Recipe");
        fputs("recorded; --recipe shows it\n", out);
    }
    return st;
}

static void put_model(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_model *model = in->model;
    const char *family = gqa_family_name(model->family);

    put_label(out, "Family");
    fputs(family, out);
    if (model->model_type && strcmp(model->model_type, family) != 0) {
        fputs(", model type ", out);
        gqa_text_put(out, model->model_type);
    }
    fputc('\n', out);
    put_label(out, "Layers");
    if (gqa_model_is_encoder_decoder(model))
        fprintf(out, "%" PRIu64 " encoder, %" PRIu64 " decoder\n",
                model->n_layers, model->n_decoder_layers);
    else
        fprintf(out, "%" PRIu64 "\n", model->n_layers);
    put_label(out, "d_model");
    fprintf(out, "%" PRIu64 "\n", model->d_model);
    /* Who reads sound or pictures has none. */
    if (model->vocab_size == 0)
        return;
    put_label(out, "Vocabulary");
    fprintf(out, "%" PRIu64 "\n", model->vocab_size);
}

static void put_kv_line(FILE *out, const char *label, uint64_t stored,
                        uint64_t mha, const char *token)
{
    put_label(out, label);
    fprintf(out, "%s for each %s",
            gqa_units_bytes((char[GQA_UNITS_MAX]){""}, stored), token);
    if (stored < mha)
        fprintf(out, "; %s with all heads",
                gqa_units_bytes((char[GQA_UNITS_MAX]){""}, mha));
    fputc('\n', out);
}

static void put_totals(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_kv_per_token *kv = &in->kv_per_token;

    put_label(out, "Parameters");
    fprintf(out, "%" PRIu64 "\n", in->n_parameters);
    put_label(out, "Tensors");
    fprintf(out, "%zu, ", in->n_tensors);
    put_size(out, in->tensor_bytes);
    fputc('\n', out);
    if (in->n_transforms > 0) {
        put_label(out, "Transforms");
        fprintf(out, "%zu, ", in->n_transforms);
        put_size(out, in->transform_bytes);
        fputs(", by which weights are made again\n", out);
    }
    put_label(out, "Grouped");
    fprintf(out, "%zu of %zu attentions\n", in->n_grouped,
            in->model->n_attentions);
    if (kv->mha.self == 0 && kv->mha.cross == 0) {
        put_label(out, "KV cache");
        fputs("none, as of any encoder; grouping would save weights alone\n",
              out);
    } else if (gqa_model_is_encoder_decoder(in->model) || kv->mha.cross) {
        put_kv_line(out, "KV cache, self", kv->stored.self, kv->mha.self,
                    "generated token");
        put_kv_line(out, "KV cache, cross", kv->stored.cross, kv->mha.cross,
                    "source token");
    } else {
        put_kv_line(out, "KV cache", kv->stored.self, kv->mha.self, "token");
    }
}

/* At two bytes a value: tensors do not tell what a runtime computes in. */
static void put_said_cache(FILE *out, const struct gqa_heads_said *said,
                           const char *label, const char *token)
{
    const uint64_t bytes = 4 * said->head_dim; /* of K and V */
    uint64_t stored, all;

    if (gqa_mul_u64(bytes, said->all_kv_heads, &stored) &&
        gqa_mul_u64(bytes * said->n_layers, said->n_heads, &all))
        put_kv_line(out, label, stored, all, token);
}

static void put_said(FILE *out, const struct gqa_heads_said *said)
{
    put_label(out, "By config");
    fprintf(out, "family %s, %" PRIu64 " layers%s\n", said->family,
            said->n_layers, said->has_cross ? " in the decoder" : "");
    put_label(out, "Heads");
    fprintf(out, "%" PRIu64 ", ", said->n_heads);
    if (said->n_kv_heads)
        fprintf(out, "KV heads %" PRIu64, said->n_kv_heads);
    else
        fprintf(out, "KV heads that differ, %" PRIu64 " in all layers",
                said->all_kv_heads);
    fprintf(out, ", each of %" PRIu64 "\n", said->head_dim);
    if (!said->is_cached)
        return;
    if (!said->has_cross) {
        put_said_cache(out, said, "KV cache, 16 bit", "token");
        return;
    }
    put_said_cache(out, said, "KV cache, self", "generated token, at 16 bits");
    put_said_cache(out, said, "KV cache, cross", "source token, at 16 bits");
}

/* Of the model that it is for, not a number is here. */
static void put_adapter(FILE *out, const json_t *adapter)
{
    const char *kind = json_string_value(json_object_get(adapter, "peft_type"));
    const char *base =
        json_string_value(json_object_get(adapter, "base_model_name_or_path"));

    put_label(out, "Adapter");
    gqa_text_put(out, kind ? kind : "of PEFT");
    fputs(" for ", out);
    gqa_text_put(out, base ? base : "a model that it does not name");
    fputs(", whose heads and cache are its own\n", out);
}

static enum gqa_status put_summary(FILE *out, const struct gqa_inspection *in)
{
    enum gqa_status st = put_checkpoint(out, in);

    if (st != GQA_OK)
        return st;
    if (!in->model) {
        put_label(out, "Model");
        fputs("not understood\n", out);
        if (in->has_said)
            put_said(out, &in->said);
        if (in->adapter)
            put_adapter(out, in->adapter);
        put_label(out, "Tensors");
        fprintf(out, "%zu, ", in->n_tensors);
        put_size(out, in->tensor_bytes);
        fputs("\n\n", out);
        return gqa_report_tensors(out, in);
    }
    put_model(out, in);
    fputc('\n', out);
    if ((st = gqa_report_attentions(out, in)) != GQA_OK)
        return st;
    if (gqa_checkpoint_naming(in->checkpoint) != GQA_NAMES_TORCH)
        fputs("Names are Hugging Face's; --tensors lists those of the file.\n",
              out);
    fputc('\n', out);
    put_totals(out, in);
    return GQA_OK;
}

/* What was asked for, a blank line between one and the next. */
enum gqa_status gqa_report_text(FILE *out,
                                const struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    const char *gap = "";
    enum gqa_status st = GQA_OK;

    if (!show->tensors && !show->recipe && !show->stats && !show->kv_cache &&
        !show->similarity && !show->plan)
        return put_summary(out, inspection);
    if (show->recipe) {
        st = gqa_json_text_print(out, inspection->recipe);
        gap = "\n";
    }
    if (st == GQA_OK && show->tensors) {
        fputs(gap, out);
        st = gqa_report_tensors(out, inspection);
        gap = "\n";
    }
    if (st == GQA_OK && show->kv_cache) {
        fputs(gap, out);
        st = gqa_report_kv_plan(out, inspection);
        gap = "\n";
    }
    if (st == GQA_OK && show->stats) {
        fputs(gap, out);
        st = gqa_report_stats(out, inspection);
        gap = "\n";
    }
    if (st == GQA_OK && show->similarity) {
        fputs(gap, out);
        st = gqa_report_similarity(out, inspection);
        gap = "\n";
    }
    if (st == GQA_OK && show->plan) {
        fputs(gap, out);
        st = gqa_report_plan(out, inspection);
    }
    return st;
}
