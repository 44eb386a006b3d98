/* The form of this output is a promise: docs/inspect-json.md. */
#include <math.h>

#include "common/json.h"
#include "inspect/names.h"
#include "inspect/report.h"

enum { SCHEMA_VERSION = 1 };

/*
 * Every maker below returns a new reference, or NULL when memory is short;
 * put() and append() take over what they are given, NULL too, so that a
 * failure anywhere makes the whole NULL.
 */
static void put(json_t **object, const char *key, json_t *value)
{
    if (*object && json_object_set_new(*object, key, value) != 0) {
        json_decref(*object);
        *object = NULL;
        return;
    }
    if (!*object)
        json_decref(value);
}

static void append(json_t **array, json_t *value)
{
    if (*array && json_array_append_new(*array, value) != 0) {
        json_decref(*array);
        *array = NULL;
        return;
    }
    if (!*array)
        json_decref(value);
}

/* Names in files need not be UTF-8; JSON is. NULL gives null. */
static json_t *make_text(const char *text)
{
    return text ? gqa_json_text(text) : json_null();
}

/* jansson's integers have a sign; beyond them the value is rounded. */
static json_t *make_count(uint64_t n)
{
    return n <= INT64_MAX ? json_integer((json_int_t)n) : json_real((double)n);
}

/* JSON has neither NaN nor infinity: null stands for them. */
static json_t *make_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *make_files(const struct gqa_inspection *in)
{
    json_t *files = json_array();

    for (size_t i = 0; i < gqa_checkpoint_n_sources(in->checkpoint); i++) {
        const struct gqa_source *source =
            gqa_checkpoint_source(in->checkpoint, i);
        json_t *file = json_object();

        put(&file, "path", make_text(source->path));
        put(&file, "container",
            json_string(gqa_container_word(source->container)));
        put(&file, "file_bytes", make_count(source->file_bytes));
        put(&file, "content_bytes", make_count(source->content_bytes));
        put(&file, "n_tensors", make_count(source->n_tensors));
        append(&files, file);
    }
    return files;
}

static json_t *make_checkpoint(const struct gqa_inspection *in)
{
    json_t *checkpoint = json_object();

    put(&checkpoint, "path", make_text(gqa_checkpoint_path(in->checkpoint)));
    put(&checkpoint, "kind", make_text(gqa_checkpoint_kind(in->checkpoint)));
    put(&checkpoint, "naming",
        json_string(gqa_naming_word(gqa_checkpoint_naming(in->checkpoint))));
    put(&checkpoint, "config_path",
        make_text(gqa_checkpoint_config_path(in->checkpoint)));
    put(&checkpoint, "has_recipe", json_boolean(in->has_recipe));
    put(&checkpoint, "n_tensors",
        make_count(gqa_checkpoint_n_tensors(in->checkpoint)));
    put(&checkpoint, "tensor_bytes", make_count(in->tensor_bytes));
    put(&checkpoint, "n_unwritten", make_count(in->n_unwritten));
    put(&checkpoint, "files", make_files(in));
    return checkpoint;
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
        append(&stored, make_text(gqa_checkpoint_tensor(in->checkpoint,
                                                        param->parts[i].tensor)
                                      ->name));
    put(&object, "name", make_text(param->name));
    put(&object, "dtype", json_string(gqa_dtype_name(param->dtype)));
    put(&object, "stored_in", stored);
    return object;
}

static json_t *make_slice(const struct gqa_inspection *in,
                          const struct gqa_slice *slice, size_t bias)
{
    json_t *object = json_object();

    put(&object, "weight", make_param(in, slice->weight));
    put(&object, "bias", make_param(in, bias));
    put(&object, "axis", json_string(gqa_axis_word(slice)));
    put(&object, "n_heads", make_count(slice->n_heads));
    put(&object, "base", make_count(slice->base));
    put(&object, "per_block", make_count(slice->per_block));
    put(&object, "block_stride", make_count(slice->block_stride));
    return object;
}

static json_t *make_position(const struct gqa_position *position)
{
    json_t *object = json_object();

    put(&object, "scheme", json_string(gqa_position_word(position->scheme)));
    if (position->scheme == GQA_POSITION_ROPE) {
        put(&object, "rotary_dim", make_count(position->rotary_dim));
        put(&object, "interleaved", json_boolean(position->interleaved));
    }
    return object;
}

/* What tells attentions apart; the same in all lists of them. */
static json_t *make_attention_key(const struct gqa_attention *a)
{
    json_t *object = json_object();

    put(&object, "stack", json_string(gqa_stack_name(a->stack)));
    put(&object, "kind", json_string(gqa_attention_kind_name(a->kind)));
    put(&object, "layer", make_count(a->layer));
    return object;
}

static json_t *make_attentions(const struct gqa_inspection *in)
{
    json_t *list = json_array();

    for (size_t i = 0; i < in->model->n_attentions; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];
        json_t *object = make_attention_key(a);

        put(&object, "n_heads", make_count(a->n_heads));
        put(&object, "n_kv_heads", make_count(a->n_kv_heads));
        put(&object, "group_size", make_count(a->n_heads / a->n_kv_heads));
        put(&object, "head_dim", make_count(a->head_dim));
        put(&object, "layout", json_string(gqa_layout_word(a->layout)));
        put(&object, "position", make_position(&a->position));
        put(&object, "q", make_slice(in, &a->q, a->q.bias));
        put(&object, "k", make_slice(in, &a->k, a->k.bias));
        put(&object, "v", make_slice(in, &a->v, a->v.bias));
        put(&object, "o", make_slice(in, &a->o, in->output_bias[i]));
        append(&list, object);
    }
    return list;
}

static json_t *make_kv_bytes(const struct gqa_kv_bytes *bytes)
{
    json_t *object = json_object();

    put(&object, "self", make_count(bytes->self));
    put(&object, "cross", make_count(bytes->cross));
    return object;
}

static json_t *make_model(const struct gqa_inspection *in)
{
    const struct gqa_model *model = in->model;
    json_t *object = json_object();
    json_t *kv = json_object();

    put(&kv, "stored", make_kv_bytes(&in->kv_per_token.stored));
    put(&kv, "mha", make_kv_bytes(&in->kv_per_token.mha));
    put(&object, "family", json_string(gqa_family_name(model->family)));
    put(&object, "model_type", make_text(model->model_type));
    put(&object, "encoder_decoder",
        json_boolean(gqa_model_is_encoder_decoder(model)));
    put(&object, "n_layers", make_count(model->n_layers));
    put(&object, "n_decoder_layers", make_count(model->n_decoder_layers));
    put(&object, "d_model", make_count(model->d_model));
    put(&object, "vocab_size", make_count(model->vocab_size));
    put(&object, "n_parameters", make_count(in->n_parameters));
    put(&object, "n_grouped_attentions", make_count(in->n_grouped));
    put(&object, "kv_bytes_per_token", kv);
    put(&object, "attentions", make_attentions(in));
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

    for (size_t i = 0; i < gqa_checkpoint_n_tensors(in->checkpoint); i++) {
        const struct gqa_tensor *tensor =
            gqa_checkpoint_tensor(in->checkpoint, i);
        json_t *shape = json_array();
        json_t *object = json_object();

        for (unsigned d = 0; d < tensor->rank; d++)
            append(&shape, make_count(tensor->shape[d]));
        put(&object, "name", make_text(tensor->name));
        put(&object, "dtype", json_string(gqa_dtype_name(tensor->dtype)));
        put(&object, "shape", shape);
        put(&object, "bytes", make_count(tensor->n_bytes));
        put(&object, "file", make_text(gqa_inspection_source_of(in, i)->path));
        put(&object, "written", json_string(written_word(tensor)));
        append(&list, object);
    }
    return list;
}

static json_t *make_tensor_stats(const struct gqa_inspection *in)
{
    json_t *list = json_array();

    for (size_t i = 0; i < in->stats->n_tensors; i++) {
        const struct gqa_tensor_stats *stats = &in->stats->tensors[i];
        json_t *object = json_object();

        put(&object, "name",
            make_text(gqa_checkpoint_tensor(in->checkpoint, i)->name));
        put(&object, "n_nan",
            stats->is_float ? make_count(stats->n_nan) : json_null());
        put(&object, "n_inf",
            stats->is_float ? make_count(stats->n_inf) : json_null());
        /* Without a finite element they are infinite, and so null. */
        put(&object, "min", make_real(stats->min));
        put(&object, "max", make_real(stats->max));
        append(&list, object);
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
        append(&list, make_real(norms[i]));
    return list;
}

static json_t *make_stats(const struct gqa_inspection *in)
{
    json_t *object = json_object();
    json_t *heads = json_array();

    for (size_t i = 0; i < in->stats->n_attentions; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];
        const struct gqa_head_stats *norms = &in->stats->heads[i];
        json_t *row = make_attention_key(a);

        put(&row, "k_norms", make_norms(norms->k, a->n_kv_heads));
        put(&row, "v_norms", make_norms(norms->v, a->n_kv_heads));
        append(&heads, row);
    }
    put(&object, "tensors", make_tensor_stats(in));
    put(&object, "heads", heads);
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

        put(&row, "n_kv_heads",
            r->n_kv_heads ? make_count(r->n_kv_heads) : json_null());
        put(&row, "is_mha", json_boolean(r->is_mha));
        put(&row, "is_stored", json_boolean(r->is_stored));
        put(&row, "bytes_per_token", make_kv_bytes(&r->per_token));
        put(&row, "self_bytes", make_count(r->self_bytes));
        put(&row, "cross_bytes", make_count(r->cross_bytes));
        put(&row, "total_bytes", make_count(r->total_bytes));
        append(&rows, row);
    }
    put(&object, "context", make_count(plan->context));
    put(&object, "context_from", json_string(origins[in->context_origin]));
    put(&object, "batch", make_count(plan->batch));
    put(&object, "rows", rows);
    return object;
}

enum gqa_status gqa_report_json(FILE *out,
                                const struct gqa_inspection *inspection)
{
    const struct gqa_inspect_options *show = &inspection->show;
    json_t *root = json_object();

    put(&root, "schema_version", json_integer(SCHEMA_VERSION));
    put(&root, "checkpoint", make_checkpoint(inspection));
    put(&root, "model",
        inspection->model ? make_model(inspection) : json_null());
    if (inspection->model_unknown)
        put(&root, "model_unknown", make_text(inspection->model_unknown));
    if (show->tensors || !inspection->model)
        put(&root, "tensors", make_tensors(inspection));
    if (show->recipe)
        put(&root, "recipe", json_incref(inspection->recipe));
    if (show->kv_cache)
        put(&root, "kv_cache", make_kv_plan(inspection));
    if (show->stats)
        put(&root, "stats", make_stats(inspection));
    if (!root)
        return gqa_fail_nomem();
    json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    fputc('\n', out);
    json_decref(root);
    return GQA_OK;
}
