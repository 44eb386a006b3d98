/* Rows mixed from others, beside sums that are made one by one. */
#include <stdlib.h>
#include <string.h>

#include "convert/mix.h"
#include "suite.h"

enum { MOST_ROWS = 9, MOST_W = 33, MOST_COLUMNS = 50 };

static uint64_t state;

static double draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / (double)(UINT64_C(1) << 52) - 1;
}

/* Whole blocks and what is left beside and below them; every bit counts. */
START_TEST(sums_in_order)
{
    static const size_t columns[] = {1, 15, 16, 17, 32, 50};
    static double rows[MOST_W * MOST_COLUMNS], factors[MOST_ROWS * MOST_W];
    static double out[MOST_ROWS * MOST_COLUMNS + 1];

    state = 7;
    for (size_t i = 0; i < MOST_W * MOST_COLUMNS; i++)
        rows[i] = draw() * (i % 5 ? 1 : 1e9);
    for (size_t i = 0; i < MOST_ROWS * MOST_W; i++)
        factors[i] = draw();
    for (uint64_t n_rows = 0; n_rows <= MOST_ROWS; n_rows++)
        for (uint64_t w = 0; w <= MOST_W; w += 11)
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
                const size_t n = columns[c];

                out[n_rows * n] = 17;
                gqa_mix(out, factors, n_rows, rows, w, n);
                for (uint64_t r = 0; r < n_rows; r++)
                    for (size_t i = 0; i < n; i++) {
                        volatile double sum = 0, product;

                        for (uint64_t k = 0; k < w; k++) {
                            product = factors[r * w + k] * rows[k * n + i];
                            sum += product;
                        }
                        ck_assert(out[r * n + i] == sum);
                    }
                ck_assert_double_eq(out[n_rows * n], 17);
            }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mix");
    TCase *all = tcase_create("all");

    tcase_add_test(all, sums_in_order);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
