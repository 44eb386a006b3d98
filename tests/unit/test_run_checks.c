#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_backend.h"
#include "scratch.h"
#include "suite.h"
#include "tiny_model.h"
#include "verify/run_checks.h"

/* Two KV heads, and those on one. */
static struct tiny_model multi_head, single;
static struct gqa_run_model original, grouped;

static struct gqa_run_check_options options;
static struct gqa_claims claims;
static struct gqa_report *report;
static char *text;

static void begin(void)
{
    const struct gqa_backend *backend = faulty_backend();

    scratch_create();
    tiny_model_open(&multi_head, TINY_VOCAB, TINY_HEADS);
    tiny_model_open(&single, TINY_VOCAB, 1);
    original = (struct gqa_run_model){multi_head.model, multi_head.source};
    grouped = (struct gqa_run_model){single.model, single.source};
    options = (struct gqa_run_check_options){
        .run = {.backend = backend,
                .device = {.real = GQA_F32, .n_threads = 1}},
        .reference = {.backend = gqa_cpu_backend(),
                      .device = {.real = GQA_F64, .n_threads = 1}},
        .samples = {.n = 2, .length = 5},
        .budget = gqa_budget_none,
    };
    claims = (struct gqa_claims){0};
    ck_assert_int_eq(gqa_report_create(&report), GQA_OK);
}

static void end(void)
{
    ck_assert_uint_eq(faulty_n_open, 0);
    gqa_report_free(report);
    free(text);
    text = NULL;
    tiny_model_close(&single);
    tiny_model_close(&multi_head);
    scratch_remove();
}

static enum gqa_status run_both(const struct gqa_run_model *converted)
{
    struct gqa_run *both = NULL;
    enum gqa_status st = gqa_run_begin(&both, &original, &options);

    if (st == GQA_OK)
        st = gqa_run_finish(both, report, converted, &claims);
    gqa_run_free(both);
    return st;
}

static void run(const struct gqa_run_model *converted)
{
    size_t n_text;
    FILE *out;

    ck_assert_msg(run_both(converted) == GQA_OK, "%s", gqa_error_message());
    out = open_memstream(&text, &n_text);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(gqa_report_write(out, report, GQA_REPORT_TAP), GQA_OK);
    ck_assert_int_eq(fclose(out), 0);
}

static void counts(size_t passed, size_t failed, size_t skipped,
                   size_t reported)
{
    ck_assert_msg(gqa_report_count(report, GQA_PASSED) == passed, "%s", text);
    ck_assert_msg(gqa_report_count(report, GQA_FAILED) == failed, "%s", text);
    ck_assert_msg(gqa_report_count(report, GQA_SKIPPED) == skipped, "%s", text);
    ck_assert_msg(gqa_report_count(report, GQA_REPORTED) == reported, "%s",
                  text);
}

/* decode-prefill, device-float64, grouped-expanded and finite; kl, kl-p99,
 * top-1, perplexity and drift. */
START_TEST(passes_what_is_right)
{
    run(&grouped);
    counts(4, 0, 0, 5);
}
END_TEST

/* What is said to have the original's function has it, or not. */
START_TEST(holds_a_function_to_what_is_claimed)
{
    options.run.device.real = GQA_F64;
    claims.same_function = claims.in_float64 = true;
    run(&original);
    counts(4, 0, 1, 5);
    ck_assert_msg(strstr(text, "- fidelity same-function: relative L2 of "
                               "logits 0 (<= 1e-09)"),
                  "%s", text);
}
END_TEST

START_TEST(catches_another_function)
{
    options.run.device.real = GQA_F64;
    claims.same_function = claims.in_float64 = true;
    faults.grouped = 0.01;
    run(&grouped);
    counts(2, 3, 0, 5);
    ck_assert_msg(strstr(text, "not ok 10 - fidelity same-function"), "%s",
                  text);
}
END_TEST

/* In float32 there is no limit to it. */
START_TEST(reports_a_function_that_was_rounded)
{
    claims.same_function = true;
    run(&grouped);
    counts(4, 0, 0, 6);
}
END_TEST

START_TEST(skips_expansion_of_multi_head)
{
    run(&original);
    counts(3, 0, 1, 5);
}
END_TEST

/* A runtime whose grouped attention is wrong: its expansion is right. */
START_TEST(catches_a_wrong_grouped_attention)
{
    faults.grouped = 0.01;
    run(&grouped);
    counts(2, 2, 0, 5);
    ck_assert_msg(strstr(text, "not ok 1 - runtime decode-prefill"), "%s",
                  text);
    ck_assert_msg(strstr(text, "not ok 2 - runtime device-float64"), "%s",
                  text);
}
END_TEST

/* A cache that goes wrong: decoding alone does. */
START_TEST(catches_a_wrong_cache)
{
    faults.decoding = 0.01;
    run(&grouped);
    counts(3, 1, 0, 5);
    ck_assert_msg(strstr(text, "not ok 1 - runtime decode-prefill"), "%s",
                  text);
}
END_TEST

/* The first layer that is wrong is named, whatever is worst. */
START_TEST(names_the_layer_that_is_wrong)
{
    faults.layer = 0.01;
    run(&grouped);
    counts(1, 3, 0, 5);
    ck_assert_msg(strstr(text, "first at decoder layer 1"), "%s", text);
}
END_TEST

/* The same checks of the same models, one layer at a time; tokens are drawn
 * of all alike. */
START_TEST(runs_layer_by_layer)
{
    options.run.order = GQA_ORDER_LAYER;
    options.n_generate = 2;
    run(&grouped);
    counts(4, 0, 1, 5);
    ck_assert_msg(strstr(text, "# order: layer by layer, as --order=layer"),
                  "%s", text);
    ck_assert_msg(strstr(text, "equally likely"), "%s", text);
    ck_assert_msg(strstr(text, "generate-0 # SKIP"), "%s", text);
}
END_TEST

START_TEST(finds_a_wrong_cache_layer_by_layer)
{
    options.run.order = GQA_ORDER_LAYER;
    faults.decoding = 0.01;
    run(&grouped);
    counts(3, 1, 0, 5);
}
END_TEST

START_TEST(holds_the_budget)
{
    faults.grouped = 1;
    ck_assert(gqa_budget_profile(&options.budget, "strict"));
    run(&grouped);
    /* decode-prefill, device-float64, kl, kl-p99 at least */
    ck_assert_uint_ge(gqa_report_count(report, GQA_FAILED), 3);
    ck_assert_uint_eq(gqa_report_count(report, GQA_REPORTED), 1); /* drift */
}
END_TEST

START_TEST(adds_the_scale)
{
    options.scale = true;
    run(&grouped);
    counts(4, 0, 0, 7);
}
END_TEST

/* Two sequences, of two and one tokens, whose output is given. */
START_TEST(dumps_logits)
{
    unsigned char size[8];
    char header[1024] = {0};
    /* Input, its mask, labels. */
    static const int64_t expected[] = {1, 2, 1, 1, 2, 3, 1, -100};
    int64_t tokens[8];
    float logits[2 * 2 * TINY_VOCAB];
    struct gqa_whole_file dump = {0};
    FILE *in;

    options.tokens_path = scratch_write_text("ids", "1 | 2 3\n2 | 1\n");
    options.dump_path = scratch_path("logits.safetensors");
    options.dump = &dump;
    run(&grouped);
    ck_assert_ptr_null(fopen(options.dump_path, "rbe"));
    ck_assert_int_eq(gqa_whole_file_end(&dump, GQA_OK), GQA_OK);
    in = fopen(options.dump_path, "rbe");
    ck_assert_ptr_nonnull(in);
    ck_assert_uint_eq(fread(size, 1, 8, in), 8);
    ck_assert_uint_lt(size[0] | (unsigned)size[1] << 8, sizeof header);
    ck_assert_uint_ne(fread(header, size[0] | (unsigned)size[1] << 8, 1, in),
                      0);
    ck_assert_ptr_nonnull(strstr(header, "\"shape\":[2,2,4]"));
    ck_assert_int_eq(fseek(in, 16, SEEK_CUR), 0); /* lengths */
    ck_assert_uint_eq(fread(tokens, sizeof tokens, 1, in), 1);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        ck_assert_int_eq(tokens[i], expected[i]);
    ck_assert_uint_eq(fread(logits, sizeof logits, 1, in), 1);
    ck_assert_uint_eq(fread(logits, sizeof logits, 1, in), 1);
    ck_assert_int_eq(fgetc(in), EOF);
    fclose(in);
    /* Sequence 0, position 1: token 2, input 1. */
    ck_assert_float_eq_tol(logits[4], 4, 1e-5F);
    ck_assert_float_eq_tol(logits[5], 0, 1e-5F);
    ck_assert_float_eq_tol(logits[7], 1, 1e-5F);
    /* Sequence 1: token 0, input 2; then it has ended. */
    ck_assert_float_eq_tol(logits[9], 4, 1e-5F);
    ck_assert_float_eq_tol(logits[11], 2, 1e-5F);
    for (int i = 12; i < 16; i++)
        ck_assert_float_eq(logits[i], 0);
}
END_TEST

/* With input 3 the logits of token 0 are (0, 4, 4, 3): of two fours, the
 * first; of 1 (2, 0, 0, 3); of 3 (6, 0, 0, 3). */
START_TEST(prints_continuations)
{
    options.tokens_path = scratch_write_text("ids", "3 | 2 1 2\n");
    options.n_generate = 6;
    run(&grouped);
    counts(4, 0, 0, 6);
    ck_assert_msg(strstr(text, "all 6 tokens are the same"), "%s", text);
    ck_assert_msg(strstr(text, "original: 1 3 0 1 3 0; converted: 1 3 0 1 3 0"),
                  "%s", text);
}
END_TEST

/* The grouped model says 2 always: its logit is above 50. */
START_TEST(finds_where_continuations_part)
{
    options.tokens_path = scratch_write_text("ids", "3 | 2 1 2\n");
    options.n_generate = 2;
    faults.grouped = 9;
    run(&grouped);
    ck_assert_msg(strstr(text, "the same for 0 of 2 tokens"), "%s", text);
    ck_assert_msg(strstr(text, "original: 1 3; converted: 2 2"), "%s", text);
}
END_TEST

START_TEST(names_the_token_file)
{
    options.tokens_path = scratch_write_text("ids", "9\n");
    ck_assert_int_eq(run_both(&grouped), GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(), "token 9"), "%s",
                  gqa_error_message());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_checks");
    TCase *tc = tcase_create("run_checks");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, passes_what_is_right);
    tcase_add_test(tc, holds_a_function_to_what_is_claimed);
    tcase_add_test(tc, catches_another_function);
    tcase_add_test(tc, reports_a_function_that_was_rounded);
    tcase_add_test(tc, skips_expansion_of_multi_head);
    tcase_add_test(tc, catches_a_wrong_grouped_attention);
    tcase_add_test(tc, catches_a_wrong_cache);
    tcase_add_test(tc, names_the_layer_that_is_wrong);
    tcase_add_test(tc, runs_layer_by_layer);
    tcase_add_test(tc, finds_a_wrong_cache_layer_by_layer);
    tcase_add_test(tc, holds_the_budget);
    tcase_add_test(tc, adds_the_scale);
    tcase_add_test(tc, dumps_logits);
    tcase_add_test(tc, prints_continuations);
    tcase_add_test(tc, finds_where_continuations_part);
    tcase_add_test(tc, names_the_token_file);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
