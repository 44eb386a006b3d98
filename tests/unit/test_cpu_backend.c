/*
 * The CPU backend's operations against the same in plain double, written
 * from the contract (runtime/backend.h). Inputs are rounded to what the
 * backend is given, so that float32 is within rounding of its own
 * arithmetic, and float64 within that of the order of sums.
 */
#include <check.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_device.h"
#include "suite.h"

/* --- Products ------------------------------------------------------------- */

struct product_case {
    size_t rows, inputs, outputs;
    bool input_major, bias, accumulate, unembed;
};

static void check_product(const struct product_case *c, enum gqa_dtype dtype)
{
    const size_t n = c->rows * c->outputs;
    const double factor = c->unembed ? 0.3 : 1;
    double *x, *w, *b, *want;
    void *device_x = drawn(&x, c->rows * c->inputs, real);
    void *device_w = drawn(&w, c->inputs * c->outputs, dtype);
    void *device_b = drawn(&b, c->outputs, dtype);
    void *out = drawn(&want, n, real);
    const struct gqa_weight weight = {
        .data = device_w,
        .dtype = dtype,
        .rows = c->input_major ? c->inputs : c->outputs,
        .cols = c->input_major ? c->outputs : c->inputs};
    const struct gqa_weight bias = {device_b, dtype, c->outputs, 1};
    void *before = NULL, *apart = poisoned(n);

    if (c->accumulate) {
        before = make(n, sizeof(double));
        memcpy(before, out, n * gqa_dtype_bits(real) / 8);
    } else {
        free(out);
        out = poisoned(n);
        memset(want, 0, n * sizeof *want);
    }
    for (size_t r = 0; r < c->rows; r++)
        for (size_t o = 0; o < c->outputs; o++) {
            double sum = 0;

            for (size_t i = 0; i < c->inputs; i++)
                sum +=
                    x[r * c->inputs + i] *
                    w[c->input_major ? i * c->outputs + o : o * c->inputs + i];
            want[r * c->outputs + o] += factor * sum + (c->bias ? b[o] : 0);
        }
    if (before)
        ck_assert_int_eq(backend->linear(device, apart, device_x, c->rows,
                                         &weight, c->input_major,
                                         c->bias ? &bias : NULL, before),
                         GQA_OK);
    ck_assert_int_eq(
        c->unembed
            ? backend->unembed(device, out, device_x, c->rows, &weight,
                               c->input_major, c->bias ? &bias : NULL, factor)
            : backend->linear(device, out, device_x, c->rows, &weight,
                              c->input_major, c->bias ? &bias : NULL,
                              c->accumulate ? out : NULL),
        GQA_OK);
    check_close(out, want, n, "product");
    if (before)
        check_close(apart, want, n, "product added to what is elsewhere");
    free(before);
    free(apart);
    free(x);
    free(w);
    free(b);
    free(want);
    free(device_x);
    free(device_w);
    free(device_b);
    free(out);
}

static const struct product_case products[] = {
    {1, 1, 1, false, false, false, false},
    {1, 33, 70, false, true, false, false},
    {1, 1100, 515, false, true, true, false},
    {1, 70, 515, true, false, true, false},
    {2, 1100, 70, true, true, false, false},
    {4, 1100, 70, false, false, false, false},
    {3, 1100, 70, false, true, true, false},
    {17, 65, 515, true, true, true, false},
    {300, 40, 300, false, false, true, false},
    {530, 20, 40, true, true, false, false},
    {1, 40, 301, false, false, false, true},
    {5, 33, 67, true, false, false, true},
    {1030, 9, 33, false, true, false, true},
};

START_TEST(multiplies_by_weights_of_each_dtype)
{
    open_device(reals[_i], 2);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        for (size_t d = 0; d < 4; d++)
            check_product(&products[i], dtypes[d]);
    close_device();
}
END_TEST

/* out (+)= x W: of a sum's slope by its outputs, that by its inputs. */
static void check_transposed(size_t rows, size_t inputs, size_t outputs,
                             bool input_major, bool accumulate,
                             enum gqa_dtype dtype)
{
    const size_t n = rows * inputs;
    double *x, *w, *want;
    void *device_x = drawn(&x, rows * outputs, real);
    void *device_w = drawn(&w, inputs * outputs, dtype);
    void *out = drawn(&want, n, real);
    const struct gqa_weight weight = {device_w, dtype,
                                      input_major ? inputs : outputs,
                                      input_major ? outputs : inputs};

    if (!accumulate) {
        free(out);
        out = poisoned(n);
        memset(want, 0, n * sizeof *want);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < outputs; o++)
            for (size_t i = 0; i < inputs; i++)
                want[r * inputs + i] +=
                    x[r * outputs + o] *
                    w[input_major ? i * outputs + o : o * inputs + i];
    ck_assert_int_eq(gqa_linear_transposed(backend, device, out, device_x, rows,
                                           &weight, input_major, accumulate),
                     GQA_OK);
    check_close(out, want, n, "transposed product");
    free(x);
    free(w);
    free(want);
    free(device_x);
    free(device_w);
    free(out);
}

START_TEST(multiplies_by_transposed_weights)
{
    open_device(reals[_i], 2);
    for (size_t d = 0; d < 4; d++)
        for (int variant = 0; variant < 4; variant++) {
            check_transposed(1, 300, 70, variant & 1, variant & 2, dtypes[d]);
            check_transposed(19, 33, 1100, variant & 1, variant & 2, dtypes[d]);
        }
    close_device();
}
END_TEST

/* --- Moments -------------------------------------------------------------- */

/*
 * Two calls, of 2/3 of the rows and of the rest; y_width 0: of x with itself.
 * Values lie around 1/2, so that errors of sums do not cancel. Rows behind
 * them are NaN. The caller frees the result.
 */
static double *check_gram(size_t rows, size_t x_width, size_t y_width)
{
    const size_t n_cols = y_width ? y_width : x_width;
    const size_t first = rows * 2 / 3;
    const size_t size = bytes_of(real);
    double *x, *y, *out = make(x_width * n_cols, sizeof *out);
    char *device_x, *device_y;

    free(drawn(&x, (rows + 1) * x_width, real));
    free(drawn(&y, (rows + 1) * n_cols, real));
    for (size_t i = 0; i < (rows + 1) * x_width; i++)
        x[i] = i < rows * x_width ? x[i] + 0.5 : (double)NAN;
    for (size_t i = 0; i < (rows + 1) * n_cols; i++)
        y[i] = i < rows * n_cols ? y[i] + 0.5 : (double)NAN;
    device_x = rounded(x, (rows + 1) * x_width, real);
    device_y = rounded(y, (rows + 1) * n_cols, real);
    if (!y_width)
        memcpy(y, x, rows * x_width * sizeof *y);
    for (size_t i = 0; i < x_width; i++)
        for (size_t j = 0; j < n_cols; j++)
            out[i * n_cols + j] = 0.25; /* what was there before */
    for (size_t call = 0; call < 2; call++) {
        const size_t row = call ? first : 0;

        ck_assert_int_eq(
            backend->gram(device, out, device_x + row * x_width * size, x_width,
                          y_width ? device_y + row * n_cols * size : NULL,
                          y_width, call ? rows - first : first),
            GQA_OK);
    }
    for (size_t i = 0; i < x_width; i++)
        for (size_t j = 0; j < n_cols; j++) {
            double sum = 0.25, xx = 0, yy = 0;

            for (size_t r = 0; r < rows; r++) {
                const double a = x[r * x_width + i];
                const double b = y[r * n_cols + j];

                sum += a * b;
                xx += a * a;
                yy += b * b;
            }
            ck_assert_double_le(fabs(out[i * n_cols + j] - sum),
                                1e-13 * (sqrt(xx * yy) + 0.25));
            if (!y_width)
                ck_assert(out[i * n_cols + j] == out[j * n_cols + i]);
        }
    free(x);
    free(y);
    free(device_x);
    free(device_y);
    return out;
}

START_TEST(sums_moments_in_float64)
{
    static const size_t shapes[][3] = {
        {1, 1, 0},    {5, 33, 0},   {1200, 129, 0}, {600, 300, 0},
        {3, 200, 70}, {700, 7, 70}, {520, 130, 257}};

    open_device(reals[_i], 2);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        free(check_gram(shapes[i][0], shapes[i][1], shapes[i][2]));
    close_device();
}
END_TEST

/* --- Rows ----------------------------------------------------------------- */

/* Three sequences: whole, padded, and all padding. */
enum { N_SEQUENCES = 3, N_NEW = 5, N_ROWS = N_SEQUENCES * N_NEW, VOCAB = 11 };
static const uint64_t some_tokens[N_SEQUENCES] = {5, 2, 0};
static const uint64_t some_starts[N_SEQUENCES] = {0, 4, 3};

static bool is_real(size_t row)
{
    return row % N_NEW < some_tokens[row / N_NEW];
}

static size_t position_of(size_t row)
{
    return is_real(row) ? some_starts[row / N_NEW] + row % N_NEW : 0;
}

static void set_some_batch(int32_t *tokens)
{
    const struct gqa_batch batch = {.n_sequences = N_SEQUENCES,
                                    .n_new = N_NEW,
                                    .tokens = tokens,
                                    .n_tokens = some_tokens,
                                    .starts = some_starts};

    for (int i = 0; i < N_ROWS; i++)
        tokens[i] = (i * 7 + 3) % VOCAB;
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
}

START_TEST(embeds_tokens_and_positions)
{
    enum { WIDTH = 301, POSITIONS = 6 };
    int32_t tokens[N_ROWS];

    open_device(reals[_i], 2);
    set_some_batch(tokens);
    /* A table, positions too, those alone, and a position that is all rows'. */
    for (size_t d = 0; d < 16; d++) {
        const bool looked_up = d / 4 % 4 != 2, placed = d / 4 % 4 > 0;
        const bool one_place = d / 4 % 4 == 3;
        double *t, *p, *want = make(N_ROWS * WIDTH, sizeof *want);
        void *table = drawn(&t, VOCAB * WIDTH, dtypes[d % 4]);
        void *places = drawn(&p, POSITIONS * WIDTH, dtypes[d % 4]);
        void *out = poisoned(N_ROWS * WIDTH);
        const struct gqa_weight weight = {table, dtypes[d % 4], VOCAB, WIDTH};
        const struct gqa_weight positions = {places, dtypes[d % 4],
                                             one_place ? 1 : POSITIONS, WIDTH};

        for (size_t r = 0; r < N_ROWS; r++)
            for (size_t i = 0; i < WIDTH; i++)
                want[r * WIDTH + i] =
                    (looked_up ? t[(size_t)tokens[r] * WIDTH + i] : 0) +
                    (placed ? p[(one_place ? 0 : position_of(r)) * WIDTH + i]
                            : 0);
        ck_assert_int_eq(backend->embed(device, out, looked_up ? &weight : NULL,
                                        1, placed ? &positions : NULL),
                         GQA_OK);
        check_close(out, want, N_ROWS * WIDTH, "embedding");
        free(t);
        free(p);
        free(want);
        free(table);
        free(places);
        free(out);
    }
    close_device();
}
END_TEST

/* Every F16 and BF16 there is, as float32 and float64. */
START_TEST(reads_every_small_float_exactly)
{
    enum { ALL = 65536 };
    const enum gqa_dtype dtype = dtypes[_i % 2];
    uint16_t *bits = make(ALL, sizeof *bits);
    double *want = make(ALL, sizeof *want), *got = make(ALL, sizeof *got);
    const struct gqa_weight table = {bits, dtype, 1, ALL};
    const int32_t token = 0;
    const uint64_t one = 1, zero = 0;
    void *out;

    open_device(reals[_i / 2], 1);
    for (unsigned i = 0; i < ALL; i++)
        bits[i] = (uint16_t)i;
    gqa_load_f64(want, bits, dtype, ALL);
    out = make(ALL, bytes_of(real));
    ck_assert_int_eq(
        backend->set_batch(device,
                           &(struct gqa_batch){1, 1, &token, &one, &zero}),
        GQA_OK);
    ck_assert_int_eq(backend->embed(device, out, &table, 1, NULL), GQA_OK);
    gqa_load_f64(got, out, real, ALL);
    for (unsigned i = 0; i < ALL; i++)
        ck_assert_msg(isnan(want[i]) ? isnan(got[i]) : got[i] == want[i],
                      "%s %04x: %g, not %g", gqa_dtype_name(dtype), i, got[i],
                      want[i]);
    close_device();
    free(bits);
    free(want);
    free(got);
    free(out);
}
END_TEST

/* Heads in two blocks with a gap, as where Q, K and V lie head by head. */
static const struct gqa_head_place place = {
    .n_heads = 4, .base = 2, .per_block = 2, .block_stride = 25};
enum { WIDTH = 60, HEAD_DIM = 7 };

static size_t head_at(size_t h)
{
    return 2 + h / 2 * 25 + h % 2 * HEAD_DIM;
}

START_TEST(rotates_heads_by_position)
{
    enum { POSITIONS = 6 };
    int32_t tokens[N_ROWS];

    open_device(reals[_i], 2);
    set_some_batch(tokens);
    for (size_t pairs = 1; pairs <= 3; pairs++)
        for (int interleaved = 0; interleaved < 2; interleaved++) {
            double *want, *cs;
            void *x = drawn(&want, N_ROWS * WIDTH, real);
            void *cos_sin = drawn(&cs, POSITIONS * pairs * 2, real);

            for (size_t r = 0; r < N_ROWS; r++)
                for (size_t h = 0; h < 4; h++)
                    for (size_t j = 0; j < pairs; j++) {
                        double *v = want + r * WIDTH + head_at(h);
                        double *a = v + (interleaved ? 2 * j : j);
                        double *b = v + (interleaved ? 2 * j + 1 : j + pairs);
                        const double *t = cs + (position_of(r) * pairs + j) * 2;
                        const double old = *a;

                        *a = old * t[0] - *b * t[1];
                        *b = *b * t[0] + old * t[1];
                    }
            ck_assert_int_eq(backend->rotate(device, x, WIDTH, &place, HEAD_DIM,
                                             pairs, interleaved, cos_sin),
                             GQA_OK);
            check_close(x, want, N_ROWS * WIDTH, "rotation");
            free(want);
            free(cs);
            free(x);
            free(cos_sin);
        }
    close_device();
}
END_TEST

START_TEST(stores_real_tokens_only)
{
    enum { CAPACITY = 8, CACHE = N_SEQUENCES * 4 * CAPACITY * HEAD_DIM };
    int32_t tokens[N_ROWS];
    double *x, *want, *got = make(CACHE, sizeof *got);
    void *device_x, *cache;

    open_device(reals[_i], 2);
    set_some_batch(tokens);
    device_x = drawn(&x, N_ROWS * WIDTH, real);
    cache = drawn(&want, CACHE, real);
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t h = 0; h < 4 && is_real(r); h++)
            memcpy(want + ((r / N_NEW * 4 + h) * CAPACITY + position_of(r)) *
                              HEAD_DIM,
                   x + r * WIDTH + head_at(h), HEAD_DIM * sizeof *x);
    ck_assert_int_eq(backend->store(device, cache, CAPACITY, device_x, WIDTH,
                                    &place, HEAD_DIM),
                     GQA_OK);
    gqa_load_f64(got, cache, real, CACHE);
    ck_assert_mem_eq(got, want, CACHE * sizeof *got);
    close_device();
    free(x);
    free(want);
    free(got);
    free(device_x);
    free(cache);
}
END_TEST

/* Rows of x to other rows of what there is, each times something. */
START_TEST(adds_rows)
{
    enum { COLS = 3, ROWS = 3, ALL = 5 };
    const uint64_t rows[ROWS] = {4, 0, 2};
    const double weights[ROWS] = {0.5, -2, 0.25};

    open_device(reals[_i], 2);
    for (int plain = 0; plain < 2; plain++) {
        double *x, *was, want[ALL * COLS];
        void *device_x = drawn(&x, ROWS * COLS, real);
        void *out = drawn(&was, ALL * COLS, real);

        memcpy(want, was, sizeof want);
        for (size_t i = 0; i < ROWS * COLS; i++)
            want[(plain ? i / COLS : rows[i / COLS]) * COLS + i % COLS] +=
                1.5 * (plain ? 1 : weights[i / COLS]) * x[i];
        ck_assert_int_eq(backend->add_rows(device, out, device_x, COLS,
                                           plain ? NULL : rows,
                                           plain ? NULL : weights, 1.5, ROWS),
                         GQA_OK);
        check_close(out, want, ALL * COLS, "added rows");
        free(x);
        free(was);
        free(device_x);
        free(out);
    }
    close_device();
}
END_TEST

START_TEST(gathers_rows)
{
    enum { COLS = 3, ROWS = 4 };
    const uint64_t rows[ROWS] = {6, 0, 6, 2};
    double *x, got[ROWS * COLS];
    void *device_x, *out;

    open_device(reals[_i], 2);
    device_x = drawn(&x, 7 * COLS, real);
    out = poisoned(ROWS * COLS);
    ck_assert_int_eq(backend->gather(device, out, device_x, COLS, rows, ROWS),
                     GQA_OK);
    gqa_load_f64(got, out, real, ROWS * COLS);
    for (size_t i = 0; i < ROWS * COLS; i++)
        ck_assert_double_eq(got[i], x[rows[i / COLS] * COLS + i % COLS]);
    close_device();
    free(x);
    free(device_x);
    free(out);
}
END_TEST

/* --- Element by element --------------------------------------------------- */

START_TEST(clips)
{
    enum { N = 5 };
    const double x[N] = {-3, -0.5, 0.25, 7, NAN};
    const double expected[N - 1] = {-0.5, -0.5, 0.25, 0.5};
    double got[N];
    void *device_x;

    open_device(reals[_i], 2);
    device_x = poisoned(N);
    gqa_store_f64(device_x, real, x, N);
    ck_assert_int_eq(backend->clip(device, device_x, N, 0.5), GQA_OK);
    gqa_load_f64(got, device_x, real, N);
    for (size_t i = 0; i < N - 1; i++)
        ck_assert_double_eq(got[i], expected[i]);
    ck_assert(isnan(got[N - 1]));
    close_device();
    free(device_x);
}
END_TEST

/* 2 x^2 + x / 2 above 0; below it 3 (e^x - 1 - x) + x / 2, with e^eps for what
 * is nearer to 0 than eps is. */
START_TEST(computes_xielu)
{
    enum { N = 5 };
    const struct gqa_xielu c = {2, 3, 0.5, -0.25};
    const double x[N] = {3, 0, -1, -0.125, 0.5};
    const double expected[N] = {19.5, 3 * expm1(-0.25),
                                3 * (expm1(-1) + 1) - 0.5,
                                3 * (expm1(-0.25) + 0.125) - 0.0625, 0.75};
    double got[N];
    void *device_x;

    open_device(reals[_i], 2);
    device_x = poisoned(N);
    gqa_store_f64(device_x, real, x, N);
    ck_assert_int_eq(backend->xielu(device, device_x, N, &c), GQA_OK);
    gqa_load_f64(got, device_x, real, N);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol(got[i], expected[i],
                                real == GQA_F64 ? 1e-15 : 1e-6);
    close_device();
    free(device_x);
}
END_TEST

/* --- Activations ---------------------------------------------------------- */

static double activated(double x, enum gqa_activation activation)
{
    switch (activation) {
    case GQA_ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case GQA_ACTIVATION_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case GQA_ACTIVATION_GELU_TANH:
        return x /
               (1 + exp(-2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case GQA_ACTIVATION_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case GQA_ACTIVATION_RELU2:
        return x > 0 ? x * x : 0;
    case GQA_ACTIVATION_GELU_BLOOM:
        return 0.5 * x * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)));
    default:
        return x / (1 + exp(-x));
    }
}

/* As a whole, and each value for itself: against its own size, or against
 * x where the result is what two large numbers leave. */
/* Three rows, of which the second is weighed by zeros. */
START_TEST(weighs_rows)
{
    enum { N = 3, COLS = 5, BY = 21 };
    double *x, *less, *by, *bias, want[N * COLS] = {0};
    void *raw_x, *raw_less, *raw_by, *raw_bias, *out;

    open_device(reals[_i], 2);
    raw_x = drawn(&x, N * COLS, real);
    raw_less = drawn(&less, N * COLS, real);
    raw_bias = drawn(&bias, COLS, GQA_BF16);
    free(drawn(&by, N * BY, real));
    for (size_t i = BY; i < 2 * BY; i++)
        by[i] = 0;
    raw_by = rounded(by, N * BY, real);
    out = poisoned(N * COLS);
    for (int terms = 0; terms < 3; terms++) {
        const struct gqa_weight weight = {raw_bias, GQA_BF16, 1, COLS};

        for (size_t r = 0; r < N; r++) {
            double square = 0;

            for (size_t i = 0; i < BY; i++)
                square += by[r * BY + i] * by[r * BY + i];
            for (size_t i = r * COLS; i < (r + 1) * COLS && r != 1; i++)
                want[i] = (x[i] - (terms > 0 ? less[i] : 0) -
                           (terms > 1 ? bias[i % COLS] : 0)) /
                          sqrt(square / BY);
        }
        ck_assert_int_eq(backend->weigh_rows(
                             device, out, raw_x, terms > 0 ? raw_less : NULL,
                             terms > 1 ? &weight : NULL, COLS, raw_by, BY, N),
                         GQA_OK);
        check_close(out, want, N * COLS, "weighed rows");
    }
    free(out);
    free(raw_x);
    free(raw_less);
    free(raw_by);
    free(raw_bias);
    free(x);
    free(less);
    free(by);
    free(bias);
    close_device();
}
END_TEST

START_TEST(activates)
{
    enum { N = 40001 };

    open_device(reals[_i], 2);
    for (int kind = GQA_ACTIVATION_RELU; kind <= GQA_ACTIVATION_GELU_BLOOM;
         kind++)
        for (int gated = 0; gated < 2; gated++) {
            const enum gqa_activation activation = (enum gqa_activation)kind;
            const double limit = real == GQA_F32 ? 5 * 0x1p-23 : 1e-14;
            double *x = make(N, sizeof *x), *got = make(N, sizeof *got), *up;
            double *want = make(N, sizeof *want);
            void *device_x, *device_up = drawn(&up, N, real);

            for (size_t i = 0; i < N; i++)
                x[i] = ((double)i - (N - 1) / 2) / 200;
            device_x = rounded(x, N, real);
            for (size_t i = 0; i < N; i++)
                want[i] = activated(x[i], activation) * (gated ? up[i] : 1);
            ck_assert_int_eq(backend->activate(device, device_x, device_x,
                                               gated ? device_up : NULL, N,
                                               activation),
                             GQA_OK);
            check_close(device_x, want, N, "activation");
            gqa_load_f64(got, device_x, real, N);
            for (size_t i = 0; i < N; i++)
                ck_assert_msg(fabs(got[i] - want[i]) <=
                                  limit * fmax(fabs(want[i]), fabs(x[i]) / 16),
                              "activation %d of %g: %g, not %g", kind, x[i],
                              got[i], want[i]);
            free(x);
            free(got);
            free(up);
            free(want);
            free(device_x);
            free(device_up);
        }
    close_device();
}
END_TEST

/* silu(x) / x is exp(x), nearly, far below 0: the exponential's own error. */
START_TEST(exponential_is_good_to_its_last_bits)
{
    enum { N = 200000 };
    double *x = make(N, sizeof *x), *got = make(N, sizeof *got);
    double worst = 0;
    void *device_x;

    open_device(GQA_F32, 1);
    for (size_t i = 0; i < N; i++)
        x[i] = -84.0 * (double)(i + 1) / N;
    device_x = rounded(x, N, real);
    ck_assert_int_eq(backend->activate(device, device_x, device_x, NULL, N,
                                       GQA_ACTIVATION_SILU),
                     GQA_OK);
    gqa_load_f64(got, device_x, real, N);
    for (size_t i = 0; i < N; i++)
        worst = fmax(worst,
                     fabs(got[i] / activated(x[i], GQA_ACTIVATION_SILU) - 1));
    /* 1 + exp and the division: a unit in the last place each. */
    ck_assert_double_le(worst, 4 * 0x1p-23);
    close_device();
    free(x);
    free(got);
    free(device_x);
}
END_TEST

START_TEST(nan_stays_nan)
{
    open_device(reals[_i], 1);
    for (int kind = GQA_ACTIVATION_RELU; kind <= GQA_ACTIVATION_GELU_BLOOM;
         kind++) {
        void *x = poisoned(19);
        double got[19];

        ck_assert_int_eq(backend->activate(device, x, x, NULL, 19,
                                           (enum gqa_activation)kind),
                         GQA_OK);
        gqa_load_f64(got, x, real, 19);
        for (size_t i = 0; i < 19; i++)
            ck_assert_msg(isnan(got[i]), "activation %d", kind);
        free(x);
    }
    close_device();
}
END_TEST

/* --- Attention ------------------------------------------------------------ */

struct attention_case {
    uint64_t n_heads, n_kv_heads, head_dim, n_new;
    uint64_t n_tokens[N_SEQUENCES], starts[N_SEQUENCES];
    bool causal;
    uint64_t window;
    bool counted, biased;
    double size; /* of the queries: large ones make one key win */
    double soft_cap;
};

static const struct attention_case attentions[] = {
    /* one token, groups of every size */
    {6, 6, 5, 1, {1, 1, 0}, {0, 40, 3}, true, 0, false, false, 1, 0},
    {6, 3, 64, 1, {1, 1, 1}, {299, 40, 255}, true, 0, false, true, 1, 0},
    {6, 2, 8, 1, {1, 1, 1}, {600, 256, 0}, true, 7, false, false, 1, 0},
    {6, 1, 1, 1, {1, 0, 1}, {5, 5, 5}, true, 0, false, true, 1, 0},
    {130, 1, 3, 1, {1, 1, 1}, {9, 300, 2}, true, 0, false, false, 1, 0},
    /* many tokens, padded, some behind others */
    {6, 6, 16, 70, {70, 33, 0}, {0, 0, 0}, true, 0, false, true, 1, 0},
    {6, 3, 33, 150, {150, 1, 149}, {0, 200, 3}, true, 0, false, false, 1, 0},
    {6, 2, 5, 131, {131, 64, 65}, {0, 7, 300}, true, 1, false, true, 1, 0},
    {6, 1, 16, 97, {97, 0, 50}, {0, 7, 300}, true, 40, false, false, 1, 0},
    {2, 1, 8, 400, {400, 300, 1}, {0, 0, 0}, true, 130, false, false, 30, 0},
    /* encoders, and decoders that read them */
    {6, 6, 8, 65, {65, 64, 1}, {0, 0, 0}, false, 0, false, true, 1, 0},
    {6, 3, 8, 300, {300, 257, 0}, {0, 0, 0}, false, 0, false, true, 5, 0},
    {6, 2, 8, 3, {3, 2, 1}, {9, 0, 300}, false, 0, true, false, 1, 0},
    {6, 1, 9, 1, {1, 1, 1}, {9, 0, 300}, false, 0, true, false, 30, 0},
    /* capped: scores of about the cap's size, and far beyond it */
    {6, 3, 64, 1, {1, 1, 0}, {299, 40, 3}, true, 0, false, true, 5, 2},
    {6, 2, 16, 97, {97, 33, 0}, {0, 7, 3}, true, 40, false, false, 30, 5},
    {6, 6, 8, 65, {65, 64, 1}, {0, 0, 0}, false, 0, false, true, 3, 50},
};

static uint64_t count_keys(const struct attention_case *c, size_t s)
{
    static const uint64_t counts[N_SEQUENCES] = {513, 1, 256};

    return c->counted ? counts[s] : c->starts[s] + c->n_tokens[s];
}

/* The row of query i: head h of sequence s. k, v: [.., capacity, head_dim]. */
static void attend_one(double *out, const struct attention_case *c, size_t s,
                       uint64_t position, const double *q, const double *k,
                       const double *v, const double *bias, uint64_t reach,
                       double scale)
{
    const uint64_t n_keys = count_keys(c, s);
    const uint64_t end = c->causal ? position + 1 : n_keys;
    const uint64_t first =
        c->causal && c->window && end > c->window ? end - c->window : 0;
    double *weights = make(end, sizeof *weights);
    double most = -INFINITY, total = 0;

    for (uint64_t key = first; key < end; key++) {
        double score = 0;

        for (uint64_t i = 0; i < c->head_dim; i++)
            score += q[i] * k[key * c->head_dim + i];
        score *= scale;
        if (c->soft_cap > 0)
            score = c->soft_cap * tanh(score / c->soft_cap);
        weights[key] = score + (bias ? bias[key + reach - 1 - position] : 0);
        most = fmax(most, weights[key]);
    }
    for (uint64_t key = first; key < end; key++)
        total += weights[key] = exp(weights[key] - most);
    for (uint64_t i = 0; i < c->head_dim; i++) {
        out[i] = 0;
        for (uint64_t key = first; key < end; key++)
            out[i] += weights[key] / total * v[key * c->head_dim + i];
    }
    free(weights);
}

/* A cache with NaNs where nothing has been written. */
static void *make_cache(double **v, const struct attention_case *c,
                        uint64_t capacity)
{
    const size_t row = (size_t)c->head_dim;
    void *reals_of =
        drawn(v, (size_t)(N_SEQUENCES * c->n_kv_heads * capacity) * row, real);

    free(reals_of);
    for (size_t m = 0; m < N_SEQUENCES * c->n_kv_heads; m++)
        for (uint64_t key = count_keys(c, m / c->n_kv_heads); key < capacity;
             key++)
            for (size_t i = 0; i < row; i++)
                (*v)[(m * capacity + key) * row + i] = NAN;
    return rounded(*v, (size_t)(N_SEQUENCES * c->n_kv_heads * capacity) * row,
                   real);
}

/* What the backend makes of a case, checked; freed by the caller. */
static void *check_attention(const struct attention_case *c)
{
    enum { CAPACITY = 710, REACH = 700 };
    const uint64_t counts[N_SEQUENCES] = {count_keys(c, 0), count_keys(c, 1),
                                          count_keys(c, 2)};
    /* Heads in blocks of a group, as in GPT-NeoX with its K and V between. */
    const uint64_t group = c->n_heads / c->n_kv_heads;
    const uint64_t stride = group * c->head_dim + 3;
    const uint64_t q_width = c->n_kv_heads * stride + 1;
    const size_t rows = (size_t)(N_SEQUENCES * c->n_new);
    const size_t width = (size_t)(c->n_heads * c->head_dim);
    const double scale = 1 / sqrt((double)c->head_dim);
    double *q, *k, *v, *bias, *want = make(rows * width, sizeof *want);
    double *got = make(rows * width, sizeof *got);
    void *device_k = make_cache(&k, c, CAPACITY);
    void *device_v = make_cache(&v, c, CAPACITY);
    void *device_bias =
        drawn(&bias, (size_t)(c->n_heads * (2 * REACH - 1)), real);
    void *device_q = drawn(&q, rows * (size_t)q_width, real);
    void *out = poisoned(rows * width);
    int32_t *tokens = make(rows, sizeof *tokens);
    const struct gqa_batch batch = {N_SEQUENCES, c->n_new, tokens, c->n_tokens,
                                    c->starts};
    struct gqa_attention_op op = {
        .out = out,
        .q_width = q_width,
        .q_place = {c->n_heads, 1, group, stride},
        .k = device_k,
        .v = device_v,
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .capacity = CAPACITY,
        .scale = scale,
        .soft_cap = c->soft_cap,
        .causal = c->causal,
        .window = c->window,
        .key_counts = c->counted ? counts : NULL,
        .bias = c->biased ? device_bias : NULL,
        .reach = REACH,
    };

    for (size_t i = 0; i < rows * q_width; i++)
        q[i] *= c->size;
    free(device_q);
    op.q = device_q = rounded(q, rows * (size_t)q_width, real);
    for (size_t s = 0; s < N_SEQUENCES; s++)
        for (size_t i = 0; i < c->n_tokens[s]; i++)
            for (size_t h = 0; h < c->n_heads; h++) {
                const size_t row = s * c->n_new + i;
                const size_t cache =
                    (s * c->n_kv_heads + h / group) * CAPACITY * c->head_dim;

                attend_one(want + row * width + h * c->head_dim, c, s,
                           c->starts[s] + i,
                           q + row * q_width + 1 + h / group * stride +
                               h % group * c->head_dim,
                           k + cache, v + cache,
                           c->biased ? bias + h * (2 * REACH - 1) : NULL, REACH,
                           scale);
            }
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
    ck_assert_int_eq(backend->attend(device, &op), GQA_OK);
    gqa_load_f64(got, out, real, rows * width);
    /* Padding is finite, and no part of the error. */
    for (size_t i = 0; i < rows * width; i++) {
        const size_t row = i / width;

        ck_assert_msg(isfinite(got[i]), "row %zu: %g", row, got[i]);
        if (row % c->n_new >= c->n_tokens[row / c->n_new])
            want[i] = got[i];
    }
    check_close(out, want, rows * width, "attention");
    free(q);
    free(k);
    free(v);
    free(bias);
    free(want);
    free(got);
    free(device_q);
    free(device_k);
    free(device_v);
    free(device_bias);
    free(tokens);
    return out;
}

START_TEST(attends)
{
    open_device(reals[_i], 2);
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++)
        free(check_attention(&attentions[i]));
    close_device();
}
END_TEST

/* An encoder's input may have no tokens at all. */
START_TEST(attends_to_nothing)
{
    const uint64_t one = 1, zero = 0;
    const int32_t token = 0;
    double got[4];
    void *q, *k, *out;

    open_device(reals[_i], 1);
    q = make(4, bytes_of(real));
    k = poisoned(4);
    out = poisoned(4);
    ck_assert_int_eq(
        backend->set_batch(device,
                           &(struct gqa_batch){1, 1, &token, &one, &zero}),
        GQA_OK);
    ck_assert_int_eq(
        backend->attend(device,
                        &(struct gqa_attention_op){.out = out,
                                                   .q = q,
                                                   .q_width = 4,
                                                   .q_place = {1, 0, 1, 4},
                                                   .k = k,
                                                   .v = k,
                                                   .n_kv_heads = 1,
                                                   .head_dim = 4,
                                                   .capacity = 1,
                                                   .scale = 1,
                                                   .key_counts = &zero}),
        GQA_OK);
    gqa_load_f64(got, out, real, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_double_eq(got[i], 0);
    close_device();
    free(q);
    free(k);
    free(out);
}
END_TEST

/* --- The device ----------------------------------------------------------- */

/* Bits of a product, of an attention and of moments on n_threads. */
static void run_on(unsigned n_threads, void **product, void **attention,
                   double **moments)
{
    enum { ROWS = 33, INPUTS = 200, OUTPUTS = 1500 };
    double *x, *w, *want;
    void *device_x, *device_w;
    struct gqa_weight weight = {NULL, GQA_BF16, OUTPUTS, INPUTS};

    open_device(GQA_F32, n_threads);
    seed_draws(5);
    device_x = drawn(&x, ROWS * INPUTS, real);
    weight.data = device_w = drawn(&w, OUTPUTS * INPUTS, GQA_BF16);
    *product = drawn(&want, ROWS * OUTPUTS, real);
    ck_assert_int_eq(backend->linear(device, *product, device_x, ROWS, &weight,
                                     false, NULL, *product),
                     GQA_OK);
    *attention = check_attention(&attentions[6]);
    *moments = check_gram(600, 300, 0);
    close_device();
    free(x);
    free(w);
    free(want);
    free(device_x);
    free(device_w);
}

START_TEST(same_bits_on_any_number_of_threads)
{
    static const unsigned threads[] = {2, 3, 8, 0, UINT_MAX};
    void *product, *attention;
    double *moments;

    run_on(1, &product, &attention, &moments);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        void *other_product, *other_attention;
        double *other_moments;

        run_on(threads[i], &other_product, &other_attention, &other_moments);
        ck_assert_mem_eq(product, other_product, 33 * 1500 * sizeof(float));
        ck_assert_mem_eq(attention, other_attention,
                         3 * 150 * 6 * 33 * sizeof(float));
        free(other_product);
        ck_assert_mem_eq(moments, other_moments, 300 * 300 * sizeof(double));
        free(other_attention);
        free(other_moments);
    }
    free(product);
    free(attention);
    free(moments);
}
END_TEST

START_TEST(tells_what_it_is)
{
    struct gqa_device_info info;

    open_device(reals[_i], 1);
    ck_assert_int_eq(backend->describe(device, &info), GQA_OK);
    ck_assert_int_eq(info.real, real);
    ck_assert_uint_gt(strlen(info.name), 0);
    ck_assert_ptr_nonnull(strstr(info.software, "OpenBLAS"));
    ck_assert_uint_gt(info.free_bytes, 0);
    ck_assert_uint_le(info.free_bytes, info.total_bytes);
    close_device();
}
END_TEST

START_TEST(computes_in_f32_and_f64_only)
{
    const struct gqa_device_options options = {.real = GQA_BF16};

    ck_assert_int_eq(gqa_cpu_backend()->open(&device, &options),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "BF16"));
}
END_TEST

START_TEST(allocates_nothing_and_not_everything)
{
    void *memory;

    open_device(GQA_F32, 1);
    ck_assert_int_eq(backend->alloc(device, &memory, 0), GQA_OK);
    ck_assert_int_eq(backend->upload(device, memory, NULL, 0), GQA_OK);
    backend->free(device, memory);
    ck_assert_int_eq(backend->alloc(device, &memory, UINT64_MAX - 3),
                     GQA_ERR_NOMEM);
    close_device();
}
END_TEST

/* A batch whose tokens no size_t counts; the one before it is gone whole. */
START_TEST(refuses_a_batch_past_all_memory)
{
    const int32_t token = 0;
    const uint64_t one = 1, zero = 0;
    struct gqa_batch batch = {.n_sequences = 1,
                              .n_new = 1,
                              .tokens = &token,
                              .n_tokens = &one,
                              .starts = &zero};

    open_device(GQA_F32, 1);
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
    batch.n_sequences = UINT64_MAX / 2 + 1;
    batch.n_new = 2;
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_ERR_NOMEM);
    batch.n_sequences = 1;
    batch.n_new = 1;
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
    close_device();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_backend");
    TCase *tc = tcase_create("all");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, multiplies_by_weights_of_each_dtype, 0, 2);
    tcase_add_loop_test(tc, multiplies_by_transposed_weights, 0, 2);
    tcase_add_loop_test(tc, sums_moments_in_float64, 0, 2);
    tcase_add_loop_test(tc, embeds_tokens_and_positions, 0, 2);
    tcase_add_loop_test(tc, reads_every_small_float_exactly, 0, 4);
    tcase_add_loop_test(tc, rotates_heads_by_position, 0, 2);
    tcase_add_loop_test(tc, stores_real_tokens_only, 0, 2);
    tcase_add_loop_test(tc, gathers_rows, 0, 2);
    tcase_add_loop_test(tc, clips, 0, 2);
    tcase_add_loop_test(tc, computes_xielu, 0, 2);
    tcase_add_loop_test(tc, adds_rows, 0, 2);
    tcase_add_loop_test(tc, weighs_rows, 0, 2);
    tcase_add_loop_test(tc, activates, 0, 2);
    tcase_add_test(tc, exponential_is_good_to_its_last_bits);
    tcase_add_loop_test(tc, nan_stays_nan, 0, 2);
    tcase_add_loop_test(tc, attends, 0, 2);
    tcase_add_loop_test(tc, attends_to_nothing, 0, 2);
    tcase_add_test(tc, same_bits_on_any_number_of_threads);
    tcase_add_loop_test(tc, tells_what_it_is, 0, 2);
    tcase_add_test(tc, computes_in_f32_and_f64_only);
    tcase_add_test(tc, allocates_nothing_and_not_everything);
    tcase_add_test(tc, refuses_a_batch_past_all_memory);
    return suite_run(suite);
}
