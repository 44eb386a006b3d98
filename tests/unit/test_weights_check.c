/* Every value of a converted checkpoint against the original. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "plain_model.h"
#include "scratch.h"
#include "suite.h"
#include "verify/weights_check.h"

static struct plain_model from, to;
static struct gqa_subject original, converted;
static struct gqa_report *report;
static char *text;
static struct gqa_weights_options options;

static void begin(void)
{
    scratch_create();
    ck_assert_int_eq(gqa_report_create(&report), GQA_OK);
    options = (struct gqa_weights_options){.n_threads = 2};
    from = plain_multi_head();
    to = plain_grouped();
}

static void end(void)
{
    gqa_subject_close(&converted);
    gqa_subject_close(&original);
    gqa_report_free(report);
    free(text);
    text = NULL;
    scratch_remove();
}

static void open_both(void)
{
    plain_model_open(&original, "original", &from);
    plain_model_open(&converted, "converted", &to);
}

static void check(void)
{
    size_t n_text;
    FILE *out;

    ck_assert_msg(gqa_weights_check(report, &original, &converted, &options) ==
                      GQA_OK,
                  "%s", gqa_error_message());
    out = open_memstream(&text, &n_text);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(gqa_report_write(out, report, GQA_REPORT_TAP), GQA_OK);
    ck_assert_int_eq(fclose(out), 0);
}

static void says(const char *line)
{
    ck_assert_msg(strstr(text, line) != NULL, "no '%s' in:\n%s", line, text);
}

/* A recipe of the one attention, from 4 heads to n. */
static void record(const char *method, int n, const char *dtype)
{
    converted.recipe = json_pack(
        "{s:s, s:s, s:b, s:[{s:s, s:s, s:i, s:i, s:i}]}", "method", method,
        "dtype", dtype, "expanded", 0, "attentions", "stack", "decoder", "kind",
        "self", "layer", 0, "source_n_kv_heads", 4, "n_kv_heads", n);
    ck_assert_ptr_nonnull(converted.recipe);
}

/* --- What is right -------------------------------------------------------- */

/* 12 tensors, of which k and v are not as they were. */
START_TEST(passes_without_a_recipe)
{
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 3);
    ck_assert_uint_eq(gqa_report_count(report, GQA_SKIPPED), 1);
    says("weights recipe # SKIP none is recorded; each way to group is tried");
    says("weights parameters: 12, those of the original");
    says("weights unchanged: 10 of 10 tensors equal, bit by bit");
    says("weights grouped: 1 of 1 attentions 4 -> 2 KV heads, mean over "
         "contiguous groups");
}
END_TEST

START_TEST(passes_by_the_recipe)
{
    open_both();
    record("mean", 2, "keep");
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 4);
    says("weights recipe: mean");
}
END_TEST

/* Whole numbers up to 64 are none other in BF16. */
START_TEST(takes_what_is_rounded_once)
{
    to.dtype = GQA_BF16;
    open_both();
    record("mean", 2, "bf16");
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 4);
    says("weights unchanged: 10 of 10 tensors equal, rounded once");
}
END_TEST

/* --- What is wrong -------------------------------------------------------- */

START_TEST(finds_a_changed_tensor)
{
    to.norm = 2;
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("weights unchanged: 9 of 10 tensors equal, bit by bit");
    says("'model.norm.weight', element 0: 2, in the original 1");
}
END_TEST

START_TEST(finds_a_missing_tensor)
{
    to.without_norm = true;
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("'model.norm.weight' of the original is missing");
    says("weights unchanged: 9 of 9 tensors equal, bit by bit");
}
END_TEST

START_TEST(finds_a_tensor_too_many)
{
    from.without_norm = true;
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("'model.norm.weight' is not in the original");
}
END_TEST

START_TEST(finds_another_dtype)
{
    to.dtype = GQA_BF16;
    open_both();
    record("mean", 2, "keep");
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("is BF16, but must be F32");
}
END_TEST

START_TEST(finds_another_method)
{
    open_both();
    record("first", 2, "keep");
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("element 0: 8, but must be 0; it fits: mean over contiguous groups");
}
END_TEST

START_TEST(finds_another_recipe)
{
    open_both();
    record("mean", 1, "keep");
    check();
    says("the recipe says 1 KV heads, the tensors have 2");
    says("where the recipe does not fit, nothing can be recomputed");
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
}
END_TEST

/* A recipe of what the one that is there was made of. */
static void precede(const char *method, int source, int n)
{
    json_t *outer = converted.recipe;

    record(method, n, "keep");
    json_object_set_new(
        json_array_get(json_object_get(converted.recipe, "attentions"), 0),
        "source_n_kv_heads", json_integer(source));
    json_object_set_new(outer, "source",
                        json_pack("{s:o}", "recipe", converted.recipe));
    converted.recipe = outer;
}

/* 4 heads to 4, as they are, and to 2. */
START_TEST(replays_two_conversions)
{
    open_both();
    record("mean", 2, "keep");
    precede("first", 4, 4);
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 4);
    says("weights recipe: 2 conversions, the last mean");
}
END_TEST

/* 2 heads to 1 cannot be what followed 4 to 4. */
START_TEST(finds_steps_that_do_not_follow)
{
    open_both();
    record("mean", 1, "keep");
    precede("mean", 2, 2);
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
}
END_TEST

START_TEST(finds_heads_that_no_model_has)
{
    open_both();
    record("mean", 3, "keep");
    precede("mean", 12, 4);
    check();
    says("the recipe groups 4 KV heads into 3, of 4 query heads");
}
END_TEST

/* Means of two heads that the recipe says are expanded to four. */
START_TEST(finds_expansion_that_is_none)
{
    open_both();
    record("mean", 2, "keep");
    json_object_set_new(converted.recipe, "expanded", json_true());
    check();
    says("the recipe says that its 2 KV heads are expanded to 4, the tensors "
         "have 2");
}
END_TEST

/* Values fail nothing, and are told. */
START_TEST(reports_what_was_trained)
{
    options.trained = true;
    to.norm = 2;
    to.k[0][0][0] = 100;
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 0);
    ck_assert_uint_eq(gqa_report_count(report, GQA_REPORTED), 2);
    says("weights unchanged: 9 of 10 tensors equal, the others off by ");
    says("most: 'model.norm.weight', by 1; the largest difference of an "
         "element is 1");
    says("weights grouped: 0 of 1 attentions' keys and values equal");
}
END_TEST

START_TEST(refuses_unknown_recipes)
{
    open_both();
    record("median", 2, "keep");
    check();
    says("its method is none that is known");
}
END_TEST

/* Layer 1 has the heads twice that layer 0 has as they were. */
START_TEST(remarks_on_layers_that_differ)
{
    from.n_layers = to.n_layers = 2;
    memcpy(from.k[1], from.k[0], sizeof from.k[0]);
    memcpy(from.v[1], from.v[0], sizeof from.v[0]);
    to.n_kv_heads = 4;
    for (int h = 0; h < 4; h++)
        for (int e = 0; e < PLAIN_HEAD; e++) {
            to.k[1][h][e] = 32 * (h / 2) + 8 + e;
            to.v[1][h][e] = -to.k[1][h][e];
        }
    memcpy(to.k[0], from.k[0], sizeof to.k[0]);
    memcpy(to.v[0], from.v[0], sizeof to.v[0]);
    open_both();
    check();
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 0);
    says("decoder self-attention of layer 1 is mean over contiguous groups, "
         "expanded (2), while layer 0 is not grouped (4), and no recipe says "
         "that they differ");
}
END_TEST

START_TEST(suspects_swapped_paths)
{
    struct plain_model other = from;

    from = to;
    to = other;
    open_both();
    check();
    says("the original is a grouping of the converted one: the two were given "
         "the wrong way round");
}
END_TEST

START_TEST(refuses_another_model)
{
    from.n_layers = 2;
    open_both();
    ck_assert_int_eq(gqa_weights_check(report, &original, &converted, &options),
                     GQA_ERR_USAGE);
    ck_assert_msg(strstr(gqa_error_message(),
                         "the number of layers is 1 here and 2 there"),
                  "%s", gqa_error_message());
}
END_TEST

START_TEST(skips_what_is_not_understood)
{
    const struct gqa_subject nothing = {0};

    plain_model_open(&original, "original", &from);
    ck_assert_int_eq(gqa_weights_check(report, &original, &nothing, &options),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_SKIPPED), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights_check");
    TCase *tc = tcase_create("weights_check");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, passes_without_a_recipe);
    tcase_add_test(tc, passes_by_the_recipe);
    tcase_add_test(tc, takes_what_is_rounded_once);
    tcase_add_test(tc, finds_a_changed_tensor);
    tcase_add_test(tc, finds_a_missing_tensor);
    tcase_add_test(tc, finds_a_tensor_too_many);
    tcase_add_test(tc, finds_another_dtype);
    tcase_add_test(tc, finds_another_method);
    tcase_add_test(tc, finds_another_recipe);
    tcase_add_test(tc, replays_two_conversions);
    tcase_add_test(tc, finds_steps_that_do_not_follow);
    tcase_add_test(tc, finds_heads_that_no_model_has);
    tcase_add_test(tc, finds_expansion_that_is_none);
    tcase_add_test(tc, reports_what_was_trained);
    tcase_add_test(tc, refuses_unknown_recipes);
    tcase_add_test(tc, remarks_on_layers_that_differ);
    tcase_add_test(tc, suspects_swapped_paths);
    tcase_add_test(tc, refuses_another_model);
    tcase_add_test(tc, skips_what_is_not_understood);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
