#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "verify/fidelity_report.h"

static struct gqa_report *report;
static char *text;
static size_t n_text;

static void begin(void)
{
    ck_assert_int_eq(gqa_report_create(&report), GQA_OK);
}

static void end(void)
{
    gqa_report_free(report);
    free(text);
    text = NULL;
}

/* The report as text holds these words. */
static void says(const char *words)
{
    FILE *out;

    free(text);
    out = open_memstream(&text, &n_text);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(gqa_report_write(out, report, GQA_REPORT_JSON), GQA_OK);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_msg(strstr(text, words), "'%s' is not in %s", words, text);
}

static const struct gqa_fidelity_result moved = {
    .n_positions = 100,
    .kl_mean = 0.01,
    .kl_p50 = 0.005,
    .kl_p99 = 0.2,
    .kl_p999 = 0.3,
    .kl_max = 0.4,
    .kl_max_at = {3, 7},
    .top1 = 0.9,
    .n_next = 99,
    .perplexity = {4, 4.4},
    .perplexity_increase = 0.1,
    .perplexity_increase_error = 0.02,
};

/* Figures without a limit do not fail. */
START_TEST(reports_without_a_budget)
{
    ck_assert_int_eq(gqa_fidelity_report(report, &moved, &gqa_budget_none, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 1); /* finite */
    ck_assert_uint_eq(gqa_report_count(report, GQA_REPORTED), 4);
    ck_assert_int_eq(gqa_report_exit_status(report), 0);
    says("sequence 3 at position 7");
    says("4 -> 4.4, +10 % +- 2 %");
}
END_TEST

START_TEST(says_a_large_error_in_full)
{
    struct gqa_fidelity_result wide = moved;

    wide.perplexity_increase_error = 1.24;
    ck_assert_int_eq(gqa_fidelity_report(report, &wide, &gqa_budget_none, 1),
                     GQA_OK);
    says("4 -> 4.4, +10 % +- 124 %");
}
END_TEST

/* e^5 = 148.4; e^4.5 and e^5.5 are one standard error away. Of one token no
 * error is known. */
START_TEST(says_what_a_person_can_read)
{
    struct gqa_fidelity_result far = moved;

    far.perplexity[1] = 593.65;
    far.perplexity_increase = 147.41;
    far.log_difference = 5;
    far.log_difference_error = 0.5;
    ck_assert_int_eq(gqa_fidelity_report(report, &far, &gqa_budget_none, 1),
                     GQA_OK);
    says("4 -> 593.65, x148 (x90.0 to x245)");
    gqa_report_free(report);
    begin();
    far.n_next = 1;
    far.n_positions = 1;
    ck_assert_int_eq(gqa_fidelity_report(report, &far, &gqa_budget_none, 1),
                     GQA_OK);
    says("\"4 -> 593.65, x148\"");
    says("1 position, no NaN");
}
END_TEST

/* By mean KL and top-1, whichever says more. */
START_TEST(says_how_near_it_is)
{
    static const struct {
        double kl, top1;
        const char *words;
    } known[] = {
        {0, 1, "\"nearness\": \"equal\""},
        {1e-6, 0.999, "the same as the original but for rounding: mean KL"},
        {2.4e-4, 0.992,
         "as close as 8-bit quantisation: mean KL 0.00024 "
         "nats, top-1 99.2 %, perplexity +10 %\""},
        {2.4e-4, 0.991, "as close as 5-bit quantisation"},
        {0.0047, 0.965, "\"nearness\": \"5-bit\""},
        {0.0048, 1, "as close as 3-bit quantisation"},
        {0.161, 1, "far from the original"},
        {0, 0.8, "perplexity +10 %; uptrain it before use"},
        {(double)NAN, 1, "not measured"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct gqa_fidelity_result r = moved;

        gqa_report_free(report);
        begin();
        r.kl_mean = known[i].kl;
        r.top1 = known[i].top1;
        ck_assert_int_eq(gqa_fidelity_report(report, &r, &gqa_budget_none, 1),
                         GQA_OK);
        says(known[i].words);
    }
}
END_TEST

/* The exact checks and the budget are two things. */
START_TEST(ends_with_two_verdicts)
{
    struct gqa_fidelity_result far = moved;
    const struct gqa_budget budget = {1, -1, 0.99, -1, -1};
    struct gqa_check check = {
        .group = GQA_CHECK_WEIGHTS, .name = "grouped", .verdict = GQA_PASSED};

    far.top1 = 0.5;
    ck_assert_int_eq(gqa_report_add(report, &check), GQA_OK);
    ck_assert_int_eq(gqa_fidelity_report(report, &far, &budget, 1), GQA_OK);
    says("\"words\": \"PASSED (1 check)\"");
    says("\"words\": \"FAILED: 1 of 3 checks (top-1); far from the original");
    check.verdict = GQA_FAILED;
    check.name = "recipe";
    ck_assert_int_eq(gqa_report_add(report, &check), GQA_OK);
    says("\"words\": \"FAILED: 1 of 2 checks (weights recipe)\"");
    /* What is wrong is not to be trained. */
    says("top-1 50 %, perplexity +10 %\"");
}
END_TEST

/* Mean and top-1 are within the budget, p99 and perplexity are not. */
START_TEST(holds_against_a_budget)
{
    const struct gqa_budget budget = {0.01, 0.1, 0.9, 0.05, -1};

    ck_assert_int_eq(gqa_fidelity_report(report, &moved, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 3);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
    ck_assert_int_eq(gqa_report_exit_status(report), 1);
}
END_TEST

/* Figures that are no numbers are within no budget, however wide. */
START_TEST(no_budget_holds_what_is_no_number)
{
    const struct gqa_budget budget = {1e300, 1e300, 0, 1e300, -1};
    struct gqa_fidelity_result broken = moved;

    broken.kl_mean = broken.kl_p99 = (double)NAN;
    broken.top1 = broken.perplexity_increase = (double)NAN;
    ck_assert_int_eq(gqa_fidelity_report(report, &broken, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 4);
    broken.kl_mean = broken.kl_p99 = (double)INFINITY;
    broken.perplexity_increase = (double)INFINITY;
    gqa_report_free(report);
    begin();
    ck_assert_int_eq(gqa_fidelity_report(report, &broken, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 4);
    says("\"mean\": null");
    says("\"increase\": null");
}
END_TEST

START_TEST(fails_what_is_not_finite)
{
    const struct gqa_fidelity_result broken = {
        .n_nonfinite = {0, 5}, .first_nonfinite = {{0, 0}, {1, 2}}};

    ck_assert_int_eq(gqa_fidelity_report(report, &broken, &gqa_budget_none, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    ck_assert_uint_eq(gqa_report_count(report, GQA_SKIPPED), 4);
    says("the converted model's logits at 5 positions are not finite, first "
         "in sequence 1 at position 2");
}
END_TEST

/* A limit that nothing could be held against is not kept. */
START_TEST(fails_a_budget_without_figures)
{
    const struct gqa_budget budget = {-1, 1, -1, 1, -1};
    const struct gqa_fidelity_result nothing = {0};
    struct gqa_fidelity_result last = moved;

    ck_assert_int_eq(gqa_fidelity_report(report, &nothing, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
    ck_assert_uint_eq(gqa_report_count(report, GQA_SKIPPED), 2);
    gqa_report_free(report);
    begin();
    last.n_next = 0;
    ck_assert_int_eq(gqa_fidelity_report(report, &last, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("no following token is known");
    says("<= +100 %");
}
END_TEST

/* Encoder: 0.1; decoder: 0, 0.5, 0.6: its layer 1 brings in most. */
/* Rows in place of logits: their distance, and no figure of predictions. */
START_TEST(reports_rows)
{
    const struct gqa_drift rows = {.squared_distance = 1, .squared_norm = 16};

    ck_assert_int_eq(gqa_rows_report(report, &rows, 100, &gqa_budget_none, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 1); /* finite */
    ck_assert_uint_eq(gqa_report_count(report, GQA_SKIPPED), 4);
    ck_assert_uint_eq(gqa_report_count(report, GQA_REPORTED), 1);
    ck_assert_int_eq(gqa_rows_scale_report(report, "scale-first", &rows, 1),
                     GQA_OK);
    says("relative L2 of the last hidden state 0.25");
    says("\"relative_l2\": 0.25");
    says("the model makes no logits of tokens");
    says("the last hidden state is off by 0.25 (relative L2)");
    ck_assert_int_eq(gqa_report_exit_status(report), 0);
}
END_TEST

/* Limits of predictions are not kept, nor is what is not finite right. */
START_TEST(holds_rows_against_no_budget_of_logits)
{
    const struct gqa_drift rows = {
        .squared_distance = 1, .squared_norm = 16, .n_nonfinite = 3};
    struct gqa_budget budget;

    ck_assert(gqa_budget_profile(&budget, "strict"));
    budget.max_kl_of_first = 1.25;
    ck_assert_int_eq(gqa_rows_report(report, &rows, 7, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 6);
    says("3 values of 7 positions are NaN or infinity");
    says("kl-of-first");
    ck_assert_int_eq(gqa_report_exit_status(report), 1);
}
END_TEST

START_TEST(names_the_layer)
{
    const struct gqa_drift layers[4] = {
        {0.01, 1, 0}, {0, 1, 0}, {0.25, 1, 0}, {0.36, 1, 0}};

    ck_assert_int_eq(gqa_drift_report(report, layers, 1, 3), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_REPORTED), 1);
    says("encoder 0.1, most (+0.1) from layer 0; decoder 0.6, most (+0.5) "
         "from layer 1");
}
END_TEST

START_TEST(names_the_layer_that_is_not_finite)
{
    const struct gqa_drift layers[2] = {{0, 1, 0}, {0, 1, 8}};

    ck_assert_int_eq(gqa_drift_report(report, layers, 0, 2), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    says("decoder layer 1 is the first");
    says("\"decoder not finite\"");
    says("\"drift\": null");
}
END_TEST

/* 1.2 times the KL of first heads is within 1.25 times, 1.3 times is not. */
START_TEST(holds_against_first_heads)
{
    const struct gqa_budget budget = {-1, -1, -1, -1, 1.25};
    struct gqa_fidelity_result first = {.n_positions = 8, .kl_mean = 2};
    struct gqa_fidelity_result result = {.n_positions = 8, .kl_mean = 2.4};

    ck_assert_int_eq(gqa_kl_of_first_report(report, &result, &first, &budget),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 1);
    result.kl_mean = 2.6;
    ck_assert_int_eq(gqa_kl_of_first_report(report, &result, &first, &budget),
                     GQA_OK);
    first.n_positions = 0;
    ck_assert_int_eq(gqa_kl_of_first_report(report, &result, &first, &budget),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fidelity_report");
    TCase *tc = tcase_create("fidelity_report");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, reports_without_a_budget);
    tcase_add_test(tc, says_a_large_error_in_full);
    tcase_add_test(tc, says_what_a_person_can_read);
    tcase_add_test(tc, says_how_near_it_is);
    tcase_add_test(tc, ends_with_two_verdicts);
    tcase_add_test(tc, holds_against_a_budget);
    tcase_add_test(tc, no_budget_holds_what_is_no_number);
    tcase_add_test(tc, fails_what_is_not_finite);
    tcase_add_test(tc, fails_a_budget_without_figures);
    tcase_add_test(tc, reports_rows);
    tcase_add_test(tc, holds_rows_against_no_budget_of_logits);
    tcase_add_test(tc, names_the_layer);
    tcase_add_test(tc, names_the_layer_that_is_not_finite);
    tcase_add_test(tc, holds_against_first_heads);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
