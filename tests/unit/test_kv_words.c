/* KV heads that stand elsewhere than under a family's own key. */
#include <check.h>

#include "formats/families/kv_words.h"
#include "suite.h"

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    ck_assert_msg(value != NULL, "%s", text);
    return value;
}

START_TEST(another_number_is_found_however_deep)
{
    static const struct {
        const char *text;
        uint64_t n_kv_heads;
        bool differ;
    } cases[] = {
        {"{\"n_kv_heads\": 8}", 8, false},
        {"{\"n_kv_heads\": 8}", 4, true},
        {"{\"n_kv_heads\": 8}", 0, true},
        {"{\"n_heads\": 8}", 4, false},
        {"{\"model\": [{\"decoder\": {\"num_key_value_heads\": 8}}]}", 4, true},
        {"{\"num_kv_heads_per_layer\": [4, 4, 8]}", 4, true},
        {"{\"num_kv_heads_per_layer\": [4, 4, 4]}", 4, false},
        {"{\"num_kv_heads\": null}", 4, false},
        {"{\"num_kv_heads\": \"8\"}", 4, false},
        {"{\"attn_config\": {\"kv_n_heads\": 8}}", 4, true},
        {"[]", 4, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = parse(cases[i].text);

        ck_assert_msg(gqa_kv_words_differ(value, cases[i].n_kv_heads) ==
                          cases[i].differ,
                      "%s", cases[i].text);
        json_decref(value);
    }
}
END_TEST

START_TEST(another_number_is_found_in_text)
{
    static const struct {
        const char *text;
        bool differ;
    } cases[] = {
        {"model:\n  num_key_value_heads: 8\n", true},
        {"model:\n  num_key_value_heads: 4\n", false},
        {"n_kv_heads = 8", true},
        {"{\"n_kv_heads\" : [4, 8]}", false},
        {"{'kv_n_heads': \"8\"}", true},
        {"max_num_kv_heads: 8", false},
        {"num_kv_heads_of: 8, num_kv_heads", false},
        {"num_kv_heads: null", false},
        {"num_kv_heads:", false},
        {"num_kv_heads: 4, num_kv_heads=8", true},
        {"", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(gqa_kv_words_differ_in_text(cases[i].text, 4) ==
                          cases[i].differ,
                      "%s", cases[i].text);
}
END_TEST

START_TEST(a_list_of_blocks_tells_each_layer)
{
    json_t *blocks =
        parse("{\"a\": [1, 2, 3], \"blocks\": ["
              "{\"attention\": {\"num_key_value_heads\": 4}},"
              "{\"attention\": {\"n_heads_in_group\": 4}},"
              "{\"attention\": {\"no_op\": true, \"n_heads_in_group\": null}}"
              "]}");
    json_t *list = parse("{\"num_kv_heads\": [8, 2, 0]}");

    ck_assert_uint_eq(gqa_kv_words_of_layer(blocks, 0, 3, 8), 4);
    ck_assert_uint_eq(gqa_kv_words_of_layer(blocks, 1, 3, 8), 2);
    ck_assert_uint_eq(gqa_kv_words_of_layer(blocks, 2, 3, 8), 0);
    /* A list of another length is of something else. */
    ck_assert_uint_eq(gqa_kv_words_of_layer(blocks, 0, 4, 8), 0);
    ck_assert_uint_eq(gqa_kv_words_of_layer(list, 0, 3, 8), 8);
    ck_assert_uint_eq(gqa_kv_words_of_layer(list, 2, 3, 8), 0);
    json_decref(blocks);
    json_decref(list);
}
END_TEST

START_TEST(hidden_numbers_are_null_and_others_stay)
{
    json_t *value = parse("[{\"n_heads_in_group\": 2, \"x\": 2, \"y\": [1]}]");
    json_t *wanted =
        parse("[{\"n_heads_in_group\": null, \"x\": 2, \"y\": [1]}]");
    json_t *hidden = gqa_kv_words_hide("block_configs", value);
    json_t *number = json_integer(4);
    json_t *none = gqa_kv_words_hide("n_head_kv", number);

    ck_assert(json_equal(hidden, wanted));
    ck_assert(json_is_null(none));
    json_decref(value);
    json_decref(wanted);
    json_decref(hidden);
    json_decref(number);
    json_decref(none);
}
END_TEST

/* Nested beyond what is looked into: nothing is found, and nothing breaks. */
START_TEST(depth_is_bounded)
{
    json_t *value = parse("{\"n_kv_heads\": 8}");
    json_t *hidden;

    for (int i = 0; i < 100; i++)
        value = json_pack("[o]", value);
    ck_assert(!gqa_kv_words_differ(value, 4));
    hidden = gqa_kv_words_hide("x", value);
    ck_assert(json_equal(hidden, value));
    json_decref(hidden);
    json_decref(value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_words");
    TCase *tcase = tcase_create("kv_words");

    tcase_add_test(tcase, another_number_is_found_however_deep);
    tcase_add_test(tcase, another_number_is_found_in_text);
    tcase_add_test(tcase, a_list_of_blocks_tells_each_layer);
    tcase_add_test(tcase, hidden_numbers_are_null_and_others_stay);
    tcase_add_test(tcase, depth_is_bounded);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
