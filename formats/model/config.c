#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/family.h"

/* No model has a dimension as large as this. */
#define MAX_COUNT ((uint64_t)1 << 32)

enum gqa_status gqa_config_count(uint64_t *out, const json_t *config,
                                 const char *key, const char *path)
{
    const json_t *value = key ? json_object_get(config, key) : NULL;
    uint64_t count;
    char *text;
    enum gqa_status st;

    if (!value || json_is_null(value))
        return GQA_OK;
    if (gqa_json_u64(value, &count) && count > 0 && count <= MAX_COUNT) {
        *out = count;
        return GQA_OK;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    st = gqa_fail(GQA_ERR_FORMAT, "%s: %s is %.40s, not a count", path, key,
                  text ? text : "?");
    free(text);
    return st;
}

bool gqa_config_is_preset(const json_t *config)
{
    static const char end[] = "Backbone";
    const char *name = json_string_value(json_object_get(config, "class_name"));
    const size_t n = name ? strlen(name) : 0;

    return n > sizeof end - 1 &&
           strcmp(name + n - (sizeof end - 1), end) == 0 &&
           json_is_object(json_object_get(config, "config"));
}

static const struct gqa_keras_variant *find_variant(
    const struct gqa_keras_names *names, const char *backbone)
{
    for (const struct gqa_keras_variant *v = names->variants; v->prefix; v++)
        if (strcmp(v->backbone, backbone) == 0)
            return v;
    return NULL;
}

enum gqa_status gqa_config_from_preset(json_t **out,
                                       const struct gqa_keras_variant **variant,
                                       const struct gqa_family *family,
                                       const json_t *preset)
{
    const char *class_name =
        json_string_value(json_object_get(preset, "class_name"));
    const json_t *values = json_object_get(preset, "config");
    const struct gqa_keras_variant *named =
        family->keras ? find_variant(family->keras, class_name) : NULL;
    json_t *hf;

    if (!named)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the configuration is of class '%s', but the "
                        "variables are those of family %s",
                        class_name, family->name);
    if (!*variant)
        *variant = named;
    hf = json_pack("{s:s}", "model_type", named->model_type);
    for (const struct gqa_keras_key *k = family->keras->keys; hf && k->hf;
         k++) {
        json_t *value = k->keras ? json_object_get(values, k->keras) : NULL;

        if (k->constant)
            json_object_set_new(hf, k->hf,
                                json_loads(k->constant, JSON_DECODE_ANY, NULL));
        else if (value && !json_is_null(value))
            json_object_set(hf, k->hf, value);
    }
    if (!hf)
        return gqa_fail_nomem();
    if (family->keras->finish_config)
        family->keras->finish_config(hf, values);
    *out = hf;
    return GQA_OK;
}
