/* Which keys of a configuration a description reads. */
#include <string.h>

#include "common/json.h"
#include "formats/families/description.h"

const char *const gqa_computing_parts[] = {"norm",   "embedding", "positions",
                                           "stacks", "logits",    NULL};

static bool names_key(const json_t *name, const char *key)
{
    const char *text = json_string_value(name);
    const size_t n = strlen(key);

    return text && strncmp(text, key, n) == 0 &&
           (text[n] == '\0' || text[n] == '.');
}

static bool setting_reads(const json_t *setting, const char *key)
{
    const json_t *keys = json_object_get(setting, "key");

    for (size_t i = 0; i < json_array_size(keys); i++)
        if (names_key(json_array_get(keys, i), key))
            return true;
    /* What it says for a value may be a setting again. */
    return names_key(keys, key) ||
           gqa_settings_read(json_object_get(setting, "default"), key) ||
           gqa_settings_read(json_object_get(setting, "map"), key);
}

bool gqa_settings_read(const json_t *settings, const char *key)
{
    const char *name;
    json_t *value;

    if (gqa_is_setting(settings))
        return setting_reads(settings, key);
    json_object_foreach((json_t *)(uintptr_t)settings, name, value)
    {
        if (gqa_settings_read(value, key))
            return true;
    }
    return false;
}

static bool is_text(const char *text, const char *key)
{
    return text && strcmp(text, key) == 0;
}

bool gqa_family_reads(const struct gqa_family *family, const char *key)
{
    const json_t *root = family->description->root;

    for (gqa_texts t = family->keys.unread; t && *t; t++)
        if (strcmp(*t, key) == 0)
            return true;
    for (gqa_texts part = gqa_computing_parts; *part; part++)
        if (gqa_settings_read(json_object_get(root, *part), key))
            return true;
    if (gqa_settings_read(family->keys.n_kv_heads_by.json, key) ||
        gqa_settings_read(family->keys.decides, key) ||
        is_text(family->keys.n_kv_heads_also, key) ||
        is_text(family->keys.d_ff_times, key))
        return true;
    return gqa_behaviours_read(&family->behaviours, key);
}

/* --- Refusals that are inherited ------------------------------------------ */

static bool is_listed(const json_t *names, const char *key)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (is_listed(json_array_get(names, i), key))
            return true;
    return json_is_string(names) && strcmp(json_string_value(names), key) == 0;
}

/* Is it read by a setting of the whole that `own` says, or a part of? */
static bool own_reads(const json_t *own, const json_t *whole, const char *key)
{
    const char *name;
    json_t *value;

    if (gqa_is_setting(whole))
        return is_listed(json_object_get(whole, "key"), key);
    json_object_foreach((json_t *)(uintptr_t)own, name, value)
    {
        if (own_reads(value, json_object_get(whole, name), key))
            return true;
    }
    return false;
}

static bool text_reads(const struct gqa_description *d, const json_t *own,
                       const char *key)
{
    for (gqa_texts part = gqa_computing_parts; *part; part++)
        if (own_reads(json_object_get(own, *part),
                      json_object_get(d->root, *part), key))
            return true;
    return false;
}

static bool is_lifted(const struct gqa_description *d, const json_t *of_type,
                      const json_t *keys)
{
    for (size_t i = 0; i < json_array_size(keys); i++)
        if (is_lifted(d, of_type, json_array_get(keys, i)))
            return true;
    return json_is_string(keys) &&
           (text_reads(d, d->parsed, json_string_value(keys)) ||
            text_reads(d, of_type, json_string_value(keys)));
}

enum gqa_status gqa_lift_refusals(struct gqa_description *d,
                                  const char *model_type)
{
    const json_t *list = json_object_get(d->root, "refuse");
    const json_t *types = json_object_get(d->parsed, "model_types");
    const json_t *of_type =
        model_type ? json_object_get(types, model_type) : NULL;
    json_t *kept = json_array();

    /* Lists are shared with what was read, and stay as they are. */
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);

        if (!is_lifted(d, of_type, json_object_get(item, "key")))
            json_array_append(kept, item);
    }
    json_object_set_new(d->root, "refuse", kept);
    return gqa_json_check();
}
