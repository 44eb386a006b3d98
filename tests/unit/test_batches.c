#include <check.h>
#include <stdlib.h>

#include "runtime/data/batches.h"
#include "suite.h"

static struct gqa_sequence sequences[8];
static int32_t ids[1000];
static struct gqa_batches batches;

/* Sequences of these lengths; token i of the decoder is i, of the encoder
 * 100 + i. */
static struct gqa_tokens make(const uint64_t (*lengths)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        sequences[i] = (struct gqa_sequence){.encoder = ids + 100,
                                             .n_encoder = lengths[i][0],
                                             .decoder = ids,
                                             .n_decoder = lengths[i][1]};
    for (int i = 0; i < 1000; i++)
        ids[i] = i;
    return (struct gqa_tokens){sequences, n};
}

static void end(void)
{
    gqa_batches_clear(&batches);
}

static void cut(const struct gqa_tokens *tokens,
                const struct gqa_batch_limits *limits)
{
    ck_assert_int_eq(gqa_batches_create(&batches, tokens, limits), GQA_OK);
}

/* The longest first; equals in their own order. */
START_TEST(sorts_by_length)
{
    static const uint64_t lengths[][2] = {{0, 5}, {0, 9}, {0, 5}, {0, 7}};
    static const uint64_t order[] = {1, 3, 0, 2};
    const struct gqa_tokens tokens = make(lengths, 4);
    int32_t rows[4 * 9];
    uint64_t counts[4];

    cut(&tokens, &(struct gqa_batch_limits){.rows = 36});
    ck_assert_uint_eq(batches.n, 1);
    ck_assert_uint_eq(batches.most_sequences, 4);
    ck_assert_uint_eq(batches.most_decoder, 9);
    ck_assert_uint_eq(batches.decoder_rows, 36);
    gqa_batches_fill(rows, counts, &batches, 0, &tokens, false, 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(batches.order[i], order[i]);
        ck_assert_uint_eq(counts[i], lengths[order[i]][1]);
        for (int j = 0; j < 9; j++)
            ck_assert_int_eq(rows[i * 9 + j], j < (int)counts[i] ? j : 0);
    }
}
END_TEST

/* Each model has its own start token, where one was put there. */
START_TEST(begins_with_the_start_token)
{
    static const uint64_t lengths[][2] = {{2, 2}, {2, 2}};
    const struct gqa_tokens tokens = make(lengths, 2);
    int32_t rows[4];
    uint64_t counts[2];

    sequences[1].starts = true;
    cut(&tokens, &(struct gqa_batch_limits){.rows = 4});
    gqa_batches_fill(rows, counts, &batches, 0, &tokens, false, 9);
    ck_assert_int_eq(rows[0], 0);
    ck_assert_int_eq(rows[2], 9);
    ck_assert_int_eq(rows[3], 1);
    gqa_batches_fill(rows, counts, &batches, 0, &tokens, true, 9);
    ck_assert_int_eq(rows[2], 100);
}
END_TEST

START_TEST(keeps_the_limits)
{
    static const uint64_t lengths[][2] = {{0, 10}, {0, 10}, {0, 10}, {0, 10}};
    const struct gqa_tokens tokens = make(lengths, 4);

    cut(&tokens, &(struct gqa_batch_limits){.rows = 29});
    ck_assert_uint_eq(batches.n, 2);
    gqa_batches_clear(&batches);
    cut(&tokens, &(struct gqa_batch_limits){.sequences = 3});
    ck_assert_uint_eq(batches.n, 2);
    ck_assert_uint_eq(batches.items[0].n, 3);
    ck_assert_uint_eq(batches.items[1].first, 3);
    gqa_batches_clear(&batches);
    /* 10 tokens of 4 bytes each. */
    cut(&tokens,
        &(struct gqa_batch_limits){.bytes = 80, .decoder_token_bytes = 4});
    ck_assert_uint_eq(batches.n, 2);
    gqa_batches_clear(&batches);
    /* One sequence is always a batch. */
    cut(&tokens, &(struct gqa_batch_limits){.rows = 1, .bytes = 1});
    ck_assert_uint_eq(batches.n, 4);
}
END_TEST

/* Up to an eighth is padded, and up to 32 tokens; in neither stack more. */
START_TEST(pads_little)
{
    static const uint64_t lengths[][2] = {
        {0, 400}, {0, 350}, {0, 349}, {0, 316}};
    static const uint64_t pairs[][2] = {{300, 2}, {262, 40}, {2, 300}};
    struct gqa_tokens tokens = make(lengths, 4);

    cut(&tokens, &(struct gqa_batch_limits){.rows = 0});
    ck_assert_uint_eq(batches.n, 2);
    ck_assert_uint_eq(batches.items[0].n, 2);
    gqa_batches_clear(&batches);
    tokens = make(pairs, 3);
    cut(&tokens, &(struct gqa_batch_limits){.rows = 0});
    ck_assert_uint_eq(batches.n, 3);
}
END_TEST

/* Sequences of a batch have the same frequencies. */
START_TEST(keeps_apart_what_turns_otherwise)
{
    static const uint64_t lengths[][2] = {{0, 10}, {0, 8}, {0, 7}, {0, 9}};
    const struct gqa_tokens tokens = make(lengths, 4);
    double longer[1];
    struct gqa_rope rope = {.n_pairs = 1, .context = 8, .longer = longer};

    cut(&tokens, &(struct gqa_batch_limits){.rope = &rope});
    ck_assert_uint_eq(batches.n, 2);
    ck_assert_uint_eq(batches.items[0].n, 2);
    ck_assert_uint_eq(batches.items[1].n_decoder, 8);
    gqa_batches_clear(&batches);
    rope.longer = NULL; /* each length by itself */
    cut(&tokens, &(struct gqa_batch_limits){.rope = &rope});
    ck_assert_uint_eq(batches.n, 3);
    gqa_batches_clear(&batches);
    rope.context = 0;
    cut(&tokens, &(struct gqa_batch_limits){.rope = &rope});
    ck_assert_uint_eq(batches.n, 1);
}
END_TEST

START_TEST(fills_both_stacks)
{
    static const uint64_t lengths[][2] = {{3, 1}, {2, 4}};
    const struct gqa_tokens tokens = make(lengths, 2);
    int32_t rows[2 * 4];
    uint64_t counts[2];

    cut(&tokens, &(struct gqa_batch_limits){.rows = 8});
    ck_assert_uint_eq(batches.n, 1);
    gqa_batches_fill(rows, counts, &batches, 0, &tokens, true, 0);
    /* The second sequence is longer, both stacks together. */
    ck_assert_uint_eq(batches.order[0], 1);
    ck_assert_int_eq(rows[1], 101);
    ck_assert_int_eq(rows[2], 0);
    ck_assert_int_eq(rows[5], 102);
    ck_assert_uint_eq(counts[0], 2);
    ck_assert_uint_eq(counts[1], 3);
}
END_TEST

START_TEST(refuses_sequences_without_labels)
{
    static const uint64_t lengths[][2] = {{3, 1}, {2, 0}};
    const struct gqa_tokens tokens = make(lengths, 2);

    ck_assert_int_eq(gqa_batches_create(&batches, &tokens,
                                        &(struct gqa_batch_limits){.rows = 8}),
                     GQA_ERR_USAGE);
    ck_assert_str_eq(gqa_error_message(), "sequence 1 has no labels");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batches");
    TCase *tc = tcase_create("batches");

    tcase_add_checked_fixture(tc, NULL, end);
    tcase_add_test(tc, begins_with_the_start_token);
    tcase_add_test(tc, sorts_by_length);
    tcase_add_test(tc, keeps_the_limits);
    tcase_add_test(tc, pads_little);
    tcase_add_test(tc, keeps_apart_what_turns_otherwise);
    tcase_add_test(tc, fills_both_stacks);
    tcase_add_test(tc, refuses_sequences_without_labels);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
