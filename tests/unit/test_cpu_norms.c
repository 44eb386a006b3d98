/*
 * What surrounds sublayers: norms of rows and of heads, scaled embeddings and
 * soft caps, against the same in plain double.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_device.h"
#include "suite.h"

/* --- Norms of rows -------------------------------------------------------- */

struct norm_case {
    enum gqa_norm_kind kind;
    bool weight, bias, one_plus;
};

static const struct norm_case norms[] = {
    {GQA_NORM_RMS, true, false, false},    {GQA_NORM_RMS, false, false, false},
    {GQA_NORM_RMS, true, false, true},     {GQA_NORM_RMS, true, true, false},
    {GQA_NORM_LAYER, true, true, false},   {GQA_NORM_LAYER, true, false, false},
    {GQA_NORM_LAYER, true, true, true},    {GQA_NORM_LAYER, false, true, false},
    {GQA_NORM_LAYER, false, false, false},
};
enum { N_NORMS = sizeof norms / sizeof *norms };

/* Wider than double, whose error would be as large as the backend's. */
static void norm_of(double *out, const double *x, size_t n,
                    const struct norm_case *c, double eps, const double *w,
                    const double *b)
{
    long double mean = 0, square = 0;

    for (size_t i = 0; i < n && c->kind == GQA_NORM_LAYER; i++)
        mean += x[i] / (long double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (long double)n;
    for (size_t i = 0; i < n; i++)
        out[i] = (double)((x[i] - mean) / sqrtl(square + (long double)eps) *
                              (c->weight ? w[i] + (c->one_plus ? 1 : 0) : 1) +
                          (c->bias ? b[i] : 0));
}

/* Where the mean goes, two digits of what is left go with it. */
static void check_normed(const struct norm_case *c, const void *got,
                         const double *want, size_t n)
{
    if (real == GQA_F64 && c->kind == GQA_NORM_LAYER)
        check_within(1e-12, got, want, n, "norm");
    else
        check_close(got, want, n, "norm");
}

/* Where the result goes. */
enum target { FRESH, IN_PLACE, ADDED };

static void check_norm(const struct norm_case *c, size_t width,
                       enum gqa_dtype dtype, enum target target)
{
    enum { ROWS = 67 };
    const double eps = 1e-3;
    const size_t n = ROWS * width;
    double *x = make(n, sizeof *x), *w, *b, *before;
    double *want = make(n, sizeof *want);
    void *device_x, *device_w = drawn(&w, width, dtype);
    void *device_b = drawn(&b, width, dtype);
    void *sum = drawn(&before, n, real), *fresh = poisoned(n);
    void *out;
    const struct gqa_weight weight = {device_w, dtype, width, 1};
    const struct gqa_weight bias = {device_b, dtype, width, 1};
    const struct gqa_norm_op op = {.kind = c->kind,
                                   .eps = eps,
                                   .weight = c->weight ? &weight : NULL,
                                   .bias = c->bias ? &bias : NULL,
                                   .one_plus = c->one_plus};

    /* A mean far from 0: the variance is not to be E(x^2) - E(x)^2. */
    for (size_t i = 0; i < n; i++)
        x[i] = draw() + 100;
    device_x = rounded(x, n, real);
    out = target == FRESH ? fresh : target == IN_PLACE ? device_x : sum;
    for (size_t r = 0; r < ROWS; r++)
        norm_of(want + r * width, x + r * width, width, c, eps, w, b);
    for (size_t i = 0; i < n && target == ADDED; i++)
        want[i] += before[i];
    ck_assert_int_eq(
        backend->norm(device, out, device_x, ROWS, width, &op, target == ADDED),
        GQA_OK);
    check_normed(c, out, want, n);
    free(x);
    free(w);
    free(b);
    free(before);
    free(want);
    free(device_x);
    free(device_w);
    free(device_b);
    free(sum);
    free(fresh);
}

START_TEST(normalises_rows)
{
    static const size_t widths[] = {2, 7, 16, 300, 1001};

    open_device(reals[_i], 2);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t c = 0; c < N_NORMS; c++)
            for (size_t d = 0; d < 4; d++)
                for (int target = FRESH; target <= ADDED; target++)
                    check_norm(&norms[c], widths[i], dtypes[d],
                               (enum target)target);
    close_device();
}
END_TEST

/* --- Norms of heads ------------------------------------------------------- */

enum { WIDTH = 60, HEAD_DIM = 7, N_HEADS = 4, N_SEQUENCES = 3, N_NEW = 5 };
enum { N_ROWS = N_SEQUENCES * N_NEW, VOCAB = 11 };

static void set_some_batch(int32_t *tokens)
{
    static const uint64_t n_tokens[N_SEQUENCES] = {5, 2, 0};
    static const uint64_t starts[N_SEQUENCES] = {0, 4, 3};
    const struct gqa_batch batch = {N_SEQUENCES, N_NEW, tokens, n_tokens,
                                    starts};

    for (int i = 0; i < N_ROWS; i++)
        tokens[i] = (i * 7 + 3) % VOCAB;
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
}

/* Heads in two blocks with a gap; what lies between them stays. */
START_TEST(normalises_heads)
{
    const struct gqa_head_place place = {
        .n_heads = N_HEADS, .base = 2, .per_block = 2, .block_stride = 25};
    int32_t tokens[N_ROWS];

    open_device(reals[_i], 2);
    set_some_batch(tokens);
    for (size_t c = 0; c < N_NORMS; c++) {
        double *want, *w, *b, head[HEAD_DIM];
        void *x = drawn(&want, N_ROWS * WIDTH, real);
        void *device_w = drawn(&w, HEAD_DIM, dtypes[c % 4]);
        void *device_b = drawn(&b, HEAD_DIM, dtypes[c % 4]);
        const struct gqa_weight weight = {device_w, dtypes[c % 4], HEAD_DIM, 1};
        const struct gqa_weight bias = {device_b, dtypes[c % 4], HEAD_DIM, 1};
        const struct gqa_norm_op op = {.kind = norms[c].kind,
                                       .eps = 1e-2,
                                       .weight =
                                           norms[c].weight ? &weight : NULL,
                                       .bias = norms[c].bias ? &bias : NULL,
                                       .one_plus = norms[c].one_plus};

        for (size_t r = 0; r < N_ROWS; r++)
            for (size_t h = 0; h < N_HEADS; h++) {
                double *at =
                    want + r * WIDTH + 2 + h / 2 * 25 + h % 2 * HEAD_DIM;

                norm_of(head, at, HEAD_DIM, &norms[c], op.eps, w, b);
                memcpy(at, head, sizeof head);
            }
        ck_assert_int_eq(
            backend->norm_heads(device, x, WIDTH, &place, HEAD_DIM, &op),
            GQA_OK);
        check_normed(&norms[c], x, want, N_ROWS * WIDTH);
        free(want);
        free(w);
        free(b);
        free(x);
        free(device_w);
        free(device_b);
    }
    close_device();
}
END_TEST

/* --- Embeddings ----------------------------------------------------------- */

/* sqrt(2048) has more digits than float32: it is rounded first, as Gemma
 * does it, and so is the product. */
START_TEST(scales_embeddings)
{
    const double scale = sqrt(2048);
    const double used = reals[_i] == GQA_F32 ? (double)(float)scale : scale;
    int32_t tokens[N_ROWS];
    double *t, *p, *want = make(N_ROWS * WIDTH, sizeof *want);
    double *got = make(N_ROWS * WIDTH, sizeof *got);
    void *table = drawn(&t, VOCAB * WIDTH, GQA_BF16);
    void *places = drawn(&p, 6 * WIDTH, GQA_F32);
    const struct gqa_weight weight = {table, GQA_BF16, VOCAB, WIDTH};
    const struct gqa_weight positions = {places, GQA_F32, 6, WIDTH};
    void *out;

    open_device(reals[_i], 2);
    set_some_batch(tokens);
    out = poisoned(N_ROWS * WIDTH);
    for (size_t i = 0; i < N_ROWS * WIDTH; i++) {
        const double x = t[(size_t)tokens[i / WIDTH] * WIDTH + i % WIDTH];

        want[i] = real == GQA_F32 ? (double)(float)(x * used) : x * used;
    }
    ck_assert_int_eq(backend->embed(device, out, &weight, scale, NULL), GQA_OK);
    gqa_load_f64(got, out, real, N_ROWS * WIDTH);
    ck_assert_mem_eq(got, want, N_ROWS * WIDTH * sizeof *got);
    /* Row 1 of the first sequence stands at position 1. */
    ck_assert_int_eq(backend->embed(device, out, &weight, scale, &positions),
                     GQA_OK);
    gqa_load_f64(got, out, real, N_ROWS * WIDTH);
    for (size_t i = WIDTH; i < 2 * WIDTH; i++)
        ck_assert_double_eq_tol(got[i], want[i] + p[i], 1e-5);
    close_device();
    free(t);
    free(p);
    free(want);
    free(got);
    free(table);
    free(places);
    free(out);
}
END_TEST

/* --- Soft caps ------------------------------------------------------------ */

/* Each value for itself: near 0 what comes out is what went in, far out the
 * cap, and a NaN stays. */
START_TEST(caps_softly)
{
    enum { N = 40001 };
    static const double caps[] = {1, 30, 50};
    const double limit = reals[_i] == GQA_F32 ? 3 * 0x1p-23 : 1e-15;

    open_device(reals[_i], 2);
    for (size_t c = 0; c < sizeof caps / sizeof *caps; c++) {
        double *x = make(N, sizeof *x), *got = make(N, sizeof *got);
        void *device_x;

        for (size_t i = 0; i < N; i++)
            x[i] = ((double)i - (N - 1) / 2) / 500;
        x[0] = 1e30;
        x[1] = -INFINITY;
        x[2] = 1e-30;
        x[3] = NAN;
        device_x = rounded(x, N, real);
        ck_assert_int_eq(backend->soft_cap(device, device_x, N, caps[c]),
                         GQA_OK);
        gqa_load_f64(got, device_x, real, N);
        ck_assert(isnan(got[3]));
        x[3] = got[3] = 0;
        for (size_t i = 0; i < N; i++) {
            const double want = caps[c] * tanh(x[i] / caps[c]);

            ck_assert_msg(fabs(got[i] - want) <= limit * fabs(want),
                          "cap %g of %g: %.9g, not %.9g", caps[c], x[i], got[i],
                          want);
        }
        free(x);
        free(got);
        free(device_x);
    }
    close_device();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_norms");
    TCase *tc = tcase_create("all");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, normalises_rows, 0, 2);
    tcase_add_loop_test(tc, normalises_heads, 0, 2);
    tcase_add_loop_test(tc, scales_embeddings, 0, 2);
    tcase_add_loop_test(tc, caps_softly, 0, 2);
    return suite_run(suite);
}
