#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_backend.h"
#include "runtime/measure/trace.h"
#include "scratch.h"
#include "suite.h"
#include "tiny_model.h"

enum { VOCAB = TINY_VOCAB, LAYERS = TINY_LAYERS };

/* Two sequences, of 2 in and 3 out, and of 1 and 2. */
static int32_t encoder[2][2] = {{3, 1}, {2, 0}};
static int32_t decoder[2][3] = {{0, 1, 2}, {0, 3, 0}};
static int32_t next[2][3] = {{1, 2, 3}, {3, GQA_NO_TOKEN, 0}};
static struct gqa_sequence sequences[2] = {
    {encoder[0], 2, decoder[0], next[0], 3, false},
    {encoder[1], 1, decoder[1], next[1], 2, false},
};
static const struct gqa_tokens tokens = {sequences, 2};

static struct gqa_run_options run_options = {
    .device = {.real = GQA_F64, .n_threads = 1}};
static struct tiny_model tiny;
static struct gqa_running *running;
static struct gqa_trace *trace;

static void open_running(const struct tiny_model *model)
{
    const enum gqa_status st =
        gqa_running_open(&running, model->model, &model->source, &run_options);

    ck_assert_msg(st == GQA_OK, "%s", gqa_error_message());
}

static void begin(void)
{
    const struct gqa_trace_options options = {GQA_F64, true, true};

    scratch_create();
    tiny_model_open(&tiny, VOCAB, TINY_HEADS);
    run_options.backend = faulty_backend();
    open_running(&tiny);
    ck_assert_int_eq(gqa_trace_record(&trace, running, &tokens, &options, NULL),
                     GQA_OK);
    faulty_n_steps = 0;
}

static void end(void)
{
    gqa_trace_free(trace);
    gqa_running_close(running);
    ck_assert_uint_eq(faulty_n_open, 0);
    tiny_model_close(&tiny);
    scratch_remove();
}

/* Of tokens 0 and 3, with input 2. */
START_TEST(keeps_what_a_model_gave)
{
    const double expected[2 * VOCAB] = {0, 4, 4, 2, 6, 0, 0, 2};
    double logits[2 * VOCAB];

    ck_assert_uint_eq(gqa_trace_n_layers(trace), 2 * LAYERS);
    ck_assert_int_eq(gqa_trace_logits(trace, 1, 0, 2, logits), GQA_OK);
    for (int i = 0; i < 2 * VOCAB; i++)
        ck_assert_double_eq_tol(logits[i], expected[i], 1e-12);
}
END_TEST

static struct gqa_drift logits;
static struct gqa_drift layers[2 * LAYERS];
static struct gqa_fidelity_result fidelity;

static void compare(uint64_t max_sequences, bool token_by_token)
{
    struct gqa_fidelity *f = NULL;
    struct gqa_comparison to = {.logits = &logits, .layers = layers};

    memset(layers, 0, sizeof layers);
    memset(&logits, 0, sizeof logits);
    ck_assert_int_eq(gqa_fidelity_create(&f, VOCAB, 2, 5), GQA_OK);
    to.fidelity = f;
    ck_assert_int_eq(gqa_trace_compare(trace, running, max_sequences,
                                       token_by_token, &to, NULL),
                     GQA_OK);
    gqa_fidelity_finish(f, &fidelity);
    gqa_fidelity_free(f);
}

/* All in a batch, in one step; token by token, one for each of the longest. */
START_TEST(finds_equal_models_equal)
{
    for (int token_by_token = 0; token_by_token < 2; token_by_token++) {
        faulty_n_steps = 0;
        compare(0, token_by_token);
        ck_assert_uint_eq(faulty_n_steps, token_by_token ? 3 : 1);
        ck_assert_uint_eq(fidelity.n_positions, 5);
        ck_assert_uint_eq(fidelity.n_next, 4);
        ck_assert_double_lt(fidelity.kl_max, 1e-24);
        ck_assert_double_lt(logits.squared_distance, 1e-24);
        ck_assert_double_gt(logits.squared_norm, 0);
        for (int l = 0; l < 2 * LAYERS; l++) {
            ck_assert_double_lt(layers[l].squared_distance, 1e-24);
            ck_assert_double_gt(layers[l].squared_norm, 0);
        }
    }
    compare(1, false);
    ck_assert_uint_eq(fidelity.n_positions, 3);
}
END_TEST

/* Logit 2 of each of 5 positions is off by 3. */
START_TEST(finds_logits_that_moved)
{
    faults.logit = 3;
    compare(0, false);
    ck_assert_double_eq_tol(logits.squared_distance, 5 * 9, 1e-12);
    ck_assert_double_gt(fidelity.kl_mean, 0.1);
    for (int l = 0; l < 2 * LAYERS; l++)
        ck_assert_double_eq(layers[l].squared_distance, 0);
}
END_TEST

/* The last layer is off by 2. */
START_TEST(finds_the_layer_that_moved)
{
    faults.layer = 2;
    compare(0, false);
    for (int l = 0; l < 2 * LAYERS - 1; l++)
        ck_assert_double_eq(layers[l].squared_distance, 0);
    ck_assert_double_eq_tol(layers[3].squared_distance, 5 * 4, 1e-12);
    ck_assert_uint_eq(gqa_drift_worst(layers + LAYERS, LAYERS), 1);
    ck_assert_double_gt(logits.squared_distance, 0.1);
}
END_TEST

/* The decoder's last layer is off by 2 where the stream has (0, 2, 2 ...) of
 * tokens: of the points it is the last but the logits. */
START_TEST(finds_the_point_that_moved)
{
    struct gqa_errors errors[3 * 2 * LAYERS + 1] = {{0}};
    const struct gqa_comparison to = {.errors = errors};
    const size_t n = gqa_trace_n_points(trace);

    ck_assert_uint_eq(n, 3 * 2 * LAYERS + 1);
    faults.layer = 2;
    ck_assert_int_eq(gqa_trace_compare(trace, running, 0, false, &to, NULL),
                     GQA_OK);
    for (size_t i = 0; i < n; i++) {
        const struct gqa_trace_point point = gqa_trace_point(trace, i);
        const bool cross = point.kind == GQA_POINT_CROSS;
        const bool in_encoder = i < 3 * LAYERS;

        /* 3 and 5 positions; the encoder has no cross-attention. */
        ck_assert_uint_eq(errors[i].n, !in_encoder ? 5 : cross ? 0 : 3);
        if (i + 2 < n)
            ck_assert_double_lt(errors[i].most, 1e-12);
        else
            ck_assert_double_gt(errors[i].most, 0.1);
    }
    ck_assert_int_eq(gqa_trace_point(trace, n - 2).kind, GQA_POINT_AFTER);
    ck_assert_int_eq(gqa_trace_point(trace, n - 2).stack, GQA_STACK_DECODER);
    ck_assert_uint_eq(gqa_trace_point(trace, n - 2).layer, LAYERS - 1);
    ck_assert_int_eq(gqa_trace_point(trace, n - 1).kind, GQA_POINT_LOGITS);
}
END_TEST

START_TEST(refuses_another_vocabulary)
{
    const struct gqa_comparison to = {.logits = &logits};
    struct tiny_model larger;

    gqa_running_close(running);
    tiny_model_open(&larger, VOCAB + 1, TINY_HEADS);
    open_running(&larger);
    ck_assert_int_eq(gqa_trace_compare(trace, running, 0, false, &to, NULL),
                     GQA_ERR_UNSUPPORTED);
    gqa_running_close(running);
    running = NULL;
    tiny_model_close(&larger);
}
END_TEST

START_TEST(refuses_sequences_without_labels)
{
    const struct gqa_trace_options options = {.dtype = GQA_F32};
    struct gqa_sequence bare = {encoder[0], 2, NULL, NULL, 0, false};
    const struct gqa_tokens inputs = {&bare, 1};
    struct gqa_trace *none = NULL;

    ck_assert_int_eq(gqa_trace_record(&none, running, &inputs, &options, NULL),
                     GQA_ERR_USAGE);
    ck_assert_ptr_null(none);
}
END_TEST

static void count(void *ctx, uint64_t done, uint64_t all)
{
    uint64_t *last = ctx;

    ck_assert_uint_gt(done, *last);
    ck_assert_uint_eq(all, 15);
    *last = done;
}

START_TEST(tells_how_far_it_is)
{
    uint64_t last = 10;
    const struct gqa_run_progress progress = {count, &last, 10, 15};
    const struct gqa_comparison to = {.logits = &logits};

    ck_assert_int_eq(
        gqa_trace_compare(trace, running, 0, false, &to, &progress), GQA_OK);
    ck_assert_uint_eq(last, 15);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tc = tcase_create("trace");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, keeps_what_a_model_gave);
    tcase_add_test(tc, finds_equal_models_equal);
    tcase_add_test(tc, finds_logits_that_moved);
    tcase_add_test(tc, finds_the_layer_that_moved);
    tcase_add_test(tc, finds_the_point_that_moved);
    tcase_add_test(tc, refuses_another_vocabulary);
    tcase_add_test(tc, refuses_sequences_without_labels);
    tcase_add_test(tc, tells_how_far_it_is);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
