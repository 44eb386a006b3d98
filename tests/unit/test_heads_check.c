/* Which way keys and values were made, and what is said where none fits. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "plain_model.h"
#include "scratch.h"
#include "suite.h"
#include "verify/mistakes.h"

static struct plain_model from, to;
static struct gqa_subject original, converted;
static struct gqa_recompute *recompute;
static struct gqa_heads_check check;

static void begin(void)
{
    scratch_create();
    ck_assert_int_eq(gqa_recompute_create(&recompute), GQA_OK);
    from = plain_multi_head();
    to = plain_grouped();
    check = (struct gqa_heads_check){.original = &original,
                                     .converted = &converted};
}

static void end(void)
{
    gqa_recompute_free(recompute);
    scratch_remove();
}

static void run(void)
{
    plain_model_open(&original, "original", &from);
    plain_model_open(&converted, "converted", &to);
    ck_assert_msg(gqa_heads_check(&check, recompute) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_str_eq(check.unchanged.text, "");
    ck_assert_int_eq(gqa_mistakes_explain(&check, recompute), GQA_OK);
}

static void close_both(void)
{
    gqa_subject_close(&converted);
    gqa_subject_close(&original);
}

/* As a way of so many KV heads, in these words. */
static void fits(enum gqa_pooling pooling, uint64_t pooled, const char *words)
{
    char text[128];

    run();
    ck_assert_str_eq(check.grouped.text, "");
    ck_assert_int_eq((int)check.hypothesis.pooling, (int)pooling);
    ck_assert_uint_eq(check.hypothesis.pooled, pooled);
    ck_assert_str_eq(gqa_hypothesis_text(text, sizeof text, &check.hypothesis,
                                         original.model->attentions,
                                         converted.model->attentions),
                     words);
    close_both();
}

static void fails(const char *text)
{
    run();
    ck_assert_str_eq(check.grouped.text, text);
    close_both();
}

#define K                                                                  \
    "'model.layers.0.self_attn.k_proj.weight' (decoder self-attention of " \
    "layer 0), key"

/* --- Without a recipe ----------------------------------------------------- */

START_TEST(finds_the_mean)
{
    fits(GQA_POOL_MEAN, 2, "mean over contiguous groups");
}
END_TEST

static void take_first(void)
{
    for (int h = 0; h < 2; h++) {
        memcpy(to.k[0][h], from.k[0][2 * h], sizeof to.k[0][h]);
        memcpy(to.v[0][h], from.v[0][2 * h], sizeof to.v[0][h]);
    }
}

START_TEST(finds_the_first)
{
    take_first();
    fits(GQA_POOL_FIRST, 2, "first head of contiguous groups");
}
END_TEST

START_TEST(finds_what_was_left)
{
    to = from;
    fits(GQA_POOL_MEAN, 4, "not grouped");
}
END_TEST

/* Each mean twice, in the shape of the original. */
START_TEST(finds_expansion)
{
    const struct plain_model grouped = to;

    to.n_kv_heads = 4;
    for (int h = 0; h < 4; h++) {
        memcpy(to.k[0][h], grouped.k[0][h / 2], sizeof to.k[0][h]);
        memcpy(to.v[0][h], grouped.v[0][h / 2], sizeof to.v[0][h]);
    }
    fits(GQA_POOL_MEAN, 2, "mean over contiguous groups, expanded");
}
END_TEST

/* What fits most heads is said to be what was meant. */
START_TEST(names_the_element)
{
    to.k[0][1][3] = 7;
    fails(K " head 1, element 3: 7, but must be 43; 1 of 16 elements differ");
}
END_TEST

START_TEST(names_values)
{
    to.v[0][0][0] = 1;
    fails("'model.layers.0.self_attn.v_proj.weight' (decoder self-attention of "
          "layer 0), "
          "value head 0, element 0: 1, but must be -8; 1 of 16 elements "
          "differ");
}
END_TEST

/* --- Mistakes that have a name -------------------------------------------- */

static void by_recipe(enum gqa_pooling pooling)
{
    check.has_recipe = true;
    check.hypothesis = (struct gqa_hypothesis){.pooling = pooling, .pooled = 2};
}

START_TEST(keeps_to_the_recipe)
{
    by_recipe(GQA_POOL_MEAN);
    take_first();
    fails(K " head 0, element 0: 0, but must be 8; it fits: first head of "
            "contiguous groups");
}
END_TEST

START_TEST(knows_swapped_heads)
{
    for (int e = 0; e < PLAIN_HEAD; e++) {
        to.k[0][0][e] = 40 + e;
        to.k[0][1][e] = 8 + e;
    }
    fails(K " head 0, element 0: 40, but must be 8; it is what KV head 1 must "
            "be: KV heads are swapped");
}
END_TEST

/* Heads 1 and 3, each twice; as they would be there if none were grouped. */
START_TEST(knows_the_last_heads_of_expanded_groups)
{
    to.n_kv_heads = 4;
    from.k[0][1][0] = 17; /* no strided mean */
    for (int h = 0; h < 4; h++) {
        memcpy(to.k[0][h], from.k[0][h / 2 * 2 + 1], sizeof to.k[0][h]);
        memcpy(to.v[0][h], from.v[0][h / 2 * 2 + 1], sizeof to.v[0][h]);
    }
    fails(K " head 0, element 0: 17, but must be 8.5; it fits: last head of "
            "contiguous groups");
}
END_TEST

START_TEST(knows_swapped_keys_of_expanded_groups)
{
    to.n_kv_heads = 4;
    for (int h = 0; h < 4; h++)
        for (int e = 0; e < PLAIN_HEAD; e++) {
            to.v[0][h][e] = 32 * (h / 2) + 8 + e;
            to.k[0][h][e] = -to.v[0][h][e];
        }
    fails(K " head 0, element 0: -8, but must be 8; it is what the values must "
            "be: keys and values are swapped");
}
END_TEST

/* Heads 0 and 2: 16; 1 and 3: 32. */
START_TEST(knows_strides)
{
    for (int h = 0; h < 2; h++)
        for (int e = 0; e < PLAIN_HEAD; e++)
            to.k[0][h][e] = 16 * h + 16 + e;
    fails(K " head 0, element 0: 16, but must be 8; it fits: mean over strided "
            "groups, not contiguous ones");
}
END_TEST

/* 257 is 256 in BF16: the mean becomes 128, not 128.5. */
START_TEST(knows_double_rounding)
{
    from.k[0][0][0] = 1;
    from.k[0][1][0] = 256;
    to.k[0][0][0] = 128;
    fails(K " head 0, element 0: 128, but must be 128.5; it fits: mean rounded "
            "more than once, in BF16");
}
END_TEST

/* Rows 0, 1, 2, 3 as 0, 2, 1, 3. */
START_TEST(knows_other_rotations)
{
    for (int h = 0; h < 2; h++)
        for (int c = 0; c < PLAIN_WIDTH; c++) {
            const double second = to.k[0][h][PLAIN_WIDTH + c];

            to.k[0][h][PLAIN_WIDTH + c] = to.k[0][h][2 * PLAIN_WIDTH + c];
            to.k[0][h][2 * PLAIN_WIDTH + c] = second;
        }
    fails(K " head 0, element 2: 12, but must be 10; it fits: rows permuted "
            "from half to interleaved RoPE");
}
END_TEST

/* --- Means of others -------------------------------------------------------
 */

/* Sums of 1 and three halves of its last bit: 1 from the first on, a bit more
 * in pairs, and two from the last on. */
static void make_sums(const double *means, size_t n)
{
    to.n_kv_heads = 1;
    for (int e = 0; e < PLAIN_HEAD; e++) {
        for (int h = 0; h < 4; h++)
            from.k[0][h][e] = from.v[0][h][e] = h == 0 ? 1 : 0x1p-24;
        to.k[0][0][e] = to.v[0][0][e] = means[(size_t)e % n] / 4;
    }
}

START_TEST(takes_float32_sums)
{
    make_sums((const double[]){1}, 1);
    fits(GQA_POOL_FLOAT32, 1, "mean over contiguous groups");
    ck_assert_int_eq((int)check.of_pair[0].order, GQA_SUM_ASCENDING);
}
END_TEST

START_TEST(takes_float32_sums_in_pairs)
{
    make_sums((const double[]){1 + 0x1p-23}, 1);
    fits(GQA_POOL_FLOAT32, 1, "mean over contiguous groups");
    ck_assert_int_eq((int)check.of_pair[0].order, GQA_SUM_NEIGHBOURS);
}
END_TEST

/* No order that is known gave all of them. */
START_TEST(takes_float32_sums_in_any_order)
{
    make_sums((const double[]){1, 1 + 0x1p-23}, 2);
    fits(GQA_POOL_WITHIN, 1, "mean over contiguous groups");
}
END_TEST

START_TEST(refuses_what_no_sum_gives)
{
    make_sums((const double[]){1 + 0x1p-20, 1}, 2);
    run();
    ck_assert(check.is_wrong);
    close_both();
}
END_TEST

/* All of one KV head, of the means of four heads that are what `heads` says. */
static void make_means(const double *heads, enum gqa_dtype dtype, double mean)
{
    from.dtype = GQA_BF16;
    to.dtype = dtype;
    to.n_kv_heads = 1;
    for (int e = 0; e < PLAIN_HEAD; e++) {
        for (int h = 0; h < 4; h++)
            from.k[0][h][e] = from.v[0][h][e] = heads[h];
        to.k[0][0][e] = to.v[0][0][e] = mean;
    }
}

/* Their exact mean is a bit more than half between two BF16, their float32 sum
 * is without the last of them. */
static const double outlier[] = {4, 0x1p-6, 0, 0x1p-24};

START_TEST(takes_float32_sums_that_were_widened)
{
    static const enum gqa_dtype wider[] = {GQA_F32, GQA_F64};

    make_means(outlier, wider[_i], 1);
    fits(GQA_POOL_FLOAT32, 1, "mean over contiguous groups");
    ck_assert(check.of_pair[0].is_widened);
}
END_TEST

START_TEST(takes_means_that_were_widened)
{
    make_means(outlier, GQA_F64, 1 + 0x1p-7);
    fits(GQA_POOL_MEAN, 1, "mean over contiguous groups");
    ck_assert(check.of_pair[0].is_widened);
}
END_TEST

/* Float32 adds them up exactly, so that a tie is to even in any order. */
START_TEST(refuses_the_other_side_of_a_tie)
{
    static const double heads[] = {1, 1, 1 + 0x1p-7, 1 + 0x1p-7};

    make_means(heads, GQA_BF16, 1);
    to.k[0][0][5] = 1 + 0x1p-7;
    run();
    ck_assert(check.is_wrong);
    ck_assert_uint_eq(check.first.element, 5);
    close_both();
}
END_TEST

/* 1 + 1.5 * 2^-8 is no BF16. */
START_TEST(knows_truncation)
{
    from.dtype = GQA_F32;
    to.dtype = GQA_BF16;
    from.k[0][0][0] = from.k[0][1][0] = 1 + 0x1.8p-8;
    to.k[0][0][0] = 1;
    run();
    ck_assert_msg(strstr(check.grouped.text, "truncated, not rounded"), "%s",
                  check.grouped.text);
    close_both();
}
END_TEST

/* --- Heads that share a tensor -------------------------------------------- */

/* The fixture is held against itself, its query heads against those of one
 * whose weights are others. */
START_TEST(looks_at_fused_queries)
{
    static const char path[] = "runtime/gpt2/model.safetensors";
    static const char other[] = "runtime/gpt2-repeated/model.safetensors";

    for (int i = 0; i < 2; i++) {
        memset(&check, 0, sizeof check);
        check.original = &original;
        check.converted = &converted;
        ck_assert_int_eq(gqa_subject_open(&original, test_data(path),
                                          &(struct gqa_checkpoint_options){0}),
                         GQA_OK);
        ck_assert_int_eq(gqa_subject_understand(&original, NULL), GQA_OK);
        ck_assert_int_eq(gqa_subject_open(&converted,
                                          test_data(i ? other : path),
                                          &(struct gqa_checkpoint_options){0}),
                         GQA_OK);
        ck_assert_int_eq(gqa_subject_understand(&converted, NULL), GQA_OK);
        ck_assert_int_eq(gqa_heads_check(&check, recompute), GQA_OK);
        if (i == 0)
            ck_assert_str_eq(check.unchanged.text, "");
        else
            ck_assert_msg(strstr(check.unchanged.text,
                                 ".c_attn.weight', query head 0, element 0: "),
                          "%s", check.unchanged.text);
        close_both();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heads_check");
    TCase *tc = tcase_create("heads_check");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, finds_the_mean);
    tcase_add_test(tc, finds_the_first);
    tcase_add_test(tc, finds_what_was_left);
    tcase_add_test(tc, finds_expansion);
    tcase_add_test(tc, names_the_element);
    tcase_add_test(tc, names_values);
    tcase_add_test(tc, keeps_to_the_recipe);
    tcase_add_test(tc, knows_swapped_heads);
    tcase_add_test(tc, knows_the_last_heads_of_expanded_groups);
    tcase_add_test(tc, knows_swapped_keys_of_expanded_groups);
    tcase_add_test(tc, knows_strides);
    tcase_add_test(tc, knows_double_rounding);
    tcase_add_test(tc, knows_other_rotations);
    tcase_add_test(tc, takes_float32_sums);
    tcase_add_test(tc, takes_float32_sums_in_pairs);
    tcase_add_test(tc, takes_float32_sums_in_any_order);
    tcase_add_test(tc, refuses_what_no_sum_gives);
    tcase_add_loop_test(tc, takes_float32_sums_that_were_widened, 0, 2);
    tcase_add_test(tc, takes_means_that_were_widened);
    tcase_add_test(tc, refuses_the_other_side_of_a_tie);
    tcase_add_test(tc, knows_truncation);
    tcase_add_test(tc, looks_at_fused_queries);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
