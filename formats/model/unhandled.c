#include "formats/model/unhandled.h"

#include <stddef.h>
#include <string.h>

static const char latent[] =
    "its attention is multi-head latent attention (DeepSeek's MLA): the cache "
    "keeps one latent vector for all heads, so there are no heads of keys and "
    "values to group, and little to save";
static const char hybrid[] =
    "some of its layers keep a state of one size in place of keys and values "
    "(Mamba, linear attention, convolutions), and a description has words for "
    "none of these";
static const char no_attention[] =
    "it has no attention and no KV cache, but a state of one size";
static const char encoder[] =
    "an encoder, which keeps no KV cache: grouping would save some of its "
    "weights, and none of a cache";
static const char rope_of_layers[] =
    "its configuration has a base of RoPE for each layer";
static const char shared_layers[] =
    "some of its layers attend to keys and values of others";
static const char several_at_once[] =
    "its decoder runs several predictions at once through each attention";
static const char older_falcon[] =
    "an older name of Falcon, with other keys; the model is published with a "
    "configuration of the type falcon, too: take that";

static const struct {
    const char *model_type, *why;
} unhandled[] = {
    {"axk1", latent},
    {"bailing_hybrid", hybrid},
    {"bamba", hybrid},
    {"bitnet", "it norms what its attention and its feed-forward make before "
               "their last projections"},
    {"blt", "it reads bytes, of which other models make patches"},
    {"dbrx", "all of its experts lie above one another in a matrix"},
    {"deepseek_v2", latent},
    {"deepseek_v3", latent},
    {"deepseek_v32", latent},
    {"doge", "its values say which keys are seen"},
    {"falcon_h1", hybrid},
    {"falcon_mamba", no_attention},
    {"flex_olmo", "its experts have no norm before them, and one behind"},
    {"gemma3n", shared_layers},
    {"gemma3n_text", shared_layers},
    {"gemma4", shared_layers},
    {"gemma4_text", shared_layers},
    {"glm4_moe_lite", latent},
    {"granite_swa", rope_of_layers},
    {"granitemoe_swa", rope_of_layers},
    {"jamba", hybrid},
    {"jetmoe", "its queries and outputs are those of experts, of which a token "
               "has as many as share each head of keys and values"},
    {"kimi_k2", latent},
    {"kimi_linear", hybrid},
    {"lfm2", hybrid},
    {"lfm2_moe", hybrid},
    {"lfm3", hybrid},
    {"llama4", "its layers see chunks of keys, and its experts what their "
               "router has multiplied"},
    {"llama4_text", "its layers see chunks of keys, and its experts what their "
                    "router has multiplied"},
    {"longcat_flash", latent},
    {"mamba", no_attention},
    {"mamba2", no_attention},
    {"mega", "its attention is of averages that move"},
    {"mimo_v2_flash", "heads of its values are of another size than those of "
                      "its keys, and layers that slide have more of them"},
    {"minicpm3", latent},
    {"minimax", hybrid},
    {"moonshine", "its decoder's feed-forward is gated by one matrix with a "
                  "bias, and its encoder hears sound"},
    {"mpnet", encoder},
    {"nanochat", "it rotates queries and keys backwards"},
    {"nemotron_h", hybrid},
    {"olmo_hybrid", hybrid},
    {"prophetnet", several_at_once},
    {"qwen3_5", hybrid},
    {"qwen3_5_moe", hybrid},
    {"qwen3_5_moe_text", hybrid},
    {"qwen3_5_text", hybrid},
    {"qwen3_next", hybrid},
    {"recurrent_gemma", hybrid},
    {"reformer", "its attention sorts tokens by hashes"},
    {"RefinedWeb", older_falcon},
    {"RefinedWebModel", older_falcon},
    {"rwkv", no_attention},
    {"sarvam_mla", latent},
    {"stablelm_epoch",
     "an older name of StableLM: write 'stablelm', layer_norm_eps in place of "
     "norm_eps and partial_rotary_factor in place of rope_pct"},
    {"transfo-xl", "its attention has two biases and keys of distances"},
    {"xlm", encoder},
    {"xlm-prophetnet", several_at_once},
    {"xlnet", "its attention has two streams, biases and keys of distances"},
    {"xlstm", no_attention},
    {"youtu", latent},
    {"zamba", hybrid},
    {"zamba2", hybrid},
};

const char *gqa_why_unhandled(const char *model_type)
{
    for (size_t i = 0; i < sizeof unhandled / sizeof *unhandled; i++)
        if (strcmp(model_type, unhandled[i].model_type) == 0)
            return unhandled[i].why;
    return NULL;
}

const char *gqa_why_layers_unhandled(const json_t *config,
                                     const char *model_type)
{
    static const char *const kinds[] = {"mamba", "linear_attention", "conv",
                                        "recurrent"};
    const json_t *types = json_object_get(config, "layer_types");

    /* The class's layers are Mamba's where nothing is said. */
    if (strcmp(model_type, "granitemoehybrid") == 0 && !json_is_array(types))
        return hybrid;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));

        for (size_t k = 0; type && k < sizeof kinds / sizeof *kinds; k++)
            if (strcmp(type, kinds[k]) == 0)
                return hybrid;
    }
    return NULL;
}
