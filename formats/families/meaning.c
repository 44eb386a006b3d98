#include "formats/families/meaning.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/strings.h"
#include "formats/families/description.h"
#include "formats/families/kv_said.h"
#include "formats/families/kv_words.h"
#include "formats/families/remote_code.h"
#include "formats/families/silent.h"
#include "formats/model/network_config.h"
#include "formats/model/rope_said.h"

/*
 * A meaning is an object of facts, by what they are of: a setting's place in
 * the description, or a key. Each is {"key": its name for people, "value": by
 * which it is compared, "shown": what the configuration says}. One with
 * "aside" is a second spelling that another overrules, or of a key that not
 * every configuration has; it counts only where both meanings have it. One that
 * is "silent" stands for a key that is not there, and counts only where the
 * other is there. One that is "additional" may be there where it was not
 * before: who saves a model adds it. One
 * that is "refused" is null where loaders need a value.
 */
struct meaning {
    const struct gqa_family *family;
    json_t *config; /* a copy */
    const struct gqa_meaning_view *view;
    json_t *facts;
    json_t *used;       /* keys of the configuration that a fact was made of */
    json_t *silent;     /* what keys stand for where they are not there */
    json_t *generation; /* the same of generation_config.json's alone */
};

/* value: the fact's from now on; NULL: null. shown: lent; NULL: the value. */
static json_t *state(const struct meaning *m, const char *of, const char *key,
                     json_t *value, const json_t *shown)
{
    json_t *fact = json_object();

    if (!value)
        value = json_null();
    json_object_set_new(fact, "key", json_string(key));
    json_object_set(fact, "shown", shown ? (json_t *)(uintptr_t)shown : value);
    json_object_set_new(fact, "value", value);
    json_object_set_new(m->facts, of, fact);
    return fact;
}

static json_t *copy(const json_t *value)
{
    return value ? json_deep_copy(value) : NULL;
}

/* The part of a dotted key that the configuration has at its top. */
static void use_key(const struct meaning *m, const char *key)
{
    char top[GQA_MAX_NAME];

    snprintf(top, sizeof top, "%.*s", (int)strcspn(key, "."), key);
    json_object_set_new(m->used, top, json_true());
}

static bool is_used(const struct meaning *m, const char *key)
{
    return json_object_get(m->used, key) != NULL;
}

/* Whether transformers 5 wrote the configuration, or a later one. */
static bool is_of_5(const struct meaning *m)
{
    const char *version =
        json_string_value(json_object_get(m->config, "transformers_version"));

    return version && strtol(version, NULL, 10) >= 5;
}

/* What a key means that only older versions write and read; NULL: what it
 * says. Lent. */
static const json_t *said_before_5(const struct meaning *m, const char *key)
{
    const json_t *value = json_object_get(m->family->keys.overwritten, key);

    return is_of_5(m) || !json_object_get(m->config, key) ? value : NULL;
}

static bool is_unread(const struct meaning *m, const char *key)
{
    for (gqa_texts t = m->family->keys.unread; t && *t; t++)
        if (strcmp(*t, key) == 0)
            return true;
    return false;
}

static bool decides_nothing(const struct meaning *m, const char *key)
{
    return is_unread(m, key) || gqa_is_idle_key(key);
}

/* --- Settings ------------------------------------------------------------ */

/* Key i of a setting; NULL: there are no more. */
static const char *setting_key(const json_t *setting, size_t i)
{
    const json_t *keys = json_object_get(setting, "key");

    if (json_is_array(keys))
        return json_string_value(json_array_get(keys, i));
    return i == 0 ? json_string_value(keys) : NULL;
}

/* Functions have several names. */
static json_t *plain_value(const json_t *value)
{
    const char *text = json_string_value(value);
    enum gqa_activation activation;

    if (text && gqa_activation_parse(&activation, text) == GQA_OK)
        return json_integer((json_int_t)activation);
    return copy(value);
}

/* A key that is there and decides nothing beside others. */
static void state_aside(const struct meaning *m, const char *path,
                        const char *key)
{
    const json_t *said = gqa_config_at(m->config, key);
    char of[2 * GQA_MAX_NAME];

    if (!said || json_is_null(said))
        return;
    snprintf(of, sizeof of, "%s/%s", path, key);
    json_object_set_new(state(m, of, key, copy(said), NULL), "aside",
                        json_true());
}

/* Spellings behind the one that says it. */
static void state_overruled(const struct meaning *m, const json_t *setting,
                            const char *path, const char *by)
{
    bool behind = false;
    const char *key;

    for (size_t i = 0; (key = setting_key(setting, i)); i++) {
        if (behind)
            state_aside(m, path, key);
        behind = behind || (by && strcmp(key, by) == 0);
    }
}

/* The key that says null where the setting, or the model type, has a default
 * and no meaning of null; NULL: none does. Loaders put defaults for what is not
 * there alone. */
static const char *null_key(const struct meaning *m, const json_t *json)
{
    const bool has_default = json_object_get(json, "default") != NULL;
    const char *key;

    if (json_object_get(json, "null"))
        return NULL;
    for (size_t i = 0; (key = setting_key(json, i)); i++)
        if (json_is_null(gqa_config_at(m->config, key)) &&
            (has_default ||
             json_is_number(json_object_get(m->family->keys.defaults, key))))
            return key;
    return NULL;
}

static void state_setting(const struct meaning *m, const json_t *json,
                          const char *path)
{
    const struct gqa_setting setting = {json, GQA_VALUE_ANY};
    const char *first = setting_key(json, 0);
    const char *by = NULL;
    const char *key, *dot;
    const json_t *value, *before;

    /* Nothing is refused where any value will do. */
    if (gqa_setting_get(&value, &by, &setting, m->config) != GQA_OK)
        value = NULL;
    for (size_t i = 0; (key = setting_key(json, i)); i++)
        use_key(m, key);
    if ((before = said_before_5(m, first))) {
        state(m, path, first, copy(before), gqa_config_at(m->config, first));
        return;
    }
    if (!by && (key = null_key(m, json))) {
        json_object_set_new(state(m, path, key, NULL, json_null()), "refused",
                            json_true());
        return;
    }
    key = by ? by : first;
    dot = strrchr(key, '.');
    if (!by && !value)
        value = json_object_get(m->silent, key);
    state(m, path, dot ? dot + 1 : key, plain_value(value),
          by ? gqa_config_at(m->config, by) : value);
    state_overruled(m, json, path, by);
}

/* Every setting of a part of the description. */
static void state_settings(const struct meaning *m, const json_t *part,
                           const char *path)
{
    const char *key;
    json_t *value;

    /* What a description reads decides something, whatever its name. */
    if (gqa_is_setting(part) && !is_unread(m, setting_key(part, 0)))
        state_setting(m, part, path);
    json_object_foreach((json_t *)(uintptr_t)part, key, value)
    {
        char inner[2 * GQA_MAX_NAME];

        snprintf(inner, sizeof inner, "%s.%s", path, key);
        state_settings(m, value, inner);
    }
    for (size_t i = 0; i < json_array_size(part); i++)
        state_settings(m, json_array_get(part, i), path);
}

/* All that says how a model computes. */
static void state_description(const struct meaning *m)
{
    const json_t *root = m->family->description->root;
    const char *name;
    json_t *setting;

    for (gqa_texts part = gqa_computing_parts; *part; part++)
        state_settings(m, json_object_get(root, *part), *part);
    json_object_foreach((json_t *)(uintptr_t)m->family->keys.decides, name,
                        setting)
    {
        char path[2 * GQA_MAX_NAME];

        snprintf(path, sizeof path, "decides.%s", name);
        state_setting(m, setting, path);
    }
}

/*
 * transformers 5 writes that T5 v1.1 is tied, and in a key of its own that its
 * logits are not scaled, where 4 wrote that it is not tied for both.
 */
static void unite_tied(const struct meaning *m)
{
    static const char path[] = "logits.tied";
    const json_t *scale = m->family->logits.scale.json;
    const json_t *tied = m->family->logits.tied.json;
    const char *first = scale ? setting_key(scale, 0) : NULL;
    const char *second = scale ? setting_key(scale, 1) : NULL;
    const char *key = setting_key(tied, 0);
    char aside[2 * GQA_MAX_NAME];

    if (!second || !key || strcmp(second, key) != 0)
        return;
    /* One fact of the key is enough. */
    snprintf(aside, sizeof aside, "logits.scale/%s", key);
    json_object_del(m->facts, aside);
    if (json_is_false(json_object_get(m->config, first)))
        state(m, path, key, json_false(), json_object_get(m->config, key));
}

/* --- Windows ------------------------------------------------------------- */

static json_t *window_of(const struct meaning *m, size_t layer, bool *known)
{
    const struct gqa_attention_rule *rule =
        &m->family->stacks[GQA_STACK_DECODER].self;
    uint64_t window = 0;
    bool slides = false;

    /* Of layers that do not slide it is nothing, whatever it says. */
    if (gqa_layer_slides(&slides, &m->family->behaviours, m->config, layer) !=
            GQA_OK ||
        (slides &&
         gqa_setting_count(&window, &rule->window, m->config) != GQA_OK))
        *known = false;
    return slides && window > 0 ? json_integer((json_int_t)window)
                                : json_null();
}

/* As transformers 5 writes a window that no layer has. */
static bool is_zero(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) == 0;
}

/* What people are shown of windows: a number that no layer has is none. */
static json_t *shown_windows(const struct meaning *m, const char *key,
                             const json_t *windows)
{
    const json_t *said = gqa_config_at(m->config, key);

    return json_is_null(windows) && json_is_integer(said)
               ? json_sprintf("%lld, of no layer",
                              (long long)json_integer_value(said))
               : copy(windows);
}

/* Of each layer, in place of the keys that it takes to say it; one number
 * where all have the same. */
static void state_windows(const struct meaning *m)
{
    static const char path[] = "stacks.decoder.self.window";
    static const char *const keys[] = {
        "layer_types", "max_window_layers", "use_sliding_window",
        "sliding_window_pattern", "_sliding_window_pattern"};
    const bool by_layer =
        m->family->behaviours.sliding_layers != GQA_SLIDING_ALL;
    const json_t *types = json_object_get(m->config, keys[0]);
    const json_t *fact = json_object_get(m->facts, path);
    const char *key = json_string_value(json_object_get(fact, "key"));
    const json_t *said = key ? gqa_config_at(m->config, key) : NULL;
    const json_t *windows;
    json_t *list, *shown;
    bool known = true;
    bool uniform = true;

    if (!key)
        return;
    list = json_array();
    for (size_t i = 0; i < m->view->n_layers && known; i++) {
        json_array_append_new(list, window_of(m, i, &known));
        uniform = uniform &&
                  json_equal(json_array_get(list, 0), json_array_get(list, i));
    }
    known = known && (!said || json_is_null(said) || json_is_integer(said));
    if (by_layer && json_is_array(types))
        known = known && json_array_size(types) == m->view->n_layers;
    if (by_layer && !is_zero(gqa_config_at(m->config, key)))
        state_aside(m, path, key);
    /* Where they make no sense, each stands as it is. */
    for (size_t i = 0; by_layer && known && i < sizeof keys / sizeof *keys;
         i++) {
        use_key(m, keys[i]);
        state_aside(m, path, keys[i]);
    }
    if (known && m->view->n_layers > 0) {
        windows = uniform ? json_array_get(list, 0) : list;
        shown = shown_windows(m, key, windows);
        state(m, path, key, copy(windows), shown);
        json_decref(shown);
    }
    json_decref(list);
}

/* --- RoPE ---------------------------------------------------------------- */

/* What each key of a scaling stands for where it is not there. */
static json_t *silent_scaling(const struct meaning *m, const char *kind)
{
    static const char *const context = "original_max_position_embeddings";
    json_t *out = json_object();
    const json_t *length = json_object_get(m->config, context);

    if (strcmp(kind, "yarn") == 0) {
        json_object_set_new(out, "beta_fast", json_integer(32));
        json_object_set_new(out, "beta_slow", json_integer(1));
        json_object_set_new(out, "truncate", json_true());
    } else if (strcmp(kind, "llama3") != 0 && strcmp(kind, "longrope") != 0) {
        return out;
    }
    if (!length)
        length = json_object_get(m->config, "max_position_embeddings");
    if (length)
        json_object_set_new(out, context, copy(length));
    return out;
}

static void state_scaling(const struct meaning *m, const char *before,
                          const json_t *said)
{
    static const char *const elsewhere[] = {"type", "rope_type"};
    const char *kind = gqa_rope_known_kind(&m->family->positions, said);
    const char *key;
    char of[2 * GQA_MAX_NAME];
    json_t *all, *value;

    snprintf(of, sizeof of, "%s.rope_type", before);
    state(m, of, of, json_string(kind), NULL);
    all = silent_scaling(m, kind);
    json_object_update(all, (json_t *)(uintptr_t)said);
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        json_object_del(all, elsewhere[i]);
    json_object_foreach(all, key, value)
    {
        if (strcmp(kind, "default") == 0 && strcmp(key, "rope_theta") != 0 &&
            strcmp(key, "partial_rotary_factor") != 0)
            continue;
        snprintf(of, sizeof of, "%s.%.*s", before, GQA_MAX_NAME, key);
        state(m, of, of, copy(value), NULL);
    }
    json_decref(all);
}

/* rope_scaling or, as transformers 5 has it, rope_parameters; what these say of
 * kinds of layers counts in models whose layers differ. Base and share are
 * settings. */
static json_t *find_scaling(const struct meaning *m)
{
    static const char *const settings[] = {"rope_theta",
                                           "partial_rotary_factor"};
    json_t *said = m->family->positions.local_theta.json
                       ? gqa_rope_said_of(m->config, "full_attention")
                       : json_deep_copy(gqa_rope_said(m->config));

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        json_object_del(said, settings[i]);
    return said;
}

/* No loader takes it. */
static void state_no_object(const struct meaning *m, const char *key)
{
    const json_t *said = json_object_get(m->config, key);

    if (said && !json_is_null(said) && !json_is_object(said))
        state(m, key, key, copy(said), NULL);
}

static void state_rope(const struct meaning *m)
{
    static const char name[] = "rope_scaling";
    static const char newer[] = "rope_parameters";
    json_t *flat = json_object();
    json_t *said, *value;
    const char *key;

    if (m->family->positions.scheme == GQA_POSITION_ROPE) {
        said = find_scaling(m);
        json_object_foreach(said, key, value)
        {
            char inner[2 * GQA_MAX_NAME];

            snprintf(inner, sizeof inner, "%s.%.*s", name, GQA_MAX_NAME, key);
            if (json_is_object(value))
                state_scaling(m, inner, value);
            else
                json_object_set(flat, key, value);
        }
        state_scaling(m, name, flat);
        json_decref(said);
        state_no_object(m, name);
        state_no_object(m, newer);
        use_key(m, name);
        use_key(m, newer);
        use_key(m, "original_max_position_embeddings");
    }
    json_decref(flat);
}

/* --- Sizes --------------------------------------------------------------- */

/* The number of KV heads where layers differ is a list. */
static json_t *plain_count(const json_t *value)
{
    const json_t *first = json_array_get(value, 0);

    for (size_t i = 1; i < json_array_size(value); i++)
        if (!json_equal(first, json_array_get(value, i)))
            return copy(value);
    return copy(first ? first : value);
}

/* A size under whichever of its keys is there; otherwise: what it is where
 * none is, the fact's from now on, or NULL. */
static void state_size(const struct meaning *m, gqa_texts keys,
                       json_t *otherwise)
{
    const char *key = gqa_config_key(m->config, keys);
    const json_t *value = key ? json_object_get(m->config, key) : NULL;

    if (key && (!value || json_is_null(value)))
        value = json_object_get(m->silent, key);
    if (key && value && !json_is_null(value))
        state(m, keys[0], key, plain_count(value), value);
    else if (key && otherwise)
        state(m, keys[0], key, json_incref(otherwise), NULL);
    json_decref(otherwise);
    for (; keys && *keys; keys++)
        use_key(m, *keys);
}

static const json_t *size_of(const struct meaning *m, gqa_texts keys)
{
    return keys ? json_object_get(json_object_get(m->facts, keys[0]), "value")
                : NULL;
}

static json_t *even_share(const json_t *width, const json_t *n_heads)
{
    const json_int_t n = json_integer_value(n_heads);
    const json_int_t all = json_integer_value(width);

    return n > 0 && all > 0 ? json_integer(all / n) : NULL;
}

/* Of a setting of KV heads the keys that say it; those that lead to them stand
 * for more. */
static void use_kv_keys(const struct meaning *m, const json_t *setting)
{
    static const char *const inner[] = {"default", "null"};
    bool leads = false;
    const char *word;
    json_t *value;

    if (!gqa_is_setting(setting))
        return;
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        value = json_object_get(setting, inner[i]);
        leads = leads || gqa_is_setting(value);
        use_kv_keys(m, value);
    }
    json_object_foreach(json_object_get(setting, "map"), word, value)
    {
        leads = leads || gqa_is_setting(value);
        use_kv_keys(m, value);
    }
    if (!leads)
        use_key(m, setting_key(setting, 0));
}

/* By words; of a value that makes no sense nothing is known. */
static void state_kv_said(const struct meaning *m)
{
    const struct gqa_config_keys *k = &m->family->keys;
    const json_int_t n_heads = json_integer_value(size_of(m, k->n_heads));
    const char *key;
    uint64_t n;

    if (!gqa_kv_said(m->family))
        return;
    key = gqa_kv_said_key(m->family, m->config);
    n = gqa_kv_said_count(m->family, m->config,
                          n_heads > 0 ? (uint64_t)n_heads : 0);
    if (m->view->kv_heads)
        state(m, "n_kv_heads_by", key,
              n ? json_integer((json_int_t)n)
                : copy(json_object_get(m->config, key)),
              json_object_get(m->config, key));
    use_kv_keys(m, k->n_kv_heads_by.json);
}

/* Where the key says nothing it is so many times the stream's width. */
static void state_feed_forward(const struct meaning *m)
{
    const struct gqa_config_keys *k = &m->family->keys;
    const json_int_t d_model = json_integer_value(size_of(m, k->d_model));
    const bool sane = k->d_ff_per_d_model && d_model > 0 &&
                      (uint64_t)d_model <= GQA_MAX_CONFIG_COUNT;

    if (k->d_ff_per_d_model)
        state_size(m, k->d_ff,
                   sane
                       ? json_integer(d_model * (json_int_t)k->d_ff_per_d_model)
                       : NULL);
}

static void state_sizes(const struct meaning *m)
{
    const struct gqa_config_keys *k = &m->family->keys;
    gqa_texts kv = k->n_kv_heads;

    state_size(m, k->d_model, NULL);
    state_size(m, k->n_layers, NULL);
    state_size(m, k->n_decoder_layers, copy(size_of(m, k->n_layers)));
    state_size(m, k->vocab_size, NULL);
    state_size(m, k->n_heads, NULL);
    state_size(m, k->head_dim,
               even_share(size_of(m, k->d_model), size_of(m, k->n_heads)));
    state_feed_forward(m);
    if (m->view->kv_heads)
        state_size(m, kv, copy(size_of(m, k->n_heads)));
    for (; kv && *kv; kv++)
        use_key(m, *kv);
    state_kv_said(m);
}

/* --- All other keys ------------------------------------------------------ */

/* A list of one token is that token. */
static const json_t *plain_token(const char *key, const json_t *value)
{
    return gqa_ends_with(key, "_token_id") && json_array_size(value) == 1
               ? json_array_get(value, 0)
               : value;
}

/* Classes were spelt with other capitals before: LLaMAForCausalLM. */
static json_t *plain_classes(const json_t *value)
{
    json_t *out = json_array();
    const json_t *class;
    size_t i;

    json_array_foreach(value, i, class)
    {
        const char *name = json_string_value(class);
        char lower[GQA_MAX_NAME];
        size_t n = 0;

        for (; name && name[n] && n + 1 < sizeof lower; n++)
            lower[n] = (char)tolower((unsigned char)name[n]);
        lower[n] = '\0';
        json_array_append_new(out, name && !name[n] ? json_string(lower)
                                                    : copy(class));
    }
    return out;
}

static json_t *plain_key(const struct meaning *m, const char *key,
                         const json_t *value)
{
    if (strcmp(key, "architectures") == 0 && json_is_array(value))
        return plain_classes(value);
    value = plain_token(key, value);
    return m->view->kv_heads ? copy(value) : gqa_kv_words_hide(key, value);
}

/* Of a key that decides nothing, whatever the number is, that it is one:
 * loaders compute with it, and fail with anything else. */
static void state_kind(const struct meaning *m, const char *key,
                       const json_t *value)
{
    const char *kind = json_is_number(value)    ? "a number"
                       : json_is_boolean(value) ? "a flag"
                                                : "neither";

    if (!m->view->network_alone)
        json_object_set_new(state(m, key, key, json_string(kind), value),
                            "aside", json_true());
}

static void state_key(const struct meaning *m, const char *key,
                      const json_t *value, bool silent)
{
    json_t *fact;

    if (is_used(m, key))
        return;
    if (decides_nothing(m, key)) {
        state_kind(m, key, value);
        return;
    }
    fact = state(m, key, key, plain_key(m, key, value), value);
    json_object_set_new(fact, "silent", json_boolean(silent));
    if (m->view->network_alone)
        json_object_set_new(fact, "aside", json_true());
    json_object_set_new(fact, "additional",
                        json_boolean(strcmp(key, "architectures") == 0));
}

/* transformers 4 leaves null behind where it takes a key of generation into a
 * file of its own; in a folder without that file it is null. */
static bool is_moved(const struct meaning *m, const char *key)
{
    return !m->view->no_generation &&
           json_is_null(json_object_get(m->config, key)) &&
           json_object_get(m->generation, key);
}

static void state_others(const struct meaning *m)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)m->config, key, value)
    {
        if (!is_moved(m, key))
            state_key(m, key, value, false);
    }
    if (m->view->network_alone)
        return;
    json_object_foreach(m->silent, key, value)
    {
        if (m->view->tokens_said && gqa_ends_with(key, "_token_id"))
            continue;
        if (!json_object_get(m->config, key) || is_moved(m, key))
            state_key(m, key, value, true);
    }
}

/* Of a class whose head has a row for each label, how many there are. */
static void state_labels(const struct meaning *m)
{
    static const char *const heads[] = {"Classification", "QuestionAnswering"};
    const char *class = json_string_value(
        json_array_get(json_object_get(m->config, "architectures"), 0));
    const json_t *names = json_object_get(m->config, "id2label");
    const json_t *n = json_object_get(m->config, "num_labels");
    bool has_head = false;

    for (size_t i = 0; class && i < sizeof heads / sizeof *heads; i++)
        has_head = has_head || strstr(class, heads[i]);
    if (!has_head || m->view->network_alone)
        return;
    if (json_is_object(names))
        state(m, "labels", "id2label",
              json_integer((json_int_t)json_object_size(names)), NULL);
    else
        state(m, "labels", "num_labels", n ? copy(n) : json_integer(2), NULL);
}

/*
 * A model that refuses a value is known with the other one, or the one that
 * it wants, and so it is where its configuration does not have the key.
 */
static void add_wanted(json_t *out, const struct gqa_family *family)
{
    for (size_t i = 0; i < family->n_refusals; i++) {
        const struct gqa_refusal *r = &family->refusals[i];
        const char *key = r->keys[0];

        if (r->absent || r->keys[1] || strchr(key, '.'))
            continue;
        if (r->is_not)
            json_object_set(out, key, (json_t *)(uintptr_t)r->is_not);
        else if (json_is_boolean(r->is))
            json_object_set_new(out, key, json_boolean(json_is_false(r->is)));
    }
}

static void add_said(json_t *out, const json_t *file, const json_t *generation)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)file, key, value)
    {
        if (json_object_get(generation, key))
            json_object_set(out, key, value);
    }
}

/* generation_config.json's over the family's over those of all. */
static json_t *all_silent(const struct meaning *m)
{
    json_t *out = json_copy(m->generation);
    json_t *all = gqa_silent_common();
    const char *key;
    json_t *value;

    json_object_update(out, all);
    json_decref(all);
    add_wanted(out, m->family);
    json_object_foreach((json_t *)(uintptr_t)m->family->keys.defaults, key,
                        value)
    {
        const struct gqa_setting setting = {value, GQA_VALUE_ANY};
        const json_t *taken;

        if (gqa_setting_get(&taken, NULL, &setting, m->config) == GQA_OK &&
            taken)
            json_object_set(out, key, (json_t *)(uintptr_t)taken);
    }
    add_said(out, m->view->generation, m->generation);
    return out;
}

static void begin(struct meaning *m, const struct gqa_family *family,
                  const json_t *config, const struct gqa_meaning_view *view)
{
    *m = (struct meaning){.family = family,
                          .config = json_deep_copy(config),
                          .view = view,
                          .facts = json_object(),
                          .used = json_object()};
    /* How it is loaded changes nothing of what it is. */
    gqa_remote_code_forget(m->config);
    m->generation = gqa_silent_generation();
    m->silent = all_silent(m);
}

static enum gqa_status end(json_t **out, struct meaning *m)
{
    json_decref(m->generation);
    json_decref(m->silent);
    json_decref(m->used);
    json_decref(m->config);
    *out = m->facts;
    return m->facts ? gqa_json_check() : gqa_fail_nomem();
}

enum gqa_status gqa_meaning_create(json_t **out,
                                   const struct gqa_family *family,
                                   const json_t *config,
                                   const struct gqa_meaning_view *view)
{
    struct meaning m;

    begin(&m, family, config, view);
    state_description(&m);
    unite_tied(&m);
    state_windows(&m);
    state_rope(&m);
    state_sizes(&m);
    state_labels(&m);
    state_others(&m);
    return end(out, &m);
}

/* --- Beside a language model ----------------------------------------------
 */

/* As transformers 4 has it: 5 says the base within rope_parameters, and calls
 * some towers by another model type. */
static void spell_part(json_t *part)
{
    static const char *const tower = "_vision";
    json_t *rope = json_object_get(part, "rope_parameters");
    const char *type = json_string_value(json_object_get(part, "model_type"));
    const char *kind = json_string_value(json_object_get(rope, "rope_type"));

    if (type && gqa_ends_with(type, tower))
        json_object_set_new(part, "model_type",
                            json_stringn(type, strlen(type) - strlen(tower)));
    if (!rope)
        return;
    if (json_object_get(rope, "rope_theta"))
        json_object_set(part, "rope_theta",
                        json_object_get(rope, "rope_theta"));
    json_object_del(rope, "rope_theta");
    if (kind && strcmp(kind, "default") == 0)
        json_object_del(rope, "rope_type");
    json_object_set(part, "rope_scaling", rope);
    json_object_del(part, "rope_parameters");
}

/* What an object of the whole says of another part, key by key: who saves a
 * model adds to it what its keys stand for. */
static void state_part(const struct meaning *m, const char *name, json_t *part)
{
    const char *key;
    json_t *value;

    spell_part(part);
    json_object_foreach(part, key, value)
    {
        char of[2 * GQA_MAX_NAME];
        json_t *fact;

        if (decides_nothing(m, key))
            continue;
        snprintf(of, sizeof of, "%.*s.%.*s", GQA_MAX_NAME / 2, name,
                 GQA_MAX_NAME, key);
        fact = state(m, of, of, copy(plain_token(key, value)), value);
        json_object_set_new(fact, "additional", json_true());
    }
}

/* The language model has keys of the same names. */
static void rename_facts(const struct meaning *m, const char *inner)
{
    const char *of;
    json_t *fact;

    json_object_foreach(m->facts, of, fact)
    {
        json_object_set_new(fact, "key",
                            json_sprintf("%s beside %s", of, inner));
    }
}

/* The configuration of another part of the model. */
static bool is_part(const char *key, const json_t *value)
{
    return json_is_object(value) && strcmp(key, "quantization_config") != 0 &&
           (gqa_ends_with(key, "_config") || strcmp(key, "encoder") == 0);
}

/* By the language model's own key, or what its class takes without. */
static bool is_tied_inside(const struct gqa_family *family, const json_t *inner)
{
    const json_t *value = NULL;

    return family ? gqa_setting_get(&value, NULL, &family->logits.tied,
                                    inner) == GQA_OK &&
                        json_is_true(value)
                  : json_is_true(json_object_get(inner, "tie_word_embeddings"));
}

/* Takes what is said of the language model and of other parts out of it. */
static void take_parts(const struct meaning *m, const struct gqa_nested *nested,
                       const struct gqa_family *inner)
{
    static const char tied[] = "tie_word_embeddings";
    json_t *whole = m->config;
    json_t *parts = json_object();
    const char *key;
    json_t *value;
    void *next;

    /* transformers 5 writes outside what it finds inside. */
    if (nested->tied == GQA_TIED_EITHER_IN_5 &&
        is_tied_inside(inner, json_object_get(whole, nested->config)))
        json_object_set_new(whole, tied, json_true());
    json_object_del(whole, nested->config);
    /* SmolVLM's, which transformers 5 calls so. */
    if (!json_object_get(whole, "pad_token_id"))
        json_object_set(whole, "pad_token_id",
                        json_object_get(whole, "_pad_token_id"));
    json_object_del(whole, "_pad_token_id");
    if (nested->tied == GQA_TIED_INSIDE)
        json_object_del(whole, tied);
    json_object_foreach_safe(whole, next, key, value)
    {
        if (!is_part(key, value))
            continue;
        json_object_set(parts, key, value);
        json_object_del(whole, key);
    }
    state_others(m);
    rename_facts(m, nested->config);
    json_object_foreach(parts, key, value)
    {
        state_part(m, key, value);
    }
    json_decref(parts);
}

enum gqa_status gqa_meaning_beside(json_t **out,
                                   const struct gqa_nested *nested,
                                   const json_t *whole,
                                   const struct gqa_meaning_view *view)
{
    json_t *defaults = nested->silent ? gqa_json_own(nested->silent) : NULL;
    const struct gqa_family none = {.keys.defaults = defaults};
    struct meaning m;
    enum gqa_status st;

    begin(&m, &none, whole, view);
    take_parts(&m, nested, view->inner);
    st = end(out, &m);
    json_decref(defaults);
    return st;
}

const char *gqa_meaning_refused(const json_t *meaning)
{
    const char *of;
    json_t *fact;

    json_object_foreach((json_t *)(uintptr_t)meaning, of, fact)
    {
        if (json_object_get(fact, "refused"))
            return json_string_value(json_object_get(fact, "key"));
    }
    return NULL;
}

enum gqa_status gqa_config_null(char *room, size_t size,
                                const struct gqa_family *family,
                                const json_t *config)
{
    const struct gqa_meaning_view view = {.network_alone = true};
    json_t *meaning = NULL;
    const enum gqa_status st =
        gqa_meaning_create(&meaning, family, config, &view);
    const char *key = st == GQA_OK ? gqa_meaning_refused(meaning) : NULL;

    snprintf(room, size, "%s", key ? key : "");
    json_decref(meaning);
    return st;
}

void gqa_meaning_state(json_t *meaning, const char *key, const json_t *value)
{
    const struct meaning m = {.facts = meaning};

    state(&m, key, key, copy(plain_token(key, value)), value);
}
