#include "convert/summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/ull.h"
#include "common/units.h"
#include "formats/families/family.h"

/* Raised where a member is removed or changes its meaning. */
enum { SCHEMA_VERSION = 1 };

/* Smallest and largest of a count over the attentions that are grouped. */
struct range {
    uint64_t low, high;
};

/* The attentions that a line of the summary speaks of. */
struct totals {
    size_t n_grouped; /* K and V changed */
    struct range before, after;
    /* KV-cache: bytes a token takes in the caches of decoder self-attention,
     * and bytes a source token takes in those of cross-attention. */
    uint64_t self_before, self_after, cross_before, cross_after;
};

static void widen(struct range *range, uint64_t value)
{
    if (range->low == 0 || value < range->low)
        range->low = value;
    if (value > range->high)
        range->high = value;
}

static struct totals count(const struct gqa_plan *plan)
{
    struct totals t = {0};

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];
        const struct gqa_attention *a = out->attention;
        const struct gqa_plan_tensor *k = &plan->tensors[a->k.weight];
        const uint64_t before =
            2 * a->head_dim * gqa_dtype_bits(k->param->dtype) / 8;
        const uint64_t after = 2 * a->head_dim * gqa_dtype_bits(k->dtype) / 8;

        if (out->selected) {
            t.n_grouped++;
            widen(&t.before, out->source);
            widen(&t.after, out->pooled);
        }
        if (a->stack != GQA_STACK_DECODER)
            continue;
        if (a->kind == GQA_ATTENTION_SELF) {
            t.self_before += out->source * before;
            t.self_after += out->written * after;
        } else {
            t.cross_before += out->source * before;
            t.cross_after += out->written * after;
        }
    }
    return t;
}

static void print_range(const struct range *range)
{
    if (range->low == range->high)
        printf("%llu", ULL(range->low));
    else
        printf("%llu-%llu", ULL(range->low), ULL(range->high));
}

static void print_cache(const char *label, uint64_t before, uint64_t after)
{
    char from[GQA_UNITS_MAX], to[GQA_UNITS_MAX];

    if (before == 0)
        return;
    printf("%-11s %s -> %s a token", label, gqa_units_bytes(from, before),
           gqa_units_bytes(to, after));
    if (after < before)
        printf(" (%.4gx less)", (double)before / (double)after);
    printf("\n");
}

static void print_sizes(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;
    char from[GQA_UNITS_MAX], to[GQA_UNITS_MAX], content[GQA_UNITS_MAX];

    if (o->dry_run) {
        printf("%-11s %s -> %s of tensors (dry run: nothing written)\n", "size",
               gqa_units_bytes(from, c->source_file_bytes),
               gqa_units_bytes(to, c->content_bytes));
        return;
    }
    printf("%-11s %s -> %s", "size",
           gqa_units_bytes(from, c->source_file_bytes),
           gqa_units_bytes(to, c->output.file_bytes));
    if (c->output.file_bytes != c->output.content_bytes)
        printf(" (%s uncompressed)",
               gqa_units_bytes(content, c->output.content_bytes));
    if (c->output.n_files > 1)
        printf(" in %zu files", c->output.n_files);
    printf("\n%-11s %.2f s, %.2f GB/s\n", "time", c->elapsed_s,
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

/* As many KV heads in each attention of the decoder. */
static bool is_uniform(const struct gqa_plan *plan)
{
    uint64_t first = 0;

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (out->attention->stack != GQA_STACK_DECODER)
            continue;
        if (first && out->written != first)
            return false;
        first = out->written;
    }
    return true;
}

/* What a stock loader would not make of the output, or NULL. */
static const char *stock_note(const struct gqa_conversion *c)
{
    const struct gqa_convert_options *o = c->options;

    if (!o->writer->stock || o->plan.expand)
        return NULL;
    if (c->model->family->stock_grouped == GQA_STOCK_NONE)
        return "Stock transformers has no grouped attention for this family: "
               "--expand writes a\nmodel that it loads.";
    return is_uniform(c->plan)
               ? NULL
               : "Stock transformers takes one number of KV heads for all "
                 "layers: --expand writes a\nmodel that it loads.";
}

void gqa_summary_print(const struct gqa_conversion *c)
{
    const struct totals t = count(c->plan);
    const struct gqa_convert_options *o = c->options;
    const char *note = stock_note(c);

    printf("%-11s %s (%s)\n", "input", gqa_checkpoint_file(c->source),
           gqa_checkpoint_kind(c->source));
    printf("%-11s %s\n", "output", o->output);
    printf("%-11s %s, %zu of %zu attentions grouped by %s%s\n", "model",
           c->model->model_type ? c->model->model_type
                                : gqa_family_name(c->model->family),
           t.n_grouped, c->model->n_attentions, gqa_method_name(o->plan.method),
           o->plan.expand ? ", written in multi-head shape" : "");
    printf("%-11s ", "KV heads");
    print_range(&t.before);
    printf(" -> ");
    print_range(&t.after);
    printf("\n");
    print_cache("KV cache", t.self_before, t.self_after);
    print_cache("  cross", t.cross_before, t.cross_after);
    print_sizes(c);
    if (t.after.low >= t.before.high)
        return;
    printf("\n%s\n", advice(o));
    if (note)
        printf("%s\n", note);
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
    const struct totals t = count(c->plan);
    const struct gqa_convert_options *o = c->options;
    json_t *attentions = json_array();
    json_t *root = json_pack(
        "{s:i, s:i, s:o, s:s, s:o, s:b}", "schema_version", SCHEMA_VERSION,
        "version", SCHEMA_VERSION, "input", gqa_json_text(o->input), "kind",
        gqa_checkpoint_kind(c->source), "output", gqa_json_text(o->output),
        "dry_run", (int)o->dry_run);
    enum gqa_status st;

    for (size_t i = 0; i < c->model->n_attentions; i++)
        json_array_append_new(attentions,
                              describe_attention(&c->plan->attentions[i]));
    json_object_set_new(root, "family",
                        json_string(gqa_family_name(c->model->family)));
    json_object_set_new(root, "model_type",
                        c->model->model_type ? json_string(c->model->model_type)
                                             : json_null());
    json_object_set_new(root, "method",
                        json_string(gqa_method_name(o->plan.method)));
    json_object_set_new(root, "expanded", json_boolean(o->plan.expand));
    json_object_set_new(root, "n_grouped", integer(t.n_grouped));
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
        json_object_set_new(root, "n_nan", integer(c->n_nan));
        json_object_set_new(root, "n_inf", integer(c->n_inf));
        json_object_set_new(root, "elapsed_s",
                            json_real(gqa_clock_round(c->elapsed_s)));
    }
    st = gqa_json_dump(out, root, JSON_INDENT(2) | gqa_json_real_flags(root));
    json_decref(root);
    return st;
}
