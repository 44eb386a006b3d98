#include "gradient_check.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gqa_gradient_ops ops;

const struct gqa_gradient_ops *whole_ops(void)
{
    return gqa_cpu_backend()->gradients;
}

void mend_ops(void)
{
    ops = *whole_ops();
}

void *drawn_reals(size_t n)
{
    double *values;
    void *x = drawn(&values, n, real);

    free(values);
    return x;
}

void *zero_reals(size_t n)
{
    return make(n, bytes_of(real));
}

void *add_variable(struct problem *p, const char *name, size_t n)
{
    ck_assert_uint_lt(p->n_variables, MOST_VARIABLES);
    p->variables[p->n_variables] =
        (struct variable){name, n, drawn_reals(n), zero_reals(n)};
    return p->variables[p->n_variables++].x;
}

void end_problem(struct problem *p)
{
    for (size_t i = 0; i < p->n_variables; i++) {
        free(p->variables[i].x);
        free(p->variables[i].dx);
    }
}

double dot(const double *x, const double *w, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i] * w[i];
    return sum;
}

/* --- Differences ---------------------------------------------------------- */

/* Of x[i], by four points: the error is of h^4. */
static double slope_at(const struct problem *p, double *x)
{
    const double h = 1e-3, at = *x;
    double values[4];
    static const int steps[4] = {-2, -1, 1, 2};

    for (int i = 0; i < 4; i++) {
        *x = at + steps[i] * h;
        values[i] = p->value(p);
    }
    *x = at;
    return (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h);
}

/* Elements of a variable that are looked at. */
enum { MOST_ELEMENTS = 150 };

static double error_of(const struct problem *p, const struct variable *v)
{
    const size_t step = v->n / MOST_ELEMENTS + 1;
    double error = 0, all = 0;

    for (size_t i = v->n / 2 % step; i < v->n; i += step) {
        const double want = slope_at(p, (double *)v->x + i);
        const double got = ((const double *)v->dx)[i];

        error += (got - want) * (got - want);
        all += want * want;
    }
    /* Nothing at all is right where nothing depends on it. */
    return all > 0 || error > 0 ? sqrt(error / all) : 0;
}

double worst_error(const struct problem *p, const char **which)
{
    double worst = -1;

    for (size_t i = 0; i < p->n_variables; i++) {
        const double error = error_of(p, &p->variables[i]);

        if (!(error <= worst)) {
            worst = error;
            *which = p->variables[i].name;
        }
    }
    return worst;
}

/* --- Types and threads ---------------------------------------------------- */

/* All gradients, one behind the other, in memory of their own. */
static void *take_gradients(const struct gradient_test *test,
                            const void *wanted, enum gqa_dtype dtype,
                            unsigned n_threads, size_t *n)
{
    struct problem p = {.n_variables = 0};
    char *all;

    open_device(dtype, n_threads);
    seed_draws(7);
    test->make(&p, wanted);
    p.back(&p);
    *n = 0;
    for (size_t i = 0; i < p.n_variables; i++)
        *n += p.variables[i].n;
    all = make(*n, bytes_of(dtype));
    *n = 0;
    for (size_t i = 0; i < p.n_variables; i++) {
        memcpy(all + *n * bytes_of(dtype), p.variables[i].dx,
               p.variables[i].n * bytes_of(dtype));
        *n += p.variables[i].n;
    }
    test->end(&p);
    close_device();
    return all;
}

static void check_types(const struct gradient_test *test, const void *wanted)
{
    size_t n;
    void *narrow = take_gradients(test, wanted, GQA_F32, 2, &n);
    void *wide = take_gradients(test, wanted, GQA_F64, 2, &n);

    real = GQA_F32;
    check_within(1e-5, narrow, wide, n, "gradients");
    free(narrow);
    free(wide);
}

static void check_threads(const struct gradient_test *test, const void *wanted)
{
    for (int type = 0; type < 2; type++) {
        size_t n;
        void *alone = take_gradients(test, wanted, reals[type], 1, &n);

        for (unsigned n_threads = 2; n_threads <= 3; n_threads++) {
            void *together =
                take_gradients(test, wanted, reals[type], n_threads, &n);

            ck_assert_mem_eq(together, alone, n * bytes_of(reals[type]));
            free(together);
        }
        free(alone);
    }
}

static double error_now(const struct gradient_test *test, const void *wanted,
                        const char **which)
{
    struct problem p = {.n_variables = 0};
    double error;

    open_device(GQA_F64, 2);
    seed_draws(7);
    test->make(&p, wanted);
    p.back(&p);
    error = worst_error(&p, which);
    test->end(&p);
    close_device();
    return error;
}

void check_gradients(const struct gradient_test *test, const void *wanted)
{
    const char *which = "";
    double error;

    mend_ops();
    error = error_now(test, wanted, &which);
    ck_assert_msg(error <= 1e-9, "%s: %g of differences", which, error);
    check_types(test, wanted);
    check_threads(test, wanted);
}

void check_caught(const struct gradient_test *test, const void *wanted,
                  const char *how)
{
    const char *which = "";

    ck_assert_msg(!(error_now(test, wanted, &which) <= 1e-6),
                  "%s is not caught", how);
    mend_ops();
}
