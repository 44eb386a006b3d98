/* Sessions at their limits; what they compute is tested in tests/reference. */
#include <check.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "formats/hdf5/sandbox.h"
#include "runtime/runtime.h"
#include "runtime/weights.h"
#include "scratch.h"
#include "suite.h"

/* A fixture on the CPU. */
struct subject {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    struct gqa_device *device;
    struct gqa_runtime *runtime;
};

static struct subject subject;
static struct gqa_backend backend; /* the CPU's, perhaps changed */
static atomic_uint n_reads;        /* by any thread */

static enum gqa_status count_reads(void *ctx, size_t param, uint64_t row,
                                   uint64_t n_rows, void *buf)
{
    const struct gqa_weight_source inner = gqa_checkpoint_weight_source(ctx);

    n_reads++;
    return inner.read(inner.ctx, param, row, n_rows, buf);
}

static void take_backend(void)
{
    backend = *gqa_cpu_backend();
    n_reads = 0;
}

static enum gqa_status open_subject(const char *fixture, enum gqa_dtype real)
{
    static const struct gqa_checkpoint_options as_it_is;
    struct gqa_checkpoint_weights weights;
    const struct gqa_weight_source source = {count_reads, &weights};

    memset(&subject, 0, sizeof subject);
    ck_assert_int_eq(
        gqa_checkpoint_open(&subject.checkpoint, test_data(fixture), &as_it_is),
        GQA_OK);
    ck_assert_int_eq(gqa_model_create(&subject.model, subject.checkpoint, NULL),
                     GQA_OK);
    ck_assert_int_eq(gqa_network_create(&subject.network, subject.model),
                     GQA_OK);
    ck_assert_int_eq(backend.open(&subject.device,
                                  &(struct gqa_device_options){.real = real,
                                                               .n_threads = 2}),
                     GQA_OK);
    weights =
        (struct gqa_checkpoint_weights){subject.checkpoint, subject.model};
    return gqa_runtime_create(&subject.runtime, subject.network, &backend,
                              subject.device, &source);
}

static void close_subject(void)
{
    gqa_runtime_free(subject.runtime);
    backend.close(subject.device);
    gqa_network_free(subject.network);
    gqa_model_free(subject.model);
    gqa_checkpoint_close(subject.checkpoint);
}

/* Logits of one sequence, or what stands in their place. */
struct kept {
    uint64_t sequence, n_outputs, n_rows;
    double *logits;
};

static enum gqa_status keep(void *ctx, uint64_t s, uint64_t position,
                            uint64_t n_rows, const double *logits)
{
    struct kept *k = ctx;

    if (s != k->sequence)
        return GQA_OK;
    memcpy(k->logits + position * k->n_outputs, logits,
           (size_t)(n_rows * k->n_outputs) * sizeof *logits);
    k->n_rows += n_rows;
    return GQA_OK;
}

static int32_t token_at(uint64_t s, uint64_t i)
{
    return (int32_t)((i * i * 31 + i * 7 + s * 13) %
                     subject.network->table_size);
}

static int32_t *make_tokens(uint64_t n_sequences, uint64_t n)
{
    int32_t *tokens = calloc(n_sequences * n, sizeof *tokens);

    ck_assert_ptr_nonnull(tokens);
    for (uint64_t s = 0; s < n_sequences; s++)
        for (uint64_t i = 0; i < n; i++)
            tokens[s * n + i] = token_at(s, i);
    return tokens;
}

/*
 * Logits of `which` of n_sequences, each a token shorter than the one before
 * but for the last, which has one token; the caller owns them.
 */
static double *run(uint64_t n_sequences, uint64_t which, uint64_t n)
{
    const uint64_t width = subject.network->n_outputs;
    struct kept kept = {.sequence = which,
                        .n_outputs = width,
                        .logits = calloc(n * width, sizeof *kept.logits)};
    const struct gqa_step_output output = {.ctx = &kept, .logits = keep};
    const bool encodes = subject.network->n_stacks > 1;
    int32_t *tokens = make_tokens(n_sequences, n);
    struct gqa_session *session = NULL;
    uint64_t lengths[8];

    ck_assert_ptr_nonnull(kept.logits);
    for (uint64_t s = 0; s < n_sequences; s++)
        lengths[s] = s > 0 && (s + 1 == n_sequences || n == 1) ? 1 : n - s;
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, n_sequences,
                                        n, encodes ? n : 0),
                     GQA_OK);
    if (encodes)
        ck_assert_int_eq(gqa_session_encode(session, tokens, n, lengths, NULL),
                         GQA_OK);
    ck_assert_int_eq(gqa_session_decode(session, tokens, n, lengths, &output),
                     GQA_OK);
    ck_assert_uint_eq(kept.n_rows, lengths[which]);
    gqa_session_free(session);
    free(tokens);
    return kept.logits;
}

static double distance(const double *a, const double *b, uint64_t n)
{
    double difference = 0, size = 0;

    for (uint64_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(difference / size);
}

static const char *const long_fixtures[] = {
    "runtime/llama-yarn",      "runtime/mistral", "runtime/gpt_neox",
    "runtime/t5-v1_0",         "runtime/umt5",    "families/t5-encoder",
    "families/longt5-encoder",
};

/*
 * Past 4096 and odd: float32 as float64, and in a batch, where it is cut
 * into other chunks, as alone. Under memcheck, which takes 20 minutes for
 * each of these, past a chunk of the batch: it looks for memory, not for
 * precision.
 */
START_TEST(runs_long_sequences)
{
    const uint64_t length = gqa_sandbox_is_watched() ? 1153 : 4397;
    double *alone, *batched, *narrow;
    uint64_t n;

    take_backend();
    ck_assert_int_eq(open_subject(long_fixtures[_i], GQA_F64), GQA_OK);
    n = length * subject.network->n_outputs;
    alone = run(1, 0, length);
    batched = run(3, 0, length);
    ck_assert_double_le(distance(batched, alone, n), 1e-12);
    free(batched);
    close_subject();
    ck_assert_int_eq(open_subject(long_fixtures[_i], GQA_F32), GQA_OK);
    narrow = run(1, 0, length);
    ck_assert_double_le(distance(narrow, alone, n), 2e-6);
    close_subject();
    free(narrow);
    free(alone);
}
END_TEST

START_TEST(runs_one_token)
{
    double *alone, *batched;

    take_backend();
    ck_assert_int_eq(open_subject("runtime/t5-v1_1", GQA_F64), GQA_OK);
    alone = run(1, 0, 1);
    batched = run(3, 0, 1);
    ck_assert_double_le(distance(batched, alone, subject.network->n_outputs),
                        1e-12);
    free(alone);
    free(batched);
    close_subject();
}
END_TEST

static void refused(enum gqa_status st, const char *says)
{
    ck_assert_int_eq(st, GQA_ERR_USAGE);
    ck_assert_msg(strstr(gqa_error_message(), says) != NULL, "%s",
                  gqa_error_message());
}

START_TEST(refuses_bad_steps)
{
    const uint64_t two = 2, three = 3;
    int32_t tokens[] = {1, 2, 3};
    struct gqa_session *session = NULL;

    take_backend();
    ck_assert_int_eq(open_subject("runtime/gpt2", GQA_F32), GQA_OK);
    refused(gqa_session_create(&session, subject.runtime, 0, 3, 0),
            "needs room");
    refused(gqa_session_create(&session, subject.runtime, 1, 0, 0),
            "needs room");
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 1, 100, 0),
                     GQA_OK);
    refused(gqa_session_encode(session, tokens, 3, &three, NULL),
            "has no encoder");
    refused(gqa_session_decode(session, tokens, 2, &three, NULL),
            "3 of 2 tokens are real");
    tokens[1] = 61;
    refused(gqa_session_decode(session, tokens, 3, &three, NULL),
            "token 61 (number 1 of sequence 0) is not in the vocabulary of 61");
    tokens[1] = -1;
    refused(gqa_session_decode(session, tokens, 3, &three, NULL), "token -1");
    tokens[1] = 2;
    /* The model has 24 positions. */
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(gqa_session_decode(session, tokens, 3, &three, NULL),
                         GQA_OK);
    refused(gqa_session_decode(session, tokens, 2, &two, NULL),
            "has 26 tokens, but the model has positions for 24");
    gqa_session_free(session);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 1, 4, 0),
                     GQA_OK);
    ck_assert_int_eq(gqa_session_decode(session, tokens, 3, &three, NULL),
                     GQA_OK);
    refused(gqa_session_decode(session, tokens, 2, &two, NULL),
            "2 tokens behind 3 are more than the session's 4");
    gqa_session_reset(session);
    ck_assert_int_eq(gqa_session_decode(session, tokens, 3, &three, NULL),
                     GQA_OK);
    gqa_session_free(session);
    close_subject();
    ck_assert_int_eq(open_subject("runtime/t5-v1_0", GQA_F32), GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 1, 4, 4),
                     GQA_OK);
    refused(gqa_session_decode(session, tokens, 3, &three, NULL),
            "encode first");
    gqa_session_free(session);
    close_subject();
    ck_assert_int_eq(open_subject("families/t5-encoder", GQA_F32), GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 1, 8, 0),
                     GQA_OK);
    refused(gqa_session_encode(session, tokens, 3, &three, NULL),
            "has no encoder");
    ck_assert_int_eq(gqa_session_decode(session, tokens, 3, &three, NULL),
                     GQA_OK);
    refused(gqa_session_decode(session, tokens, 2, &two, NULL),
            "sequence 0 has been run: an encoder takes all of one at once");
    gqa_session_reset(session);
    ck_assert_int_eq(gqa_session_decode(session, tokens, 3, &three, NULL),
                     GQA_OK);
    gqa_session_free(session);
    close_subject();
}
END_TEST

static enum gqa_status describe_small(struct gqa_device *device,
                                      struct gqa_device_info *out)
{
    const enum gqa_status st = gqa_cpu_backend()->describe(device, out);

    out->free_bytes = 4096;
    out->total_bytes = 8192;
    return st;
}

START_TEST(refuses_what_does_not_fit)
{
    take_backend();
    backend.describe = describe_small;
    ck_assert_int_eq(open_subject("runtime/llama", GQA_F32), GQA_ERR_NOMEM);
    ck_assert_uint_eq(n_reads, 0);
    ck_assert_msg(strstr(gqa_error_message(), "has 4.0 KiB free of 8.0 KiB"),
                  "%s", gqa_error_message());
    close_subject();
}
END_TEST

static int until_failure; /* allocations that still succeed */

static enum gqa_status alloc_some(struct gqa_device *device, void **out,
                                  uint64_t n_bytes)
{
    if (until_failure-- <= 0)
        return gqa_fail(GQA_ERR_NOMEM, "no more");
    return gqa_cpu_backend()->alloc(device, out, n_bytes);
}

/* Wherever memory runs out, what was taken is given back. */
START_TEST(survives_lack_of_memory)
{
    enum gqa_status st = GQA_ERR_NOMEM;
    int n = 0;

    take_backend();
    backend.alloc = alloc_some;
    while (st != GQA_OK) {
        struct gqa_session *session = NULL;

        until_failure = n++;
        ck_assert_int_lt(n, 1000);
        st = open_subject("runtime/umt5", GQA_F32);
        if (st == GQA_OK)
            st = gqa_session_create(&session, subject.runtime, 2, 5, 7);
        if (st != GQA_OK)
            ck_assert_int_eq(st, GQA_ERR_NOMEM);
        gqa_session_free(session);
        close_subject();
    }
    ck_assert_int_gt(n, 50);
}
END_TEST

/* --- Callbacks ------------------------------------------------------------ */

static unsigned n_batches;

static enum gqa_status count_batches(struct gqa_device *device,
                                     const struct gqa_batch *batch)
{
    n_batches++;
    ck_assert_uint_le(batch->n_new, 3);
    return gqa_cpu_backend()->set_batch(device, batch);
}

/* Columns that are padding in every sequence are not computed. */
START_TEST(leaves_common_padding_alone)
{
    const int32_t tokens[2 * 9] = {1, 2, 3};
    uint64_t lengths[] = {3, 0};
    struct gqa_session *session = NULL;

    take_backend();
    backend.set_batch = count_batches;
    n_batches = 0;
    ck_assert_int_eq(open_subject("runtime/llama", GQA_F32), GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 2, 3, 0),
                     GQA_OK);
    ck_assert_int_eq(gqa_session_decode(session, tokens, 9, lengths, NULL),
                     GQA_OK);
    ck_assert_uint_eq(n_batches, 1);
    lengths[0] = 0;
    ck_assert_int_eq(gqa_session_decode(session, tokens, 9, lengths, NULL),
                     GQA_OK);
    ck_assert_uint_eq(n_batches, 1);
    gqa_session_free(session);
    close_subject();
}
END_TEST

static atomic_uint calls_left; /* that still succeed */

static enum gqa_status read_some(void *ctx, size_t param, uint64_t row,
                                 uint64_t n_rows, void *buf)
{
    if (calls_left-- == 0)
        return gqa_fail(GQA_ERR_IO, "the disk is gone");
    return count_reads(ctx, param, row, n_rows, buf);
}

START_TEST(ends_where_weights_end)
{
    enum gqa_status st = GQA_ERR_IO;
    unsigned n = 0;

    take_backend();
    ck_assert_int_eq(open_subject("runtime/t5-v1_0", GQA_F32), GQA_OK);
    while (st != GQA_OK) {
        struct gqa_checkpoint_weights weights = {subject.checkpoint,
                                                 subject.model};
        struct gqa_runtime *runtime = NULL;

        calls_left = n++;
        ck_assert_uint_lt(n, 1000);
        st = gqa_runtime_create(
            &runtime, subject.network, &backend, subject.device,
            &(struct gqa_weight_source){read_some, &weights});
        if (st != GQA_OK) {
            ck_assert_int_eq(st, GQA_ERR_IO);
            ck_assert_ptr_null(runtime);
        }
        gqa_runtime_free(runtime);
    }
    ck_assert_uint_gt(n, 40);
    close_subject();
}
END_TEST

static enum gqa_status refuse_residual(void *ctx, enum gqa_stack stack,
                                       uint64_t layer, uint64_t s,
                                       uint64_t position, uint64_t n_rows,
                                       const double *x)
{
    (void)ctx, (void)layer, (void)s, (void)position, (void)n_rows, (void)x;
    return stack == GQA_STACK_ENCODER && calls_left-- == 0
               ? gqa_fail(GQA_ERR_IO, "no more of that")
               : GQA_OK;
}

/* An input that was run in part is no input. */
START_TEST(forgets_an_input_that_failed)
{
    const struct gqa_step_output output = {.residual = refuse_residual};
    const int32_t tokens[] = {1, 2, 3, 4};
    const uint64_t lengths[] = {2, 2};
    struct gqa_session *session = NULL;

    take_backend();
    ck_assert_int_eq(open_subject("runtime/t5-v1_0", GQA_F32), GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, 2, 2, 2),
                     GQA_OK);
    ck_assert_int_eq(gqa_session_encode(session, tokens, 2, lengths, NULL),
                     GQA_OK);
    calls_left = 1;
    ck_assert_int_eq(gqa_session_encode(session, tokens, 2, lengths, &output),
                     GQA_ERR_IO);
    refused(gqa_session_decode(session, tokens, 2, lengths, NULL),
            "encode first");
    ck_assert_int_eq(gqa_session_encode(session, tokens, 2, lengths, NULL),
                     GQA_OK);
    ck_assert_int_eq(gqa_session_decode(session, tokens, 2, lengths, NULL),
                     GQA_OK);
    gqa_session_free(session);
    close_subject();
}
END_TEST

START_TEST(refuses_absurd_sessions)
{
    static const uint64_t sizes[][3] = {
        {1, UINT64_MAX / 2, 1},
        {UINT64_MAX / 2, 1, 1},
        {UINT32_MAX, UINT32_MAX, 1},
        {1, 1, UINT64_MAX / 16},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
    struct gqa_session *session = NULL;

    take_backend();
    ck_assert_int_eq(open_subject("runtime/t5-v1_0", GQA_F32), GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, subject.runtime, sizes[_i][0],
                                        sizes[_i][1], sizes[_i][2]),
                     GQA_ERR_NOMEM);
    close_subject();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runtime");
    TCase *tc = tcase_create("runtime");

    tcase_add_loop_test(tc, runs_long_sequences, 0,
                        (int)(sizeof long_fixtures / sizeof *long_fixtures));
    tcase_add_test(tc, runs_one_token);
    tcase_add_test(tc, refuses_bad_steps);
    tcase_add_test(tc, leaves_common_padding_alone);
    tcase_add_test(tc, ends_where_weights_end);
    tcase_add_test(tc, forgets_an_input_that_failed);
    tcase_add_test(tc, refuses_what_does_not_fit);
    tcase_add_test(tc, survives_lack_of_memory);
    tcase_add_loop_test(tc, refuses_absurd_sessions, 0, 5);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
