/* Trainees that lie side by side, as one. */
#include <check.h>

#include "suite.h"
#include "uptrain/trainee_runs.h"

static float weights[64], gradients[64];
static unsigned short copies[64];

/* Of so many elements from `at` on. */
static struct gqa_trainee trainee(size_t param, size_t at, uint64_t rows,
                                  uint64_t cols)
{
    return (struct gqa_trainee){.param = param,
                                .n_rows = rows,
                                .n_cols = cols,
                                .weights = weights + at,
                                .gradients = gradients + at,
                                .copy = copies + at,
                                .copy_dtype = GQA_BF16};
}

/* Whatever their order; behind a gap another begins. */
START_TEST(neighbours_are_one)
{
    const struct gqa_trainee all[] = {trainee(0, 12, 2, 2), trainee(1, 0, 3, 4),
                                      trainee(2, 17, 1, 5),
                                      trainee(3, 22, 2, 1)};
    struct gqa_trainee_runs runs;

    ck_assert_int_eq(gqa_trainee_runs_create(&runs, all, 4, sizeof(float)),
                     GQA_OK);
    ck_assert_uint_eq(runs.n, 2);
    ck_assert_uint_eq(runs.items[0].param, 1);
    ck_assert_ptr_eq(runs.items[0].weights, weights);
    ck_assert_uint_eq(runs.items[0].n_rows, 1);
    ck_assert_uint_eq(runs.items[0].n_cols, 16);
    ck_assert_uint_eq(runs.items[1].n_cols, 7);
    ck_assert_ptr_eq(runs.items[1].gradients, gradients + 17);
    ck_assert_uint_eq(runs.run[0], 0);
    ck_assert_uint_eq(runs.place[0], 12);
    ck_assert_uint_eq(runs.run[3], 1);
    ck_assert_uint_eq(runs.place[3], 5);
    gqa_trainee_runs_clear(&runs);
}
END_TEST

/* Gradients that lie elsewhere, a copy that does, or none. */
START_TEST(neighbours_in_all_they_have)
{
    struct gqa_trainee all[] = {trainee(0, 0, 2, 4), trainee(1, 8, 2, 4)};
    struct gqa_trainee_runs runs;

    switch (_i) {
    case 0:
        all[1].gradients = gradients + 9;
        break;
    case 1:
        all[1].copy = copies;
        break;
    case 2:
        all[1].copy = NULL;
        break;
    default:
        all[0].copy = all[1].copy = NULL;
    }
    ck_assert_int_eq(gqa_trainee_runs_create(&runs, all, 2, sizeof(float)),
                     GQA_OK);
    ck_assert_uint_eq(runs.n, _i == 3 ? 1 : 2);
    gqa_trainee_runs_clear(&runs);
}
END_TEST

START_TEST(none_are_no_run)
{
    struct gqa_trainee_runs runs;

    ck_assert_int_eq(gqa_trainee_runs_create(&runs, NULL, 0, sizeof(float)),
                     GQA_OK);
    ck_assert_uint_eq(runs.n, 0);
    gqa_trainee_runs_clear(&runs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trainee_runs");
    TCase *tcase = tcase_create("trainee_runs");

    tcase_add_test(tcase, neighbours_are_one);
    tcase_add_loop_test(tcase, neighbours_in_all_they_have, 0, 4);
    tcase_add_test(tcase, none_are_no_run);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
