#include "convert/adapt_config.h"

#include <string.h>

#include "formats/families/kv_words.h"

/* All layers, where a number holds for no single one. */
#define ALL UINT64_MAX

enum { MAX_DEPTH = 32 };

struct adapting {
    const struct gqa_plan *plan;
    bool changed;
};

static uint64_t n_layers(const struct gqa_model *model)
{
    return gqa_model_is_encoder_decoder(model) ? model->n_decoder_layers
                                               : model->n_layers;
}

/* Of the self-attention of a layer: the decoder's, where there are two. */
static const struct gqa_plan_attention *at_layer(const struct gqa_plan *plan,
                                                 uint64_t layer)
{
    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_attention *a = plan->attentions[i].attention;

        if (a->stack == GQA_STACK_DECODER && a->kind == GQA_ATTENTION_SELF &&
            a->layer == layer)
            return &plan->attentions[i];
    }
    return NULL;
}

static json_t *number_of(const struct gqa_plan_attention *out,
                         enum gqa_kv_word word)
{
    return json_integer(
        (json_int_t)(word == GQA_KV_HEADS
                         ? out->written
                         : out->attention->n_heads / out->written));
}

/* NULL: no number is right for all layers. */
static json_t *number_of_all(const struct gqa_plan *plan, enum gqa_kv_word word)
{
    const struct gqa_plan_attention *first = at_layer(plan, 0);

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (out->attention->stack == GQA_STACK_DECODER && first &&
            out->written != first->written)
            return NULL;
    }
    return first ? number_of(first, word) : NULL;
}

/* NULL: the value has to go. */
static json_t *adapted(const struct gqa_plan *plan, enum gqa_kv_word word,
                       const json_t *old, uint64_t layer)
{
    const struct gqa_plan_attention *out;
    json_t *list;

    if (json_is_integer(old) && layer == ALL)
        return number_of_all(plan, word);
    if (json_is_integer(old))
        return (out = at_layer(plan, layer)) ? number_of(out, word) : NULL;
    if (layer != ALL || json_array_size(old) != n_layers(plan->model))
        return NULL;
    list = json_array();
    for (size_t i = 0; i < json_array_size(old); i++) {
        const struct gqa_plan_attention *at = at_layer(plan, i);

        json_array_append_new(list, at ? number_of(at, word) : json_null());
    }
    return list;
}

static void adapt(struct adapting *a, json_t *value, uint64_t layer,
                  unsigned depth);

static void adapt_member(struct adapting *a, json_t *object, const char *key,
                         json_t *value, uint64_t layer, unsigned depth)
{
    const enum gqa_kv_word word = gqa_kv_word(key);
    json_t *now;

    if (word == GQA_KV_NOTHING ||
        !(json_is_integer(value) || json_is_array(value))) {
        adapt(a, value, layer, depth);
        return;
    }
    now = adapted(a->plan, word, value, layer);
    if (json_equal(now, value)) {
        json_decref(now);
        return;
    }
    a->changed = true;
    if (now)
        json_object_set_new(object, key, now);
    else
        json_object_del(object, key);
}

/* A list of as many objects as there are layers is one for each. */
static void adapt(struct adapting *a, json_t *value, uint64_t layer,
                  unsigned depth)
{
    const bool is_by_layer =
        layer == ALL && json_array_size(value) == n_layers(a->plan->model);
    const char *key;
    json_t *member;
    void *next;
    size_t i;

    if (depth == MAX_DEPTH)
        return;
    json_array_foreach(value, i, member)
    {
        adapt(a, member, is_by_layer ? i : layer, depth + 1);
    }
    json_object_foreach_safe(value, next, key, member)
    {
        adapt_member(a, value, key, member, layer, depth + 1);
    }
}

void gqa_adapt_config(json_t *config, const char *own,
                      const struct gqa_plan *plan, json_t *told)
{
    /* What is left out of config takes its key along. */
    json_t *before = json_copy(config);
    const char *key;
    json_t *value;

    json_object_foreach(before, key, value)
    {
        struct adapting a = {.plan = plan};

        if (own && strcmp(key, own) == 0)
            continue;
        adapt_member(&a, config, key, value, ALL, 0);
        if (told && a.changed)
            json_array_append_new(
                told,
                json_sprintf(
                    "config.json: '%s' told the KV heads of the original: %s",
                    key,
                    json_object_get(config, key)
                        ? "it says those of the output now"
                        : "it is left out, since those of the output "
                          "differ"));
    }
    json_decref(before);
}
