/*
 * A configuration: any bytes, beside the weights of the family that it names.
 * What a model is made of must be found or refused, and means the same as
 * itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "formats/families/kv_said.h"
#include "formats/families/meaning.h"
#include "formats/model/inventory.h"
#include "formats/model/network.h"
#include "fuzz.h"

/* The first whose type occurs in the text; the last one fits any. */
static const struct {
    const char *type, *weights;
} families[] = {
    {"\"falcon\"", "families/falcon-40b/model.safetensors"},
    {"\"gpt_bigcode\"", "families/gpt_bigcode/model.safetensors"},
    {"\"llava\"", "families/llava/model.safetensors"},
    {"\"gemma3_text\"", "families/gemma3/model.safetensors"},
    {"\"granitemoe\"", "families/granitemoe/model.safetensors"},
    {"\"olmoe\"", "families/olmoe/model.safetensors"},
    {"\"phimoe\"", "families/phimoe/model.safetensors"},
    {"\"qwen2_moe\"", "families/qwen2_moe/model.safetensors"},
    {"\"smollm3\"", "families/smollm3/model.safetensors"},
    {"\"gpt2\"", "good/gpt2/model.safetensors"},
    {"\"gpt_neox\"", "good/gpt_neox/model.safetensors"},
    {"\"umt5\"", "good/umt5/model.safetensors"},
    {"\"mt5\"", "good/mt5/model.safetensors"},
    {"\"t5\"", "good/t5-v1_1/model.safetensors"},
    {"\"qwen2\"", "good/qwen2/model.safetensors"},
    {"\"mistral\"", "good/mistral/model.safetensors"},
    {"T5Backbone", "good/kerashub-t5/model.weights.h5"},
    {"GemmaBackbone", "kerashub/gemma2/model.weights.h5"},
    {"Gemma3Backbone", "kerashub/gemma3/model.weights.h5"},
    {"QwenMoeBackbone", "kerashub/qwen_moe/model.weights.h5"},
    {"SmolLM3Backbone", "kerashub/smollm3/model.weights.h5"},
    {"", "good/llama/model.safetensors"},
};

static const char *find_weights(const uint8_t *data, size_t size)
{
    size_t i = 0;

    while (*families[i].type &&
           !(size > 0 &&
             memmem(data, size, families[i].type, strlen(families[i].type))))
        i++;
    return families[i].weights;
}

/* What can be said is read again. */
static void say_kv_heads(const struct gqa_model *model)
{
    const uint64_t n_heads = gqa_model_n_heads(model);

    for (uint64_t n = 0; n <= n_heads; n++) {
        json_t *config = json_deep_copy(model->config);

        if (gqa_kv_said_check(model->family, config, n_heads, n, "out/", "") ==
            GQA_OK) {
            gqa_kv_said_set(config, model->family, n_heads, n);
            if (gqa_kv_said_count(model->family, config, n_heads) != n)
                abort();
        }
        json_decref(config);
    }
}

static void understand(const struct gqa_model *model,
                       const struct gqa_checkpoint *checkpoint)
{
    const struct gqa_meaning_view view = {.n_layers = model->n_layers,
                                          .kv_heads = true};
    struct gqa_inventory *inventory = NULL;
    struct gqa_network *network = NULL;
    json_t *meaning = NULL, *differences = NULL;

    if (gqa_inventory_create(&inventory, model, checkpoint) == GQA_OK)
        gqa_inventory_free(inventory);
    if (gqa_network_create(&network, model) == GQA_OK)
        gqa_network_free(network);
    if (model->config &&
        gqa_meaning_create(&meaning, model->family, model->config, &view) ==
            GQA_OK &&
        (gqa_meaning_compare(&differences, meaning, meaning) != GQA_OK ||
         json_array_size(differences) > 0))
        abort();
    json_decref(differences);
    json_decref(meaning);
    if (model->config && gqa_kv_said(model->family))
        say_kv_heads(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = fuzz_file(data, size);
    struct gqa_checkpoint *checkpoint = NULL;
    const struct gqa_model_hints hints = {0};
    struct gqa_model *model = NULL;
    char config[64], path[512];

    gqa_log_init("fuzz", GQA_LOG_ERROR);
    snprintf(config, sizeof config, "/proc/self/fd/%d", fd);
    snprintf(path, sizeof path, "%s/%s", GQA_DATA, find_weights(data, size));
    if (gqa_checkpoint_open(&checkpoint, path,
                            &(const struct gqa_checkpoint_options){
                                .config_path = config}) == GQA_OK &&
        gqa_model_create(&model, checkpoint, &hints) == GQA_OK)
        understand(model, checkpoint);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    close(fd);
    return 0;
}
