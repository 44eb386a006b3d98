/* Source: modeling_rope_utils of transformers 4.57 and 5. */
#include "formats/model/rope_said.h"

#include <stdint.h>
#include <string.h>

static const char scaling[] = "rope_scaling";
static const char parameters[] = "rope_parameters";

const json_t *gqa_rope_said(const json_t *config)
{
    const json_t *said = json_object_get(config, scaling);

    return json_object_size(said) > 0 ? said
                                      : json_object_get(config, parameters);
}

json_t *gqa_rope_said_of(const json_t *config, const char *layers)
{
    json_t *of = json_object_get(json_object_get(config, parameters), layers);
    json_t *said = json_is_object(of) ? json_deep_copy(of) : json_object();

    if (!json_is_object(of))
        json_object_set_new(said, "rope_type", json_string("default"));
    if (strcmp(layers, "full_attention") == 0)
        json_object_update(said, json_object_get(config, scaling));
    return said;
}

bool gqa_rope_said_is_nested(const json_t *said)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)said, key, value)
    {
        if (json_is_object(value))
            return true;
    }
    return false;
}

const char *gqa_rope_said_kind(const json_t *said)
{
    const json_t *kind = json_object_get(said, "rope_type");
    const char *text;

    if (!kind)
        kind = json_object_get(said, "type");
    text = json_string_value(kind);
    return text ? text : kind ? "" : "default";
}

bool gqa_rope_said_mscales(const json_t *said)
{
    const json_t *attention = json_object_get(said, "attention_factor");

    /* 0 stands for none. */
    return (!attention || json_is_null(attention)) &&
           json_number_value(json_object_get(said, "mscale")) != 0 &&
           json_number_value(json_object_get(said, "mscale_all_dim")) != 0;
}

const char *gqa_rope_known_kind(const struct gqa_position_rule *rule,
                                const json_t *said)
{
    const char *kind = gqa_rope_said_kind(said);

    for (gqa_texts name = rule->longrope_names; name && *name; name++)
        if (strcmp(*name, kind) == 0)
            return "longrope";
    return kind;
}

json_t *gqa_rope_older(const json_t *config)
{
    json_t *older = json_deep_copy(config);
    json_t *said = json_object_get(older, scaling);

    json_object_del(older, parameters);
    json_object_del(said, "rope_theta");
    json_object_del(said, "partial_rotary_factor");
    return older;
}
