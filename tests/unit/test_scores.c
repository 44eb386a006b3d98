/* Scores of other queries and keys against an attention's own: the operation
 * of the CPU backend, held against loops over every query and key. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/signs.h"
#include "cpu_device.h"
#include "suite.h"

enum { SEQUENCES = 3, CAPACITY = 150, REACH = 200, DIM = 8 };

struct score_case {
    uint64_t n_heads, n_own, n_other; /* KV heads of each */
    uint64_t n_new, n_tokens[SEQUENCES], starts[SEQUENCES];
    bool causal, counted, biased, weighed, mapped, subtract, plain;
    uint64_t window, probe;
    double soft_cap;
};

static const struct score_case cases[] = {
    {4, 4, 2, 130, {130, 97, 0}, {0}, .causal = true, .subtract = true},
    {4,
     4,
     1,
     70,
     {70, 1, 64},
     {0, 5, 3},
     .causal = true,
     .window = 9,
     .weighed = true,
     .subtract = true},
    {4,
     2,
     2,
     65,
     {65, 20, 64},
     {0},
     .biased = true,
     .weighed = true,
     .subtract = true,
     .mapped = true},
    {6,
     6,
     3,
     33,
     {33, 2, 0},
     {0},
     .counted = true,
     .weighed = true,
     .mapped = true},
    {4,
     2,
     4,
     40,
     {40, 30, 7},
     {0},
     .causal = true,
     .soft_cap = 0.7,
     .subtract = true},
    {4,
     4,
     2,
     90,
     {90, 11, 5},
     {0, 0, 2},
     .causal = true,
     .weighed = true,
     .mapped = true,
     .probe = 77},
    {6,
     6,
     2,
     90,
     {90, 0, 5},
     {0, 0, 2},
     .counted = true,
     .biased = true,
     .weighed = true,
     .plain = true},
    {4, 2, 1, 70, {70, 8, 64}, {0}, .causal = true, .window = 9, .plain = true},
};

/* All that an operation is given, and the same as doubles. */
struct values {
    double *q, *k, *other_q, *other_k, *bias, *weights;
    void *device[6];
    uint64_t heads[8], counts[SEQUENCES], n_rows, width, other_width;
    struct gqa_score_op op;
};

static void make_values(struct values *v, const struct score_case *c)
{
    memset(v, 0, sizeof *v);
    v->n_rows = SEQUENCES * c->n_new;
    v->width = c->n_heads * DIM + 3;
    v->other_width = c->n_heads * (DIM + 1);
    v->device[0] = drawn(&v->q, v->n_rows * v->width, real);
    v->device[1] = drawn(&v->k, SEQUENCES * c->n_own * CAPACITY * DIM, real);
    v->device[2] = drawn(&v->other_q, v->n_rows * v->other_width, real);
    v->device[3] =
        drawn(&v->other_k, SEQUENCES * c->n_other * CAPACITY * DIM, real);
    v->device[4] = drawn(&v->bias, c->n_heads * (2 * REACH - 1), real);
    v->weights = make(v->n_rows * c->n_heads, sizeof *v->weights);
    for (size_t i = 0; i < v->n_rows * c->n_heads; i++)
        v->weights[i] = c->weighed ? 1 + draw() : 1;
    v->device[5] = rounded(v->weights, v->n_rows * c->n_heads, real);
    for (uint64_t h = 0; h < c->n_heads; h++)
        v->heads[h] = c->mapped ? (5 * h + 3) % c->n_heads : h;
    for (uint64_t s = 0; s < SEQUENCES; s++)
        v->counts[s] = c->counted ? 50 * s + 10 : c->starts[s] + c->n_tokens[s];
    v->op = (struct gqa_score_op){
        .original = {.q = v->device[0],
                     .q_width = v->width,
                     .q_place = {c->n_heads, 2, c->n_heads, 0},
                     .k = v->device[1],
                     .n_kv_heads = c->n_own,
                     .head_dim = DIM,
                     .capacity = CAPACITY,
                     .scale = 0.9,
                     .soft_cap = c->soft_cap,
                     .causal = c->causal,
                     .window = c->window,
                     .key_counts = c->counted ? v->counts : NULL,
                     .bias = c->biased ? v->device[4] : NULL,
                     .reach = REACH},
        .q = v->device[2],
        .q_width = v->other_width,
        .q_place = {c->n_heads, 1, 1, DIM + 1},
        .k = v->device[3],
        .n_kv_heads = c->n_other,
        .heads = c->mapped ? v->heads : NULL,
        .weights = c->weighed ? v->device[5] : NULL,
        .scale = 1.1,
        .subtract = c->subtract,
        .probe = c->probe,
        .plain = c->plain};
    if (c->plain)
        v->op.k = NULL;
    v->op.out_q = poisoned(v->n_rows * c->n_heads * DIM);
    v->op.out_k = poisoned(SEQUENCES * CAPACITY * c->n_other * DIM);
    v->op.losses = make(c->n_heads, sizeof(double));
}

static void free_values(struct values *v)
{
    double *const all[] = {v->q,       v->k,    v->other_q,
                           v->other_k, v->bias, v->weights};

    for (int i = 0; i < 6; i++) {
        free(all[i]);
        free(v->device[i]);
    }
    free(v->op.out_q);
    free(v->op.out_k);
    free(v->op.losses);
}

static double product(const double *a, const double *b)
{
    double sum = 0;

    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The keys that a query sees, [first, end), and their softmax. */
static void attend_one(double *p, double *scores, uint64_t *first,
                       uint64_t *end, const struct values *v,
                       const struct score_case *c, uint64_t s, uint64_t i,
                       uint64_t head)
{
    const uint64_t position = c->starts[s] + i;
    const double *q = v->q + (s * c->n_new + i) * v->width + 2 + head * DIM;
    const double *k =
        v->k + (s * c->n_own + head / (c->n_heads / c->n_own)) * CAPACITY * DIM;
    double most = -INFINITY, total = 0;

    *end = c->causal ? position + 1 : v->counts[s];
    *first = c->causal && c->window && *end > c->window ? *end - c->window : 0;
    for (uint64_t j = *first; j < *end; j++) {
        scores[j] = 0.9 * product(q, k + j * DIM);
        p[j] = c->soft_cap > 0 ? c->soft_cap * tanh(scores[j] / c->soft_cap)
                               : scores[j];
        if (c->biased)
            p[j] += v->bias[head * (2 * REACH - 1) + j + REACH - 1 - position];
        most = fmax(most, p[j]);
    }
    for (uint64_t j = *first; j < *end; j++)
        total += p[j] = exp(p[j] - most);
    for (uint64_t j = *first; j < *end; j++)
        p[j] /= total;
}

/* r of a query, in place of e, and what it adds to the loss. */
static double compare_one(double *r, const double *p, uint64_t first,
                          uint64_t end, double weight, uint64_t probe,
                          uint64_t key)
{
    double mean = 0, loss = 0;

    for (uint64_t j = first; j < end; j++) {
        if (probe)
            r[j] = sqrt(p[j]) * (gqa_sign_bit(key, j) ? -1 : 1);
        mean += probe ? r[j] : p[j] * r[j];
    }
    for (uint64_t j = first; j < end; j++) {
        const double e = r[j] - mean;

        r[j] = probe ? sqrt(weight) * (r[j] - p[j] * mean) : weight * p[j] * e;
        loss += probe ? 0 : r[j] * e;
    }
    return loss;
}

static void compute(double *out_q, double *out_k, double *losses,
                    const struct values *v, const struct score_case *c)
{
    double p[CAPACITY], own[CAPACITY], r[CAPACITY];

    for (uint64_t s = 0; s < SEQUENCES; s++)
        for (uint64_t i = 0; i < c->n_tokens[s]; i++)
            for (uint64_t h = 0; h < c->n_heads; h++) {
                const uint64_t row = s * c->n_new + i;
                const uint64_t g = h / (c->n_heads / c->n_other);
                const double *q =
                    v->other_q + row * v->other_width + 1 + h * (DIM + 1);
                const double *k =
                    v->other_k + (s * c->n_other + g) * CAPACITY * DIM;
                uint64_t first, end;

                attend_one(p, own, &first, &end, v, c, s, i, v->heads[h]);
                for (uint64_t j = first; j < end; j++)
                    r[j] = 1.1 * product(q, k + j * DIM) -
                           (c->subtract ? own[j] : 0);
                if (c->plain)
                    for (uint64_t j = first; j < end; j++)
                        r[j] = v->weights[row * c->n_heads + h] * p[j];
                else
                    losses[h] += compare_one(
                        r, p, first, end, v->weights[row * c->n_heads + h],
                        c->probe,
                        gqa_sign_key(c->probe, s, h, c->starts[s] + i));
                for (uint64_t j = first; j < end; j++)
                    for (uint64_t x = 0; x < DIM; x++) {
                        out_q[(row * c->n_heads + h) * DIM + x] +=
                            1.1 * r[j] * k[j * DIM + x];
                        out_k[((s * CAPACITY + j) * c->n_other + g) * DIM +
                              x] += 1.1 * r[j] * q[x];
                    }
            }
}

START_TEST(compares)
{
    const struct score_case *c = &cases[_i];

    for (int type = 0; type < 2; type++) {
        struct values v;
        double *out_q, *out_k, losses[8] = {0};
        void *tokens, *wanted_q;

        open_device(reals[type], 2);
        make_values(&v, c);
        tokens = make(v.n_rows, sizeof(int32_t));
        out_q = make(v.n_rows * c->n_heads * DIM, sizeof *out_q);
        out_k = make(SEQUENCES * CAPACITY * c->n_other * DIM, sizeof *out_k);
        ck_assert_int_eq(
            backend->set_batch(device,
                               &(struct gqa_batch){SEQUENCES, c->n_new, tokens,
                                                   c->n_tokens, c->starts}),
            GQA_OK);
        wanted_q = v.op.out_q;
        if (c->plain)
            v.op.out_q = NULL;
        ck_assert_int_eq(backend->scores(device, &v.op), GQA_OK);
        v.op.out_q = wanted_q;
        compute(out_q, out_k, losses, &v, c);
        if (!c->plain)
            check_within(type ? 1e-13 : 3e-6, v.op.out_q, out_q,
                         v.n_rows * c->n_heads * DIM, "queries");
        check_within(type ? 1e-13 : 3e-6, v.op.out_k, out_k,
                     SEQUENCES * CAPACITY * c->n_other * DIM, "keys");
        for (uint64_t h = 0; h < c->n_heads; h++)
            ck_assert_double_le(fabs(v.op.losses[h] - losses[h]),
                                (type ? 1e-13 : 3e-6) * losses[h]);
        free(out_q);
        free(out_k);
        free(tokens);
        free_values(&v);
        close_device();
    }
}
END_TEST

/* The same bits for any number of threads, and without what is not wanted. */
START_TEST(repeats)
{
    const struct score_case *c = &cases[0];
    const size_t n = SEQUENCES * CAPACITY * c->n_other * DIM * sizeof(float);
    void *first = NULL;
    double losses[8];

    for (unsigned threads = 1; threads <= 3; threads++) {
        struct values v;
        void *tokens;

        open_device(GQA_F32, threads);
        seed_draws(5);
        make_values(&v, c);
        tokens = make(v.n_rows, sizeof(int32_t));
        ck_assert_int_eq(
            backend->set_batch(device,
                               &(struct gqa_batch){SEQUENCES, c->n_new, tokens,
                                                   c->n_tokens, c->starts}),
            GQA_OK);
        ck_assert_int_eq(backend->scores(device, &v.op), GQA_OK);
        if (first) {
            ck_assert_mem_eq(v.op.out_k, first, n);
            ck_assert_mem_eq(v.op.losses, losses, c->n_heads * sizeof *losses);
        } else {
            first = make(n, 1);
            memcpy(first, v.op.out_k, n);
            memcpy(losses, v.op.losses, c->n_heads * sizeof *losses);
        }
        free(v.op.out_k);
        v.op.out_k = NULL;
        ck_assert_int_eq(backend->scores(device, &v.op), GQA_OK);
        for (uint64_t h = 0; h < c->n_heads; h++)
            ck_assert_double_le(fabs(v.op.losses[h] - losses[h]),
                                1e-12 * losses[h]);
        free(tokens);
        free_values(&v);
        close_device();
    }
    free(first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scores");
    TCase *tc = tcase_create("cpu");
    const int n = (int)(sizeof cases / sizeof *cases);

    tcase_add_loop_test(tc, compares, 0, n);
    tcase_add_test(tc, repeats);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
