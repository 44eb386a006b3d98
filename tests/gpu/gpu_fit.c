/*
 * Least squares from moments: what is solved is put back into the equations,
 * and losses are those of the rows that the moments are of.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

struct problem {
    uint64_t n_rows, n, m;
    struct array inputs, products, began, out;
    double *x, *y;
};

static double *random_values(size_t n)
{
    struct array a = array_random(n, GQA_F64);
    double *values = must_allocate(n, sizeof *values);

    memcpy(values, a.host, n * sizeof *values);
    array_free(&a);
    return values;
}

static struct array moments(const double *x, uint64_t n, const double *y,
                            uint64_t m, uint64_t n_rows)
{
    struct array out = array_nan(n * m, GQA_F64);

    memset(out.host, 0, n * m * sizeof *out.host);
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t j = 0; j < m; j++)
                out.host[i * m + j] += x[r * n + i] * y[r * m + j];
    array_send(&out);
    return out;
}

static struct problem problem_of(uint64_t n_rows, uint64_t n, uint64_t m)
{
    struct problem p = {.n_rows = n_rows, .n = n, .m = m};

    p.x = random_values(n_rows * n);
    p.y = random_values(n_rows * m);
    p.inputs = moments(p.x, n, p.x, n, n_rows);
    p.products = moments(p.x, n, p.y, m, n_rows);
    p.began = array_random(n * m, GQA_F64);
    p.out = array_nan(n * m, GQA_F64);
    return p;
}

static void free_problem(struct problem *p)
{
    free(p->x);
    free(p->y);
    array_free(&p->inputs);
    array_free(&p->products);
    array_free(&p->began);
    array_free(&p->out);
}

static double *of_device(const struct array *array)
{
    void *values = array->device;

    return values;
}

static enum gqa_status solve(const struct problem *p, double ridge)
{
    return gpu.backend->fit_ridge(gpu.device, of_device(&p->out),
                                  of_device(&p->began), of_device(&p->inputs),
                                  of_device(&p->products), p->n, p->m, ridge);
}

/* (X^T X + extra I) out against X^T Y + extra began. */
static void check_ridge(const struct problem *p, double ridge)
{
    const uint64_t n = p->n, m = p->m;
    double *left = must_allocate(n * m, sizeof *left);
    double *right = must_allocate(n * m, sizeof *right);
    double *out, *again, extra = 0;

    for (uint64_t i = 0; i < n; i++)
        extra += ridge * p->inputs.host[i * n + i] / (double)n;
    gpu_must(solve(p, ridge), "fit_ridge");
    out = array_read(&p->out, n * m);
    gpu_must(solve(p, ridge), "fit_ridge");
    again = array_read(&p->out, n * m);
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < m; j++) {
            double sum = extra * out[i * m + j];

            for (uint64_t k = 0; k < n; k++)
                sum += p->inputs.host[i * n + k] * out[k * m + j];
            left[i * m + j] = sum;
            right[i * m + j] =
                p->products.host[i * m + j] + extra * p->began.host[i * m + j];
        }
    check_values(left, right, n * m, 1e-12, "fit of %llu to %llu, ridge %g",
                 (unsigned long long)n, (unsigned long long)m, ridge);
    check_true(memcmp(out, again, n * m * sizeof *out) == 0,
               "fit of %llu to %llu, twice: other bits", (unsigned long long)n,
               (unsigned long long)m);
    free(left);
    free(right);
    free(out);
    free(again);
}

static void check_loss(const struct problem *p)
{
    const double *w = p->began.host;
    double want = 0, got = (double)NAN;

    for (uint64_t r = 0; r < p->n_rows; r++)
        for (uint64_t j = 0; j < p->m; j++) {
            const double y = p->y[r * p->m + j];
            double e = -y;

            for (uint64_t i = 0; i < p->n; i++)
                e += p->x[r * p->n + i] * w[i * p->m + j];
            want += e * e - y * y;
        }
    gpu_must(gpu.backend->fit_loss(gpu.device, &got, of_device(&p->began),
                                   of_device(&p->inputs),
                                   of_device(&p->products), p->n, p->m),
             "fit_loss");
    check_values(&got, &want, 1, 1e-11, "loss of %llu to %llu",
                 (unsigned long long)p->n, (unsigned long long)p->m);
}

static void check_fit(uint64_t n_rows, uint64_t n, uint64_t m)
{
    struct problem p = problem_of(n_rows, n, m);

    check_ridge(&p, 1e-3);
    check_ridge(&p, 1);
    check_loss(&p);
    /* Nothing is positive about it. */
    for (uint64_t i = 0; i < n; i++)
        p.inputs.host[i * n + i] = -1;
    array_send(&p.inputs);
    check_true(solve(&p, 1e-3) == GQA_ERR_FORMAT,
               "fit of %llu to %llu: solved, though not positive",
               (unsigned long long)n, (unsigned long long)m);
    free_problem(&p);
}

static void tests(void)
{
    /* All is float64, whatever real is. */
    if (gpu.real != GQA_F32)
        return;
    check_fit(3, 1, 1);
    check_fit(40, 7, 33);
    check_fit(300, 70, 5);
    if (!gpu.small)
        check_fit(700, 300, 257);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
