/* Numbers that no model has, each in a configuration that is right but for it:
 * what is said of it before anything is written, and by a run. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "changed_config.h"
#include "formats/model/inventory.h"
#include "formats/model/network.h"
#include "scratch.h"
#include "suite.h"

struct number {
    const char *fixture, *key, *value;
    const char *says; /* NULL: it may be so */
};

#define LLAMA   "runtime/llama"
#define MISTRAL "runtime/mistral"
#define GRANITE "families/granite"
#define MOE     "families/qwen2_moe"

static const struct number numbers[] = {
    /* Norms */
    {LLAMA, "rms_norm_eps", "-1", "rms_norm_eps is -1, not a number from 0 on"},
    {LLAMA, "rms_norm_eps", "0", NULL},
    {LLAMA, "rms_norm_eps", "true", "rms_norm_eps is true"},
    {"runtime/gpt2", "layer_norm_epsilon", "-1e-05", "layer_norm_epsilon is -"},
    {"runtime/t5-v1_1", "layer_norm_epsilon", "-1", "layer_norm_epsilon is -1"},
    /* Windows, where layers slide */
    {MISTRAL, "sliding_window", "0",
     "sliding_window is 0, not a whole number above 0"},
    {MISTRAL, "sliding_window", "-4", "sliding_window is -4"},
    {MISTRAL, "sliding_window", "2.5", "sliding_window is 2.5"},
    {MISTRAL, "sliding_window", "null", NULL},
    {MISTRAL, "sliding_window", "4096", NULL}, /* more than the context */
    {"runtime/qwen2-sliding", "sliding_window", "0", "sliding_window is 0"},
    {"runtime/qwen2", "sliding_window", "0", NULL},
    {"families/gemma2", "sliding_window", "-1", "sliding_window is -1"},
    {"families/gpt_neo", "window_size", "0", "window_size is 0"},
    /* Which layers are of which kind */
    {"runtime/qwen2-sliding", "max_window_layers", "-1",
     "max_window_layers is -1, not a count"},
    {MOE, "decoder_sparse_step", "-1", "decoder_sparse_step is -1"},
    {"families/deepseek", "first_k_dense_replace", "-1",
     "first_k_dense_replace is -1"},
    /* Scores, and what is added to the stream */
    {"families/gemma2", "attn_logit_softcapping", "0",
     "attn_logit_softcapping is 0, not a number above 0"},
    {"families/gemma2", "attn_logit_softcapping", "null", NULL},
    {"families/gemma2", "final_logit_softcapping", "-30",
     "final_logit_softcapping is -30"},
    {"families/gemma2", "query_pre_attn_scalar", "0",
     "query_pre_attn_scalar is 0"},
    {GRANITE, "attention_multiplier", "0",
     "attention_multiplier is 0, not a number above 0"},
    {GRANITE, "embedding_multiplier", "-3", "embedding_multiplier is -3"},
    {GRANITE, "residual_multiplier", "0", "residual_multiplier is 0"},
    {GRANITE, "logits_scaling", "0", "logits_scaling is 0"},
    {"families/cohere2", "logit_scale", "-1", "logit_scale is -1"},
    {"families/olmo-clip", "clip_qkv", "0", "clip_qkv is 0"},
    {"families/mpt-clip", "attn_config.clip_qkv", "-1",
     "attn_config.clip_qkv is -1"},
    {"families/minicpm", "scale_emb", "0", "scale_emb is 0"},
    {"families/minicpm", "dim_model_base", "-1", "dim_model_base is -1"},
    /* Experts */
    {MOE, "num_experts_per_tok", "5", "5 of 4 experts cannot be chosen"},
    {MOE, "num_experts_per_tok", "0",
     "num_experts_per_tok is 0, not a whole number above 0"},
    {MOE, "num_experts", "-1", "num_experts is -1"},
    {"families/deepseek", "num_experts_per_tok", "9", "9 of 4 experts cannot"},
    {"families/phimoe", "router_jitter_noise", "-1",
     "router_jitter_noise is -1"},
    {"families/phimoe", "router_jitter_noise", "0", NULL},
    /* Sizes, where no tensor contradicts them */
    {LLAMA, "vocab_size", "-1", "vocab_size is -1, not a count"},
    {LLAMA, "vocab_size", "null", "vocab_size is null, not a count"},
    {LLAMA, "hidden_size", "0", "hidden_size is 0, not a count"},
    {LLAMA, "intermediate_size", "-1", "intermediate_size is -1"},
    {LLAMA, "max_position_embeddings", "0", "max_position_embeddings is 0"},
    {LLAMA, "max_position_embeddings", "64.5", "max_position_embeddings is 6"},
    {LLAMA, "max_position_embeddings", "null", NULL},
    {LLAMA, "vocab_size", "61.0", NULL}, /* written as 61 */
    {LLAMA, "max_position_embeddings", "\"64\"",
     "max_position_embeddings is \"64\", not a count"},
    {"runtime/gpt2", "n_positions", "-1", "n_positions is -1"},
    {"families/opt", "max_position_embeddings", "0", "is 0, not a count"},
    /* Positions */
    {LLAMA, "rope_parameters.rope_theta", "0", "rope_theta is 0, not a number"},
    {LLAMA, "rope_parameters.rope_theta", "-1", "rope_theta is -1"},
    {LLAMA, "rope_parameters.rope_theta", "1",
     "the base of RoPE is 1, not above 1"},
    {"families/gemma3", "rope_local_base_freq", "-1",
     "rope_local_base_freq is -1"},
    {"runtime/t5-v1_1", "relative_attention_max_distance", "0",
     "relative_attention_max_distance is 0"},
    /* RoPE that is scaled */
    {LLAMA, "rope_scaling", "{\"rope_type\": \"linear\"}",
     "RoPE of kind 'linear' needs factor"},
    {LLAMA, "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}",
     "factor is 0, not a number above 0"},
    {LLAMA, "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0.5}",
     NULL},
    {LLAMA, "rope_scaling", "{\"rope_type\": \"yarn\"}",
     "RoPE of kind 'yarn' needs factor"},
    {LLAMA, "rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": -2.0}",
     "factor is -2.0, not a number above 0"},
    {LLAMA, "rope_scaling", "{\"rope_type\": \"dynamic\"}",
     "RoPE of kind 'dynamic' needs factor"},
    {LLAMA, "rope_scaling",
     "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 4.0, "
     "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 16}",
     "high_freq_factor 4 is not above low_freq_factor 4"},
    {LLAMA, "rope_scaling",
     "{\"rope_type\": \"longrope\", \"factor\": 2.0, "
     "\"long_factor\": [1, 1, 1, 1], \"short_factor\": [1, 1, 1]}",
     "needs short_factor, a list of 4 numbers"},
    {LLAMA, "rope_scaling",
     "{\"rope_type\": \"longrope\", \"factor\": 2.0, "
     "\"long_factor\": [1, 1, 1, 1, 1], \"short_factor\": [1, 1, 1, 1]}",
     "needs long_factor, a list of 4 numbers"},
    {LLAMA, "rope_scaling", "7", "rope_scaling is neither an object nor null"},
    /* Of another type, which is not as if it were not there */
    {LLAMA, "hidden_act", "3", "hidden_act is 3, not a"},
    {LLAMA, "attention_bias", "\"yes\"", "attention_bias is \"yes\", not"},
    {LLAMA, "mlp_bias", "1", "mlp_bias is 1, not true, false"},
    {"families/gemma2", "layer_types", "\"full_attention\"",
     "layer_types is not a list"},
    {"runtime/qwen2-sliding", "layer_types", "7", "layer_types is not a list"},
    /* What only these tools do not know */
    {LLAMA, "rope_scaling", "{\"rope_type\": \"foo\"}", NULL},
    {"families/gemma2", "layer_types", "[\"chunked_attention\"]", NULL},
    {LLAMA, "hidden_act", "\"mish\"", NULL},
};

static enum gqa_status open_with(struct gqa_checkpoint **checkpoint,
                                 struct gqa_model **model,
                                 const struct number *n)
{
    const struct gqa_checkpoint_options options = {
        .config_path = changed_config(n->fixture, n->key, n->value)};
    const enum gqa_status st =
        gqa_checkpoint_open(checkpoint, test_data(n->fixture), &options);

    return st == GQA_OK ? gqa_model_create(model, *checkpoint, NULL) : st;
}

START_TEST(are_told_of)
{
    const struct number *n = &numbers[_i];
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    struct gqa_inventory *inventory = NULL;
    struct gqa_network *network = NULL;
    char text[512];

    ck_assert_int_eq(open_with(&checkpoint, &model, n), GQA_OK);
    /* Without some numbers it is not known what tensors there must be. */
    if (gqa_inventory_create(&inventory, model, checkpoint) == GQA_OK)
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_NUMBER,
                           GQA_FAULT_NUMBER);
    else
        snprintf(text, sizeof text, "%s", gqa_error_message());
    ck_assert_msg(n->says ? strstr(text, n->says) != NULL : !*text,
                  "%s: %s %s: '%s'", n->fixture, n->key, n->value, text);
    if (n->says) {
        ck_assert_int_eq(gqa_network_create(&network, model), GQA_ERR_FORMAT);
        ck_assert_str_eq(gqa_error_message(), text);
    }
    gqa_inventory_free(inventory);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* Of a configuration that says no heads, as those of text models within others
 * may. */
START_TEST(heads_are_the_default_of_the_class)
{
    static const struct number none = {"families/bloom", "n_head", NULL, NULL};
    const struct gqa_model_hints four = {.n_heads = 4};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;

    ck_assert_int_eq(open_with(&checkpoint, &model, &none), GQA_OK);
    ck_assert_uint_eq(model->attentions[0].n_heads, 8);
    gqa_model_free(model);
    model = NULL;
    ck_assert_int_eq(gqa_model_create(&model, checkpoint, &four),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "the number of heads is 8 by the default of its class, "
                     "but 4 by --n-heads");
    gqa_checkpoint_close(checkpoint);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config_numbers");
    TCase *tc = tcase_create("config_numbers");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_loop_test(tc, are_told_of, 0,
                        (int)(sizeof numbers / sizeof *numbers));
    tcase_add_test(tc, heads_are_the_default_of_the_class);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
