#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "cpu_device.h"
#include "suite.h"
#include "uptrain/optimiser.h"

enum { ROWS = 3, COLS = 2, N = ROWS * COLS };

/* A matrix and a vector, of float64. */
struct two {
    double weights[N], gradients[N], bias[COLS], bias_gradient[COLS];
    struct gqa_trainee trainees[2];
};

static void make_two(struct two *t)
{
    open_device(GQA_F64, 1);
    for (size_t i = 0; i < N; i++) {
        t->weights[i] = 1;
        t->gradients[i] = 0.5 * (double)i;
    }
    for (size_t i = 0; i < COLS; i++) {
        t->bias[i] = -1;
        t->bias_gradient[i] = 2;
    }
    t->trainees[0] = (struct gqa_trainee){.n_rows = ROWS,
                                          .n_cols = COLS,
                                          .weights = t->weights,
                                          .gradients = t->gradients};
    t->trainees[1] = (struct gqa_trainee){.param = 1,
                                          .n_rows = 1,
                                          .n_cols = COLS,
                                          .weights = t->bias,
                                          .gradients = t->bias_gradient};
}

/* Of the first step of Adam each element's size is the rate, but where there is
 * no gradient. */
START_TEST(first_step_of_adamw)
{
    const struct gqa_optimiser_options options = {.kind = GQA_OPTIMISER_ADAMW,
                                                  .clip = 1};
    struct gqa_optimiser *o = NULL;
    double square = 0;
    struct two t;

    make_two(&t);
    ck_assert_int_eq(
        gqa_optimiser_create(&o, backend, device, t.trainees, 2, &options),
        GQA_OK);
    ck_assert_int_eq(gqa_optimiser_norm2(o, &square), GQA_OK);
    /* 0.25 (0 + 1 + 4 + 9 + 16 + 25) + 2 * 4 */
    ck_assert_double_eq_tol(square, 21.75, 1e-12);
    ck_assert_int_eq(gqa_optimiser_step(o, 1, 0.1, sqrt(square)), GQA_OK);
    ck_assert_double_eq(t.weights[0], 1);
    for (size_t i = 1; i < N; i++)
        ck_assert_double_eq_tol(t.weights[i], 0.9, 1e-6);
    ck_assert_double_eq_tol(t.bias[1], -1.1, 1e-6);
    gqa_optimiser_free(o);
    close_device();
}
END_TEST

/* Gradients beyond the norm are cut: moments see them so. */
START_TEST(gradients_are_clipped)
{
    struct gqa_optimiser_options options = {.kind = GQA_OPTIMISER_ADAMW,
                                            .clip = 1};
    double means[2];

    for (int clip = 0; clip < 2; clip++) {
        struct gqa_optimiser *o = NULL;
        struct two t;

        make_two(&t);
        options.clip = clip;
        ck_assert_int_eq(
            gqa_optimiser_create(&o, backend, device, t.trainees, 2, &options),
            GQA_OK);
        ck_assert_int_eq(gqa_optimiser_step(o, 1, 0.1, 4), GQA_OK);
        ck_assert_uint_eq(gqa_optimiser_n_moments(o), 4);
        ck_assert_str_eq(gqa_optimiser_moment(o, 0).name, "mean");
        means[clip] = ((const double *)gqa_optimiser_moment(o, 0).data)[5];
        gqa_optimiser_free(o);
        close_device();
    }
    ck_assert_double_eq_tol(means[0], 0.1 * 2.5, 1e-15);
    ck_assert_double_eq_tol(means[1], 0.1 * 2.5 / 4, 1e-15);
}
END_TEST

/* Rows and columns of a matrix, elements of a vector. */
START_TEST(moments_of_adafactor)
{
    const struct gqa_optimiser_options options = {
        .kind = GQA_OPTIMISER_ADAFACTOR, .clip = 0};
    struct gqa_optimiser *o = NULL;
    struct two t;

    make_two(&t);
    ck_assert_int_eq(
        gqa_optimiser_create(&o, backend, device, t.trainees, 2, &options),
        GQA_OK);
    ck_assert_uint_eq(gqa_optimiser_moment(o, 0).n, ROWS);
    ck_assert_uint_eq(gqa_optimiser_moment(o, 1).n, COLS);
    ck_assert_uint_eq(gqa_optimiser_moment(o, 2).n, 0);
    ck_assert_uint_eq(gqa_optimiser_moment(o, 3).n, COLS);
    ck_assert_uint_eq(
        gqa_optimiser_bytes(GQA_OPTIMISER_ADAFACTOR, ROWS, COLS, 8),
        8 * (ROWS + COLS));
    ck_assert_int_eq(gqa_optimiser_step(o, 1, 0.1, 1), GQA_OK);
    /* All of a vector's gradients are alike: each update is 1. */
    ck_assert_double_eq_tol(t.bias[0], -1.1, 1e-9);
    ck_assert_double_lt(t.weights[5], 1);
    gqa_optimiser_free(o);
    close_device();
}
END_TEST

/* Anew from 0: the same step is made once more. */
START_TEST(reset_forgets)
{
    const struct gqa_optimiser_options options = {.kind = GQA_OPTIMISER_ADAMW,
                                                  .clip = 1};
    struct gqa_optimiser *o = NULL;
    double once;
    struct two t;

    make_two(&t);
    ck_assert_int_eq(
        gqa_optimiser_create(&o, backend, device, t.trainees, 2, &options),
        GQA_OK);
    ck_assert_int_eq(gqa_optimiser_step(o, 1, 0.1, 1), GQA_OK);
    once = t.weights[3];
    t.weights[3] = 1;
    ck_assert_int_eq(gqa_optimiser_reset(o), GQA_OK);
    ck_assert_int_eq(gqa_optimiser_step(o, 1, 0.1, 1), GQA_OK);
    ck_assert_double_eq(t.weights[3], once);
    gqa_optimiser_free(o);
    close_device();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimiser");
    TCase *tcase = tcase_create("optimiser");

    tcase_add_test(tcase, first_step_of_adamw);
    tcase_add_test(tcase, gradients_are_clipped);
    tcase_add_test(tcase, moments_of_adafactor);
    tcase_add_test(tcase, reset_forgets);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
