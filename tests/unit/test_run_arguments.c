#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "verify/run_arguments.h"

static struct gqa_run_arguments a;

static void begin(void)
{
    gqa_run_arguments_init(&a);
}

static void take(const char *name, const char *value)
{
    bool known = false;

    ck_assert_int_eq(gqa_run_arguments_take(&a, name, value, &known), GQA_OK);
    ck_assert(known);
}

static void refuse(const char *name, const char *value)
{
    bool known = false;

    ck_assert_int_eq(gqa_run_arguments_take(&a, name, value, &known),
                     GQA_ERR_USAGE);
    ck_assert(known);
    ck_assert_msg(strstr(gqa_error_message(), name), "%s", gqa_error_message());
}

START_TEST(takes_numbers)
{
    take("samples", "3");
    take("length", "100");
    take("seed", "18446744073709551615");
    take("generate", "20");
    ck_assert_uint_eq(a.n_generate, 20);
    ck_assert_uint_eq(a.samples.n, 3);
    ck_assert_uint_eq(a.samples.length, 100);
    ck_assert_uint_eq(a.samples.seed, UINT64_MAX);
    refuse("samples", "0");
    refuse("length", "1");
    refuse("seed", "-1");
}
END_TEST

START_TEST(takes_choices)
{
    take("backend", "cuda");
    take("dtype", "bf16");
    take("scale", NULL);
    ck_assert_int_eq(a.backend, GQA_BACKEND_CUDA);
    ck_assert_int_eq(a.dtype, GQA_BF16);
    ck_assert(a.scale);
    refuse("backend", "tpu");
    refuse("dtype", "int8");
    refuse("profile", "lax");
    refuse("tokens", "");
}
END_TEST

/* What is said one by one goes over the profile, in any order. */
START_TEST(puts_limits_over_the_profile)
{
    struct gqa_budget budget;

    take("min-top1", "90%");
    take("profile", "uptrained");
    take("max-ppl-increase", "0.5%");
    budget = gqa_run_arguments_budget(&a);
    ck_assert_double_eq(budget.max_kl, 4.7e-3);
    ck_assert_double_eq(budget.min_top1, 0.9);
    ck_assert_double_eq(budget.max_ppl_increase, 0.005);
}
END_TEST

START_TEST(has_no_budget_by_itself)
{
    const struct gqa_budget budget = gqa_run_arguments_budget(&a);

    ck_assert_double_lt(budget.max_kl, 0);
    ck_assert_double_lt(budget.max_kl_p99, 0);
    ck_assert_double_lt(budget.min_top1, 0);
    ck_assert_double_lt(budget.max_ppl_increase, 0);
}
END_TEST

START_TEST(refuses_bad_limits)
{
    refuse("max-kl", "");
    refuse("max-kl", "x");
    refuse("max-kl", "1x");
    refuse("max-kl", "-1");
    refuse("max-kl", "nan");
    refuse("max-kl", "inf");
    refuse("max-kl", "1e999");
    refuse("max-kl", "1%");
    refuse("max-kl-p99", "");
    refuse("min-top1", "99");
    refuse("min-top1", "1%%");
    refuse("max-ppl-increase", "-0.1");
}
END_TEST

START_TEST(refuses_what_does_not_go_together)
{
    ck_assert_int_eq(gqa_run_arguments_check(&a), GQA_OK);
    take("dtype", "f16");
    take("backend", "cpu");
    ck_assert_int_eq(gqa_run_arguments_check(&a), GQA_ERR_USAGE);
    take("dtype", "f64");
    ck_assert_int_eq(gqa_run_arguments_check(&a), GQA_OK);
    take("backend", "cuda");
    ck_assert_int_eq(gqa_run_arguments_check(&a), GQA_ERR_USAGE);
    begin();
    take("tokens", "a");
    take("text", "b");
    ck_assert_int_eq(gqa_run_arguments_check(&a), GQA_ERR_USAGE);
}
END_TEST

START_TEST(knows_its_own_alone)
{
    bool known = true;

    ck_assert_int_eq(gqa_run_arguments_take(&a, "threads", "2", &known),
                     GQA_OK);
    ck_assert(!known);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_arguments");
    TCase *tc = tcase_create("run_arguments");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, begin, NULL);
    tcase_add_test(tc, takes_numbers);
    tcase_add_test(tc, takes_choices);
    tcase_add_test(tc, puts_limits_over_the_profile);
    tcase_add_test(tc, has_no_budget_by_itself);
    tcase_add_test(tc, refuses_bad_limits);
    tcase_add_test(tc, refuses_what_does_not_go_together);
    tcase_add_test(tc, knows_its_own_alone);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
