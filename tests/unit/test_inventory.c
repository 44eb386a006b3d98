/* What a model must and may have, and what is said where it has not. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/inventory.h"
#include "formats/model/leftover.h"
#include "scratch.h"
#include "tensor_file.h"

/* A Llama of one layer: width 4, two heads, feed-forward 3, vocabulary 5. */
struct entry {
    const char *name;
    size_t rows, cols;
    enum gqa_dtype dtype;
};
static const struct entry llama[] = {
    {"lm_head.weight", 5, 4, GQA_F32},
    {"model.embed_tokens.weight", 5, 4, GQA_F32},
    {"model.layers.0.input_layernorm.weight", 4, 0, GQA_F32},
    {"model.layers.0.mlp.down_proj.weight", 4, 3, GQA_F32},
    {"model.layers.0.mlp.gate_proj.weight", 3, 4, GQA_F32},
    {"model.layers.0.mlp.up_proj.weight", 3, 4, GQA_F32},
    {"model.layers.0.post_attention_layernorm.weight", 4, 0, GQA_F32},
    {"model.layers.0.self_attn.k_proj.weight", 4, 4, GQA_F32},
    {"model.layers.0.self_attn.o_proj.weight", 4, 4, GQA_F32},
    {"model.layers.0.self_attn.q_proj.weight", 4, 4, GQA_F32},
    {"model.layers.0.self_attn.v_proj.weight", 4, 4, GQA_F32},
    {"model.norm.weight", 4, 0, GQA_F32},
};
enum { N_LLAMA = sizeof llama / sizeof *llama };

#define SIZES                                                              \
    "\"num_attention_heads\":2,\"hidden_size\":4,\"num_hidden_layers\":1," \
    "\"intermediate_size\":3,\"vocab_size\":5,"
#define CONFIG(more) "{\"model_type\":\"llama\"," more "}"
static const char plain[] =
    CONFIG(SIZES "\"architectures\":[\"LlamaForCausalLM\"]");

struct taken {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_inventory *inventory;
    char text[1024]; /* all faults */
};

/* The model without what begins so, with the entries behind it. */
static void take(struct taken *out, const char *config, const char *without,
                 const struct entry *more, size_t n_more)
{
    static const double values[64];
    static struct tensor_file file;
    const struct gqa_checkpoint_options options = {
        .config_path = scratch_write_text("config.json", config)};

    memset(&file, 0, sizeof file);
    for (size_t i = 0; i < N_LLAMA + n_more; i++) {
        const struct entry *e = i < N_LLAMA ? &llama[i] : &more[i - N_LLAMA];

        if (i < N_LLAMA && without &&
            strncmp(e->name, without, strlen(without)) == 0)
            continue;
        file.dtype = e->dtype;
        tensor_file_add(&file, e->name, e->rows, e->cols, values);
    }
    memset(out, 0, sizeof *out);
    ck_assert_msg(
        gqa_checkpoint_open(&out->checkpoint, tensor_file_write(&file, "model"),
                            &options) == GQA_OK &&
            gqa_model_create(&out->model, out->checkpoint, NULL) == GQA_OK &&
            gqa_inventory_create(&out->inventory, out->model,
                                 out->checkpoint) == GQA_OK,
        "%s", gqa_error_message());
    gqa_inventory_text(out->text, sizeof out->text, out->inventory,
                       GQA_FAULT_CONFIG, GQA_FAULT_ATTENTION);
}

static void drop(struct taken *t)
{
    gqa_inventory_free(t->inventory);
    gqa_model_free(t->model);
    gqa_checkpoint_close(t->checkpoint);
}

static enum gqa_param_role role_of(const struct taken *t, const char *name)
{
    size_t index = 0;

    ck_assert_msg(gqa_model_find(t->model, name, &index), "no '%s'", name);
    return t->inventory->roles[index];
}

START_TEST(finds_nothing_in_a_whole_model)
{
    struct taken t;

    take(&t, plain, NULL, NULL, 0);
    ck_assert_str_eq(t.text, "");
    for (size_t i = 0; i < N_LLAMA; i++)
        ck_assert_int_eq(t.inventory->roles[i], GQA_ROLE_NETWORK);
    drop(&t);
}
END_TEST

/* What is missing is no fault where no class or tie asks for it. */
START_TEST(needs_a_head_only_where_there_is_one)
{
    static const struct {
        const char *config, *says;
    } cases[] = {
        {plain, "a parameter is missing: 'lm_head.weight' [5, 4]: "
                "tie_word_embeddings does not say that the embedding makes the "
                "logits, or an interrupted download"},
        {CONFIG(SIZES "\"tie_word_embeddings\":true"), ""},
        {CONFIG(SIZES "\"architectures\":[\"LlamaModel\"]"), ""},
        {CONFIG(SIZES "\"architectures\":[\"LlamaForSequenceClassification\"]"),
         ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct taken t;

        take(&t, cases[i].config, "lm_head", NULL, 0);
        ck_assert_str_eq(t.text, cases[i].says);
        drop(&t);
    }
}
END_TEST

START_TEST(names_faults_and_causes)
{
    static const struct {
        const char *without;
        struct entry more;
        const char *says;
    } cases[] = {
        {"model.layers.0.mlp.up",
         {"model.layers.0.mlp.up_proj.weight", 4, 3, GQA_F32},
         "a parameter is of another shape: "
         "'model.layers.0.mlp.up_proj.weight' is [4, 3], not [3, 4]: they lie "
         "transposed: matrices of family llama are [outputs, inputs]"},
        {"model.layers.0.mlp.up",
         {"model.layers.0.mlp.up_proj.qweight", 1, 4, GQA_I32},
         "a parameter is missing: 'model.layers.0.mlp.up_proj.weight' [3, 4]: "
         "'model.layers.0.mlp.up_proj.qweight' tells the cause: quantised "
         "weights: convert the unquantised checkpoint, then quantise; a tensor "
         "is left over: 'model.layers.0.mlp.up_proj.qweight': quantised "
         "weights: convert the unquantised checkpoint, then quantise"},
        {NULL,
         {"model.layers.0.mlp.up_proj.bias", 3, 0, GQA_F32},
         "a tensor is left over: 'model.layers.0.mlp.up_proj.bias'"},
        {NULL,
         {"decoder.layers.0.self_attn.out_proj.weight", 4, 4, GQA_F32},
         "a tensor is left over that looks like an attention: "
         "'decoder.layers.0.self_attn.out_proj.weight'"},
        {NULL,
         {"score.weight", 2, 4, GQA_F32},
         "a tensor is left over: 'score.weight'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct taken t;

        take(&t, plain, cases[i].without, &cases[i].more, 1);
        ck_assert_str_eq(t.text, cases[i].says);
        drop(&t);
    }
}
END_TEST

START_TEST(holds_the_configuration_against_the_tensors)
{
    static const struct {
        const char *config, *says;
    } cases[] = {
        {CONFIG("\"num_attention_heads\":2,\"hidden_size\":8,"
                "\"intermediate_size\":9,\"vocab_size\":6"),
         "hidden_size is 8 in C, the tensors have 4; intermediate_size is 9 in "
         "C, the tensors have 3; vocab_size is 6 in C, the tensors have 5"},
        /* Four KV heads of one are what the shapes make of it. */
        {CONFIG("\"num_attention_heads\":1,\"hidden_size\":4"), ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[1024] = "";
        size_t n = 0;
        struct taken t;

        take(&t, cases[i].config, NULL, NULL, 0);
        for (const char *at = cases[i].says; *at; at++)
            n += (size_t)snprintf(
                expected + n, sizeof expected - n, "%.*s", *at == 'C' ? 512 : 1,
                *at == 'C' ? scratch_path("config.json") : at);
        ck_assert_str_eq(t.text, expected);
        drop(&t);
    }
}
END_TEST

/* A loader looks for quantised weights where a configuration says so. */
START_TEST(believes_no_claim_of_quantised_weights)
{
#define CLAIM(key, value) CONFIG(SIZES "\"" key "\":" value)
    static const struct entry quantised[] = {
        {"model.layers.0.mlp.up_proj.weight", 3, 4, GQA_F8_E4M3},
        {"model.layers.0.mlp.up_proj.weight_scale", 3, 0, GQA_F32},
    };
    static const struct {
        const char *config, *says;
    } cases[] = {
        {CLAIM("quantization_config", "{\"quant_method\":\"gptq\"}"),
         "quantization_config (gptq)"},
        {CLAIM("quantization_config", "{\"load_in_4bit\":true}"),
         "quantization_config "},
        {CLAIM("quantization", "{\"group_size\":64,\"bits\":4}"),
         "quantization "},
        {CLAIM("compression_config", "{\"quant_method\":\"x\"}"),
         "compression_config (x)"},
        {CLAIM("quant_config", "{\"w_bit\":4}"), "quant_config "},
        {CLAIM("load_in_4bit", "true"), "load_in_4bit "},
        {CLAIM("load_in_8bit", "1"), "load_in_8bit "},
        {CLAIM("load_in_8bit", "false"), NULL},
        {CLAIM("quantization_config", "{}"), NULL},
        {CLAIM("quantization_config", "null"), NULL},
        {CLAIM("quantization", "\"none\""), NULL},
    };
    struct taken t;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        take(&t, cases[i].config, NULL, NULL, 0);
        ck_assert_uint_eq(t.inventory->n_of[GQA_FAULT_CONFIG],
                          cases[i].says ? 1 : 0);
        ck_assert_msg(strstr(t.text, cases[i].says ? cases[i].says : ""), "%s",
                      t.text);
        drop(&t);
    }
    take(&t, cases[0].config, "model.layers.0.mlp.up", quantised, 2);
    ck_assert_str_eq(t.text, "");
    drop(&t);
#undef CLAIM
}
END_TEST

/* Only what a model computes with changes its type. */
START_TEST(gives_roles)
{
    static const struct entry more[] = {
        {"model.layers.0.mlp.up_proj.weight", 3, 4, GQA_I8},
        {"model.layers.0.mlp.up_proj.weight_scale", 3, 0, GQA_F32},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", 1, 0, GQA_F32},
        {"score.weight", 2, 4, GQA_F32},
    };
    struct taken t;

    take(&t,
         CONFIG(SIZES "\"architectures\":[\"LlamaForSequenceClassification\"]"),
         "model.layers.0.mlp.up", more, 4);
    ck_assert_str_eq(t.text, "");
    ck_assert_int_eq(role_of(&t, more[0].name), GQA_ROLE_NETWORK);
    ck_assert_int_eq(role_of(&t, more[1].name), GQA_ROLE_SCALE);
    ck_assert_int_eq(role_of(&t, more[2].name), GQA_ROLE_BUFFER);
    ck_assert_int_eq(role_of(&t, more[3].name), GQA_ROLE_HEAD);
    ck_assert(gqa_role_is_converted(GQA_ROLE_NETWORK));
    ck_assert(gqa_role_is_converted(GQA_ROLE_HEAD));
    ck_assert(!gqa_role_is_converted(GQA_ROLE_SCALE));
    ck_assert(!gqa_role_is_converted(GQA_ROLE_BUFFER));
    ck_assert(!gqa_role_is_converted(GQA_ROLE_EXTRA));
    drop(&t);
}
END_TEST

START_TEST(knows_attentions_by_name)
{
    ck_assert(gqa_name_is_attention("a.LocalSelfAttention.q.weight"));
    ck_assert(gqa_name_is_attention("h.0.crossattention.bias"));
    ck_assert(gqa_name_is_attention("x.q_proj.weight"));
    ck_assert(gqa_name_is_attention("resblocks.0.in_proj_weight"));
    ck_assert(!gqa_name_is_attention("x.post_attention_layernorm.weight"));
    ck_assert(!gqa_name_is_attention("x.mlp.gate_proj.weight"));
    ck_assert(!gqa_name_is_attention("x.keyboard.weight"));
    ck_assert(!gqa_name_is_attention("mixer.in_proj.weight"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inventory");
    TCase *tc = tcase_create("inventory");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, finds_nothing_in_a_whole_model);
    tcase_add_test(tc, needs_a_head_only_where_there_is_one);
    tcase_add_test(tc, names_faults_and_causes);
    tcase_add_test(tc, holds_the_configuration_against_the_tensors);
    tcase_add_test(tc, believes_no_claim_of_quantised_weights);
    tcase_add_test(tc, gives_roles);
    tcase_add_test(tc, knows_attentions_by_name);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
