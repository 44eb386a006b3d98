#include "convert/describe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "convert/adapt_config.h"
#include "convert/remote_code.h"
#include "convert/stock.h"
#include "formats/families/kv_said.h"
#include "formats/families/remote_code.h"
#include "formats/model/rope_config.h"
#include "formats/model/sizes.h"
#include "formats/recorded.h"

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

bool gqa_is_repacking(const struct gqa_plan *plan)
{
    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (out->pooled != out->source || out->written != out->source ||
            gqa_plan_is_aligned(plan, out))
            return false;
    }
    for (size_t i = 0; i < plan->model->n_params; i++)
        if (plan->tensors[i].dtype != plan->model->params[i].dtype)
            return false;
    return true;
}

/* --- Configuration ------------------------------------------------------- */

/*
 * KV heads of the attentions that it speaks of (an encoder-
 * decoder's decoder): one number, or a list where layers differ; NULL where
 * the attentions of a layer differ, which no such key can say.
 */
static json_t *kv_heads(const struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;
    json_t *list = json_array();
    json_t *result = NULL;
    bool uniform = true;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const json_int_t count = (json_int_t)plan->attentions[i].written;
        const size_t n = json_array_size(list);

        if (a->stack != GQA_STACK_DECODER)
            continue;
        if (a->layer == n)
            json_array_append_new(list, json_integer(count));
        else if (json_integer_value(json_array_get(list, n - 1)) != count)
            goto done;
        uniform =
            uniform && json_integer_value(json_array_get(list, 0)) == count;
    }
    result = json_incref(uniform ? json_array_get(list, 0) : list);
done:
    json_decref(list);
    return result;
}

/* The family's key for them; NULL: it has none, and shapes alone tell. */
static const char *kv_heads_key(const struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;

    return gqa_config_key(model->config, model->family->keys.n_kv_heads);
}

/* Whether anything else than what the source's configuration says, or a
 * loader supposes without the key, must be said of KV heads. */
static bool must_say_kv_heads(const struct gqa_plan *plan)
{
    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];
        const struct gqa_attention *a = out->attention;

        if (a->stack == GQA_STACK_DECODER &&
            (out->written != out->source || out->written != a->n_heads))
            return true;
    }
    return json_object_get(plan->model->config, kv_heads_key(plan)) != NULL;
}

/* transformers 4 says torch_dtype, 5 dtype. */
static void set_dtype(json_t *config, enum gqa_dtype dtype)
{
    static const char *const keys[] = {"torch_dtype", "dtype"};
    const char *name = dtype == GQA_F16    ? "float16"
                       : dtype == GQA_BF16 ? "bfloat16"
                       : dtype == GQA_F64  ? "float64"
                                           : "float32";

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(config, keys[i]))
            json_object_set_new(config, keys[i], json_string(name));
}

static json_t *describe_divisors(const struct gqa_alignment *alignment)
{
    json_t *list = json_array();

    for (uint64_t j = 0; j < alignment->n_pairs; j++)
        json_array_append_new(list, json_real(alignment->divisors[j]));
    return list;
}

/* A module's class reads it that takes KV heads, and has to make all. */
static bool is_read_by_stock_class(const struct gqa_plan *plan)
{
    return plan->options.remote_code &&
           plan->model->family->stock_grouped != GQA_STOCK_NONE;
}

/* By words, where there is one for the number; else shapes alone tell, and no
 * folder is written. *own: the key that says it. */
static void say_kv_heads(json_t *config, const char **own,
                         const struct gqa_plan *plan)
{
    const struct gqa_family *family = plan->model->family;
    const uint64_t n_heads = gqa_model_n_heads(plan->model);
    const uint64_t n =
        is_read_by_stock_class(plan) ? n_heads : gqa_uniform_kv_heads(plan);

    if (!config || !gqa_kv_said(family) ||
        !gqa_kv_said_can(family, config, n_heads, n))
        return;
    gqa_kv_said_set(config, family, n_heads, n);
    *own = gqa_kv_said_key(family, config);
}

/* Classes that do not work it out themselves (Mistral's, Mixtral's) fail of
 * longrope where it is not said. */
static void say_head_dim(json_t *config, const struct gqa_model *model)
{
    const char *key = gqa_config_key(config, model->family->keys.head_dim);
    uint64_t n;

    if (key && !gqa_json_u64(json_object_get(config, key), &n))
        json_object_set_new(config, key,
                            integer(model->attentions[0].head_dim));
}

json_t *gqa_describe_config(const struct gqa_plan *plan,
                            const struct gqa_inventory *inventory, json_t *told)
{
    json_t *config = json_deep_copy(plan->model->config);
    /* Which holds it, where it is a part. */
    json_t *whole = gqa_model_put_config(plan->model, json_incref(config));
    const char *own = kv_heads_key(plan);

    gqa_remote_code_forget(whole);
    gqa_remote_code_forget(config);
    if (kv_heads_key(plan) && must_say_kv_heads(plan)) {
        json_t *count = kv_heads(plan);

        if (count)
            json_object_set_new(config, kv_heads_key(plan), count);
        else
            json_object_del(config, kv_heads_key(plan));
    }
    say_kv_heads(config, &own, plan);
    if (!gqa_is_repacking(plan) && !is_read_by_stock_class(plan))
        gqa_adapt_config(config, own, plan, told);
    if (plan->model->config_is_complete && plan->model->model_type)
        gqa_model_say_sizes(config, plan->model, inventory,
                            gqa_uniform_kv_heads(plan));
    if (!plan->options.keep_dtype)
        set_dtype(config, plan->options.dtype);
    if (plan->alignment && plan->alignment->divisors) {
        json_t *divisors = describe_divisors(plan->alignment);

        gqa_rope_config_divide(config, divisors);
        say_head_dim(config, plan->model);
        json_decref(divisors);
    }
    if (plan->model->config_is_complete)
        gqa_rope_config_say_older(config, plan->model->family);
    if (plan->options.remote_code)
        gqa_remote_code_describe(whole, config, plan);
    if (plan->model->within && !plan->options.keep_dtype)
        set_dtype(whole, plan->options.dtype);
    json_decref(config);
    return whole;
}

/* --- Recipe -------------------------------------------------------------- */

static json_t *describe_attention(const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;

    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o}", "stack", gqa_stack_name(a->stack),
        "kind", gqa_attention_kind_name(a->kind), "layer", integer(a->layer),
        "n_heads", integer(a->n_heads), "source_n_kv_heads",
        integer(out->source), "n_kv_heads", integer(out->pooled));
}

/* To three digits: others depend on the machine. */
static json_t *rounded(double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.2e", x);
    return json_real(strtod(text, NULL));
}

static json_t *describe_freed(const struct gqa_alignment *alignment)
{
    json_t *out = json_pack(
        "{s:o, s:o, s:o}", "n", integer(alignment->n_changed), "context",
        integer(alignment->context), "divisors", describe_divisors(alignment));

    if (!isnan(alignment->cost))
        json_object_set_new(out, "kl", rounded(alignment->cost));
    return out;
}

/* Which KV head stands at each place; null: as they stood. */
static json_t *describe_order(const struct gqa_transforms *t)
{
    json_t *out = t->heads ? json_array() : json_null();

    for (uint64_t i = 0; t->heads && i < t->source; i++)
        json_array_append_new(out, integer(t->heads[i]));
    return out;
}

/* Letters of the projections that were fitted. */
static json_t *describe_fitted(const struct gqa_transforms *t)
{
    static const char parts[] = "kvqo";
    char out[sizeof parts];
    size_t n = 0;

    for (const char *part = parts; *part; part++)
        if (gqa_transform_is_fitted(t, *part))
            out[n++] = *part;
    out[n] = '\0';
    return json_string(out);
}

/* What an aligned conversion learnt from, and what it lost by its own
 * account. */
static json_t *describe_alignment(const struct gqa_plan *plan,
                                  const struct gqa_calibration *c,
                                  const struct gqa_kept_transforms *kept)
{
    const struct gqa_learning_options *l = &c->learning;
    const bool tokens = gqa_learning_has_tokens(l);
    const char *from = l->text_path ? l->text_path : l->from ? l->from : "self";
    const bool drawn = tokens && !l->text_path && strcmp(from, "self") == 0;
    json_t *losses = json_array(), *orders = json_array();
    json_t *fitted = json_array(), *transformed = json_array();
    json_t *out =
        json_pack("{s:o}", "calibrated_on", gqa_json_text(gqa_base_name(from)));

    if (tokens) {
        json_object_set_new(out, "n_sequences",
                            integer(plan->alignment->n_sequences));
        json_object_set_new(out, "n_tokens",
                            integer(plan->alignment->n_tokens));
    }
    if (drawn)
        json_object_set_new(out, "seed", integer(l->seed));
    if (plan->alignment->divisors)
        json_object_set_new(out, "freed_pairs",
                            describe_freed(plan->alignment));
    json_object_set_new(
        out, "fitted_to_scores",
        json_boolean(tokens && !c->no_fit_scores && !plan->options.no_pooling));
    json_object_set_new(
        out, "values_fitted",
        json_boolean(tokens && !c->no_fit_values && !plan->options.no_pooling));
    json_object_set_new(out, "fitted_together",
                        json_boolean(tokens && !c->no_refit &&
                                     !c->no_fit_scores && !c->no_fit_values &&
                                     !c->no_fit_together &&
                                     !plan->options.no_pooling));
    json_object_set_new(
        out, "refitted",
        json_boolean(tokens && !c->no_refit && !plan->options.no_pooling));
    for (size_t i = 0; i < plan->alignment->n; i++) {
        const struct gqa_transforms *t = &plan->alignment->attentions[i];

        json_array_append_new(orders, describe_order(t));
        json_array_append_new(transformed, json_boolean(t->k != NULL));
        json_array_append_new(fitted, describe_fitted(t));
        json_array_append_new(
            losses, t->pooled
                        ? json_pack("[f, f]", t->keys_lost, t->values_lost)
                        : json_null());
    }
    json_object_set_new(out, "lost", losses);
    json_object_set_new(out, "orders", orders);
    json_object_set_new(out, "transformed", transformed);
    json_object_set_new(out, "fitted", fitted);
    if (kept->step > 0)
        json_object_set_new(out, "transforms",
                            json_pack("{s:o, s:s}", "step", integer(kept->step),
                                      "sha256", kept->digest));
    return out;
}

json_t *gqa_describe_recipe(const struct gqa_plan *plan,
                            const struct gqa_checkpoint *source,
                            const struct gqa_calibration *calibration,
                            const struct gqa_kept_transforms *kept,
                            json_t *budget, json_t *digests)
{
    static const char *const dtypes[] = {[GQA_F16] = "f16",
                                         [GQA_BF16] = "bf16",
                                         [GQA_F32] = "f32",
                                         [GQA_F64] = "f64"};
    const struct gqa_plan_options *o = &plan->options;
    json_t *attentions, *recipe, *old = gqa_recorded_recipe(source);

    /* How the weights were made has not changed. */
    if (old && gqa_is_repacking(plan)) {
        json_decref(budget);
        json_decref(digests);
        return old;
    }
    attentions = json_array();
    recipe = json_pack(
        "{s:s, s:o, s:s, s:s, s:b}", "tool", "gqa-convert " GQA_VERSION,
        "source", gqa_record_source(source, old), "method",
        gqa_method_name(o->method), "dtype",
        o->keep_dtype ? "keep" : dtypes[o->dtype], "expanded", (int)o->expand);

    if (o->method == GQA_METHOD_RANDOM)
        json_object_set_new(recipe, "seed", integer(o->seed));
    if (o->method == GQA_METHOD_ALIGNED && plan->alignment)
        json_object_set_new(recipe, "alignment",
                            describe_alignment(plan, calibration, kept));
    if (budget)
        json_object_set_new(recipe, "budget", budget);
    for (size_t i = 0; i < plan->model->n_attentions; i++)
        json_array_append_new(attentions,
                              describe_attention(&plan->attentions[i]));
    json_object_set_new(recipe, "attentions", attentions);
    if (digests)
        json_object_set_new(recipe, "digests", digests);
    return recipe;
}
