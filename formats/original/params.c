/* Sources: ModelArgs of llama/model.py and of models/llama3, Meta's;
 * TransformerArgs of mistral_inference, Mistral's. */
#include "formats/original/params.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"

#define ASK_FOR_CONFIG \
    "give --config the config.json of Hugging Face's form of the model"

enum kind {
    SIZE,     /* a positive integer */
    INTEGER,  /* any: -1 is "not known yet" */
    POSITIVE, /* a number */
    BOOLEAN,
    WINDOW,  /* a size, or a list with one or null for each of some layers */
    NOTHING, /* null or false: what it would tell has no word here */
};

/* All that may be said. Null is as if it were not there. Sizes of matrices are
 * those of the tensors. */
static const struct {
    const char *name;
    enum kind kind;
} keys[] = {
    {"dim", SIZE},
    {"n_layers", SIZE},
    {"n_heads", SIZE},
    {"n_kv_heads", SIZE},
    {"head_dim", SIZE},
    {"hidden_dim", SIZE},
    {"multiple_of", SIZE},
    {"ffn_dim_multiplier", POSITIVE},
    {"vocab_size", INTEGER},
    {"max_batch_size", INTEGER},
    {"max_seq_len", SIZE},
    {"max_position_embeddings", SIZE},
    {"norm_eps", POSITIVE},
    {"rope_theta", POSITIVE},
    {"use_scaled_rope", BOOLEAN},
    {"sliding_window", WINDOW},
    {"_sliding_window", WINDOW},
    {"tied_embeddings", BOOLEAN},
    {"causal", BOOLEAN},
    {"use_biases", BOOLEAN},
    {"yarn", NOTHING},
    {"llama_4_scaling", NOTHING},
    {"qk_norm", NOTHING},
    {"use_qk_norm", NOTHING},
    {"q_lora_rank", NOTHING},
    {"kv_lora_rank", NOTHING},
    {"lora", NOTHING},
    {"lora_args", NOTHING},
    {"quantization", NOTHING},
    {"quantization_args", NOTHING},
    {"vision_encoder", NOTHING},
    {"vision_args", NOTHING},
};

static const char *const kind_names[] = {
    [SIZE] = "a positive integer",
    [INTEGER] = "an integer",
    [POSITIVE] = "a positive number",
    [BOOLEAN] = "true or false",
    [WINDOW] = "a positive integer, or a list of such and null",
};

/* A value, or NULL where nothing is said. */
static const json_t *find(const json_t *params, const char *key)
{
    const json_t *value = json_object_get(params, key);

    return json_is_null(value) ? NULL : value;
}

static bool is_size(const json_t *value)
{
    uint64_t n;

    return gqa_json_u64(value, &n) && n > 0 && n <= INT64_MAX;
}

static bool is_window(const json_t *value)
{
    const json_t *of_layer;
    size_t i;

    if (!json_is_array(value))
        return is_size(value);
    json_array_foreach(value, i, of_layer) if (!json_is_null(of_layer) &&
                                               !is_size(of_layer)) return false;
    return json_array_size(value) > 0;
}

static bool is_of_kind(const json_t *value, enum kind kind)
{
    return kind == SIZE      ? is_size(value)
           : kind == INTEGER ? json_is_integer(value)
           : kind == POSITIVE
               ? json_is_number(value) && json_number_value(value) > 0
           : kind == BOOLEAN ? json_is_boolean(value)
           : kind == WINDOW  ? is_window(value)
                             : json_is_false(value);
}

/* --- Shape ---------------------------------------------------------------- */

static enum gqa_status read_size(uint64_t *out, const json_t *params,
                                 const char *key)
{
    const json_t *value = find(params, key);

    *out = 0;
    if (!value || (is_size(value) && gqa_json_u64(value, out)))
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT, GQA_ORIGINAL_PARAMS ": %s is not %s", key,
                    kind_names[SIZE]);
}

enum gqa_status gqa_original_read_shape(struct gqa_original_shape *s,
                                        const json_t *params)
{
    enum gqa_status st;

    if ((st = read_size(&s->d_model, params, "dim")) != GQA_OK ||
        (st = read_size(&s->n_layers, params, "n_layers")) != GQA_OK ||
        (st = read_size(&s->n_heads, params, "n_heads")) != GQA_OK ||
        (st = read_size(&s->n_kv_heads, params, "n_kv_heads")) != GQA_OK ||
        (st = read_size(&s->head_dim, params, "head_dim")) != GQA_OK)
        return st;
    if (s->n_kv_heads == 0)
        s->n_kv_heads = s->n_heads;
    if (s->head_dim == 0 && s->n_heads > 0)
        s->head_dim = s->d_model / s->n_heads;
    if (s->d_model > 0 && s->n_layers > 0 && s->n_heads > 0 &&
        s->head_dim > 0 && s->head_dim % 2 == 0)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    GQA_ORIGINAL_PARAMS " does not say dim, n_layers and "
                                        "n_heads of a model");
}

/* --- What is said --------------------------------------------------------- */

static enum gqa_status check_key(const char *key, const json_t *value)
{
    const size_t n = sizeof keys / sizeof *keys;
    size_t i = 0;

    while (i < n && strcmp(keys[i].name, key) != 0)
        i++;
    if (i == n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        GQA_ORIGINAL_PARAMS
                        " says '%.60s', which is not known, and may change "
                        "what is computed; " ASK_FOR_CONFIG
                        ", or take the key out if it changes nothing",
                        key);
    if (is_of_kind(value, keys[i].kind))
        return GQA_OK;
    if (keys[i].kind == NOTHING)
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            GQA_ORIGINAL_PARAMS
            " says %s, which is not read in this layout; " ASK_FOR_CONFIG,
            key);
    return gqa_fail(GQA_ERR_FORMAT,
                    GQA_ORIGINAL_PARAMS
                    ": %s is not %s; mend it, or " ASK_FOR_CONFIG,
                    key, kind_names[keys[i].kind]);
}

static enum gqa_status check_keys(const json_t *params)
{
    const char *key;
    json_t *value;

    if (json_is_object(json_object_get(params, "moe")) ||
        json_is_object(json_object_get(params, "moe_args")))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        GQA_ORIGINAL_PARAMS " tells of experts, which are not "
                                            "read in this layout");
    json_object_foreach((json_t *)params, key, value)
    {
        const bool is_type =
            strcmp(key, "model_type") == 0 && json_is_string(value) &&
            strcmp(json_string_value(value), "transformer") == 0;
        enum gqa_status st;

        if (json_is_null(value) || is_type)
            continue;
        st = check_key(key, value);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

/* What all of Meta's and Mistral's say, and not the same; and what several
 * keys say together. */
static enum gqa_status check_said(const json_t *params, uint64_t n_layers,
                                  const struct gqa_original_sizes *sizes)
{
    const json_t *tied = find(params, "tied_embeddings");

    if (n_layers > sizes->n_tensors)
        return gqa_fail(GQA_ERR_FORMAT,
                        GQA_ORIGINAL_PARAMS " says n_layers %" PRIu64
                                            ", and there are %zu tensors",
                        n_layers, sizes->n_tensors);
    if (json_is_true(json_object_get(params, "use_scaled_rope")))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        GQA_ORIGINAL_PARAMS " says use_scaled_rope, but not by "
                                            "how much; " ASK_FOR_CONFIG);
    if (json_is_false(json_object_get(params, "causal")) ||
        json_is_true(json_object_get(params, "use_biases")))
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            GQA_ORIGINAL_PARAMS
            " says %s, which is not read in this layout; " ASK_FOR_CONFIG,
            json_is_true(json_object_get(params, "use_biases"))
                ? "use_biases"
                : "that attention is not causal");
    if (tied && json_is_true(tied) != sizes->is_tied)
        return gqa_fail(GQA_ERR_FORMAT,
                        GQA_ORIGINAL_PARAMS " says tied_embeddings %s, and "
                                            "output.weight is %s",
                        json_is_true(tied) ? "true" : "false",
                        sizes->is_tied ? "missing" : "there");
    if (!find(params, "norm_eps"))
        return gqa_fail(GQA_ERR_UNSUPPORTED, GQA_ORIGINAL_PARAMS
                        " does not say norm_eps, which "
                        "models differ in; " ASK_FOR_CONFIG);
    /* The first Mistral, which had a window, was trained with 10000, and what
     * Mistral gives out to run the others takes 1000000. Meta's have no
     * hidden_dim. */
    if (find(params, "hidden_dim") && !find(params, "rope_theta") &&
        !json_is_integer(json_object_get(params, "sliding_window")))
        return gqa_fail(GQA_ERR_UNSUPPORTED, GQA_ORIGINAL_PARAMS
                        " does not say rope_theta, which "
                        "Mistral's models differ in; " ASK_FOR_CONFIG);
    return GQA_OK;
}

/* --- Windows -------------------------------------------------------------- */

struct windows {
    uint64_t size;       /* 0: no layer slides */
    const json_t *cycle; /* of layers, again and again; NULL: all slide */
};

/* Layers may slide or not, but all by as much, as Hugging Face's form has one
 * number. */
static enum gqa_status read_cycle(struct windows *w, const json_t *list,
                                  uint64_t n_layers)
{
    const json_t *of_layer;
    bool all_slide = true;
    size_t i;

    if (n_layers % json_array_size(list) != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        GQA_ORIGINAL_PARAMS
                        ": sliding windows of %zu layers, again and again, do "
                        "not fit n_layers %" PRIu64,
                        json_array_size(list), n_layers);
    json_array_foreach(list, i, of_layer)
    {
        uint64_t size = 0;

        if (!gqa_json_u64(of_layer, &size)) {
            all_slide = false;
            continue;
        }
        if (w->size > 0 && w->size != size)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            GQA_ORIGINAL_PARAMS
                            " says sliding windows of %" PRIu64 " and %" PRIu64
                            " positions, and Hugging Face's form has one for "
                            "all layers that slide",
                            w->size, size);
        w->size = size;
    }
    if (w->size > 0 && !all_slide)
        w->cycle = list;
    return GQA_OK;
}

static enum gqa_status read_windows(struct windows *w, const json_t *params,
                                    uint64_t n_layers)
{
    const json_t *said = find(params, "sliding_window");
    const json_t *also = find(params, "_sliding_window");

    *w = (struct windows){0, NULL};
    if (said && also)
        return gqa_fail(GQA_ERR_FORMAT,
                        GQA_ORIGINAL_PARAMS " says both sliding_window and "
                                            "_sliding_window, of which a model "
                                            "has one");
    said = said ? said : also;
    if (json_is_array(said))
        return read_cycle(w, said, n_layers);
    if (said)
        gqa_json_u64(said, &w->size);
    return GQA_OK;
}

/* --- Configuration -------------------------------------------------------- */

static void set_size(json_t *config, const char *key, uint64_t size)
{
    json_object_set_new(config, key, json_integer((json_int_t)size));
}

static void set_windows(json_t *config, const struct windows *w,
                        uint64_t n_layers)
{
    json_t *types;

    if (w->size > 0)
        set_size(config, "sliding_window", w->size);
    if (!w->cycle)
        return;
    types = json_array();
    for (uint64_t i = 0; i < n_layers; i++)
        json_array_append_new(
            types, json_string(json_is_null(json_array_get(
                                   w->cycle, i % json_array_size(w->cycle)))
                                   ? "full_attention"
                                   : "sliding_attention"));
    json_object_set_new(config, "layer_types", types);
}

/* A number as it is said; the last that is there. */
static void copy(json_t *config, const char *ours, const json_t *params,
                 const char *theirs)
{
    const json_t *value = find(params, theirs);

    if (value)
        json_object_set_new(config, ours, json_deep_copy(value));
}

enum gqa_status gqa_original_make_config(json_t **out, const json_t *params,
                                         const struct gqa_original_shape *s,
                                         const struct gqa_original_sizes *sizes)
{
    struct windows windows;
    enum gqa_status st;
    json_t *c;

    if ((st = check_keys(params)) != GQA_OK ||
        (st = check_said(params, s->n_layers, sizes)) != GQA_OK ||
        (st = read_windows(&windows, params, s->n_layers)) != GQA_OK)
        return st;
    c = json_pack("{s:s, s:[s], s:s, s:b}", "model_type",
                  windows.cycle      ? "ministral"
                  : windows.size > 0 ? "mistral"
                                     : "llama",
                  "architectures",
                  windows.cycle      ? "MinistralForCausalLM"
                  : windows.size > 0 ? "MistralForCausalLM"
                                     : "LlamaForCausalLM",
                  "hidden_act", "silu", "tie_word_embeddings",
                  (int)sizes->is_tied);
    set_size(c, "hidden_size", s->d_model);
    set_size(c, "num_hidden_layers", s->n_layers);
    set_size(c, "num_attention_heads", s->n_heads);
    set_size(c, "num_key_value_heads", s->n_kv_heads);
    set_size(c, "head_dim", s->head_dim);
    set_size(c, "vocab_size", sizes->vocab_size);
    if (sizes->d_ff > 0)
        set_size(c, "intermediate_size", sizes->d_ff);
    copy(c, "rms_norm_eps", params, "norm_eps");
    copy(c, "rope_theta", params, "rope_theta");
    copy(c, "max_position_embeddings", params, "max_seq_len");
    copy(c, "max_position_embeddings", params, "max_position_embeddings");
    set_windows(c, &windows, s->n_layers);
    st = gqa_json_check();
    if (st != GQA_OK) {
        json_decref(c);
        return st;
    }
    *out = c;
    return GQA_OK;
}
