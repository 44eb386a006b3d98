#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "formats/families/family.h"
#include "runtime/mapped.h"
#include "suite.h"

/*
 * Models of two columns for each input, whose element (r, c) is 100 r + c,
 * so that a value tells where it came from. head_dim is 1.
 */
enum { N_HEADS = 4, N_KV = 2 };

static enum gqa_status read_numbers(void *ctx, size_t param, uint64_t row,
                                    uint64_t n_rows, void *buf)
{
    const struct gqa_model *model = ctx;
    const struct gqa_param *p = &model->params[param];
    double *out = buf;

    ck_assert_uint_le(row + n_rows, p->rows);
    for (uint64_t r = row; r < row + n_rows; r++)
        for (uint64_t c = 0; c < p->cols; c++)
            *out++ = (double)(100 * r + c);
    return GQA_OK;
}

static struct gqa_param matrix(uint64_t rows, uint64_t cols, unsigned rank)
{
    return (struct gqa_param){.name = (char *)"p",
                              .dtype = GQA_F64,
                              .rank = rank,
                              .shape = {rows, cols},
                              .rows = rows,
                              .cols = cols,
                              .n_elements = rows * cols,
                              .n_bytes = rows * cols * 8};
}

static struct gqa_slice slice(size_t weight, size_t bias, unsigned axis,
                              uint64_t n_heads, uint64_t base,
                              uint64_t per_block, uint64_t block_stride)
{
    return (struct gqa_slice){.weight = weight,
                              .bias = bias,
                              .axis = axis,
                              .n_heads = n_heads,
                              .base = base,
                              .per_block = per_block,
                              .block_stride = block_stride};
}

static struct gqa_param params[5];
static struct gqa_attention attention;
static struct gqa_model model;

static const char *const kv_keys[] = {"num_key_value_heads", NULL};
static struct gqa_family family = {.keys = {.n_kv_heads = kv_keys}};

static void begin(enum gqa_head_layout layout, size_t n_params)
{
    attention = (struct gqa_attention){.stack = GQA_STACK_DECODER,
                                       .n_heads = N_HEADS,
                                       .n_kv_heads = N_KV,
                                       .head_dim = 1,
                                       .layout = layout};
    model = (struct gqa_model){.family = &family,
                               .params = params,
                               .n_params = n_params,
                               .attentions = &attention,
                               .n_attentions = 1};
}

static const struct gqa_weight_source numbers = {read_numbers, &model};

/* q, k, v, o and k's bias. */
static void begin_separate(uint64_t n_kv)
{
    begin(GQA_HEADS_SEPARATE, 5);
    params[0] = matrix(N_HEADS, 2, 2);
    params[1] = params[2] = matrix(n_kv, 2, 2);
    params[3] = matrix(2, N_HEADS, 2);
    params[4] = matrix(n_kv, 1, 1);
    attention.n_kv_heads = n_kv;
    attention.q = slice(0, GQA_NO_PARAM, 0, N_HEADS, 0, 1, 1);
    attention.k = slice(1, 4, 0, n_kv, 0, 1, 1);
    attention.v = slice(2, GQA_NO_PARAM, 0, n_kv, 0, 1, 1);
    attention.o = slice(3, GQA_NO_PARAM, 1, N_HEADS, 0, 1, 1);
}

/* The first element of each row, or of the first row each element. */
static void check_axis(struct gqa_mapped *mapped, size_t param, unsigned axis,
                       const double *expected, size_t n)
{
    const struct gqa_param *p = &gqa_mapped_model(mapped)->params[param];
    const struct gqa_weight_source source = gqa_mapped_weights(mapped);
    double values[64];

    ck_assert_uint_eq(axis == 0 ? p->rows : p->cols, n);
    ck_assert_uint_eq(p->shape[axis], n);
    ck_assert_uint_eq(p->n_bytes, p->rows * p->cols * 8);
    ck_assert_uint_le(p->n_elements, 64);
    ck_assert_int_eq(source.read(source.ctx, param, 0, p->rows, values),
                     GQA_OK);
    for (size_t i = 0; i < n; i++) {
        ck_assert_double_eq(values[axis == 0 ? i * p->cols : i],
                            axis == 0 ? 100 * expected[i] : expected[i]);
        /* A row alone reads as it does among all. */
        if (axis == 0) {
            double row[64];

            ck_assert_int_eq(source.read(source.ctx, param, i, 1, row), GQA_OK);
            ck_assert_double_eq(row[0], values[i * p->cols]);
        }
    }
}
#define CHECK_AXIS(mapped, param, axis, ...)                       \
    check_axis(mapped, param, axis, (const double[]){__VA_ARGS__}, \
               sizeof(const double[]){__VA_ARGS__} / sizeof(double))

static struct gqa_mapped *expand(void)
{
    struct gqa_mapped *mapped = NULL;

    ck_assert_int_eq(gqa_expand(&mapped, &model, &numbers), GQA_OK);
    return mapped;
}

/* Four query heads on two KV heads: each stands twice. */
START_TEST(expands_separate_heads)
{
    struct gqa_mapped *m;

    begin_separate(N_KV);
    m = expand();
    CHECK_AXIS(m, 0, 0, 0, 1, 2, 3);
    CHECK_AXIS(m, 1, 0, 0, 0, 1, 1);
    CHECK_AXIS(m, 2, 0, 0, 0, 1, 1);
    CHECK_AXIS(m, 3, 1, 0, 1, 2, 3);
    CHECK_AXIS(m, 4, 0, 0, 0, 1, 1);
    ck_assert_uint_eq(gqa_mapped_model(m)->attentions[0].n_kv_heads, N_HEADS);
    ck_assert_uint_eq(gqa_mapped_model(m)->attentions[0].k.n_heads, N_HEADS);
    gqa_mapped_free(m);
}
END_TEST

/* GPT-2's: heads in columns. q 0-3, k 4 5, v 6 7 become four of each. */
START_TEST(expands_fused_columns)
{
    struct gqa_mapped *m;

    begin(GQA_HEADS_FUSED_QKV, 2);
    params[0] = matrix(2, 8, 2);
    params[1] = matrix(8, 1, 1);
    attention.q = slice(0, 1, 1, N_HEADS, 0, 1, 1);
    attention.k = slice(0, 1, 1, N_KV, 4, 1, 1);
    attention.v = slice(0, 1, 1, N_KV, 6, 1, 1);
    m = expand();
    CHECK_AXIS(m, 0, 1, 0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    CHECK_AXIS(m, 1, 0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    ck_assert_uint_eq(gqa_mapped_model(m)->attentions[0].v.base, 8);
    gqa_mapped_free(m);
}
END_TEST

/* q q k v for each of two groups becomes q k v for each of four. */
START_TEST(expands_fused_groups)
{
    struct gqa_mapped *m;

    begin(GQA_HEADS_FUSED_GROUP, 1);
    params[0] = matrix(8, 1, 2);
    attention.q = slice(0, GQA_NO_PARAM, 0, N_HEADS, 0, 2, 4);
    attention.k = slice(0, GQA_NO_PARAM, 0, N_KV, 2, 1, 4);
    attention.v = slice(0, GQA_NO_PARAM, 0, N_KV, 3, 1, 4);
    m = expand();
    CHECK_AXIS(m, 0, 0, 0, 2, 3, 1, 2, 3, 4, 6, 7, 5, 6, 7);
    gqa_mapped_free(m);
}
END_TEST

/* The configuration follows, where it speaks of KV heads. */
START_TEST(expands_the_configuration)
{
    struct gqa_mapped *m;

    begin_separate(N_KV);
    model.config = json_pack("{s:i}", "num_key_value_heads", N_KV);
    m = expand();
    ck_assert_int_eq(json_integer_value(json_object_get(
                         gqa_mapped_model(m)->config, "num_key_value_heads")),
                     N_HEADS);
    ck_assert_int_eq(json_integer_value(
                         json_object_get(model.config, "num_key_value_heads")),
                     N_KV);
    gqa_mapped_free(m);
    json_decref(model.config);
}
END_TEST

static struct gqa_mapped *regroup(uint64_t n_kv, enum gqa_regrouping how,
                                  uint64_t seed)
{
    struct gqa_attention grouped = attention;
    const struct gqa_model like = {.attentions = &grouped, .n_attentions = 1};
    struct gqa_mapped *m = NULL;

    grouped.n_kv_heads = n_kv;
    ck_assert_int_eq(gqa_regroup(&m, &model, &numbers, &like, how, seed),
                     GQA_OK);
    return m;
}

/* Of heads 0 1 and 2 3 the first ones. */
START_TEST(takes_first_heads)
{
    struct gqa_mapped *m;

    begin_separate(4);
    m = regroup(2, GQA_REGROUP_FIRST, 0);
    CHECK_AXIS(m, 1, 0, 0, 2);
    CHECK_AXIS(m, 4, 0, 0, 2);
    CHECK_AXIS(m, 0, 0, 0, 1, 2, 3);
    gqa_mapped_free(m);
}
END_TEST

/* Of rows, of a bias, of columns beside queries, and within groups. */
START_TEST(takes_means)
{
    struct gqa_mapped *m;

    begin_separate(4);
    m = regroup(2, GQA_REGROUP_MEAN, 0);
    CHECK_AXIS(m, 0, 0, 0, 1, 2, 3);
    CHECK_AXIS(m, 1, 0, 0.5, 2.5);
    CHECK_AXIS(m, 2, 0, 0.5, 2.5);
    CHECK_AXIS(m, 4, 0, 0.5, 2.5);
    gqa_mapped_free(m);

    begin(GQA_HEADS_FUSED_QKV, 2);
    params[0] = matrix(2, 12, 2);
    params[1] = matrix(12, 1, 1);
    attention.n_kv_heads = N_HEADS;
    attention.q = slice(0, 1, 1, N_HEADS, 0, 1, 1);
    attention.k = slice(0, 1, 1, N_HEADS, 4, 1, 1);
    attention.v = slice(0, 1, 1, N_HEADS, 8, 1, 1);
    m = regroup(1, GQA_REGROUP_MEAN, 0);
    CHECK_AXIS(m, 0, 1, 0, 1, 2, 3, 5.5, 9.5);
    CHECK_AXIS(m, 1, 0, 0, 1, 2, 3, 5.5, 9.5);
    gqa_mapped_free(m);

    begin(GQA_HEADS_FUSED_GROUP, 1);
    params[0] = matrix(8, 1, 2);
    attention.q = slice(0, GQA_NO_PARAM, 0, N_HEADS, 0, 2, 4);
    attention.k = slice(0, GQA_NO_PARAM, 0, N_KV, 2, 1, 4);
    attention.v = slice(0, GQA_NO_PARAM, 0, N_KV, 3, 1, 4);
    m = regroup(1, GQA_REGROUP_MEAN, 0);
    CHECK_AXIS(m, 0, 0, 0, 1, 4, 5, 4, 5);
    gqa_mapped_free(m);
}
END_TEST

static double noise(double *out, uint64_t seed, uint64_t row, uint64_t n)
{
    struct gqa_mapped *m = regroup(2, GQA_REGROUP_RANDOM, seed);
    const struct gqa_weight_source source = gqa_mapped_weights(m);
    double first;

    ck_assert_int_eq(source.read(source.ctx, 1, row, n, out), GQA_OK);
    first = out[0];
    gqa_mapped_free(m);
    return first;
}

/* The same at each reading and seed; biases are the first head's. */
START_TEST(makes_random_heads)
{
    double all[4], second[2], other[4];
    struct gqa_mapped *m;

    begin_separate(4);
    noise(all, 1, 0, 2);
    noise(second, 1, 1, 1);
    ck_assert_double_eq(all[2], second[0]);
    ck_assert_double_eq(all[3], second[1]);
    ck_assert_double_ne(all[0], noise(other, 2, 0, 2));
    for (int i = 0; i < 4; i++)
        ck_assert_double_lt(fabs(all[i]), 2000);
    m = regroup(2, GQA_REGROUP_RANDOM, 1);
    CHECK_AXIS(m, 4, 0, 0, 2);
    gqa_mapped_free(m);
}
END_TEST

START_TEST(refuses_what_does_not_divide)
{
    struct gqa_attention grouped;
    struct gqa_model like = {.attentions = &grouped, .n_attentions = 1};
    struct gqa_mapped *m = NULL;

    begin_separate(4);
    grouped = attention;
    grouped.n_kv_heads = 3;
    ck_assert_int_eq(
        gqa_regroup(&m, &model, &numbers, &like, GQA_REGROUP_FIRST, 0),
        GQA_ERR_UNSUPPORTED);
    like.n_attentions = 0;
    ck_assert_int_eq(
        gqa_regroup(&m, &model, &numbers, &like, GQA_REGROUP_FIRST, 0),
        GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_null(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mapped");
    TCase *tc = tcase_create("mapped");

    tcase_add_test(tc, expands_separate_heads);
    tcase_add_test(tc, expands_fused_columns);
    tcase_add_test(tc, expands_fused_groups);
    tcase_add_test(tc, expands_the_configuration);
    tcase_add_test(tc, takes_first_heads);
    tcase_add_test(tc, takes_means);
    tcase_add_test(tc, makes_random_heads);
    tcase_add_test(tc, refuses_what_does_not_divide);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
