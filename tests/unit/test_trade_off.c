/* The best numbers of KV heads for a budget: as good as trying all of them,
 * and never worse than one number for all. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "common/random.h"
#include "inspect/trade_off.h"
#include "suite.h"

enum { N = 4, HEADS = 8, CHOICES = 4, DIM = 2 };

static uint64_t counter;

static struct gqa_attention attentions[N];
static struct gqa_param params[1] = {{.dtype = GQA_F16}};
static const struct gqa_model model = {.params = params,
                                       .n_params = 1,
                                       .attentions = attentions,
                                       .n_attentions = N};
static struct gqa_sharing_choice choices[N][CHOICES];
static struct gqa_similar_heads heads[N];
static struct gqa_similarity similarity = {.attentions = heads, .n = N};

/* Losses at random that grow as heads get fewer; the last attention has half
 * as many heads. */
static void make_losses(void)
{
    for (size_t i = 0; i < N; i++) {
        const size_t skip = i == N - 1;
        double lost = 0;

        attentions[i] = (struct gqa_attention){.stack = GQA_STACK_DECODER,
                                               .layer = i,
                                               .n_heads = HEADS,
                                               .n_kv_heads = HEADS >> skip,
                                               .head_dim = DIM};
        for (size_t j = 0; j < CHOICES; j++) {
            choices[i][j].pooled = HEADS >> j;
            choices[i][j].predicted = lost;
            if (j >= skip)
                lost += gqa_random_uniform(5, counter++) * 0.3;
        }
        heads[i] = (struct gqa_similar_heads){.choices = choices[i] + skip,
                                              .n_choices = CHOICES - skip,
                                              .weight = 1};
    }
}

static struct gqa_trade_off *plan(double budget)
{
    struct gqa_trade_off *out = NULL;

    ck_assert_int_eq(gqa_trade_off_create(&out, &model, &similarity, budget),
                     GQA_OK);
    return out;
}

/* A KV head of DIM elements of two bytes, in K and in V. */
static uint64_t bytes_of(size_t attention, size_t choice)
{
    return heads[attention].choices[choice].pooled * DIM * 2 * 2;
}

/* The least lost of all combinations in no more bytes. */
static double try_all(uint64_t bytes)
{
    double best = INFINITY;

    for (size_t i = 0; i < 1 << 2 * N; i++) {
        uint64_t sum = 0;
        double lost = 0;

        for (size_t k = 0; k < N; k++) {
            const size_t j = (i >> 2 * k) % CHOICES;

            if (j >= heads[k].n_choices) {
                sum = UINT64_MAX;
                break;
            }
            sum += bytes_of(k, j);
            lost += heads[k].choices[j].predicted / N;
        }
        if (sum <= bytes)
            best = fmin(best, lost);
    }
    return best;
}

START_TEST(best_of_all)
{
    for (int round = 0; round < 20; round++) {
        const double budget = 0.2 + 0.04 * round;
        struct gqa_trade_off *t;
        uint64_t bytes = 0;
        double lost = 0;

        make_losses();
        t = plan(budget);
        for (size_t i = 0; i < t->n; i++) {
            bytes += bytes_of(i, t->picks[i]);
            lost += gqa_trade_off_pick(t, &similarity, i)->predicted / N;
        }
        ck_assert_uint_eq(bytes, t->chosen.bytes);
        ck_assert_double_eq_tol(lost, t->chosen.lost, 1e-12);
        ck_assert_double_le((double)bytes, budget * (double)t->stored + 1e-6);
        ck_assert_double_eq_tol(
            lost, try_all((uint64_t)(budget * (double)t->stored)), 1e-8);
        gqa_trade_off_free(t);
    }
}
END_TEST

START_TEST(never_worse_than_uniform)
{
    for (int round = 0; round < 20; round++) {
        struct gqa_trade_off *t;

        make_losses();
        t = plan(0);
        /* As stored, as they differ; 4, 2 and 1 for all. */
        ck_assert_uint_eq(t->n_uniform, 4);
        ck_assert_uint_eq(t->uniform[0].pooled, 0);
        ck_assert_uint_eq(t->uniform[0].at.bytes, t->stored);
        for (size_t i = 0; i < t->n_uniform; i++) {
            ck_assert_double_le(t->uniform[i].best,
                                t->uniform[i].at.lost + 1e-8);
            ck_assert_double_eq_tol(t->uniform[i].best,
                                    try_all(t->uniform[i].at.bytes), 1e-8);
        }
        ck_assert_uint_eq(t->curve[0].bytes, t->stored);
        for (size_t i = 1; i < t->n_curve; i++) {
            ck_assert_uint_lt(t->curve[i].bytes, t->curve[i - 1].bytes);
            ck_assert_double_gt(t->curve[i].lost, t->curve[i - 1].lost);
        }
        gqa_trade_off_free(t);
    }
}
END_TEST

START_TEST(budgets)
{
    struct gqa_trade_off *t = NULL;

    make_losses();
    t = plan(1);
    ck_assert_uint_eq(t->chosen.bytes, t->stored);
    ck_assert_double_eq(t->chosen.lost, 0);
    gqa_trade_off_free(t);
    ck_assert_int_eq(gqa_trade_off_create(&t, &model, &similarity, 0.1),
                     GQA_ERR_USAGE);
    ck_assert_str_eq(gqa_error_message(),
                     "--budget 10% of the KV cache is less than the fewest KV "
                     "heads that each attention can have take: 14.29%");
    /* Nothing to share: by itself it is as little as can be. */
    for (size_t i = 0; i < N; i++)
        heads[i].n_choices = 1;
    t = plan(0);
    ck_assert_uint_eq(t->chosen.bytes, t->stored);
    ck_assert_double_eq(t->budget, 1);
    gqa_trade_off_free(t);
}
END_TEST

START_TEST(refusals)
{
    struct gqa_trade_off *t = NULL;

    make_losses();
    for (size_t i = 0; i < N; i++)
        attentions[i].stack = GQA_STACK_ENCODER;
    ck_assert_int_eq(gqa_trade_off_create(&t, &model, &similarity, 0),
                     GQA_ERR_UNSUPPORTED);
    make_losses();
    attentions[2].head_dim = UINT64_MAX / 4;
    ck_assert_int_eq(gqa_trade_off_create(&t, &model, &similarity, 0),
                     GQA_ERR_UNSUPPORTED);
    make_losses();
    attentions[2].head_dim = (1 << 26) + 1;
    ck_assert_int_eq(gqa_trade_off_create(&t, &model, &similarity, 0),
                     GQA_ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trade_off");
    TCase *all = tcase_create("all");

    tcase_add_test(all, best_of_all);
    tcase_add_test(all, never_worse_than_uniform);
    tcase_add_test(all, budgets);
    tcase_add_test(all, refusals);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
