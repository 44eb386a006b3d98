#include "formats/model/heads_said.h"

#include <stdio.h>
#include <string.h>

#include "common/checked.h"
#include "formats/families/kv_said.h"
#include "formats/families/nested.h"

/* Heads and layers of more than any model has are no numbers to go by. */
enum { MAX_COUNT = 1 << 20 };

/* 0: it does not say one, and no class has one of its own. */
static uint64_t count_of(const struct gqa_family *family, const json_t *config,
                         gqa_texts keys)
{
    uint64_t n = 0;

    if (gqa_config_count(&n, config, keys, "") != GQA_OK)
        return 0;
    if (n == 0)
        n = gqa_family_default(family, config, gqa_config_key(config, keys));
    return n <= MAX_COUNT ? n : 0;
}

/* Of a layer; 0: that is none. */
static uint64_t kv_heads_of(const struct gqa_family *family,
                            const json_t *config, uint64_t n_heads,
                            uint64_t layer)
{
    const char *key = gqa_config_key(config, family->keys.n_kv_heads);
    const json_t *value = key ? json_object_get(config, key) : NULL;
    uint64_t n;

    if (gqa_kv_said(family))
        return gqa_kv_said_count(family, config, n_heads);
    if (json_is_array(value))
        value = json_array_get(value, (size_t)layer);
    if (value && !json_is_null(value))
        return gqa_json_u64(value, &n) ? n : 0;
    n = value ? 0 : gqa_family_default(family, config, key);
    return n ? n : n_heads;
}

static bool take_kv_heads(struct gqa_heads_said *out,
                          const struct gqa_family *family, const json_t *config)
{
    for (uint64_t layer = 0; layer < out->n_layers; layer++) {
        const uint64_t n = kv_heads_of(family, config, out->n_heads, layer);

        if (n == 0 || n > out->n_heads || out->n_heads % n != 0)
            return false;
        out->n_kv_heads = layer == 0 || out->n_kv_heads == n ? n : 0;
        out->all_kv_heads += n;
    }
    return true;
}

static bool has_rule(const struct gqa_family *family, enum gqa_stack stack,
                     enum gqa_attention_kind kind)
{
    for (size_t i = 0; i < family->n_attentions; i++)
        if (family->attentions[i]->stack == stack &&
            family->attentions[i]->kind == kind)
            return true;
    return false;
}

static bool take(struct gqa_heads_said *out, const struct gqa_family *family,
                 const json_t *config)
{
    const struct gqa_config_keys *keys = &family->keys;
    const bool both = gqa_family_is_encoder_decoder(family);
    uint64_t d_model;

    memset(out, 0, sizeof *out);
    snprintf(out->family, sizeof out->family, "%s", family->name);
    out->is_cached = has_rule(family, GQA_STACK_DECODER, GQA_ATTENTION_SELF);
    out->has_cross = both;
    out->n_heads = both && keys->n_decoder_heads
                       ? count_of(family, config, keys->n_decoder_heads)
                       : 0;
    if (out->n_heads == 0)
        out->n_heads = count_of(family, config, keys->n_heads);
    out->n_layers = both && keys->n_decoder_layers
                        ? count_of(family, config, keys->n_decoder_layers)
                        : 0;
    if (out->n_layers == 0)
        out->n_layers = count_of(family, config, keys->n_layers);
    out->head_dim = count_of(family, config, keys->head_dim);
    d_model = count_of(family, config, keys->d_model);
    if (out->n_heads == 0 || out->n_layers == 0)
        return false;
    if (out->head_dim == 0 && d_model % out->n_heads == 0)
        out->head_dim = d_model / out->n_heads;
    return out->head_dim > 0 && take_kv_heads(out, family, config);
}

/* Whether the configuration has a key for KV heads that the family reads. */
static bool says_kv_heads(const struct gqa_family *family, const json_t *config)
{
    const char *key = gqa_config_key(config, family->keys.n_kv_heads);

    return key && json_object_get(config, key);
}

enum gqa_status gqa_heads_said(bool *known, struct gqa_heads_said *out,
                               const json_t *config,
                               const struct gqa_family_choice *choice)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const struct gqa_nested *nested = type ? gqa_nested_find(type) : NULL;
    const json_t *inner =
        nested ? json_object_get(config, nested->config) : NULL;

    *known = false;
    if (json_is_object(inner)) {
        config = inner;
        type = json_string_value(json_object_get(inner, "model_type"));
        type = type ? type : nested->inner_type;
    }
    for (size_t i = 0; type && i < gqa_family_count(choice); i++) {
        struct gqa_family *family;
        enum gqa_status st;

        if (!gqa_family_has_type(choice, i, type))
            continue;
        if ((st = gqa_family_load(&family, choice, i, type)) != GQA_OK)
            return st;
        /* Remote code has given one type to several architectures. */
        if (!*known || says_kv_heads(family, config))
            *known = take(out, family, config);
        gqa_family_free(family);
    }
    return GQA_OK;
}
