#include <check.h>
#include <math.h>

#include "runtime/cpu/plain.h"
#include "suite.h"

/* More inputs than are summed at a time, more outputs than a panel has. */
enum { INPUTS = 300, OUTPUTS = 37, ROWS = 6 };

static struct gqa_device *device;
static const struct gqa_backend *backend;
static float weights[OUTPUTS * INPUTS];
static double x[ROWS * INPUTS], out[ROWS * OUTPUTS];
static const struct gqa_weight weight = {weights, GQA_F32, OUTPUTS, INPUTS};
static const struct gqa_weight turned = {weights, GQA_F32, INPUTS, OUTPUTS};

static void open_plain(enum gqa_dtype type)
{
    const struct gqa_device_options options = {.real = type, .n_threads = 2};

    backend = gqa_plain_backend();
    ck_assert_int_eq(backend->open(&device, &options), GQA_OK);
}

static void close_plain(void)
{
    backend->close(device);
}

static double draw(unsigned i)
{
    return sin(1 + 1.7 * i) + 0.1;
}

static void fill(void)
{
    for (unsigned i = 0; i < OUTPUTS * INPUTS; i++)
        weights[i] = (float)draw(3 * i);
    for (unsigned i = 0; i < ROWS * INPUTS; i++)
        x[i] = (float)draw(5 * i + 1);
    for (unsigned i = 0; i < ROWS * OUTPUTS; i++)
        out[i] = 0.25 * i;
}

/* In float32, one term after another, whatever there are of rows, outputs
 * and inputs. */
START_TEST(sums_in_the_order_of_inputs)
{
    open_plain(GQA_F32);
    for (int input_major = 0; input_major < 2; input_major++) {
        fill();
        ck_assert_int_eq(backend->linear(device, out, x, ROWS,
                                         input_major ? &turned : &weight,
                                         input_major, NULL, NULL),
                         GQA_OK);
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < OUTPUTS; j++) {
                float sum = 0;

                for (int i = 0; i < INPUTS; i++)
                    sum +=
                        (float)x[r * INPUTS + i] *
                        weights[input_major ? i * OUTPUTS + j : j * INPUTS + i];
                ck_assert_double_eq(out[r * OUTPUTS + j], (double)sum);
            }
    }
    close_plain();
}
END_TEST

/* 1 + 2^-9 is 1 in bfloat16; of 1 and 2^-9 each alone is exact. */
START_TEST(rounds_before_and_after_it_adds)
{
    const float one[] = {1, 0x1p-9F};
    const struct gqa_weight w = {one, GQA_F32, 1, 2};
    const double in[] = {1, 1};
    double sum = 0x1p-9;

    open_plain(GQA_BF16);
    ck_assert_int_eq(
        backend->linear(device, &sum, in, 1, &w, false, NULL, &sum), GQA_OK);
    ck_assert_double_eq(sum, 1);
    ck_assert_int_eq(backend->unembed(device, &sum, in, 1, &w, false, NULL, 3),
                     GQA_OK);
    ck_assert_double_eq(sum, 3 + 3 * 0x1p-9); /* logits are float32 */
    close_plain();
}
END_TEST

START_TEST(rounds_what_functions_give)
{
    const enum gqa_dtype types[] = {GQA_F32, GQA_BF16, GQA_F16};
    const double units[] = {0x1p-24, 0x1p-8, 0x1p-11};

    for (int t = 0; t < 3; t++) {
        double values[1000], given[1000];
        double worst = 0;

        open_plain(types[t]);
        for (unsigned i = 0; i < 1000; i++)
            values[i] = given[i] = 1 + fabs(draw(i));
        ck_assert_int_eq(backend->activate(device, values, values, NULL, 1000,
                                           GQA_ACTIVATION_RELU),
                         GQA_OK);
        for (unsigned i = 0; i < 1000; i++)
            worst = fmax(worst, fabs(values[i] / given[i] - 1));
        ck_assert_double_le(worst, units[t]);
        ck_assert_double_gt(worst, units[t] / 2);
        close_plain();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plain");
    TCase *tc = tcase_create("plain");

    tcase_add_test(tc, sums_in_the_order_of_inputs);
    tcase_add_test(tc, rounds_before_and_after_it_adds);
    tcase_add_test(tc, rounds_what_functions_give);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
