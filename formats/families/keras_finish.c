/* What of a KerasHub backbone no key for another can say. */
#include <math.h>
#include <string.h>

#include "formats/families/behaviours.h"
#include "formats/families/setting.h"

static bool is_among(const char *const *keys, const char *key)
{
    for (; *keys; keys++)
        if (strcmp(*keys, key) == 0)
            return true;
    return false;
}

static enum gqa_status set_new(json_t *hf, const char *key, json_t *value)
{
    return json_object_set_new(hf, key, value) == 0 ? GQA_OK : gqa_fail_nomem();
}

/* --- T5 ------------------------------------------------------------------- */

static const char *const t5_keys[] = {"activation", "use_gated_activation",
                                      NULL};

/* The same function in both. KerasHub's approximation of gelu is what
 * transformers calls gelu_new. */
static const struct {
    const char *keras, *hf;
} t5_activations[] = {
    {"relu", "relu"},  {"silu", "silu"},
    {"swish", "silu"}, {"gelu_approximate", "gelu_new"},
    {"gelu", "gelu"},
};

/* A function that Keras serialises as an object is not one of its own, unless
 * the package or the module says so. */
static bool is_of_keras_hub(const json_t *function, const char *name)
{
    const char *module = json_string_value(json_object_get(function, "module"));

    return strncmp(name, "keras_hub>", 10) == 0 ||
           strncmp(name, "keras_nlp>", 10) == 0 ||
           (!strchr(name, '>') && module && strncmp(module, "keras", 5) == 0);
}

/* What KerasHub calls it: "relu" of "relu", or "gelu_approximate" of an object
 * whose "config" is "keras_hub>gelu_approximate". NULL: none of its own.
 * said: receives the name as it stands there. */
static const char *t5_activation(const char **said, const json_t *json)
{
    const char *package;

    *said = json_string_value(
        json_is_object(json) ? json_object_get(json, "config") : json);
    if (!*said)
        return NULL;
    package = strchr(*said, '>');
    if ((package || json_is_object(json)) && !is_of_keras_hub(json, *said))
        return NULL;
    return package ? package + 1 : *said;
}

/* *word: of transformers; NULL: the key is not there. */
static enum gqa_status find_activation(const char **word, const char *key,
                                       const json_t *preset)
{
    const json_t *json = json_object_get(preset, key);
    const char *said;
    const char *name = t5_activation(&said, json);

    *word = NULL;
    for (size_t i = 0; i < sizeof t5_activations / sizeof *t5_activations; i++)
        if (name && strcmp(name, t5_activations[i].keras) == 0)
            *word = t5_activations[i].hf;
    if (*word || !json)
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s is '%.80s'; KerasHub's relu, silu, gelu and "
                    "gelu_approximate are the same in transformers, of others "
                    "that is not known: what it is there may be said with "
                    "--config and a Hugging Face configuration",
                    key, said ? said : "?");
}

/*
 * "relu", or "gated-relu" with a gate. transformers takes "gated-gelu" for
 * gelu_new, unless the two keys that it derives from that say otherwise.
 */
static enum gqa_status t5_feed_forward(json_t *hf, const json_t *preset)
{
    const json_t *gate = json_object_get(preset, "use_gated_activation");
    const bool gated = !json_is_false(gate);
    const char *word;
    enum gqa_status st = find_activation(&word, "activation", preset);

    if (st != GQA_OK)
        return st;
    if (!word)
        word = "relu";
    if (!gated)
        return set_new(hf, "feed_forward_proj", json_string(word));
    if (strcmp(word, "gelu") == 0 &&
        ((st = set_new(hf, "dense_act_fn", json_string(word))) != GQA_OK ||
         (st = set_new(hf, "is_gated_act", json_true())) != GQA_OK))
        return st;
    return set_new(hf, "feed_forward_proj",
                   json_pack("s+", "gated-",
                             strcmp(word, "gelu_new") == 0 ? "gelu" : word));
}

/* KerasHub's default; that of transformers is 64. */
static enum gqa_status t5_head_dim(json_t *hf, const json_t *preset)
{
    const json_int_t width =
        json_integer_value(json_object_get(preset, "hidden_dim"));
    const json_int_t n =
        json_integer_value(json_object_get(preset, "num_heads"));

    if (json_object_get(hf, "d_kv") || width < 1 || n < 1)
        return GQA_OK;
    return set_new(hf, "d_kv", json_integer(width / n));
}

static enum gqa_status finish_t5(json_t *hf, const json_t *preset)
{
    const enum gqa_status st = t5_feed_forward(hf, preset);

    return st == GQA_OK ? t5_head_dim(hf, preset) : st;
}

/* --- BLOOM ---------------------------------------------------------------- */

static const char *const bloom_keys[] = {"intermediate_dim", NULL};

/* No key of transformers says the width within the feed-forward. */
static enum gqa_status check_bloom(const json_t *preset)
{
    const json_t *json = json_object_get(preset, "intermediate_dim");
    const json_int_t width = json_integer_value(json);
    char text[41];

    if (width > 0 && width % 4 == 0 &&
        width / 4 == json_integer_value(json_object_get(preset, "hidden_dim")))
        return GQA_OK;
    gqa_value_text(text, sizeof text, json);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "intermediate_dim is %s, not 4 times hidden_dim: the BLOOM "
                    "of transformers has no other",
                    text);
}

/* --- Whisper -------------------------------------------------------------- */

static const char *const whisper_keys[] = {"max_encoder_sequence_length", NULL};

/* KerasHub counts frames, of which a position has two. */
static enum gqa_status finish_whisper(json_t *hf, const json_t *preset)
{
    const json_t *json = json_object_get(preset, whisper_keys[0]);
    char text[41];

    if (!json)
        return GQA_OK;
    if (json_integer_value(json) >= 2)
        return set_new(hf, "max_source_positions",
                       json_integer(json_integer_value(json) / 2));
    gqa_value_text(text, sizeof text, json);
    return gqa_fail(GQA_ERR_FORMAT, "%s is %s, not a whole number above 1",
                    whisper_keys[0], text);
}

/* --- RoPE of Llama and its kin -------------------------------------------- */

static const char *const llama_keys[] = {"rope_scaling_factor",
                                         "rope_frequency_adjustment_factor",
                                         "rope_low_freq_factor",
                                         "rope_high_freq_factor",
                                         "rope_pretraining_sequence_length",
                                         NULL};

/* Of Llama 3.1; transformers wants the factors as real numbers. */
static const struct {
    const char *keras, *hf;
    bool is_real;
} llama3[] = {
    {"rope_frequency_adjustment_factor", "factor", true},
    {"rope_low_freq_factor", "low_freq_factor", true},
    {"rope_high_freq_factor", "high_freq_factor", true},
    {"rope_pretraining_sequence_length", "original_max_position_embeddings",
     false},
};
enum { N_LLAMA3 = sizeof llama3 / sizeof *llama3 };

static bool is_scaled(const json_t *factor)
{
    return factor && !json_is_null(factor) &&
           !(json_is_number(factor) && json_number_value(factor) == 1.0);
}

static enum gqa_status check_factor(const char *key, const json_t *value)
{
    char text[41];

    if (gqa_value_fits(value, GQA_VALUE_POSITIVE))
        return GQA_OK;
    gqa_value_text(text, sizeof text, value);
    return gqa_fail(GQA_ERR_FORMAT, "%s is %s, not %s", key, text,
                    gqa_value_kind_text(GQA_VALUE_POSITIVE));
}

/* Positions divided by what the key says. */
static enum gqa_status linear_scaling(json_t *hf, const char *key,
                                      const json_t *factor)
{
    const enum gqa_status st = check_factor(key, factor);

    if (st != GQA_OK)
        return st;
    return set_new(hf, "rope_scaling",
                   json_pack("{s:s, s:f}", "rope_type", "linear", "factor",
                             json_number_value(factor)));
}

/* All of the four, or none. */
static enum gqa_status llama3_scaling(json_t *scaling, const json_t *preset)
{
    for (size_t i = 0; i < N_LLAMA3; i++) {
        json_t *value = json_object_get(preset, llama3[i].keras);
        enum gqa_status st;

        if (!value || json_is_null(value))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s is missing, which goes with the other factors "
                            "of Llama 3.1's RoPE",
                            llama3[i].keras);
        if ((st = check_factor(llama3[i].keras, value)) != GQA_OK)
            return st;
        value = llama3[i].is_real ? json_real(json_number_value(value))
                                  : json_incref(value);
        if ((st = set_new(scaling, llama3[i].hf, value)) != GQA_OK)
            return st;
    }
    return set_new(scaling, "rope_type", json_string("llama3"));
}

static bool has_llama3(const json_t *preset)
{
    for (size_t i = 0; i < N_LLAMA3; i++) {
        const json_t *value = json_object_get(preset, llama3[i].keras);

        if (value && !json_is_null(value))
            return true;
    }
    return false;
}

/* KerasHub spreads the scaling of RoPE over keys of its own. */
static enum gqa_status llama_rope(json_t *hf, const json_t *preset)
{
    static const char plain[] = "rope_scaling_factor";
    const json_t *factor = json_object_get(preset, plain);
    enum gqa_status st;
    json_t *scaling;

    if (!is_scaled(factor) && !has_llama3(preset))
        return GQA_OK;
    if (is_scaled(factor) && has_llama3(preset))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s beside the factors of Llama 3.1's RoPE: "
                        "transformers scales in one of these ways",
                        plain);
    if (!has_llama3(preset))
        return linear_scaling(hf, plain, factor);
    scaling = json_object();
    if (!scaling)
        return gqa_fail_nomem();
    if ((st = llama3_scaling(scaling, preset)) == GQA_OK)
        return set_new(hf, "rope_scaling", scaling);
    json_decref(scaling);
    return st;
}

/* --- Gemma ---------------------------------------------------------------- */

static const char *const gemma_keys[] = {"intermediate_dim", NULL};
static const char *const gemma2_keys[] = {"intermediate_dim", "num_layers",
                                          "use_sliding_window_attention", NULL};

static const char *const gemma3_keys[] = {"global_rope_scaling_factor",
                                          "num_layers",
                                          "use_sliding_window_attention", NULL};

/* More layers than any model has: a list of as many is made. */
enum { MAX_LAYERS = 4096 };

static enum gqa_status count_layers(json_int_t *out, const json_t *preset)
{
    const json_t *layers = json_object_get(preset, "num_layers");
    char text[41];

    *out = json_integer_value(layers);
    if (json_is_integer(layers) && *out >= 1 && *out <= MAX_LAYERS)
        return GQA_OK;
    gqa_value_text(text, sizeof text, layers);
    return gqa_fail(GQA_ERR_FORMAT,
                    "num_layers is %s, not a number from 1 to %d", text,
                    MAX_LAYERS);
}

/* KerasHub counts the gate's and the other's width together. */
static enum gqa_status halve_width(json_t *hf, const json_t *preset)
{
    static const char key[] = "intermediate_dim";
    const json_t *width = json_object_get(preset, key);
    char text[41];

    if (json_is_integer(width) && json_integer_value(width) >= 2)
        return set_new(hf, "intermediate_size",
                       json_integer(json_integer_value(width) / 2));
    gqa_value_text(text, sizeof text, width);
    return gqa_fail(GQA_ERR_FORMAT, "%s is %s, not a whole number above 1", key,
                    text);
}

/* Where no layer has a window, each is said to have none. */
static enum gqa_status spread_windows(json_t *hf, const json_t *preset)
{
    json_int_t n = 0;
    json_t *types;
    enum gqa_status st;

    if (json_is_true(json_object_get(preset, "use_sliding_window_attention")))
        return GQA_OK;
    if ((st = count_layers(&n, preset)) != GQA_OK)
        return st;
    types = json_array();
    for (json_int_t i = 0; i < n; i++)
        if (json_array_append_new(types, json_string("full_attention")) != 0) {
            json_decref(types);
            return gqa_fail_nomem();
        }
    return set_new(hf, "layer_types", types);
}

static enum gqa_status finish_gemma2(json_t *hf, const json_t *preset)
{
    const enum gqa_status st = halve_width(hf, preset);

    return st == GQA_OK ? spread_windows(hf, preset) : st;
}

static enum gqa_status finish_gemma3(json_t *hf, const json_t *preset)
{
    static const char key[] = "global_rope_scaling_factor";
    const json_t *factor = json_object_get(preset, key);
    enum gqa_status st = spread_windows(hf, preset);

    if (st == GQA_OK && is_scaled(factor))
        st = linear_scaling(hf, key, factor);
    return st;
}

/* --- SmolLM3 -------------------------------------------------------------- */

static const char *const smollm3_keys[] = {"num_layers",
                                           "rope_layer_enabled_list", NULL};

/* Which layers rotate: those that the list does not reach do. */
static enum gqa_status finish_smollm3(json_t *hf, const json_t *preset)
{
    static const char key[] = "rope_layer_enabled_list";
    const json_t *list = json_object_get(preset, key);
    json_int_t n = 0;
    enum gqa_status st = count_layers(&n, preset);
    json_t *rotate = st == GQA_OK ? json_array() : NULL;

    for (json_int_t i = 0; st == GQA_OK && i < n; i++) {
        const json_t *said = json_array_get(list, (size_t)i);
        char text[41];

        if (said ? !json_is_boolean(said) : !json_is_array(list)) {
            gqa_value_text(text, sizeof text, list);
            st = gqa_fail(GQA_ERR_FORMAT,
                          "%s is %s, not a list of true and "
                          "false",
                          key, text);
        } else if (json_array_append_new(
                       rotate, json_integer(!json_is_false(said))) != 0) {
            st = gqa_fail_nomem();
        }
    }
    if (st == GQA_OK)
        return set_new(hf, "no_rope_layers", rotate);
    json_decref(rotate);
    return st;
}

/* --- T5Gemma -------------------------------------------------------------- */

static const char *const t5gemma_keys[] = {"hidden_activation", NULL};

/* transformers 5 takes none but a whole number for it, and KerasHub's default
 * is a real one. */
static enum gqa_status make_whole(json_t *hf)
{
    static const char key[] = "query_pre_attn_scalar";
    const json_t *said = json_object_get(hf, key);
    const double value = json_number_value(said);

    if (!json_is_real(said) || value != floor(value) || fabs(value) > 1e9)
        return GQA_OK;
    return set_new(hf, key, json_integer((json_int_t)value));
}

static enum gqa_status finish_t5gemma(json_t *hf, json_t *outer,
                                      const json_t *preset)
{
    json_t *const sides[] = {hf, json_object_get(outer, "encoder")};
    const char *word;
    enum gqa_status st = find_activation(&word, t5gemma_keys[0], preset);

    /* What transformers calls gelu_new is the same; T5Gemma has this name. */
    if (!word || strcmp(word, "gelu_new") == 0)
        word = "gelu_pytorch_tanh";
    for (size_t i = 0; st == GQA_OK && i < 2 && sides[i]; i++) {
        st = set_new(sides[i], t5gemma_keys[0], json_string(word));
        if (st == GQA_OK)
            st = make_whole(sides[i]);
    }
    return st;
}

/* --- Which ---------------------------------------------------------------- */

enum gqa_status gqa_finish_preset(json_t *hf, json_t *outer,
                                  enum gqa_keras_finish kind,
                                  const json_t *preset)
{
    switch (kind) {
    case GQA_KERAS_FINISH_T5:
        return finish_t5(hf, preset);
    case GQA_KERAS_FINISH_BLOOM:
        return check_bloom(preset);
    case GQA_KERAS_FINISH_WHISPER:
        return finish_whisper(hf, preset);
    case GQA_KERAS_FINISH_LLAMA:
        return llama_rope(hf, preset);
    case GQA_KERAS_FINISH_GEMMA:
        return halve_width(hf, preset);
    case GQA_KERAS_FINISH_GEMMA2:
        return finish_gemma2(hf, preset);
    case GQA_KERAS_FINISH_GEMMA3:
        return finish_gemma3(hf, preset);
    case GQA_KERAS_FINISH_SMOLLM3:
        return finish_smollm3(hf, preset);
    case GQA_KERAS_FINISH_T5GEMMA:
        return finish_t5gemma(hf, outer, preset);
    default:
        return GQA_OK;
    }
}

bool gqa_finish_reads(enum gqa_keras_finish kind, const char *key)
{
    switch (kind) {
    case GQA_KERAS_FINISH_T5:
        return is_among(t5_keys, key);
    case GQA_KERAS_FINISH_BLOOM:
        return is_among(bloom_keys, key);
    case GQA_KERAS_FINISH_WHISPER:
        return is_among(whisper_keys, key);
    case GQA_KERAS_FINISH_LLAMA:
        return is_among(llama_keys, key);
    case GQA_KERAS_FINISH_GEMMA:
        return is_among(gemma_keys, key);
    case GQA_KERAS_FINISH_GEMMA2:
        return is_among(gemma2_keys, key);
    case GQA_KERAS_FINISH_GEMMA3:
        return is_among(gemma3_keys, key);
    case GQA_KERAS_FINISH_SMOLLM3:
        return is_among(smollm3_keys, key);
    case GQA_KERAS_FINISH_T5GEMMA:
        return is_among(t5gemma_keys, key);
    default:
        return false;
    }
}
