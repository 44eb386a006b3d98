/* The form of this output is a promise: docs/inspect-json.md. */
#include <stdlib.h>

#include "common/json.h"
#include "formats/formats.h"
#include "inspect/json_similarity.h"
#include "inspect/json_values.h"
#include "inspect/names.h"
#include "inspect/report.h"

enum { SCHEMA_VERSION = 1 };

static json_t *make_files(const struct gqa_inspection *in)
{
    json_t *files = json_array();

    for (size_t i = 0; i < gqa_checkpoint_n_sources(in->checkpoint); i++) {
        const struct gqa_source *source =
            gqa_checkpoint_source(in->checkpoint, i);
        json_t *file = json_object();

        json_object_set_new(file, "path", gqa_json_make_text(source->path));
        json_object_set_new(file, "container",
                            json_string(source->format->word));
        json_object_set_new(file, "file_bytes",
                            gqa_json_make_count(source->file_bytes));
        json_object_set_new(file, "content_bytes",
                            gqa_json_make_count(source->content_bytes));
        json_object_set_new(file, "n_tensors",
                            gqa_json_make_count(source->n_tensors));
        json_array_append_new(files, file);
    }
    return files;
}

static json_t *make_checkpoint(const struct gqa_inspection *in)
{
    json_t *checkpoint = json_object();

    json_object_set_new(
        checkpoint, "path",
        gqa_json_make_text(gqa_checkpoint_path(in->checkpoint)));
    json_object_set_new(
        checkpoint, "kind",
        gqa_json_make_text(gqa_checkpoint_kind(in->checkpoint)));
    json_object_set_new(
        checkpoint, "naming",
        json_string(gqa_naming_word(gqa_checkpoint_naming(in->checkpoint))));
    json_object_set_new(
        checkpoint, "config_path",
        gqa_json_make_text(gqa_checkpoint_config_path(in->checkpoint)));
    json_object_set_new(checkpoint, "has_recipe", json_boolean(in->has_recipe));
    json_object_set_new(checkpoint, "n_tensors",
                        gqa_json_make_count(in->n_tensors));
    json_object_set_new(checkpoint, "tensor_bytes",
                        gqa_json_make_count(in->tensor_bytes));
    json_object_set_new(checkpoint, "n_transforms",
                        gqa_json_make_count(in->n_transforms));
    json_object_set_new(checkpoint, "n_unwritten",
                        gqa_json_make_count(in->n_unwritten));
    json_object_set_new(checkpoint, "files", make_files(in));
    return checkpoint;
}

/* Parts may be of one tensor: those of heads that alternate with others'. */
static bool is_named(const struct gqa_param *param, size_t part)
{
    for (size_t i = 0; i < part; i++)
        if (param->parts[i].tensor == param->parts[part].tensor)
            return true;
    return false;
}

static json_t *make_param(const struct gqa_inspection *in, size_t index)
{
    const struct gqa_param *param;
    json_t *stored = json_array();
    json_t *object = json_object();

    if (index == GQA_NO_PARAM) {
        json_decref(stored);
        json_decref(object);
        return json_null();
    }
    param = &in->model->params[index];
    for (size_t i = 0; i < param->n_parts; i++)
        if (!is_named(param, i))
            json_array_append_new(
                stored,
                gqa_json_make_text(gqa_checkpoint_tensor(in->checkpoint,
                                                         param->parts[i].tensor)
                                       ->name));
    json_object_set_new(object, "name", gqa_json_make_text(param->name));
    json_object_set_new(object, "dtype",
                        json_string(gqa_dtype_name(param->dtype)));
    json_object_set_new(object, "stored_in", stored);
    return object;
}

static json_t *make_slice(const struct gqa_inspection *in,
                          const struct gqa_slice *slice, size_t bias)
{
    json_t *object = json_object();

    json_object_set_new(object, "weight", make_param(in, slice->weight));
    json_object_set_new(object, "bias", make_param(in, bias));
    json_object_set_new(object, "axis", json_string(gqa_axis_word(slice)));
    json_object_set_new(object, "n_heads", gqa_json_make_count(slice->n_heads));
    json_object_set_new(object, "base", gqa_json_make_count(slice->base));
    json_object_set_new(object, "per_block",
                        gqa_json_make_count(slice->per_block));
    json_object_set_new(object, "block_stride",
                        gqa_json_make_count(slice->block_stride));
    return object;
}

static json_t *make_position(const struct gqa_position *position)
{
    json_t *object = json_object();

    json_object_set_new(object, "scheme",
                        json_string(gqa_position_word(position->scheme)));
    if (position->scheme == GQA_POSITION_ROPE) {
        json_object_set_new(object, "rotary_dim",
                            gqa_json_make_count(position->rotary_dim));
        json_object_set_new(object, "interleaved",
                            json_boolean(position->interleaved));
    }
    return object;
}

static json_t *make_attentions(const struct gqa_inspection *in)
{
    json_t *list = json_array();

    for (size_t i = 0; i < in->model->n_attentions; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];
        json_t *object = gqa_json_make_attention_key(a);

        json_object_set_new(object, "n_heads", gqa_json_make_count(a->n_heads));
        json_object_set_new(object, "n_kv_heads",
                            gqa_json_make_count(a->n_kv_heads));
        json_object_set_new(object, "group_size",
                            gqa_json_make_count(a->n_heads / a->n_kv_heads));
        json_object_set_new(object, "head_dim",
                            gqa_json_make_count(a->head_dim));
        json_object_set_new(object, "layout",
                            json_string(gqa_layout_word(a->layout)));
        json_object_set_new(object, "position", make_position(&a->position));
        json_object_set_new(object, "q", make_slice(in, &a->q, a->q.bias));
        json_object_set_new(object, "k", make_slice(in, &a->k, a->k.bias));
        json_object_set_new(object, "v", make_slice(in, &a->v, a->v.bias));
        json_object_set_new(object, "o",
                            make_slice(in, &a->o, in->output_bias[i]));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *make_kv_bytes(const struct gqa_kv_bytes *bytes)
{
    json_t *object = json_object();

    json_object_set_new(object, "self", gqa_json_make_count(bytes->self));
    json_object_set_new(object, "cross", gqa_json_make_count(bytes->cross));
    return object;
}

static json_t *make_model(const struct gqa_inspection *in)
{
    const struct gqa_model *model = in->model;
    json_t *object = json_object();
    json_t *kv = json_object();

    json_object_set_new(kv, "stored", make_kv_bytes(&in->kv_per_token.stored));
    json_object_set_new(kv, "mha", make_kv_bytes(&in->kv_per_token.mha));
    json_object_set_new(object, "family",
                        json_string(gqa_family_name(model->family)));
    json_object_set_new(object, "model_type",
                        gqa_json_make_text(model->model_type));
    json_object_set_new(object, "encoder_decoder",
                        json_boolean(gqa_model_is_encoder_decoder(model)));
    json_object_set_new(object, "n_layers",
                        gqa_json_make_count(model->n_layers));
    json_object_set_new(object, "n_decoder_layers",
                        gqa_json_make_count(model->n_decoder_layers));
    json_object_set_new(object, "d_model", gqa_json_make_count(model->d_model));
    json_object_set_new(object, "vocab_size",
                        gqa_json_make_count(model->vocab_size));
    json_object_set_new(object, "n_parameters",
                        gqa_json_make_count(in->n_parameters));
    json_object_set_new(object, "n_grouped_attentions",
                        gqa_json_make_count(in->n_grouped));
    json_object_set_new(object, "kv_bytes_per_token", kv);
    json_object_set_new(object, "attentions", make_attentions(in));
    return object;
}

static const char *written_word(const struct gqa_tensor *tensor)
{
    if (tensor->n_unwritten == 0)
        return "all";
    return tensor->n_unwritten < tensor->n_parts ? "part" : "none";
}

static json_t *make_tensors(const struct gqa_inspection *in)
{
    json_t *list = json_array();

    for (size_t k = 0; k < in->n_tensors; k++) {
        const size_t i = in->tensors[k];
        const struct gqa_tensor *tensor =
            gqa_checkpoint_tensor(in->checkpoint, i);
        json_t *shape = json_array();
        json_t *object = json_object();

        for (unsigned d = 0; d < tensor->rank; d++)
            json_array_append_new(shape, gqa_json_make_count(tensor->shape[d]));
        json_object_set_new(object, "name", gqa_json_make_text(tensor->name));
        json_object_set_new(object, "dtype",
                            json_string(gqa_dtype_name(tensor->dtype)));
        json_object_set_new(object, "shape", shape);
        json_object_set_new(object, "bytes",
                            gqa_json_make_count(tensor->n_bytes));
        json_object_set_new(
            object, "file",
            gqa_json_make_text(gqa_inspection_source_of(in, i)->path));
        json_object_set_new(object, "written",
                            json_string(written_word(tensor)));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *make_tensor_stats(const struct gqa_inspection *in)
{
    json_t *list = json_array();

    for (size_t k = 0; k < in->n_tensors; k++) {
        const size_t i = in->tensors[k];
        const struct gqa_tensor_stats *stats = &in->stats->tensors[i];
        json_t *object = json_object();

        json_object_set_new(
            object, "name",
            gqa_json_make_text(gqa_checkpoint_tensor(in->checkpoint, i)->name));
        json_object_set_new(object, "n_nan",
                            stats->is_float ? gqa_json_make_count(stats->n_nan)
                                            : json_null());
        json_object_set_new(object, "n_inf",
                            stats->is_float ? gqa_json_make_count(stats->n_inf)
                                            : json_null());
        /* Without a finite element they are infinite, and so null. */
        json_object_set_new(object, "min", gqa_json_make_real(stats->min));
        json_object_set_new(object, "max", gqa_json_make_real(stats->max));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *make_norms(const double *norms, uint64_t n)
{
    json_t *list;

    if (!norms)
        return json_null();
    list = json_array();
    for (uint64_t i = 0; i < n; i++)
        json_array_append_new(list, gqa_json_make_real(norms[i]));
    return list;
}

static json_t *make_stats(const struct gqa_inspection *in)
{
    json_t *object = json_object();
    json_t *heads = json_array();

    /* Without a model there are none of attentions. */
    for (size_t i = 0; in->model && i < in->stats->n_attentions; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];
        const struct gqa_head_stats *norms = &in->stats->heads[i];
        json_t *row = gqa_json_make_attention_key(a);

        json_object_set_new(row, "k_norms",
                            make_norms(norms->k, a->n_kv_heads));
        json_object_set_new(row, "v_norms",
                            make_norms(norms->v, a->n_kv_heads));
        json_array_append_new(heads, row);
    }
    json_object_set_new(object, "tensors", make_tensor_stats(in));
    json_object_set_new(object, "heads", heads);
    return object;
}

static json_t *make_said(const struct gqa_heads_said *said)
{
    json_t *object = json_object();

    json_object_set_new(object, "family", json_string(said->family));
    json_object_set_new(object, "n_layers",
                        gqa_json_make_count(said->n_layers));
    json_object_set_new(object, "n_heads", gqa_json_make_count(said->n_heads));
    json_object_set_new(object, "n_kv_heads",
                        said->n_kv_heads ? gqa_json_make_count(said->n_kv_heads)
                                         : json_null());
    json_object_set_new(object, "n_kv_heads_of_all_layers",
                        gqa_json_make_count(said->all_kv_heads));
    json_object_set_new(object, "head_dim",
                        gqa_json_make_count(said->head_dim));
    json_object_set_new(object, "is_cached", json_boolean(said->is_cached));
    json_object_set_new(object, "has_cross_attention",
                        json_boolean(said->has_cross));
    return object;
}

static json_t *make_kv_plan(const struct gqa_inspection *in)
{
    static const char *const origins[] = {
        [GQA_CONTEXT_OPTION] = "option",
        [GQA_CONTEXT_CONFIG] = "config",
        [GQA_CONTEXT_DEFAULT] = "default",
    };
    const struct gqa_kv_plan *plan = in->kv_plan;
    json_t *object = json_object();
    json_t *rows = json_array();

    for (size_t i = 0; i < plan->n_rows; i++) {
        const struct gqa_kv_row *r = &plan->rows[i];
        json_t *row = json_object();

        json_object_set_new(row, "n_kv_heads",
                            r->n_kv_heads ? gqa_json_make_count(r->n_kv_heads)
                                          : json_null());
        json_object_set_new(row, "is_mha", json_boolean(r->is_mha));
        json_object_set_new(row, "is_stored", json_boolean(r->is_stored));
        json_object_set_new(row, "bytes_per_token",
                            make_kv_bytes(&r->per_token));
        json_object_set_new(row, "self_bytes",
                            gqa_json_make_count(r->self_bytes));
        json_object_set_new(row, "cross_bytes",
                            gqa_json_make_count(r->cross_bytes));
        json_object_set_new(row, "total_bytes",
                            gqa_json_make_count(r->total_bytes));
        json_array_append_new(rows, row);
    }
    json_object_set_new(object, "context", gqa_json_make_count(plan->context));
    json_object_set_new(object, "context_from",
                        json_string(origins[in->context_origin]));
    json_object_set_new(object, "batch", gqa_json_make_count(plan->batch));
    json_object_set_new(object, "rows", rows);
    return object;
}

enum gqa_status gqa_report_json(FILE *out,
                                const struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    json_t *root = json_object();
    char *text = NULL;
    enum gqa_status st;

    json_object_set_new(root, "schema_version", json_integer(SCHEMA_VERSION));
    json_object_set_new(root, "checkpoint", make_checkpoint(inspection));
    json_object_set_new(root, "model",
                        inspection->model ? make_model(inspection)
                                          : json_null());
    if (inspection->faults)
        json_object_set_new(root, "model_faults",
                            gqa_json_make_text(inspection->faults));
    if (inspection->model_unknown)
        json_object_set_new(root, "model_unknown",
                            gqa_json_make_text(inspection->model_unknown));
    if (inspection->adapter)
        json_object_set_new(
            root, "adapter_for",
            gqa_json_make_text(json_string_value(json_object_get(
                inspection->adapter, "base_model_name_or_path"))));
    if (inspection->has_said)
        json_object_set_new(root, "config_says", make_said(&inspection->said));
    if (show->tensors || !inspection->model)
        json_object_set_new(root, "tensors", make_tensors(inspection));
    if (show->recipe)
        json_object_set_new(root, "recipe", json_incref(inspection->recipe));
    if (show->kv_cache)
        json_object_set_new(root, "kv_cache", make_kv_plan(inspection));
    if (show->stats)
        json_object_set_new(root, "stats", make_stats(inspection));
    if (inspection->similarity)
        json_object_set_new(root, "similarity",
                            gqa_json_similarity(inspection));
    if (inspection->trade_off)
        json_object_set_new(root, "plan", gqa_json_plan(inspection));
    st = gqa_json_dump(&text, root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(root);
    if (st != GQA_OK)
        return st;
    fprintf(out, "%s\n", text);
    free(text);
    return GQA_OK;
}
