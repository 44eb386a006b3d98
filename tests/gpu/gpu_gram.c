/* Moments and transposed products against sums in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

/* Normal numbers around 1/2, so that errors of sums do not cancel. */
static struct array around_half(size_t n)
{
    struct array x = array_random(n, gpu.real);

    for (size_t i = 0; i < n; i++)
        x.host[i] += 0.5;
    array_send(&x);
    return x;
}

static double *moments(const double *x, uint64_t x_width, const double *y,
                       uint64_t y_width, uint64_t n_rows)
{
    double *out = must_allocate(x_width * y_width, sizeof *out);

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < x_width; i++)
            for (uint64_t j = 0; j < y_width; j++)
                out[i * y_width + j] += x[r * x_width + i] * y[r * y_width + j];
    return out;
}

/* Largest error, relative to the norms of the two columns. */
static double error_of(const double *got, const double *want, const double *xx,
                       const double *yy, uint64_t x_width, uint64_t y_width)
{
    double most = 0;

    for (uint64_t i = 0; i < x_width; i++)
        for (uint64_t j = 0; j < y_width; j++) {
            const double error =
                fabs(got[i * y_width + j] - want[i * y_width + j]) /
                sqrt(xx[i] * yy[j]);

            /* A NaN is the largest. */
            if (!(error <= most))
                most = error;
        }
    return most;
}

static double *squares(const double *x, uint64_t width, uint64_t n_rows)
{
    double *out = must_allocate(width, sizeof *out);

    for (uint64_t i = 0; i < n_rows * width; i++)
        out[i % width] += x[i] * x[i];
    return out;
}

/* In two calls, of a third of the rows and of the rest; y_width 0: of x with
 * itself. The values there were are those of an earlier call: 0. */
static double *run(const struct array *x, uint64_t x_width,
                   const struct array *y, uint64_t y_width, uint64_t n_rows)
{
    const uint64_t n_cols = y_width ? y_width : x_width;
    const size_t size = gqa_dtype_bits(gpu.real) / 8;
    const uint64_t first = n_rows / 3;
    struct array out = array_nan(x_width * n_cols, GQA_F64);
    double *got;

    memset(out.host, 0, out.n * sizeof *out.host);
    array_send(&out);
    for (int call = 0; call < 2; call++) {
        const uint64_t row = call ? first : 0;

        gpu_must(gpu.backend->gram(gpu.device, out.device,
                                   x->device + row * x_width * size, x_width,
                                   y ? y->device + row * y_width * size : NULL,
                                   y_width, call ? n_rows - first : first),
                 "gram");
    }
    got = array_read(&out, out.n);
    array_free(&out);
    return got;
}

static void check_gram(uint64_t n_rows, uint64_t x_width, uint64_t y_width)
{
    /* Sums of a slab are float32 for 16-bit factors; the tensor cores cut
     * off digits rather than round them. */
    const double tolerance = gpu.real == GQA_F32 ? 1e-12 : 1e-5;
    const uint64_t n_cols = y_width ? y_width : x_width;
    struct array x = around_half(n_rows * x_width);
    struct array y = around_half(n_rows * n_cols);
    const double *y_host = y_width ? y.host : x.host;
    double *want = moments(x.host, x_width, y_host, n_cols, n_rows);
    double *xx = squares(x.host, x_width, n_rows);
    double *yy = squares(y_host, n_cols, n_rows);
    double *got = run(&x, x_width, y_width ? &y : NULL, y_width, n_rows);
    double *again = run(&x, x_width, y_width ? &y : NULL, y_width, n_rows);
    const double error = error_of(got, want, xx, yy, x_width, n_cols);
    bool symmetric = true;

    check_true(error <= tolerance,
               "moments of %llu rows, %llu x %llu: error %.2e",
               (unsigned long long)n_rows, (unsigned long long)x_width,
               (unsigned long long)n_cols, error);
    check_true(memcmp(got, again, x_width * n_cols * sizeof *got) == 0,
               "moments of %llu rows, %llu x %llu, twice: other bits",
               (unsigned long long)n_rows, (unsigned long long)x_width,
               (unsigned long long)n_cols);
    for (uint64_t i = 0; i < x_width && !y_width; i++)
        for (uint64_t j = 0; j < i; j++)
            symmetric =
                symmetric && got[i * x_width + j] == got[j * x_width + i];
    check_true(symmetric, "moments of %llu rows, %llu wide: not symmetric",
               (unsigned long long)n_rows, (unsigned long long)x_width);
    free(want);
    free(xx);
    free(yy);
    free(got);
    free(again);
    array_free(&x);
    array_free(&y);
}

/* Wider than a panel: a few of the moments. */
static void check_wide(void)
{
    enum { WIDTH = 8192, ROWS = 1500 };
    const double tolerance = gpu.real == GQA_F32 ? 1e-12 : 1e-5;
    struct array x = around_half((size_t)ROWS * WIDTH);
    double *got = run(&x, WIDTH, NULL, 0, ROWS);
    double *xx = squares(x.host, WIDTH, ROWS);

    for (int n = 0; n < 2000; n++) {
        const uint64_t i = random_below(WIDTH), j = random_below(WIDTH);
        double want = 0, error;

        for (uint64_t r = 0; r < ROWS; r++)
            want += x.host[r * WIDTH + i] * x.host[r * WIDTH + j];
        error = fabs(got[i * WIDTH + j] - want) / sqrt(xx[i] * xx[j]);
        check_true(error <= tolerance, "moment %llu, %llu of %d: error %.2e",
                   (unsigned long long)i, (unsigned long long)j, WIDTH, error);
        check_true(got[i * WIDTH + j] == got[j * WIDTH + i],
                   "moment %llu, %llu of %d: not symmetric",
                   (unsigned long long)i, (unsigned long long)j, WIDTH);
    }
    free(got);
    free(xx);
    array_free(&x);
}

static void check_transposed(uint64_t n_rows, uint64_t n_in, uint64_t n_out,
                             enum gqa_dtype dtype, bool input_major,
                             bool accumulate)
{
    const size_t n = n_rows * n_in;
    struct array x = array_random(n_rows * n_out, gpu.real);
    struct array w = array_random(n_in * n_out, dtype);
    struct array out =
        accumulate ? array_random(n, gpu.real) : array_nan(n, gpu.real);
    double *want = must_allocate(n, sizeof *want);
    struct gqa_weight weight;

    /* Wider weights round to bfloat16 and float16. */
    if (gpu.real != GQA_F32)
        round_to(w.host, w.n, gpu.real);
    weight = array_weight(&w, input_major ? n_in : n_out,
                          input_major ? n_out : n_in);
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < n_in; i++) {
            double sum = accumulate ? out.host[r * n_in + i] : 0;

            for (uint64_t o = 0; o < n_out; o++)
                sum += x.host[r * n_out + o] *
                       w.host[input_major ? i * n_out + o : o * n_in + i];
            want[r * n_in + i] = sum;
        }
    gpu_must(gqa_linear_transposed(gpu.backend, gpu.device, out.device,
                                   x.device, n_rows, &weight, input_major,
                                   accumulate),
             "linear");
    check_array(&out, want, n, rounding() * (dtype != gpu.real ? 3 : 1),
                "transposed %llu x %llu x %llu, weight %s%s%s",
                (unsigned long long)n_rows, (unsigned long long)n_in,
                (unsigned long long)n_out, gqa_dtype_name(dtype),
                input_major ? ", input-major" : "",
                accumulate ? ", added" : "");
    free(want);
    array_free(&x);
    array_free(&w);
    array_free(&out);
}

static void tests(void)
{
    static const uint64_t shapes[][3] = {
        {1, 1, 0},    {5, 33, 0},  {1030, 129, 0},  {2100, 320, 0},
        {3, 200, 70}, {9, 7, 130}, {1030, 136, 264}};
    static const enum gqa_dtype dtypes[] = {GQA_F32, GQA_BF16, GQA_F16,
                                            GQA_F64};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!gpu.small || shapes[i][0] < 10)
            check_gram(shapes[i][0], shapes[i][1], shapes[i][2]);
    if (!gpu.small)
        check_wide();
    for (unsigned variant = 0; variant < 16; variant++) {
        const enum gqa_dtype dtype = dtypes[variant % 4];

        check_transposed(3, 72, 136, dtype, variant & 4, variant & 8);
        check_transposed(70, 33, 200, dtype, variant & 4, variant & 8);
    }
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
