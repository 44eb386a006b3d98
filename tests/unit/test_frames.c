/* Frames that stand in for sound. */
#include <check.h>
#include <math.h>

#include "common/random.h"
#include "runtime/frames.h"
#include "suite.h"

/* Numbers of the token's key in (0, 1), stretched to a variance of 1. */
START_TEST(draws_by_the_token_alone)
{
    enum { N = 4096 };
    static double once[N], again[N], other[N];
    const uint64_t key = gqa_random_key(7, "frames", 0);
    double sum = 0, squares = 0;

    gqa_frames_draw(once, N, 7);
    gqa_frames_draw(again, N, 7);
    gqa_frames_draw(other, N, 8);
    for (size_t i = 0; i < N; i++) {
        ck_assert_double_eq(once[i], again[i]);
        ck_assert_double_ne(once[i], other[i]);
        ck_assert(fabs(once[i]) < sqrt(3));
        sum += once[i];
        squares += once[i] * once[i];
    }
    ck_assert_double_eq(once[5],
                        sqrt(3) * (2 * gqa_random_uniform(key, 5) - 1));
    ck_assert(fabs(sum / N) < 0.05);
    ck_assert(fabs(squares / N - 1) < 0.05);
}
END_TEST

/* What a shorter drawing gives is the beginning of a longer one. */
START_TEST(begins_alike)
{
    double few[3], many[30];

    gqa_frames_draw(few, 3, 0);
    gqa_frames_draw(many, 30, 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_double_eq(few[i], many[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("frames");
    TCase *tc = tcase_create("frames");

    tcase_add_test(tc, draws_by_the_token_alone);
    tcase_add_test(tc, begins_alike);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
