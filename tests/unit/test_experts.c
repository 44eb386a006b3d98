/* Which experts a row has, and what they count. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "runtime/back/pairs.h"
#include "runtime/capacity.h"
#include "suite.h"

/* More experts than any model of these tests has. */
enum { ROOM = 8 };

static void choose(uint64_t *chosen, double *weights, const double *logits,
                   const struct gqa_experts *x, const double *correction)
{
    double scores[ROOM];

    gqa_experts_choose(chosen, weights, logits,
                       &(const struct gqa_chooser){x, correction, scores});
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-15;
}

/* e^x of 0, 1 and 2: 1, 2.718..., 7.389... */
START_TEST(takes_the_largest)
{
    static const double logits[] = {1, 0, 2, 0};
    struct gqa_experts x = {.n = 4, .n_chosen = 2};
    const double all = exp(1) + 1 + exp(2) + 1;
    uint64_t chosen[2];
    double weights[2];

    choose(chosen, weights, logits, &x, NULL);
    ck_assert_uint_eq(chosen[0], 2);
    ck_assert_uint_eq(chosen[1], 0);
    ck_assert(is_near(weights[0], exp(2) / all));
    ck_assert(is_near(weights[1], exp(1) / all));
    x.normalised = true;
    choose(chosen, weights, logits, &x, NULL);
    ck_assert(is_near(weights[0], exp(2) / (exp(2) + exp(1))));
    ck_assert(is_near(weights[0] + weights[1], 1));
}
END_TEST

/* Each counts three quarters of that, and so does what logits are to blame
 * for. */
START_TEST(scales_weights)
{
    static const double logits[] = {1, 0, 2, 0}, d_weights[] = {3, -1};
    struct gqa_experts x = {.n = 4, .n_chosen = 2, .normalised = true};
    uint64_t chosen[2];
    double weights[2], scaled[2], d[4], d_scaled[4];

    choose(chosen, weights, logits, &x, NULL);
    gqa_experts_choose_back(d, d_weights, chosen, logits, &x);
    x.scale = 0.75;
    choose(chosen, scaled, logits, &x, NULL);
    gqa_experts_choose_back(d_scaled, d_weights, chosen, logits, &x);
    for (int i = 0; i < 2; i++)
        ck_assert(is_near(scaled[i], 0.75 * weights[i]));
    for (int e = 0; e < 4; e++)
        ck_assert(is_near(d_scaled[e], 0.75 * d[e]));
    ck_assert(d[2] > 0.1);
}
END_TEST

START_TEST(takes_the_first_of_equals)
{
    static const double logits[] = {-5, 3, 3, 3};
    const struct gqa_experts x = {.n = 4, .n_chosen = 3, .normalised = true};
    uint64_t chosen[3];
    double weights[3];

    choose(chosen, weights, logits, &x, NULL);
    for (uint64_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(chosen[i], i + 1);
        ck_assert(is_near(weights[i], 1.0 / 3));
    }
}
END_TEST

/*
 * Twice 0.1 of the larger: beside 10 count 9 and what is larger, not 7; beside
 * 9, once 10 is gone, 8.5 does and 7 does not.
 */
START_TEST(mixes_sparsely)
{
    static const double logits[] = {7, 10, 8.5, 9};
    const struct gqa_experts x = {.n = 4,
                                  .n_chosen = 2,
                                  .choice = GQA_EXPERTS_SPARSEMIXER,
                                  .jitter = 0.1};
    uint64_t chosen[2];
    double weights[2];

    choose(chosen, weights, logits, &x, NULL);
    ck_assert_uint_eq(chosen[0], 1);
    ck_assert_uint_eq(chosen[1], 3);
    ck_assert(is_near(weights[0], 1 / (1 + exp(-1.5) + exp(-1))));
    ck_assert(is_near(weights[1], 1 / (1 + exp(-0.5))));
}
END_TEST

/* Each counts its sigmoid, half at 0; with the correction 1 is better than 2,
 * which counts as much as before. */
START_TEST(takes_sigmoids)
{
    static const double logits[] = {-1, 0, 2, -2};
    static const double correction[] = {0, 0.5, 0, -0.25};
    struct gqa_experts x = {
        .n = 4, .n_chosen = 2, .choice = GQA_EXPERTS_SIGMOID};
    const double two = 1 / (1 + exp(-2));
    uint64_t chosen[2];
    double weights[2];

    choose(chosen, weights, logits, &x, NULL);
    ck_assert_uint_eq(chosen[0], 2);
    ck_assert_uint_eq(chosen[1], 1);
    ck_assert(is_near(weights[0], two));
    ck_assert(is_near(weights[1], 0.5));
    x.normalised = true;
    x.scale = 2.5;
    choose(chosen, weights, logits, &x, correction);
    ck_assert_uint_eq(chosen[0], 1);
    ck_assert_uint_eq(chosen[1], 2);
    ck_assert(is_near(weights[0], 2.5 * 0.5 / (0.5 + two)));
    ck_assert(is_near(weights[0] + weights[1], 2.5));
}
END_TEST

/* Shares are 0.09, 0.24, 0.67: with 0.5 more the first is the second best. What
 * they count are shares as they are. */
START_TEST(corrects_shares)
{
    static const double logits[] = {0, 1, 2}, correction[] = {0.5, 0, 0};
    const struct gqa_experts x = {.n = 3, .n_chosen = 2};
    const double all = 1 + exp(1) + exp(2);
    uint64_t chosen[2];
    double weights[2];

    choose(chosen, weights, logits, &x, correction);
    ck_assert_uint_eq(chosen[0], 2);
    ck_assert_uint_eq(chosen[1], 0);
    ck_assert(is_near(weights[0], exp(2) / all));
    ck_assert(is_near(weights[1], 1 / all));
}
END_TEST

/* The best of all is in the first of three groups, whose two are less than
 * those of the others. Of groups that are equal the first is taken. */
START_TEST(chooses_groups)
{
    static const double logits[] = {3, -9, 1, 1, 0.5, 2},
                        equal[] = {0, 0, 0, 0, 0, 0};
    const struct gqa_experts x = {.n = 6,
                                  .n_chosen = 3,
                                  .choice = GQA_EXPERTS_SIGMOID,
                                  .n_groups = 3,
                                  .n_best = 2};
    uint64_t chosen[3];
    double weights[3];

    choose(chosen, weights, logits, &x, NULL);
    ck_assert_uint_eq(chosen[0], 5);
    ck_assert_uint_eq(chosen[1], 2);
    ck_assert_uint_eq(chosen[2], 3);
    choose(chosen, weights, equal, &x, NULL);
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_uint_eq(chosen[i], i);
}
END_TEST

/* Rows 0 and 2 have expert 1 first, row 1 has expert 2; 0 is second of the
 * first two, and 2 of the last; none has 3. */
START_TEST(rows_lie_by_expert)
{
    static const double logits[] = {2, 3, 1, 0, 5, 1, 6, 0, 1, 9, 8, 0};
    static const uint64_t first[] = {0, 2, 4, 6, 6};
    static const uint64_t rows[] = {0, 1, 0, 2, 1, 2};
    static const uint64_t places[] = {2, 0, 4, 1, 3, 5};
    const struct gqa_experts x = {.n = 4, .n_chosen = 2, .normalised = true};
    const double less = 1 / (1 + exp(1));
    double d_logits[12];
    struct gqa_pairs p;

    ck_assert_int_eq(gqa_pairs_create(&p, &x, NULL, 3), GQA_OK);
    memcpy(p.logits, logits, sizeof logits);
    ck_assert_int_eq(gqa_pairs_sort(&p, NULL), GQA_OK);
    ck_assert_uint_eq(p.n, 6);
    ck_assert_mem_eq(p.first, first, sizeof first);
    ck_assert_mem_eq(p.rows, rows, sizeof rows);
    ck_assert_mem_eq(p.places, places, sizeof places);
    /* Each row's logits are one apart. */
    for (int i = 0; i < 6; i++)
        ck_assert(is_near(p.weights[places[i]], i % 2 ? less : 1 - less));
    /* Of row 1 alone, and there of its second alone. */
    ck_assert_int_eq(
        gqa_pairs_back(d_logits, &p, (const double[]){0, 1, 0, 0, 0, 0}),
        GQA_OK);
    for (int i = 0; i < 12; i++)
        ck_assert(is_near(d_logits[i], i == 4   ? less * (1 - less)
                                       : i == 6 ? -less * (1 - less)
                                                : 0));
    gqa_pairs_clear(&p);
}
END_TEST

/* Two of a sequence, whose second part comes behind its first; the padding of
 * the other counts nothing. */
START_TEST(takes_so_many)
{
    static const uint64_t n_tokens[] = {3, 1}, more[] = {1, 2};
    static const uint64_t zeros[] = {0, 0};
    static const bool all[] = {true, true, false, true, true, true};
    static const bool behind[] = {false, true, true, false};
    const struct gqa_experts x = {.n = 3, .capacity = 2}, any = {.n = 3};
    const struct gqa_batch first = {2, 3, NULL, n_tokens, zeros},
                           second = {2, 2, NULL, more, n_tokens};
    uint64_t taken[] = {9, 9, 9, 9, 9, 9};

    for (uint64_t row = 0; row < 6; row++)
        ck_assert_int_eq(
            gqa_capacity_takes(&(const struct gqa_capacity){&x, &first, taken},
                               row, 1),
            all[row]);
    for (uint64_t row = 0; row < 4; row++)
        ck_assert_int_eq(
            gqa_capacity_takes(&(const struct gqa_capacity){&x, &second, taken},
                               row, 1),
            behind[row]);
    ck_assert(gqa_capacity_takes(
        &(const struct gqa_capacity){&any, &second, NULL}, 0, 1));
}
END_TEST

/* Three rows have expert 1, which takes two: the third counts nothing, and has
 * no slope. */
START_TEST(leaves_rows_out)
{
    static const double logits[] = {0, 1, 0, 2, 0, 3};
    static const uint64_t n_tokens[] = {3}, zeros[] = {0};
    const struct gqa_experts x = {.n = 2, .n_chosen = 1, .capacity = 2};
    const struct gqa_batch batch = {1, 3, NULL, n_tokens, zeros};
    double d_logits[6];
    struct gqa_pairs p;

    ck_assert_int_eq(gqa_pairs_create(&p, &x, NULL, 3), GQA_OK);
    memcpy(p.logits, logits, sizeof logits);
    ck_assert_int_eq(gqa_pairs_sort(&p, &batch), GQA_OK);
    ck_assert(is_near(p.weights[1], 1 / (1 + exp(-2))));
    ck_assert_double_eq(p.weights[2], 0);
    ck_assert_int_eq(gqa_pairs_back(d_logits, &p, (const double[]){1, 1, 1}),
                     GQA_OK);
    ck_assert_double_gt(d_logits[3], 0);
    ck_assert_double_eq(d_logits[4], 0);
    ck_assert_double_eq(d_logits[5], 0);
    gqa_pairs_clear(&p);
}
END_TEST

/* --- Back ----------------------------------------------------------------- */

enum { SEVERAL = 5 };

static const struct gqa_experts mixtures[] = {
    {.n = SEVERAL, .n_chosen = 2},
    {.n = SEVERAL, .n_chosen = 3, .normalised = true},
    {.n = SEVERAL, .n_chosen = 1, .normalised = true},
    {.n = SEVERAL,
     .n_chosen = 2,
     .choice = GQA_EXPERTS_SPARSEMIXER,
     .jitter = 0.1},
    {.n = SEVERAL, .n_chosen = 2, .choice = GQA_EXPERTS_SIGMOID, .scale = 1.5},
    {.n = SEVERAL,
     .n_chosen = 3,
     .choice = GQA_EXPERTS_SIGMOID,
     .normalised = true},
};

enum { N_MIXTURES = sizeof mixtures / sizeof *mixtures };

/* Of the sparse mixer, 7 is left out by 10, and 8.5 and 7.5 are not by 9. */
static const double several[SEVERAL] = {7, 10, 8.5, 9, 7.5};
static const double d_weights[] = {0.7, -1.3, 0.4};

static double weighted(const double *logits, const struct gqa_experts *x)
{
    uint64_t chosen[SEVERAL];
    double weights[SEVERAL], sum = 0;

    choose(chosen, weights, logits, x, NULL);
    for (uint64_t i = 0; i < x->n_chosen; i++)
        sum += d_weights[i] * weights[i];
    return sum;
}

/* The largest error of any logit's, against differences. */
static double slope_error(const double *d_logits, const struct gqa_experts *x)
{
    static const double h = 1e-3;
    double most = 0;

    for (int e = 0; e < SEVERAL; e++) {
        double logits[SEVERAL], values[4];

        for (int j = 0; j < 4; j++) {
            for (int i = 0; i < SEVERAL; i++)
                logits[i] = several[i];
            logits[e] += (j < 2 ? j - 2 : j - 1) * h;
            values[j] = weighted(logits, x);
        }
        most = fmax(most, fabs(d_logits[e] - (8 * (values[2] - values[1]) -
                                              (values[3] - values[0])) /
                                                 (12 * h)));
    }
    return most;
}

START_TEST(goes_back)
{
    const struct gqa_experts *x = &mixtures[_i];
    uint64_t chosen[SEVERAL];
    double weights[SEVERAL], d_logits[SEVERAL];

    choose(chosen, weights, several, x, NULL);
    gqa_experts_choose_back(d_logits, d_weights, chosen, several, x);
    ck_assert_double_le(slope_error(d_logits, x), 1e-10);
    /* What is no expert of the softmax's has no say. */
    if (x->normalised || x->choice != GQA_EXPERTS_SOFTMAX)
        ck_assert_double_eq(d_logits[0], 0);
    else
        ck_assert_double_ne(d_logits[0], 0);
}
END_TEST

/* Another mixture's slopes are none of these. */
START_TEST(another_ones_are_caught)
{
    for (int i = 0; i < N_MIXTURES; i++) {
        struct gqa_experts broken = mixtures[i];
        uint64_t chosen[SEVERAL];
        double weights[SEVERAL], d_logits[SEVERAL];

        choose(chosen, weights, several, &mixtures[i], NULL);
        if (broken.choice == GQA_EXPERTS_SPARSEMIXER)
            broken.jitter = 0.5;
        else
            broken.normalised = !broken.normalised;
        gqa_experts_choose_back(d_logits, d_weights, chosen, several, &broken);
        ck_assert_double_gt(slope_error(d_logits, &mixtures[i]), 1e-4);
    }
}
END_TEST

/* Nothing is read or chosen twice, whatever they are. */
START_TEST(lives_through_what_is_no_number)
{
    static const double logits[] = {NAN, NAN, INFINITY, -INFINITY};
    struct gqa_experts x = {.n = 4, .n_chosen = 4};
    uint64_t chosen[4];
    double weights[4];

    for (int choice = 0; choice < 3; choice++) {
        bool seen[4] = {false};

        x.choice = (enum gqa_experts_choice)choice;
        choose(chosen, weights, logits, &x, NULL);
        for (int i = 0; i < 4; i++) {
            ck_assert_uint_lt(chosen[i], 4);
            ck_assert(!seen[chosen[i]]);
            seen[chosen[i]] = true;
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("experts");
    TCase *tc = tcase_create("experts");

    tcase_add_test(tc, takes_the_largest);
    tcase_add_test(tc, scales_weights);
    tcase_add_test(tc, takes_the_first_of_equals);
    tcase_add_test(tc, mixes_sparsely);
    tcase_add_test(tc, takes_sigmoids);
    tcase_add_test(tc, corrects_shares);
    tcase_add_test(tc, chooses_groups);
    tcase_add_test(tc, rows_lie_by_expert);
    tcase_add_test(tc, takes_so_many);
    tcase_add_test(tc, leaves_rows_out);
    tcase_add_loop_test(tc, goes_back, 0, N_MIXTURES);
    tcase_add_test(tc, another_ones_are_caught);
    tcase_add_test(tc, lives_through_what_is_no_number);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
