#include "formats/model/kind.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/units.h"
#include "formats/foreign/words.h"

/* Parts of names that no other kind of model has. */
struct sign {
    const char *part;
    const char *words;
};

static const struct sign signs[] = {
    {".kv_a_proj_with_mqa.",
     "its attention is multi-head latent attention (DeepSeek's MLA): the cache "
     "keeps one latent vector for all heads ('kv_a_proj_with_mqa'), so there "
     "are no heads of keys and values to group, and little to save"},
    {".kv_a_proj.",
     "its attention is multi-head latent attention (MLA): the cache keeps one "
     "latent vector for all heads ('kv_a_proj'), so there are no heads of "
     "keys and values to group, and little to save"},
    {".attention.wk.",
     "Meta's own layout ('attention.wk'); write Hugging Face's first, in a "
     "source tree of transformers: python3 "
     "src/transformers/models/llama/convert_llama_weights_to_hf.py "
     "--input_dir FOLDER --model_size SIZE --output_dir OUT"},
    {"transformer.vocab_embedding.", TENSORRT_LLM_WORDS},
    {".att.time_decay", "RWKV, which has no attention and no KV cache"},
    {".mixer.A_log", "Mamba, which has no attention and no KV cache"},
};

/* Keys and values of models that see a whole text, or picture, at once. */
static const char *const encoder_signs[] = {
    ".attention.self.key",      ".attention.self.value",
    ".attention.attention.key", ".attention.attention.value",
    ".attention.k_lin",         ".attention.v_lin",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t count_with(const struct gqa_params *params, const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < params->n; i++)
        n += strstr(params->items[i].name, part) != NULL;
    return n;
}

/* Nothing but what PEFT adds; where the model itself is there too, it is one
 * that is not merged. */
static bool is_adapter(const struct gqa_params *params)
{
    const size_t n = count_with(params, ".lora_") +
                     count_with(params, ".ia3_") +
                     count_with(params, "prompt_embeddings");

    return n > 0 && 2 * n >= params->n &&
           count_with(params, ".base_layer.") == 0;
}

/* Whether a decoder made of such parts is among them. */
static bool has_decoder(const struct gqa_params *params)
{
    return count_with(params, "crossattention") > 0 ||
           count_with(params, "decoder.layer") > 0;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Bytes of keys' and values' projections, and of all parameters. */
static void weigh(uint64_t *kv, uint64_t *all, const struct gqa_params *params)
{
    /* ModernBERT's name of all three is that of decoders too. */
    const bool is_modern = count_with(params, "embeddings.tok_embeddings.") > 0;

    *kv = *all = 0;
    for (size_t i = 0; i < params->n; i++) {
        const struct gqa_param *param = &params->items[i];

        *all = add_capped(*all, param->n_bytes);
        for (size_t j = 0; j < COUNT(encoder_signs); j++)
            if (strstr(param->name, encoder_signs[j]))
                *kv = add_capped(*kv, param->n_bytes);
        if (is_modern && strstr(param->name, ".attn.Wqkv"))
            *kv = add_capped(*kv, param->n_bytes / 3 * 2);
    }
}

static enum gqa_status refuse_encoder(enum gqa_status st,
                                      const struct gqa_params *params)
{
    uint64_t kv, all;

    if (has_decoder(params))
        return st;
    weigh(&kv, &all, params);
    if (kv == 0)
        return st;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "an encoder, which sees its input at once and keeps no KV "
                    "cache: grouping would save nothing of one, and of the "
                    "weights less than %s of %s (keys and values)",
                    gqa_units_bytes((char[GQA_UNITS_MAX]){""}, kv),
                    gqa_units_bytes((char[GQA_UNITS_MAX]){""}, all));
}

/* Keras's integers with scales beside them, in layers that have none. */
static bool is_quantised_keras(const struct gqa_checkpoint *checkpoint)
{
    const enum gqa_naming naming = gqa_checkpoint_naming(checkpoint);

    if (naming != GQA_NAMES_KERAS && naming != GQA_NAMES_KERAS_LEGACY)
        return false;
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(checkpoint); i++)
        if (gqa_checkpoint_tensor(checkpoint, i)->dtype == GQA_I8)
            return true;
    return false;
}

enum gqa_status gqa_kind_refuse(enum gqa_status st,
                                const struct gqa_params *params,
                                const struct gqa_checkpoint *checkpoint,
                                bool has_family)
{
    if (is_quantised_keras(checkpoint))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a Keras model that was quantised (int8 weights and "
                        "their scales), which cannot be pooled; convert the "
                        "unquantised one, then quantise");
    if (is_adapter(params))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s", ADAPTER_WORDS);
    for (size_t i = 0; i < COUNT(signs); i++)
        if (count_with(params, signs[i].part) > 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s", signs[i].words);
    return has_family ? st : refuse_encoder(st, params);
}
