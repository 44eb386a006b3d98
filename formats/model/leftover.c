#include "formats/model/leftover.h"

#include <string.h>
#include <strings.h>

static const char *const adapter =
    "an adapter that is not merged: merge it first (merge_and_unload() of "
    "PEFT)";
static const char *const quantised =
    "quantised weights: convert the unquantised checkpoint, then quantise";
static const char *const modality =
    "a second stack, for images or sound: only the language model of such a "
    "checkpoint can be converted";
static const char *const meta =
    "Meta's own layout: write it in Hugging Face's first "
    "(convert_llama_weights_to_hf.py of transformers)";
static const char *const value_head =
    "a head that reinforcement learning adds to a model";
static const char *const more_layers =
    "layers that predict more tokens than one, a second stack";

/* Parts of names, whole components or the beginnings of them. */
static const struct {
    const char *part;
    const char *const *cause;
    bool begins; /* a component may go on behind it */
} signs[] = {
    {"lora_", &adapter, true},
    {"base_layer", &adapter, false},
    {"modules_to_save", &adapter, false},
    {"original_module", &adapter, false},
    {"adapter", &adapter, true},
    {"ia3_", &adapter, true},
    {"oft_", &adapter, true},
    {"hada_", &adapter, true},
    {"prompt_encoder", &adapter, true},
    {"prefix_encoder", &adapter, true},
    {"qweight", &quantised, false},
    {"qzeros", &quantised, false},
    {"g_idx", &quantised, false},
    {"scales", &quantised, false},
    {"biases", &quantised, false},
    {"absmax", &quantised, false},
    {"nested_", &quantised, true},
    {"quant_", &quantised, true},
    {"SCB", &quantised, false},
    {"weight_format", &quantised, false},
    {"W_q", &quantised, false},
    {"q_weight", &quantised, false},
    {"q_scale", &quantised, true},
    {"q_group", &quantised, true},
    {"q_invperm", &quantised, false},
    {"trellis", &quantised, false},
    {"suh", &quantised, false},
    {"svh", &quantised, false},
    {"codebooks", &quantised, false},
    {"Qidxs", &quantised, false},
    {"weight_blocks", &quantised, false},
    {"weight_packed", &quantised, false},
    {"weight_scale", &quantised, true},
    {"weight_zero_point", &quantised, false},
    {"weight_shape", &quantised, false},
    {"input_scale", &quantised, false},
    {"output_scale", &quantised, false},
    {"vision_", &modality, true},
    {"visual", &modality, true},
    {"image_", &modality, true},
    {"audio_", &modality, true},
    {"multi_modal_projector", &modality, true},
    {"mm_projector", &modality, true},
    {"v_head", &value_head, false},
    {"value_head", &value_head, false},
    {"mtp", &more_layers, true},
    {"wq", &meta, false},
    {"wk", &meta, false},
    {"wv", &meta, false},
    {"wo", &meta, false},
};

/* Of the components of a name, one that `fits`; at: where it begins. */
static bool has_component(const char *name, const char *part, bool begins)
{
    const size_t n = strlen(part);

    for (const char *at = name; at; at = strchr(at, '.')) {
        at += *at == '.';
        if (strncmp(at, part, n) == 0 &&
            (begins || at[n] == '.' || at[n] == '\0'))
            return true;
    }
    return false;
}

bool gqa_name_is_attention(const char *name)
{
    static const char *const ends[] = {"attn", "attention"};
    static const char *const projections[] = {
        "q_proj",       "k_proj", "v_proj", "qkv_proj",
        "kv_proj",      "qkv",    "query",  "key",
        "value",        "c_attn", "q_attn", "query_key_value",
        "wq",           "wk",     "wv",     "Wqkv",
        "to_q",         "to_k",   "to_v",   "in_proj_weight",
        "in_proj_bias",
    };

    for (size_t i = 0; i < sizeof projections / sizeof *projections; i++)
        if (has_component(name, projections[i], false))
            return true;
    for (const char *at = name; *at;) {
        const size_t n = strcspn(at, ".");

        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            const size_t m = strlen(ends[i]);

            if (n >= m && strncasecmp(at + n - m, ends[i], m) == 0)
                return true;
        }
        at += n + (at[n] == '.');
    }
    return false;
}

bool gqa_name_is_buffer(const char *name)
{
    static const char *const buffers[] = {"inv_freq",     "masked_bias",
                                          "position_ids", "cos_cached",
                                          "sin_cached",   "original_inv_freq"};

    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        const char *leaf = strrchr(name, '.');

        if (strcmp(leaf ? leaf + 1 : name, buffers[i]) == 0)
            return true;
    }
    return false;
}

bool gqa_leftover_is_quantised(const char *name)
{
    return gqa_leftover_cause(name) == quantised;
}

bool gqa_name_is_scale(const char *name, size_t n)
{
    return name[n] == '.' && gqa_leftover_is_quantised(name + n + 1);
}

static const char of_larger[] =
    "it is the language model of a larger one: save it by itself";

/* What stands before or within names that loaders know without it. */
static const struct {
    const char *part, *cause;
    bool wraps; /* modules, one by one: also within names */
} known[] = {
    {"_orig_mod",
     "torch.compile puts that there: save the state_dict() of the model "
     "that was compiled, its _orig_mod",
     true},
    {"module",
     "DataParallel and DistributedDataParallel put that there: save the "
     "state_dict() of the model within, its .module",
     true},
    {"_fsdp_wrapped_module",
     "FullyShardedDataParallel puts that there: save the state_dict() of "
     "the whole model (StateDictType.FULL_STATE_DICT)",
     true},
    {"_fpw_module",
     "FairScale's FullyShardedDataParallel puts that there: save the "
     "state_dict() of the model within",
     true},
    {"_forward_module",
     "Lightning puts that there: save the state_dict() of the model "
     "within, its .module",
     true},
    {"_checkpoint_wrapped_module",
     "checkpoint_wrapper of PyTorch puts that there: take it out of the "
     "names",
     true},
    {"base_model",
     "PEFT puts that there: merge the adapter (merge_and_unload()) and "
     "save what that gives",
     false},
    {"pretrained_model",
     "TRL puts that there: save the model within, its .pretrained_model",
     false},
    {"language_model", of_larger, false},
    {"text_model", of_larger, false},
};

bool gqa_prefix_is_of_larger(const char *prefix)
{
    return gqa_prefix_cause(prefix) == of_larger;
}

const char *gqa_prefix_cause(const char *prefix)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has_component(prefix, known[i].part, false))
            return known[i].cause;
    return "loaders of a language model find no weights by such names: write "
           "them without";
}

bool gqa_name_unwrap(char *out, size_t size, const char *name,
                     const char **part)
{
    size_t used = 0;

    *part = NULL;
    for (const char *at = name; *at;) {
        const size_t n = strcspn(at, ".");
        const size_t whole = n + (at[n] == '.');
        bool is_wrapper = false;

        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            is_wrapper |= known[i].wraps && strlen(known[i].part) == n &&
                          strncmp(at, known[i].part, n) == 0;
        if (is_wrapper && !*part)
            *part = at;
        if (!is_wrapper && used + whole < size) {
            memcpy(out + used, at, whole);
            used += whole;
        }
        at += whole;
    }
    out[used] = '\0';
    return *part != NULL;
}

const char *gqa_leftover_cause(const char *name)
{
    char bare[1];
    const char *part;

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (has_component(name, signs[i].part, signs[i].begins))
            return *signs[i].cause;
    return gqa_name_unwrap(bare, sizeof bare, name, &part)
               ? gqa_prefix_cause(part)
               : NULL;
}
