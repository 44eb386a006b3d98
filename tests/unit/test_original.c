/* Meta's and Mistral's own layouts. */
#include <check.h>
#include <stdio.h>
#include <string.h>

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
    tcase_add_test(tests, refuses_what_params_do_not_say);
    tcase_add_test(tests, keeps_names_without_params);
    tcase_add_test(tests, knows_the_buffer_of_rope);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
