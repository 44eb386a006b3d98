#include "formats/families/behaviours.h"

#include <math.h>
#include <string.h>

#include "formats/families/description.h"
#include "formats/model/network_config.h"

/* --- ALiBi --------------------------------------------------------------- */

/*
 * Powers of 2^(-8/n) for the largest power of two n that there are heads for,
 * and the odd powers of 2^(-8/2n) for the rest.
 */
static void make_bloom_slopes(double *slopes, uint64_t n_heads)
{
    uint64_t n = 1;

    while (n <= n_heads / 2)
        n *= 2;
    for (uint64_t h = 0; h < n_heads; h++) {
        const bool extra = h >= n;
        const double power = (double)(extra ? 2 * (h - n) + 1 : h + 1);

        slopes[h] = exp2(-8.0 * power / (double)(extra ? 2 * n : n));
    }
}

void gqa_make_slopes(double *slopes, enum gqa_slopes kind, uint64_t n_heads)
{
    if (kind == GQA_SLOPES_BLOOM)
        make_bloom_slopes(slopes, n_heads);
}

/* --- Layers that slide --------------------------------------------------- */

static bool has_types(const json_t *config)
{
    return json_is_array(json_object_get(config, "layer_types"));
}

/* What is no list is not as if it were not there. */
static enum gqa_status check_types(const json_t *config)
{
    const json_t *types = json_object_get(config, "layer_types");

    return !types || json_is_null(types) || json_is_array(types)
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "configuration: layer_types is not a list");
}

/* What layer_types says of a layer. */
static enum gqa_status read_type(bool *slides, const json_t *config,
                                 size_t layer)
{
    const json_t *types = json_object_get(config, "layer_types");
    const char *type = json_string_value(json_array_get(types, layer));

    if (!types)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: layer_types is missing, and without "
                        "it nothing says which layers slide");
    if (type && (strcmp(type, "full_attention") == 0 ||
                 strcmp(type, "sliding_attention") == 0)) {
        *slides = type[0] == 's';
        return GQA_OK;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: layer_types of layer %zu is '%.40s', not "
                    "full_attention or sliding_attention",
                    layer, type ? type : "?");
}

/* All but each of a number, unless layer_types says it of each. */
static enum gqa_status pattern_slides(bool *out, const json_t *config,
                                      const struct gqa_behaviours *behaviours,
                                      size_t layer)
{
    const size_t place =
        behaviours->sliding_layers == GQA_SLIDING_BUT_FIRST ? layer : layer + 1;
    uint64_t pattern = 0;
    const enum gqa_status st =
        gqa_setting_count(&pattern, &behaviours->sliding_pattern, config);

    if (st != GQA_OK || pattern == 0 || has_types(config))
        return st != GQA_OK ? st : read_type(out, config, layer);
    *out = place % pattern != 0;
    return GQA_OK;
}

static enum gqa_status flag_slides(bool *out, const json_t *config)
{
    *out = false;
    return gqa_config_flag(out, config, "use_sliding_window");
}

/* From max_window_layers on, or every other layer before it, unless
 * layer_types says it of each. */
static enum gqa_status qwen2_slides(bool *out, const json_t *config,
                                    const struct gqa_behaviours *behaviours,
                                    size_t layer)
{
    uint64_t first =
        behaviours->max_window_layers ? behaviours->max_window_layers : 28;
    enum gqa_status st;

    if ((st = flag_slides(out, config)) != GQA_OK ||
        (st = gqa_config_natural(&first, config, "max_window_layers")) !=
            GQA_OK ||
        !*out)
        return st;
    if (has_types(config))
        return read_type(out, config, layer);
    *out = behaviours->sliding_layers == GQA_SLIDING_QWEN2
               ? layer >= first
               : layer < first && layer % 2 == 0;
    return GQA_OK;
}

/* From max_window_layers on, unless layer_types says it of each. */
static enum gqa_status late_slides(bool *out, const json_t *config,
                                   const struct gqa_behaviours *behaviours,
                                   size_t layer)
{
    uint64_t first = behaviours->max_window_layers;
    enum gqa_status st;

    if (has_types(config))
        return read_type(out, config, layer);
    st = gqa_config_natural(&first, config, "max_window_layers");
    *out = layer >= first;
    return st;
}

static enum gqa_status read_no_rope(bool *out, const json_t *config,
                                    size_t layer);

/* Those that do not rotate, unless layer_types says it of each. */
static enum gqa_status smollm3_slides(bool *out, const json_t *config,
                                      size_t layer)
{
    bool turns = true;
    enum gqa_status st;

    if (has_types(config))
        return read_type(out, config, layer);
    if ((st = flag_slides(out, config)) != GQA_OK || !*out)
        return st;
    st = read_no_rope(&turns, config, layer);
    *out = !turns;
    return st;
}

/* The kind of a layer by a list of [kinds, how often]; NULL: it has none. */
static const char *kind_by_types(const json_t *types, size_t layer)
{
    size_t first = 0;

    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *entry = json_array_get(types, i);
        const json_t *kinds = json_array_get(entry, 0);
        const size_t n = json_array_size(kinds);
        const json_int_t times = json_integer_value(json_array_get(entry, 1));

        /* Whatever is said, no model has so many layers. */
        if (n == 0 || times <= 0 || times > 1000000)
            return NULL;
        if (layer - first < n * (size_t)times)
            return json_string_value(
                json_array_get(kinds, (layer - first) % n));
        first += n * (size_t)times;
    }
    return NULL;
}

static enum gqa_status gpt_neo_slides(bool *out, const json_t *config,
                                      size_t layer)
{
    const json_t *layers = json_object_get(config, "attention_layers");
    const char *kind =
        json_is_array(layers)
            ? json_string_value(json_array_get(layers, layer))
            : kind_by_types(json_object_get(config, "attention_types"), layer);

    if (kind && (strcmp(kind, "global") == 0 || strcmp(kind, "local") == 0)) {
        *out = kind[0] == 'l';
        return GQA_OK;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: attention_layers and attention_types say "
                    "of layer %zu '%.40s', not global or local",
                    layer, kind ? kind : "nothing");
}

enum gqa_status gqa_layer_slides(bool *out,
                                 const struct gqa_behaviours *behaviours,
                                 const json_t *config, size_t layer)
{
    enum gqa_status st;

    *out = true;
    if (behaviours->sliding_layers != 0 && (st = check_types(config)) != GQA_OK)
        return st;
    switch (behaviours->sliding_layers) {
    case GQA_SLIDING_QWEN2:
    case GQA_SLIDING_QWEN2_MOE:
        return qwen2_slides(out, config, behaviours, layer);
    case GQA_SLIDING_MAX_WINDOW_LAYERS:
        return late_slides(out, config, behaviours, layer);
    case GQA_SLIDING_SMOLLM3:
        return smollm3_slides(out, config, layer);
    case GQA_SLIDING_USE_SLIDING_WINDOW:
        return flag_slides(out, config);
    case GQA_SLIDING_GPT_NEO:
        return gpt_neo_slides(out, config, layer);
    case GQA_SLIDING_LAYER_TYPES:
    case GQA_SLIDING_BUT_FIRST:
        return pattern_slides(out, config, behaviours, layer);
    default:
        return GQA_OK;
    }
}

/* --- Layers that rotate --------------------------------------------------- */

/* 1 in the list: it does, whatever the list is called. */
static enum gqa_status read_no_rope(bool *out, const json_t *config,
                                    size_t layer)
{
    const json_t *list = json_object_get(config, "no_rope_layers");
    const json_t *said = json_array_get(list, layer);
    uint64_t interval = 4;
    enum gqa_status st;

    if (json_is_array(list) && !json_is_integer(said))
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: no_rope_layers says nothing of layer "
                        "%zu",
                        layer);
    if (json_is_array(list)) {
        *out = json_integer_value(said) != 0;
        return GQA_OK;
    }
    st = gqa_config_natural(&interval, config, "no_rope_layer_interval");
    *out = interval == 0 || (layer + 1) % interval != 0;
    return st;
}

/* All of them, where there is no such list. */
static enum gqa_status read_layer_theta(bool *out, const json_t *config,
                                        size_t layer)
{
    const json_t *list = json_object_get(config, "layer_rope_theta");
    const json_t *said = json_array_get(list, layer);

    if (!list || json_is_null(list))
        return GQA_OK;
    *out = json_number_value(said) != 0;
    return json_is_number(said)
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "configuration: layer_rope_theta says no number for "
                          "layer %zu",
                          layer);
}

enum gqa_status gqa_layer_turns(bool *out,
                                const struct gqa_behaviours *behaviours,
                                const json_t *config, size_t layer)
{
    *out = true;
    if (behaviours->rope_layers == GQA_ROPE_SLIDING ||
        (behaviours->rope_layers == GQA_ROPE_EXAONE4 &&
         !json_is_null(json_object_get(config, "sliding_window"))))
        return gqa_layer_slides(out, behaviours, config, layer);
    if (behaviours->rope_layers == GQA_ROPE_LAYER_THETA)
        return read_layer_theta(out, config, layer);
    return behaviours->rope_layers == GQA_ROPE_NO_ROPE_LAYERS
               ? read_no_rope(out, config, layer)
               : GQA_OK;
}

/* --- Layers with experts -------------------------------------------------- */

static enum gqa_status qwen2_moe_has(bool *out, const json_t *config,
                                     size_t layer)
{
    const json_t *dense = json_object_get(config, "mlp_only_layers");
    uint64_t step = 1;
    const enum gqa_status st =
        gqa_config_natural(&step, config, "decoder_sparse_step");

    *out = step > 0 && (layer + 1) % step == 0;
    for (size_t i = 0; i < json_array_size(dense); i++)
        if (json_integer_value(json_array_get(dense, i)) == (json_int_t)layer)
            *out = false;
    return st;
}

static enum gqa_status deepseek_has(bool *out, const json_t *config,
                                    size_t layer)
{
    uint64_t first = 0, every = 1;
    enum gqa_status st;

    st = gqa_config_natural(&first, config, "first_k_dense_replace");
    if (st == GQA_OK)
        st = gqa_config_natural(&every, config, "moe_layer_freq");
    *out = layer >= first && every > 0 && layer % every == 0;
    return st;
}

static enum gqa_status behind_has(bool *out, const json_t *config,
                                  const struct gqa_behaviours *behaviours,
                                  size_t layer)
{
    double first = 0;
    const enum gqa_status st =
        gqa_setting_number(&first, &behaviours->dense_layers, config);

    *out = (double)layer >= first;
    return st;
}

/* "sparse" or "dense" of each layer. */
static enum gqa_status types_have(bool *out, const json_t *config,
                                  const struct gqa_behaviours *behaviours,
                                  size_t layer)
{
    const json_t *types = json_object_get(config, "mlp_layer_types");
    const char *type = json_string_value(json_array_get(types, layer));

    if (!json_is_array(types))
        return behind_has(out, config, behaviours, layer);
    *out = type && strcmp(type, "sparse") == 0;
    return type && (*out || strcmp(type, "dense") == 0)
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "configuration: mlp_layer_types of layer %zu is "
                          "%.40s, not sparse or dense",
                          layer, type ? type : "nothing");
}

/* Each so many-th, from one to another, among them; the last is -1 where all
 * behind the first are meant. */
static enum gqa_status ernie_has(bool *out, const json_t *config, size_t layer)
{
    const json_t *last = json_object_get(config, "moe_layer_end_index");
    uint64_t first = 1, end = UINT64_MAX, every = 1;
    enum gqa_status st;

    st = gqa_config_natural(&first, config, "moe_layer_start_index");
    if (st == GQA_OK)
        st = gqa_config_natural(&every, config, "moe_layer_interval");
    if (st == GQA_OK &&
        !(json_is_integer(last) && json_integer_value(last) == -1))
        st = gqa_config_natural(&end, config, "moe_layer_end_index");
    *out =
        layer >= first && layer <= end && every > 0 && (layer + 1) % every == 0;
    return st;
}

/* Of each so many layers the second has experts, or the last. The step is 0
 * where there are none. */
static enum gqa_status step_has(bool *out, const json_t *config,
                                bool is_encoder, size_t layer, bool is_last)
{
    uint64_t step = 4; /* 12 layers, 3 of them sparse */
    const enum gqa_status st = gqa_config_natural(
        &step, config,
        is_encoder ? "encoder_sparse_step" : "decoder_sparse_step");
    const uint64_t which = is_last ? step - 1 : 1;

    *out = step == 1 || (step > 0 && layer % step == which);
    return st;
}

enum gqa_status gqa_layer_has_experts(bool *out,
                                      const struct gqa_behaviours *behaviours,
                                      const json_t *config, bool is_encoder,
                                      size_t layer)
{
    uint64_t n = 1;
    enum gqa_status st;

    *out = true;
    switch (behaviours->expert_layers) {
    case GQA_EXPERT_LAYERS_SWITCH:
        return step_has(out, config, is_encoder, layer, false);
    case GQA_EXPERT_LAYERS_NLLB_MOE:
        return step_has(out, config, is_encoder, layer, true);
    case GQA_EXPERT_LAYERS_QWEN2_MOE:
        return qwen2_moe_has(out, config, layer);
    case GQA_EXPERT_LAYERS_DEEPSEEK:
        return deepseek_has(out, config, layer);
    case GQA_EXPERT_LAYERS_BEHIND:
        return behind_has(out, config, behaviours, layer);
    case GQA_EXPERT_LAYERS_SOME:
        st = gqa_config_natural(&n, config, "num_local_experts");
        *out = n > 0;
        return st;
    case GQA_EXPERT_LAYERS_TYPES:
        return types_have(out, config, behaviours, layer);
    case GQA_EXPERT_LAYERS_ERNIE:
        return ernie_has(out, config, layer);
    default:
        return GQA_OK;
    }
}

bool gqa_behaviours_read(const struct gqa_behaviours *behaviours,
                         const char *key)
{
    return (behaviours->rope_layers == GQA_ROPE_NO_ROPE_LAYERS &&
            strcmp(key, "no_rope_layers") == 0) ||
           (behaviours->rope_layers == GQA_ROPE_LAYER_THETA &&
            strcmp(key, "layer_rope_theta") == 0) ||
           gqa_settings_read(behaviours->sliding_pattern.json, key) ||
           gqa_settings_read(behaviours->dense_layers.json, key);
}

/* --- Inputs that are attended to as a whole --------------------------------
 */

/* Two global blocks, three that slide, and twice those that are drawn. */
static enum gqa_status bigbird_whole(uint64_t *most, const json_t *config)
{
    const char *type =
        json_string_value(json_object_get(config, "attention_type"));
    uint64_t n_random = 3, size = 64;
    enum gqa_status st;

    if (type && strcmp(type, "original_full") == 0)
        return GQA_OK;
    st = gqa_config_natural(&n_random, config, "num_random_blocks");
    if (st == GQA_OK)
        st = gqa_config_natural(&size, config, "block_size");
    if (st == GQA_OK)
        *most = (5 + 2 * n_random) * size;
    return st;
}

enum gqa_status gqa_longest_whole(uint64_t *most, enum gqa_whole_attention kind,
                                  const json_t *config)
{
    return kind == GQA_WHOLE_BIGBIRD ? bigbird_whole(most, config) : GQA_OK;
}

/* --- Scale of scores
 * ---------------------------------------------------------- */

static enum gqa_status scale_as_gpt2(double *scale, const json_t *config,
                                     size_t layer)
{
    bool by_layer = false;
    const enum gqa_status st =
        gqa_config_flag(&by_layer, config, "scale_attn_by_inverse_layer_idx");

    if (st == GQA_OK && by_layer)
        *scale /= (double)(layer + 1);
    return st;
}

enum gqa_status gqa_scale_scores(double *scale, enum gqa_score_scale kind,
                                 const json_t *config, size_t layer)
{
    return kind == GQA_SCORE_SCALE_GPT2 ? scale_as_gpt2(scale, config, layer)
                                        : GQA_OK;
}
