#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"
#include "suite.h"

static double load_one(uint16_t bits, enum gqa_dtype dtype)
{
    double d;

    gqa_load_f64(&d, &bits, dtype, 1);
    return d;
}

static uint16_t store_one(double d, enum gqa_dtype dtype)
{
    uint16_t bits;

    gqa_store_f64(&bits, dtype, &d, 1);
    return bits;
}

START_TEST(known_values)
{
    ck_assert_double_eq(load_one(0x3c00, GQA_F16), 1.0);
    ck_assert_double_eq(load_one(0x7bff, GQA_F16), 65504.0);
    ck_assert_double_eq(load_one(0x0001, GQA_F16), 0x1p-24);
    ck_assert_double_eq(load_one(0x3f80, GQA_BF16), 1.0);
    ck_assert_double_eq(load_one(0x0001, GQA_BF16), 0x1p-133);
    ck_assert(isinf(load_one(0x7c00, GQA_F16)));
    ck_assert(isnan(load_one(0x7e00, GQA_F16)));
    ck_assert(isnan(load_one(0xffc0, GQA_BF16)));
    ck_assert(signbit(load_one(0x8000, GQA_F16)));
}
END_TEST

/* Every 16-bit pattern comes back; a NaN as some NaN. */
START_TEST(sixteen_bits_return)
{
    static const enum gqa_dtype dtypes[] = {GQA_F16, GQA_BF16};
    const enum gqa_dtype dtype = dtypes[_i];

    for (unsigned bits = 0; bits <= 0xffff; bits++) {
        const double d = load_one((uint16_t)bits, dtype);
        const uint16_t back = store_one(d, dtype);

        if (isnan(d))
            ck_assert(isnan(load_one(back, dtype)));
        else
            ck_assert_uint_eq(back, bits);
    }
}
END_TEST

/*
 * Between neighbours a and b: the middle goes to the even one, anything
 * nearer to one goes there. The nudges are far below what a float holds,
 * so that rounding by way of float would show.
 */
START_TEST(ties_go_to_even)
{
    static const enum gqa_dtype dtypes[] = {GQA_F16, GQA_BF16};
    const enum gqa_dtype dtype = dtypes[_i];
    const unsigned infinity = dtype == GQA_F16 ? 0x7c00 : 0x7f80;

    for (unsigned bits = 0; bits + 1 < infinity; bits++) {
        const double a = load_one((uint16_t)bits, dtype);
        const double b = load_one((uint16_t)(bits + 1), dtype);
        const double middle = (a + b) / 2;
        const unsigned even = bits & 1 ? bits + 1 : bits;

        ck_assert_uint_eq(store_one(middle, dtype), even);
        ck_assert_uint_eq(store_one(nextafter(middle, 0), dtype), bits);
        ck_assert_uint_eq(store_one(nextafter(middle, HUGE_VAL), dtype),
                          bits + 1);
        ck_assert_uint_eq(store_one(-middle, dtype), even | 0x8000u);
    }
}
END_TEST

/* Many at a time, alone or with others that need care: the same bits. */
START_TEST(neighbours_do_not_matter)
{
    enum { N = 1000 };
    double values[N];
    uint16_t together[N];
    uint64_t random = 1;

    for (int i = 0; i < N; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        values[i] =
            ldexp((double)(int64_t)random, (int)(random >> 40) % 60 - 90);
    }
    if (_i == 1)
        values[700] = 0;
    gqa_store_f64(together, GQA_BF16, values, N);
    for (int i = 0; i < N; i++)
        ck_assert_uint_eq(together[i], store_one(values[i], GQA_BF16));
    /* A subnormal beside each makes it go the careful way. */
    for (int i = 0; i < N; i++) {
        const double pair[2] = {values[i], 0x1p-130};
        uint16_t bits[2];

        gqa_store_f64(bits, GQA_BF16, pair, 2);
        ck_assert_uint_eq(together[i], bits[0]);
    }
}
END_TEST

START_TEST(overflow_is_infinity)
{
    ck_assert_uint_eq(store_one(65519.99, GQA_F16), 0x7bff);
    ck_assert_uint_eq(store_one(65520.0, GQA_F16), 0x7c00);
    ck_assert_uint_eq(store_one(-1e300, GQA_F16), 0xfc00);
    ck_assert_uint_eq(store_one(1e39, GQA_BF16), 0x7f80);
    ck_assert_uint_eq(store_one(HUGE_VAL, GQA_BF16), 0x7f80);
    ck_assert_uint_eq(store_one(0x1p-25, GQA_F16), 0);
    ck_assert_uint_eq(store_one(nextafter(0x1p-25, 1), GQA_F16), 1);
}
END_TEST

START_TEST(adds_in_double)
{
    const float f[3] = {1, 0x1p-40f, -3};
    double sum[3] = {0x1p-45, 1, 3};

    gqa_add_f64(sum, f, GQA_F32, 3);
    ck_assert_double_eq(sum[0], 1 + 0x1p-45);
    ck_assert_double_eq(sum[1], 1 + 0x1p-40);
    ck_assert_double_eq(sum[2], 0);
}
END_TEST

START_TEST(counts_nonfinite)
{
    const uint16_t h[6] = {0x7c00, 0xfc00, 0x7e01, 0x3c00, 0, 0xfe00};
    const double d[4] = {HUGE_VAL, NAN, 1, -HUGE_VAL};
    uint64_t n_nan = 0;
    uint64_t n_inf = 0;

    gqa_count_nonfinite(h, GQA_F16, 6, &n_nan, &n_inf);
    ck_assert_uint_eq(n_nan, 2);
    ck_assert_uint_eq(n_inf, 2);
    gqa_count_nonfinite(d, GQA_F64, 4, &n_nan, &n_inf);
    ck_assert_uint_eq(n_nan, 3);
    ck_assert_uint_eq(n_inf, 4);
}
END_TEST

START_TEST(sizes_do_not_wrap)
{
    uint64_t bytes;

    ck_assert(gqa_dtype_bytes(GQA_F4, 6, &bytes));
    ck_assert_uint_eq(bytes, 3);
    ck_assert(!gqa_dtype_bytes(GQA_F4, 3, &bytes));
    ck_assert(!gqa_dtype_bytes(GQA_F32, UINT64_C(1) << 62, &bytes));
    ck_assert(gqa_dtype_bytes(GQA_F32, UINT64_C(1) << 61, &bytes));
    ck_assert_uint_eq(bytes, UINT64_C(1) << 63);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dtype");
    TCase *tc = tcase_create("conversion");

    tcase_add_test(tc, known_values);
    tcase_add_loop_test(tc, sixteen_bits_return, 0, 2);
    tcase_add_loop_test(tc, ties_go_to_even, 0, 2);
    tcase_add_loop_test(tc, neighbours_do_not_matter, 0, 2);
    tcase_add_test(tc, overflow_is_infinity);
    tcase_add_test(tc, adds_in_double);
    tcase_add_test(tc, counts_nonfinite);
    tcase_add_test(tc, sizes_do_not_wrap);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
