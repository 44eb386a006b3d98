#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "drawn_of.h"
#include "runtime/data/sample.h"
#include "suite.h"

/*
 * A model in the runtime's place, of eight tokens. What it says next is
 * certain: one more than the last token (an encoder-decoder: than the sum of
 * the last and the first of its input), counted from 3 to 7.
 */
enum { VOCAB = 8, MOST = 16 };

struct gqa_session {
    uint64_t n_sequences;
    int32_t offsets[MOST];
};

static bool undecided; /* all tokens are equally likely */
static bool leaning;   /* each is e times as likely as the one before */
static bool broken;    /* logits are NaN */
/* Sequence s ends with its token ends_after + s + 1; 0: never. */
static uint64_t ends_after;
static uint64_t at_a_time = MOST;

uint64_t gqa_session_n_drawn(const struct gqa_runtime *runtime, uint64_t length,
                             uint64_t width)
{
    (void)runtime, (void)length, (void)width;
    return at_a_time;
}

enum gqa_status gqa_session_create(struct gqa_session **out,
                                   struct gqa_runtime *runtime,
                                   uint64_t n_sequences, uint64_t capacity,
                                   uint64_t encoder_capacity)
{
    (void)runtime;
    (void)encoder_capacity;
    ck_assert_uint_ge(capacity, 1);
    ck_assert_uint_le(n_sequences, MOST);
    *out = calloc(1, sizeof **out);
    ck_assert_ptr_nonnull(*out);
    (*out)->n_sequences = n_sequences;
    return GQA_OK;
}

enum gqa_status gqa_session_begin(struct gqa_session *session,
                                  uint64_t n_sequences, uint64_t capacity,
                                  uint64_t encoder_capacity,
                                  const uint64_t *numbers)
{
    (void)session, (void)n_sequences, (void)capacity, (void)encoder_capacity;
    (void)numbers;
    return GQA_OK;
}

void gqa_session_free(struct gqa_session *session)
{
    free(session);
}

enum gqa_status gqa_session_encode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    (void)output;
    for (uint64_t s = 0; s < session->n_sequences; s++) {
        ck_assert_uint_le(n_tokens[s], n_new);
        session->offsets[s] = tokens[s * n_new];
    }
    return GQA_OK;
}

static void make_logits(double logits[VOCAB], const struct gqa_session *session,
                        uint64_t s, uint64_t seen, int32_t token)
{
    memset(logits, 0, VOCAB * sizeof *logits);
    if (ends_after > 0 && seen == ends_after + s)
        logits[1] = 2000;
    if (!undecided)
        logits[3 + (token + session->offsets[s] + 1 - 3 + 5) % 5] = 1000;
    for (int i = 3; leaning && i < VOCAB; i++)
        logits[i] = i;
    if (broken)
        logits[5] = (double)NAN;
}

enum gqa_status gqa_session_draw(struct gqa_session *session, int32_t *out,
                                 uint64_t *drawn, const struct gqa_draw *draw)
{
    double logits[VOCAB];

    for (uint64_t s = 0; s < session->n_sequences; s++) {
        int32_t token = draw->start;

        drawn[s] = 0;
        while (drawn[s] < draw->length &&
               (drawn[s] == 0 || token != draw->end)) {
            make_logits(logits, session, s, drawn[s], token);
            token = drawn_of(logits, VOCAB, draw, s, drawn[s]);
            if (token < 0)
                return gqa_fail(GQA_ERR_FORMAT, "not finite");
            out[s * draw->length + drawn[s]++] = token;
        }
    }
    return GQA_OK;
}

static struct gqa_network network = {.n_stacks = 1,
                                     .stacks = {{.stack = GQA_STACK_DECODER}},
                                     .has_logits = true,
                                     .vocab_size = VOCAB,
                                     .start_token = 0,
                                     .end_token = 1,
                                     .pad_token = 2};
static struct gqa_tokens tokens;

static void sample(uint64_t n, uint64_t length, uint64_t seed)
{
    const struct gqa_sample_options options = {
        .n = n, .length = length, .seed = seed};

    tokens = (struct gqa_tokens){NULL, 0};
    ck_assert_int_eq(gqa_sample(&tokens, NULL, &network, &options), GQA_OK);
    ck_assert_uint_eq(tokens.n, n);
}

/* Start token 0, counted as 5, then 6, 7, 3, 4, 5. */
START_TEST(draws_what_is_certain)
{
    static const int32_t expected[6] = {0, 6, 7, 3, 4, 5};

    sample(20, 6, 1);
    for (size_t s = 0; s < tokens.n; s++) {
        ck_assert_uint_eq(tokens.sequences[s].n_decoder, 6);
        ck_assert_mem_eq(tokens.sequences[s].decoder, expected,
                         sizeof expected);
        ck_assert_int_eq(tokens.sequences[s].next[5], GQA_NO_TOKEN);
    }
    gqa_tokens_clear(&tokens);
}
END_TEST

/* 20 x 99 draws of 5 tokens: each near 396, none of them special. */
START_TEST(draws_by_probability)
{
    unsigned counts[VOCAB] = {0};

    undecided = true;
    sample(20, 100, 7);
    for (size_t s = 0; s < tokens.n; s++)
        for (int i = 1; i < 100; i++)
            counts[tokens.sequences[s].decoder[i]]++;
    gqa_tokens_clear(&tokens);
    for (int t = 0; t < VOCAB; t++)
        if (t < 3)
            ck_assert_uint_eq(counts[t], 0);
        else
            ck_assert(counts[t] > 320 && counts[t] < 480);
}
END_TEST

static void count_leaning(unsigned counts[VOCAB], double temperature,
                          uint64_t top_k)
{
    const struct gqa_sample_options options = {.n = 20,
                                               .length = 101,
                                               .seed = 3,
                                               .temperature = temperature,
                                               .top_k = top_k};

    leaning = undecided = true;
    tokens = (struct gqa_tokens){NULL, 0};
    memset(counts, 0, VOCAB * sizeof *counts);
    ck_assert_int_eq(gqa_sample(&tokens, NULL, &network, &options), GQA_OK);
    for (size_t s = 0; s < tokens.n; s++)
        for (int i = 1; i < 101; i++)
            counts[tokens.sequences[s].decoder[i]]++;
    gqa_tokens_clear(&tokens);
    leaning = false;
}

/* 2000 draws of tokens 3 to 7; 7 is e / (1 + e) of the last two. */
START_TEST(draws_warm_and_cold)
{
    unsigned counts[VOCAB];

    count_leaning(counts, 0, 2);
    ck_assert_uint_eq(counts[6] + counts[7], 2000);
    ck_assert(counts[7] > 1380 && counts[7] < 1540);
    count_leaning(counts, 0, 1);
    ck_assert_uint_eq(counts[7], 2000);
    count_leaning(counts, 0.01, 0);
    ck_assert_uint_eq(counts[7], 2000);
    /* As good as the same for all. */
    count_leaning(counts, 1e6, 100);
    for (int t = 3; t < VOCAB; t++)
        ck_assert(counts[t] > 320 && counts[t] < 480);
}
END_TEST

START_TEST(follows_the_seed)
{
    int32_t first[50];

    undecided = true;
    sample(1, 50, 7);
    memcpy(first, tokens.sequences[0].decoder, sizeof first);
    gqa_tokens_clear(&tokens);
    sample(18, 50, 7);
    ck_assert_mem_eq(tokens.sequences[0].decoder, first, sizeof first);
    ck_assert_mem_ne(tokens.sequences[17].decoder, first, sizeof first);
    gqa_tokens_clear(&tokens);
    sample(1, 50, 8);
    ck_assert_mem_ne(tokens.sequences[0].decoder, first, sizeof first);
    gqa_tokens_clear(&tokens);
}
END_TEST

/* In any parts, and of any number at a time, they are what they are at once. */
START_TEST(follows_the_number)
{
    struct gqa_tokens all, part = {NULL, 0};

    undecided = true;
    for (unsigned i = 0; i < 2; i++) {
        network.n_stacks = 1 + i;
        sample(20, 9, 7);
        all = tokens;
        at_a_time = 3;
        for (uint64_t first = 0; first < 20; first += 5) {
            const struct gqa_sample_options options = {
                .n = 5, .length = 9, .seed = 7, .first = first};

            ck_assert_int_eq(gqa_sample(&part, NULL, &network, &options),
                             GQA_OK);
            for (uint64_t s = 0; s < 5; s++) {
                const struct gqa_sequence *of = &part.sequences[s];
                const struct gqa_sequence *is = &all.sequences[first + s];

                ck_assert_uint_eq(of->n_decoder, is->n_decoder);
                ck_assert_mem_eq(of->decoder, is->decoder,
                                 is->n_decoder * sizeof *is->decoder);
                ck_assert_uint_eq(of->n_encoder, is->n_encoder);
                if (i > 0)
                    ck_assert_mem_eq(of->encoder, is->encoder,
                                     is->n_encoder * sizeof *is->encoder);
            }
            gqa_tokens_clear(&part);
        }
        gqa_tokens_clear(&all);
        at_a_time = MOST;
    }
}
END_TEST

/* The second round's input is an output of the first; its output is fed
 * behind the start token and asked for. */
START_TEST(draws_two_rounds)
{
    network.n_stacks = 2;
    sample(17, 5, 3);
    for (size_t i = 0; i < tokens.n; i++) {
        const struct gqa_sequence *s = &tokens.sequences[i];
        int32_t last = 0;

        ck_assert_uint_eq(s->n_encoder, 5);
        ck_assert_uint_eq(s->n_decoder, 5);
        ck_assert_int_eq(s->decoder[0], 0);
        for (int t = 0; t < 5; t++) {
            ck_assert_int_eq(s->decoder[t], last);
            ck_assert_int_ge(s->encoder[t], 3);
            last = 3 + (last + s->encoder[0] + 1 - 3 + 5) % 5;
            ck_assert_int_eq(s->next[t], last);
        }
    }
    gqa_tokens_clear(&tokens);
}
END_TEST

/* Of the second round; sequences of the first have no end. */
START_TEST(ends_with_the_model)
{
    network.n_stacks = 2;
    ends_after = 2;
    sample(3, 12, 1);
    for (size_t i = 0; i < 3; i++) {
        const struct gqa_sequence *s = &tokens.sequences[i];

        ck_assert_uint_eq(s->n_decoder, 3 + i);
        ck_assert_int_eq(s->decoder[0], 0);
        ck_assert_int_eq(s->next[2 + i], 1);
        for (size_t j = 0; j < 2 + i; j++)
            ck_assert_int_ne(s->next[j], 1);
    }
    gqa_tokens_clear(&tokens);
}
END_TEST

static void sample_uniform(void)
{
    const struct gqa_sample_options options = {.n = 2, .length = 6};

    tokens = (struct gqa_tokens){NULL, 0};
    ck_assert_int_eq(gqa_sample_uniform(&tokens, &network, &options), GQA_OK);
    ck_assert_uint_eq(tokens.n, 2);
}

/* Of a model that makes no logits: nothing is said, and so nothing is fed. */
START_TEST(decodes_the_input_again)
{
    static const int64_t given[] = {4, 7};
    const struct gqa_token_rules rules = gqa_token_rules_of(&network);
    const struct gqa_sample_options options = {.n = 3, .length = 6};

    network.n_stacks = 2;
    network.has_logits = false;
    sample(2, 6, 0);
    ck_assert_int_eq(
        gqa_tokens_add(&tokens,
                       &(struct gqa_token_rules){.vocab_size = rules.vocab_size,
                                                 .is_encoder_decoder = true},
                       given, 2, NULL, 0),
        GQA_OK);
    ck_assert_int_eq(gqa_sample_outputs(&tokens, NULL, &network, &options),
                     GQA_OK);
    for (size_t i = 0; i < tokens.n; i++) {
        const struct gqa_sequence *s = &tokens.sequences[i];

        ck_assert_uint_eq(s->n_encoder, i < 2 ? 6 : 2);
        ck_assert_uint_eq(s->n_decoder, s->n_encoder);
        ck_assert(s->starts);
        ck_assert_int_eq(s->decoder[0], 0);
        for (uint64_t t = 0; t + 1 < s->n_decoder; t++)
            ck_assert_int_eq(s->decoder[t + 1], s->encoder[t]);
    }
    gqa_tokens_clear(&tokens);
}
END_TEST

/* An encoder alone reads a text and nothing before it. */
START_TEST(begins_with_a_start_where_one_decodes)
{
    for (int encodes = 0; encodes < 2; encodes++) {
        network.n_stacks = 1;
        network.has_logits = !encodes;
        network.stacks[0].stack =
            encodes ? GQA_STACK_ENCODER : GQA_STACK_DECODER;
        sample_uniform();
        for (size_t i = 0; i < tokens.n; i++) {
            const struct gqa_sequence *s = &tokens.sequences[i];

            ck_assert_ptr_null(s->encoder);
            ck_assert_uint_eq(s->n_decoder, 6);
            ck_assert(s->starts == !encodes);
            ck_assert((s->decoder[0] == 0) == !encodes);
            for (int t = 1; t < 6; t++)
                ck_assert_int_ge(s->decoder[t], 3);
        }
        gqa_tokens_clear(&tokens);
    }
}
END_TEST

START_TEST(refuses_what_is_not_finite)
{
    const struct gqa_sample_options options = {.n = 1, .length = 5};

    broken = true;
    tokens = (struct gqa_tokens){NULL, 0};
    ck_assert_int_eq(gqa_sample(&tokens, NULL, &network, &options),
                     GQA_ERR_FORMAT);
    gqa_tokens_clear(&tokens);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sample");
    TCase *tc = tcase_create("sample");

    tcase_add_test(tc, draws_what_is_certain);
    tcase_add_test(tc, draws_by_probability);
    tcase_add_test(tc, draws_warm_and_cold);
    tcase_add_test(tc, follows_the_seed);
    tcase_add_test(tc, follows_the_number);
    tcase_add_test(tc, draws_two_rounds);
    tcase_add_test(tc, ends_with_the_model);
    tcase_add_test(tc, decodes_the_input_again);
    tcase_add_test(tc, begins_with_a_start_where_one_decodes);
    tcase_add_test(tc, refuses_what_is_not_finite);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
