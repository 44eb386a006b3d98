/* The best options within so many bytes: as good as trying all, and no more
 * bytes than are of use. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "align/knapsack.h"
#include "common/random.h"
#include "suite.h"

enum { N = 5, OPTIONS = 3 };

static struct gqa_knapsack_option options[N][OPTIONS];
static struct gqa_knapsack_item items[N];
static uint64_t counter;

static void make_items(void)
{
    for (size_t i = 0; i < N; i++) {
        double lost = 0;

        for (size_t j = 0; j < OPTIONS; j++) {
            options[i][j] =
                (struct gqa_knapsack_option){(24 >> j) * (i % 2 + 1), lost};
            lost += gqa_random_uniform(7, counter++);
        }
        items[i] = (struct gqa_knapsack_item){options[i], OPTIONS};
    }
}

static double try_all(uint64_t bytes)
{
    double best = INFINITY;

    for (size_t i = 0; i < 243; i++) {
        uint64_t sum = 0;
        double lost = 0;

        for (size_t k = 0, rest = i; k < N; k++, rest /= OPTIONS) {
            sum += options[k][rest % OPTIONS].bytes;
            lost += options[k][rest % OPTIONS].lost;
        }
        if (sum <= bytes)
            best = fmin(best, lost);
    }
    return best;
}

START_TEST(best_within_all_bytes)
{
    for (int round = 0; round < 10; round++) {
        struct gqa_knapsack *k = NULL;
        struct gqa_knapsack_option best;
        size_t picks[N];

        make_items();
        ck_assert_int_eq(gqa_knapsack_create(&k, items, N), GQA_OK);
        ck_assert_uint_eq(gqa_knapsack_most(k), 24 * 7);
        ck_assert_uint_eq(gqa_knapsack_fewest(k), 6 * 7);
        ck_assert_uint_eq(gqa_knapsack_unit(k), 6);
        ck_assert(!gqa_knapsack_within(&best, picks, k, 6 * 7 - 1));
        for (uint64_t bytes = 6 * 7; bytes < 200; bytes++) {
            uint64_t sum = 0;
            double lost = 0;

            ck_assert(gqa_knapsack_within(&best, picks, k, bytes));
            for (size_t i = 0; i < N; i++) {
                sum += options[i][picks[i]].bytes;
                lost += options[i][picks[i]].lost;
            }
            ck_assert_uint_le(sum, bytes);
            ck_assert_uint_eq(sum, best.bytes);
            ck_assert_double_eq_tol(lost, best.lost, 1e-12);
            ck_assert_double_eq_tol(lost, try_all(bytes), 1e-8);
        }
        gqa_knapsack_free(k);
    }
}
END_TEST

/* Where nothing is lost, as little is taken as can be. */
START_TEST(no_bytes_without_use)
{
    struct gqa_knapsack *k = NULL;
    struct gqa_knapsack_option best;

    make_items();
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < OPTIONS; j++)
            options[i][j].lost = 0;
    ck_assert_int_eq(gqa_knapsack_create(&k, items, N), GQA_OK);
    ck_assert(gqa_knapsack_within(&best, NULL, k, UINT64_MAX));
    ck_assert_uint_eq(best.bytes, 6 * 7);
    gqa_knapsack_free(k);
}
END_TEST

START_TEST(refusals)
{
    struct gqa_knapsack *k = NULL;

    make_items();
    options[0][0].bytes = INT64_MAX;
    ck_assert_int_eq(gqa_knapsack_create(&k, items, N), GQA_ERR_UNSUPPORTED);
    options[0][0].bytes = (UINT64_C(1) << 40) + 1;
    ck_assert_int_eq(gqa_knapsack_create(&k, items, N), GQA_ERR_UNSUPPORTED);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < OPTIONS; j++)
            options[i][j].bytes = 0;
    ck_assert_int_eq(gqa_knapsack_create(&k, items, N), GQA_ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("knapsack");
    TCase *tcase = tcase_create("knapsack");

    tcase_add_test(tcase, best_within_all_bytes);
    tcase_add_test(tcase, no_bytes_without_use);
    tcase_add_test(tcase, refusals);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
