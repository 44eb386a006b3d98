/* What training needs beside gradients: steps of optimisers against their
 * definitions, norms, and values between types. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradient_check.h"
#include "suite.h"

/* Several parts of the pool's, and an odd rest. */
enum { MANY = 40001, ROWS = 150, COLS = 271 };

static void open_with(int type)
{
    mend_ops();
    open_device(reals[type], 2);
    seed_draws(3);
}

static double tolerance(int type)
{
    return type ? 1e-13 : 1e-6;
}

/* --- Memory --------------------------------------------------------------- */

START_TEST(clears_copies_and_adds)
{
    for (int type = 0; type < 2; type++) {
        double *a, *b;
        void *x, *y;

        open_with(type);
        x = drawn(&a, MANY, real);
        y = drawn(&b, MANY, real);
        ck_assert_int_eq(ops.add(device, x, y, MANY), GQA_OK);
        for (size_t i = 0; i < MANY; i++)
            a[i] += b[i];
        check_close(x, a, MANY, "sum");
        ck_assert_int_eq(
            gqa_cpu_backend()->copy(device, x, y, MANY * bytes_of(real)),
            GQA_OK);
        ck_assert_mem_eq(x, y, MANY * bytes_of(real));
        ck_assert_int_eq(
            gqa_cpu_backend()->zero(device, x, MANY * bytes_of(real)), GQA_OK);
        for (size_t i = 0; i < MANY * bytes_of(real); i++)
            ck_assert_int_eq(((const char *)x)[i], 0);
        free(a);
        free(b);
        free(x);
        free(y);
        close_device();
    }
}
END_TEST

START_TEST(goes_between_types)
{
    for (int type = 0; type < 2; type++)
        for (int other = 0; other < 4; other++) {
            double *a;
            void *narrow, *wide, *again;

            open_with(type);
            narrow = drawn(&a, MANY, dtypes[other]);
            wide = poisoned(MANY);
            again = make(MANY, bytes_of(dtypes[other]));
            ck_assert_int_eq(
                ops.widen(device, wide, narrow, dtypes[other], MANY), GQA_OK);
            check_close(wide, a, MANY, "widened");
            ck_assert_int_eq(
                ops.narrow(device, again, dtypes[other], wide, MANY), GQA_OK);
            if (bytes_of(dtypes[other]) <= bytes_of(real))
                ck_assert_mem_eq(again, narrow, MANY * bytes_of(dtypes[other]));
            free(a);
            free(narrow);
            free(wide);
            free(again);
            close_device();
        }
}
END_TEST

START_TEST(adds_squares_up)
{
    for (int type = 0; type < 2; type++) {
        double *a, sum = 0.5, want = 0.5;
        void *x;

        open_with(type);
        x = drawn(&a, MANY, real);
        for (size_t i = 0; i < MANY; i++)
            want += a[i] * a[i];
        ck_assert_int_eq(ops.norm2(device, &sum, x, MANY), GQA_OK);
        ck_assert_double_le(fabs(sum - want), 1e-12 * want);
        free(a);
        free(x);
        close_device();
    }
}
END_TEST

/* --- AdamW ---------------------------------------------------------------- */

START_TEST(adamw_steps)
{
    for (int type = 0; type < 2; type++) {
        struct gqa_adamw_op op = {.n = MANY,
                                  .gradient_scale = 0.3,
                                  .rate = 0.01,
                                  .beta1 = 0.9,
                                  .beta2 = 0.95,
                                  .eps = 1e-8,
                                  .decay = 0.1,
                                  .copy_dtype = GQA_BF16};
        double *w, *g, *m = make(MANY, sizeof *m), *v = make(MANY, sizeof *v);
        uint16_t *copy = make(MANY, sizeof *copy), *want;

        open_with(type);
        op.weights = drawn(&w, MANY, real);
        op.mean = zero_reals(MANY);
        op.square = zero_reals(MANY);
        op.copy = copy;
        for (op.step = 1; op.step <= 3; op.step++) {
            const double t = (double)op.step;
            void *gradients = drawn(&g, MANY, real);

            op.gradients = gradients;
            ck_assert_int_eq(ops.adamw(device, &op), GQA_OK);
            for (size_t i = 0; i < MANY; i++) {
                const double d = 0.3 * g[i];

                m[i] = 0.9 * m[i] + 0.1 * d;
                v[i] = 0.95 * v[i] + 0.05 * d * d;
                w[i] -= 0.01 * 0.1 * w[i];
                w[i] -= 0.01 * (m[i] / (1 - pow(0.9, t))) /
                        (sqrt(v[i] / (1 - pow(0.95, t))) + 1e-8);
            }
            free(gradients);
            free(g);
        }
        check_within(tolerance(type), op.weights, w, MANY, "weights");
        check_within(tolerance(type), op.mean, m, MANY, "means");
        check_within(tolerance(type), op.square, v, MANY, "squares");
        gqa_load_f64(w, op.weights, real, MANY);
        want = rounded(w, MANY, GQA_BF16);
        ck_assert_mem_eq(copy, want, MANY * sizeof *copy);
        free(op.weights);
        free(op.mean);
        free(op.square);
        free(copy);
        free(want);
        free(w);
        free(m);
        free(v);
        close_device();
    }
}
END_TEST

/* --- Adafactor ------------------------------------------------------------ */

/* A step as the paper has it, of sums in place of means where they are. */
static void step_adafactor(double *w, double *row, double *col, const double *g,
                           size_t n_rows, size_t n_cols, double step)
{
    const double beta = 1 - pow(step, -0.8);
    double *u = make(n_rows * n_cols, sizeof *u);
    double all = 0, squares = 0;

    for (size_t i = 0; i < n_rows; i++)
        row[i] *= beta;
    for (size_t j = 0; j < n_cols; j++)
        col[j] *= beta;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < n_cols; j++) {
            const double d = 0.3 * g[i * n_cols + j];

            row[i] += (1 - beta) * (d * d + 1e-30) / (double)n_cols;
            col[j] += (1 - beta) * (d * d + 1e-30) / (double)n_rows;
        }
    for (size_t i = 0; i < n_rows; i++)
        all += row[i];
    for (size_t i = 0; i < n_rows * n_cols; i++) {
        const double v = n_rows > 1 ? row[i / n_cols] * col[i % n_cols] /
                                          (all / (double)n_rows)
                                    : col[i];

        u[i] = 0.3 * g[i] / sqrt(v);
        squares += u[i] * u[i];
    }
    for (size_t i = 0; i < n_rows * n_cols; i++) {
        w[i] -= 0.01 * 0.1 * w[i];
        w[i] -= 0.01 * u[i] /
                fmax(1, sqrt(squares / (double)(n_rows * n_cols)) / 0.8);
    }
    free(u);
}

START_TEST(adafactor_steps)
{
    const size_t n_rows = _i ? ROWS : 1, n = n_rows * COLS;

    for (int type = 0; type < 2; type++) {
        struct gqa_adafactor_op op = {.n_rows = n_rows,
                                      .n_cols = COLS,
                                      .gradient_scale = 0.3,
                                      .rate = 0.01,
                                      .decay_power = 0.8,
                                      .eps = 1e-30,
                                      .clip = 0.8,
                                      .weight_decay = 0.1};
        double *w, *g, *row = make(n_rows, sizeof *row);
        double *col = make(COLS, sizeof *col);

        open_with(type);
        op.weights = drawn(&w, n, real);
        op.row = zero_reals(n_rows);
        op.col = zero_reals(COLS);
        for (op.step = 1; op.step <= 3; op.step++) {
            void *gradients = drawn(&g, n, real);

            op.gradients = gradients;
            ck_assert_int_eq(ops.adafactor(device, &op), GQA_OK);
            step_adafactor(w, row, col, g, n_rows, COLS, (double)op.step);
            free(gradients);
            free(g);
        }
        check_within(tolerance(type), op.weights, w, n, "weights");
        check_within(tolerance(type), op.col, col, COLS, "columns");
        if (n_rows > 1)
            check_within(tolerance(type), op.row, row, n_rows, "rows");
        free(op.weights);
        free(op.row);
        free(op.col);
        free(w);
        free(row);
        free(col);
        close_device();
    }
}
END_TEST

/* The same bits on any number of threads. */
START_TEST(threads_change_nothing)
{
    for (int type = 0; type < 2; type++) {
        char *first = NULL;

        for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
            struct gqa_adafactor_op op = {.n_rows = ROWS,
                                          .n_cols = COLS,
                                          .gradient_scale = 1,
                                          .rate = 0.01,
                                          .decay_power = 0.8,
                                          .eps = 1e-30,
                                          .clip = 1,
                                          .step = 2};
            const size_t n = (size_t)ROWS * COLS;
            const size_t bytes = n * bytes_of(reals[type]);
            void *gradients;
            double sum = 0;
            char *all;

            mend_ops();
            open_device(reals[type], n_threads);
            seed_draws(3);
            op.weights = drawn_reals(n);
            op.gradients = gradients = drawn_reals(n);
            op.row = zero_reals(ROWS);
            op.col = zero_reals(COLS);
            ck_assert_int_eq(ops.adafactor(device, &op), GQA_OK);
            ck_assert_int_eq(ops.norm2(device, &sum, gradients, n), GQA_OK);
            all = make(bytes + sizeof sum, 1);
            memcpy(all, op.weights, bytes);
            memcpy(all + bytes, &sum, sizeof sum);
            if (first)
                ck_assert_mem_eq(all, first, bytes + sizeof sum);
            else
                first = all;
            if (first != all)
                free(all);
            free(op.weights);
            free(gradients);
            free(op.row);
            free(op.col);
            close_device();
        }
        free(first);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steps");
    TCase *tcase = tcase_create("steps");

    tcase_add_test(tcase, clears_copies_and_adds);
    tcase_add_test(tcase, goes_between_types);
    tcase_add_test(tcase, adds_squares_up);
    tcase_add_test(tcase, adamw_steps);
    tcase_add_loop_test(tcase, adafactor_steps, 0, 2);
    tcase_add_test(tcase, threads_change_nothing);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
