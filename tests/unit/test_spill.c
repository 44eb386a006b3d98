/* Bytes that are kept in a file where they are many. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/spill.h"
#include "suite.h"

enum { MANY = 3 << 20 };

static char *make(size_t n, int seed)
{
    char *bytes = malloc(n);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + i / 4096 + (size_t)seed);
    return bytes;
}

/* Few, many, and many where there is no folder for a file: the same bytes
 * come back, also after a rest, and others take their place. */
START_TEST(keeps_what_it_is_given)
{
    static const size_t sizes[] = {10, MANY, MANY};
    const bool has_file = _i == 1;
    const size_t n = sizes[_i];
    struct gqa_spill spill = {NULL, 0};

    if (_i == 2)
        setenv("TMPDIR", "/nowhere", 1);
    for (int seed = 0; seed < 2; seed++) {
        char *bytes = make(n, seed);

        ck_assert_int_eq(gqa_spill_keep(&spill, bytes, n), GQA_OK);
        ck_assert_uint_eq(spill.n_mapped, has_file ? n : 0);
        ck_assert_int_eq(memcmp(spill.data, bytes, n), 0);
        gqa_spill_rest(&spill);
        ck_assert_int_eq(memcmp(spill.data, bytes, n), 0);
        free(bytes);
    }
    gqa_spill_clear(&spill);
    ck_assert_ptr_null(spill.data);
    gqa_spill_rest(&spill);
    gqa_spill_clear(&spill);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spill");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, keeps_what_it_is_given, 0, 3);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
