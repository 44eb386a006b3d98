/* The configuration of a KerasHub backbone, as Hugging Face's. */
#include <string.h>

#include "common/log.h"
#include "formats/families/description.h"
#include "formats/model/params.h"

/* --- Where it is ---------------------------------------------------------- */

const char *gqa_backbone_class(const json_t *backbone)
{
    const char *name =
        json_string_value(json_object_get(backbone, "class_name"));
    const char *registered = name ? strchr(name, '>') : NULL;

    return registered ? registered + 1 : name;
}

static bool is_backbone(const json_t *json)
{
    static const char end[] = "Backbone";
    const char *name = gqa_backbone_class(json);
    const size_t n = name ? strlen(name) : 0;

    return n > sizeof end - 1 &&
           strcmp(name + n - (sizeof end - 1), end) == 0 &&
           json_is_object(json_object_get(json, "config"));
}

/* Keras serialises a model's layers within its "config", in objects and
 * lists. */
static void find_backbones(const json_t **first, size_t *n, const json_t *json)
{
    const char *key;
    json_t *value;

    if (is_backbone(json)) {
        if ((*n)++ == 0)
            *first = json;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        find_backbones(first, n, value);
    }
    for (size_t i = 0; i < json_array_size(json); i++)
        find_backbones(first, n, json_array_get(json, i));
}

const json_t *gqa_config_backbone(const json_t *config, size_t *n)
{
    const json_t *first = NULL;
    size_t found = 0;

    if (json_object_get(config, "class_name"))
        find_backbones(&first, &found, config);
    if (n)
        *n = found;
    return first;
}

/* --- What it says --------------------------------------------------------- */

static const struct gqa_keras_backbone *find_named(
    const struct gqa_keras_names *names, const char *class_name)
{
    for (size_t i = 0; i < names->n_backbones; i++)
        if (strcmp(names->backbones[i].class_name, class_name) == 0)
            return &names->backbones[i];
    return NULL;
}

/* Put at key, or in the object that key names before a "."; value is taken. */
static enum gqa_status put(json_t *hf, const char *key, json_t *value)
{
    const char *dot = strchr(key, '.');
    json_t *object = hf;
    char name[64];

    if (dot && (size_t)(dot - key) < sizeof name) {
        memcpy(name, key, (size_t)(dot - key));
        name[dot - key] = '\0';
        object = json_object_get(hf, name);
        if (!json_is_object(object) &&
            json_object_set_new(hf, name, json_object()) == 0)
            object = json_object_get(hf, name);
        key = dot + 1;
    }
    return json_object_set_new(object, key, value) == 0 ? GQA_OK
                                                        : gqa_fail_nomem();
}

/* What each key's setting makes of the backbone's values. */
static enum gqa_status translate(json_t *hf, const json_t *keys,
                                 const json_t *values)
{
    const char *key;
    json_t *json;

    json_object_foreach((json_t *)(uintptr_t)keys, key, json)
    {
        const struct gqa_setting setting = {json, GQA_VALUE_ANY};
        const json_t *value;
        const char *said;
        const enum gqa_status st =
            gqa_setting_get(&value, &said, &setting, values);
        enum gqa_status put_st;

        if (st != GQA_OK)
            return st;
        /* A null that says something is written as one, be it by default. */
        if (!value && !said && !json_is_null(json_object_get(json, "default")))
            continue;
        put_st = put(hf, key, value ? json_deep_copy(value) : json_null());
        if (put_st != GQA_OK)
            return put_st;
    }
    return GQA_OK;
}

static bool speaks_of(const struct gqa_refusal *said, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        for (gqa_texts t = said[i].keys; *t; t++)
            if (strcmp(*t, key) == 0)
                return true;
    return false;
}

static bool is_read(const struct gqa_keras_names *names,
                    const struct gqa_keras_backbone *backbone, const char *key)
{
    for (gqa_texts t = names->unread; t && *t; t++)
        if (strcmp(*t, key) == 0)
            return true;
    return speaks_of(names->refusals, names->n_refusals, key) ||
           speaks_of(names->readings, names->n_readings, key) ||
           gqa_settings_read(names->config, key) ||
           gqa_settings_read(names->outer, key) ||
           gqa_settings_read(backbone->config, key) ||
           gqa_finish_reads(names->finish, key);
}

/* The key whose value it speaks of, and the value as text; NULL: of none. */
static const char *holding_key(char text[41], const struct gqa_refusal *r,
                               const json_t *values)
{
    for (gqa_texts key = r->keys; *key; key++) {
        const json_t *value = json_object_get(values, *key);

        if (!value || json_is_null(value) || !gqa_refusal_holds(r, value))
            continue;
        gqa_value_text(text, 41, value);
        return *key;
    }
    return NULL;
}

static enum gqa_status check_refusals(const struct gqa_keras_names *names,
                                      const json_t *values)
{
    char text[41];

    for (size_t i = 0; i < names->n_refusals; i++) {
        const struct gqa_refusal *r = &names->refusals[i];
        const char *key = holding_key(text, r, values);

        if (key)
            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s is %s: %s", key, text,
                            r->because);
    }
    return GQA_OK;
}

static void tell_readings(const struct gqa_keras_names *names,
                          const json_t *values)
{
    char text[41];

    for (size_t i = 0; i < names->n_readings; i++) {
        const struct gqa_refusal *r = &names->readings[i];
        const char *key = holding_key(text, r, values);

        if (key)
            gqa_warn("%s is %s: %s", key, text, r->because);
    }
}

/* What nobody here knows of may decide what is computed. */
static enum gqa_status check_keys(const struct gqa_keras_names *names,
                                  const struct gqa_keras_backbone *backbone,
                                  const json_t *values)
{
    const char *key;
    json_t *value;
    char text[41];

    json_object_foreach((json_t *)(uintptr_t)values, key, value)
    {
        if (json_is_null(value) || is_read(names, backbone, key))
            continue;
        gqa_value_text(text, sizeof text, value);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%.80s of the %s is %s, and nothing tells what that "
                        "is in transformers; if it decides nothing, delete it "
                        "there",
                        key, backbone->class_name, text);
    }
    return GQA_OK;
}

/* Of the whole that the model is a part of. */
static enum gqa_status make_outer(json_t **out,
                                  const struct gqa_keras_names *names,
                                  const json_t *values)
{
    json_t *outer = json_pack("{s:s}", "model_type", names->within);
    enum gqa_status st;

    if (!outer)
        return gqa_fail_nomem();
    st = translate(outer, names->outer, values);
    if (st == GQA_OK)
        *out = outer;
    else
        json_decref(outer);
    return st;
}

enum gqa_status gqa_config_from_preset(json_t **out, json_t **outer,
                                       const char **backbone_type,
                                       const struct gqa_family *family,
                                       const json_t *backbone)
{
    const struct gqa_keras_names *names = &family->keras;
    const char *class_name = gqa_backbone_class(backbone);
    const json_t *values = json_object_get(backbone, "config");
    const struct gqa_keras_backbone *named = find_named(names, class_name);
    json_t *hf;
    enum gqa_status st;

    if (!named)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the configuration is of class '%s', but the "
                        "variables are those of family %s",
                        class_name, family->name);
    if (!*backbone_type)
        *backbone_type = named->model_type;
    hf = json_pack("{s:s}", "model_type", named->model_type);
    if (!hf)
        return gqa_fail_nomem();
    if ((st = check_keys(names, named, values)) == GQA_OK &&
        (st = check_refusals(names, values)) == GQA_OK &&
        (st = translate(hf, names->config, values)) == GQA_OK &&
        (st = translate(hf, named->config, values)) == GQA_OK)
        st = names->within ? make_outer(outer, names, values) : GQA_OK;
    if (st == GQA_OK)
        st = gqa_finish_preset(hf, *outer, names->finish, values);
    if (st != GQA_OK) {
        json_decref(hf);
        return st;
    }
    tell_readings(names, values);
    *out = hf;
    return GQA_OK;
}
