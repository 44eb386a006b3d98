#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/numbers.h"
#include "suite.h"

/* The set of n numbers is written like this. */
static void written(const uint64_t *list, size_t n, const char *expected)
{
    struct gqa_numbers numbers = {0};
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);

    ck_assert_ptr_nonnull(stream);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(gqa_numbers_add(&numbers, list[i]), GQA_OK);
    gqa_numbers_put(stream, &numbers);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(gqa_numbers_width(&numbers), length);
    free(text);
    gqa_numbers_free(&numbers);
}

#define WRITTEN(expected, ...)                                          \
    written((const uint64_t[]){__VA_ARGS__},                            \
            sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), \
            expected)

START_TEST(writes_sets_of_numbers)
{
    written(NULL, 0, "");
    WRITTEN("7", 7);
    WRITTEN("0-1", 0, 1);
    WRITTEN("0-3", 0, 1, 2, 3);
    WRITTEN("0,2", 0, 2);
    WRITTEN("0-4/2", 0, 2, 4);
    WRITTEN("1-7/3", 1, 4, 7);
    WRITTEN("0-2,8", 0, 1, 2, 8);
    WRITTEN("0,2-4", 0, 2, 3, 4);
    WRITTEN("0-1,30-31", 0, 1, 30, 31);
    WRITTEN("0-4/2,5-6", 0, 2, 4, 5, 6);
}
END_TEST

static void found(const char *name, const char *expected)
{
    char text[64] = "";
    size_t from = 0, at, n;
    uint64_t value;

    while (gqa_name_next_number(name, from, &at, &n, &value)) {
        const size_t used = strlen(text);

        snprintf(text + used, sizeof text - used, "%zu:%llu ", at,
                 (unsigned long long)value);
        from = at + n;
    }
    ck_assert_str_eq(text, expected);
}

/* Of an index, not of what a module happens to be called. */
START_TEST(finds_numbers_in_names)
{
    found("model.layers.31.experts.7.w1.weight", "13:31 24:7 ");
    found("h.0.ln_1.bias", "2:0 ");
    found("block_._12/layer_._1/k/kernel:0", "8:12 19:1 ");
    found("layers/decoder_3/vars/0", "15:3 22:0 ");
    found("x.01.y", "");
    found("x.1234567890.y", "");
    found("fc1.weight", "");
    found("", "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numbers");
    TCase *all = tcase_create("all");

    tcase_add_test(all, writes_sets_of_numbers);
    tcase_add_test(all, finds_numbers_in_names);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
