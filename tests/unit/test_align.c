/* Spaces that heads share: what is lost is least, and nothing where nothing
 * need be; rotation passes through; least squares. */
#include <check.h>
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/device_ridge.h"
#include "align/eigen.h"
#include "align/factor.h"
#include "align/free.h"
#include "align/solve.h"
#include "common/random.h"
#include "formats/model/rope.h"
#include "runtime/blas.h"
#include "suite.h"

static uint64_t counter;

static void load(void)
{
    ck_assert_int_eq(gqa_blas_load(1), GQA_OK);
}

static double draw(void)
{
    double x;

    gqa_random_normal(&x, 1, 7, counter++, 1);
    return x;
}

/* Moments of n random vectors of w elements: [w, w]. */
static double *moments_of(size_t w, size_t n)
{
    double *out = calloc(w * w, sizeof *out);
    double *x = malloc(w * sizeof *x);

    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < w; i++)
            x[i] = draw();
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < w; j++)
                out[i * w + j] += x[i] * x[j];
    }
    free(x);
    return out;
}

static double *metrics_of(size_t heads, size_t d)
{
    double *out = malloc(heads * d * d * sizeof *out);

    for (size_t h = 0; h < heads; h++) {
        double *m = moments_of(d, 2 * d);

        memcpy(out + h * d * d, m, d * d * sizeof *m);
        free(m);
    }
    return out;
}

struct problem {
    size_t heads, d;
    double *moments, *metrics;
    struct gqa_factor factor;
};

static struct problem make_problem(size_t heads, size_t d, size_t samples)
{
    struct problem p = {.heads = heads,
                        .d = d,
                        .moments = moments_of(heads * d, samples),
                        .metrics = metrics_of(heads, d)};

    p.factor.mix = malloc(heads * d * d * sizeof(double));
    p.factor.back = malloc(heads * d * d * sizeof(double));
    return p;
}

static void drop(struct problem *p)
{
    free(p->moments);
    free(p->metrics);
    free(p->factor.mix);
    free(p->factor.back);
}

/*
 * E of sum over heads of (q (k_h - back_h^T mix k))^2, worked out element by
 * element: an error e = L k has the energy trace(L^T A L M).
 */
static double loss_of(const struct problem *p, const double *mix,
                      const double *back)
{
    const size_t d = p->d, w = p->heads * d;
    double *left = malloc(d * w * sizeof *left);
    double all = 0;

    for (size_t h = 0; h < p->heads; h++) {
        for (size_t i = 0; i < d; i++)
            for (size_t c = 0; c < w; c++) {
                double sum = c == h * d + i;

                for (size_t z = 0; z < d; z++)
                    sum -= back[(h * d + z) * d + i] * mix[z * w + c];
                left[i * w + c] = sum;
            }
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                for (size_t a = 0; a < w; a++)
                    for (size_t b = 0; b < w; b++)
                        all += p->metrics[(h * d + i) * d + j] *
                               left[i * w + a] * p->moments[a * w + b] *
                               left[j * w + b];
    }
    free(left);
    return all;
}

static double energy_of(const struct problem *p)
{
    double *none = calloc(p->heads * p->d * p->d, sizeof *none);
    const double all = loss_of(p, none, none);

    free(none);
    return all;
}

START_TEST(real_loss_is_what_it_says_and_least)
{
    struct problem p = make_problem(3, 4, 40);
    struct gqa_bands bands;
    double best;

    ck_assert_int_eq(gqa_bands_whole(&bands, p.d), GQA_OK);
    ck_assert_int_eq(
        gqa_factor(&p.factor, &bands, p.heads, p.moments, p.metrics), GQA_OK);
    best = loss_of(&p, p.factor.mix, p.factor.back);
    ck_assert_double_eq_tol(p.factor.lost, best, 1e-9 * p.factor.all);
    ck_assert_double_eq_tol(p.factor.all, energy_of(&p), 1e-9 * p.factor.all);
    ck_assert_double_gt(best, 0.05 * p.factor.all);
    /* Whatever is changed makes it worse. */
    for (size_t i = 0; i < p.heads * p.d * p.d; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const double mix = p.factor.mix[i], back = p.factor.back[i];

            p.factor.mix[i] += sign * 1e-3;
            ck_assert_double_gt(loss_of(&p, p.factor.mix, p.factor.back), best);
            p.factor.mix[i] = mix;
            p.factor.back[i] += sign * 1e-3;
            ck_assert_double_gt(loss_of(&p, p.factor.mix, p.factor.back), best);
            p.factor.back[i] = back;
        }
    gqa_bands_clear(&bands);
    drop(&p);
}
END_TEST

/* As many dimensions as there are, or heads that are all the same. */
START_TEST(nothing_is_lost_where_nothing_need_be)
{
    struct problem one = make_problem(1, 5, 30), same = make_problem(3, 4, 30);
    const size_t w = same.heads * same.d;
    struct gqa_bands bands;

    ck_assert_int_eq(gqa_bands_whole(&bands, one.d), GQA_OK);
    ck_assert_int_eq(
        gqa_factor(&one.factor, &bands, 1, one.moments, one.metrics), GQA_OK);
    ck_assert_double_le(loss_of(&one, one.factor.mix, one.factor.back),
                        1e-12 * one.factor.all);
    gqa_bands_clear(&bands);

    for (size_t i = 0; i < w; i++)
        for (size_t j = 0; j < w; j++)
            same.moments[i * w + j] = same.moments[i % same.d * w + j % same.d];
    ck_assert_int_eq(gqa_bands_whole(&bands, same.d), GQA_OK);
    ck_assert_int_eq(gqa_factor(&same.factor, &bands, same.heads, same.moments,
                                same.metrics),
                     GQA_OK);
    ck_assert_double_le(fabs(loss_of(&same, same.factor.mix, same.factor.back)),
                        1e-10 * same.factor.all);
    gqa_bands_clear(&bands);
    drop(&one);
    drop(&same);
}
END_TEST

static const struct gqa_position positions[] = {
    {GQA_POSITION_ROPE, 6, false},
    {GQA_POSITION_ROPE, 6, true},
    {GQA_POSITION_ROPE, 4, false}, /* the rest is not rotated */
    {GQA_POSITION_ROPE, 4, true},
};
enum { N_POSITIONS = sizeof positions / sizeof *positions, DIM = 6 };

/* Of three pairs: all apart, two alike, one that does not turn. */
static double frequencies[][3] = {
    {1, 0.1, 0.01}, {1, 0.1, 0.1}, {0.5, 0.5, 1e-31}};
enum { N_FREQUENCIES = sizeof frequencies / sizeof *frequencies };

static struct gqa_rope rope_of(int i)
{
    return (struct gqa_rope){.n_pairs = 3, .frequency = frequencies[i]};
}

/* x turned as the model turns it at position p. */
static void rotate(double *x, const struct gqa_position *position,
                   const struct gqa_rope *rope, double p)
{
    const size_t n = (size_t)position->rotary_dim / 2;

    for (size_t j = 0; j < n; j++) {
        const size_t re = position->interleaved ? 2 * j : j;
        const size_t im = position->interleaved ? 2 * j + 1 : j + n;
        const double angle = p * rope->frequency[j];
        const double a = x[re], b = x[im];

        x[re] = a * cos(angle) - b * sin(angle);
        x[im] = b * cos(angle) + a * sin(angle);
    }
}

static void apply(double *out, const double *matrix, size_t cols,
                  const double *x)
{
    for (size_t i = 0; i < DIM; i++) {
        out[i] = 0;
        for (size_t c = 0; c < cols; c++)
            out[i] += matrix[i * cols + c] * x[c];
    }
}

/* Neighbours of one frequency make a band, what does not turn a real one, with
 * what no position rotates. */
START_TEST(bands_are_what_turns_alike)
{
    double frequency[] = {1, 0.5, 0.5, 1e-31};
    struct gqa_rope rope = {.n_pairs = 4, .frequency = frequency};
    struct gqa_position position = {GQA_POSITION_ROPE, 8, false};
    struct gqa_bands b;

    ck_assert_int_eq(gqa_bands_of_position(&b, 9, &position, &rope), GQA_OK);
    ck_assert_uint_eq(b.n, 3);
    ck_assert_uint_eq(b.items[0].n, 1);
    ck_assert_uint_eq(b.items[1].n, 2);
    ck_assert_uint_eq(b.items[1].re[1], 2);
    ck_assert_uint_eq(b.items[1].im[1], 6);
    ck_assert_uint_eq(b.items[2].n, 3);
    ck_assert_ptr_null(b.items[2].im);
    ck_assert_uint_eq(b.items[2].re[0], 3);
    ck_assert_uint_eq(b.items[2].re[1], 7);
    ck_assert_uint_eq(b.items[2].re[2], 8);
    gqa_bands_clear(&b);
    /* What is alike at one length only stays apart. */
    rope.context = 16;
    position.interleaved = true;
    ck_assert_int_eq(gqa_bands_of_position(&b, 8, &position, &rope), GQA_OK);
    ck_assert_uint_eq(b.n, 4);
    ck_assert_uint_eq(b.items[1].re[0], 2);
    ck_assert_uint_eq(b.items[1].im[0], 3);
    gqa_bands_clear(&b);
}
END_TEST

/* A block says whether heads turn, and by which frequencies, where a network
 * is there; else the model says whether all do. */
START_TEST(bands_are_those_of_a_block)
{
    double frequency[] = {1, 0.5, 0.5};
    const struct gqa_rope rope = {.n_pairs = 3, .frequency = frequency};
    const struct gqa_attention a = {.head_dim = 6,
                                    .position = {GQA_POSITION_ROPE, 6, false}};
    const struct gqa_attention_block turns = {.rope = &rope}, stands = {0};
    struct gqa_bands b;

    ck_assert_int_eq(gqa_bands_of_keys(&b, &a, &turns), GQA_OK);
    ck_assert_uint_eq(b.n, 2);
    gqa_bands_clear(&b);
    ck_assert_int_eq(gqa_bands_of_keys(&b, &a, NULL), GQA_OK);
    ck_assert_uint_eq(b.n, 3);
    gqa_bands_clear(&b);
    ck_assert_int_eq(gqa_bands_of_keys(&b, &a, &stands), GQA_OK);
    ck_assert_uint_eq(b.n, 1);
    ck_assert_uint_eq(b.items[0].n, 6);
    ck_assert_ptr_null(b.items[0].im);
    gqa_bands_clear(&b);
}
END_TEST

/* Frequencies of 8, 4, 2, 1, 1/2 a hundredth: over 100 tokens so many radians,
 * of which two neighbours are off by a fourth of the faster. */
START_TEST(slow_pairs_are_freed)
{
    double frequency[] = {0.08, 0.04, 0.02, 0.01, 0.005};
    const struct gqa_rope rope = {
        .n_pairs = 5, .theta = 32, .frequency = frequency};
    double d[5];

    ck_assert_uint_eq(gqa_slow_pairs(&rope, 100, 1), 3);
    ck_assert_uint_eq(gqa_slow_pairs(&rope, 100, 9), 0);
    ck_assert_uint_eq(gqa_slow_pairs(&rope, 100, 0.1), 5);
    /* 32^(-j/5) is 1, 1/2, 1/4 ... */
    ck_assert_uint_eq(gqa_free_pairs(d, &rope, 100, 5, 0), 0);
    ck_assert_double_eq_tol(d[0], 12.5, 1e-12);
    ck_assert_double_eq_tol(d[4], 12.5, 1e-12);
    /* 2 and 1 are at 1.5; 8 and 4 would be off by 2. */
    ck_assert_uint_eq(gqa_free_pairs(d, &rope, 100, 4, 0.6), 3);
    ck_assert_double_eq(d[4], GQA_ROPE_STILL);
    ck_assert_double_eq_tol(d[3], 0.125 / 0.015, 1e-12);
    ck_assert_double_eq_tol(d[2], 0.25 / 0.015, 1e-12);
    ck_assert_double_eq_tol(d[1], 12.5, 1e-12);
    /* 8, 4 and 2 are at 14/3, off by 10/3 at most. */
    ck_assert_uint_eq(gqa_free_pairs(d, &rope, 100, 3, 3.5), 5);
    ck_assert_double_eq_tol(d[0], 1 / (0.14 / 3), 1e-12);
}
END_TEST

/* Mixed, then rotated, is rotated, then mixed: of keys and of queries. */
START_TEST(rotation_passes_through)
{
    const struct gqa_position *position = &positions[_i % N_POSITIONS];
    const struct gqa_rope rope = rope_of(_i / N_POSITIONS);
    struct problem p = make_problem(2, DIM, 40);
    struct gqa_bands bands;
    double k[2 * DIM], q[DIM], a[DIM], b[DIM];

    ck_assert_int_eq(gqa_bands_of_position(&bands, DIM, position, NULL),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_factor(&p.factor, &bands, p.heads, p.moments, p.metrics), GQA_OK);
    ck_assert_double_gt(p.factor.all, p.factor.lost);
    for (size_t i = 0; i < 2 * DIM; i++)
        k[i] = draw();
    for (size_t i = 0; i < DIM; i++)
        q[i] = draw();
    apply(a, p.factor.mix, 2 * DIM, k);
    rotate(a, position, &rope, 3);
    rotate(k, position, &rope, 3);
    rotate(k + DIM, position, &rope, 3);
    apply(b, p.factor.mix, 2 * DIM, k);
    for (size_t i = 0; i < DIM; i++)
        ck_assert_double_eq_tol(a[i], b[i], 1e-12);
    for (size_t h = 0; h < 2; h++) {
        double turned[DIM];

        apply(a, p.factor.back + h * DIM * DIM, DIM, q);
        rotate(a, position, &rope, 5);
        memcpy(turned, q, sizeof q);
        rotate(turned, position, &rope, 5);
        apply(b, p.factor.back + h * DIM * DIM, DIM, turned);
        for (size_t i = 0; i < DIM; i++)
            ck_assert_double_eq_tol(a[i], b[i], 1e-12);
    }
    gqa_bands_clear(&bands);
    drop(&p);
}
END_TEST

/* One head alone keeps its scores, rotated or not. */
START_TEST(one_head_keeps_its_scores)
{
    const struct gqa_position *position = &positions[_i % N_POSITIONS];
    const struct gqa_rope rope = rope_of(_i / N_POSITIONS);
    struct problem p = make_problem(1, DIM, 40);
    struct gqa_bands bands;
    double k[DIM], q[DIM], key[DIM], query[DIM], was = 0, is = 0;

    ck_assert_int_eq(gqa_bands_of_position(&bands, DIM, position, NULL),
                     GQA_OK);
    ck_assert_int_eq(gqa_factor(&p.factor, &bands, 1, p.moments, p.metrics),
                     GQA_OK);
    for (size_t i = 0; i < DIM; i++) {
        k[i] = draw();
        q[i] = draw();
    }
    apply(key, p.factor.mix, DIM, k);
    apply(query, p.factor.back, DIM, q);
    rotate(k, position, &rope, 2);
    rotate(key, position, &rope, 2);
    rotate(q, position, &rope, 7);
    rotate(query, position, &rope, 7);
    for (size_t i = 0; i < DIM; i++) {
        was += q[i] * k[i];
        is += query[i] * key[i];
    }
    ck_assert_double_eq_tol(was, is, 1e-10);
    gqa_bands_clear(&bands);
    drop(&p);
}
END_TEST

/* And whatever tokens have not shown: of six dimensions there was one key, and
 * one query. */
START_TEST(what_was_not_seen_is_kept)
{
    const struct gqa_position *position = &positions[_i % N_POSITIONS];
    const struct gqa_rope rope = rope_of(_i / N_POSITIONS);
    struct problem p = make_problem(1, DIM, 1);
    double *metric = moments_of(DIM, 1);
    struct gqa_bands bands;

    memcpy(p.metrics, metric, DIM * DIM * sizeof *metric);
    ck_assert_int_eq(gqa_bands_of_position(&bands, DIM, position, &rope),
                     GQA_OK);
    ck_assert_int_eq(gqa_factor(&p.factor, &bands, 1, p.moments, p.metrics),
                     GQA_OK);
    for (size_t i = 0; i < DIM; i++)
        for (size_t j = 0; j < DIM; j++) {
            double sum = 0;

            for (size_t z = 0; z < DIM; z++)
                sum += p.factor.back[z * DIM + i] * p.factor.mix[z * DIM + j];
            ck_assert_double_eq_tol(sum, i == j, 1e-10);
        }
    gqa_bands_clear(&bands);
    free(metric);
    drop(&p);
}
END_TEST

/* Keys and queries of a dimension have the same energy. */
START_TEST(energy_is_balanced)
{
    struct problem p = make_problem(2, 4, 40);
    const size_t w = p.heads * p.d;
    struct gqa_bands bands;

    ck_assert_int_eq(gqa_bands_whole(&bands, p.d), GQA_OK);
    ck_assert_int_eq(
        gqa_factor(&p.factor, &bands, p.heads, p.moments, p.metrics), GQA_OK);
    for (size_t z = 0; z < p.d; z++) {
        double key = 0, query = 0;

        for (size_t a = 0; a < w; a++)
            for (size_t b = 0; b < w; b++)
                key += p.factor.mix[z * w + a] * p.moments[a * w + b] *
                       p.factor.mix[z * w + b];
        for (size_t h = 0; h < p.heads; h++)
            for (size_t a = 0; a < p.d; a++)
                for (size_t b = 0; b < p.d; b++)
                    query += p.factor.back[(h * p.d + z) * p.d + a] *
                             p.metrics[(h * p.d + a) * p.d + b] *
                             p.factor.back[(h * p.d + z) * p.d + b];
        ck_assert_double_eq_tol(key, query / (double)p.heads, 1e-9 * key);
    }
    gqa_bands_clear(&bands);
    drop(&p);
}
END_TEST

START_TEST(heads_of_zeros_are_no_trouble)
{
    struct problem p = make_problem(2, 4, 40);
    struct gqa_bands bands;

    memset(p.moments, 0, 64 * sizeof *p.moments);
    ck_assert_int_eq(gqa_bands_whole(&bands, p.d), GQA_OK);
    ck_assert_int_eq(
        gqa_factor(&p.factor, &bands, p.heads, p.moments, p.metrics), GQA_OK);
    for (size_t i = 0; i < 32; i++)
        ck_assert(p.factor.mix[i] == 0 && p.factor.back[i] == 0);
    p.moments[5] = NAN;
    ck_assert_int_eq(
        gqa_factor(&p.factor, &bands, p.heads, p.moments, p.metrics),
        GQA_ERR_FORMAT);
    gqa_bands_clear(&bands);
    drop(&p);
}
END_TEST

START_TEST(eigenvectors_make_the_matrix_again)
{
    enum { N = 5 };
    double complex a[N * N], v[N * N];
    double values[N];
    const bool is_real = _i;

    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++) {
            a[i * N + j] = draw() + (is_real || i == j ? 0 : I * draw());
            a[j * N + i] = conj(a[i * N + j]);
        }
    memcpy(v, a, sizeof v);
    ck_assert_int_eq(gqa_eigen(v, values, N, is_real), GQA_OK);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double complex sum = 0;

            for (size_t k = 0; k < N; k++)
                sum += v[i * N + k] * values[k] * conj(v[j * N + k]);
            ck_assert_double_le(cabs(sum - a[i * N + j]), 1e-12);
        }
}
END_TEST

/* Rows x, y = x W: the fit is W; with a ridge it goes towards its beginning. */
START_TEST(least_squares)
{
    enum { N = 4, M = 3, ROWS = 20 };
    double w[N * M], xx[N * N] = {0}, xy[N * M] = {0}, yy = 0;
    double began[N * M] = {0}, out[N * M], loss, size = 0;

    for (size_t i = 0; i < N * M; i++)
        w[i] = draw();
    for (size_t r = 0; r < ROWS; r++) {
        double x[N], y[M] = {0};

        for (size_t i = 0; i < N; i++)
            x[i] = draw();
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < M; j++)
                y[j] += x[i] * w[i * M + j];
        for (size_t i = 0; i < N; i++) {
            for (size_t j = 0; j < N; j++)
                xx[i * N + j] += x[i] * x[j];
            for (size_t j = 0; j < M; j++)
                xy[i * M + j] += x[i] * y[j];
        }
        for (size_t j = 0; j < M; j++)
            yy += y[j] * y[j];
    }
    ck_assert_int_eq(gqa_fit_ridge(out, began, xx, xy, N, M, 0), GQA_OK);
    for (size_t i = 0; i < N * M; i++)
        ck_assert_double_eq_tol(out[i], w[i], 1e-10);
    ck_assert_int_eq(gqa_fit_loss(&loss, out, xx, xy, yy, N, M), GQA_OK);
    ck_assert_double_le(fabs(loss), 1e-10 * yy);
    ck_assert_int_eq(gqa_fit_loss(&loss, began, xx, xy, yy, N, M), GQA_OK);
    ck_assert_double_eq_tol(loss, yy, 1e-10 * yy);
    ck_assert_int_eq(gqa_fit_ridge(out, began, xx, xy, N, M, 1e9), GQA_OK);
    for (size_t i = 0; i < N * M; i++)
        size += fabs(out[i]);
    ck_assert_double_le(size, 1e-7);
    xx[0] = NAN;
    ck_assert_int_eq(gqa_fit_ridge(out, began, xx, xy, N, M, 0),
                     GQA_ERR_FORMAT);
}
END_TEST

static int n_refused;

static enum gqa_status refuse(struct gqa_device *device, double *out,
                              const double *began, const double *inputs,
                              const double *products, uint64_t n, uint64_t m,
                              double ridge)
{
    (void)device, (void)out, (void)began, (void)inputs;
    (void)products, (void)n, (void)m, (void)ridge;
    n_refused++;
    return gqa_fail(GQA_ERR_UNSUPPORTED, "there is no solver");
}

/* A device that has no solver is asked once; the host then does it. */
START_TEST(the_host_solves_what_a_device_cannot)
{
    enum { N = 2 };
    static const double inputs[N * N] = {2, 1, 1, 3}, products[N] = {3, 4};
    static const double zeros[N] = {0, 0};
    struct gqa_backend backend = *gqa_cpu_backend();
    struct gqa_device_ridge solver = {.backend = &backend};
    void *memory[4] = {NULL};
    double out[N];

    ck_assert_int_eq(backend.open(&solver.device,
                                  &(struct gqa_device_options){.real = GQA_F32,
                                                               .n_threads = 1}),
                     GQA_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            backend.alloc(solver.device, &memory[i], sizeof inputs), GQA_OK);
    ck_assert_int_eq(
        backend.upload(solver.device, memory[0], inputs, sizeof inputs),
        GQA_OK);
    ck_assert_int_eq(
        backend.upload(solver.device, memory[1], products, sizeof products),
        GQA_OK);
    ck_assert_int_eq(
        backend.upload(solver.device, memory[2], zeros, sizeof zeros), GQA_OK);
    backend.fit_ridge = refuse;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(gqa_device_fit_ridge(&solver, memory[3], memory[2],
                                              memory[0], memory[1], N, 1, 0),
                         GQA_OK);
        ck_assert_int_eq(
            backend.download(solver.device, out, memory[3], sizeof out),
            GQA_OK);
        ck_assert_double_eq_tol(out[0], 1, 1e-12);
        ck_assert_double_eq_tol(out[1], 1, 1e-12);
    }
    ck_assert_int_eq(n_refused, 1);
    for (int i = 0; i < 4; i++)
        backend.free(solver.device, memory[i]);
    backend.close(solver.device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("align");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, load, NULL);

    tcase_add_test(all, real_loss_is_what_it_says_and_least);
    tcase_add_test(all, nothing_is_lost_where_nothing_need_be);
    tcase_add_test(all, bands_are_what_turns_alike);
    tcase_add_test(all, bands_are_those_of_a_block);
    tcase_add_test(all, slow_pairs_are_freed);
    tcase_add_loop_test(all, rotation_passes_through, 0,
                        N_POSITIONS * N_FREQUENCIES);
    tcase_add_loop_test(all, one_head_keeps_its_scores, 0,
                        N_POSITIONS * N_FREQUENCIES);
    tcase_add_loop_test(all, what_was_not_seen_is_kept, 0,
                        N_POSITIONS * N_FREQUENCIES);
    tcase_add_test(all, energy_is_balanced);
    tcase_add_test(all, heads_of_zeros_are_no_trouble);
    tcase_add_loop_test(all, eigenvectors_make_the_matrix_again, 0, 2);
    tcase_add_test(all, least_squares);
    tcase_add_test(all, the_host_solves_what_a_device_cannot);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
