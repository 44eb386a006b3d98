#include "formats/families/setting.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* --- Values -------------------------------------------------------------- */

const char *gqa_value_kind_text(enum gqa_value_kind kind)
{
    static const char *const texts[] = {
        [GQA_VALUE_ANY] = "a value",
        [GQA_VALUE_FLAG] = "true or false",
        [GQA_VALUE_POSITIVE] = "a number above 0",
        [GQA_VALUE_FROM_ZERO] = "a number from 0 on",
        [GQA_VALUE_WHOLE] = "a whole number above 0",
        [GQA_VALUE_ALIKE] = "a whole number above 0, the same in all layers",
        [GQA_VALUE_WINDOW] = "a whole number above 0",
        [GQA_VALUE_TOKEN] = "the number of a token",
        [GQA_VALUE_SHARE] = "a number in (0, 1]",
        [GQA_VALUE_DROPOUT] = "a number in [0, 1)",
        [GQA_VALUE_TEXT] = "a text",
        [GQA_VALUE_MODULE] = "the name of a module",
        [GQA_VALUE_PRESENCE] = "true, false or \"optional\"",
        [GQA_VALUE_RESIDUAL] = "\"sequential\" or \"parallel\"",
        [GQA_VALUE_STREAM] = "a number from 0 on or \"sqrt_2n_layers\"",
        [GQA_VALUE_SCORES] = "a number above 0, \"head_dim\" or \"rhead_dim\"",
        [GQA_VALUE_WIDTH] = "a number above 0 or \"sqrt_d_model\"",
        [GQA_VALUE_RWIDTH] = "a number above 0 or \"rsqrt_d_model\"",
        [GQA_VALUE_HEADS] = "a whole number above 0 or \"n_heads\"",
    };

    return texts[kind];
}

static bool is_positive(const json_t *value)
{
    const double number = json_number_value(value);

    return json_is_number(value) && isfinite(number) && number > 0;
}

static bool is_from_zero(const json_t *value)
{
    return is_positive(value) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

static bool is_word(const json_t *value, const char *word)
{
    const char *text = json_string_value(value);

    return text && strcmp(text, word) == 0;
}

static bool is_whole(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 1;
}

/* A list of the same number throughout. */
static bool is_list_of_one(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_whole(json_array_get(list, i)) ||
            !json_equal(json_array_get(list, i), json_array_get(list, 0)))
            return false;
    return json_array_size(list) > 0;
}

bool gqa_value_fits(const json_t *value, enum gqa_value_kind kind)
{
    switch (kind) {
    case GQA_VALUE_FLAG:
        return json_is_boolean(value);
    case GQA_VALUE_POSITIVE:
        return is_positive(value);
    case GQA_VALUE_FROM_ZERO:
        return is_from_zero(value);
    case GQA_VALUE_WHOLE:
    case GQA_VALUE_WINDOW:
        return is_whole(value);
    case GQA_VALUE_ALIKE:
        return is_whole(value) || is_list_of_one(value);
    case GQA_VALUE_TOKEN:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case GQA_VALUE_DROPOUT:
        return json_is_number(value) && json_number_value(value) >= 0 &&
               json_number_value(value) < 1;
    case GQA_VALUE_SHARE:
        return is_positive(value) && json_number_value(value) <= 1;
    case GQA_VALUE_TEXT:
    case GQA_VALUE_MODULE:
        return json_string_length(value) > 0;
    case GQA_VALUE_PRESENCE:
        return json_is_boolean(value) || is_word(value, "optional");
    case GQA_VALUE_RESIDUAL:
        return is_word(value, "sequential") || is_word(value, "parallel");
    case GQA_VALUE_STREAM:
        return is_from_zero(value) || is_word(value, "sqrt_2n_layers");
    case GQA_VALUE_SCORES:
        return is_positive(value) || is_word(value, "head_dim") ||
               is_word(value, "rhead_dim");
    case GQA_VALUE_WIDTH:
        return is_positive(value) || is_word(value, "sqrt_d_model");
    case GQA_VALUE_RWIDTH:
        return is_positive(value) || is_word(value, "rsqrt_d_model");
    case GQA_VALUE_HEADS:
        return is_whole(value) || is_word(value, "n_heads");
    default:
        return value != NULL;
    }
}

static void dump_text(char *out, size_t size, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
                                       gqa_json_real_flags(value));

    snprintf(out, size, "%s", text ? text : "?");
    free(text);
}

/* What maps are asked for takes no memory: without, the answer would be that
 * they do not have it. */
void gqa_value_text(char *out, size_t size, const json_t *value)
{
    if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_null(value))
        snprintf(out, size, "null");
    else if (json_is_integer(value))
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        dump_text(out, size, value);
}

/* --- Settings ------------------------------------------------------------ */

bool gqa_is_setting(const json_t *json)
{
    return json_object_get(json, "key") != NULL;
}

const json_t *gqa_config_at(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    const char *dot = strchr(key, '.');
    char outer[128];
    const json_t *inner;

    if (value || !dot || (size_t)(dot - key) >= sizeof outer)
        return value;
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - key), key);
    inner = json_object_get(config, outer);
    /* transformers 5 reads rope_scaling in its place, where that says any, but
     * for what is of a kind of layers. */
    if (strcmp(outer, "rope_parameters") == 0 && !strchr(dot + 1, '.') &&
        json_object_size(json_object_get(config, "rope_scaling")) > 0)
        return NULL;
    return gqa_config_at(inner, dot + 1);
}

/* What null stands for; NULL: nothing. Where true or false is asked it is
 * false, as in Python. */
static const json_t *null_of(const json_t *setting)
{
    const json_t *said = json_object_get(setting, "null");
    const json_t *no =
        json_object_get(json_object_get(setting, "map"), "false");

    if (said || no)
        return said ? said : no;
    return json_is_boolean(json_object_get(setting, "default")) ? json_false()
                                                                : NULL;
}

/* The first key that says something; NULL: none does. */
static const json_t *find_said(const char **key, const json_t *setting,
                               const json_t *config)
{
    const json_t *keys = json_object_get(setting, "key");
    const bool null_counts = null_of(setting) != NULL;
    const size_t n = json_is_array(keys) ? json_array_size(keys) : 1;

    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(
            json_is_array(keys) ? json_array_get(keys, i) : keys);
        const json_t *value = gqa_config_at(config, name);

        if (!value || (json_is_null(value) && !null_counts))
            continue;
        *key = name;
        return value;
    }
    return NULL;
}

/* Of true or false: what it does not have is refused. */
static bool is_flag_map(const json_t *map)
{
    return json_object_get(map, "true") || json_object_get(map, "false");
}

/* A text such as "false" is no flag, and true to Python. */
static bool is_flag_text(const json_t *value)
{
    const char *text = json_string_value(value);

    return text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
}

/* How a value is written as a key of a map: true is "true", 1 is "1". */
static const char *map_key(char *room, size_t size, const json_t *value)
{
    if (json_is_string(value))
        return json_string_value(value);
    gqa_value_text(room, size, value);
    return room;
}

/* "'gelu', 'relu'": what a map translates. */
static void list_map(char *out, size_t size, const json_t *map)
{
    const char *key;
    json_t *value;
    size_t n = 0;

    out[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const int added =
            snprintf(out + n, size - n, "%s%s", n ? ", " : "", key);

        if (added < 0 || (size_t)added >= size - n)
            return;
        n += (size_t)added;
    }
}

static enum gqa_status refuse(const struct gqa_setting *setting,
                              const char *key, const json_t *value)
{
    const json_t *map = json_object_get(setting->json, "map");
    char text[41], known[256];

    gqa_value_text(text, sizeof text, value);
    list_map(known, sizeof known, map);
    return gqa_fail(GQA_ERR_FORMAT, "configuration: %s is %s, not %s%s", key,
                    text, map ? "one of " : gqa_value_kind_text(setting->kind),
                    known);
}

/* What the setting has in place of what its keys say (NULL: they say nothing),
 * which may be a setting again; NULL: what they say holds as it is. */
static const json_t *translate(const json_t *setting, const json_t *said)
{
    const json_t *map = json_object_get(setting, "map");
    char room[64];

    if (!said || json_is_null(said))
        return said ? null_of(setting) : json_object_get(setting, "default");
    if (is_flag_text(said))
        return NULL;
    return json_object_get(map, map_key(room, sizeof room, said));
}

enum gqa_status gqa_setting_get(const json_t **out, const char **key,
                                const struct gqa_setting *setting,
                                const json_t *config)
{
    const json_t *value = setting->json;
    const char *by = NULL;

    *out = NULL;
    if (key)
        *key = NULL;
    if (gqa_is_setting(value)) {
        const json_t *said = find_said(&by, setting->json, config);

        value = translate(setting->json, said);
        /* What the description itself says was checked when it was read. */
        if (!value && said && !json_is_null(said)) {
            if (!gqa_value_fits(said, setting->kind) ||
                is_flag_map(json_object_get(setting->json, "map")))
                return refuse(setting, by, said);
            value = said;
        }
    }
    if (gqa_is_setting(value))
        return gqa_setting_get(
            out, key, &(struct gqa_setting){value, setting->kind}, config);
    if (json_is_null(value) ||
        (setting->kind == GQA_VALUE_POSITIVE && json_is_number(value) &&
         json_number_value(value) == 0))
        value = NULL;
    *out = value;
    if (key)
        *key = by;
    return GQA_OK;
}

const json_t *gqa_setting_last(const struct gqa_setting *setting,
                               const json_t *config)
{
    const json_t *last = NULL;
    const char *by;

    for (const json_t *next = setting->json; gqa_is_setting(next);
         next = translate(last, find_said(&by, last, config)))
        last = next;
    return last;
}

const char *gqa_setting_last_key(const struct gqa_setting *setting)
{
    const json_t *keys = json_object_get(setting->json, "key");
    const size_t n = json_array_size(keys);

    return json_string_value(n ? json_array_get(keys, n - 1) : keys);
}

enum gqa_status gqa_setting_number(double *out,
                                   const struct gqa_setting *setting,
                                   const json_t *config)
{
    const json_t *value;
    const enum gqa_status st = gqa_setting_get(&value, NULL, setting, config);

    if (st == GQA_OK && value)
        *out = json_number_value(value);
    return st;
}

enum gqa_status gqa_setting_count(uint64_t *out,
                                  const struct gqa_setting *setting,
                                  const json_t *config)
{
    const json_t *value;
    const enum gqa_status st = gqa_setting_get(&value, NULL, setting, config);

    if (st == GQA_OK && json_is_array(value))
        value = json_array_get(value, 0);
    if (st == GQA_OK && value)
        *out = (uint64_t)json_integer_value(value);
    return st;
}

enum gqa_status gqa_setting_flag(bool *out, const struct gqa_setting *setting,
                                 const json_t *config)
{
    const json_t *value;
    const enum gqa_status st = gqa_setting_get(&value, NULL, setting, config);

    if (st == GQA_OK && value)
        *out = json_is_true(value);
    return st;
}

enum gqa_status gqa_setting_text(const char **out,
                                 const struct gqa_setting *setting,
                                 const json_t *config)
{
    const json_t *value;
    const enum gqa_status st = gqa_setting_get(&value, NULL, setting, config);

    if (st == GQA_OK && value)
        *out = json_string_value(value);
    return st;
}

/* Text *i of a value of a setting, which may be a setting; *i counts down by
 * those that it has before. */
static const char *find_choice(const json_t *value, size_t *i)
{
    static const char *const parts[] = {"default", "null"};
    json_t *map = json_object_get(value, "map");
    const char *text;

    if (!gqa_is_setting(value)) {
        text = json_string_value(value);
        return text && (*i)-- == 0 ? text : NULL;
    }
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        if ((text = find_choice(json_object_get(value, parts[p]), i)))
            return text;
    for (void *it = json_object_iter(map); it;
         it = json_object_iter_next(map, it))
        if ((text = find_choice(json_object_iter_value(it), i)))
            return text;
    return NULL;
}

const char *gqa_setting_choice(const struct gqa_setting *setting, size_t i)
{
    return find_choice(setting->json, &i);
}
