/* KerasHub's variables, and what Hugging Face calls them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/params.h"
#include "h5_make.h"
#include "scratch.h"
#include "suite.h"

static const struct gqa_family_choice builtin = {.library =
                                                     &gqa_builtin_families};

static hid_t file;
static struct gqa_checkpoint *checkpoint;
static struct gqa_params params;
static struct gqa_family *family;
static const char *backbone;

static void begin(void)
{
    scratch_create();
    file = h5_create("model.weights.h5", 0, 0);
}

static void end(void)
{
    gqa_params_free(&params);
    gqa_family_free(family);
    gqa_checkpoint_close(checkpoint);
    scratch_remove();
}

/* Of shape [a, b, c]; c 0: of rank 2, b 0 too: of rank 1. */
static void put_typed(const char *path, hid_t type, hsize_t a, hsize_t b,
                      hsize_t c)
{
    static const double values[256];
    const hsize_t shape[] = {a, b, c};
    char whole[512];

    snprintf(whole, sizeof whole, "/layers/%s", path);
    h5_write(file, whole, type, c ? 3 : b ? 2 : 1, shape, H5P_DEFAULT, values);
}

static void put(const char *path, hsize_t a, hsize_t b, hsize_t c)
{
    put_typed(path, H5T_IEEE_F32LE, a, b, c);
}

static enum gqa_status name_them(void)
{
    static const struct gqa_checkpoint_options as_it_is;
    size_t number;

    H5Fclose(file);
    ck_assert_msg(gqa_checkpoint_open(&checkpoint,
                                      scratch_path("model.weights.h5"),
                                      &as_it_is) == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_int_eq((int)gqa_checkpoint_naming(checkpoint),
                     (int)GQA_NAMES_KERAS);
    return gqa_params_from_keras(&params, &number, &family, &backbone, &builtin,
                                 checkpoint);
}

static void named(void)
{
    ck_assert_msg(name_them() == GQA_OK, "%s", gqa_error_message());
}

static void refused(enum gqa_status st, const char *says)
{
    ck_assert_int_eq(name_them(), st);
    ck_assert_msg(strstr(gqa_error_message(), says) != NULL, "%s",
                  gqa_error_message());
}

static const struct gqa_param *param(const char *name)
{
    size_t i;

    ck_assert_msg(gqa_params_find(&params, name, &i), "no %s", name);
    return &params.items[i];
}

#define GPT2_LAYER "transformer_decoder/_self_attention_layer/"

/* Width 6, three heads of 2. */
static void put_gpt2_attention(void)
{
    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put(GPT2_LAYER "key_dense/vars/0", 6, 3, 2);
    put(GPT2_LAYER "value_dense/vars/0", 6, 3, 2);
    put(GPT2_LAYER "query_dense/vars/1", 3, 2, 0);
    put(GPT2_LAYER "key_dense/vars/1", 3, 2, 0);
    put(GPT2_LAYER "value_dense/vars/1", 3, 2, 0);
}

/* (D, H, d) is a matrix of D x H d, and three of them one of D x 3 H d. */
START_TEST(joins_parts)
{
    const struct gqa_param *p;

    put_gpt2_attention();
    named();
    ck_assert_str_eq(gqa_family_name(family), "gpt2");
    ck_assert_str_eq(backbone, "gpt2");
    ck_assert_uint_eq(params.n, 2);
    p = param("transformer.h.0.attn.c_attn.weight");
    ck_assert_uint_eq(p->n_parts, 3);
    ck_assert_uint_eq(p->axis, 1);
    ck_assert_uint_eq(p->rank, 2);
    ck_assert_uint_eq(p->rows, 6);
    ck_assert_uint_eq(p->cols, 18);
    ck_assert_uint_eq(p->n_bytes, 4 * 6 * 18);
    for (int i = 0; i < 3; i++) {
        static const char *const kinds[] = {"query", "key", "value"};
        const struct gqa_view *part = &p->parts[i];

        ck_assert_uint_eq(part->rows, 6);
        ck_assert_uint_eq(part->cols, 6);
        ck_assert(!part->transposed);
        ck_assert_ptr_nonnull(strstr(
            gqa_checkpoint_tensor(checkpoint, part->tensor)->name, kinds[i]));
    }
    p = param("transformer.h.0.attn.c_attn.bias");
    ck_assert_uint_eq(p->axis, 0);
    ck_assert_uint_eq(p->rank, 1);
    ck_assert_uint_eq(p->shape[0], 18);
}
END_TEST

/* The first layer of a class has no number. An output (H, d, D) has two axes
 * of input. */
START_TEST(numbers_layers)
{
    const struct gqa_param *p;

    put(GPT2_LAYER "output_dense/vars/0", 3, 2, 6);
    put("transformer_decoder_1/self_attention_layer/output_dense/vars/0", 3, 2,
        6);
    put("transformer_decoder_12/feedforward_layer_norm/vars/1", 6, 0, 0);
    named();
    ck_assert_uint_eq(params.n, 3);
    p = param("transformer.h.0.attn.c_proj.weight");
    ck_assert_uint_eq(p->rows, 6);
    ck_assert_uint_eq(p->cols, 6);
    (void)param("transformer.h.1.attn.c_proj.weight");
    p = param("transformer.h.12.ln_2.bias");
    ck_assert_uint_eq(p->rank, 1);
    ck_assert_uint_eq(p->rows, 6);
}
END_TEST

/* [in, out] there, [out, in] here: (D 6, H 3, d 2) is 6 x 6 turned, the
 * feed-forward 6 x 5 is 5 x 6. */
START_TEST(turns_matrices)
{
    const struct gqa_param *p;

    put("llama_transformer_decoder/_self_attention_layer/_query_dense/vars/0",
        6, 4, 2);
    put("llama_transformer_decoder/_feedforward_gate_dense/vars/0", 6, 5, 0);
    put("reversible_embedding/vars/0", 7, 6, 0);
    named();
    ck_assert_str_eq(backbone, "llama");
    p = param("model.layers.0.self_attn.q_proj.weight");
    ck_assert_uint_eq(p->rows, 8);
    ck_assert_uint_eq(p->cols, 6);
    ck_assert(p->parts[0].transposed);
    p = param("model.layers.0.mlp.gate_proj.weight");
    ck_assert_uint_eq(p->rows, 5);
    ck_assert_uint_eq(p->cols, 6);
    p = param("model.embed_tokens.weight");
    ck_assert_uint_eq(p->rows, 7);
    ck_assert(!p->parts[0].transposed);
}
END_TEST

/* One family's rules stand for several backbones. */
START_TEST(tells_backbones_apart)
{
    put("qwen_transformer_decoder/_self_attention_layer/_key_dense/vars/1", 2,
        2, 0);
    named();
    ck_assert_str_eq(gqa_family_name(family), "llama");
    ck_assert_str_eq(backbone, "qwen2");
    ck_assert_uint_eq(param("model.layers.0.self_attn.k_proj.bias")->rows, 4);
}
END_TEST

/* Layers numbered through: those with cross-attention are the decoder's. */
START_TEST(parts_stacks)
{
    for (int i = 0; i < 4; i++) {
        char path[128];

        snprintf(path, sizeof path,
                 i ? "t5_transformer_layer_%d/self_attention/key_projector/"
                     "vars/0"
                   : "t5_transformer_layer/self_attention/key_projector/vars/0",
                 i);
        put(path, 6, 4, 0);
    }
    put("t5_transformer_layer_2/cross_attention/key_projector/vars/0", 6, 4, 0);
    put("t5_transformer_layer_3/cross_attention/key_projector/vars/0", 6, 4, 0);
    named();
    ck_assert_uint_eq(params.n, 6);
    for (int i = 0; i < 2; i++) {
        char name[128];

        snprintf(name, sizeof name,
                 "encoder.block.%d.layer.0.SelfAttention.k.weight", i);
        (void)param(name);
        snprintf(name, sizeof name,
                 "decoder.block.%d.layer.0.SelfAttention.k.weight", i);
        (void)param(name);
        snprintf(name, sizeof name,
                 "decoder.block.%d.layer.1.EncDecAttention.k.weight", i);
        (void)param(name);
    }
}
END_TEST

START_TEST(refuses_parts_that_are_missing)
{
    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put(GPT2_LAYER "value_dense/vars/0", 6, 3, 2);
    refused(GQA_ERR_FORMAT, "part 2 of 3 of the parameter "
                            "'transformer.h.0.attn.c_attn.weight' is missing");
}
END_TEST

START_TEST(refuses_parts_that_do_not_fit)
{
    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put(GPT2_LAYER "key_dense/vars/0", 5, 3, 2);
    put(GPT2_LAYER "value_dense/vars/0", 6, 3, 2);
    refused(GQA_ERR_FORMAT, "the parts of the parameter "
                            "'transformer.h.0.attn.c_attn.weight' do not fit");
}
END_TEST

START_TEST(refuses_parts_of_two_dtypes)
{
    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put_typed(GPT2_LAYER "key_dense/vars/0", H5T_IEEE_F64LE, 6, 3, 2);
    refused(GQA_ERR_FORMAT, "of 'transformer.h.0.attn.c_attn.weight' are F");
}
END_TEST

/* With and without underscores they are the same variable. */
START_TEST(refuses_two_for_one)
{
    put("transformer_decoder/_self_attention_layer/query_dense/vars/0", 6, 3,
        2);
    put("transformer_decoder/self_attention_layer/query_dense/vars/0", 6, 3, 2);
    refused(GQA_ERR_FORMAT, "two tensors stand for the parameter "
                            "'transformer.h.0.attn.c_attn.weight'");
}
END_TEST

START_TEST(refuses_what_is_no_part)
{
    put_gpt2_attention();
    put("transformer_decoder/adapter/vars/0", 6, 6, 0);
    refused(GQA_ERR_UNSUPPORTED,
            "looks like KerasHub's gpt2, but variable "
            "'/layers/transformer_decoder/adapter/vars/0' is no part of it");
}
END_TEST

START_TEST(refuses_other_models)
{
    put("dense/vars/0", 6, 6, 0);
    refused(GQA_ERR_UNSUPPORTED, "belong to no family we know (its first "
                                 "variable is '/layers/dense/vars/0')");
}
END_TEST

/* A task keeps its backbone below its name. */
START_TEST(finds_a_backbone_below_a_prefix)
{
    put("llama_backbone/layers/llama_transformer_decoder/_self_attention_layer/"
        "_key_dense/vars/0",
        6, 4, 2);
    put("llama_backbone/layers/llama_transformer_decoder_1/"
        "_self_attention_layer/_key_dense/vars/0",
        6, 4, 2);
    put("llama_backbone/layers/reversible_embedding/vars/0", 7, 6, 0);
    named();
    ck_assert_str_eq(backbone, "llama");
    ck_assert_uint_eq(params.n, 3);
    (void)param("model.layers.0.self_attn.k_proj.weight");
    (void)param("model.layers.1.self_attn.k_proj.weight");
    (void)param("model.embed_tokens.weight");
}
END_TEST

START_TEST(numbers_stacks_below_a_prefix)
{
    put("wrapper/layers/t5_backbone/layers/t5_transformer_layer/"
        "self_attention/key_projector/vars/0",
        6, 4, 0);
    put("wrapper/layers/t5_backbone/layers/t5_transformer_layer_1/"
        "cross_attention/key_projector/vars/0",
        6, 4, 0);
    named();
    ck_assert_uint_eq(params.n, 2);
    (void)param("encoder.block.0.layer.0.SelfAttention.k.weight");
    (void)param("decoder.block.0.layer.1.EncDecAttention.k.weight");
}
END_TEST

START_TEST(refuses_what_is_beside_a_backbone)
{
    put("gpt2_backbone/layers/" GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put("gpt2_backbone/layers/" GPT2_LAYER "key_dense/vars/0", 6, 3, 2);
    put("head/vars/0", 6, 3, 0);
    refused(GQA_ERR_UNSUPPORTED,
            "KerasHub's gpt2 is below 'layers/gpt2_backbone/layers/', but "
            "variable '/layers/head/vars/0' is no part of it; ");
}
END_TEST

START_TEST(refuses_two_backbones)
{
    put("gpt2_backbone/layers/" GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put("gpt2_backbone_1/layers/" GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    refused(GQA_ERR_UNSUPPORTED, "one backbone alone can be converted");
}
END_TEST

/* An integer kernel, and its scale behind it. */
START_TEST(names_quantised_weights)
{
    put_gpt2_attention();
    put_typed("transformer_decoder/_feedforward_output_dense/vars/0",
              H5T_STD_I8LE, 6, 6, 0);
    put("transformer_decoder/_feedforward_output_dense/vars/2", 6, 0, 0);
    refused(GQA_ERR_UNSUPPORTED,
            "variable '/layers/transformer_decoder/_feedforward_output_dense/"
            "vars/0' is I8: quantised weights; ");
}
END_TEST

/* At every other level, nothing is named as rules say. */
START_TEST(finds_many_below_a_prefix)
{
    char path[256];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof path,
                 "gpt2_backbone/layers/transformer_decoder_%u/"
                 "feedforward_layer_norm/vars/0",
                 i + 1);
        put(path, 6, 0, 0);
    }
    named();
    ck_assert_uint_eq(params.n, 300);
    (void)param("transformer.h.300.ln_2.weight");
}
END_TEST

#define OPT_POSITIONS "token_and_position_embedding/position_embedding/vars/0"

/* Rows 2 and on are the variable's; those before are its first ones. */
START_TEST(puts_unused_rows_before)
{
    const struct gqa_param *p;

    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put(OPT_POSITIONS, 5, 6, 0);
    named();
    ck_assert_str_eq(backbone, "opt");
    p = param("model.decoder.embed_positions.weight");
    ck_assert_uint_eq(p->rows, 7);
    ck_assert_uint_eq(p->cols, 6);
    ck_assert_uint_eq(p->n_parts, 2);
    ck_assert_uint_eq(p->parts[0].rows, 2);
    ck_assert_uint_eq(p->parts[1].rows, 5);
}
END_TEST

START_TEST(refuses_fewer_rows_than_unused)
{
    put(GPT2_LAYER "query_dense/vars/0", 6, 3, 2);
    put(OPT_POSITIONS, 1, 6, 0);
    refused(GQA_ERR_FORMAT, "has 1 rows, fewer than the 2 that "
                            "'model.decoder.embed_positions.weight' has "
                            "before them");
}
END_TEST

#define BLOOM_LAYER "bloom_decoder/_self_attention_layer/"

static void put_bloom_attention(hsize_t value_heads)
{
    put(BLOOM_LAYER "_query_dense/vars/0", 6, 3, 2);
    put(BLOOM_LAYER "_key_dense/vars/0", 6, 3, 2);
    put(BLOOM_LAYER "_value_dense/vars/0", 6, value_heads, 2);
}

/* Width 6, heads of 2: rows 0 and 1 are the first head's query, 2 and 3 its
 * key, and those of the second head begin at row 6. In the tensor (6, 3, 2) of
 * queries a head's begin at element 2, and the next input's 6 on. */
START_TEST(alternates_by_head)
{
    const struct gqa_param *p;

    put_bloom_attention(3);
    put(BLOOM_LAYER "_query_dense/vars/1", 3, 2, 0);
    put(BLOOM_LAYER "_key_dense/vars/1", 3, 2, 0);
    put(BLOOM_LAYER "_value_dense/vars/1", 3, 2, 0);
    named();
    ck_assert_str_eq(backbone, "bloom");
    ck_assert_uint_eq(params.n, 2);
    p = param("transformer.h.0.self_attention.query_key_value.weight");
    ck_assert_uint_eq(p->n_parts, 9);
    ck_assert_uint_eq(p->rows, 18);
    ck_assert_uint_eq(p->cols, 6);
    for (size_t i = 0; i < 9; i++) {
        static const char *const kinds[] = {"query", "key", "value"};
        const struct gqa_view *part = &p->parts[i];

        ck_assert_ptr_nonnull(
            strstr(gqa_checkpoint_tensor(checkpoint, part->tensor)->name,
                   kinds[i % 3]));
        ck_assert(part->transposed);
        ck_assert_uint_eq(part->rows, 2);
        ck_assert_uint_eq(part->cols, 6);
        ck_assert_uint_eq(part->first, 2 * (i / 3));
        ck_assert_uint_eq(part->pitch, 6);
    }
    p = param("transformer.h.0.self_attention.query_key_value.bias");
    ck_assert_uint_eq(p->n_parts, 9);
    ck_assert_uint_eq(p->rank, 1);
    ck_assert_uint_eq(p->rows, 18);
    ck_assert_uint_eq(p->parts[8].first, 4);
    ck_assert_uint_eq(p->parts[8].rows, 2);
}
END_TEST

START_TEST(refuses_parts_of_other_heads)
{
    put_bloom_attention(2);
    refused(GQA_ERR_FORMAT, "do not fit together");
}
END_TEST

START_TEST(refuses_what_has_no_heads)
{
    put(BLOOM_LAYER "_query_dense/vars/0", 6, 6, 0);
    refused(GQA_ERR_FORMAT, "query_dense/vars/0' is not of shape (inputs, "
                            "heads, head_dim)");
}
END_TEST

START_TEST(refuses_biases_without_heads)
{
    put(BLOOM_LAYER "_query_dense/vars/1", 6, 0, 0);
    refused(GQA_ERR_FORMAT, "query_dense/vars/1' is not of shape (heads, "
                            "head_dim)");
}
END_TEST

/* As many as no model has, and parts are made for each. */
START_TEST(refuses_too_many_heads)
{
    const hsize_t shape[] = {1, 16385, 1};
    float *values = calloc(16385, sizeof *values);

    ck_assert_ptr_nonnull(values);
    h5_write(file, "/layers/" BLOOM_LAYER "_query_dense/vars/0", H5T_IEEE_F32LE,
             3, shape, H5P_DEFAULT, values);
    free(values);
    refused(GQA_ERR_FORMAT, "has 16385 heads");
}
END_TEST

#define WHISPER_LAYER "whisper_encoder/_self_attention_layer/"

/* (places 3, inputs 2, outputs 6) is [6, 2, 3]. */
START_TEST(turns_convolutions)
{
    const struct gqa_param *p;

    put(WHISPER_LAYER "key_dense/vars/0", 6, 3, 2);
    put("conv1d/vars/0", 3, 2, 6);
    named();
    ck_assert_str_eq(backbone, "whisper");
    p = param("model.encoder.conv1.weight");
    ck_assert_uint_eq(p->rank, 3);
    ck_assert_uint_eq(p->shape[0], 6);
    ck_assert_uint_eq(p->shape[1], 2);
    ck_assert_uint_eq(p->shape[2], 3);
    ck_assert(p->parts[0].transposed);
    ck_assert_uint_eq(p->parts[0].places, 3);
}
END_TEST

START_TEST(refuses_flat_convolutions)
{
    put(WHISPER_LAYER "key_dense/vars/0", 6, 3, 2);
    put("conv1d/vars/0", 6, 6, 0);
    refused(GQA_ERR_FORMAT, "conv1d/vars/0' is not of shape (places, inputs, "
                            "outputs)");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keras_names");
    TCase *tc = tcase_create("keras_names");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, joins_parts);
    tcase_add_test(tc, numbers_layers);
    tcase_add_test(tc, turns_matrices);
    tcase_add_test(tc, tells_backbones_apart);
    tcase_add_test(tc, parts_stacks);
    tcase_add_test(tc, refuses_parts_that_are_missing);
    tcase_add_test(tc, refuses_parts_that_do_not_fit);
    tcase_add_test(tc, refuses_parts_of_two_dtypes);
    tcase_add_test(tc, refuses_two_for_one);
    tcase_add_test(tc, refuses_what_is_no_part);
    tcase_add_test(tc, refuses_other_models);
    tcase_add_test(tc, finds_a_backbone_below_a_prefix);
    tcase_add_test(tc, numbers_stacks_below_a_prefix);
    tcase_add_test(tc, refuses_what_is_beside_a_backbone);
    tcase_add_test(tc, refuses_two_backbones);
    tcase_add_test(tc, names_quantised_weights);
    tcase_add_test(tc, finds_many_below_a_prefix);
    tcase_add_test(tc, alternates_by_head);
    tcase_add_test(tc, refuses_parts_of_other_heads);
    tcase_add_test(tc, refuses_what_has_no_heads);
    tcase_add_test(tc, refuses_biases_without_heads);
    tcase_add_test(tc, refuses_too_many_heads);
    tcase_add_test(tc, turns_convolutions);
    tcase_add_test(tc, refuses_flat_convolutions);
    tcase_add_test(tc, puts_unused_rows_before);
    tcase_add_test(tc, refuses_fewer_rows_than_unused);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
