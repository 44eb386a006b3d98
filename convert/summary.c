#include "convert/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/ull.h"
#include "common/units.h"
#include "convert/stock.h"
#include "convert/tell_choice.h"
#include "convert/totals.h"
#include "formats/families/family.h"
#include "formats/families/remote_code.h"
#include "formats/folder/companions.h"
#include "formats/recorded.h"

/* Raised where a member is removed or changes its meaning. */
enum { SCHEMA_VERSION = 1 };

static void print_range(FILE *out, const struct gqa_range *range)
{
    if (range->low == range->high)
        fprintf(out, "%llu", ULL(range->low));
    else
        fprintf(out, "%llu-%llu", ULL(range->low), ULL(range->high));
}

static void print_cache(FILE *out, const char *label, uint64_t before,
                        uint64_t after)
{
    char from[GQA_UNITS_MAX], to[GQA_UNITS_MAX];

    if (before == 0)
        return;
    fprintf(out, "%-11s %s -> %s a token", label, gqa_units_bytes(from, before),
            gqa_units_bytes(to, after));
    if (after < before)
        fprintf(out, " (%.4gx less)", (double)before / (double)after);
    fprintf(out, "\n");
}

static void print_sizes(FILE *out, const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    char from[GQA_UNITS_MAX], to[GQA_UNITS_MAX], content[GQA_UNITS_MAX];

    if (o->dry_run) {
        fprintf(out, "%-11s %s -> %s of tensors (dry run: nothing written)\n",
                "size", gqa_units_bytes(from, c->source_file_bytes),
                gqa_units_bytes(to, c->content_bytes));
        return;
    }
    fprintf(out, "%-11s %s -> %s", "size",
            gqa_units_bytes(from, c->source_file_bytes),
            gqa_units_bytes(to, c->output.file_bytes));
    if (c->output.file_bytes != c->output.content_bytes)
        fprintf(out, " (%s uncompressed)",
                gqa_units_bytes(content, c->output.content_bytes));
    if (c->output.n_files > 1)
        fprintf(out, " in %zu files", c->output.n_files);
    fprintf(out, "\n%-11s %.2f s, %.2f GB/s\n", "time", c->elapsed_s,
            c->elapsed_s > 0 ? (double)c->content_bytes * 1e-9 / c->elapsed_s
                             : 0.0);
}

static const char *advice(const struct gqa_convert_options *o)
{
    switch (o->plan.method) {
    case GQA_METHOD_MEAN:
        return "Mean pooling is an initialiser: uptrain the model (the paper "
               "takes 5 % of the\npretraining compute) before you judge its "
               "quality.";
    case GQA_METHOD_FIRST:
        return "Keeping the first head of each group is a baseline: uptrain "
               "the model before you\njudge its quality.";
    case GQA_METHOD_ALIGNED:
        return "Aligned heads keep most of the model: gqa-verify --against "
               "says how much.";
    default:
        return "Keys and values are drawn afresh: the model is a baseline and "
               "must be trained.";
    }
}

/* Weights that were read, or their index. */
static bool was_read(const struct gqa_checkpoint *source, const char *name)
{
    if (strcmp(gqa_base_name(gqa_checkpoint_file(source)), name) == 0)
        return true;
    for (size_t i = 0; i < gqa_checkpoint_n_sources(source); i++)
        if (strcmp(gqa_base_name(gqa_checkpoint_source(source, i)->path),
                   name) == 0)
            return true;
    return false;
}

/* What lay beside the weights and did not come along, each with its reason. */
static void print_left_out(FILE *out, const struct gqa_conversion *c)
{
    const size_t max_named = gqa_log_level() < GQA_LOG_INFO ? 8 : SIZE_MAX;
    const struct gqa_companions *files = c->output.companions;
    size_t n = 0;

    for (size_t i = 0; files && i < files->n_left_out; i++) {
        const struct gqa_left_out *file = &files->left_out[i];

        if (!was_read(c->source, file->name) && n++ < max_named)
            fprintf(out, "%-11s %s: %s\n", n == 1 ? "left out" : "", file->name,
                    file->reason);
    }
    if (n > max_named)
        fprintf(out, "%-11s and %zu more; -v names them\n", "", n - max_named);
}

static void print_freed(FILE *out, const struct gqa_alignment *alignment)
{
    if (!alignment || !alignment->divisors)
        return;
    fprintf(out, "%-11s %llu of %llu freed, for a context of %llu",
            "RoPE pairs", ULL(alignment->n_changed), ULL(alignment->n_pairs),
            ULL(alignment->context));
    if (!isnan(alignment->cost))
        fprintf(out, "; mean KL of that alone %.2g", alignment->cost);
    fprintf(out, "\n");
}

static bool has_shared_norm(const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (model->attentions[i].shared_norm)
            return true;
    return false;
}

static void print_output(FILE *out, const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    const char *name = gqa_output_name(o);
    char first[PATH_MAX];

    gqa_output_first(first, o->writer, name, c->output.n_files);
    fprintf(out, "%-11s %s (%s", "output", first, o->writer->label);
    if (strcmp(first, name) != 0)
        fprintf(out, ", the first of %zu", c->output.n_files);
    fprintf(out, ")\n");
}

void gqa_summary_print(FILE *out, const struct gqa_conversion *c)
{
    const struct gqa_totals t = gqa_totals_of(c->plan);
    const struct gqa_convert_options *o = c->options;
    const json_t *whole = gqa_model_whole_config(c->model);
    const char *note =
        o->writer->stock ? gqa_stock_note(gqa_stock_of(c->plan)) : NULL;

    fprintf(out, "%-11s %s (%s)\n", "input", gqa_checkpoint_file(c->source),
            gqa_checkpoint_kind(c->source));
    print_output(out, c);
    fprintf(out, "%-11s %s, %zu of %zu attentions grouped by %s%s\n", "model",
            c->model->model_type ? c->model->model_type
                                 : gqa_family_name(c->model->family),
            t.n_grouped, c->model->n_attentions,
            gqa_method_name(o->plan.method),
            o->plan.expand ? ", written in multi-head shape" : "");
    fprintf(out, "%-11s ", "KV heads");
    print_range(out, &t.before);
    fprintf(out, " -> ");
    print_range(out, &t.after);
    fprintf(out, "\n");
    print_cache(out, "KV cache", t.self_before, t.self_after);
    print_cache(out, "  cross", t.cross_before, t.cross_after);
    if (c->choice)
        gqa_choice_print(out, c->plan, &o->budget, c->choice);
    print_freed(out, c->alignment);
    print_left_out(out, c);
    print_sizes(out, c);
    if (t.after.low >= t.before.high)
        return;
    fprintf(out, "\n%s\n", advice(o));
    if (c->could_align)
        fprintf(out, "--method=aligned keeps most of it without training%s\n",
                t.self_after < t.self_before || t.cross_after < t.cross_before
                    ? "; gqa-inspect --plan predicts\nhow much."
                    : ".");
    if (note)
        fprintf(out, "%s\n", note);
    if (has_shared_norm(c->model))
        fprintf(out, "Keys are normed head by head: what a pooled head is, "
                     "normed, is no mean of normed\nones, but a start.\n");
    if (o->writer->is_folder && !gqa_remote_code_class(whole) &&
        json_object_get(whole, "auto_map"))
        fprintf(
            out,
            "config.json names code of its own (auto_map), which came along "
            "as it is: see\nthat it reads the number of KV heads before you "
            "load it with trust_remote_code.\n");
}

/* --- JSON ---------------------------------------------------------------- */

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *pair(uint64_t before, uint64_t after)
{
    return json_pack("{s:o, s:o}", "before", integer(before), "after",
                     integer(after));
}

static json_t *describe_left_out(const struct gqa_conversion *c)
{
    const struct gqa_companions *files = c->output.companions;
    json_t *list = json_array();

    for (size_t i = 0; files && i < files->n_left_out; i++)
        if (!was_read(c->source, files->left_out[i].name))
            json_array_append_new(
                list, json_pack("{s:o, s:s}", "name",
                                gqa_json_text(files->left_out[i].name),
                                "reason", files->left_out[i].reason));
    return list;
}

static json_t *describe_attention(const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;

    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "stack",
                     gqa_stack_name(a->stack), "kind",
                     gqa_attention_kind_name(a->kind), "layer",
                     integer(a->layer), "n_heads", integer(a->n_heads),
                     "n_kv_heads", pair(out->source, out->pooled),
                     "n_kv_heads_written", integer(out->written));
}

enum gqa_status gqa_summary_json(char **out, const struct gqa_conversion *c)
{
    const struct gqa_totals t = gqa_totals_of(c->plan);
    const struct gqa_convert_options *o = c->options;
    json_t *attentions = json_array();
    json_t *root = json_pack(
        "{s:i, s:i, s:o, s:s, s:o, s:b}", "schema_version", SCHEMA_VERSION,
        "version", SCHEMA_VERSION, "input", gqa_json_text(o->input), "kind",
        gqa_checkpoint_kind(c->source), "output", gqa_json_text(o->output),
        "dry_run", (int)o->dry_run);
    char first[PATH_MAX];
    enum gqa_status st;

    for (size_t i = 0; i < c->model->n_attentions; i++)
        json_array_append_new(attentions,
                              describe_attention(&c->plan->attentions[i]));
    json_object_set_new(root, "output_kind", json_string(o->writer->name));
    json_object_set_new(root, "family",
                        json_string(gqa_family_name(c->model->family)));
    json_object_set_new(root, "model_type",
                        c->model->model_type ? json_string(c->model->model_type)
                                             : json_null());
    json_object_set_new(root, "method",
                        json_string(gqa_method_name(o->plan.method)));
    json_object_set_new(root, "expanded", json_boolean(o->plan.expand));
    json_object_set_new(root, "n_grouped", integer(t.n_grouped));
    json_object_set_new(root, "n_freed_pairs",
                        integer(c->alignment ? c->alignment->n_changed : 0));
    if (c->choice)
        json_object_set_new(root, "budget",
                            gqa_choice_describe(&o->budget, c->choice));
    json_object_set_new(root, "attentions", attentions);
    json_object_set_new(root, "kv_cache_bytes_per_token",
                        pair(t.self_before, t.self_after));
    json_object_set_new(root, "cross_kv_cache_bytes_per_source_token",
                        pair(t.cross_before, t.cross_after));
    json_object_set_new(root, "source_file_bytes",
                        integer(c->source_file_bytes));
    json_object_set_new(root, "n_unwritten", integer(c->n_unwritten));
    json_object_set_new(root, "tensor_bytes", integer(c->content_bytes));
    if (!o->dry_run) {
        json_object_set_new(root, "content_bytes",
                            integer(c->output.content_bytes));
        json_object_set_new(root, "file_bytes", integer(c->output.file_bytes));
        json_object_set_new(root, "n_files", integer(c->output.n_files));
        gqa_output_first(first, o->writer, o->output, c->output.n_files);
        json_object_set_new(root, "first", gqa_json_text(first));
        json_object_set_new(root, "left_out", describe_left_out(c));
        json_object_set_new(root, "n_nan", integer(c->n_nan));
        json_object_set_new(root, "n_inf", integer(c->n_inf));
        json_object_set_new(root, "elapsed_s",
                            json_real(gqa_clock_round(c->elapsed_s)));
    }
    st = gqa_json_dump(out, root, JSON_INDENT(2) | gqa_json_real_flags(root));
    json_decref(root);
    return st;
}
