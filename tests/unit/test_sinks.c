/*
 * A score in each softmax that belongs to no key, and what is made of pairs of
 * a gate's outputs and another's: forth, and backwards against differences.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradient_check.h"
#include "suite.h"

enum { SEQUENCES = 2, NEW = 9, ROWS = SEQUENCES * NEW, WINDOW = 4 };
enum { HEADS = 4, KV_HEADS = 2, DIM = 5, WIDTH = HEADS * DIM };
enum { CACHE = SEQUENCES * KV_HEADS * NEW * DIM };

static const uint64_t n_tokens[SEQUENCES] = {9, 4};
static const uint64_t starts[SEQUENCES];
static const int32_t tokens[ROWS];

static void set_batch(void)
{
    ck_assert_int_eq(
        backend->set_batch(device, &(struct gqa_batch){SEQUENCES, NEW, tokens,
                                                       n_tokens, starts}),
        GQA_OK);
}

static bool is_padding(size_t row)
{
    return row % NEW >= n_tokens[row / NEW];
}

/* --- Sinks ---------------------------------------------------------------- */

enum { Q, K, V, SINKS };

static const size_t lengths[] = {ROWS * WIDTH, CACHE, CACHE, HEADS};

/* sinks: of their own type, or reals. */
static struct gqa_attention_op attend(void *const in[4], enum gqa_dtype dtype,
                                      void *out, void *lse)
{
    const struct gqa_weight sinks = {in[SINKS], dtype, HEADS, 1};
    const struct gqa_attention_op op = {
        .out = out,
        .q = in[Q],
        .q_width = WIDTH,
        .q_place = {HEADS, 0, HEADS, 0},
        .k = in[K],
        .v = in[V],
        .n_kv_heads = KV_HEADS,
        .head_dim = DIM,
        .capacity = NEW,
        .scale = 0.9,
        .causal = true,
        .window = WINDOW,
        .lse = lse,
    };

    ck_assert_int_eq(backend->attend(device, &op), GQA_OK);
    ck_assert_int_eq(backend->sink(device, out, lse, &sinks, HEADS, DIM),
                     GQA_OK);
    return op;
}

/* exp(sink) is in the sum, and nothing of it in what is made. */
static double attend_plainly(double *out, double *const in[4], size_t s,
                             size_t i, size_t h)
{
    const size_t kv = s * KV_HEADS + h / (HEADS / KV_HEADS);
    const double *q = in[Q] + (s * NEW + i) * WIDTH + h * DIM;
    double total = exp(in[SINKS][h]);

    memset(out, 0, DIM * sizeof *out);
    for (size_t c = i + 1 > WINDOW ? i + 1 - WINDOW : 0; c <= i; c++) {
        const size_t at = (kv * NEW + c) * DIM;
        double score = 0;

        for (size_t d = 0; d < DIM; d++)
            score += q[d] * in[K][at + d];
        score = exp(0.9 * score);
        total += score;
        for (size_t d = 0; d < DIM; d++)
            out[d] += score * in[V][at + d];
    }
    for (size_t d = 0; d < DIM; d++)
        out[d] /= total;
    return log(total);
}

/* Of each type, and of any size beside the scores. */
static void check_sinks(enum gqa_dtype dtype, double offset)
{
    double want[ROWS * WIDTH], want_lse[ROWS * HEADS];
    double got[ROWS * WIDTH], got_lse[ROWS * HEADS];
    double *host[4];
    void *in[4], *out = poisoned(ROWS * WIDTH), *lse = poisoned(ROWS * HEADS);

    set_batch();
    for (int i = 0; i < 4; i++)
        in[i] = drawn(&host[i], lengths[i], i == SINKS ? dtype : real);
    for (int h = 0; h < HEADS; h++)
        host[SINKS][h] += h % 2 ? offset : -offset;
    free(in[SINKS]);
    in[SINKS] = rounded(host[SINKS], HEADS, dtype);
    attend(in, dtype, out, lse);
    gqa_load_f64(got, out, real, ROWS * WIDTH);
    gqa_load_f64(got_lse, lse, real, ROWS * HEADS);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t h = 0; h < HEADS; h++) {
            double *to = want + r * WIDTH + h * DIM;

            if (!is_padding(r)) {
                want_lse[r * HEADS + h] =
                    attend_plainly(to, host, r / NEW, r % NEW, h);
                continue;
            }
            /* Whatever is finite. */
            ck_assert(isfinite(got_lse[r * HEADS + h]));
            want_lse[r * HEADS + h] = got_lse[r * HEADS + h];
            memcpy(to, got + r * WIDTH + h * DIM, DIM * sizeof *to);
        }
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        ck_assert(isfinite(got[i]));
    check_close(out, want, ROWS * WIDTH, "attention beside sinks");
    check_close(lse, want_lse, ROWS * HEADS, "sum with sinks");
    for (int i = 0; i < 4; i++) {
        free(host[i]);
        free(in[i]);
    }
    free(out);
    free(lse);
}

START_TEST(sinks_have_a_share)
{
    open_device(reals[_i], 2);
    for (int d = 0; d < 4; d++)
        check_sinks(dtypes[d], 0);
    check_sinks(GQA_F32, 40);
    close_device();
}
END_TEST

/* Three of four parts, and what sees no key at all. */
START_TEST(a_sink_alone_leaves_nothing)
{
    const double sinks[2] = {0, 3}, lse[2] = {log(3), -INFINITY};
    const double out[4] = {8, -4, 0, 0}, want[4] = {6, -3, 0, 0};
    const double want_lse[2] = {log(4), 3};
    double device_out[4], device_lse[2], device_sinks[2];
    const struct gqa_weight weight = {device_sinks, reals[_i], 2, 1};
    static const uint64_t one[] = {1};

    open_device(reals[_i], 1);
    ck_assert_int_eq(
        backend->set_batch(device,
                           &(struct gqa_batch){1, 1, tokens, one, starts}),
        GQA_OK);
    gqa_store_f64(device_out, real, out, 4);
    gqa_store_f64(device_lse, real, lse, 2);
    gqa_store_f64(device_sinks, real, sinks, 2);
    ck_assert_int_eq(
        backend->sink(device, device_out, device_lse, &weight, 2, 2), GQA_OK);
    check_close(device_out, want, 4, "what keys are left");
    check_close(device_lse, want_lse, 2, "all of it");
    close_device();
}
END_TEST

struct ctx {
    void *out, *lse, *d_out;
};

static struct gqa_attention_op run(const struct problem *p)
{
    struct ctx *c = p->ctx;
    const struct variable *v = p->variables;
    void *const in[] = {v[Q].x, v[K].x, v[V].x, v[SINKS].x};

    return attend(in, real, c->out, c->lse);
}

static double sinks_value(const struct problem *p)
{
    const struct ctx *c = p->ctx;

    run(p);
    return dot(c->out, c->d_out, ROWS * WIDTH);
}

static void sinks_back(const struct problem *p)
{
    const struct ctx *c = p->ctx;
    const struct variable *v = p->variables;
    const struct gqa_weight sinks = {v[SINKS].x, real, HEADS, 1};
    const struct gqa_attention_gradient op = {
        .forward = run(p),
        .d_out = c->d_out,
        .d_q = v[Q].dx,
        .d_k = v[K].dx,
        .d_v = v[V].dx,
    };

    ck_assert_int_eq(ops.sink(device, v[SINKS].dx, c->out, c->lse, c->d_out,
                              &sinks, HEADS, DIM),
                     GQA_OK);
    ck_assert_int_eq(ops.attend_back(device, &op), GQA_OK);
}

static void make_sinks(struct problem *p, const void *wanted)
{
    struct ctx *c = make(1, sizeof *c);

    (void)wanted;
    set_batch();
    c->out = zero_reals(ROWS * WIDTH);
    c->lse = zero_reals(ROWS * HEADS);
    c->d_out = drawn_reals(ROWS * WIDTH);
    for (size_t r = 0; r < ROWS; r++)
        if (is_padding(r))
            memset((char *)c->d_out + r * WIDTH * bytes_of(real), 0,
                   WIDTH * bytes_of(real));
    add_variable(p, "queries", lengths[Q]);
    add_variable(p, "keys", lengths[K]);
    add_variable(p, "values", lengths[V]);
    add_variable(p, "sinks", lengths[SINKS]);
    p->ctx = c;
    p->value = sinks_value;
    p->back = sinks_back;
}

static void end_sinks(struct problem *p)
{
    struct ctx *c = p->ctx;

    free(c->out);
    free(c->lse);
    free(c->d_out);
    free(c);
    end_problem(p);
}

static const struct gradient_test sinks_test = {make_sinks, end_sinks};

START_TEST(attention_goes_back)
{
    check_gradients(&sinks_test, NULL);
}
END_TEST

/* --- Pairs ---------------------------------------------------------------- */

static const struct gqa_clamped_swiglu pairs = {1.5, 2};

/* Within the limits, and beyond each of them. */
START_TEST(pairs_are_clamped)
{
    enum { N = 5 };
    const double x[2 * N] = {1, 0.5, 3, 0.5, -3, 0.5, 1, 4, 1, -4};
    const double want[N] = {1.5 / (1 + exp(-1.5)), 3 / (1 + exp(-3)),
                            -4.5 / (1 + exp(4.5)), 3 / (1 + exp(-1.5)),
                            -1 / (1 + exp(-1.5))};
    const double none[2] = {NAN, 1};
    double in[2 * N], out[N];

    open_device(reals[_i], 2);
    gqa_store_f64(in, real, x, sizeof x / sizeof *x);
    ck_assert_int_eq(backend->swiglu_pairs(device, out, in, N, &pairs), GQA_OK);
    check_close(out, want, N, "pairs");
    gqa_store_f64(in, real, none, 2);
    ck_assert_int_eq(backend->swiglu_pairs(device, out, in, 1, &pairs), GQA_OK);
    gqa_load_f64(out, memcpy(in, out, sizeof(double)), real, 1);
    ck_assert(isnan(out[0]));
    close_device();
}
END_TEST

enum { N_PAIRS = 20001 };

static double pairs_value(const struct problem *p)
{
    const struct ctx *c = p->ctx;

    ck_assert_int_eq(backend->swiglu_pairs(device, c->out, p->variables[0].x,
                                           N_PAIRS, &pairs),
                     GQA_OK);
    return dot(c->out, c->d_out, N_PAIRS);
}

static void pairs_back(const struct problem *p)
{
    const struct ctx *c = p->ctx;

    ck_assert_int_eq(ops.swiglu_pairs(device, p->variables[0].dx,
                                      p->variables[0].x, c->d_out, N_PAIRS,
                                      &pairs),
                     GQA_OK);
}

/* From -4 to 4, far from the limits by what differences take. */
static void make_pairs(struct problem *p, const void *wanted)
{
    struct ctx *c = make(1, sizeof *c);
    double *values = make(2 * N_PAIRS, sizeof *values);

    (void)wanted;
    c->out = zero_reals(N_PAIRS);
    c->d_out = drawn_reals(N_PAIRS);
    add_variable(p, "pairs", 2 * N_PAIRS);
    for (int i = 0; i < 2 * N_PAIRS; i++)
        values[i] = (i % 81 - 40) / 10.0 + 0.05;
    gqa_store_f64(p->variables[0].x, real, values, 2 * N_PAIRS);
    free(values);
    p->ctx = c;
    p->value = pairs_value;
    p->back = pairs_back;
}

static const struct gradient_test pairs_test = {make_pairs, end_sinks};

START_TEST(pairs_go_back)
{
    check_gradients(&pairs_test, NULL);
}
END_TEST

/* --- Broken --------------------------------------------------------------- */

static enum gqa_status sink_of_fewer(struct gqa_device *d, void *d_sinks,
                                     const void *out, const void *lse,
                                     const void *d_out,
                                     const struct gqa_weight *sinks,
                                     uint64_t n_heads, uint64_t head_dim)
{
    return whole_ops()->sink(d, d_sinks, out, lse, d_out, sinks, n_heads - 1,
                             head_dim);
}

static enum gqa_status pairs_of_another_alpha(
    struct gqa_device *d, void *dx, const void *x, const void *dy, uint64_t n,
    const struct gqa_clamped_swiglu *constants)
{
    const struct gqa_clamped_swiglu broken = {1, constants->limit};

    return whole_ops()->swiglu_pairs(d, dx, x, dy, n, &broken);
}

static enum gqa_status pairs_unlimited(
    struct gqa_device *d, void *dx, const void *x, const void *dy, uint64_t n,
    const struct gqa_clamped_swiglu *constants)
{
    const struct gqa_clamped_swiglu broken = {constants->alpha, 3};

    return whole_ops()->swiglu_pairs(d, dx, x, dy, n, &broken);
}

START_TEST(broken_ones_are_caught)
{
    mend_ops();
    ops.sink = sink_of_fewer;
    check_caught(&sinks_test, NULL, "a head without a sink");
    ops.swiglu_pairs = pairs_of_another_alpha;
    check_caught(&pairs_test, NULL, "another alpha");
    ops.swiglu_pairs = pairs_unlimited;
    check_caught(&pairs_test, NULL, "another limit");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sinks");
    TCase *tcase = tcase_create("sinks");

    tcase_add_loop_test(tcase, sinks_have_a_share, 0, 2);
    tcase_add_loop_test(tcase, a_sink_alone_leaves_nothing, 0, 2);
    tcase_add_test(tcase, attention_goes_back);
    tcase_add_loop_test(tcase, pairs_are_clamped, 0, 2);
    tcase_add_test(tcase, pairs_go_back);
    tcase_add_test(tcase, broken_ones_are_caught);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
