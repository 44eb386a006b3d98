/*
 * Keys that stand for several tokens (runtime/summaries.h): what they sum up,
 * attention to them beside the tokens' own, and both backwards.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradient_check.h"
#include "runtime/summaries.h"
#include "suite.h"

/* Of 14, 7 and 3 tokens in pieces of 4 there are 3, 1 and none. */
enum { SEQUENCES = 3, NEW = 14, ROWS = SEQUENCES * NEW, SIZE = 4, MOST = 3 };
enum { HEADS = 4, KV_HEADS = 2, DIM = 5, WIDTH = HEADS * DIM, REACH = 4 };
enum { Q_WIDTH = WIDTH + 3, CACHE = SEQUENCES * KV_HEADS * NEW * DIM };
enum { SUMMARIES = SEQUENCES * KV_HEADS * MOST * DIM };
enum { N_BIAS = HEADS * (2 * REACH - 1) };

static const uint64_t n_tokens[SEQUENCES] = {14, 7, 3};
static const uint64_t starts[SEQUENCES];
static const int32_t tokens[ROWS];
static const struct gqa_batch batch = {SEQUENCES, NEW, tokens, n_tokens,
                                       starts};
static const struct gqa_summaries summaries = {.size = SIZE};

static void set_batch(void)
{
    ck_assert_int_eq(backend->set_batch(device, &batch), GQA_OK);
}

static bool is_padding(size_t row)
{
    return row % NEW >= n_tokens[row / NEW];
}

START_TEST(counts)
{
    uint64_t n[SEQUENCES];
    struct gqa_batch own;

    gqa_summaries_count(n, &batch, SIZE);
    ck_assert_uint_eq(n[0], 3);
    ck_assert_uint_eq(n[1], 1);
    ck_assert_uint_eq(n[2], 0);
    own = gqa_summaries_batch(&batch, n, MOST);
    ck_assert_uint_eq(own.n_sequences, SEQUENCES);
    ck_assert_uint_eq(own.n_new, MOST);
    ck_assert_ptr_eq(own.n_tokens, n);
    ck_assert_uint_eq(gqa_summaries_reach(&summaries, 14), 3);
    ck_assert_uint_eq(gqa_summaries_reach(&summaries, 3), 1);
}
END_TEST

/* Row r is [r, 10 r]; tokens behind the last whole piece count to it, and rows
 * of padding to none. */
START_TEST(sums_up)
{
    double x[ROWS * 2], got[SEQUENCES * MOST * 2];
    const double want[] = {
        0 + 1 + 2 + 3,
        60,
        4 + 5 + 6 + 7,
        220,
        8 + 9 + 10 + 11 + 12 + 13,
        630,
        14 + 15 + 16 + 17 + 18 + 19 + 20,
        1190,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    };
    void *in, *out;

    open_device(reals[_i], 2);
    set_batch();
    for (size_t i = 0; i < ROWS; i++) {
        x[2 * i] = (double)i;
        x[2 * i + 1] = 10 * (double)i;
    }
    in = rounded(x, ROWS * 2, real);
    out = poisoned(SEQUENCES * MOST * 2);
    ck_assert_int_eq(backend->sum_pieces(device, out, in, 2, SIZE, MOST),
                     GQA_OK);
    gqa_load_f64(got, out, real, SEQUENCES * MOST * 2);
    for (size_t i = 0; i < SEQUENCES * MOST * 2; i++)
        ck_assert_double_eq(got[i], want[i]);
    free(in);
    free(out);
    close_device();
}
END_TEST

/* --- Attention ------------------------------------------------------------ */

/* The values of one attention: as doubles, and as the device has them. */
struct inputs {
    double *host[6];
    void *device[6];
};
enum { Q, K, V, OTHER_K, OTHER_V, BIAS };

static const size_t lengths[] = {ROWS * Q_WIDTH, CACHE,     CACHE,
                                 SUMMARIES,      SUMMARIES, N_BIAS};

static struct gqa_attention_op op_of(void *const in[6])
{
    return (struct gqa_attention_op){
        .q = in[Q],
        .q_width = Q_WIDTH,
        .q_place = {HEADS, 2, HEADS, 0},
        .k = in[K],
        .v = in[V],
        .n_kv_heads = KV_HEADS,
        .head_dim = DIM,
        .capacity = NEW,
        .scale = 0.9,
    };
}

/* To tokens and summaries, each by itself, and then both. room: what the
 * latter make, and the sum of their exponentials. */
static struct gqa_attention_op attend(void *const in[6], void *out, void *lse,
                                      void *room[2], const uint64_t *n)
{
    struct gqa_attention_op op = op_of(in);
    struct gqa_attention_op own = gqa_summaries_op(&op, &summaries, n, MOST);

    op.out = out;
    op.lse = lse;
    own.out = room[0];
    own.lse = room[1];
    own.k = in[OTHER_K];
    own.v = in[OTHER_V];
    own.bias = in[BIAS];
    own.reach = REACH;
    ck_assert_int_eq(backend->attend(device, &op), GQA_OK);
    ck_assert_int_eq(backend->attend(device, &own), GQA_OK);
    ck_assert_int_eq(
        backend->merge(device, out, lse, own.out, own.lse, HEADS, DIM), GQA_OK);
    own.out = out;
    own.lse = lse;
    return own;
}

/* exp(score) of a key, which adds its value to out; returns it. */
static double add_key(double *out, const double *q, const double *k,
                      const double *v, double bias)
{
    double score = 0;

    for (int d = 0; d < DIM; d++)
        score += q[d] * k[d];
    score = exp(score * 0.9 + bias);
    for (int d = 0; d < DIM; d++)
        out[d] += score * v[d];
    return score;
}

/* One softmax of all keys that query i of a sequence sees. */
static double attend_plainly(double *out, double *const in[6], size_t s,
                             size_t i, size_t h)
{
    const size_t kv = s * KV_HEADS + h / (HEADS / KV_HEADS);
    const size_t n = n_tokens[s] / SIZE,
                 place = i / SIZE < n ? i / SIZE : n - 1;
    const double *q = in[Q] + (s * NEW + i) * Q_WIDTH + 2 + h * DIM;
    double total = 0;

    memset(out, 0, DIM * sizeof *out);
    for (size_t c = 0; c < n_tokens[s]; c++) {
        const size_t at = (kv * NEW + c) * DIM;

        total += add_key(out, q, in[K] + at, in[V] + at, 0);
    }
    for (size_t c = 0; c < n; c++) {
        const size_t at = (kv * MOST + c) * DIM;

        total += add_key(out, q, in[OTHER_K] + at, in[OTHER_V] + at,
                         in[BIAS][h * (2 * REACH - 1) + c + REACH - 1 - place]);
    }
    for (int d = 0; d < DIM; d++)
        out[d] /= total;
    return log(total);
}

/* Room for summaries that a sequence does not have is never read. */
static void spoil(double *host, void **in_device, const uint64_t *n)
{
    for (size_t i = 0; i < SUMMARIES; i++)
        if (i / DIM % MOST >= n[i / (KV_HEADS * MOST * DIM)])
            host[i] = NAN;
    free(*in_device);
    *in_device = rounded(host, SUMMARIES, real);
}

START_TEST(attends_to_both)
{
    double want[ROWS * WIDTH], want_lse[ROWS * HEADS];
    double got[ROWS * WIDTH], got_lse[ROWS * HEADS];
    struct inputs in;
    void *out, *lse, *room[2];
    uint64_t n[SEQUENCES];

    open_device(reals[_i], 2);
    set_batch();
    gqa_summaries_count(n, &batch, SIZE);
    for (int i = 0; i < 6; i++)
        in.device[i] = drawn(&in.host[i], lengths[i], real);
    spoil(in.host[OTHER_K], &in.device[OTHER_K], n);
    spoil(in.host[OTHER_V], &in.device[OTHER_V], n);
    out = poisoned(ROWS * WIDTH);
    lse = poisoned(ROWS * HEADS);
    room[0] = poisoned(ROWS * WIDTH);
    room[1] = poisoned(ROWS * HEADS);
    attend(in.device, out, lse, room, n);
    gqa_load_f64(got, out, real, ROWS * WIDTH);
    gqa_load_f64(got_lse, lse, real, ROWS * HEADS);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t h = 0; h < HEADS; h++) {
            double *to = want + r * WIDTH + h * DIM;

            if (!is_padding(r)) {
                want_lse[r * HEADS + h] =
                    attend_plainly(to, in.host, r / NEW, r % NEW, h);
                continue;
            }
            /* Whatever is finite. */
            want_lse[r * HEADS + h] = got_lse[r * HEADS + h];
            memcpy(to, got + r * WIDTH + h * DIM, DIM * sizeof *to);
        }
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        ck_assert(isfinite(got[i]));
    check_close(out, want, ROWS * WIDTH, "attention to both");
    check_close(lse, want_lse, ROWS * HEADS, "sum of both");
    for (int i = 0; i < 6; i++) {
        free(in.host[i]);
        free(in.device[i]);
    }
    free(out);
    free(lse);
    free(room[0]);
    free(room[1]);
    close_device();
}
END_TEST

/* --- Backwards ------------------------------------------------------------ */

struct ctx {
    void *values; /* of tokens, which are no variable */
    void *out, *lse, *room[2], *d_out, *d_v;
    uint64_t n[SEQUENCES];
};

static struct gqa_attention_op run(const struct problem *p)
{
    struct ctx *c = p->ctx;
    const struct variable *v = p->variables;
    void *const in[] = {v[0].x, v[1].x, c->values, v[2].x, v[3].x, v[4].x};

    return attend(in, c->out, c->lse, c->room, c->n);
}

static double value(const struct problem *p)
{
    const struct ctx *c = p->ctx;

    run(p);
    return dot(c->out, c->d_out, ROWS * WIDTH);
}

static void back(const struct problem *p)
{
    struct ctx *c = p->ctx;
    const struct variable *v = p->variables;
    void *const in[] = {v[0].x, v[1].x, c->values, v[2].x, v[3].x, v[4].x};
    struct gqa_attention_gradient op = {
        .forward = run(p),
        .d_out = c->d_out,
        .d_q = v[0].dx,
        .d_k = v[2].dx,
        .d_v = v[3].dx,
        .d_bias = v[4].dx,
    };

    ck_assert_int_eq(ops.attend_back(device, &op), GQA_OK);
    op.forward = op_of(in);
    op.forward.out = c->out;
    op.forward.lse = c->lse;
    op.adds_q = true;
    op.d_k = v[1].dx;
    op.d_v = c->d_v;
    op.d_bias = NULL;
    ck_assert_int_eq(ops.attend_back(device, &op), GQA_OK);
}

static void make_attention(struct problem *p, const void *wanted)
{
    struct ctx *c = make(1, sizeof *c);

    (void)wanted;
    set_batch();
    gqa_summaries_count(c->n, &batch, SIZE);
    c->values = drawn_reals(CACHE);
    c->out = zero_reals(ROWS * WIDTH);
    c->lse = zero_reals(ROWS * HEADS);
    c->room[0] = zero_reals(ROWS * WIDTH);
    c->room[1] = zero_reals(ROWS * HEADS);
    c->d_v = zero_reals(CACHE);
    c->d_out = drawn_reals(ROWS * WIDTH);
    for (size_t r = 0; r < ROWS; r++)
        if (is_padding(r))
            memset((char *)c->d_out + r * WIDTH * bytes_of(real), 0,
                   WIDTH * bytes_of(real));
    add_variable(p, "queries", ROWS * Q_WIDTH);
    add_variable(p, "keys", CACHE);
    add_variable(p, "summaries' keys", SUMMARIES);
    add_variable(p, "summaries' values", SUMMARIES);
    add_variable(p, "summaries' biases", N_BIAS);
    p->ctx = c;
    p->value = value;
    p->back = back;
}

static void end_attention(struct problem *p)
{
    struct ctx *c = p->ctx;

    free(c->values);
    free(c->out);
    free(c->lse);
    free(c->room[0]);
    free(c->room[1]);
    free(c->d_v);
    free(c->d_out);
    free(c);
    end_problem(p);
}

static const struct gradient_test attention_test = {make_attention,
                                                    end_attention};

START_TEST(attention_goes_back)
{
    check_gradients(&attention_test, NULL);
}
END_TEST

enum { COLUMNS = 3, N_SUMS = SEQUENCES * MOST * COLUMNS };

static double sums_value(const struct problem *p)
{
    struct ctx *c = p->ctx;

    ck_assert_int_eq(backend->sum_pieces(device, c->out, p->variables[0].x,
                                         COLUMNS, SIZE, MOST),
                     GQA_OK);
    return dot(c->out, c->d_out, N_SUMS);
}

static void sums_back(const struct problem *p)
{
    const struct ctx *c = p->ctx;

    ck_assert_int_eq(ops.sum_pieces(device, p->variables[0].dx, c->d_out,
                                    COLUMNS, SIZE, MOST),
                     GQA_OK);
}

static void make_sums(struct problem *p, const void *wanted)
{
    struct ctx *c = make(1, sizeof *c);

    (void)wanted;
    set_batch();
    c->out = zero_reals(N_SUMS);
    c->d_out = drawn_reals(N_SUMS);
    add_variable(p, "rows", ROWS * COLUMNS);
    p->ctx = c;
    p->value = sums_value;
    p->back = sums_back;
}

static const struct gradient_test sums_test = {make_sums, end_attention};

START_TEST(sums_go_back)
{
    check_gradients(&sums_test, NULL);
}
END_TEST

/* --- Broken --------------------------------------------------------------- */

static enum gqa_status of_one_token(struct gqa_device *d,
                                    const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.per_key = 0;
    broken.forward.reach = op->forward.per_key ? NEW : op->forward.reach;
    broken.forward.bias = broken.d_bias = NULL;
    return whole_ops()->attend_back(d, &broken);
}

static enum gqa_status set_anew(struct gqa_device *d,
                                const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.adds_q = false;
    return whole_ops()->attend_back(d, &broken);
}

static enum gqa_status of_half_the_size(struct gqa_device *d, void *dx,
                                        const void *dy, uint64_t width,
                                        uint64_t size, uint64_t n_out)
{
    return whole_ops()->sum_pieces(d, dx, dy, width, size / 2, n_out);
}

START_TEST(broken_ones_are_caught)
{
    mend_ops();
    ops.attend_back = of_one_token;
    check_caught(&attention_test, NULL, "no bias of summaries");
    ops.attend_back = set_anew;
    check_caught(&attention_test, NULL, "gradients that are set, not added");
    ops.sum_pieces = of_half_the_size;
    check_caught(&sums_test, NULL, "pieces of another size");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("summaries");
    TCase *tcase = tcase_create("summaries");

    tcase_add_test(tcase, counts);
    tcase_add_loop_test(tcase, sums_up, 0, 2);
    tcase_add_loop_test(tcase, attends_to_both, 0, 2);
    tcase_add_test(tcase, attention_goes_back);
    tcase_add_test(tcase, sums_go_back);
    tcase_add_test(tcase, broken_ones_are_caught);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
