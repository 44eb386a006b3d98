#include "formats/model/network_rules.h"

#include <math.h>
#include <string.h>

#include "formats/model/network_config.h"

static bool is_type(const struct gqa_network_builder *b, const char *type)
{
    return b->model->model_type && strcmp(b->model->model_type, type) == 0;
}

/* Transformers drops a bias that the configuration does not ask for. */
static enum gqa_status check_bias(const struct gqa_network_builder *b,
                                  const struct gqa_linear *linear, bool asked,
                                  const char *key)
{
    const bool has = linear->bias != GQA_NO_PARAM;

    if (has == asked)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "'%s' has %s bias, but the configuration (%s) asks for "
                    "%s",
                    b->model->params[linear->weight].name, has ? "a" : "no",
                    key, asked ? "one" : "none");
}

/* --- T5, mT5, umT5 ------------------------------------------------------ */

/* "gelu" or "gated-gelu"; with a gate, T5's gelu is the tanh one. Of what is
 * made of that, the configuration may have a word of its own. */
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
    if ((st = gqa_config_text(&kind, b->model->config, "dense_act_fn")) !=
            GQA_OK ||
        (st = gqa_config_flag(&b->gated, b->model->config, "is_gated_act")) !=
            GQA_OK)
        return st;
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
    b->bias_by_layer = is_type(b, "umt5");
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
    bool slides = false;
    uint64_t window = 4096;
    uint64_t first = 28; /* layers of Qwen2 that do not slide */
    enum gqa_status st;

    if (is_type(b, "llama"))
        return GQA_OK;
    if ((st = gqa_config_flag(&slides, config, "use_sliding_window")) !=
            GQA_OK ||
        (st = gqa_config_natural(&first, config, "max_window_layers")) !=
            GQA_OK ||
        (st = gqa_config_whole(&window, config, "sliding_window")) != GQA_OK)
        return st;
    /* Null is an answer here: no window. */
    if ((qwen && !slides) ||
        json_is_null(json_object_get(config, "sliding_window")))
        return GQA_OK;
    for (size_t i = 0; i < stack->n_blocks; i++) {
        bool here = true;

        if (qwen && (st = layer_slides(&here, b, i, first)) != GQA_OK)
            return st;
        if (here)
            stack->blocks[i].self.window = window;
    }
    return GQA_OK;
}

/* Llama turns its whole heads, whatever this key says to other models. */
static enum gqa_status check_whole_heads(const struct gqa_network_builder *b)
{
    const struct gqa_attention *a = &b->model->attentions[0];

    if (a->position.rotary_dim == a->head_dim)
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "RoPE of %llu of a head's %llu dimensions "
                    "(partial_rotary_factor) cannot be run in a model of type "
                    "%s",
                    (unsigned long long)a->position.rotary_dim,
                    (unsigned long long)a->head_dim, b->model->model_type);
}

static enum gqa_status check_llama_biases(const struct gqa_network_builder *b)
{
    const bool llama = is_type(b, "llama");
    const char *attention_key = llama ? "attention_bias" : "model_type";
    const char *mlp_key = llama ? "mlp_bias" : "model_type";
    bool attention = false;
    bool mlp = false;
    enum gqa_status st;

    if (llama &&
        ((st = gqa_config_flag(&attention, b->model->config, attention_key)) !=
             GQA_OK ||
         (st = gqa_config_flag(&mlp, b->model->config, mlp_key)) != GQA_OK))
        return st;
    for (size_t i = 0; i < b->network->stacks[0].n_blocks; i++) {
        const struct gqa_block *block = &b->network->stacks[0].blocks[i];
        const struct gqa_linear *const qkv[] = {&block->self.q, &block->self.k,
                                                &block->self.v};
        const struct gqa_linear *const ff[] = {&block->ff.gate, &block->ff.up,
                                               &block->ff.down};

        for (size_t j = 0; j < 3; j++)
            if ((st = check_bias(b, qkv[j], attention || is_type(b, "qwen2"),
                                 attention_key)) != GQA_OK ||
                (st = check_bias(b, ff[j], mlp, mlp_key)) != GQA_OK)
                return st;
        if ((st = check_bias(b, &block->self.o, attention, attention_key)) !=
            GQA_OK)
            return st;
    }
    return GQA_OK;
}

static enum gqa_status finish_llama(struct gqa_network_builder *b)
{
    enum gqa_status st;

    if ((st = check_whole_heads(b)) != GQA_OK ||
        (st = check_llama_biases(b)) != GQA_OK)
        return st;
    return choose_windows(b);
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
    static const char bias_key[] = "attention_bias";
    const json_t *config = b->model->config;
    struct gqa_network_stack *stack = &b->network->stacks[0];
    bool parallel = true;
    bool bias = true;
    enum gqa_status st;

    if ((st = gqa_config_flag(&parallel, config, "use_parallel_residual")) !=
            GQA_OK ||
        (st = gqa_config_flag(&bias, config, bias_key)) != GQA_OK)
        return st;
    for (size_t i = 0; i < stack->n_blocks; i++) {
        struct gqa_block *block = &stack->blocks[i];

        block->parallel = parallel;
        if ((st = check_bias(b, &block->self.q, bias, bias_key)) != GQA_OK ||
            (st = check_bias(b, &block->self.o, bias, bias_key)) != GQA_OK)
            return st;
    }
    return GQA_OK;
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
        .finish = finish_llama,
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
