#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "suite.h"

static const uint64_t second = 1000000000;

/* A quarter of 8 GB in 2 s: 1 GB/s, 6 s to go. */
START_TEST(tells_share_rate_and_rest)
{
    const struct gqa_progress_state state = {
        NULL, GQA_PROGRESS_BYTES, 2000000000, 8000000000, 2 * second};
    char text[GQA_PROGRESS_SIZE];

    gqa_progress_format(text, 79, &state);
    ck_assert_str_eq(text, "[########..........................]  25%  2.00 of "
                           "8.00 GB  1.00 GB/s  ETA 0:06");
    ck_assert_uint_eq(strlen(text), 79);
}
END_TEST

/* 300 of 1200 tokens in 3 s: 100 a second, 9 s to go. */
START_TEST(counts_tokens)
{
    const struct gqa_progress_state state = {
        "drawing samples", GQA_PROGRESS_TOKENS, 300, 1200, 3 * second};
    char text[GQA_PROGRESS_SIZE];

    ck_assert_str_eq(gqa_progress_format(text, 78, &state),
                     "drawing samples  [##........]  25%  300 of 1200 tokens  "
                     "100 tokens/s  ETA 0:09");
    ck_assert_str_eq(gqa_progress_format(text, 77, &state),
                     "drawing samples   25%  300 of 1200 tokens  "
                     "100 tokens/s  ETA 0:09");
}
END_TEST

/* What there is no room for is left out, never cut in the middle. */
START_TEST(fits_every_width)
{
    static const char *const texts[] = {"", " 25%", " 25%  ETA 0:09",
                                        "reading   25%",
                                        "reading   25%  ETA 0:09"};
    const struct gqa_progress_state state = {"reading", GQA_PROGRESS_BYTES,
                                             250000000, 1000000000, 3 * second};
    char text[GQA_PROGRESS_SIZE];

    for (unsigned width = 0; width < 200; width++) {
        gqa_progress_format(text, width, &state);
        ck_assert_uint_le(strlen(text), width);
        for (size_t i = 0; width < 30; i++) {
            ck_assert_msg(i < sizeof texts / sizeof *texts, "'%s'", text);
            if (strcmp(text, texts[i]) == 0)
                break;
        }
    }
    gqa_progress_format(text, 29, &state);
    ck_assert_str_eq(text, "reading   25%  ETA 0:09");
    gqa_progress_format(text, 3, &state);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(bears_the_ends)
{
    struct gqa_progress_state state = {NULL, GQA_PROGRESS_BYTES, 0, 8000000000,
                                       0};
    char text[GQA_PROGRESS_SIZE];

    gqa_progress_format(text, 40, &state);
    ck_assert_str_eq(text, "  0%  ETA 0:00");
    state.all = 8;
    state.done = 9;
    ck_assert_ptr_nonnull(
        strstr(gqa_progress_format(text, 79, &state), "100%"));
    state.done = UINT64_MAX - 1;
    state.all = UINT64_MAX;
    ck_assert_ptr_nonnull(
        strstr(gqa_progress_format(text, 99, &state), " 99%"));
}
END_TEST

/* A phase in which nothing is counted yet, or at all. */
START_TEST(shows_a_label_alone)
{
    const struct gqa_progress_state state = {.label = "loading a model"};
    char text[GQA_PROGRESS_SIZE];

    ck_assert_str_eq(gqa_progress_format(text, 79, &state), "loading a model");
    ck_assert_str_eq(gqa_progress_format(text, 7, &state), "loading");
}
END_TEST

/* The tests' stderr is no terminal, or it is not the time yet. */
START_TEST(is_silent_when_quiet)
{
    struct gqa_progress *progress = NULL;

    ck_assert_int_eq(gqa_progress_create(&progress, GQA_LOG_ERROR), GQA_OK);
    gqa_progress_phase(progress, "reading", GQA_PROGRESS_BYTES);
    gqa_progress_update(progress, 1, 2);
    gqa_progress_clear();
    gqa_progress_free(progress);
    gqa_progress_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("progress");
    TCase *bar = tcase_create("bar");

    tcase_add_test(bar, tells_share_rate_and_rest);
    tcase_add_test(bar, counts_tokens);
    tcase_add_test(bar, shows_a_label_alone);
    tcase_add_test(bar, fits_every_width);
    tcase_add_test(bar, bears_the_ends);
    tcase_add_test(bar, is_silent_when_quiet);
    suite_add_tcase(suite, bar);
    return suite_run(suite);
}
