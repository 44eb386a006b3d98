/* KV heads that words of a configuration say. */
#include <check.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/kv_said.h"
#include "formats/families/load.h"
#include "formats/families/meaning.h"
#include "suite.h"

/* By texts, with values of its own for null and for none. */
static const char by_texts[] =
    "{\"family\": \"mine\", \"like\": \"gpt_bigcode\", \"model_types\": "
    "{\"mine\": {}}, \"config\": {\"n_kv_heads_by\": {\"key\": \"form\", "
    "\"default\": \"n_heads\", \"null\": 3, \"map\": {\"true\": 5, \"false\": "
    "6, \"pairs\": 2, "
    "\"single\": 1}}}}";

static struct gqa_family *load(const char *type)
{
    const struct gqa_family_choice choice = {.library = &gqa_builtin_families};
    struct gqa_family *family = NULL;

    if (strcmp(type, "mine") == 0)
        ck_assert_msg(gqa_family_parse(&family, &gqa_builtin_families,
                                       "mine.json", by_texts, strlen(by_texts),
                                       type) == GQA_OK,
                      "%s", gqa_error_message());
    for (size_t i = 0; i < gqa_family_count(&choice) && !family; i++)
        if (gqa_family_has_type(&choice, i, type))
            ck_assert_int_eq(gqa_family_load(&family, &choice, i, type),
                             GQA_OK);
    ck_assert_msg(family != NULL, "%s", type);
    return family;
}

static json_t *parse(const char *text)
{
    json_t *out = json_loads(text, 0, NULL);

    ck_assert_ptr_nonnull(out);
    return out;
}

/* What 8 query heads' configuration says, and what it becomes when it is to
 * say another number; NULL: it cannot. */
static const struct {
    const char *type, *config, *key;
    uint64_t said, wanted;
    const char *becomes;
} cases[] = {
    {"gpt_bigcode", "{}", "multi_query", 1, 1, "{}"},
    {"gpt_bigcode", "{}", "multi_query", 1, 8, "{\"multi_query\": false}"},
    {"gpt_bigcode", "{}", "multi_query", 1, 2, NULL},
    {"gpt_bigcode", "{\"multi_query\": false}", "multi_query", 8, 1,
     "{\"multi_query\": true}"},
    {"gpt_bigcode", "{\"multi_query\": false}", "multi_query", 8, 0, NULL},
    {"gpt_bigcode", "{\"multi_query\": null}", "multi_query", 8, 8,
     "{\"multi_query\": null}"},
    {"gpt_bigcode", "{\"multi_query\": \"yes\"}", "multi_query", 0, 1,
     "{\"multi_query\": true}"},
    /* No word of the family's, though it is a number. */
    {"gpt_bigcode", "{\"multi_query\": 2}", "multi_query", 0, 2, NULL},
    {"falcon", "{\"num_kv_heads\": 8}", "multi_query", 1, 1,
     "{\"num_kv_heads\": 8}"},
    {"falcon", "{\"new_decoder_architecture\": false, \"multi_query\": false}",
     "multi_query", 8, 1,
     "{\"new_decoder_architecture\": false, \"multi_query\": true}"},
    {"falcon", "{\"new_decoder_architecture\": false, \"num_kv_heads\": 4}",
     "multi_query", 1, 4, NULL},
    {"falcon", "{\"new_decoder_architecture\": true, \"multi_query\": true}",
     "num_kv_heads", 8, 8,
     "{\"new_decoder_architecture\": true, \"multi_query\": true}"},
    {"falcon", "{\"new_decoder_architecture\": true, \"num_kv_heads\": 8}",
     "num_kv_heads", 8, 2,
     "{\"new_decoder_architecture\": true, \"num_kv_heads\": 2}"},
    {"falcon", "{\"new_decoder_architecture\": true}", "num_kv_heads", 8, 0,
     NULL},
    {"falcon", "{\"new_decoder_architecture\": \"x\"}",
     "new_decoder_architecture", 0, 1, NULL},
    {"mine", "{}", "form", 8, 2, "{\"form\": \"pairs\"}"},
    {"mine", "{\"form\": \"pairs\"}", "form", 2, 1, "{\"form\": \"single\"}"},
    {"mine", "{\"form\": null}", "form", 3, 3, "{\"form\": null}"},
    {"mine", "{\"form\": \"pairs\"}", "form", 2, 8, NULL},
};

START_TEST(says)
{
    struct gqa_family *family = load(cases[_i].type);
    json_t *config = parse(cases[_i].config);
    json_t *becomes = cases[_i].becomes ? parse(cases[_i].becomes) : NULL;

    ck_assert(gqa_kv_said(family));
    ck_assert_str_eq(gqa_kv_said_key(family, config), cases[_i].key);
    ck_assert_uint_eq(gqa_kv_said_count(family, config, 8), cases[_i].said);
    ck_assert(gqa_kv_said_can(family, config, 8, cases[_i].wanted) ==
              (becomes != NULL));
    ck_assert_int_eq(
        gqa_kv_said_check(family, config, 8, cases[_i].wanted, "out/", ""),
        becomes ? GQA_OK : GQA_ERR_USAGE);
    if (becomes) {
        gqa_kv_said_set(config, family, 8, cases[_i].wanted);
        ck_assert(json_equal(config, becomes));
    }
    json_decref(becomes);
    json_decref(config);
    gqa_family_free(family);
}
END_TEST

/* Others have a key, or none. */
START_TEST(is_of_few)
{
    struct gqa_family *family = load("llama");

    ck_assert(!gqa_kv_said(family));
    ck_assert_int_eq(gqa_kv_said_check(family, NULL, 8, 2, "out/", ""), GQA_OK);
    gqa_family_free(family);
}
END_TEST

static size_t n_differences(const struct gqa_family *family, const char *first,
                            const char *second, bool kv_heads)
{
    const struct gqa_meaning_view view = {.n_layers = 2, .kv_heads = kv_heads};
    json_t *configs[] = {parse(first), parse(second)};
    json_t *meanings[2] = {NULL, NULL};
    json_t *differences = NULL;
    size_t n;

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            gqa_meaning_create(&meanings[i], family, configs[i], &view),
            GQA_OK);
    ck_assert_int_eq(
        gqa_meaning_compare(&differences, meanings[0], meanings[1]), GQA_OK);
    n = json_array_size(differences);
    for (int i = 0; i < 2; i++) {
        json_decref(configs[i]);
        json_decref(meanings[i]);
    }
    json_decref(differences);
    return n;
}

/* A conversion may change how many there are, and nothing else; of the same
 * tensors it is one number, however it is said. */
START_TEST(is_what_may_change)
{
    static const char mqa[] = "{\"num_attention_heads\": 8}";
    static const char mha[] =
        "{\"num_attention_heads\": 8, \"multi_query\": false, "
        "\"num_kv_heads\": 8}";
    static const char written[] =
        "{\"num_attention_heads\": 8, \"multi_query\": true, "
        "\"num_kv_heads\": 3, \"new_decoder_architecture\": false}";
    static const char other[] =
        "{\"num_attention_heads\": 8, \"new_decoder_architecture\": true}";
    struct gqa_family *family = load("falcon");

    ck_assert_uint_eq(n_differences(family, mqa, mha, false), 0);
    ck_assert_uint_eq(n_differences(family, mqa, mha, true), 1);
    ck_assert_uint_eq(n_differences(family, mqa, written, true), 0);
    ck_assert_uint_gt(n_differences(family, mqa, other, false), 0);
    gqa_family_free(family);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_said");
    TCase *tcase = tcase_create("kv_said");

    tcase_add_loop_test(tcase, says, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tcase, is_of_few);
    tcase_add_test(tcase, is_what_may_change);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
