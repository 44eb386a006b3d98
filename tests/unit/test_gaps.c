#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drawn_of.h"
#include "runtime/data/gaps.h"
#include "suite.h"

/*
 * A model in the runtime's place that fills gaps, each with 10, 11, 12: its
 * sentinels are 299, 298 ... of 384 tokens. What it says next is certain.
 */
enum { VOCAB = 384, SENTINEL = 299, END = 1, N_FILL = 3, MOST = 16 };

struct gqa_session {
    uint64_t n_sequences;
    int32_t script[MOST][512];
};

static enum { FILLS, SAYS_ONE_WORD, VARIES } habit;

uint64_t gqa_session_n_drawn(const struct gqa_runtime *runtime, uint64_t length,
                             uint64_t width)
{
    (void)runtime, (void)length, (void)width;
    return MOST;
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

/* What the model will say of an input: of the first gap always. */
static void write_script(int32_t *script, const int32_t *input, uint64_t n)
{
    uint64_t at = 0;

    if (habit != FILLS) {
        script[at++] = habit == VARIES ? input[0] : SENTINEL;
        script[at] = END;
        return;
    }
    for (int32_t g = 0; g < 100; g++)
        for (uint64_t i = 0; i < n; i++)
            if (g == 0 || input[i] == SENTINEL - g) {
                script[at++] = SENTINEL - g;
                for (int32_t j = 0; j < N_FILL; j++)
                    script[at++] = 10 + j;
                break;
            }
    script[at] = END;
}

enum gqa_status gqa_session_encode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    (void)output;
    for (uint64_t s = 0; s < session->n_sequences; s++)
        write_script(session->script[s], tokens + s * n_new, n_tokens[s]);
    return GQA_OK;
}

enum gqa_status gqa_session_draw(struct gqa_session *session, int32_t *out,
                                 uint64_t *drawn, const struct gqa_draw *draw)
{
    for (uint64_t s = 0; s < session->n_sequences; s++) {
        int32_t token = draw->start;

        drawn[s] = 0;
        while (drawn[s] < draw->length &&
               (drawn[s] == 0 || token != draw->end)) {
            double logits[VOCAB] = {0};

            logits[session->script[s][drawn[s]]] = 1000;
            token = drawn_of(logits, VOCAB, draw, s, drawn[s]);
            out[s * draw->length + drawn[s]++] = token;
        }
    }
    return GQA_OK;
}

static struct gqa_network network = {.n_stacks = 2,
                                     .has_logits = true,
                                     .vocab_size = VOCAB,
                                     .start_token = 0,
                                     .end_token = END,
                                     .pad_token = 0};

static void sample(struct gqa_tokens *tokens, uint64_t n, uint64_t length,
                   bool grows_text)
{
    const struct gqa_sample_options options = {
        .n = n, .length = length, .grows_text = grows_text};

    *tokens = (struct gqa_tokens){NULL, 0};
    ck_assert_int_eq(gqa_sample(tokens, NULL, &network, &options), GQA_OK);
    ck_assert_uint_eq(tokens->n, n);
}

START_TEST(finds_the_habit)
{
    const struct gqa_sample_options options = {.n = 1, .length = 64};
    const struct gqa_drawing drawing = {.rules = gqa_token_rules_of(&network),
                                        .options = &options};
    struct gqa_gaps gaps;
    bool found = false;

    habit = FILLS;
    ck_assert_int_eq(gqa_gaps_find(&found, &gaps, NULL, &drawing), GQA_OK);
    ck_assert(found);
    ck_assert_int_eq(gaps.sentinel, SENTINEL);
    ck_assert_uint_eq(gaps.length, N_FILL);
    habit = SAYS_ONE_WORD;
    ck_assert_int_eq(gqa_gaps_find(&found, &gaps, NULL, &drawing), GQA_OK);
    ck_assert(!found);
    habit = VARIES;
    ck_assert_int_eq(gqa_gaps_find(&found, &gaps, NULL, &drawing), GQA_OK);
    ck_assert(!found);
}
END_TEST

/* 15 % of 64 tokens are three gaps of three: 55 tokens of text, three sentinels
 * and an end. Nothing is left of the noise, and the labels say all gaps. */
START_TEST(grows_text_from_noise)
{
    struct gqa_tokens tokens;
    bool differs = false;

    habit = FILLS;
    sample(&tokens, 70, 64, true);
    for (size_t i = 0; i < tokens.n; i++) {
        const struct gqa_sequence *s = &tokens.sequences[i];
        int32_t n_gaps = 0;

        ck_assert_uint_eq(s->n_encoder, 64 - 3 * N_FILL + 3 + 1);
        ck_assert_int_eq(s->encoder[s->n_encoder - 1], END);
        for (uint64_t t = 0; t + 1 < s->n_encoder; t++)
            if (s->encoder[t] == SENTINEL - n_gaps)
                n_gaps++;
            else
                ck_assert(s->encoder[t] >= 10 && s->encoder[t] <= 12);
        ck_assert_int_eq(n_gaps, 3);
        ck_assert_uint_eq(s->n_decoder, 3 * (1 + N_FILL) + 1);
        ck_assert_int_eq(s->next[0], SENTINEL);
        ck_assert_int_eq(s->next[s->n_decoder - 1], END);
        differs = differs || memcmp(s->encoder, tokens.sequences[0].encoder,
                                    s->n_encoder * sizeof *s->encoder) != 0;
    }
    ck_assert(differs); /* gaps are elsewhere in each */
    gqa_tokens_clear(&tokens);
}
END_TEST

/* Without the habit, or in sequences too short for a gap, it is what it is
 * where nothing of the kind is asked for. */
START_TEST(leaves_others_alone)
{
    struct gqa_tokens grown, plain;

    for (int i = 0; i < 2; i++) {
        const uint64_t length = i == 0 ? 64 : 8;

        habit = i == 0 ? VARIES : FILLS;
        sample(&grown, 3, length, true);
        sample(&plain, 3, length, false);
        for (size_t s = 0; s < 3; s++) {
            ck_assert_uint_eq(grown.sequences[s].n_encoder, length);
            ck_assert_mem_eq(grown.sequences[s].encoder,
                             plain.sequences[s].encoder,
                             length * sizeof *plain.sequences[s].encoder);
        }
        gqa_tokens_clear(&grown);
        gqa_tokens_clear(&plain);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gaps");
    TCase *tc = tcase_create("gaps");

    tcase_add_test(tc, finds_the_habit);
    tcase_add_test(tc, grows_text_from_noise);
    tcase_add_test(tc, leaves_others_alone);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
