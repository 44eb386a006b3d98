/* How alike heads are: those that are the same, those that are turned, and
 * those that have nothing in common; and what their groups lose. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/compare.h"
#include "align/energies.h"
#include "align/moments.h"
#include "runtime/blas.h"
#include "suite.h"

static struct gqa_checkpoint *checkpoint;
static struct gqa_model *model;
static const struct gqa_attention *cross;
static struct gqa_head_statistics statistics;

static void setup(void)
{
    const struct gqa_checkpoint_options options = {0};
    const struct gqa_model_hints hints = {0};
    char path[4096];

    snprintf(path, sizeof path, "%s/sample/t5-tiny16", getenv("GQA_TEST_DATA"));
    ck_assert_int_eq(gqa_blas_load(3), GQA_OK);
    ck_assert_int_eq(gqa_checkpoint_open(&checkpoint, path, &options), GQA_OK);
    ck_assert_int_eq(gqa_model_create(&model, checkpoint, &hints), GQA_OK);
    for (size_t i = 0; i < model->n_attentions && !cross; i++)
        if (model->attentions[i].kind == GQA_ATTENTION_CROSS)
            cross = &model->attentions[i];
    ck_assert_int_eq(gqa_head_statistics_create(&statistics, cross), GQA_OK);
    ck_assert_int_eq(
        gqa_statistics_of_weights(&statistics, checkpoint, model, cross, 2),
        GQA_OK);
}

static void teardown(void)
{
    gqa_head_statistics_clear(&statistics);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    cross = NULL;
}

static void compare(struct gqa_compared_heads *out, unsigned n_threads)
{
    ck_assert_int_eq(gqa_compare_heads(out, checkpoint, model, cross, NULL,
                                       &statistics, true, n_threads),
                     GQA_OK);
}

/* Keys and values of head h are turns[h] of the same, which are spread alike
 * over all dimensions: 0 as it is, 1 with coordinates the other way round, 2 a
 * head of its own. */
static void plant(const int *turns)
{
    const uint64_t d = cross->head_dim, n = cross->n_kv_heads, w = n * d;
    double *const moments[] = {statistics.keys, statistics.centred_keys,
                               statistics.values};

    for (int k = 0; k < 3; k++)
        for (uint64_t i = 0; i < w; i++)
            for (uint64_t j = 0; j < w; j++) {
                const int x = turns[i / d], y = turns[j / d];
                const uint64_t a = x == 1 ? d - 1 - i % d : i % d;
                const uint64_t b = y == 1 ? d - 1 - j % d : j % d;
                const bool apart = (x == 2 || y == 2) && i / d != j / d;

                moments[k][i * w + j] = !apart && a == b;
            }
    for (uint64_t h = 0; h < cross->n_heads; h++)
        for (uint64_t i = 0; i < d * d; i++)
            statistics.queries[h * d * d + i] = i / d == i % d;
}

START_TEST(known_heads)
{
    const size_t n = cross->n_kv_heads;
    int turns[64] = {0};
    struct gqa_compared_heads c;

    ck_assert_uint_le(n, 64);
    turns[1] = 1;
    turns[2] = 2;
    plant(turns);
    compare(&c, 1);
    ck_assert(c.exact && c.is_free);
    for (int k = 0; k < 2; k++) {
        /* The same */
        ck_assert_double_eq_tol(c.cosine[k][3], 1, 1e-12);
        ck_assert_double_eq_tol(c.cka[k][3], 1, 1e-12);
        ck_assert_double_eq_tol(c.kept[k][3], 1, 1e-9);
        /* Turned: no pooling keeps them, one shared head does. */
        ck_assert_double_lt(c.cosine[k][1], 0.5);
        ck_assert_double_eq_tol(c.cka[k][1], 1, 1e-12);
        ck_assert_double_eq_tol(c.kept[k][1], 1, 1e-9);
        /* Nothing in common */
        ck_assert_double_eq_tol(c.cosine[k][2], 0, 1e-12);
        ck_assert_double_eq_tol(c.cka[k][2], 0, 1e-12);
    }
    ck_assert_double_eq_tol(c.kept[0][2], 0.5, 1e-9);
    gqa_compared_heads_clear(&c);
}
END_TEST

/* Heads that have nothing in common with any go together: of the two what one
 * has is lost, and all others share without loss. */
START_TEST(groups)
{
    const size_t n = cross->n_kv_heads;
    uint64_t *heads = malloc(n * sizeof *heads);
    int turns[64] = {0};
    struct gqa_compared_heads c;
    double lost[2];

    turns[0] = turns[5] = 2;
    plant(turns);
    compare(&c, 2);
    ck_assert_int_eq(gqa_compare_groups(heads, lost, &c, n, 2), GQA_OK);
    ck_assert_double_eq(lost[0] + lost[1], 0);
    ck_assert_int_eq(gqa_compare_groups(heads, lost, &c, n / 2, 2), GQA_OK);
    ck_assert_double_eq_tol(lost[0], 1.0 / (double)n, 1e-9);
    ck_assert_uint_eq(heads[0], 0);
    ck_assert_uint_eq(heads[1], 5);
    gqa_compared_heads_clear(&c);
    free(heads);
}
END_TEST

START_TEST(any_number_of_threads)
{
    const size_t n = cross->n_kv_heads;
    struct gqa_compared_heads one, three;

    compare(&one, 1);
    compare(&three, 3);
    for (int k = 0; k < 2; k++) {
        ck_assert_mem_eq(one.kept[k], three.kept[k],
                         n * n * sizeof *one.kept[k]);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                ck_assert_double_eq(one.kept[k][i * n + j],
                                    one.kept[k][j * n + i]);
                ck_assert_double_ge(one.kept[k][i * n + j], 0.4999);
                ck_assert_double_le(one.kept[k][i * n + j], 1);
                ck_assert_double_le(fabs(one.cosine[k][i * n + j]), 1 + 1e-12);
                ck_assert_double_le(one.cka[k][i * n + j], 1 + 1e-12);
            }
    }
    gqa_compared_heads_clear(&one);
    gqa_compared_heads_clear(&three);
}
END_TEST

START_TEST(not_aligned)
{
    struct gqa_compared_heads c;

    ck_assert_int_eq(gqa_compare_heads(&c, checkpoint, model, cross, NULL,
                                       &statistics, false, 1),
                     GQA_OK);
    ck_assert_ptr_null(c.kept[0]);
    ck_assert_ptr_null(c.likeness);
    ck_assert_double_eq_tol(c.cosine[0][0], 1, 1e-12);
    gqa_compared_heads_clear(&c);
}
END_TEST

/* Of values h + 1 times the same, E|O_h v|^2. */
START_TEST(energy_of_outputs)
{
    const uint64_t d = cross->head_dim, n = cross->n_kv_heads, w = n * d;
    struct gqa_energies e = {0};

    for (uint64_t i = 0; i < w; i++)
        for (uint64_t j = 0; j < w; j++) {
            const uint64_t x = (i / d + 1) * (i % d + 1);
            const uint64_t y = (j / d + 1) * (j % d + 1);

            statistics.values[i * w + j] = (double)(x * y);
        }
    ck_assert_int_eq(
        gqa_energies_take(&e, checkpoint, model, cross, NULL, &statistics, 1),
        GQA_OK);
    for (uint64_t h = 0; h < n; h++) {
        double want = 0;

        for (uint64_t i = 0; i < d; i++)
            for (uint64_t j = 0; j < d; j++)
                want += e.value_metrics[(h * d + i) * d + j] *
                        (double)((h + 1) * (i + 1) * (h + 1) * (j + 1));
        ck_assert_double_gt(want, 0);
        ck_assert_double_eq_tol(e.outputs[h], want, 1e-12 * want);
    }
    gqa_energies_clear(&e);
}
END_TEST

/* Two that read one KV head, then two of another. */
START_TEST(energy_of_query_heads)
{
    const struct gqa_attention a = {
        .n_heads = 4, .n_kv_heads = 2, .head_dim = 1};
    const double metrics[] = {2, 3, 4, 5};
    const double values[] = {10, 7, 7, 100};
    double out[4];

    gqa_moments_of_outputs(out, &a, metrics, values);
    ck_assert_double_eq(out[0], 20);
    ck_assert_double_eq(out[1], 30);
    ck_assert_double_eq(out[2], 400);
    ck_assert_double_eq(out[3], 500);
}
END_TEST

/* A millionth of what weights say, in the measure of what tokens do: three
 * times that here, and that itself where they said nothing. */
START_TEST(a_share_of_the_weights)
{
    static const double by[] = {3, 0};
    static const double becomes[] = {3 + 3e-6, 1e-6};
    const uint64_t d = cross->head_dim, w = cross->n_kv_heads * d;
    struct gqa_head_statistics of_weights = statistics, s;
    const double *const from[] = {of_weights.keys, of_weights.centred_keys,
                                  of_weights.values, of_weights.queries};

    ck_assert_int_eq(gqa_head_statistics_create(&s, cross), GQA_OK);
    for (int k = 0; k < 2; k++) {
        double *const to[] = {s.keys, s.centred_keys, s.values, s.queries};
        const uint64_t n[] = {w * w, w * w, w * w, cross->n_heads * d * d};

        for (int m = 0; m < 4; m++)
            for (uint64_t i = 0; i < n[m]; i++)
                to[m][i] = by[k] * from[m][i];
        ck_assert_int_eq(gqa_statistics_add_share(&s, checkpoint, model, cross,
                                                  1 + 2 * (unsigned)k),
                         GQA_OK);
        for (int m = 0; m < 4; m++)
            for (uint64_t i = 0; i < n[m]; i++)
                ck_assert_double_eq_tol(to[m][i], becomes[k] * from[m][i],
                                        1e-12 * fabs(from[m][0]));
    }
    gqa_head_statistics_clear(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compare");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 120);
    tcase_add_test(all, known_heads);
    tcase_add_test(all, groups);
    tcase_add_test(all, any_number_of_threads);
    tcase_add_test(all, not_aligned);
    tcase_add_test(all, energy_of_outputs);
    tcase_add_test(all, energy_of_query_heads);
    tcase_add_test(all, a_share_of_the_weights);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
