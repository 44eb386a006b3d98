/* Lengths that the models and the device choose. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"
#include "suite.h"
#include "uptrain/pace.h"
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

/* Of a step of 16 x 64 tokens; all: of what is trained all, else nothing. */
static double flop_of(const char *fixture, const char *loss, bool all)
{
    struct gqa_side side = open_side(fixture);
    const struct gqa_pair pair = {.teacher = side, .student = side};
    const struct gqa_settings settings = {.length = 64, .batch = 16};
    struct gqa_uptrain_options options = {.batch = 16, .accumulate = 1};
    bool *trained = calloc(side.model->n_params, sizeof *trained);
    double flop;

    ck_assert_int_eq(gqa_loss_parse(&options.loss, loss), GQA_OK);
    for (size_t i = 0; i < side.model->n_params; i++)
        trained[i] = all;
    flop = gqa_step_flop(&options, &settings, &pair, trained);
    free(trained);
    gqa_network_free(side.network);
    gqa_model_free(side.model);
    gqa_checkpoint_close(side.checkpoint);
    return flop;
}

/* A token meets 2 blocks of 4 x 24 x 24 and 3 x 24 x 29 weights and a head of
 * 61 x 24, and 32.5 keys in each block, twice: it is 10248 products, and 2 x 2
 * x 32.5 x 24 of scores and what they weigh. Of Mixtral's four experts two. */
START_TEST(a_step_is_so_much)
{
    const double tokens = 16 * 64, products = 2 * tokens * 10248;
    const double scores = 2 * tokens * 2 * 2 * 32.5 * 24;
    const double experts =
        2 * tokens * (2 * (4 * 32 * 32 + 4 * 32 + 2 * 3 * 32 * 6) + 47 * 32);

    ck_assert_double_eq_tol(flop_of("runtime/llama", "kl", false),
                            3 * products + 4.5 * scores, 1);
    ck_assert_double_eq_tol(flop_of("runtime/llama", "kl", true),
                            4 * products + 4.5 * scores, 1);
    ck_assert_double_eq_tol(flop_of("runtime/llama", "ce", true),
                            3 * products + 3.5 * scores, 1);
    ck_assert_double_eq_tol(flop_of("families/mixtral", "ce", false),
                            2 * experts + 3.5 * scores / 24 * 32, 1);
}
END_TEST

START_TEST(a_pace_is_said_in_units_of_its_own)
{
    const struct gqa_pace fast = {.step_s = 0.25, .tokens_per_s = 12345};
    const struct gqa_pace slow = {.step_s = 30, .tokens_per_s = 68};
    char text[GQA_PACE_MAX];

    ck_assert_str_eq(gqa_pace_say(text, &fast, 1),
                     "about 12300 tokens/s, 0.25 s for 1 step");
    ck_assert_str_eq(gqa_pace_say(text, &fast, 400),
                     "about 12300 tokens/s, 100 s for 400 steps");
    ck_assert_str_eq(gqa_pace_say(text, &slow, 10),
                     "about 68 tokens/s, 5.0 min for 10 steps");
    ck_assert_str_eq(gqa_pace_say(text, &slow, 400),
                     "about 68 tokens/s, 3.3 h for 400 steps");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uptrain_settings");
    TCase *tcase = tcase_create("settings");

    tcase_add_test(tcase, length_by_device_and_positions);
    tcase_add_test(tcase, a_processor_draws_less);
    tcase_add_test(tcase, a_step_is_so_much);
    tcase_add_test(tcase, a_pace_is_said_in_units_of_its_own);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
