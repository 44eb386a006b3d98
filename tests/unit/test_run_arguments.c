#include <check.h>
#include <stdlib.h>

#include "suite.h"
#include "verify/options.h"

enum { MAX_ARGUMENTS = 8 };

static struct gqa_verify_options options;
static const struct gqa_run_arguments *const a = &options.run;

/* The verdict on these arguments, beside what they need. */
static enum gqa_status parse(const char *const *arguments, size_t n)
{
    char *argv[MAX_ARGUMENTS + 4] = {"gqa-verify", "--against=x", "y"};

    ck_assert_uint_le(n, MAX_ARGUMENTS);
    for (size_t i = 0; i < n; i++)
        argv[3 + i] = (char *)arguments[i];
    return gqa_verify_options_parse(&options, 3 + (int)n, argv);
}

#define PARSE(...)                            \
    parse((const char *const[]){__VA_ARGS__}, \
          sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *))
#define take(...)   ck_assert_int_eq(PARSE(__VA_ARGS__), GQA_OK)
#define refuse(...) ck_assert_int_eq(PARSE(__VA_ARGS__), GQA_ERR_USAGE)

START_TEST(takes_numbers)
{
    take("--samples=3", "--length=1K", "--seed=18446744073709551615",
         "--generate=20");
    ck_assert_uint_eq(a->n_generate, 20);
    ck_assert_uint_eq(a->samples.n, 3);
    ck_assert_uint_eq(a->samples.length, 1024);
    ck_assert_uint_eq(a->samples.seed, UINT64_MAX);
    refuse("--samples=0");
    refuse("--length=1");
    refuse("--seed=-1");
}
END_TEST

START_TEST(takes_choices)
{
    take("--backend=cuda", "--dtype=bf16", "--scale");
    ck_assert_int_eq(a->backend, GQA_BACKEND_CUDA);
    ck_assert_int_eq(a->dtype, GQA_BF16);
    ck_assert(a->scale);
    refuse("--backend=tpu");
    refuse("--dtype=int8");
    refuse("--profile=lax");
    refuse("--tokens=");
}
END_TEST

/* What is said one by one goes over the profile, in any order. */
START_TEST(puts_limits_over_the_profile)
{
    struct gqa_budget budget;

    take("--min-top1=90%", "--profile=uptrained", "--max-ppl-increase=0.5%");
    budget = gqa_run_arguments_budget(a);
    ck_assert_double_eq(budget.max_kl, 0.9);
    ck_assert_double_eq(budget.min_top1, 0.9);
    ck_assert_double_eq(budget.max_ppl_increase, 0.005);
}
END_TEST

/* Each profile that is offered is one. */
START_TEST(has_each_profile)
{
    take("--profile=strict");
    take("--profile=uptrained");
    take("--profile=initialiser");
}
END_TEST

START_TEST(has_no_budget_by_itself)
{
    struct gqa_budget budget;

    take("--samples=1");
    budget = gqa_run_arguments_budget(a);
    ck_assert_double_lt(budget.max_kl, 0);
    ck_assert_double_lt(budget.max_kl_p99, 0);
    ck_assert_double_lt(budget.min_top1, 0);
    ck_assert_double_lt(budget.max_ppl_increase, 0);
}
END_TEST

START_TEST(refuses_bad_limits)
{
    refuse("--max-kl=");
    refuse("--max-kl=x");
    refuse("--max-kl=1x");
    refuse("--max-kl=-1");
    refuse("--max-kl=nan");
    refuse("--max-kl=inf");
    refuse("--max-kl=1e999");
    refuse("--max-kl=1%");
    refuse("--max-kl-p99=");
    refuse("--min-top1=99");
    refuse("--min-top1=1%%");
    refuse("--max-ppl-increase=-0.1");
}
END_TEST

START_TEST(refuses_what_does_not_go_together)
{
    refuse("--dtype=f16", "--backend=cpu");
    take("--dtype=f64", "--backend=cpu");
    refuse("--dtype=f64", "--backend=cuda");
    refuse("--tokens=a", "--text=b");
    refuse("--scale", "--no-run");
    refuse("--json", "--format=tap");
}
END_TEST

START_TEST(takes_json_by_its_letter)
{
    take("-j");
    ck_assert_int_eq(options.format, GQA_REPORT_JSON);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_arguments");
    TCase *tc = tcase_create("run_arguments");

    tcase_add_test(tc, takes_numbers);
    tcase_add_test(tc, takes_choices);
    tcase_add_test(tc, puts_limits_over_the_profile);
    tcase_add_test(tc, has_each_profile);
    tcase_add_test(tc, has_no_budget_by_itself);
    tcase_add_test(tc, refuses_bad_limits);
    tcase_add_test(tc, refuses_what_does_not_go_together);
    tcase_add_test(tc, takes_json_by_its_letter);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
