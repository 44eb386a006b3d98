/* Text that is printed into memory, all of it or an error. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory_stream.h"
#include "suite.h"

/* Called in place of realloc() by the code under test. */
static bool memory_is_short;

void *__real_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n);

void *__wrap_realloc(void *old, size_t n)
{
    return memory_is_short ? NULL : __real_realloc(old, n);
}

static void print_numbers(struct gqa_memory_stream *stream, int n)
{
    for (int i = 0; i < n; i++)
        fprintf(stream->out, "%d,", i);
}

START_TEST(all_that_is_printed_is_there)
{
    struct gqa_memory_stream stream;

    ck_assert_int_eq(gqa_memory_stream_open(&stream), GQA_OK);
    ck_assert_int_eq(gqa_memory_stream_flush(&stream), GQA_OK);
    ck_assert_str_eq(stream.text, "");
    print_numbers(&stream, 10000);
    ck_assert_int_eq(gqa_memory_stream_flush(&stream), GQA_OK);
    ck_assert_uint_eq(stream.n, 48890);
    ck_assert_uint_eq(strlen(stream.text), stream.n);
    gqa_memory_stream_rewind(&stream);
    ck_assert_str_eq(stream.text, "");
    fputs("again", stream.out);
    ck_assert_int_eq(gqa_memory_stream_flush(&stream), GQA_OK);
    ck_assert_str_eq(stream.text, "again");
    gqa_memory_stream_free(&stream);
}
END_TEST

START_TEST(what_does_not_fit_is_an_error_for_good)
{
    struct gqa_memory_stream stream;

    ck_assert_int_eq(gqa_memory_stream_open(&stream), GQA_OK);
    memory_is_short = true;
    print_numbers(&stream, 10000);
    memory_is_short = false;
    fputs("more", stream.out);
    ck_assert_int_eq(gqa_memory_stream_flush(&stream), GQA_ERR_NOMEM);
    ck_assert_int_eq(gqa_memory_stream_flush(&stream), GQA_ERR_NOMEM);
    gqa_memory_stream_free(&stream);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_stream");
    TCase *streams = tcase_create("streams");

    tcase_add_test(streams, all_that_is_printed_is_there);
    tcase_add_test(streams, what_does_not_fit_is_an_error_for_good);
    suite_add_tcase(suite, streams);
    return suite_run(suite);
}
