#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "suite.h"

static void check_text(const char *text, const char *expected)
{
    json_t *string = gqa_json_text(text);

    ck_assert_ptr_nonnull(string);
    ck_assert_str_eq(json_string_value(string), expected);
    json_decref(string);
}

START_TEST(keeps_utf8)
{
    check_text("", "");
    check_text("gr\xc3\xb6\xc3\x9f"
               "e",
               "gr\xc3\xb6\xc3\x9f"
               "e");
    check_text("\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7");
}
END_TEST

/* Each byte that is none becomes U+FFFD, and the rest stays. */
START_TEST(replaces_other_bytes)
{
    check_text("a\xff\xc3\xbc", "a\xef\xbf\xbd\xc3\xbc");
    check_text("\xc3", "\xef\xbf\xbd");
    check_text("\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

static void *allocate_nothing(size_t size)
{
    (void)size;
    return NULL;
}

START_TEST(tells_lack_of_memory_from_bad_text)
{
    static const char good[] = "{\"a\": [1, 2]}";
    json_t *value = NULL;

    json_set_alloc_funcs(allocate_nothing, free);
    ck_assert_int_eq(gqa_json_parse(&value, good, strlen(good), "x"),
                     GQA_ERR_NOMEM);
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_eq(gqa_json_parse(&value, "{", 1, "x"), GQA_ERR_FORMAT);
    ck_assert_int_eq(gqa_json_parse(&value, good, strlen(good), "x"), GQA_OK);
    json_decref(value);
}
END_TEST

/* What json.dumps() of Python makes of 2 ** 63, 10 ** 30 and floats. */
static const struct {
    const char *python, *read; /* NULL: not taken */
} numbers[] = {
    {"[9223372036854775807, -9223372036854775808]",
     "[9223372036854775807,-9223372036854775808]"},
    {"[9223372036854775808]", "[9.2233720368547758e18]"},
    {"[-9223372036854775809]", "[-9.2233720368547758e18]"},
    {"{\"a\": 1000000000000000019884624838656}", "{\"a\":1e30}"},
    {"[NaN, Infinity, -Infinity]",
     "[{\"__float__\":\"NaN\"},{\"__float__\":\"Infinity\"},"
     "{\"__float__\":\"-Infinity\"}]"},
    {"[\"NaN, 9223372036854775808\\\" Infinity\", NaN]",
     "[\"NaN, 9223372036854775808\\\" Infinity\",{\"__float__\":\"NaN\"}]"},
    {"[09223372036854775808]", NULL},
    {"[nan]", NULL},
    {"[+Infinity]", NULL},
    {"[InfinityInfinity]", NULL},
    {"[--Infinity]", NULL},
    {"[NaN", NULL},
    {"[\"NaN", NULL},
    {"[NaN, \"\\", NULL},
    {"{NaN: 1}", NULL},
    {"{\"a\": NaN, \"a\": 1}", NULL},
};

START_TEST(numbers_of_python_are_read)
{
    const char *text = numbers[_i].python, *expected = numbers[_i].read;
    json_t *value = NULL, *right = NULL;
    const enum gqa_status st =
        gqa_json_parse(&value, text, strlen(text), "config.json");

    if (expected) {
        ck_assert_int_eq(st, GQA_OK);
        right = json_loads(expected, 0, NULL);
        ck_assert_msg(json_equal(value, right), "%s", text);
    } else {
        ck_assert_int_eq(st, GQA_ERR_FORMAT);
    }
    json_decref(value);
    json_decref(right);
}
END_TEST

/* What is wrong is not the number; and in a list no number is respelt. */
START_TEST(numbers_of_python_in_errors)
{
    static const char bad[] = "[NaN, }", list[] = "[9223372036854775808]";
    json_t *value = NULL;

    ck_assert_int_eq(gqa_json_parse(&value, bad, strlen(bad), "x"),
                     GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "near '}' (line 1, "));
    ck_assert_int_eq(gqa_json_parse_list(&value, list, strlen(list), "header"),
                     GQA_ERR_FORMAT);
}
END_TEST

/* Numbers, texts, lists and objects; what stands in a text is none. */
START_TEST(values_are_counted)
{
    static const char text[] = "{\"a,[{\\\"\": [1, \"x,\"], \"b\": {}}";

    /* At most: the object and its two members, two in the list, and one that
     * an empty object might have. */
    ck_assert_uint_eq(gqa_json_n_values(text, sizeof text - 1), 6);
}
END_TEST

/* A million tensors: refused with the figure, before memory is taken. */
START_TEST(lists_are_bounded)
{
    const size_t n = GQA_JSON_MAX_VALUES;
    char *text = malloc(2 * n + 3);
    json_t *root = NULL;

    memset(text, ',', 2 * n + 2);
    for (size_t i = 1; i < 2 * n + 2; i += 2)
        text[i] = '1';
    text[0] = '[';
    text[2 * n] = ']';
    ck_assert_int_eq(gqa_json_parse_list(&root, text, 2 * n + 1, "header"),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(),
                                 "header: 300001 values of JSON; at most "
                                 "300000 are read"));
    text[2 * n - 2] = ']';
    ck_assert_int_eq(gqa_json_parse_list(&root, text, 2 * n - 1, "header"),
                     GQA_OK);
    ck_assert_uint_eq(json_array_size(root), n - 1);
    json_decref(root);
    free(text);
}
END_TEST

/* Whatever it holds: one value may be all of it. */
START_TEST(headers_are_bounded)
{
    ck_assert_int_eq(gqa_json_check_bytes(12 << 20, "header"), GQA_OK);
    ck_assert_int_eq(gqa_json_check_bytes((12 << 20) + 1, "header"),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(),
               "header: 12582913 bytes of JSON; at most 12582912 are read"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *all = tcase_create("all");

    tcase_add_test(all, headers_are_bounded);
    tcase_add_test(all, values_are_counted);
    tcase_add_test(all, lists_are_bounded);
    tcase_add_test(all, keeps_utf8);
    tcase_add_test(all, replaces_other_bytes);
    tcase_add_loop_test(all, numbers_of_python_are_read, 0,
                        sizeof numbers / sizeof *numbers);
    tcase_add_test(all, numbers_of_python_in_errors);
    tcase_add_test(all, tells_lack_of_memory_from_bad_text);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
