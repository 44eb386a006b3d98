#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/measure/fidelity.h"
#include "suite.h"

static struct gqa_fidelity *create(uint64_t vocab_size, uint64_t n)
{
    struct gqa_fidelity *f = NULL;

    ck_assert_int_eq(gqa_fidelity_create(&f, vocab_size, 4, n), GQA_OK);
    return f;
}

static struct gqa_fidelity_result finish(struct gqa_fidelity *f)
{
    struct gqa_fidelity_result r;

    gqa_fidelity_finish(f, &r);
    gqa_fidelity_free(f);
    return r;
}

static struct gqa_place at(uint64_t position)
{
    return (struct gqa_place){2, position};
}

/*
 * Probabilities 1/2, 1/2 against 1/4, 3/4: KL = ln(1/2 / (1/4)) / 2 +
 * ln(1/2 / (3/4)) / 2 = ln(4/3) / 2. Logits may be shifted at will.
 */
START_TEST(divergence_of_two_coins)
{
    const double p[2] = {7, 7};
    const double q[2] = {100 + log(1), 100 + log(3)};
    struct gqa_fidelity *f = create(2, 1);
    struct gqa_fidelity_result r;

    gqa_fidelity_add(f, p, q, 0, at(5));
    r = finish(f);
    ck_assert_uint_eq(r.n_positions, 1);
    ck_assert_double_eq_tol(r.kl_mean, log(4.0 / 3) / 2, 1e-13);
    ck_assert_double_eq(r.kl_p50, r.kl_mean);
    ck_assert_double_eq(r.kl_max, r.kl_mean);
    ck_assert_uint_eq(r.kl_max_at.sequence, 2);
    ck_assert_uint_eq(r.kl_max_at.position, 5);
    /* Equal logits: the first is the top; here the second is. */
    ck_assert_double_eq(r.top1, 0);
    /* Token 0 had 1/2 and has 1/4. */
    ck_assert_double_eq_tol(r.perplexity[0], 2, 1e-13);
    ck_assert_double_eq_tol(r.perplexity[1], 4, 1e-13);
    ck_assert_double_eq_tol(r.perplexity_increase, 1, 1e-13);
}
END_TEST

/* The largest value need not lie in the sequence that is worst on average. */
START_TEST(the_worst_sequence_is_named)
{
    const double even[2] = {0, 0};
    const double off[3][2] = {{0, 0}, {0, 2}, {0, 3}};
    const struct {
        int off;
        uint64_t sequence;
    } positions[] = {{2, 0}, {0, 0}, {1, 3}, {1, 3}, {0, 1}};
    struct gqa_fidelity *f = create(2, 5);
    struct gqa_fidelity_result r;

    for (uint64_t i = 0; i < 5; i++)
        gqa_fidelity_add(f, even, off[positions[i].off], GQA_NO_TOKEN,
                         (struct gqa_place){positions[i].sequence, i});
    r = finish(f);
    ck_assert_uint_eq(r.kl_max_at.sequence, 0);
    ck_assert_uint_eq(r.kl_worst_sequence, 3);
    /* KL of 1/2, 1/2 against 1 and e^2: ln(1 + e^2) - ln 2 - 1. */
    ck_assert_double_eq_tol(r.kl_worst, log(1 + exp(2)) - log(2) - 1, 1e-13);
}
END_TEST

/* A model against itself, with logits that exp() alone could not take. */
START_TEST(nothing_moved)
{
    const double p[3] = {1e4, -1e4, 9999};
    struct gqa_fidelity *f = create(3, 2);
    struct gqa_fidelity_result r;

    gqa_fidelity_add(f, p, p, 2, at(0));
    gqa_fidelity_add(f, p, p, GQA_NO_TOKEN, at(1));
    r = finish(f);
    ck_assert_double_eq(r.kl_max, 0);
    ck_assert_double_eq(r.top1, 1);
    ck_assert_uint_eq(r.n_next, 1);
    ck_assert_double_eq(r.perplexity[0], r.perplexity[1]);
    ck_assert_double_eq(r.perplexity_increase, 0);
    ck_assert_double_eq(r.log_difference_error, 0);
}
END_TEST

/*
 * q gives the tokens weights 1 and x, p equal ones: KL grows with x from 1.
 * Of 1000 positions the 990th and 999th smallest are p99 and p99.9.
 */
START_TEST(percentiles_are_exact)
{
    struct gqa_fidelity *f = create(2, 1000);
    const double p[2] = {0, 0};
    struct gqa_fidelity_result r;

    for (int i = 1000; i >= 1; i--) {
        const double q[2] = {0, log(i)};

        gqa_fidelity_add(f, p, q, GQA_NO_TOKEN, at((uint64_t)i));
    }
    r = finish(f);
    /* KL = ln(1/2) - ln(x) / 2 + ln(1 + x) */
    ck_assert_double_eq_tol(r.kl_p50, log((1 + 500.0) / 2 / sqrt(500)), 1e-13);
    ck_assert_double_eq_tol(r.kl_p99, log((1 + 990.0) / 2 / sqrt(990)), 1e-13);
    ck_assert_double_eq_tol(r.kl_p999, log((1 + 999.0) / 2 / sqrt(999)), 1e-13);
    ck_assert_double_eq_tol(r.kl_max, log((1 + 1000.0) / 2 / sqrt(1000)),
                            1e-13);
    ck_assert_uint_eq(r.kl_max_at.position, 1000);
    /* Only x = 1 ties as p does. */
    ck_assert_double_eq_tol(r.top1, 0.001, 1e-15);
}
END_TEST

/*
 * Two tokens; the original gives them 1/2 each. The converted one gives the
 * token that follows 1/4, then 1/2: differences ln 2 and 0, mean ln(2) / 2,
 * standard deviation ln(2) / sqrt(2), standard error of the mean ln(2) / 2.
 */
START_TEST(standard_error_is_paired)
{
    const double even[2] = {0, 0};
    const double odd[2] = {0, log(3)};
    struct gqa_fidelity *f = create(2, 2);
    struct gqa_fidelity_result r;

    gqa_fidelity_add(f, even, odd, 0, at(0));
    gqa_fidelity_add(f, even, even, 1, at(1));
    r = finish(f);
    ck_assert_double_eq_tol(r.log_difference, log(2) / 2, 1e-15);
    ck_assert_double_eq_tol(r.log_difference_error, log(2) / 2, 1e-15);
    ck_assert_double_eq_tol(r.perplexity_increase, sqrt(2) - 1, 1e-15);
    ck_assert_double_eq_tol(r.perplexity_increase_error, sqrt(2) * log(2) / 2,
                            1e-15);
}
END_TEST

/* A NaN is counted, placed and left out. */
START_TEST(not_a_number_is_found)
{
    const double good[2] = {0, 1};
    const double bad[2] = {0, (double)NAN};
    const double endless[2] = {-(double)INFINITY, 0};
    struct gqa_fidelity *f = create(2, 4);
    struct gqa_fidelity_result r;

    gqa_fidelity_add(f, good, good, 1, at(0));
    gqa_fidelity_add(f, good, bad, 1, at(1));
    gqa_fidelity_add(f, good, endless, 1, at(2));
    r = finish(f);
    ck_assert_uint_eq(r.n_positions, 1);
    ck_assert_uint_eq(r.n_nonfinite[0], 0);
    ck_assert_uint_eq(r.n_nonfinite[1], 2);
    ck_assert_uint_eq(r.first_nonfinite[1].position, 1);
    ck_assert_double_eq(r.kl_mean, 0);
}
END_TEST

/* Two models as sure as a double can say, of different tokens: the one is
 * infinitely unlikely in the other, which is no NaN, and no 0. */
START_TEST(infinitely_far_apart)
{
    const double one[2] = {1e308, -1e308};
    const double other[2] = {-1e308, 1e308};
    struct gqa_fidelity *f = create(2, 1);
    struct gqa_fidelity_result r;

    gqa_fidelity_add(f, one, other, 0, at(0));
    r = finish(f);
    ck_assert_double_infinite(r.kl_mean);
    ck_assert_double_infinite(r.kl_p99);
    ck_assert_double_infinite(r.kl_max);
    ck_assert_double_infinite(r.perplexity_increase);
    ck_assert_double_eq(r.top1, 0);
}
END_TEST

START_TEST(nothing_to_compare)
{
    const struct gqa_fidelity_result r = finish(create(2, 0));

    ck_assert_uint_eq(r.n_positions, 0);
    ck_assert_double_eq(r.kl_mean, 0);
}
END_TEST

/* Norm 5 and distances 0, 1, 3, 3.5: layer 2 adds most. */
START_TEST(drift_names_the_layer)
{
    const double x[2] = {3, 4};
    const double moved[4] = {0, 1, 3, 3.5};
    struct gqa_drift layers[4] = {{0, 0, 0}};

    for (int i = 0; i < 4; i++) {
        const double y[2] = {3 + moved[i], 4};

        gqa_drift_add(&layers[i], x, y, 2);
        ck_assert_double_eq_tol(gqa_drift_relative(&layers[i]), moved[i] / 5,
                                1e-15);
    }
    ck_assert_uint_eq(gqa_drift_worst(layers, 4), 2);
    ck_assert_uint_eq(gqa_drift_worst(layers, 1), 0);
}
END_TEST

START_TEST(drift_counts_what_is_not_finite)
{
    const double x[2] = {3, 4};
    const double y[2] = {3, (double)INFINITY};
    struct gqa_drift drift = {0, 0, 0};

    gqa_drift_add(&drift, x, y, 2);
    ck_assert_uint_eq(drift.n_nonfinite, 1);
    ck_assert_double_nan(gqa_drift_relative(&drift));
}
END_TEST

START_TEST(profiles)
{
    struct gqa_budget budget = gqa_budget_none;

    ck_assert(gqa_budget_profile(&budget, "uptrained"));
    ck_assert_double_eq(budget.max_kl, 0.9);
    ck_assert(gqa_budget_profile(&budget, "initialiser"));
    ck_assert_double_eq(budget.max_kl_of_first, 1.25);
    ck_assert(gqa_budget_profile(&budget, "strict"));
    ck_assert(!gqa_budget_profile(&budget, "lax"));
}
END_TEST

/* Whatever order sequences come in, the same bits come out. */
START_TEST(is_the_same_in_any_order)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    struct gqa_fidelity_result results[3];

    for (int o = 0; o < 3; o++) {
        struct gqa_fidelity *f = create(3, 30);

        for (int i = 0; i < 3; i++)
            for (int p = 0; p < 10; p++) {
                const double s = orders[o][i];
                const double a[] = {0.1 * s, sin(p + s), -0.3};
                const double b[] = {0.2, cos(p * s), s / 7};
                const bool odd = s == 2 && p > 7;
                const double lost[] = {0, 0, (double)NAN};

                gqa_fidelity_add(f, a, odd ? lost : b, p % 3,
                                 (struct gqa_place){(uint64_t)s, (uint64_t)p});
            }
        gqa_fidelity_finish(f, &results[o]);
        gqa_fidelity_free(f);
        ck_assert_uint_eq(results[o].n_next, 28);
        ck_assert_uint_eq(results[o].first_nonfinite[1].sequence, 2);
        ck_assert_uint_eq(results[o].first_nonfinite[1].position, 8);
        ck_assert_double_eq(results[o].kl_mean, results[0].kl_mean);
        ck_assert_double_eq(results[o].perplexity[0], results[0].perplexity[0]);
        ck_assert_double_eq(results[o].perplexity[1], results[0].perplexity[1]);
        ck_assert_double_eq(results[o].log_difference,
                            results[0].log_difference);
        ck_assert_double_eq(results[o].log_difference_error,
                            results[0].log_difference_error);
        ck_assert_uint_eq(results[o].kl_max_at.sequence,
                          results[0].kl_max_at.sequence);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fidelity");
    TCase *tc = tcase_create("fidelity");

    tcase_add_test(tc, divergence_of_two_coins);
    tcase_add_test(tc, the_worst_sequence_is_named);
    tcase_add_test(tc, nothing_moved);
    tcase_add_test(tc, percentiles_are_exact);
    tcase_add_test(tc, standard_error_is_paired);
    tcase_add_test(tc, not_a_number_is_found);
    tcase_add_test(tc, infinitely_far_apart);
    tcase_add_test(tc, nothing_to_compare);
    tcase_add_test(tc, drift_names_the_layer);
    tcase_add_test(tc, drift_counts_what_is_not_finite);
    tcase_add_test(tc, profiles);
    tcase_add_test(tc, is_the_same_in_any_order);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
