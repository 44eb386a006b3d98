#include "formats/model/network_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The key's value, or NULL where it says nothing. */
static const json_t *value_of(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);

    return json_is_null(value) ? NULL : value;
}

static enum gqa_status refuse(const json_t *value, const char *key,
                              const char *wanted)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const enum gqa_status st =
        gqa_fail(GQA_ERR_FORMAT, "configuration: %s is %.40s, not %s", key,
                 text ? text : "?", wanted);

    free(text);
    return st;
}

enum gqa_status gqa_config_positive(double *out, const json_t *config,
                                    const char *key)
{
    const json_t *value = value_of(config, key);
    double number;

    if (!value)
        return GQA_OK;
    number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || number <= 0)
        return refuse(value, key, "a number above 0");
    *out = number;
    return GQA_OK;
}

enum gqa_status gqa_config_natural(uint64_t *out, const json_t *config,
                                   const char *key)
{
    const json_t *value = value_of(config, key);

    if (!value)
        return GQA_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return refuse(value, key, "a count");
    *out = (uint64_t)json_integer_value(value);
    return GQA_OK;
}

enum gqa_status gqa_config_flag(bool *out, const json_t *config,
                                const char *key)
{
    const json_t *value = value_of(config, key);

    if (!value)
        return GQA_OK;
    if (!json_is_boolean(value))
        return refuse(value, key, "true or false");
    *out = json_is_true(value);
    return GQA_OK;
}

enum gqa_status gqa_config_text(const char **out, const json_t *config,
                                const char *key)
{
    const json_t *value = value_of(config, key);

    if (!value)
        return GQA_OK;
    if (!json_is_string(value))
        return refuse(value, key, "a text");
    *out = json_string_value(value);
    return GQA_OK;
}

enum gqa_status gqa_config_token(int64_t *out, const json_t *config,
                                 const char *key, uint64_t vocab_size)
{
    const json_t *value = value_of(config, key);

    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (!value)
        return GQA_OK;
    if (!json_is_integer(value))
        return refuse(value, key, "a token");
    if (json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) < vocab_size)
        *out = json_integer_value(value);
    return GQA_OK;
}

enum gqa_status gqa_activation_parse(enum gqa_activation *out, const char *name)
{
    static const struct {
        const char *name;
        enum gqa_activation activation;
    } known[] = {
        {"relu", GQA_ACTIVATION_RELU},
        {"gelu", GQA_ACTIVATION_GELU},
        {"gelu_python", GQA_ACTIVATION_GELU},
        {"gelu_new", GQA_ACTIVATION_GELU_TANH},
        {"gelu_fast", GQA_ACTIVATION_GELU_TANH}, /* its 2 / pi has 10 digits */
        {"gelu_accurate", GQA_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", GQA_ACTIVATION_GELU_TANH},
        {"gelu_python_tanh", GQA_ACTIVATION_GELU_TANH},
        {"silu", GQA_ACTIVATION_SILU},
        {"swish", GQA_ACTIVATION_SILU},
        {"quick_gelu", GQA_ACTIVATION_QUICK_GELU},
        {"relu2", GQA_ACTIVATION_RELU2},
        {"gelu_bloom", GQA_ACTIVATION_GELU_BLOOM},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].activation;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: activation '%.40s' cannot be run; known "
                    "are relu, relu2, silu, gelu, gelu_new, gelu_bloom, "
                    "quick_gelu, and other names of these",
                    name);
}
