#include "formats/families/family.h"

#include <math.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/families/description.h"

/* No vocabulary has as many tokens. */
#define MAX_OFFSET ((uint64_t)1 << 24)

enum gqa_part_presence gqa_bias_said(const struct gqa_setting *bias)
{
    if (!json_is_boolean(bias->json))
        return GQA_PART_OPTIONAL;
    return json_is_true(bias->json) ? GQA_PART_PRESENT : GQA_PART_ABSENT;
}

static enum gqa_status norm_part(enum gqa_part_presence *out,
                                 const struct gqa_setting *part,
                                 enum gqa_part_presence otherwise,
                                 const json_t *config)
{
    const json_t *value = NULL;
    enum gqa_status st = GQA_OK;

    *out = part->json ? GQA_PART_OPTIONAL : otherwise;
    if (config || !gqa_is_setting(part->json))
        st = gqa_setting_get(&value, NULL, part, config);
    if (st == GQA_OK && json_is_boolean(value))
        *out = json_is_true(value) ? GQA_PART_PRESENT : GQA_PART_ABSENT;
    return st;
}

enum gqa_status gqa_norm_parts(enum gqa_part_presence *weight,
                               enum gqa_part_presence *bias,
                               const struct gqa_norm_rule *rule,
                               const json_t *config)
{
    const enum gqa_status st =
        norm_part(weight, &rule->weight, GQA_PART_PRESENT, config);

    return st == GQA_OK
               ? norm_part(bias, &rule->bias,
                           rule->kind == GQA_NORM_LAYER ? GQA_PART_PRESENT
                                                        : GQA_PART_ABSENT,
                           config)
               : st;
}

bool gqa_gate_is_fused(const struct gqa_feed_forward_rule *rule)
{
    return rule->gate && rule->up && strcmp(rule->gate, rule->up) == 0;
}

bool gqa_family_is_like_another(const struct gqa_family *family)
{
    return json_object_get(family->description->parsed, "like") != NULL;
}

bool gqa_family_is_encoder_decoder(const struct gqa_family *family)
{
    return family->stacks[GQA_STACK_ENCODER].given &&
           family->stacks[GQA_STACK_DECODER].given;
}

const char *gqa_embedding_of(const struct gqa_family *family,
                             enum gqa_stack stack, const json_t *config)
{
    const char *own = NULL;

    /* What is no text there is told of by who takes it. */
    return gqa_setting_text(&own, &family->stacks[stack].embedding.table,
                            config) == GQA_OK &&
                   own
               ? own
               : family->names.embedding;
}

const char *gqa_written_embedding(const struct gqa_family *family,
                                  const json_t *config)
{
    return gqa_embedding_of(family,
                            family->stacks[GQA_STACK_DECODER].given
                                ? GQA_STACK_DECODER
                                : GQA_STACK_ENCODER,
                            config);
}

static bool is_same(const json_t *a, const json_t *b)
{
    return json_is_number(a) && json_is_number(b)
               ? json_number_value(a) == json_number_value(b)
               : json_equal(a, b);
}

bool gqa_refusal_holds(const struct gqa_refusal *refusal, const json_t *value)
{
    if (refusal->absent)
        return false;
    return refusal->is ? is_same(value, refusal->is)
                       : !is_same(value, refusal->is_not);
}

enum gqa_status gqa_position_offset(uint64_t *out,
                                    const struct gqa_embedding_rule *rule,
                                    const json_t *config)
{
    uint64_t token = 0;
    enum gqa_status st;

    *out = rule->position_offset;
    if (!rule->positions_behind.json)
        return GQA_OK;
    st = gqa_setting_count(&token, &rule->positions_behind, config);
    if (st == GQA_OK && token >= MAX_OFFSET)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: positions begin behind token %llu, "
                        "which is none of a vocabulary",
                        ULL(token));
    *out = token + 1;
    return st;
}

bool gqa_refusal_misses(const struct gqa_refusal *refusal, const json_t *config)
{
    if (!refusal->absent)
        return false;
    for (gqa_texts key = refusal->keys; *key; key++) {
        const json_t *value = gqa_config_at(config, *key);

        if (value && !json_is_null(value) &&
            (!json_is_object(value) || json_object_size(value) > 0))
            return false;
    }
    return true;
}

double gqa_family_deviation(const struct gqa_family *family,
                            const json_t *config, uint64_t d_model)
{
    const struct gqa_initialiser *rule = &family->initialiser;
    const json_t *said = json_object_get(rule->deviation.json, "default");
    double value = json_number_value(said);

    /* A configuration that says nonsense here is no reason to stop. */
    if (gqa_setting_number(&value, &rule->deviation, config) != GQA_OK)
        value = json_number_value(said);
    return rule->over_d_model ? value / sqrt((double)d_model) : value;
}

const char *gqa_config_key(const json_t *config, gqa_texts keys)
{
    for (gqa_texts k = keys; k && *k; k++)
        if (json_object_get(config, *k))
            return *k;
    return keys ? keys[0] : NULL;
}

enum gqa_status gqa_config_count(uint64_t *out, const json_t *config,
                                 gqa_texts keys, const char *path)
{
    const char *key = gqa_config_key(config, keys);
    const json_t *value = key ? json_object_get(config, key) : NULL;
    char text[41];
    uint64_t count;

    if (!value || json_is_null(value))
        return GQA_OK;
    if (gqa_json_u64(value, &count) && count > 0 &&
        count <= GQA_MAX_CONFIG_COUNT) {
        *out = count;
        return GQA_OK;
    }
    gqa_value_text(text, sizeof text, value);
    return gqa_fail(GQA_ERR_FORMAT, "%s: %s is %s, not a count", path, key,
                    text);
}

uint64_t gqa_family_default(const struct gqa_family *family,
                            const json_t *config, const char *key)
{
    const json_t *json =
        key ? json_object_get(family->keys.defaults, key) : NULL;
    const struct gqa_setting setting = {json, GQA_VALUE_ANY};
    const json_t *value = NULL;
    uint64_t n = 0;

    return json && gqa_setting_get(&value, NULL, &setting, config) == GQA_OK &&
                   gqa_json_u64(value, &n)
               ? n
               : 0;
}

gqa_texts gqa_d_ff_keys(const struct gqa_config_keys *keys,
                        enum gqa_stack stack)
{
    return stack == GQA_STACK_DECODER && keys->decoder_d_ff ? keys->decoder_d_ff
                                                            : keys->d_ff;
}
