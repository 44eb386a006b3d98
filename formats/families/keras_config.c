/* The configuration of a KerasHub preset, as Hugging Face's. */
#include <string.h>

#include "formats/model/params.h"

bool gqa_config_is_preset(const json_t *config)
{
    static const char end[] = "Backbone";
    const char *name = json_string_value(json_object_get(config, "class_name"));
    const size_t n = name ? strlen(name) : 0;

    return n > sizeof end - 1 &&
           strcmp(name + n - (sizeof end - 1), end) == 0 &&
           json_is_object(json_object_get(config, "config"));
}

static const struct gqa_keras_backbone *find_backbone(
    const struct gqa_keras_names *names, const char *class_name)
{
    for (size_t i = 0; i < names->n_backbones; i++)
        if (strcmp(names->backbones[i].class_name, class_name) == 0)
            return &names->backbones[i];
    return NULL;
}

/* What each key's setting makes of the preset's values. */
static enum gqa_status translate(json_t *hf, const json_t *keys,
                                 const json_t *values)
{
    const char *key;
    json_t *json;

    json_object_foreach((json_t *)(uintptr_t)keys, key, json)
    {
        const struct gqa_setting setting = {json, GQA_VALUE_ANY};
        const json_t *value;
        const enum gqa_status st =
            gqa_setting_get(&value, NULL, &setting, values);

        if (st != GQA_OK)
            return st;
        if (value && json_object_set_new(hf, key, json_deep_copy(value)) != 0)
            return gqa_fail_nomem();
    }
    return GQA_OK;
}

enum gqa_status gqa_config_from_preset(json_t **out, const char **backbone_type,
                                       const struct gqa_family *family,
                                       const json_t *preset)
{
    const char *class_name =
        json_string_value(json_object_get(preset, "class_name"));
    const json_t *values = json_object_get(preset, "config");
    const struct gqa_keras_backbone *named =
        find_backbone(&family->keras, class_name);
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
    st = translate(hf, family->keras.config, values);
    if (st == GQA_OK)
        st = gqa_finish_preset(hf, family->keras.finish, values);
    if (st == GQA_OK)
        *out = hf;
    else
        json_decref(hf);
    return st;
}
