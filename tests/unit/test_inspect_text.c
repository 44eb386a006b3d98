#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/markup.h"
#include "common/text.h"
#include "common/units.h"
#include "inspect/json_text.h"
#include "inspect/table.h"
#include "suite.h"

/* What a function wrote on the stream it was given. */
static char *text;
static size_t length;
static FILE *stream;

static void begin(void)
{
    stream = open_memstream(&text, &length);
    ck_assert_ptr_nonnull(stream);
}

static void wrote(const char *expected)
{
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_str_eq(text, expected);
    free(text);
    begin();
}

static void end(void)
{
    fclose(stream);
    free(text);
}

START_TEST(escapes_what_steers_a_terminal)
{
    gqa_text_put(stream, "layer.0/w:0");
    wrote("layer.0/w:0");
    gqa_text_put(stream, "a\x1b[2Jb\n\x7f");
    wrote("a\\x1b[2Jb\\x0a\\x7f");
    gqa_text_put(stream, "gr\xc3\xbc\xc3\x9f"); /* UTF-8 */
    wrote("gr\xc3\xbc\xc3\x9f");
    gqa_text_put(stream, "a\xff\xc3"); /* not UTF-8 */
    wrote("a\\xff\\xc3");
    gqa_text_put(stream, "\xc2\x9b"); /* U+009B, a control sequence */
    wrote("\\xc2\\x9b");
    gqa_text_put(stream, "\xe2\x80\xae"); /* U+202E, right to left */
    wrote("\\xe2\\x80\\xae");
    ck_assert(gqa_text_is_plain("layer"));
    ck_assert(!gqa_text_is_plain("layer\t"));
}
END_TEST

START_TEST(escapes_markup)
{
    ck_assert_int_eq(gqa_markup_put(stream, "layer.0/w:0"), GQA_OK);
    wrote("layer.0/w:0");
    ck_assert_int_eq(gqa_markup_put(stream, "</title><b a='\"'>&lt;"), GQA_OK);
    wrote("&lt;/title&gt;&lt;b a=&#39;&quot;&#39;&gt;&amp;lt;");
    ck_assert_int_eq(gqa_markup_put(stream, "\x01\n\xff\xe2\x80\xae"), GQA_OK);
    wrote("\\x01\\x0a\\xff\\xe2\\x80\\xae");
}
END_TEST

START_TEST(measures_columns)
{
    ck_assert_uint_eq(gqa_text_width("abc", 3), 3);
    ck_assert_uint_eq(gqa_text_width("\xc3\xbc", 2), 1);
    ck_assert_uint_eq(gqa_text_width("\xe5\xb1\x82", 3), 2); /* wide */
    ck_assert_uint_eq(gqa_text_width("e\xcc\x81", 3), 1);    /* combining */
}
END_TEST

START_TEST(writes_sizes_in_human_units)
{
    char buf[GQA_UNITS_MAX];

    ck_assert_str_eq(gqa_units_bytes(buf, 0), "0 B");
    ck_assert_str_eq(gqa_units_bytes(buf, 1023), "1023 B");
    ck_assert_str_eq(gqa_units_bytes(buf, 1024), "1.0 KiB");
    ck_assert_str_eq(gqa_units_bytes(buf, 1536), "1.5 KiB");
    ck_assert_str_eq(gqa_units_bytes(buf, (1 << 20) - 1), "1.0 MiB");
    ck_assert_str_eq(gqa_units_bytes(buf, (uint64_t)100 << 30), "100.0 GiB");
    ck_assert_str_eq(gqa_units_bytes(buf, UINT64_MAX), "16.0 EiB");
}
END_TEST

START_TEST(writes_names_in_braces)
{
    static const char *const llama[] = {
        "l.0.q_proj.weight", "l.0.k_proj.weight", "l.0.o_proj.weight"};
    static const char *const gpt2[] = {
        "h.attn.c_attn.weight", "h.attn.c_attn.weight", "h.attn.c_proj.weight"};
    static const char *const same[] = {"x.weight", "x.weight"};
    static const char *const apart[] = {"a", "bc"};
    static const char *const inside[] = {"x.", "x..", "x"};

    gqa_text_put_names(stream, llama, 3);
    wrote("l.0.{q,k,o}_proj.weight");
    gqa_text_put_names(stream, gpt2, 3);
    wrote("h.attn.{c_attn,c_proj}.weight");
    gqa_text_put_names(stream, same, 2);
    wrote("x.weight");
    gqa_text_put_names(stream, apart, 2);
    wrote("{a,bc}");
    gqa_text_put_names(stream, inside, 3);
    wrote("{x.,x..,x}");
}
END_TEST

static void put_cell(FILE *out, const void *ctx, size_t row, size_t column)
{
    const char *const *cells = ctx; /* three to a row */

    fputs(cells[3 * row + column], out);
}

/* Cells grow and shrink from row to row; lines end without blanks. */
START_TEST(aligns_tables)
{
    static const struct gqa_column columns[] = {
        {"name", false}, {"n", true}, {"", false}};
    static const char *const cells[9] = {
        "long name", "1", "", "\xc3\xbc", "100", "x", "", "", ""};

    const struct gqa_table table = {.columns = columns,
                                    .n_columns = 3,
                                    .n_rows = 3,
                                    .cell = put_cell,
                                    .ctx = cells};

    ck_assert_int_eq(gqa_table_print(stream, &table), GQA_OK);
    wrote("name         n\n"
          "long name    1\n"
          "\xc3\xbc          100  x\n"
          "\n");
}
END_TEST

static void wrapped(const char *name, size_t column, const char *expected)
{
    gqa_text_put_wrapped(stream, name, strlen(name), column, 70);
    wrote(expected);
}

/* Behind what separates names, as far right as fits. */
START_TEST(wraps_names)
{
    wrapped("model.layers.0", 66, "model.layers.0");
    wrapped("model.layers.0.mlp", 66,
            "model.layers.\n"
            "                                                                 "
            "     0.mlp");
    wrapped("up_proj_weights", 70,
            "up_proj_\n"
            "                                                                 "
            "     weights");
    wrapped("abcdefghijk", 70,
            "abcdefghij\n"
            "                                                                 "
            "     k");
    wrapped("fused, rows: x", 70,
            "fused,\n"
            "                                                                 "
            "     rows: x");
    wrapped("", 79, "");
}
END_TEST

static void printed(const char *json, const char *expected)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(gqa_json_text_print(stream, value), GQA_OK);
    wrote(expected);
    json_decref(value);
}

START_TEST(prints_json_for_people)
{
    printed("{\"method\": \"mean\", \"n\": 3, \"on\": false, \"no\": null}",
            "method  mean\n"
            "n       3\n"
            "on      no\n"
            "no      -\n");
    printed("{\"a\": {\"b\": [1, 2], \"c\": []}, \"d\": {}}", "a\n"
                                                              "  b  1, 2\n"
                                                              "  c  none\n"
                                                              "d\n");
    printed("{\"list\": [{\"layer\": 0, \"kind\": \"self\"},"
            "{\"layer\": 10, \"kind\": \"cross\"}]}",
            "list\n"
            "layer  kind\n"
            "    0  self\n"
            "   10  cross\n");
    /* Not the same members, or members that are no cells: no table. */
    printed("[{\"a\": 1}, {\"b\": 2}]", "a  1\nb  2\n");
    printed("[{\"a\": {\"b\": 1}}]", "a\n  b  1\n");
    printed("[{\"\\u001b\": 1}]", "\\x1b  1\n");
    printed("\"text\"", "text\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect_text");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, begin, end);
    tcase_add_test(all, escapes_what_steers_a_terminal);
    tcase_add_test(all, escapes_markup);
    tcase_add_test(all, measures_columns);
    tcase_add_test(all, writes_sizes_in_human_units);
    tcase_add_test(all, writes_names_in_braces);
    tcase_add_test(all, aligns_tables);
    tcase_add_test(all, wraps_names);
    tcase_add_test(all, prints_json_for_people);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
