#include "formats/model/rope_config.h"

static const char scaling[] = "rope_scaling";
static const char parameters[] = "rope_parameters";
static const char context[] = "max_position_embeddings";

/* Where it speaks of RoPE; NULL: nowhere. */
static json_t *find_said(const json_t *config)
{
    json_t *said = json_object_get(config, scaling);

    return json_object_size(said) > 0 ? said
                                      : json_object_get(config, parameters);
}

bool gqa_rope_config_is_plain(const json_t *config)
{
    const char *key;
    json_t *value;

    json_object_foreach(find_said(config), key, value)
    {
        if (json_is_object(value))
            return false;
    }
    return json_integer_value(json_object_get(config, context)) > 1;
}

/* transformers 4 does not look into rope_parameters, and would turn as the
 * model did before. */
static void say_in_both(json_t *config, json_t *rope)
{
    json_t *theta = json_object_get(rope, "rope_theta");

    json_object_set_new(config, parameters, json_deep_copy(rope));
    if (!json_object_get(config, "rope_theta"))
        json_object_set(config, "rope_theta", theta);
}

void gqa_rope_config_divide(json_t *config, const json_t *divisors)
{
    /* What stays. */
    static const char *const kept[] = {"rope_theta", "partial_rotary_factor"};
    const json_t *said = find_said(config);
    const bool is_new = said && said == json_object_get(config, parameters);
    json_t *rope = json_object();

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(said, kept[i]))
            json_object_set(rope, kept[i], json_object_get(said, kept[i]));
    json_object_set_new(rope, "rope_type", json_string("longrope"));
    json_object_set_new(rope, "short_factor", json_deep_copy(divisors));
    json_object_set_new(rope, "long_factor", json_deep_copy(divisors));
    /* Loaders differ in which of these they go by, and in what they make of
     * what is not there: all say that nothing is longer, and nothing larger.
     * vLLM goes by the context alone, which is that of the model. */
    json_object_set(rope, "original_max_position_embeddings",
                    json_object_get(config, context));
    json_object_set_new(rope, "attention_factor", json_real(1));
    json_object_set_new(rope, "factor", json_real(1));
    if (is_new)
        say_in_both(config, rope);
    json_object_set_new(config, scaling, rope);
}
