#include "runtime/network_rules.h"

#include <math.h>
#include <string.h>

#include "runtime/network_config.h"

static bool is_type(const struct gqa_network_builder *b, const char *type)
{
    return b->model->model_type && strcmp(b->model->model_type, type) == 0;
}

/* --- T5, mT5, umT5 ------------------------------------------------------ */

/* "gelu" or "gated-gelu"; with a gate, T5's gelu is the tanh one. */
static enum gqa_status choose_t5_feed_forward(struct gqa_network_builder *b)
{
    static const char gated[] = "gated-";
    const char *kind = is_type(b, "t5") ? "relu" : "gated-gelu";
    enum gqa_status st;

    st = gqa_config_text(&kind, b->model->config, "feed_forward_proj");
    if (st != GQA_OK)
        return st;
    b->gated = strncmp(kind, gated, sizeof gated - 1) == 0;
    if (b->gated)
        kind += sizeof gated - 1;
    if (b->gated && strcmp(kind, "gelu") == 0)
        kind = "gelu_new";
    return gqa_activation_parse(&b->activation, kind);
}

static enum gqa_status begin_t5(struct gqa_network_builder *b)
{
    struct gqa_network *n = b->network;
    bool scaled = b->tied;
    enum gqa_status st;

    st = gqa_config_flag(&scaled, b->model->config, "scale_decoder_outputs");
    if (st == GQA_OK && scaled && !is_type(b, "mt5"))
        n->logit_scale = 1 / sqrt((double)n->d_model);
    return st == GQA_OK ? choose_t5_feed_forward(b) : st;
}

/* --- Llama, Mistral, Qwen2 ---------------------------------------------- */

/* Qwen2: which layers slide. */
static enum gqa_status layer_slides(bool *out,
                                    const struct gqa_network_builder *b,
                                    size_t layer, uint64_t first)
{
    const json_t *types = json_object_get(b->model->config, "layer_types");
    const char *type = json_string_value(json_array_get(types, layer));

    *out = layer >= first;
    if (!json_is_array(types))
        return GQA_OK;
    if (type && (strcmp(type, "full_attention") == 0 ||
                 strcmp(type, "sliding_attention") == 0)) {
        *out = type[0] == 's';
        return GQA_OK;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: layer_types of layer %zu is '%.40s', not "
                    "full_attention or sliding_attention",
                    layer, type ? type : "?");
}

/* Mistral slides in all layers; Qwen2 where it says so; Llama in none. */
static enum gqa_status choose_windows(struct gqa_network_builder *b)
{
    const json_t *config = b->model->config;
    struct gqa_network_stack *stack = &b->network->stacks[0];
    const bool qwen = is_type(b, "qwen2");
    bool slides = !qwen;
    uint64_t window = 4096;
    uint64_t first = qwen ? 28 : 0;
    enum gqa_status st;

    if (is_type(b, "llama"))
        return GQA_OK;
    /* Null is an answer here: no window. */
    if (json_is_null(json_object_get(config, "sliding_window")))
        return GQA_OK;
    if ((st = gqa_config_flag(&slides, config, "use_sliding_window")) !=
            GQA_OK ||
        !slides)
        return st;
    if ((st = gqa_config_whole(&window, config, "sliding_window")) != GQA_OK)
        return st;
    /* A count of layers that do not slide, which may be 0. */
    if (qwen && json_is_integer(json_object_get(config, "max_window_layers")) &&
        json_integer_value(json_object_get(config, "max_window_layers")) >= 0)
        first = (uint64_t)json_integer_value(
            json_object_get(config, "max_window_layers"));
    for (size_t i = 0; i < stack->n_blocks; i++) {
        bool here = true;

        if (qwen && (st = layer_slides(&here, b, i, first)) != GQA_OK)
            return st;
        if (here)
            stack->blocks[i].self.window = window;
    }
    return GQA_OK;
}

/* --- GPT-2 -------------------------------------------------------------- */

static enum gqa_status finish_gpt2(struct gqa_network_builder *b)
{
    const json_t *config = b->model->config;
    struct gqa_network_stack *stack = &b->network->stacks[0];
    bool scaled = true;
    bool by_layer = false;
    bool cross = false;
    enum gqa_status st;

    if ((st = gqa_config_flag(&scaled, config, "scale_attn_weights")) !=
            GQA_OK ||
        (st = gqa_config_flag(&by_layer, config,
                              "scale_attn_by_inverse_layer_idx")) != GQA_OK ||
        (st = gqa_config_flag(&cross, config, "add_cross_attention")) != GQA_OK)
        return st;
    if (cross)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "GPT-2 with cross-attention cannot be run");
    for (size_t i = 0; i < stack->n_blocks; i++) {
        struct gqa_attention_block *self = &stack->blocks[i].self;

        if (!scaled)
            self->scale = 1;
        if (by_layer)
            self->scale /= (double)(i + 1);
    }
    return GQA_OK;
}

/* --- GPT-NeoX ----------------------------------------------------------- */

static enum gqa_status finish_gpt_neox(struct gqa_network_builder *b)
{
    struct gqa_network_stack *stack = &b->network->stacks[0];
    bool parallel = true;
    enum gqa_status st =
        gqa_config_flag(&parallel, b->model->config, "use_parallel_residual");

    for (size_t i = 0; i < stack->n_blocks; i++)
        stack->blocks[i].parallel = parallel;
    return st;
}

const struct gqa_network_rule gqa_network_rules[] = {
    {
        .family = "t5",
        .needs_config = true,
        .stacks = {{.layer = "encoder.block.%",
                    .self_norm = "layer.0.layer_norm",
                    .ff_norm = "layer.1.layer_norm",
                    .gate = "layer.1.DenseReluDense.wi_0",
                    .up = "layer.1.DenseReluDense.wi_1",
                    .plain = "layer.1.DenseReluDense.wi",
                    .down = "layer.1.DenseReluDense.wo",
                    .final_norm = "encoder.final_layer_norm"},
                   {.layer = "decoder.block.%",
                    .self_norm = "layer.0.layer_norm",
                    .cross_norm = "layer.1.layer_norm",
                    .ff_norm = "layer.2.layer_norm",
                    .gate = "layer.2.DenseReluDense.wi_0",
                    .up = "layer.2.DenseReluDense.wi_1",
                    .plain = "layer.2.DenseReluDense.wi",
                    .down = "layer.2.DenseReluDense.wo",
                    .final_norm = "decoder.final_layer_norm"}},
        .norm = GQA_NORM_RMS,
        .eps_key = "layer_norm_epsilon",
        .eps = 1e-6,
        .tied = true,
        .start_key = "decoder_start_token_id",
        .begin = begin_t5,
    },
    {
        .family = "llama",
        .needs_config = true,
        .stacks = {{.layer = NULL},
                   {.layer = "layers.%",
                    .self_norm = "input_layernorm",
                    .ff_norm = "post_attention_layernorm",
                    .gate = "mlp.gate_proj",
                    .up = "mlp.up_proj",
                    .down = "mlp.down_proj",
                    .final_norm = "norm"}},
        .norm = GQA_NORM_RMS,
        .eps_key = "rms_norm_eps",
        .eps = 1e-6,
        .activation_key = "hidden_act",
        .activation = "silu",
        .scores_scaled = true,
        .theta = 10000,
        .start_key = "bos_token_id",
        .finish = choose_windows,
    },
    {
        .family = "gpt2",
        .stacks = {{.layer = NULL},
                   {.layer = "h.%",
                    .self_norm = "ln_1",
                    .ff_norm = "ln_2",
                    .plain = "mlp.c_fc",
                    .down = "mlp.c_proj",
                    .positions = "wpe",
                    .final_norm = "ln_f"}},
        .input_major = true,
        .norm = GQA_NORM_LAYER,
        .eps_key = "layer_norm_epsilon",
        .eps = 1e-5,
        .activation_key = "activation_function",
        .activation = "gelu_new",
        .scores_scaled = true,
        .tied = true,
        .start_key = "bos_token_id",
        .finish = finish_gpt2,
    },
    {
        .family = "gpt_neox",
        .stacks = {{.layer = NULL},
                   {.layer = "layers.%",
                    .self_norm = "input_layernorm",
                    .ff_norm = "post_attention_layernorm",
                    .plain = "mlp.dense_h_to_4h",
                    .down = "mlp.dense_4h_to_h",
                    .final_norm = "final_layer_norm"}},
        .norm = GQA_NORM_LAYER,
        .eps_key = "layer_norm_eps",
        .eps = 1e-5,
        .activation_key = "hidden_act",
        .activation = "gelu",
        .scores_scaled = true,
        .theta_key = "rotary_emb_base",
        .theta = 10000,
        .other_unembedding = "lm_head.weight",
        .start_key = "bos_token_id",
        .finish = finish_gpt_neox,
    },
    {.family = NULL},
};
