/* Tokens drawn from logits, and from a model one after another. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "cpu_device.h"
#include "runtime/runtime.h"
#include "runtime/weights.h"
#include "scratch.h"
#include "suite.h"

enum { VOCAB = 100, N_ROWS = 40, START = 7 };

static const struct gqa_draw_op plain = {
    .vocab_size = VOCAB, .temperature = 1, .never = {-1, -1, -1, -1}};

static bool is_never(const struct gqa_draw_op *op, uint64_t token)
{
    for (unsigned i = 0; i < GQA_N_NEVER; i++)
        if ((int64_t)token == op->never[i])
            return true;
    return false;
}

/* How many tokens have a larger logit, of those that may be drawn. */
static uint64_t n_larger(const struct gqa_draw_op *op, const double *logits,
                         uint64_t token)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < op->vocab_size; i++)
        n += !is_never(op, i) && logits[i] > logits[token];
    return n;
}

/* By the words of backend.h. */
static int32_t expected(const struct gqa_draw_op *op, const double *logits,
                        double number)
{
    double *shares = make(op->vocab_size, sizeof *shares);
    double most = -INFINITY, sum = 0, left;
    int32_t token = 0;

    for (uint64_t i = 0; i < op->vocab_size; i++)
        if (!is_never(op, i))
            most = fmax(most, logits[i]);
    for (uint64_t i = 0; i < op->vocab_size; i++) {
        if (is_never(op, i) ||
            (op->top_k > 0 && n_larger(op, logits, i) >= op->top_k))
            continue;
        shares[i] = exp((logits[i] - most) / op->temperature);
        sum += shares[i];
    }
    left = sum * number;
    for (uint64_t i = 0; i < op->vocab_size; i++) {
        if (shares[i] == 0)
            continue;
        token = (int32_t)i;
        if ((left -= shares[i]) < 0)
            break;
    }
    free(shares);
    return token;
}

/* The batch of N_ROWS sequences, of which `without` has no new token. */
static void set_batch(uint64_t without)
{
    int32_t tokens[N_ROWS] = {0};
    uint64_t n_tokens[N_ROWS], starts[N_ROWS];

    for (uint64_t s = 0; s < N_ROWS; s++) {
        n_tokens[s] = s != without;
        starts[s] = START + s;
    }
    ck_assert_int_eq(
        backend->set_batch(
            device, &(struct gqa_batch){N_ROWS, 1, tokens, n_tokens, starts}),
        GQA_OK);
}

/* Some are equal, so that the k-th largest is not alone. */
static double *make_logits(void)
{
    double *logits = make((size_t)N_ROWS * VOCAB, sizeof *logits);

    for (size_t i = 0; i < (size_t)N_ROWS * VOCAB; i++)
        logits[i] = floor(draw() * 20) / 4;
    return logits;
}

static void check_op(const struct gqa_draw_op *op)
{
    double *logits = make_logits();
    void *given = rounded(logits, (size_t)N_ROWS * VOCAB, real);
    uint64_t keys[N_ROWS];
    int32_t out[N_ROWS];

    for (uint64_t s = 0; s < N_ROWS; s++)
        keys[s] = gqa_random_key(5, "test", s);
    memset(out, 0x55, sizeof out);
    set_batch(3);
    /* In two parts, the second first. */
    ck_assert_int_eq(backend->draw(device, out,
                                   (char *)given + 16 * VOCAB * bytes_of(real),
                                   keys, 16, N_ROWS - 16, op),
                     GQA_OK);
    ck_assert_int_eq(out[15], 0x55555555);
    ck_assert_int_eq(backend->draw(device, out, given, keys, 0, 16, op),
                     GQA_OK);
    for (uint64_t s = 0; s < N_ROWS; s++)
        ck_assert_int_eq(
            out[s], s == 3
                        ? 0
                        : expected(op, logits + s * VOCAB,
                                   gqa_random_uniform(keys[s], START + s + 1)));
    free(logits);
    free(given);
}

START_TEST(draws_as_it_says)
{
    struct gqa_draw_op op = plain;

    open_device(reals[_i % 2], _i < 2 ? 1 : 3);
    check_op(&op);
    op.temperature = 0.25;
    check_op(&op);
    op.top_k = 9;
    check_op(&op);
    op.never[0] = 99;
    op.never[2] = 0;
    op.never[3] = 41;
    check_op(&op);
    op.top_k = VOCAB - 3;
    check_op(&op);
    op.top_k = UINT64_MAX;
    check_op(&op);
    close_device();
}
END_TEST

/* 40 x 500 draws of a fifth, two fifths and two fifths. Of chi-square with two
 * degrees of freedom one value in a million is above 27.6. */
START_TEST(draws_by_probability)
{
    struct gqa_draw_op op = plain;
    float logits[N_ROWS * 4];
    uint64_t keys[N_ROWS], counts[4] = {0};
    int32_t out[N_ROWS];
    double chi = 0;

    open_device(GQA_F32, 2);
    op.vocab_size = 4;
    op.temperature = 2;
    op.never[1] = 1;
    for (uint64_t s = 0; s < N_ROWS; s++) {
        const float row[] = {0, 50, 2 * (float)log(2), 2 * (float)log(2)};

        memcpy(logits + 4 * s, row, sizeof row);
    }
    set_batch(N_ROWS);
    for (uint64_t turn = 0; turn < 500; turn++) {
        for (uint64_t s = 0; s < N_ROWS; s++)
            keys[s] = gqa_random_key(turn, "test", s);
        ck_assert_int_eq(
            backend->draw(device, out, logits, keys, 0, N_ROWS, &op), GQA_OK);
        for (uint64_t s = 0; s < N_ROWS; s++)
            counts[out[s]]++;
    }
    ck_assert_uint_eq(counts[1], 0);
    for (unsigned i = 0; i < 4; i++) {
        const double want = 500.0 * N_ROWS / 5 * (i > 1 ? 2 : 1);

        if (i != 1)
            chi +=
                ((double)counts[i] - want) * ((double)counts[i] - want) / want;
    }
    ck_assert(chi < 27.6);
    close_device();
}
END_TEST

/* Whatever is not finite, also of a token that may not be drawn; rows beside
 * it are as they are. Nothing that may be drawn is no failure. */
START_TEST(says_what_is_not_finite)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct gqa_draw_op op = plain;
    float logits[N_ROWS * 4] = {0};
    uint64_t keys[N_ROWS] = {0};
    int32_t out[N_ROWS];

    open_device(GQA_F32, 2);
    op.vocab_size = 4;
    op.never[0] = 2;
    for (unsigned i = 0; i < 3; i++)
        logits[4 * (5 + i) + i] = bad[i];
    set_batch(N_ROWS);
    ck_assert_int_eq(backend->draw(device, out, logits, keys, 0, N_ROWS, &op),
                     GQA_OK);
    for (unsigned s = 0; s < N_ROWS; s++)
        if (s >= 5 && s < 8)
            ck_assert_int_eq(out[s], -1);
        else
            ck_assert(out[s] >= 0 && out[s] < 4 && out[s] != 2);
    op.vocab_size = 1;
    op.never[0] = 0;
    ck_assert_int_eq(backend->draw(device, out, logits, keys, 0, 4, &op),
                     GQA_OK);
    ck_assert_int_eq(out[3], 0);
    close_device();
}
END_TEST

/* --- From a model --------------------------------------------------------- */

struct subject {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    struct gqa_runtime *runtime;
};

static struct subject open_subject(const char *fixture)
{
    static const struct gqa_checkpoint_options as_it_is;
    struct subject s = {.checkpoint = NULL};
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;

    open_device(GQA_F64, 2);
    ck_assert_int_eq(
        gqa_checkpoint_open(&s.checkpoint, test_data(fixture), &as_it_is),
        GQA_OK);
    ck_assert_int_eq(gqa_model_create(&s.model, s.checkpoint, NULL), GQA_OK);
    ck_assert_int_eq(gqa_network_create(&s.network, s.model), GQA_OK);
    weights = (struct gqa_checkpoint_weights){s.checkpoint, s.model};
    source = gqa_checkpoint_weight_source(&weights);
    ck_assert_int_eq(
        gqa_runtime_create(&s.runtime, s.network, backend, device, &source),
        GQA_OK);
    return s;
}

static void close_subject(const struct subject *s)
{
    gqa_runtime_free(s->runtime);
    gqa_network_free(s->network);
    gqa_model_free(s->model);
    gqa_checkpoint_close(s->checkpoint);
    close_device();
}

enum { N = 5, LENGTH = 12, WIDTH = 6 };

/* An input for each. */
static void encode(const struct subject *subject, struct gqa_session *session,
                   uint64_t first, uint64_t n)
{
    int32_t tokens[N * WIDTH];
    uint64_t lengths[N];

    if (subject->network->n_stacks < 2)
        return;
    for (uint64_t s = 0; s < n; s++) {
        lengths[s] = WIDTH - (first + s) % 3;
        for (uint64_t i = 0; i < WIDTH; i++)
            tokens[s * WIDTH + i] = (int32_t)((first + s) * 7 + i * i) % 50;
    }
    ck_assert_int_eq(gqa_session_encode(session, tokens, WIDTH, lengths, NULL),
                     GQA_OK);
}

struct drawn_tokens {
    int32_t ids[N][LENGTH];
    uint64_t n[N];
};

static void draw_some(struct drawn_tokens *out, const struct subject *subject,
                      const struct gqa_draw *how, uint64_t first, uint64_t n)
{
    struct gqa_draw part = *how;
    struct gqa_session *session = NULL;

    part.keys += first;
    ck_assert_int_eq(
        gqa_session_create(&session, subject->runtime, n, LENGTH, WIDTH),
        GQA_OK);
    encode(subject, session, first, n);
    ck_assert_int_eq(
        gqa_session_draw(session, out->ids[first], &out->n[first], &part),
        GQA_OK);
    gqa_session_free(session);
}

/* Logits of the last token of each sequence. */
struct last {
    uint64_t vocab_size;
    double *rows[N];
};

static enum gqa_status keep(void *ctx, uint64_t s, uint64_t position,
                            uint64_t n_rows, const double *logits)
{
    const struct last *last = ctx;

    (void)position;
    ck_assert_uint_eq(n_rows, 1);
    memcpy(last->rows[s], logits, last->vocab_size * sizeof *logits);
    return GQA_OK;
}

/* The same by steps of decoding, and the words of backend.h. */
static void draw_by_steps(struct drawn_tokens *out,
                          const struct subject *subject,
                          const struct gqa_draw *how)
{
    struct gqa_draw_op op = how->op;
    struct last last = {.vocab_size = subject->network->vocab_size};
    const struct gqa_step_output output = {
        .ctx = &last, .logits = keep, .last_only = true};
    struct gqa_session *session = NULL;
    uint64_t ones[N];
    int32_t fed[N];

    op.vocab_size = last.vocab_size;
    ck_assert_int_eq(
        gqa_session_create(&session, subject->runtime, N, LENGTH, WIDTH),
        GQA_OK);
    encode(subject, session, 0, N);
    for (uint64_t s = 0; s < N; s++) {
        last.rows[s] = make(op.vocab_size, sizeof *last.rows[s]);
        fed[s] = how->start;
        ones[s] = 1;
        out->n[s] = 0;
    }
    for (uint64_t i = 0; i < LENGTH; i++) {
        ck_assert_int_eq(gqa_session_decode(session, fed, 1, ones, &output),
                         GQA_OK);
        for (uint64_t s = 0; s < N; s++) {
            if (ones[s] == 0)
                continue;
            fed[s] = expected(&op, last.rows[s],
                              gqa_random_uniform(how->keys[s], i + 1));
            out->ids[s][out->n[s]++] = fed[s];
            ones[s] = fed[s] != how->end;
        }
    }
    for (uint64_t s = 0; s < N; s++)
        free(last.rows[s]);
    gqa_session_free(session);
}

static void check_same(const struct drawn_tokens *a,
                       const struct drawn_tokens *b)
{
    ck_assert_mem_eq(a->n, b->n, sizeof a->n);
    for (uint64_t s = 0; s < N; s++)
        ck_assert_mem_eq(a->ids[s], b->ids[s], a->n[s] * sizeof **a->ids);
}

/* An end in sequence 1 stops it alone. */
START_TEST(draws_from_a_model)
{
    static const char *const fixtures[] = {"runtime/llama", "runtime/t5-v1_1"};
    const struct subject subject = open_subject(fixtures[_i]);
    struct drawn_tokens all = {.n = {0}}, parts = all, steps = all;
    uint64_t keys[N];
    struct gqa_draw how = {
        .op = plain, .start = 1, .end = -1, .keys = keys, .length = LENGTH};

    for (uint64_t s = 0; s < N; s++)
        keys[s] = gqa_random_key(9, "test", s);
    how.op.top_k = 30;
    for (unsigned turn = 0; turn < 2; turn++) {
        draw_some(&all, &subject, &how, 0, N);
        draw_some(&parts, &subject, &how, 3, 2);
        draw_some(&parts, &subject, &how, 0, 3);
        check_same(&all, &parts);
        draw_by_steps(&steps, &subject, &how);
        check_same(&all, &steps);
        if (turn == 0)
            ck_assert_uint_eq(all.n[1], LENGTH);
        else
            ck_assert_uint_le(all.n[1], 5);
        how.end = all.ids[1][4];
    }
    close_subject(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("draw");
    TCase *tc = tcase_create("draw");

    tcase_add_loop_test(tc, draws_as_it_says, 0, 4);
    tcase_add_test(tc, draws_by_probability);
    tcase_add_test(tc, says_what_is_not_finite);
    tcase_add_loop_test(tc, draws_from_a_model, 0, 2);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
