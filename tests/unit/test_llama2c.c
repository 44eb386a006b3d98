/* Files of llama2.c. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "formats/llama2c/reader.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"

enum { WIDTH = 4, VOCAB = 3, FF = 1, LENGTH = 2, HEADER = 256 };
/* Embedding, norms, q k v o, feed-forward; angles of version 0 */
enum {
    FLOATS = VOCAB * WIDTH + 3 * WIDTH + 4 * WIDTH * WIDTH + 3 * WIDTH * FF,
    ANGLES = 2 * LENGTH * WIDTH / 2,
};

static void put(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static void put_numbers(unsigned char *at)
{
    static const uint32_t numbers[] = {WIDTH, FF, 1, 1, 1, VOCAB, LENGTH};

    for (int i = 0; i < 7; i++)
        put(at + 4 * i, numbers[i]);
}

static enum gqa_status open_bytes(struct gqa_source **out, const void *bytes,
                                  size_t n, bool is_bare)
{
    const char *path = scratch_write("x", bytes, n);
    struct gqa_file_handle file = {.path = path};

    ck_assert_int_eq(gqa_file_open(&file.fd, &file.size, path), GQA_OK);
    return is_bare ? gqa_llama2c_bare_open(out, &file)
                   : gqa_llama2c_open(out, &file);
}

static void refused(const void *bytes, size_t n, bool is_bare,
                    enum gqa_status status, const char *message)
{
    struct gqa_source *source;

    ck_assert_int_eq(open_bytes(&source, bytes, n, is_bare), status);
    ck_assert_str_eq(gqa_error_message(), message);
}

START_TEST(reads_what_safetensors_says)
{
    twins_are_same(_i ? "llama2c/v1.bin" : "llama2c/v0.bin",
                   "llama2c/twin.safetensors");
}
END_TEST

static void is_tied(const struct gqa_source *source, size_t n_tensors)
{
    ck_assert_uint_eq(source->n_tensors, n_tensors);
    ck_assert(
        json_is_true(json_object_get(source->config, "tie_word_embeddings")));
    ck_assert_str_eq(
        json_string_value(json_object_get(source->config, "model_type")),
        "llama");
}

/* Without an unembedding, 12 tensors less one. */
START_TEST(reads_tied_ones)
{
    unsigned char bare[28 + 4 * (FLOATS + ANGLES)] = {0};
    unsigned char newer[HEADER + 4 * FLOATS] = "24ka\1";
    struct gqa_source *source = NULL;

    put_numbers(bare);
    ck_assert_int_eq(open_bytes(&source, bare, sizeof bare, true), GQA_OK);
    is_tied(source, 11);
    gqa_source_close(source);
    put_numbers(newer + 8);
    newer[36] = 1;
    ck_assert_int_eq(open_bytes(&source, newer, sizeof newer, false), GQA_OK);
    is_tied(source, 11);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_other_sizes)
{
    unsigned char bare[28 + 4 * (FLOATS + ANGLES) + 1] = {0};
    unsigned char newer[HEADER] = "24ka\2";

    put_numbers(bare);
    refused(bare, sizeof bare, true, GQA_ERR_FORMAT,
            "as a file of llama2.c, of width 4, 1 layers and 1 heads, it would "
            "have 460 bytes; it has 461");
    refused(bare, sizeof bare - 2, true, GQA_ERR_FORMAT,
            "as a file of llama2.c, of width 4, 1 layers and 1 heads, it would "
            "have 460 bytes; it has 459");
    refused(bare, 27, true, GQA_ERR_FORMAT,
            "a file of llama2.c, cut off in its header");
    put(bare + 12, 3);
    refused(bare, sizeof bare, true, GQA_ERR_FORMAT,
            "a file of llama2.c with numbers that no model has");
    refused(newer, 255, false, GQA_ERR_FORMAT,
            "a file of llama2.c, cut off in its header");
    refused(newer, sizeof newer, false, GQA_ERR_UNSUPPORTED,
            "version 2 of llama2.c's files, which is quantised; export it as 0 "
            "or 1: python3 export.py OUT --version 1 --checkpoint FILE");
    newer[4] = 1;
    refused(newer, sizeof newer, false, GQA_ERR_FORMAT,
            "a file of llama2.c with numbers that no model has");
    /* As large as the numbers can say: no size overflows. */
    for (int i = 0; i < 7; i++)
        put(newer + 8 + 4 * i,
            (const uint32_t[]){1u << 17, 1u << 20, 1u << 10, 1u << 12, 1u << 12,
                               1u << 22, 1u << 22}[i]);
    refused(newer, sizeof newer, false, GQA_ERR_FORMAT,
            "as a file of llama2.c, of width 131072, 1024 layers and 4096 "
            "heads, it would have 1974723957752064 bytes; it has 256");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llama2c");
    TCase *tests = tcase_create("llama2c");

    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, reads_what_safetensors_says, 0, 2);
    tcase_add_test(tests, reads_tied_ones);
    tcase_add_test(tests, refuses_other_sizes);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
