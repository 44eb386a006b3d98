/* Queries and keys fitted to scores: problems whose solution is known. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/conjugate.h"
#include "align/score_bias.h"
#include "align/scores.h"
#include "cpu_device.h"
#include "suite.h"

/* --- Conjugate gradients -------------------------------------------------- */

enum { GROUPS = 2, ROWS = 2, INPUTS = 3, N = ROWS * INPUTS };

/* C of the inputs, and its inverse. */
static const double moments[INPUTS][INPUTS] = {{2, 1, 0}, {1, 2, 0}, {0, 0, 4}};
static const double inverse[INPUTS][INPUTS] = {
    {2. / 3, -1. / 3, 0}, {-1. / 3, 2. / 3, 0}, {0, 0, 0.25}};

static enum gqa_status divide(void *ctx, double *x)
{
    (void)ctx;
    for (int r = 0; r < GROUPS * ROWS; r++) {
        double y[INPUTS];

        memcpy(y, x + r * INPUTS, sizeof y);
        for (int i = 0; i < INPUTS; i++) {
            x[r * INPUTS + i] = 0;
            for (int j = 0; j < INPUTS; j++)
                x[r * INPUTS + i] += y[j] * inverse[j][i];
        }
    }
    return GQA_OK;
}

/* A of each group: positive. */
static void make_operator(double a[GROUPS][N][N])
{
    for (int g = 0; g < GROUPS; g++) {
        double half[N][N];

        for (int i = 0; i < N * N; i++)
            half[i / N][i % N] = draw();
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                a[g][i][j] = i == j ? 0.1 : 0;
                for (int k = 0; k < N; k++)
                    a[g][i][j] += half[i][k] * half[j][k];
            }
    }
}

static void apply(double *out, double a[GROUPS][N][N], const double *x)
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < N; i++) {
            out[g * N + i] = 0;
            for (int j = 0; j < N; j++)
                out[g * N + i] += a[g][i][j] * x[g * N + j];
        }
}

/* With as many steps as there are unknowns, what is left is rounding; each
 * group by itself. */
START_TEST(solves_groups_side_by_side)
{
    const double s[GROUPS][ROWS][ROWS] = {{{2, 0.5}, {0.5, 1}},
                                          {{1, 0}, {0, 300}}};
    struct gqa_conjugate c = {.n_groups = GROUPS,
                              .n_heads = GROUPS,
                              .head_dim = ROWS,
                              .inputs = INPUTS,
                              .damping = 0.3,
                              .divide = divide};
    double a[GROUPS][N][N], b[GROUPS * N], given[GROUPS * N];
    double product[GROUPS * N];

    open_device(GQA_F64, 1); /* BLAS is loaded with it */
    make_operator(a);
    for (int i = 0; i < GROUPS * N; i++)
        b[i] = i < N ? draw() : 1000 * draw();
    memcpy(given, b, sizeof given);
    ck_assert_int_eq(gqa_conjugate_begin(&c, &s[0][0][0], given), GQA_OK);
    for (int i = 1; i <= N; i++) {
        apply(product, a, c.direction);
        ck_assert_int_eq(gqa_conjugate_next(&c, product, i == N), GQA_OK);
    }
    apply(product, a, c.solution);
    for (int g = 0; g < GROUPS; g++)
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < INPUTS; i++) {
                const int at = g * N + r * INPUTS + i;
                const double mean = (s[g][0][0] + s[g][1][1]) / 2;

                for (int q = 0; q < ROWS; q++)
                    for (int j = 0; j < INPUTS; j++)
                        product[at] +=
                            0.3 * (s[g][r][q] + (q == r ? 1e-3 * mean : 0)) *
                            moments[i][j] * c.solution[g * N + q * INPUTS + j];
                ck_assert_double_le(fabs(product[at] - b[at]), 1e-7);
            }
    gqa_conjugate_clear(&c);
    close_device();
}
END_TEST

/* --- Scores --------------------------------------------------------------- */

enum {
    HEADS = 2,
    DIM = 4,
    WIDTH = 6,
    TOKENS = 24,
    FIT = 7, /* sequences; two more are held out */
    PARTS = 3,
    OUTPUTS = HEADS * DIM,
    WEIGHTS = OUTPUTS * WIDTH,
};

/* An attention whose queries and keys are x times weights. */
struct problem {
    struct gqa_attention attention;
    struct gqa_attention_block block;
    struct gqa_score_records records;
    struct gqa_score_part parts[PARTS];
    double query[WEIGHTS], key[WEIGHTS];
};

static void *project(const double *x, uint64_t n, const double *weight)
{
    double *out = make(n * OUTPUTS, sizeof *out);
    void *raw;

    for (uint64_t r = 0; r < n; r++)
        for (uint64_t i = 0; i < OUTPUTS; i++)
            for (uint64_t j = 0; j < WIDTH; j++)
                out[r * OUTPUTS + i] +=
                    x[r * WIDTH + j] * weight[i * WIDTH + j];
    raw = rounded(out, n * OUTPUTS, real);
    free(out);
    return raw;
}

static void make_part(struct problem *p, size_t i)
{
    struct gqa_score_part *part = &p->parts[i];
    const uint64_t n = i == 0 ? FIT : 1;
    double *x, *ones = make(n * TOKENS * HEADS, sizeof *ones);

    memset(part, 0, sizeof *part);
    part->held_out = i > 0;
    part->n_sequences = n;
    part->n_new = part->n_keys = TOKENS;
    part->n_tokens = make(n, sizeof *part->n_tokens);
    part->key_counts = make(n, sizeof *part->key_counts);
    for (uint64_t s = 0; s < n; s++)
        part->n_tokens[s] = part->key_counts[s] = TOKENS - s;
    for (uint64_t r = 0; r < n * TOKENS * HEADS; r++)
        ones[r] = 1;
    part->weights = rounded(ones, n * TOKENS * HEADS, real);
    part->x = drawn(&x, n * TOKENS * WIDTH, real);
    part->q = project(x, n * TOKENS, p->query);
    part->k_rows = project(x, n * TOKENS, p->key);
    free(x);
    free(ones);
}

static void make_problem(struct problem *p)
{
    const struct gqa_head_place place = {HEADS, 0, HEADS, 0};

    memset(p, 0, sizeof *p);
    p->attention = (struct gqa_attention){.n_heads = HEADS,
                                          .n_kv_heads = HEADS,
                                          .head_dim = DIM,
                                          .kind = GQA_ATTENTION_SELF};
    p->block = (struct gqa_attention_block){.heads = &p->attention,
                                            .bias = {.table = GQA_NO_PARAM},
                                            .scale = 0.5,
                                            .causal = true};
    for (size_t i = 0; i < WEIGHTS; i++) {
        p->query[i] = draw();
        p->key[i] = draw();
    }
    p->records = (struct gqa_score_records){.backend = backend,
                                            .device = device,
                                            .real = real,
                                            .block = &p->block,
                                            .n_parts = PARTS,
                                            .q_width = OUTPUTS,
                                            .k_width = OUTPUTS,
                                            .q_place = place,
                                            .k_place = place};
    p->records.parts = make(PARTS, sizeof *p->records.parts);
    for (size_t i = 0; i < PARTS; i++) {
        make_part(p, i);
        p->records.parts[i] = p->parts[i];
    }
    ck_assert_int_eq(gqa_score_records_finish(&p->records), GQA_OK);
}

/* A weight that is off by so much. */
static struct gqa_head_rows rows_of(const double *weight, double off)
{
    struct gqa_head_rows rows = {
        .n = OUTPUTS, .inputs = WIDTH, .dtype = GQA_F64};

    rows.weight = make(rows.n * WIDTH, sizeof *rows.weight);
    for (size_t i = 0; i < WEIGHTS; i++)
        rows.weight[i] = weight[i] + off * draw();
    return rows;
}

/* Queries that are wrong beside keys that are right have one solution. */
START_TEST(finds_the_queries)
{
    struct problem p;
    struct gqa_head_rows queries, keys;
    struct gqa_scores_gain gain;

    open_device(reals[_i], 2);
    make_problem(&p);
    queries = rows_of(p.query, 0.5);
    keys = rows_of(p.key, 0);
    ck_assert_int_eq(
        gqa_scores_fit(&queries, &keys, &gain,
                       &(struct gqa_scores_job){.records = &p.records,
                                                .block = &p.block,
                                                .becomes = &p.block,
                                                .pooled = HEADS}),
        GQA_OK);
    ck_assert(gain.queries);
    ck_assert_double_le(gain.after, 1e-2 * gain.before);
    gqa_head_rows_clear(&queries);
    gqa_head_rows_clear(&keys);
    gqa_score_records_clear(&p.records);
    close_device();
}
END_TEST

/* What gains nothing where it was held out stays as it is, to the bit. */
START_TEST(keeps_what_gains_nothing)
{
    struct problem p;
    struct gqa_head_rows queries, keys;
    struct gqa_scores_gain gain;

    open_device(GQA_F64, 2);
    make_problem(&p);
    queries = rows_of(p.query, 0);
    keys = rows_of(p.key, 0);
    /* Nothing of what is held out counts, and so it cannot gain. */
    for (size_t i = 0; i < PARTS; i++)
        if (p.records.parts[i].held_out)
            memset(p.records.parts[i].weights, 0,
                   sizeof(double) * TOKENS * HEADS);
    queries.weight[0] += 1;
    ck_assert_int_eq(
        gqa_scores_fit(&queries, &keys, &gain,
                       &(struct gqa_scores_job){.records = &p.records,
                                                .block = &p.block,
                                                .becomes = &p.block,
                                                .pooled = HEADS}),
        GQA_OK);
    ck_assert(!gain.queries && !gain.keys);
    ck_assert_double_eq(gain.after, gain.before);
    ck_assert_double_eq(queries.weight[0], p.query[0] + 1);
    ck_assert_mem_eq(keys.weight, p.key, sizeof p.key);
    gqa_head_rows_clear(&queries);
    gqa_head_rows_clear(&keys);
    gqa_score_records_clear(&p.records);
    close_device();
}
END_TEST

/* --- How much rows and heads count ---------------------------------------- */

enum { N_NEW = 2, STREAM = 3 };

/* Weights of the two tokens' heads, the stream behind them having the mean
 * squares 4 and 25. */
static void weigh(double out[N_NEW * HEADS], const double *outputs)
{
    double stream[] = {2, -2, 2, 5, 5, -5};
    const uint64_t n_tokens = N_NEW, start = 0, number = 0;
    struct gqa_attention attention = {.n_heads = HEADS,
                                      .n_kv_heads = HEADS,
                                      .head_dim = DIM,
                                      .kind = GQA_ATTENTION_SELF};
    const struct gqa_attention_block block = {.heads = &attention};
    struct gqa_score_records records = {.backend = backend,
                                        .device = device,
                                        .real = real,
                                        .n_threads = 1,
                                        .block = &block,
                                        .outputs = outputs};
    const struct gqa_tapped tapped = {.point = GQA_TAP_AFTER_ATTENTION,
                                      .kind = GQA_ATTENTION_SELF,
                                      .x = stream,
                                      .width = STREAM,
                                      .n_rows = N_NEW,
                                      .n_sequences = 1,
                                      .n_new = N_NEW,
                                      .n_tokens = &n_tokens,
                                      .starts = &start,
                                      .numbers = &number,
                                      .backend = backend,
                                      .device = device,
                                      .real = real};

    ck_assert_int_eq(gqa_score_records_see_original(&records, &tapped), GQA_OK);
    ck_assert_uint_eq(records.n_parts, 1);
    memcpy(out, records.parts[0].weights, sizeof(double[N_NEW * HEADS]));
    gqa_score_records_clear(&records);
}

START_TEST(heads_count_as_they_add)
{
    const double three[] = {3, 1}, nothing[] = {0, 0};
    const double one[] = {0, 5}, endless[] = {INFINITY, 1};
    double w[N_NEW * HEADS];

    open_device(GQA_F64, 1);
    weigh(w, NULL);
    ck_assert_double_eq(w[0], 0.25);
    ck_assert_double_eq(w[1], 0.25);
    ck_assert_double_eq(w[2], 0.04);
    weigh(w, three);
    ck_assert_double_eq_tol(w[0], 0.25 * 1.51 / 1.01, 1e-15);
    ck_assert_double_eq_tol(w[1], 0.25 * 0.51 / 1.01, 1e-15);
    ck_assert_double_eq_tol(w[2], 0.04 * 1.51 / 1.01, 1e-15);
    /* A head that adds nothing counts all the same, and what tells nothing
     * changes nothing. */
    weigh(w, one);
    ck_assert_double_eq_tol(w[0], 0.25 * 0.01 / 1.01, 1e-15);
    weigh(w, nothing);
    ck_assert_double_eq(w[0], 0.25);
    weigh(w, endless);
    ck_assert_double_eq(w[1], 0.25);
    close_device();
}
END_TEST

/* One bucket a distance of -1, 0, 1 and more, of two heads; what is farther
 * away than one position counts nothing. */
START_TEST(biases_end_within_reach)
{
    static const double table[4 * 2] = {1, 10, 2, 20, 3, 30, 4, 40};
    static const struct gqa_attention heads = {.n_heads = 2};
    const struct gqa_attention_block block = {
        .heads = &heads,
        .bias = {.n_buckets = 4, .max_distance = 8, .bidirectional = true},
        .within = 1,
    };
    double got[2 * 5];
    void *bias;

    open_device(GQA_F64, 1);
    ck_assert_int_eq(gqa_score_bias_upload(&bias, backend, device, GQA_F64,
                                           &block, table, 3),
                     GQA_OK);
    memcpy(got, bias, sizeof got);
    for (int h = 0; h < 2; h++) {
        ck_assert_double_lt(got[5 * h], -1e29);
        ck_assert_double_eq(got[5 * h + 1], h ? 20 : 2);
        ck_assert_double_eq(got[5 * h + 2], h ? 10 : 1);
        ck_assert_double_eq(got[5 * h + 3], h ? 40 : 4);
        ck_assert_double_lt(got[5 * h + 4], -1e29);
    }
    backend->free(device, bias);
    close_device();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("score_fit");
    TCase *tc = tcase_create("core");

    tcase_add_test(tc, solves_groups_side_by_side);
    tcase_add_loop_test(tc, finds_the_queries, 0, 2);
    tcase_add_test(tc, keeps_what_gains_nothing);
    tcase_add_test(tc, heads_count_as_they_add);
    tcase_add_test(tc, biases_end_within_reach);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
