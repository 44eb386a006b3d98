/* Lengths that the models and the device choose. */
#include <check.h>
#include <string.h>

#include "scratch.h"
#include "suite.h"
#include "uptrain/settings.h"

static struct gqa_side open_side(const char *fixture)
{
    static const struct gqa_checkpoint_options as_it_is;
    struct gqa_side side = {.path = fixture};

    ck_assert_int_eq(
        gqa_checkpoint_open(&side.checkpoint, test_data(fixture), &as_it_is),
        GQA_OK);
    ck_assert_int_eq(gqa_model_create(&side.model, side.checkpoint, NULL),
                     GQA_OK);
    ck_assert_int_eq(gqa_network_create(&side.network, side.model), GQA_OK);
    return side;
}

/* Of a pair of two that are the same, with --length asked. */
static struct gqa_settings choose(const char *fixture, uint64_t asked,
                                  bool in_place)
{
    struct gqa_backend backend = *gqa_cpu_backend();
    struct gqa_side side = open_side(fixture);
    const struct gqa_pair pair = {.teacher = side, .student = side};
    const struct gqa_uptrain_options options = {.n_steps = 400,
                                                .batch = 16,
                                                .accumulate = 1,
                                                .n_ranks = 1,
                                                .length = asked};
    struct gqa_settings out;

    backend.in_place = in_place;
    out = gqa_settings_choose(&options, &pair, &backend);
    gqa_network_free(side.network);
    gqa_model_free(side.model);
    gqa_checkpoint_close(side.checkpoint);
    return out;
}

START_TEST(length_by_device_and_positions)
{
    ck_assert_uint_eq(choose("runtime/t5-v1_1", 0, false).length, 512);
    ck_assert_uint_eq(choose("runtime/t5-v1_1", 0, true).length, 128);
    ck_assert_uint_eq(choose("runtime/t5-v1_1", 1000, false).length, 1000);
    /* As its configuration says, and 24 positions that were learnt. */
    ck_assert_uint_eq(choose("runtime/llama", 0, false).length, 64);
    ck_assert_uint_eq(choose("runtime/gpt2", 0, true).length, 24);
    ck_assert_uint_eq(choose("runtime/gpt2", 1000, false).length, 24);
}
END_TEST

START_TEST(a_processor_draws_less)
{
    ck_assert_uint_eq(choose("runtime/llama", 0, true).n_own, 512);
    ck_assert_uint_eq(choose("runtime/llama", 0, false).n_own, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uptrain_settings");
    TCase *tcase = tcase_create("settings");

    tcase_add_test(tcase, length_by_device_and_positions);
    tcase_add_test(tcase, a_processor_draws_less);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
