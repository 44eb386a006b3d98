/* The list of a model's parameters, and rectangles of their weights. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/params.h"
#include "scratch.h"
#include "suite.h"
#include "tensor_file.h"

static struct gqa_params params;
static struct gqa_checkpoint *checkpoint;

static void begin(void)
{
    scratch_create();
}

static void end(void)
{
    gqa_params_free(&params);
    gqa_checkpoint_close(checkpoint);
    checkpoint = NULL;
    scratch_remove();
}

/* --- The list ------------------------------------------------------------- */

/* More than the list had room for at first, from the last to the first. */
START_TEST(sorts_and_finds)
{
    size_t at;

    for (int i = 199; i >= 0; i--) {
        char name[16];

        snprintf(name, sizeof name, "p%03d", i);
        ck_assert_ptr_nonnull(gqa_params_add(&params, name, 1));
    }
    ck_assert_int_eq(gqa_params_finish(&params), GQA_OK);
    ck_assert_uint_eq(params.n, 200);
    for (int i = 0; i < 200; i++) {
        char name[16];

        snprintf(name, sizeof name, "p%03d", i);
        ck_assert(gqa_params_find(&params, name, &at));
        ck_assert_uint_eq(at, (size_t)i);
    }
    ck_assert(!gqa_params_find(&params, "", &at));
    ck_assert(!gqa_params_find(&params, "p0000", &at));
    ck_assert(!gqa_params_find(&params, "p200", &at));
}
END_TEST

START_TEST(finds_nothing_in_nothing)
{
    size_t at;

    ck_assert_int_eq(gqa_params_finish(&params), GQA_OK);
    ck_assert(!gqa_params_find(&params, "p", &at));
}
END_TEST

START_TEST(refuses_two_of_one_name)
{
    ck_assert_ptr_nonnull(gqa_params_add(&params, "b", 1));
    ck_assert_ptr_nonnull(gqa_params_add(&params, "a", 1));
    ck_assert_ptr_nonnull(gqa_params_add(&params, "b", 1));
    ck_assert_int_eq(gqa_params_finish(&params), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "'b'"));
}
END_TEST

START_TEST(parts_begin_unset)
{
    const struct gqa_param *p = gqa_params_add(&params, "p", 3);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(p->n_parts, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(p->parts[i].rows, 0);
}
END_TEST

/* As a matrix: rows is the first axis, cols the product of the others. */
START_TEST(tensors_are_matrices)
{
    static const struct {
        unsigned rank;
        uint64_t shape[3], n, rows, cols;
    } cases[] = {
        {0, {0}, 1, 1, 1},         {1, {5}, 5, 5, 1},    {2, {2, 3}, 6, 2, 3},
        {3, {2, 3, 4}, 24, 2, 12}, {2, {0, 3}, 0, 0, 0}, {2, {3, 0}, 0, 3, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gqa_tensor t = {.dtype = GQA_F32,
                               .rank = cases[i].rank,
                               .n_elements = cases[i].n,
                               .n_bytes = 4 * cases[i].n};
        const struct gqa_param *p;

        memcpy(t.shape, cases[i].shape, sizeof cases[i].shape);
        ck_assert_int_eq(gqa_params_add_tensor(&params, "p", &t, i), GQA_OK);
        p = &params.items[i];
        ck_assert_uint_eq(p->rows, cases[i].rows);
        ck_assert_uint_eq(p->cols, cases[i].cols);
        ck_assert_uint_eq(p->n_bytes, 4 * cases[i].n);
        ck_assert_uint_eq(p->n_parts, 1);
        ck_assert_uint_eq(p->parts[0].tensor, i);
        ck_assert(!p->parts[0].transposed);
    }
}
END_TEST

/* --- Their weights -------------------------------------------------------- */

/* Tensors a: 2 x 3 of 0 ... 5, and b: 2 x 3 of 10 ... 15. */
static void open_two(void)
{
    static const struct gqa_checkpoint_options as_it_is;
    static struct tensor_file file;
    const double a[] = {0, 1, 2, 3, 4, 5};
    const double b[] = {10, 11, 12, 13, 14, 15};

    file = (struct tensor_file){.dtype = GQA_F32};
    tensor_file_add(&file, "a", 2, 3, a);
    tensor_file_add(&file, "b", 2, 3, b);
    ck_assert_int_eq(gqa_checkpoint_open(&checkpoint,
                                         tensor_file_write(&file, "two"),
                                         &as_it_is),
                     GQA_OK);
}

static struct gqa_param *join(unsigned axis, bool transposed)
{
    struct gqa_param *p = gqa_params_add(&params, "ab", 2);
    const uint64_t rows = transposed ? 3 : 2, cols = transposed ? 2 : 3;

    ck_assert_ptr_nonnull(p);
    p->dtype = GQA_F32;
    p->axis = axis;
    for (size_t i = 0; i < 2; i++)
        p->parts[i] = (struct gqa_view){
            .tensor = i, .rows = rows, .cols = cols, .transposed = transposed};
    p->rows = axis == 0 ? 2 * rows : rows;
    p->cols = axis == 1 ? 2 * cols : cols;
    return p;
}

/* The rectangle with one column of room between its rows. */
static void holds(const struct gqa_param *p, uint64_t row, uint64_t n_rows,
                  uint64_t col, uint64_t n_cols, const float *expected)
{
    float buf[64], scratch[64];

    for (int i = 0; i < 64; i++)
        buf[i] = -1;
    ck_assert_int_eq(gqa_param_read(checkpoint, p, row, n_rows, col, n_cols,
                                    buf, n_cols + 1, scratch),
                     GQA_OK);
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t c = 0; c < n_cols; c++)
            ck_assert_float_eq(buf[r * (n_cols + 1) + c],
                               expected[r * n_cols + c]);
        ck_assert_float_eq(buf[r * (n_cols + 1) + n_cols], -1);
    }
}

START_TEST(reads_parts_above_one_another)
{
    open_two();
    holds(join(0, false), 1, 2, 1, 2, (const float[]){4, 5, 11, 12});
}
END_TEST

/* Places of an input come together, which lie apart in the tensor. */
START_TEST(reads_a_convolution)
{
    struct gqa_param *p;

    open_two();
    p = gqa_params_add(&params, "conv", 1);
    ck_assert_ptr_nonnull(p);
    p->dtype = GQA_F32;
    p->rows = 1;
    p->cols = 6;
    /* [2 places, 3 inputs, 1 output]: places of an input lie 3 apart. */
    p->parts[0] = (struct gqa_view){
        .rows = 1, .cols = 6, .transposed = true, .places = 2};
    holds(p, 0, 1, 0, 6, (const float[]){0, 3, 1, 4, 2, 5});
    holds(p, 0, 1, 3, 2, (const float[]){4, 2});
}
END_TEST

START_TEST(reads_parts_side_by_side)
{
    open_two();
    holds(join(1, false), 0, 2, 2, 2, (const float[]){2, 10, 5, 13});
}
END_TEST

/* Turned, a is (0 3, 1 4, 2 5) and b (10 13, 11 14, 12 15). */
START_TEST(reads_turned_parts)
{
    open_two();
    holds(join(1, true), 1, 2, 1, 2, (const float[]){4, 11, 5, 12});
}
END_TEST

START_TEST(reads_turned_parts_above_one_another)
{
    open_two();
    holds(join(0, true), 2, 2, 0, 2, (const float[]){2, 5, 10, 13});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("params");
    TCase *tc = tcase_create("params");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, sorts_and_finds);
    tcase_add_test(tc, finds_nothing_in_nothing);
    tcase_add_test(tc, refuses_two_of_one_name);
    tcase_add_test(tc, parts_begin_unset);
    tcase_add_test(tc, tensors_are_matrices);
    tcase_add_test(tc, reads_parts_above_one_another);
    tcase_add_test(tc, reads_parts_side_by_side);
    tcase_add_test(tc, reads_a_convolution);
    tcase_add_test(tc, reads_turned_parts);
    tcase_add_test(tc, reads_turned_parts_above_one_another);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
