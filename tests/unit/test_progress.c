#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "suite.h"

static const uint64_t second = 1000000000;

/* A quarter of 8 GB in 2 s: 1 GB/s, 6 s to go. */
START_TEST(tells_share_rate_and_rest)
{
    char text[200];

    gqa_progress_format(text, sizeof text, 79, 2000000000, 8000000000,
                        2 * second);
    ck_assert_str_eq(text, "[########..........................]  25%  2.00 of "
                           "8.00 GB  1.00 GB/s  ETA 0:06");
    ck_assert_uint_eq(strlen(text), 79);
}
END_TEST

START_TEST(fits_every_width)
{
    char text[200];

    for (unsigned width = 40; width < 200; width++) {
        gqa_progress_format(text, sizeof text, width, 99, 100, second);
        ck_assert_uint_le(strlen(text), width);
    }
}
END_TEST

START_TEST(bears_the_ends)
{
    char text[200];

    gqa_progress_format(text, sizeof text, 40, 0, 8000000000, 0);
    ck_assert_str_eq(text, "  0%  0.00 of 8.00 GB  0.00 GB/s  ETA 0:");
    gqa_progress_format(text, sizeof text, 79, 0, 0, second);
    ck_assert_ptr_nonnull(strstr(text, "100%"));
    gqa_progress_format(text, sizeof text, 79, 9, 8, second);
    ck_assert_ptr_nonnull(strstr(text, "100%"));
}
END_TEST

/* The tests' stderr is no terminal, or it is not the time yet. */
START_TEST(is_silent_when_quiet)
{
    struct gqa_progress *progress = NULL;

    ck_assert_int_eq(gqa_progress_create(&progress, GQA_LOG_ERROR), GQA_OK);
    gqa_progress_update(progress, 1, 2);
    gqa_progress_free(progress);
    gqa_progress_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("progress");
    TCase *bar = tcase_create("bar");

    tcase_add_test(bar, tells_share_rate_and_rest);
    tcase_add_test(bar, fits_every_width);
    tcase_add_test(bar, bears_the_ends);
    tcase_add_test(bar, is_silent_when_quiet);
    suite_add_tcase(suite, bar);
    return suite_run(suite);
}
