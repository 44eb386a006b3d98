#include "twins.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint.h"
#include "scratch.h"
#include "tests/find_tensor.h"

/* test_data() lends one name at a time. */
static struct gqa_checkpoint *open_checkpoint(const char *name,
                                              const char *config)
{
    char *config_path = config ? strdup(test_data(config)) : NULL;
    const struct gqa_checkpoint_options options = {.config_path = config_path};
    struct gqa_checkpoint *c = NULL;

    ck_assert_msg(gqa_checkpoint_open(&c, test_data(name), &options) == GQA_OK,
                  "%s", gqa_error_message());
    free(config_path);
    return c;
}

static void same_bytes(struct gqa_checkpoint *a, size_t i,
                       struct gqa_checkpoint *b, size_t k, uint64_t offset,
                       uint64_t n)
{
    const struct gqa_span span = {offset, n, 0, 1};
    unsigned char *x = malloc((size_t)n + 1), *y = malloc((size_t)n + 1);

    ck_assert_int_eq(gqa_checkpoint_read(a, i, &span, x), GQA_OK);
    ck_assert_int_eq(gqa_checkpoint_read(b, k, &span, y), GQA_OK);
    ck_assert_mem_eq(x, y, (size_t)n);
    free(x);
    free(y);
}

/* All columns of all rows but the outermost ones. */
static void same_rectangle(struct gqa_checkpoint *a, size_t i,
                           struct gqa_checkpoint *b, size_t k)
{
    const struct gqa_tensor *t = gqa_checkpoint_tensor(a, i);
    const uint64_t size = gqa_dtype_bits(t->dtype) / 8;
    const uint64_t row = t->rank == 2 ? size * t->shape[1] : 0;
    const struct gqa_span span = {row + 2 * size, row - 3 * size, row,
                                  row > 0 ? t->shape[0] - 1 : 0};
    unsigned char *x, *y;

    if (row < 4 * size)
        return;
    x = malloc((size_t)t->n_bytes);
    y = malloc((size_t)t->n_bytes);
    ck_assert_int_eq(gqa_checkpoint_read(a, i, &span, x), GQA_OK);
    ck_assert_int_eq(gqa_checkpoint_read(b, k, &span, y), GQA_OK);
    ck_assert_mem_eq(x, y, (size_t)(span.piece * span.count));
    free(x);
    free(y);
}

double *twins_read(struct gqa_checkpoint *c, size_t i)
{
    const struct gqa_tensor *t = gqa_checkpoint_tensor(c, i);
    const struct gqa_span all = {0, t->n_bytes, 0, 1};
    unsigned char *bytes = malloc((size_t)t->n_bytes + 1);
    double *numbers = calloc((size_t)t->n_elements + 1, sizeof *numbers);

    ck_assert_int_eq(gqa_checkpoint_read(c, i, &all, bytes), GQA_OK);
    gqa_load_f64(numbers, bytes, t->dtype, (size_t)t->n_elements);
    free(bytes);
    return numbers;
}

static void same_numbers(struct gqa_checkpoint *a, size_t i,
                         struct gqa_checkpoint *b, size_t k)
{
    double *x = twins_read(a, i), *y = twins_read(b, k);

    for (uint64_t n = 0; n < gqa_checkpoint_tensor(a, i)->n_elements; n++)
        ck_assert_msg(x[n] == y[n], "%s: %a and %a",
                      gqa_checkpoint_tensor(a, i)->name, x[n], y[n]);
    free(x);
    free(y);
}

static void same_tensor(struct gqa_checkpoint *a, size_t i,
                        struct gqa_checkpoint *b)
{
    const struct gqa_tensor *x = gqa_checkpoint_tensor(a, i), *y;
    size_t k;

    ck_assert_msg(find_tensor(b, x->name, &k), "%s", x->name);
    y = gqa_checkpoint_tensor(b, k);
    ck_assert_uint_eq(x->rank, y->rank);
    ck_assert_mem_eq(x->shape, y->shape, sizeof x->shape);
    if (x->dtype == GQA_F32 && gqa_dtype_is_half(y->dtype)) {
        same_numbers(a, i, b, k);
        return;
    }
    ck_assert_int_eq(x->dtype, y->dtype);
    ck_assert_uint_eq(x->n_bytes, y->n_bytes);
    /* Whole; from the middle of a row to that of another; within elements */
    same_bytes(a, i, b, k, 0, x->n_bytes);
    same_bytes(a, i, b, k, x->n_bytes / 3, x->n_bytes / 2);
    same_bytes(a, i, b, k, x->n_bytes / 4 + 1, 3);
    same_rectangle(a, i, b, k);
}

void twins_are_same(const char *first, const char *second)
{
    twins_are_same_with(first, second, NULL);
}

void twins_are_same_with(const char *first, const char *second,
                         const char *config)
{
    struct gqa_checkpoint *a = open_checkpoint(first, config);
    struct gqa_checkpoint *b = open_checkpoint(second, NULL);

    ck_assert_uint_eq(gqa_checkpoint_n_tensors(a), gqa_checkpoint_n_tensors(b));
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(a); i++)
        same_tensor(a, i, b);
    gqa_checkpoint_close(a);
    gqa_checkpoint_close(b);
}
