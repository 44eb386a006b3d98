/* Tokenizers: what models of SentencePiece say, and bytes that say nothing; how
 * those of bytes cut texts. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/bpe.h"
#include "formats/gguf/pieces.h"
#include "scratch.h"
#include "suite.h"

static unsigned char *read_model(const char *name, size_t *n)
{
    FILE *file = fopen(test_data(name), "rb");
    unsigned char *bytes = malloc(65536);

    ck_assert_msg(file && bytes, "%s", name);
    *n = fread(bytes, 1, 65536, file);
    fclose(file);
    return bytes;
}

static bool is_text(const struct gqa_piece *piece, const char *text)
{
    return piece->n == strlen(text) && memcmp(piece->text, text, piece->n) == 0;
}

/* By the package sentencepiece. */
START_TEST(reads_what_the_trainer_wrote)
{
    struct gqa_pieces pieces = {0};
    size_t n;
    unsigned char *bytes = read_model("sentencepiece/bpe.model", &n);

    ck_assert_msg(gqa_pieces_parse(&pieces, bytes, n) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_uint_eq(pieces.n, 48);
    ck_assert(pieces.is_bpe);
    ck_assert(pieces.space_before);
    ck_assert_uint_eq(pieces.unknown, 0);
    ck_assert(is_text(&pieces.items[0], "<unk>"));
    ck_assert_uint_eq(pieces.items[0].type, GQA_PIECE_UNKNOWN);
    ck_assert(is_text(&pieces.items[1], "<s>"));
    ck_assert_uint_eq(pieces.items[1].type, GQA_PIECE_CONTROL);
    ck_assert(is_text(&pieces.items[3], "<sep>"));
    ck_assert_uint_eq(pieces.items[3].type, GQA_PIECE_USER_DEFINED);
    ck_assert(is_text(&pieces.items[4], "he"));
    ck_assert_uint_eq(pieces.items[4].type, GQA_PIECE_NORMAL);
    ck_assert(pieces.items[5].score == -1);
    gqa_pieces_clear(&pieces);
    free(bytes);
    bytes = read_model("sentencepiece/unigram.model", &n);
    ck_assert_int_eq(gqa_pieces_parse(&pieces, bytes, n), GQA_OK);
    ck_assert(!pieces.is_bpe);
    gqa_pieces_clear(&pieces);
    free(bytes);
}
END_TEST

/* Wherever a model ends early, that is an error, or it is a shorter one. */
START_TEST(survives_every_cut)
{
    size_t n;
    unsigned char *bytes = read_model("sentencepiece/bpe.model", &n);

    for (size_t i = 0; i < n; i++) {
        unsigned char *part = malloc(i + 1);
        struct gqa_pieces pieces = {0};

        memcpy(part, bytes, i);
        if (gqa_pieces_parse(&pieces, part, i) == GQA_OK)
            ck_assert_uint_le(pieces.n, 48);
        gqa_pieces_clear(&pieces);
        free(part);
    }
    free(bytes);
}
END_TEST

static void refused(const char *bytes, size_t n, enum gqa_status status,
                    const char *message)
{
    struct gqa_pieces pieces = {0};

    ck_assert_int_eq(gqa_pieces_parse(&pieces, (const unsigned char *)bytes, n),
                     status);
    ck_assert_str_eq(gqa_error_message(), message);
    gqa_pieces_clear(&pieces);
}

#define BYTES(text) text, sizeof text - 1

START_TEST(refuses_what_is_no_model)
{
    static const char cut[] = "no SentencePiece model, or one that is cut off";

    refused("", 0, GQA_ERR_FORMAT, cut);
    refused(BYTES("hello"), GQA_ERR_FORMAT, cut);
    /* A piece that ends behind the file, by a little and by all there is */
    refused(BYTES("\x0a\x02\x0a"), GQA_ERR_FORMAT, cut);
    refused(BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            GQA_ERR_FORMAT, cut);
    /* A text within it likewise, a number that does not end, a group */
    refused(BYTES("\x0a\x03\x0a\x02x"), GQA_ERR_FORMAT, cut);
    refused(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            GQA_ERR_FORMAT, cut);
    refused(BYTES("\x0b"), GQA_ERR_FORMAT, cut);
    /* A trainer, and no pieces */
    refused(BYTES("\x12\x02\x18\x02"), GQA_ERR_FORMAT, cut);
    refused(BYTES("\x0a\x05\x0a\x01x\x18\x07"), GQA_ERR_UNSUPPORTED,
            "a piece of type 7, which is not known");
    /* Of an infinite score */
    refused(BYTES("\x0a\x08\x0a\x01x\x15\x00\x00\x80\x7f"), GQA_ERR_FORMAT,
            "a piece whose score is no number");
}
END_TEST

/* --- tokenizer.json ------------------------------------------------------- */

#define BYTES_OWN   "{\"type\": \"ByteLevel\", \"use_regex\": true}"
#define BYTES_ALONE "{\"type\": \"ByteLevel\", \"use_regex\": false}"
#define SPLIT(regex) \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex "\"}}"
#define SEQUENCE(...) \
    "{\"type\": \"Sequence\", \"pretokenizers\": [" __VA_ARGS__ "]}"
#define LLAMA3                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"                          \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|" \
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"              \
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

/* cuts: the part of a tokenizer that cuts texts. */
static void is_cut(const char *cuts, const char *name)
{
    char text[2048];
    json_t *tokenizer;

    snprintf(text, sizeof text,
             "{\"model\": {\"type\": \"BPE\"}, \"pre_tokenizer\": %s}", cuts);
    tokenizer = json_loads(text, 0, NULL);
    ck_assert_msg(tokenizer != NULL, "%s", text);
    ck_assert(gqa_bpe_is(tokenizer));
    if (name)
        ck_assert_str_eq(gqa_bpe_cut_name(tokenizer), name);
    else
        ck_assert_ptr_null(gqa_bpe_cut_name(tokenizer));
    json_decref(tokenizer);
}

START_TEST(names_how_texts_are_cut)
{
    json_t *other =
        json_pack("{s:{s:s}, s:{s:s}}", "model", "type", "WordPiece",
                  "pre_tokenizer", "type", "ByteLevel");

    is_cut(BYTES_OWN, "gpt-2");
    is_cut("{\"type\": \"ByteLevel\"}", "gpt-2");
    is_cut(SEQUENCE(SPLIT(LLAMA3) ", " BYTES_ALONE), "llama-bpe");
    is_cut(
        SEQUENCE(
            "{\"type\": \"Digits\", \"individual_digits\": true}, " BYTES_OWN),
        "starcoder");
    /* Others have no name here, nor those with a part more. */
    is_cut(SEQUENCE(SPLIT("a|b") ", " BYTES_ALONE), NULL);
    is_cut(SEQUENCE(SPLIT(LLAMA3) ", " BYTES_OWN), NULL);
    is_cut(BYTES_ALONE, NULL);
    is_cut(SEQUENCE("{\"type\": \"Punctuation\"}, " BYTES_OWN), NULL);
    ck_assert(!gqa_bpe_is(other));
    json_decref(other);
}
END_TEST

/* what: of the tokenizer beside a cut that has a name. NULL: nothing differs.
 */
static void is_told(const char *cuts, const char *what, const char *config,
                    const char *says)
{
    char text[2048];
    json_t *tokenizer, *said;
    const char *why;

    snprintf(text, sizeof text, "{\"pre_tokenizer\": %s, %s}", cuts, what);
    tokenizer = json_loads(text, 0, NULL);
    said = json_loads(config, 0, NULL);
    ck_assert_msg(tokenizer != NULL && said != NULL, "%s", text);
    why = gqa_bpe_differs(tokenizer, said);
    ck_assert_msg(!why == !says, "%s: %s", text, why ? why : "nothing");
    ck_assert_msg(!says || strstr(why, says), "%s", why);
    json_decref(said);
    json_decref(tokenizer);
}

START_TEST(tells_what_llama_cpp_does_otherwise)
{
    static const char plain[] = "\"model\": {\"type\": \"BPE\"}";
    static const char whole[] =
        "\"model\": {\"type\": \"BPE\", \"ignore_merges\": true}";
    static const char *const spaces[] = {
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}"};

    is_told(BYTES_OWN, plain, "{}", NULL);
    is_told(BYTES_ALONE, plain, "{}", "by what rule");
    is_told(spaces[0], plain, "{}", NULL);
    is_told(spaces[1], plain, "{}", "add_prefix_space");
    is_told(spaces[0], plain, "{\"add_prefix_space\": true}",
            "add_prefix_space");
    is_told(spaces[0],
            "\"normalizer\": {\"type\": \"NFC\"}, "
            "\"model\": {\"type\": \"BPE\"}",
            "{}", NULL);
    is_told(spaces[0],
            "\"normalizer\": {\"type\": \"Lowercase\"}, "
            "\"model\": {\"type\": \"BPE\"}",
            "{}", "(normalizer)");
    is_told(BYTES_OWN, whole, "{}", "takes words that are tokens whole");
    is_told(SEQUENCE(SPLIT(LLAMA3) ", " BYTES_ALONE), whole, "{}", NULL);
    is_told(SEQUENCE(SPLIT(LLAMA3) ", " BYTES_ALONE), plain, "{}",
            "merges words that are tokens, too");
}
END_TEST

START_TEST(knows_marks_of_words)
{
    json_t *tokenizer = json_loads(
        "{\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\"}, "
        "\"pre_tokenizer\": " BYTES_OWN "}",
        0, NULL);

    ck_assert(!gqa_bpe_is(tokenizer));
    json_decref(tokenizer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pieces");
    TCase *tcase = tcase_create("pieces");

    tcase_add_checked_fixture(tcase, scratch_create, scratch_remove);
    tcase_add_test(tcase, reads_what_the_trainer_wrote);
    tcase_add_test(tcase, survives_every_cut);
    tcase_add_test(tcase, refuses_what_is_no_model);
    tcase_add_test(tcase, names_how_texts_are_cut);
    tcase_add_test(tcase, tells_what_llama_cpp_does_otherwise);
    tcase_add_test(tcase, knows_marks_of_words);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
