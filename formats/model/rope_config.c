#include "formats/model/rope_config.h"

#include <math.h>
#include <string.h>

#include "common/strings.h"
#include "formats/model/rope_said.h"

static const char scaling[] = "rope_scaling";
static const char parameters[] = "rope_parameters";
static const char context[] = "max_position_embeddings";

bool gqa_rope_config_is_plain(const json_t *config)
{
    return !gqa_rope_said_is_nested(gqa_rope_said(config)) &&
           json_integer_value(json_object_get(config, context)) > 1;
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
    const json_t *said = gqa_rope_said(config);
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

/* --- For both versions ---------------------------------------------------- */

/* What rope_parameters scale by, where rope_scaling says nothing; NULL:
 * nothing. */
static const json_t *find_scaled(const json_t *config,
                                 const struct gqa_position_rule *rule)
{
    const json_t *said = json_object_get(config, parameters);
    const char *kind;

    if (rule->kinds || json_object_size(json_object_get(config, scaling)) > 0)
        return NULL;
    if (rule->local_theta.json)
        said = json_object_get(said, "full_attention");
    kind = gqa_rope_said_kind(said);
    return gqa_rope_said_is_nested(said) || kind[0] == '\0' ||
                   strcmp(kind, "default") == 0
               ? NULL
               : said;
}

static json_t *make_scaling(const json_t *said)
{
    static const char *const elsewhere[] = {"type", "rope_theta",
                                            "partial_rotary_factor"};
    json_t *out = json_deep_copy(said);

    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        json_object_del(out, elsewhere[i]);
    json_object_set_new(out, "rope_type",
                        json_string(gqa_rope_said_kind(said)));
    return out;
}

/* NAN: none. */
static double number_of(const struct gqa_setting *setting, const json_t *config)
{
    double value = NAN;

    return gqa_setting_number(&value, setting, config) == GQA_OK ? value : NAN;
}

static bool is_same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* The number that an object of now's says, where the older version would take
 * another, or the object is not read any more. */
static void say_number(json_t *config, const json_t *now,
                       const struct gqa_setting *setting, bool is_hidden)
{
    const char *key = gqa_setting_last_key(setting);
    json_t *older = gqa_rope_older(config);
    const json_t *value;
    const char *by;

    if (key && !strchr(key, '.') && !json_object_get(config, key) &&
        gqa_setting_get(&value, &by, setting, now) == GQA_OK && by &&
        strchr(by, '.') &&
        (is_hidden ||
         !is_same(number_of(setting, older), json_number_value(value))))
        json_object_set_new(config, key, json_deep_copy(value));
    json_decref(older);
}

/* A share that loaders take for nothing under one key, and fail at under
 * another. */
static bool is_share_refused(const json_t *config,
                             const struct gqa_family *family)
{
    for (size_t i = 0; i < family->n_refusals; i++) {
        const struct gqa_refusal *r = &family->refusals[i];

        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(config, *key);

            if (value && gqa_ends_with(*key, "partial_rotary_factor") &&
                gqa_refusal_holds(r, value))
                return true;
        }
    }
    return false;
}

void gqa_rope_config_say_older(json_t *config, const struct gqa_family *family)
{
    const struct gqa_position_rule *rule = &family->positions;
    const struct gqa_setting *const numbers[] = {
        &rule->theta, &rule->local_theta, &rule->share};
    const json_t *scaled = find_scaled(config, rule);
    json_t *both = json_deep_copy(config);
    bool is_kept = true;

    if (rule->scheme != GQA_POSITION_ROPE || is_share_refused(config, family)) {
        json_decref(both);
        return;
    }
    if (scaled)
        json_object_set_new(both, scaling, make_scaling(scaled));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        say_number(both, config, numbers[i], scaled != NULL);
    /* What stands beside rope_parameters and says otherwise counts from where
     * rope_scaling is there. */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        is_kept = is_kept && is_same(number_of(numbers[i], config),
                                     number_of(numbers[i], both));
    if (is_kept)
        json_object_update(config, both);
    json_decref(both);
}
