/* Meta's and Mistral's own layouts. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "formats/checkpoint.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"

static const struct gqa_checkpoint_options defaults;

START_TEST(reads_what_safetensors_says)
{
    twins_are_same(_i ? "original/mistral" : "original/meta",
                   "llama2c/twin.safetensors");
}
END_TEST

/* In two files, cut as on two devices; the embedding by columns, or by tokens.
 */
START_TEST(puts_parts_together)
{
    twins_are_same(_i ? "original/meta3-parts" : "original/meta-parts",
                   "original/parts-twin.safetensors");
}
END_TEST

/* A part of a matrix that is not like the first, and a tensor that two of three
 * have. */
START_TEST(refuses_parts_that_do_not_fit)
{
    static const float zeros[24];
    static const char more[] =
        "{\"tok_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],"
        "\"data_offsets\":[0,32]},\"layers.0.attention.wq.weight\":{"
        "\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[32,64]}}";
    static const struct {
        const char *shapes[3];
        const char *message;
    } bad[] = {
        {{"2,4", "4,2", NULL},
         "its part of layers.0.attention.wq.weight is not like that in "},
        {{"2,4", "2,4", "8"},
         "its part of layers.0.attention.wq.weight is not like that in "},
        {{"0,4", "0,4", NULL}, "consolidated.00.safetensors: "},
    };
    struct gqa_checkpoint *c;
    char name[64], header[512];

    for (size_t i = 0; i < 3 && bad[_i].shapes[i]; i++) {
        snprintf(name, sizeof name, "consolidated.%02zu.safetensors", i);
        snprintf(header, sizeof header, more, bad[_i].shapes[i]);
        scratch_write_safetensors(name, header, zeros, 64);
    }
    scratch_write_text("params.json",
                       "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "
                       "\"norm_eps\": 1e-5}");
    ck_assert_int_ne(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_OK);
    ck_assert_msg(strstr(gqa_error_message(), bad[_i].message), "%s",
                  gqa_error_message());
}
END_TEST

/* What is cut is the same in both, which no model is; norms are so in all. */
START_TEST(refuses_a_part_that_is_there_twice)
{
    static const char header[] =
        "{\"tok_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],"
        "\"data_offsets\":[0,32]},\"layers.0.attention.wq.weight\":{"
        "\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[32,64]}}";
    float values[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    struct gqa_checkpoint *c;

    scratch_write_text("params.json",
                       "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "
                       "\"head_dim\": 2, \"norm_eps\": 1e-5}");
    scratch_write_safetensors("consolidated.00.safetensors", header, values,
                              64);
    scratch_write_safetensors("consolidated.01.safetensors", header, values,
                              64);
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(),
                         "consolidated.01.safetensors: every matrix in it is "
                         "that of consolidated.00.safetensors, bit by bit"),
                  "%s", gqa_error_message());
    values[15] = 9; /* the last of all */
    scratch_write_safetensors("consolidated.01.safetensors", header, values,
                              64);
    ck_assert_msg(gqa_checkpoint_open(&c, scratch_folder(), &defaults) ==
                      GQA_OK,
                  "%s", gqa_error_message());
    gqa_checkpoint_close(c);
}
END_TEST

/* q and k of a layer, 2 heads of 2 by 2, and what tells the layout. */
static void write_model(const char *params)
{
    static const float zeros[24];

    scratch_write_safetensors(
        "consolidated.safetensors",
        "{\"tok_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],"
        "\"data_offsets\":[0,32]},\"layers.0.attention.wq.weight\":{\"dtype\":"
        "\"F32\",\"shape\":[4,4],\"data_offsets\":[32,96]}}",
        zeros, sizeof zeros);
    if (params)
        scratch_write_text("params.json", params);
}

static void refused(const char *params, enum gqa_status status,
                    const char *message)
{
    struct gqa_checkpoint *c;

    write_model(params);
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     status);
    ck_assert_msg(strstr(gqa_error_message(), message), "%s",
                  gqa_error_message());
}

START_TEST(refuses_what_params_do_not_say)
{
    refused("{\"dim\": 4, \"n_layers\": 1}", GQA_ERR_FORMAT,
            "params.json does not say dim, n_layers and n_heads of a model");
    refused("[]", GQA_ERR_FORMAT,
            "params.json does not say dim, n_layers and n_heads of a model");
    refused("{", GQA_ERR_FORMAT, "params.json: ");
    refused("{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 4}", GQA_ERR_FORMAT,
            "params.json does not say dim, n_layers and n_heads of a model");
    refused(
        "{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 2}", GQA_ERR_UNSUPPORTED,
        "layers.0.attention.wq.weight does not have the rows of 2 heads of "
        "4, as if it were one of several parts of a model: give the folder");
    refused("{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"moe\": {}}",
            GQA_ERR_UNSUPPORTED,
            "params.json tells of experts, which are not read in this layout");
    refused("{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "
            "\"use_scaled_rope\": true}",
            GQA_ERR_UNSUPPORTED,
            "params.json says use_scaled_rope, but not by how much");
    refused("{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "
            "\"yarn\": {\"factor\": 4}}",
            GQA_ERR_UNSUPPORTED,
            "params.json says yarn, which is not read in this layout; give "
            "--config the config.json of Hugging Face's form of the model");
    refused("{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2}",
            GQA_ERR_UNSUPPORTED,
            "params.json does not say norm_eps, which models differ in; give "
            "--config the config.json of Hugging Face's form of the model");
}
END_TEST

#define OF_MODEL "\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "

/* What would be computed is another model where one of these is passed over. */
START_TEST(refuses_keys_that_are_not_known)
{
    static const struct {
        const char *params;
        enum gqa_status status;
        const char *message;
    } bad[] = {
        {"\"rope_interleave\": 2", GQA_ERR_UNSUPPORTED,
         "params.json says 'rope_interleave', which is not known, and may "
         "change what is computed; give --config the config.json of Hugging "
         "Face's form of the model, or take the key out if it changes nothing"},
        {"\"causal\": false", GQA_ERR_UNSUPPORTED,
         "params.json says that attention is not causal, which is not read"},
        {"\"use_biases\": true", GQA_ERR_UNSUPPORTED,
         "params.json says use_biases, which is not read in this layout"},
        {"\"model_type\": \"mamba\"", GQA_ERR_UNSUPPORTED,
         "params.json says 'model_type', which is not known"},
        {"\"quantization\": {\"qformat_weight\": \"fp8\"}", GQA_ERR_UNSUPPORTED,
         "params.json says quantization, which is not"},
        {"\"tied_embeddings\": false", GQA_ERR_FORMAT,
         "params.json says tied_embeddings false, and output.weight is "
         "missing"},
        {"\"hidden_dim\": 8", GQA_ERR_UNSUPPORTED,
         "params.json does not say rope_theta, which Mistral's models differ "
         "in"},
        {"\"rope_theta\": \"1e6\"", GQA_ERR_FORMAT,
         "params.json: rope_theta is not a positive number; mend it, or give "
         "--config"},
        {"\"rope_theta\": NaN", GQA_ERR_FORMAT,
         "params.json: rope_theta is not a positive number"},
        {"\"max_seq_len\": 8.5", GQA_ERR_FORMAT,
         "params.json: max_seq_len is not a positive integer"},
        {"\"use_scaled_rope\": \"true\"", GQA_ERR_FORMAT,
         "params.json: use_scaled_rope is not true or false"},
        {"\"vocab_size\": \"2\"", GQA_ERR_FORMAT,
         "params.json: vocab_size is not an integer"},
        {"\"head_dim\": \"2\"", GQA_ERR_FORMAT,
         "params.json: head_dim is not a positive integer"},
        {"\"n_kv_heads\": 0", GQA_ERR_FORMAT,
         "params.json: n_kv_heads is not a positive integer"},
        {"\"sliding_window\": \"8\"", GQA_ERR_FORMAT,
         "params.json: sliding_window is not a positive integer, or a list of "
         "such and null"},
        {"\"_sliding_window\": [null, 0]", GQA_ERR_FORMAT,
         "params.json: _sliding_window is not a positive integer"},
        {"\"_sliding_window\": []", GQA_ERR_FORMAT,
         "params.json: _sliding_window is not a positive integer"},
        {"\"_sliding_window\": [null, 8]", GQA_ERR_FORMAT,
         "params.json: sliding windows of 2 layers, again and again, do not "
         "fit n_layers 1"},
        {"\"_sliding_window\": 8, \"sliding_window\": 8", GQA_ERR_FORMAT,
         "params.json says both sliding_window and _sliding_window"},
    };
    char params[512];

    snprintf(params, sizeof params, "{" OF_MODEL "\"norm_eps\": 1e-5, %s}",
             bad[_i].params);
    refused(params, bad[_i].status, bad[_i].message);
}
END_TEST

START_TEST(refuses_layers_that_cannot_be)
{
    refused("{\"dim\": 4, \"n_layers\": 2, \"n_heads\": 2, "
            "\"norm_eps\": 1e-5, \"_sliding_window\": [8, 9]}",
            GQA_ERR_UNSUPPORTED,
            "params.json says sliding windows of 8 and 9 positions, and "
            "Hugging Face's form has one for all layers that slide");
    refused("{\"dim\": 4, \"n_layers\": 1000000000000, \"n_heads\": 2, "
            "\"norm_eps\": 1e-5, \"_sliding_window\": [null, 9]}",
            GQA_ERR_FORMAT,
            "params.json says n_layers 1000000000000, and there are 2 tensors");
}
END_TEST

/* In Mistral's own code a list is of layers, again and again. */
START_TEST(reads_windows)
{
    static const struct {
        const char *params, *type, *layer_types;
        json_int_t window; /* 0: none */
    } said[] = {
        {"\"sliding_window\": null", "llama", NULL, 0},
        {"\"sliding_window\": 8", "mistral", NULL, 8},
        {"\"_sliding_window\": 8", "mistral", NULL, 8},
        {"\"_sliding_window\": null, \"sliding_window\": [8]", "mistral", NULL,
         8},
        {"\"_sliding_window\": [8, 8]", "mistral", NULL, 8},
        {"\"_sliding_window\": [null]", "llama", NULL, 0},
        {"\"_sliding_window\": [null, 8]", "ministral",
         "[\"full_attention\", \"sliding_attention\"]", 8},
        {"\"sliding_window\": [8, null]", "ministral",
         "[\"sliding_attention\", \"full_attention\"]", 8},
    };
    struct gqa_checkpoint *c;
    const json_t *config;
    json_t *types;
    char params[512];

    snprintf(params, sizeof params,
             "{\"dim\": 4, \"n_layers\": 2, \"n_heads\": 2, "
             "\"norm_eps\": 1e-5, %s}",
             said[_i].params);
    write_model(params);
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_OK);
    config = gqa_checkpoint_config(c);
    ck_assert_str_eq(json_string_value(json_object_get(config, "model_type")),
                     said[_i].type);
    ck_assert_int_eq(
        json_integer_value(json_object_get(config, "sliding_window")),
        said[_i].window);
    types = json_object_get(config, "layer_types");
    ck_assert_int_eq(types != NULL, said[_i].layer_types != NULL);
    if (types) {
        json_t *wanted = gqa_json_own(said[_i].layer_types);

        ck_assert(json_equal(types, wanted));
        json_decref(wanted);
    }
    gqa_checkpoint_close(c);
}
END_TEST

/* All that the published ones say and that changes nothing. */
START_TEST(knows_what_changes_nothing)
{
    struct gqa_checkpoint *c;
    const json_t *config;

    write_model("{" OF_MODEL "\"norm_eps\": 1e-5, \"vocab_size\": -1, "
                "\"multiple_of\": 256, \"ffn_dim_multiplier\": 1.3, "
                "\"use_scaled_rope\": false, \"max_batch_size\": 32, "
                "\"max_seq_len\": 512, \"hidden_dim\": 8, \"rope_theta\": 1e6, "
                "\"causal\": true, \"use_biases\": false, "
                "\"tied_embeddings\": true, \"model_type\": \"transformer\", "
                "\"yarn\": null, \"of_tomorrow\": null, \"moe\": null, "
                "\"quantization\": false}");
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_OK);
    config = gqa_checkpoint_config(c);
    ck_assert_int_eq(
        json_integer_value(json_object_get(config, "max_position_embeddings")),
        512);
    ck_assert_double_eq(json_real_value(json_object_get(config, "rope_theta")),
                        1e6);
    ck_assert(json_is_true(json_object_get(config, "tie_word_embeddings")));
    gqa_checkpoint_close(c);
}
END_TEST

/* Without that file the names are those of nobody we know. */
START_TEST(keeps_names_without_params)
{
    struct gqa_checkpoint *c;

    write_model(NULL);
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_OK);
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name,
                     "tok_embeddings.weight");
    gqa_checkpoint_close(c);
}
END_TEST

/* The published files of Llama 2 have it; their class makes it anew. */
START_TEST(knows_the_buffer_of_rope)
{
    static const float zeros[28];
    struct gqa_checkpoint *c;
    size_t n = 0;

    scratch_write_safetensors(
        "consolidated.safetensors",
        "{\"tok_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],"
        "\"data_offsets\":[0,32]},\"layers.0.attention.wq.weight\":{\"dtype\":"
        "\"F32\",\"shape\":[4,4],\"data_offsets\":[32,96]},\"rope.freqs\":{"
        "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[96,112]}}",
        zeros, sizeof zeros);
    scratch_write_text("params.json",
                       "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, "
                       "\"norm_eps\": 1e-5}");
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_folder(), &defaults),
                     GQA_OK);
    for (size_t i = 0; i < 3; i++)
        n += strcmp(gqa_checkpoint_tensor(c, i)->name,
                    "model.rotary_emb.inv_freq") == 0;
    ck_assert_uint_eq(n, 1);
    gqa_checkpoint_close(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("original");
    TCase *tests = tcase_create("original");

    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, reads_what_safetensors_says, 0, 2);
    tcase_add_loop_test(tests, puts_parts_together, 0, 2);
    tcase_add_loop_test(tests, refuses_parts_that_do_not_fit, 0, 3);
    tcase_add_test(tests, refuses_a_part_that_is_there_twice);
    tcase_add_test(tests, refuses_what_params_do_not_say);
    tcase_add_loop_test(tests, refuses_keys_that_are_not_known, 0, 19);
    tcase_add_test(tests, refuses_layers_that_cannot_be);
    tcase_add_loop_test(tests, reads_windows, 0, 8);
    tcase_add_test(tests, knows_what_changes_nothing);
    tcase_add_test(tests, keeps_names_without_params);
    tcase_add_test(tests, knows_the_buffer_of_rope);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
