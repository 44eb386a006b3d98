#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"
#include "scratch.h"
#include "suite.h"

static const struct gqa_token_rules decoder = {
    .vocab_size = 384, .start_token = 0, .end_token = 1, .pad_token = 0};
static const struct gqa_token_rules t5 = {.vocab_size = 384,
                                          .start_token = 0,
                                          .end_token = 1,
                                          .pad_token = 2,
                                          .is_encoder_decoder = true};

static struct gqa_tokens tokens;

static void begin(void)
{
    scratch_create();
    tokens = (struct gqa_tokens){NULL, 0};
}

static void end(void)
{
    gqa_tokens_clear(&tokens);
    scratch_remove();
}

static void check_ids(const int32_t *ids, uint64_t n, const int32_t *expected,
                      size_t n_expected)
{
    ck_assert_uint_eq(n, n_expected);
    for (size_t i = 0; i < n_expected; i++)
        ck_assert_int_eq(ids[i], expected[i]);
}
#define CHECK_IDS(ids, n, ...)                        \
    check_ids(ids, n, (const int32_t[]){__VA_ARGS__}, \
              sizeof(const int32_t[]){__VA_ARGS__} / sizeof(int32_t))

static void refuses(enum gqa_status expected, enum gqa_status st,
                    const char *words)
{
    ck_assert_int_eq(st, expected);
    ck_assert_msg(strstr(gqa_error_message(), words), "%s",
                  gqa_error_message());
}

/* Each token should be followed by the next. */
START_TEST(numbers_of_a_decoder)
{
    const char *path = scratch_write_text("ids", "5 6,7\n\n8\t9\r\n");

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
    ck_assert_uint_eq(tokens.n, 2);
    CHECK_IDS(tokens.sequences[0].decoder, tokens.sequences[0].n_decoder, 5, 6,
              7);
    CHECK_IDS(tokens.sequences[0].next, 3, 6, 7, -1);
    CHECK_IDS(tokens.sequences[1].decoder, tokens.sequences[1].n_decoder, 8, 9);
    ck_assert_uint_eq(gqa_tokens_n_positions(&tokens), 5);
}
END_TEST

/* As some editors write UTF-8; in the middle it is no number. */
START_TEST(numbers_behind_a_mark)
{
    const char *path = scratch_write_text("ids", "\xef\xbb\xbf"
                                                 "5 6\n7\n");

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
    ck_assert_uint_eq(tokens.n, 2);
    CHECK_IDS(tokens.sequences[0].decoder, tokens.sequences[0].n_decoder, 5, 6);
    gqa_tokens_clear(&tokens);
    path = scratch_write_text("again", "5 6\n\xef\xbb\xbf"
                                       "7\n");
    refuses(GQA_ERR_FORMAT, gqa_tokens_read(&tokens, path, &decoder, 0),
            "line 2");
}
END_TEST

/* Labels are fed shifted right; -100 is fed as padding, not asked for, and
 * dropped at the end. */
START_TEST(labels_are_shifted)
{
    const char *path = scratch_write_text("ids", "5 6 | 7 -100 9 -100\n");
    struct gqa_sequence *s;

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &t5, 0), GQA_OK);
    ck_assert_uint_eq(tokens.n, 1);
    s = tokens.sequences;
    CHECK_IDS(s->encoder, s->n_encoder, 5, 6);
    CHECK_IDS(s->decoder, s->n_decoder, 0, 7, 2);
    CHECK_IDS(s->next, 3, 7, GQA_NOT_COUNTED, 9);
    ck_assert(s->starts);
}
END_TEST

/* As in transformers, position i should say labels[i + 1]; without labels
 * all is counted. */
START_TEST(labels_mask_what_a_decoder_says)
{
    const char *path = scratch_write_text("ids", "5 6 7 8 | -100 -100 7 9\n");
    struct gqa_sequence *s;

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
    s = tokens.sequences;
    CHECK_IDS(s->decoder, s->n_decoder, 5, 6, 7, 8);
    CHECK_IDS(s->next, 4, GQA_NOT_COUNTED, 7, 9, GQA_NOT_COUNTED);
    ck_assert(!s->starts);
    gqa_tokens_clear(&tokens);
    path = scratch_write_text("ids", "5 6 | -100 -100\n7 8 | 7 8\n");
    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
    gqa_tokens_clear(&tokens);
    refuses(GQA_ERR_FORMAT, gqa_tokens_read(&tokens, path, &decoder, 1),
            "ids: labels: all are -100");
}
END_TEST

/* As if the file held no more. */
START_TEST(cut_to_a_length)
{
    const char *path = scratch_write_text("ids", "5 6 7 | 5 6 7\n5\n5 6 7\n");

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
    gqa_tokens_cut(&tokens, 2);
    CHECK_IDS(tokens.sequences[0].next, tokens.sequences[0].n_decoder, 6,
              GQA_NOT_COUNTED);
    CHECK_IDS(tokens.sequences[1].next, tokens.sequences[1].n_decoder,
              GQA_NO_TOKEN);
    CHECK_IDS(tokens.sequences[2].next, tokens.sequences[2].n_decoder, 6,
              GQA_NO_TOKEN);
    gqa_tokens_clear(&tokens);
    path = scratch_write_text("ids", "1 2 3 4 | 5 -100 -100 6\n7 8 9\n");
    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &t5, 0), GQA_OK);
    gqa_tokens_cut(&tokens, 3);
    ck_assert_uint_eq(tokens.sequences[0].n_encoder, 3);
    CHECK_IDS(tokens.sequences[0].next, tokens.sequences[0].n_decoder, 5);
    ck_assert_uint_eq(tokens.sequences[1].n_decoder, 0);
}
END_TEST

START_TEST(output_yet_to_be_drawn)
{
    const char *path = scratch_write_text("ids", "5 6\n");

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &t5, 0), GQA_OK);
    ck_assert_uint_eq(tokens.sequences[0].n_decoder, 0);
    ck_assert_ptr_null(tokens.sequences[0].decoder);
}
END_TEST

START_TEST(bad_numbers)
{
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_read(&tokens, scratch_write_text("a", "1 2\n3 384\n"),
                            &decoder, 0),
            "line 2: input_ids, position 1: token 384 is not in the "
            "vocabulary of 384");
    gqa_tokens_clear(&tokens);
    refuses(
        GQA_ERR_FORMAT,
        gqa_tokens_read(&tokens, scratch_write_text("b", "1 x\n"), &decoder, 0),
        "line 1: not a safetensors");
    refuses(
        GQA_ERR_FORMAT,
        gqa_tokens_read(&tokens, scratch_write_text("c", "-100"), &decoder, 0),
        "token -100");
    gqa_tokens_clear(&tokens);
    refuses(
        GQA_ERR_FORMAT,
        gqa_tokens_read(&tokens, scratch_write_text("d", "\n\n"), &decoder, 0),
        "no sequence");
    refuses(
        GQA_ERR_FORMAT,
        gqa_tokens_read(&tokens, scratch_write_text("e", "1 3|2"), &decoder, 0),
        "1 labels for 2 input_ids");
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_read(&tokens,
                            scratch_write_text("f", "99999999999999999999"),
                            &decoder, 0),
            "line 1");
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_read(&tokens, scratch_write_text("g", "3|-100"), &t5, 0),
            "all are -100");
    gqa_tokens_clear(&tokens);
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_read(&tokens, scratch_write_text("h", ""), &decoder, 0),
            "no sequence");
}
END_TEST

START_TEST(safetensors)
{
    static const char header[] =
        "{\"input_ids\":{\"dtype\":\"I32\",\"shape\":[2,2],"
        "\"data_offsets\":[0,16]},"
        "\"labels\":{\"dtype\":\"I64\",\"shape\":[2,1],"
        "\"data_offsets\":[16,32]},"
        "\"attention_mask\":{\"dtype\":\"U8\",\"shape\":[2,2],"
        "\"data_offsets\":[32,36]}}";
    static const unsigned char data[36] = {
        3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, /* 3 4, 5 0 */
        7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, /* 7, 8 */
        1, 1, 1, 0};
    const char *path =
        scratch_write_safetensors("ids", header, data, sizeof data);

    ck_assert_int_eq(gqa_tokens_read(&tokens, path, &t5, 0), GQA_OK);
    ck_assert_uint_eq(tokens.n, 2);
    CHECK_IDS(tokens.sequences[0].encoder, tokens.sequences[0].n_encoder, 3, 4);
    CHECK_IDS(tokens.sequences[1].encoder, tokens.sequences[1].n_encoder, 5);
    CHECK_IDS(tokens.sequences[1].next, tokens.sequences[1].n_decoder, 8);
    gqa_tokens_clear(&tokens);
    refuses(GQA_ERR_FORMAT, gqa_tokens_read(&tokens, path, &decoder, 1),
            "labels of 1 columns, input_ids of 2");
}
END_TEST

START_TEST(bad_safetensors)
{
    static const char floats[] =
        "{\"input_ids\":{\"dtype\":\"F32\",\"shape\":[1],"
        "\"data_offsets\":[0,4]}}";
    static const char other[] = "{\"ids\":{\"dtype\":\"I32\",\"shape\":[1],"
                                "\"data_offsets\":[0,4]}}";
    static const char deep[] =
        "{\"input_ids\":{\"dtype\":\"I32\",\"shape\":[1,1,1],"
        "\"data_offsets\":[0,4]}}";
    static const char long_one[] =
        "{\"input_ids\":{\"dtype\":\"I32\",\"shape\":[100],"
        "\"data_offsets\":[0,400]}}";
    const char data[4] = {3};

    refuses(GQA_ERR_UNSUPPORTED,
            gqa_tokens_read(&tokens,
                            scratch_write_safetensors("a", floats, data, 4),
                            &decoder, 0),
            "F32, not of integers");
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_read(&tokens,
                            scratch_write_safetensors("b", other, data, 4),
                            &decoder, 0),
            "no tensor 'input_ids'");
    refuses(GQA_ERR_UNSUPPORTED,
            gqa_tokens_read(&tokens,
                            scratch_write_safetensors("c", deep, data, 4),
                            &decoder, 0),
            "3 dimensions");
    ck_assert_int_eq(
        gqa_tokens_read(&tokens,
                        scratch_write_safetensors("d", long_one, data, 4),
                        &decoder, 0),
        GQA_ERR_FORMAT);
}
END_TEST

/* A .npy file of this version, header and data. */
static const char *write_npy(const char *name, int version, const char *header,
                             const void *data, size_t n)
{
    const size_t n_header = strlen(header);
    const size_t prefix = version == 1 ? 10 : 12;
    unsigned char file[512] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

    file[6] = (unsigned char)version;
    file[8] = (unsigned char)n_header;
    memcpy(file + prefix, header, n_header);
    memcpy(file + prefix + n_header, data, n);
    return scratch_write(name, file, prefix + n_header + n);
}

static const unsigned char words[8] = {3, 0, 4, 0, 5, 0, 6, 0};

START_TEST(npy)
{
    static const char header[] =
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }    \n";

    for (int version = 1; version <= 3; version++) {
        const char *path = write_npy("ids.npy", version, header, words, 8);

        ck_assert_int_eq(gqa_tokens_read(&tokens, path, &decoder, 0), GQA_OK);
        ck_assert_uint_eq(tokens.n, 2);
        CHECK_IDS(tokens.sequences[1].decoder, 2, 5, 6);
        gqa_tokens_clear(&tokens);
    }
    ck_assert_int_eq(
        gqa_tokens_read(&tokens,
                        write_npy("one.npy", 1,
                                  "{'descr': '|i1', 'fortran_order': True, "
                                  "'shape': (3,), }",
                                  words, 3),
                        &decoder, 0),
        GQA_OK);
    ck_assert_uint_eq(tokens.n, 1);
    CHECK_IDS(tokens.sequences[0].decoder, 3, 3, 0, 4);
}
END_TEST

static const struct {
    const char *header;
    enum gqa_status status;
    const char *message;
} bad_npy[] = {
    {"{'descr': '>i2', 'fortran_order': False, 'shape': (4,)}",
     GQA_ERR_UNSUPPORTED, "little-endian"},
    {"{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}",
     GQA_ERR_UNSUPPORTED, "'<f2'"},
    {"{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2)}",
     GQA_ERR_UNSUPPORTED, "Fortran"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': (5,)}", GQA_ERR_FORMAT,
     "do not fill"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': "
     "(9223372036854775808, 2)}",
     GQA_ERR_FORMAT, "do not fill"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': "
     "(99999999999999999999,)}",
     GQA_ERR_FORMAT, "header"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': (1, 2, 2)}",
     GQA_ERR_UNSUPPORTED, "dimensions"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': ()}",
     GQA_ERR_UNSUPPORTED, "single number"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': (,)}", GQA_ERR_FORMAT,
     "header"},
    {"{'descr': '<i2', 'shape': (4,)}", GQA_ERR_FORMAT, "header"},
    {"{'descr': '<i2', 'descr': '<i2', 'shape': (4,)}", GQA_ERR_FORMAT,
     "header"},
    {"{'descr': '<i2', 'fortran_order': False, 'shape': (4,)} x",
     GQA_ERR_FORMAT, "header"},
    {"{'descr': [('a', '<i2')], 'fortran_order': False, 'shape': (4,)}",
     GQA_ERR_FORMAT, "header"},
    {"{'descr", GQA_ERR_FORMAT, "header"},
    {"", GQA_ERR_FORMAT, "header"},
};

START_TEST(bad_npy_header)
{
    const char *path =
        write_npy("bad.npy", 2, bad_npy[_i].header, words, sizeof words);

    refuses(bad_npy[_i].status, gqa_tokens_read(&tokens, path, &decoder, 0),
            bad_npy[_i].message);
}
END_TEST

/* A header that claims four gigabytes, and files that end within it. */
START_TEST(cut_npy)
{
    unsigned char file[14] = {0x93, 'N',  'U',  'M',  'P',  'Y', 2,
                              0,    0xff, 0xff, 0xff, 0xff, '{', '}'};

    for (size_t n = 1; n <= sizeof file; n++)
        ck_assert_int_eq(gqa_tokens_read(&tokens, scratch_write("cut", file, n),
                                         &decoder, 0),
                         GQA_ERR_FORMAT);
}
END_TEST

/* Bytes 'a' .. are tokens 100 ..; the start token is one of the length. */
START_TEST(text_of_a_decoder)
{
    const char *path = scratch_write_text("text", "abcdefghij");

    ck_assert_int_eq(gqa_tokens_from_text(&tokens, path, &decoder, 4, 0),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 3);
    CHECK_IDS(tokens.sequences[0].decoder, tokens.sequences[0].n_decoder, 0,
              100, 101, 102);
    CHECK_IDS(tokens.sequences[2].decoder, 4, 0, 106, 107, 108);
    gqa_tokens_clear(&tokens);
    /* Two of three pieces, evenly. */
    ck_assert_int_eq(gqa_tokens_from_text(&tokens, path, &decoder, 4, 2),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 2);
    CHECK_IDS(tokens.sequences[1].decoder, 4, 0, 103, 104, 105);
}
END_TEST

/* Eight bytes, a gap of four in the middle, sentinel 383, end 1. */
START_TEST(text_of_an_encoder_decoder)
{
    const char *path = scratch_write_text("text", "abcdefgh");
    struct gqa_sequence *s;

    ck_assert_int_eq(gqa_tokens_from_text(&tokens, path, &t5, 8, 0), GQA_OK);
    ck_assert_uint_eq(tokens.n, 1);
    s = tokens.sequences;
    CHECK_IDS(s->encoder, s->n_encoder, 100, 101, 383, 106, 107, 1);
    CHECK_IDS(s->next, s->n_decoder, 383, 102, 103, 104, 105, 1);
    CHECK_IDS(s->decoder, s->n_decoder, 0, 383, 102, 103, 104, 105);
}
END_TEST

/* 512 bytes, as T5 was trained: 512 - 4 * 19 + 4 + 1 in, 4 * 20 + 1 out. */
START_TEST(text_with_four_gaps)
{
    char text[513];

    memset(text, 'x', 512);
    text[512] = '\0';
    ck_assert_int_eq(gqa_tokens_from_text(&tokens,
                                          scratch_write_text("text", text), &t5,
                                          512, 0),
                     GQA_OK);
    ck_assert_uint_eq(tokens.sequences[0].n_encoder, 441);
    ck_assert_uint_eq(tokens.sequences[0].n_decoder, 81);
    ck_assert_int_eq(tokens.sequences[0].next[20], 382);
    ck_assert_int_eq(tokens.sequences[0].next[60], 380);
}
END_TEST

/* Eight pieces of nine are gone over again, in the same order, with gaps that
 * have moved; of what is left over for a third time, evenly. */
START_TEST(text_gone_over_again)
{
    char text[9 * 8 + 1] = "";
    const char *path;

    for (int i = 0; i < 9 * 8; i++)
        text[i] = (char)('a' + i / 8);
    path = scratch_write_text("text", text);
    ck_assert_int_eq(gqa_tokens_from_text_again(&tokens, path, &t5, 8, 20),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 20);
    for (size_t i = 0; i < 16; i++) {
        const struct gqa_sequence *s = &tokens.sequences[i];
        const bool moved = i >= 8;

        ck_assert_uint_eq(s->n_encoder, 6);
        ck_assert_int_eq(s->encoder[moved ? 0 : 2], 383);
        ck_assert_int_eq(s->next[1], tokens.sequences[i % 8].next[1]);
    }
    ck_assert_int_eq(tokens.sequences[17].next[1], tokens.sequences[2].next[1]);
    gqa_tokens_clear(&tokens);
    /* As many as there are, or one alone, are as they ever were; and a
     * decoder's text has no gaps. */
    ck_assert_int_eq(gqa_tokens_from_text_again(&tokens, path, &t5, 8, 9),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 9);
    gqa_tokens_clear(&tokens);
    ck_assert_int_eq(gqa_tokens_from_text_again(&tokens, path, &t5, 40, 3),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 3);
    gqa_tokens_clear(&tokens);
    ck_assert_int_eq(gqa_tokens_from_text_again(&tokens, path, &decoder, 9, 20),
                     GQA_OK);
    ck_assert_uint_eq(tokens.n, 9);
}
END_TEST

START_TEST(bad_text)
{
    struct gqa_token_rules words_of = decoder;

    words_of.vocab_size = 32000;
    refuses(GQA_ERR_UNSUPPORTED,
            gqa_tokens_from_text(&tokens, scratch_write_text("a", "abc"),
                                 &words_of, 4, 0),
            "tokenizer");
    refuses(GQA_ERR_FORMAT,
            gqa_tokens_from_text(&tokens, scratch_write_text("b", "a"),
                                 &decoder, 4, 0),
            "too little");
    refuses(GQA_ERR_USAGE,
            gqa_tokens_from_text(&tokens, scratch_write_text("c", "abc"),
                                 &decoder, 1, 0),
            "2 tokens at least");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokens");
    TCase *tc = tcase_create("tokens");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, numbers_of_a_decoder);
    tcase_add_test(tc, numbers_behind_a_mark);
    tcase_add_test(tc, labels_are_shifted);
    tcase_add_test(tc, labels_mask_what_a_decoder_says);
    tcase_add_test(tc, cut_to_a_length);
    tcase_add_test(tc, output_yet_to_be_drawn);
    tcase_add_test(tc, bad_numbers);
    tcase_add_test(tc, safetensors);
    tcase_add_test(tc, bad_safetensors);
    tcase_add_test(tc, npy);
    tcase_add_loop_test(tc, bad_npy_header, 0,
                        (int)(sizeof bad_npy / sizeof *bad_npy));
    tcase_add_test(tc, cut_npy);
    tcase_add_test(tc, text_of_a_decoder);
    tcase_add_test(tc, text_of_an_encoder_decoder);
    tcase_add_test(tc, text_with_four_gaps);
    tcase_add_test(tc, text_gone_over_again);
    tcase_add_test(tc, bad_text);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
