#include <check.h>
#include <math.h>

#include "runtime/measure/errors.h"
#include "suite.h"

/* Positions (3, 4) and (0, 10), off by 0.5 and 1: relative 0.1 and 0.1. */
static const double reference[] = {3, 4, 0, 10};
static const double values[] = {3.3, 4.4, 1, 10};

START_TEST(takes_each_position_by_itself)
{
    struct gqa_errors e = {0}, more = {0};

    gqa_errors_add(&e, reference, values, 2, 2);
    ck_assert_uint_eq(e.n, 2);
    ck_assert_double_eq_tol(gqa_errors_rms(&e), 0.1, 1e-12);
    ck_assert_double_eq_tol(e.most, 0.1, 1e-12);
    /* As one position of four values: sqrt(1.25 / 125). */
    gqa_errors_add(&more, reference, values, 1, 4);
    ck_assert_double_eq_tol(more.most, sqrt(1.25 / 125), 1e-12);
    gqa_errors_merge(&e, &more);
    ck_assert_uint_eq(e.n, 3);
    ck_assert_double_eq_tol(e.most, 0.1, 1e-12);
}
END_TEST

START_TEST(counts_zeros_and_what_is_not_finite)
{
    const double zeros[] = {0, 0}, nan[] = {(double)NAN, 1};
    struct gqa_errors e = {0};

    ck_assert_double_eq(gqa_errors_rms(&e), 0);
    gqa_errors_add(&e, zeros, zeros, 1, 2);
    ck_assert_double_eq(e.most, 0);
    gqa_errors_add(&e, zeros, reference, 1, 2);
    ck_assert_double_eq(e.most, 1);
    gqa_errors_add(&e, reference, nan, 1, 2);
    gqa_errors_add(&e, nan, reference, 1, 2);
    ck_assert_uint_eq(e.n, 4);
    ck_assert_uint_eq(e.n_nonfinite, 2);
    ck_assert_double_eq_tol(gqa_errors_rms(&e), sqrt(0.5), 1e-12);
}
END_TEST

/* --- Verdicts ------------------------------------------------------------- */

static const struct gqa_error_limits limits = {4, 1, 1e-3, 1};
static struct gqa_error_verdict verdict;

/* Four positions of one error. */
static struct gqa_errors errors_of(double error)
{
    return (struct gqa_errors){4, 0, 4 * error * error, error};
}

static void judge(const struct gqa_errors *errors,
                  const struct gqa_errors *plain, size_t n)
{
    gqa_errors_judge(&verdict, errors, plain, n, &limits);
}

START_TEST(allows_a_multiple_of_the_plain_error)
{
    const struct gqa_errors plain[] = {errors_of(0.01), errors_of(0.02)};
    const struct gqa_errors within[] = {errors_of(0.03), errors_of(0.07)};
    const struct gqa_errors beyond[] = {errors_of(0.05), errors_of(0.16)};

    judge(within, plain, 2);
    ck_assert_uint_eq(verdict.point, 1);
    ck_assert_double_eq_tol(verdict.limit, 0.08, 1e-12);
    ck_assert_double_le(verdict.error, verdict.limit);
    ck_assert_uint_eq(verdict.first_beyond, 2);
    judge(beyond, plain, 2);
    ck_assert_uint_eq(verdict.point, 1);
    ck_assert_double_gt(verdict.error, verdict.limit);
    ck_assert_uint_eq(verdict.first_beyond, 0);
}
END_TEST

/* One position of four: the mean square is 0.03 squared, within its limit. */
START_TEST(finds_one_position_that_is_off)
{
    const struct gqa_errors plain = errors_of(0.01);
    const struct gqa_errors one = {4, 0, 0.06 * 0.06, 0.06};

    judge(&one, &plain, 1);
    ck_assert_int_eq(verdict.kind, GQA_ERROR_MOST);
    ck_assert_double_gt(verdict.error, verdict.limit);
}
END_TEST

/* A plain computation that happens to be exact leaves the floor. */
START_TEST(has_a_floor)
{
    const struct gqa_errors plain = errors_of(0);
    const struct gqa_errors small = errors_of(9e-4), large = errors_of(2e-3);

    judge(&small, &plain, 1);
    ck_assert_double_eq(verdict.limit, 1e-3);
    ck_assert_double_le(verdict.error, verdict.limit);
    judge(&large, &plain, 1);
    ck_assert_double_gt(verdict.error, verdict.limit);
}
END_TEST

/* Four times 0.3 is no limit; nor is that of what overflowed. The point that
 * is left tells. */
START_TEST(leaves_out_points_that_tell_nothing)
{
    struct gqa_errors plain[] = {
        errors_of(0.3), errors_of(0.01), errors_of(0.01), {0}};
    const struct gqa_errors errors[] = {
        errors_of(1.4), errors_of(0.9), errors_of(0.02), {0}};

    plain[1].n_nonfinite = 1;
    judge(errors, plain, 4);
    ck_assert_uint_eq(verdict.n_seen, 3);
    ck_assert_uint_eq(verdict.n_told, 1);
    ck_assert_uint_eq(verdict.point, 2);
    ck_assert_double_le(verdict.error, verdict.limit);
    judge(errors, plain, 2);
    ck_assert_uint_eq(verdict.n_told, 0);
}
END_TEST

START_TEST(names_where_it_is_not_finite)
{
    const struct gqa_errors plain[] = {errors_of(0.01), errors_of(0.01)};
    struct gqa_errors errors[] = {errors_of(0.01), errors_of(0.01)};

    errors[1].n_nonfinite = 3;
    judge(errors, plain, 2);
    ck_assert_uint_eq(verdict.n_nonfinite, 3);
    ck_assert_uint_eq(verdict.nonfinite_point, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("errors");
    TCase *tc = tcase_create("errors");

    tcase_add_test(tc, takes_each_position_by_itself);
    tcase_add_test(tc, counts_zeros_and_what_is_not_finite);
    tcase_add_test(tc, allows_a_multiple_of_the_plain_error);
    tcase_add_test(tc, finds_one_position_that_is_off);
    tcase_add_test(tc, has_a_floor);
    tcase_add_test(tc, leaves_out_points_that_tell_nothing);
    tcase_add_test(tc, names_where_it_is_not_finite);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
