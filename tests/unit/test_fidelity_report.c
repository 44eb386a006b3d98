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

/* Mean and top-1 are within the budget, p99 and perplexity are not. */
START_TEST(holds_against_a_budget)
{
    const struct gqa_budget budget = {0.01, 0.1, 0.9, 0.05};

    ck_assert_int_eq(gqa_fidelity_report(report, &moved, &budget, 1), GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 3);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
    ck_assert_int_eq(gqa_report_exit_status(report), 1);
}
END_TEST

/* Figures that are no numbers are within no budget, however wide. */
START_TEST(no_budget_holds_what_is_no_number)
{
    const struct gqa_budget budget = {1e300, 1e300, 0, 1e300};
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
    const struct gqa_budget budget = {-1, 1, -1, 1};
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

/* |a - b| = 1e-3 |a|; squared 1e-6. */
START_TEST(holds_distances_against_limits)
{
    const struct gqa_drift logits = {1e-6, 1, 0};
    const struct gqa_drift broken = {0, 1, 1};

    ck_assert_int_eq(gqa_distance_report(report, "a", &logits,
                                         GQA_DISTANCE_RELATIVE, 1e-4, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 1);
    ck_assert_int_eq(gqa_distance_report(report, "b", &logits,
                                         GQA_DISTANCE_SQUARED, 1e-4, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_PASSED), 1);
    ck_assert_int_eq(gqa_distance_report(report, "c", &broken,
                                         GQA_DISTANCE_SQUARED, 1e-4, 1),
                     GQA_OK);
    ck_assert_uint_eq(gqa_report_count(report, GQA_FAILED), 2);
    says("\"1 logits are not finite\"");
    says("\"nmse\": null");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fidelity_report");
    TCase *tc = tcase_create("fidelity_report");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, reports_without_a_budget);
    tcase_add_test(tc, holds_against_a_budget);
    tcase_add_test(tc, no_budget_holds_what_is_no_number);
    tcase_add_test(tc, fails_what_is_not_finite);
    tcase_add_test(tc, fails_a_budget_without_figures);
    tcase_add_test(tc, names_the_layer);
    tcase_add_test(tc, names_the_layer_that_is_not_finite);
    tcase_add_test(tc, holds_distances_against_limits);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
