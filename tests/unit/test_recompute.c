/* What a head must be, from numbers that are given: no model, no family. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/params.h"
#include "scratch.h"
#include "suite.h"
#include "tensor_file.h"
#include "verify/recompute.h"

enum { DIM = 2, ACROSS = 3, N = 4 * DIM * ACROSS };

static struct side {
    struct gqa_checkpoint *checkpoint;
    struct gqa_params params;
} sides[2];
static struct gqa_slice slices[2];
static struct gqa_head_pair pair;
static struct gqa_recompute *recompute;
static struct gqa_difference d;

static void begin(void)
{
    scratch_create();
    ck_assert_int_eq(gqa_recompute_create(&recompute), GQA_OK);
}

static void end(void)
{
    for (int i = 0; i < 2; i++) {
        gqa_params_free(&sides[i].params);
        gqa_checkpoint_close(sides[i].checkpoint);
        sides[i].checkpoint = NULL;
    }
    gqa_recompute_free(recompute);
    scratch_remove();
}

static void open_side(int i, enum gqa_dtype dtype, size_t rows, size_t cols,
                      const double *values)
{
    static const struct gqa_checkpoint_options as_it_is;
    static struct tensor_file file;

    file = (struct tensor_file){.dtype = dtype};
    tensor_file_add(&file, "k", rows, cols, values);
    ck_assert_int_eq(
        gqa_checkpoint_open(&sides[i].checkpoint,
                            tensor_file_write(&file, i ? "to" : "from"),
                            &as_it_is),
        GQA_OK);
    ck_assert_int_eq(
        gqa_params_from_torch(&sides[i].params, sides[i].checkpoint), GQA_OK);
}

/* Heads of rows (axis 0) or columns of two matrices. */
static void make_pair(unsigned axis, uint64_t n_from, uint64_t n_to)
{
    const uint64_t n[] = {n_from, n_to};

    for (int i = 0; i < 2; i++)
        slices[i] = (struct gqa_slice){.axis = axis,
                                       .n_heads = n[i],
                                       .per_block = n[i],
                                       .block_stride = n[i] * DIM};
    pair = (struct gqa_head_pair){.original = sides[0].checkpoint,
                                  .converted = sides[1].checkpoint,
                                  .from = sides[0].params.items,
                                  .to = sides[1].params.items,
                                  .from_slice = &slices[0],
                                  .to_slice = &slices[1],
                                  .axis = axis,
                                  .head_dim = DIM};
}

/* Four heads of rows; each element of head h is h^2: 0, 1, 4, 9. */
static void open_squares(enum gqa_dtype dtype, size_t n_to, const double *heads)
{
    double from[N], to[N];

    for (int i = 0; i < N; i++) {
        const int h = i / (DIM * ACROSS);

        from[i] = h * h;
        to[i] = heads[h % (int)n_to];
    }
    open_side(0, GQA_F32, (size_t)4 * DIM, ACROSS, from);
    open_side(1, dtype, n_to * DIM, ACROSS, to);
    make_pair(0, 4, n_to);
}

static bool fits(enum gqa_pooling pooling, uint64_t pooled, uint64_t head,
                 uint64_t group)
{
    const struct gqa_hypothesis h = {.pooling = pooling, .pooled = pooled};

    ck_assert_int_eq(gqa_recompute_head(recompute, &d, &pair, &h, head, group),
                     GQA_OK);
    return !d.found;
}

/* (0 + 1) / 2 and (4 + 9) / 2. */
START_TEST(mean)
{
    open_squares(GQA_F32, 2, (const double[]){0.5, 6.5});
    ck_assert(fits(GQA_POOL_MEAN, 2, 0, 0));
    ck_assert(fits(GQA_POOL_MEAN, 2, 1, 1));
    ck_assert(!fits(GQA_POOL_MEAN, 2, 1, 0));
    ck_assert_uint_eq(d.head, 1);
    ck_assert_uint_eq(d.element, 0);
    ck_assert_double_eq(d.expected, 0.5);
    ck_assert_double_eq(d.actual, 6.5);
}
END_TEST

START_TEST(first)
{
    open_squares(GQA_F32, 2, (const double[]){0, 4});
    ck_assert(fits(GQA_POOL_FIRST, 2, 0, 0));
    ck_assert(fits(GQA_POOL_FIRST, 2, 1, 1));
    ck_assert(!fits(GQA_POOL_MEAN, 2, 0, 0));
}
END_TEST

/* (0 + 4) / 2 and (1 + 9) / 2. */
START_TEST(strided)
{
    open_squares(GQA_F32, 2, (const double[]){2, 5});
    ck_assert(fits(GQA_POOL_STRIDED, 2, 0, 0));
    ck_assert(fits(GQA_POOL_STRIDED, 2, 1, 1));
    ck_assert(!fits(GQA_POOL_MEAN, 2, 0, 0));
}
END_TEST

/* (0 + 1 + 4 + 9) / 4, in each of four heads. */
START_TEST(expanded)
{
    open_squares(GQA_F32, 4, (const double[]){3.5, 3.5, 3.5, 3.5});
    for (uint64_t h = 0; h < 4; h++)
        ck_assert(fits(GQA_POOL_MEAN, 1, h, 0));
    ck_assert(!fits(GQA_POOL_MEAN, 4, 0, 0));
}
END_TEST

/* BF16 goes in steps of 2^-7 from 1 on: a mean of 1 + 2^-9 becomes 1, one of
 * 1 + 3 * 2^-9 a step more. */
START_TEST(rounds_once)
{
    const double from[] = {1, 1, 1 + 0x1p-8, 1 + 0x1.8p-7};
    const double to[] = {1, 1 + 0x1p-7};

    open_side(0, GQA_F32, 4, 0, from);
    open_side(1, GQA_BF16, 2, 0, to);
    make_pair(0, 2, 1);
    ck_assert(fits(GQA_POOL_MEAN, 1, 0, 0));
}
END_TEST

/* Heads of columns: 0 and 1 of two rows are columns 0-1 and 2-3. */
START_TEST(columns)
{
    const double from[] = {0, 1, 2, 3, 10, 11, 12, 13};
    const double to[] = {1, 2, 11, 13};

    open_side(0, GQA_F32, 2, 4, from);
    open_side(1, GQA_F32, 2, 2, to);
    make_pair(1, 2, 1);
    ck_assert(!fits(GQA_POOL_MEAN, 1, 0, 0));
    ck_assert_uint_eq(d.element, 3); /* row-major in the head */
    ck_assert_double_eq(d.expected, 12);
    ck_assert_double_eq(d.actual, 13);
}
END_TEST

/* A rank 1 bias of two heads: (1 + 3) / 2, (2 + 4) / 2. */
START_TEST(bias)
{
    open_side(0, GQA_F32, 4, 0, (const double[]){1, 2, 3, 4});
    open_side(1, GQA_F32, 2, 0, (const double[]){2, 3});
    make_pair(0, 2, 1);
    pair.is_bias = true;
    ck_assert(fits(GQA_POOL_MEAN, 1, 0, 0));
    ck_assert(!fits(GQA_POOL_FIRST, 1, 0, 0));
}
END_TEST

/* Zeros of two signs are equal, but not the same. */
START_TEST(notes_signs_of_zero)
{
    open_side(0, GQA_F32, 2, 0, (const double[]){0, 1});
    open_side(1, GQA_F32, 2, 0, (const double[]){-0.0, 1});
    make_pair(0, 1, 1);
    ck_assert_int_eq(gqa_recompute_copy(recompute, &d, &pair, 0), GQA_OK);
    ck_assert(!d.found);
    ck_assert(d.zero_signs);
    ck_assert_int_eq(gqa_recompute_whole(recompute, &d, NULL, &pair), GQA_OK);
    ck_assert(!d.found);
    ck_assert(d.zero_signs);
}
END_TEST

/* A mean with NaN is NaN, of whatever sign. */
START_TEST(means_are_any_nan)
{
    open_side(0, GQA_F32, 4, 0, (const double[]){NAN, 2, 3, 4});
    open_side(1, GQA_F32, 2, 0, (const double[]){-NAN, 3});
    make_pair(0, 2, 1);
    ck_assert(fits(GQA_POOL_MEAN, 1, 0, 0));
    ck_assert(!fits(GQA_POOL_FIRST, 1, 0, 0));
}
END_TEST

/* Row-major in the whole; rounded where the types differ. */
START_TEST(whole)
{
    const double from[] = {1, 2, 3, 4, 257, 6};

    open_side(0, GQA_F32, 2, 3, from);
    open_side(1, GQA_BF16, 2, 3, (const double[]){1, 2, 3, 4, 256, 7});
    make_pair(0, 1, 1);
    ck_assert_int_eq(gqa_recompute_whole(recompute, &d, NULL, &pair), GQA_OK);
    ck_assert(d.found);
    ck_assert_uint_eq(d.element, 5);
    ck_assert_double_eq(d.expected, 6);
    ck_assert_double_eq(d.actual, 7);
}
END_TEST

START_TEST(refuses_long_heads)
{
    const struct gqa_hypothesis h = {.pooling = GQA_POOL_MEAN, .pooled = 1};

    open_squares(GQA_F32, 1, (const double[]){0});
    pair.head_dim = 65537;
    ck_assert_int_eq(gqa_recompute_head(recompute, &d, &pair, &h, 0, 0),
                     GQA_ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recompute");
    TCase *tc = tcase_create("recompute");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, mean);
    tcase_add_test(tc, first);
    tcase_add_test(tc, strided);
    tcase_add_test(tc, expanded);
    tcase_add_test(tc, rounds_once);
    tcase_add_test(tc, columns);
    tcase_add_test(tc, bias);
    tcase_add_test(tc, notes_signs_of_zero);
    tcase_add_test(tc, means_are_any_nan);
    tcase_add_test(tc, whole);
    tcase_add_test(tc, refuses_long_heads);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
