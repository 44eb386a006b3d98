/* Norms of queries and keys: which are read, which are refused and how. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/load.h"
#include "formats/model/network.h"
#include "scratch.h"
#include "suite.h"

/* A family whose attention has the head norms `said`. */
static struct gqa_family_file *family_with(const char *said)
{
    struct gqa_family_file *file = NULL;
    char text[1024];

    snprintf(text, sizeof text,
             "{\"family\": \"mine\", \"like\": \"llama\","
             "\"model_types\": {\"mine\": {}},"
             "\"stacks\": {\"decoder\": {\"self\": {\n%s}}}}",
             said);
    ck_assert_msg(gqa_family_file_open(
                      &file, scratch_write_text("mine.json", text)) == GQA_OK,
                  "%s", gqa_error_message());
    return file;
}

/* Two layers of two heads of 2, and what else there is: "0.q_norm.weight 2",
 * names and lengths. */
static const char *write_model(const char *more)
{
    static const float zeros[1024];
    char header[4096], name[64];
    size_t n = (size_t)snprintf(header, sizeof header,
                                "{\"a\":{\"dtype\":"
                                "\"F32\",\"shape\":[0],"
                                "\"data_offsets\":[0,0]"
                                "}");
    unsigned length;
    int at = 0, read;

    for (int layer = 0; layer < 2; layer++)
        for (const char *p = "qkvo"; *p; p++, at += 64)
            n += (size_t)snprintf(
                header + n, sizeof header - n,
                ",\"layers.%d.self_attn.%c_proj.weight\":{\"dtype\":\"F32\","
                "\"shape\":[4,4],\"data_offsets\":[%d,%d]}",
                layer, *p, at, at + 64);
    for (; sscanf(more, " %63s %u%n", name, &length, &read) == 2;
         more += read, at += (int)(4 * length))
        n += (size_t)snprintf(
            header + n, sizeof header - n,
            ",\"layers.%c.self_attn.%s\":{\"dtype\":\"F32\",\"shape\":[%u],"
            "\"data_offsets\":[%d,%d]}",
            name[0], name + 2, length, at, at + (int)(4 * length));
    snprintf(header + n, sizeof header - n, "}");
    return scratch_write_safetensors("m.safetensors", header, zeros,
                                     (size_t)at);
}

#define Q_AND_K "\"q\": \"q_norm\", \"k\": \"k_norm\""
#define ALL_SHARED                         \
    "0.q_norm.weight 2 0.k_norm.weight 2 " \
    "1.q_norm.weight 2 1.k_norm.weight 2"

static const struct {
    const char *said, *tensors;
    enum gqa_status st;
    const char *message;
} cases[] = {
    {"\"head_norms\": {" Q_AND_K "}", ALL_SHARED, GQA_OK, ""},
    /* One of them alone is something, too. */
    {"\"head_norms\": {\"k\": \"k_norm\"}",
     "0.k_norm.weight 2 1.k_norm.weight 2", GQA_OK, ""},
    {"\"head_norms\": {" Q_AND_K "}", "0.q_norm.weight 2", GQA_ERR_FORMAT,
     "tensor 'layers.1.self_attn.q_norm.weight' is missing"},
    {"\"head_norms\": {" Q_AND_K "}", "0.q_norm.weight 4 1.q_norm.weight 4",
     GQA_ERR_FORMAT,
     "'layers.0.self_attn.q_norm.weight' is no vector of the 2 elements that "
     "a norm shared by all heads has"},
    {"\"head_norms\": {" Q_AND_K "}", "0.q_norm.scale 2", GQA_ERR_UNSUPPORTED,
     "'layers.0.self_attn.q_norm.scale' normalises queries or keys, which "
     "models of family mine do not do: not a model we know"},
    {"\"head_norms\": {\"k\": \"kn\", \"weights\": \"per-head\"}",
     "0.kn.norms.0.weight 2", GQA_ERR_UNSUPPORTED,
     "'layers.0.self_attn.kn.norms.0.weight' normalises each key head with "
     "weights of its own: the mean of such heads is not what any one norm "
     "makes of it, so they cannot be pooled"},
    {"\"head_norms\": {" Q_AND_K ", \"weights\": \"full-width\"}",
     "0.q_norm.weight 4 0.k_norm.weight 4 1.q_norm.weight 4 1.k_norm.weight 4",
     GQA_OK, ""},
    {"\"head_norms\": {" Q_AND_K ", \"weights\": \"full-width\"}",
     "0.q_norm.weight 4 1.q_norm.weight 4", GQA_ERR_FORMAT,
     "'layers.0.self_attn.q_norm.weight' norms all heads together, and there "
     "is no such norm of the keys"},
    {"\"head_norms\": {" Q_AND_K ", \"weights\": \"full-width\"}", ALL_SHARED,
     GQA_ERR_FORMAT,
     "'layers.0.self_attn.q_norm.weight' is no vector of the 4 elements that "
     "a norm of all heads together has"},
    /* What nothing is said of. */
    {"\"layout\": \"separate\"", "0.q_norm.weight 2", GQA_ERR_UNSUPPORTED,
     "'layers.0.self_attn.q_norm.weight' normalises queries or keys, which "
     "models of family mine do not do: not a model we know"},
};

START_TEST(reads_what_all_heads_share)
{
    const struct gqa_checkpoint_options options = {0};
    struct gqa_family_file *family = family_with(cases[_i].said);
    const struct gqa_model_hints hints = {.n_heads = 2, .family = family};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;

    ck_assert_int_eq(gqa_checkpoint_open(
                         &checkpoint, write_model(cases[_i].tensors), &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_model_create(&model, checkpoint, &hints),
                     cases[_i].st);
    if (cases[_i].st != GQA_OK)
        ck_assert_str_eq(gqa_error_message(), cases[_i].message);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    gqa_family_file_free(family);
}
END_TEST

/* What is said of the norm itself, beside what the family's norms are. */
START_TEST(has_a_norm_of_its_own)
{
    struct gqa_family_file *file = NULL;
    static const char text[] =
        "{\"family\": \"mine\", \"like\": \"llama\","
        "\"model_types\": {\"mine\": {}},"
        "\"stacks\": {\"decoder\": {\"self\": {\"head_norms\": {"
        "\"k\": \"kn\", \"norm\": {\"kind\": \"%s\", \"eps\": 0.5%s}}}}}}";
    static const struct {
        const char *kind, *more;
        enum gqa_norm_kind is;
        enum gqa_part_presence bias;
    } norms[] = {
        {"layer", "", GQA_NORM_LAYER, GQA_PART_PRESENT},
        {"layer", ", \"bias\": false", GQA_NORM_LAYER, GQA_PART_ABSENT},
        {"rms", ", \"one_plus\": true", GQA_NORM_RMS, GQA_PART_ABSENT},
    };
    char filled[1024];

    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        struct gqa_family *family = NULL;
        const struct gqa_norm_rule *rule;
        enum gqa_part_presence weight, bias;

        snprintf(filled, sizeof filled, text, norms[i].kind, norms[i].more);
        ck_assert_msg(gqa_family_parse(&family, &gqa_builtin_families, "f",
                                       filled, strlen(filled),
                                       "mine") == GQA_OK,
                      "%s", gqa_error_message());
        rule = &family->stacks[GQA_STACK_DECODER].self.head_norms.norm;
        ck_assert_int_eq(rule->kind, norms[i].is);
        ck_assert_int_eq(gqa_norm_parts(&weight, &bias, rule, NULL), GQA_OK);
        ck_assert_int_eq(bias, norms[i].bias);
        ck_assert_int_eq(weight, GQA_PART_PRESENT);
        ck_assert_int_eq(rule->one_plus, i == 2);
        gqa_family_free(family);
    }
    ck_assert_int_eq(
        gqa_family_file_open(
            &file, scratch_write_text(
                       "f.json",
                       "{\"family\": \"mine\", \"like\": \"llama\","
                       "\"model_types\": {\"mine\": {}},"
                       "\"stacks\": {\"decoder\": {\"self\": {\"head_norms\":"
                       "\n{\"weights\": \"per-head\"}}}}}")),
        GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(),
                         "key 'stacks.decoder.self.head_norms': says neither "
                         "of 'q' and 'k'") != NULL,
                  "%s", gqa_error_message());
}
END_TEST

/* Phi's configuration decides, and has to fit what is there. */
START_TEST(the_configuration_decides)
{
    static const struct {
        const char *fixture, *says;
        bool asked;
    } models[] = {
        {"families/phi-norms", NULL, true},
        {"families/phi-norms",
         "'model.layers.0.self_attn.q_layernorm.weight' is there, but the "
         "configuration asks for no such norm",
         false},
        {"families/phi-grouped", NULL, false},
        {"families/phi-grouped",
         "'model.layers.0.self_attn.q_layernorm.weight' is missing: a model "
         "of family phi cannot be run without it",
         true},
    };
    const struct gqa_model_hints hints = {0};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct gqa_checkpoint_options options = {0};
        struct gqa_checkpoint *checkpoint = NULL;
        struct gqa_model *model = NULL;
        struct gqa_network *network = NULL;
        json_t *config = NULL;
        char path[64], *text;
        enum gqa_status st;

        snprintf(path, sizeof path, "%s/config.json", models[i].fixture);
        ck_assert_int_eq(gqa_json_load_file(&config, test_data(path), 1 << 20),
                         GQA_OK);
        json_object_set_new(config, "qk_layernorm",
                            json_boolean(models[i].asked));
        text = json_dumps(config, 0);
        options.config_path = scratch_write_text("config.json", text);
        ck_assert_int_eq(gqa_checkpoint_open(&checkpoint,
                                             test_data(models[i].fixture),
                                             &options),
                         GQA_OK);
        ck_assert_int_eq(gqa_model_create(&model, checkpoint, &hints), GQA_OK);
        st = gqa_network_create(&network, model);
        if (models[i].says) {
            ck_assert_int_eq(st, GQA_ERR_FORMAT);
            ck_assert_str_eq(gqa_error_message(), models[i].says);
        } else {
            ck_assert_msg(st == GQA_OK, "%s", gqa_error_message());
        }
        gqa_network_free(network);
        gqa_model_free(model);
        gqa_checkpoint_close(checkpoint);
        json_decref(config);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("head_norms");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, scratch_create, scratch_remove);
    tcase_add_loop_test(all, reads_what_all_heads_share, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_test(all, has_a_norm_of_its_own);
    tcase_add_test(all, the_configuration_decides);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
