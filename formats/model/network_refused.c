#include "formats/model/network_refused.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/families/meaning.h"

static const char *where(const struct gqa_network_builder *b)
{
    return b->model->config_path ? b->model->config_path : "configuration";
}

/* --- What the description refuses ----------------------------------------- */

/* Of a user's description: what could be mended in it. */
static const char *say_source(char *out, size_t size,
                              const struct gqa_family *family)
{
    out[0] = '\0';
    if (family->is_own && family->refusals_inherited)
        snprintf(out, size,
                 " (%s: 'refuse', inherited by %s, whose own 'refuse' would "
                 "replace it)",
                 family->refused_at, family->file);
    else if (family->is_own)
        snprintf(out, size, " (%s: 'refuse')", family->refused_at);
    return out;
}

/* A null is nothing, and false where that is refused. */
static bool is_refused(const struct gqa_refusal *r, const json_t *value)
{
    return json_is_null(value) ? json_is_false(r->is) || json_is_null(r->is)
                               : gqa_refusal_holds(r, value);
}

bool gqa_refused_flag(char *out, size_t size, const struct gqa_family *family,
                      const json_t *config)
{
    for (size_t i = 0; i < family->n_refusals; i++) {
        const struct gqa_refusal *r = &family->refusals[i];

        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(config, *key);

            if (!json_is_boolean(value) || !is_refused(r, value))
                continue;
            snprintf(out, size, "%s is %s (%s)", *key,
                     json_is_true(value) ? "true" : "false", r->because);
            return true;
        }
    }
    return false;
}

static enum gqa_status check_refusals(const struct gqa_network_builder *b)
{
    for (size_t i = 0; i < b->family->n_refusals; i++) {
        const struct gqa_refusal *r = &b->family->refusals[i];

        if (gqa_refusal_misses(r, b->model->config)) {
            char source[1024];

            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s is not there: %s%s",
                            where(b), r->keys[0], r->because,
                            say_source(source, sizeof source, b->family));
        }
        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(b->model->config, *key);
            char text[41], source[1024];

            if (!value || !is_refused(r, value))
                continue;
            gqa_value_text(text, sizeof text, value);
            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s is %s: %s%s", where(b),
                            *key, text, r->because,
                            say_source(source, sizeof source, b->family));
        }
    }
    return GQA_OK;
}

/* --- What no key of the description reads --------------------------------- */

/* The value with which a key changes nothing; null never does. */
enum neutral {
    NEUTRAL_NULL,
    NEUTRAL_ONE,
    NEUTRAL_ONES,           /* a list of 1 for each layer */
    NEUTRAL_HEAD_DIM,       /* scores are divided by its root */
    NEUTRAL_RSQRT_HEAD_DIM, /* scores are multiplied with it */
    NEUTRAL_UNUSED,         /* what uses it is turned off by another key */
};

/* Keys that mean the same in all of transformers' models that have them. */
static const struct {
    const char *key;
    enum neutral neutral;
} known[] = {
    {"attn_logit_softcapping", NEUTRAL_NULL},
    {"final_logit_softcapping", NEUTRAL_NULL},
    {"query_pre_attn_scalar", NEUTRAL_HEAD_DIM},
    {"attention_multiplier", NEUTRAL_RSQRT_HEAD_DIM},
    {"attn_output_multiplier", NEUTRAL_ONE},
    {"embedding_multiplier", NEUTRAL_ONE},
    {"residual_multiplier", NEUTRAL_ONE},
    {"lm_head_multiplier", NEUTRAL_ONE},
    {"key_multiplier", NEUTRAL_ONE},
    {"logits_scaling", NEUTRAL_ONE},
    {"logit_scale", NEUTRAL_ONE},
    {"scale_emb", NEUTRAL_ONE},
    {"scale_depth", NEUTRAL_NULL},
    {"clip_qkv", NEUTRAL_NULL},
    {"no_rope_layers", NEUTRAL_ONES},
    {"sliding_window", NEUTRAL_UNUSED},
};

static bool all_are_one(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_number_value(json_array_get(list, i)) != 1)
            return false;
    return json_is_array(list);
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b);
}

static bool is_neutral(const struct gqa_network_builder *b,
                       enum neutral neutral, const json_t *value)
{
    const double head_dim = (double)b->model->attentions[0].head_dim;
    const double number = json_number_value(value);

    switch (neutral) {
    case NEUTRAL_ONE:
        return number == 1;
    case NEUTRAL_ONES:
        return all_are_one(value);
    case NEUTRAL_HEAD_DIM:
        return number == head_dim;
    case NEUTRAL_RSQRT_HEAD_DIM:
        return is_near(number, 1 / sqrt(head_dim));
    case NEUTRAL_UNUSED:
        return json_is_false(
            json_object_get(b->model->config, "use_sliding_window"));
    default:
        return false;
    }
}

static enum gqa_status check_unread(const struct gqa_network_builder *b)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *key = known[i].key;
        const json_t *value = json_object_get(b->model->config, key);
        char text[41];

        if (!value || json_is_null(value) ||
            is_neutral(b, known[i].neutral, value) ||
            gqa_family_reads(b->family, key))
            continue;
        gqa_value_text(text, sizeof text, value);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %s is %s, and no key of family %s reads it; if "
                        "it decides nothing, a description says so in "
                        "'config.unread'",
                        where(b), key, text, b->family->name);
    }
    return GQA_OK;
}

/* The description has a default for what is not there, and loaders stop. */
static enum gqa_status check_nulls(const struct gqa_network_builder *b)
{
    char key[GQA_MAX_NAME] = "";
    const enum gqa_status st =
        b->model->config_is_complete
            ? gqa_config_null(key, sizeof key, b->family, b->model->config)
            : GQA_OK;

    return st != GQA_OK || !*key
               ? st
               : gqa_fail(GQA_ERR_FORMAT,
                          "%s: %s is null, which loaders do not take; give it "
                          "its value, or leave it out",
                          where(b), key);
}

enum gqa_status gqa_check_refused(const struct gqa_network_builder *b)
{
    enum gqa_status st = check_refusals(b);

    if (st == GQA_OK)
        st = check_nulls(b);
    return st == GQA_OK ? check_unread(b) : st;
}

/* --- Kinds of layers ------------------------------------------------------ */

enum gqa_status gqa_check_layer_type(const struct gqa_network_builder *b,
                                     const struct gqa_attention_rule *rule,
                                     size_t layer, uint64_t window)
{
    const json_t *config = b->model->config;
    const json_t *types = json_object_get(config, "layer_types");
    const char *type = json_string_value(json_array_get(types, layer));
    const enum gqa_sliding_layers sliding =
        b->family->behaviours.sliding_layers;
    const bool is_qwen2 =
        sliding == GQA_SLIDING_QWEN2 || sliding == GQA_SLIDING_QWEN2_MOE;

    if (!type || rule->kind != GQA_ATTENTION_SELF ||
        strcmp(type, window ? "sliding_attention" : "full_attention") == 0 ||
        (!window && strcmp(type, "attention") == 0))
        return GQA_OK;
    /* transformers lets this key overrule the list. */
    if (is_qwen2 && json_object_get(config, "use_sliding_window"))
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: layer_types of layer %zu is %.40s, which family %s "
                    "does not obey; its description needs 'window' and, in "
                    "'behaviours', \"sliding_layers\": \"layer_types\"",
                    where(b), layer, type, b->family->name);
}
