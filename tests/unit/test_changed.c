/* A checkpoint that changes while it is read. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/convert.h"
#include "formats/checkpoint.h"
#include "scratch.h"
#include "suite.h"

static struct gqa_checkpoint *checkpoint;

/* Two shards of one byte each, an index and a configuration. */
static void open_folder(void)
{
    static const struct gqa_checkpoint_options as_it_is;
    static const char *const names[] = {"a", "b"};

    mkdir(scratch_path("model"), 0700);
    for (int i = 0; i < 2; i++) {
        char header[128], name[32];

        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],"
                 "\"data_offsets\":[0,1]}}",
                 names[i]);
        snprintf(name, sizeof name, "model/%s.safetensors", names[i]);
        scratch_write_safetensors(name, header, "x", 1);
    }
    scratch_write_text("model/model.safetensors.index.json",
                       "{\"weight_map\": {\"a\": \"a.safetensors\", "
                       "\"b\": \"b.safetensors\"}}");
    scratch_write_text("model/config.json", "{\"model_type\": \"t5\"}");
    ck_assert_msg(gqa_checkpoint_open(&checkpoint, scratch_path("model"),
                                      &as_it_is) == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_int_eq(gqa_checkpoint_check_unchanged(checkpoint), GQA_OK);
}

static void expect(const char *file, const char *what)
{
    char text[256];

    ck_assert_int_eq(gqa_checkpoint_check_unchanged(checkpoint), GQA_ERR_IO);
    snprintf(text, sizeof text, "%s: %s", file, what);
    ck_assert_msg(strstr(gqa_error_message(), text) != NULL, "%s",
                  gqa_error_message());
    gqa_checkpoint_close(checkpoint);
}

/* The same size, another time. */
static void set_time(const char *name)
{
    const struct timespec times[2] = {{1, 0}, {1, 0}};

    ck_assert_int_eq(utimensat(AT_FDCWD, scratch_path(name), times, 0), 0);
}

START_TEST(a_shard_is_written_to)
{
    open_folder();
    set_time("model/b.safetensors");
    expect("model/b.safetensors", "was written to while it was read");
}
END_TEST

START_TEST(a_shard_grows)
{
    open_folder();
    ck_assert_int_eq(truncate(scratch_path("model/a.safetensors"), 1000), 0);
    expect("model/a.safetensors", "was written to while it was read");
}
END_TEST

START_TEST(a_shard_is_replaced)
{
    open_folder();
    ck_assert_int_eq(rename(scratch_path("model/b.safetensors"),
                            scratch_path("model/a.safetensors")),
                     0);
    expect("model/a.safetensors", "was replaced while it was read");
}
END_TEST

START_TEST(a_shard_goes)
{
    open_folder();
    unlink(scratch_path("model/b.safetensors"));
    expect("model/b.safetensors", "has gone while it was read");
}
END_TEST

START_TEST(the_index_is_written_to)
{
    open_folder();
    set_time("model/model.safetensors.index.json");
    expect("model/model.safetensors.index.json", "was written to");
}
END_TEST

START_TEST(the_configuration_is_written_to)
{
    open_folder();
    set_time("model/config.json");
    expect("model/config.json", "was written to");
}
END_TEST

/* A loader would take that one now. */
START_TEST(other_weights_come)
{
    open_folder();
    scratch_write_safetensors("model/model.safetensors", "{}", "", 0);
    expect("model", "files came or went while it was read");
}
END_TEST

/* Another one that stands beside it, or a new name for it, changes nothing. */
START_TEST(what_is_not_read_may_come)
{
    open_folder();
    scratch_write_text("model/notes.txt", "x");
    ck_assert_int_eq(
        link(scratch_path("model/a.safetensors"), scratch_path("backup")), 0);
    ck_assert_int_eq(chmod(scratch_path("model/b.safetensors"), 0400), 0);
    ck_assert_int_eq(gqa_checkpoint_check_unchanged(checkpoint), GQA_OK);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* What gqa-convert reads through; it is written to at the first call. */
enum gqa_status __real_gqa_checkpoint_read(struct gqa_checkpoint *c,
                                           size_t tensor,
                                           const struct gqa_span *span,
                                           void *buf);
enum gqa_status __wrap_gqa_checkpoint_read(struct gqa_checkpoint *c,
                                           size_t tensor,
                                           const struct gqa_span *span,
                                           void *buf);
enum gqa_status __wrap_gqa_checkpoint_read(struct gqa_checkpoint *c,
                                           size_t tensor,
                                           const struct gqa_span *span,
                                           void *buf)
{
    set_time("model.safetensors");
    return __real_gqa_checkpoint_read(c, tensor, span, buf);
}

static bool reported;

static enum gqa_status report(const struct gqa_conversion *c)
{
    (void)c;
    reported = true;
    return GQA_OK;
}

static void copy(const char *from, const char *to)
{
    char bytes[65536];
    FILE *file = fopen(test_data(from), "rb");
    size_t n;

    ck_assert_ptr_nonnull(file);
    n = fread(bytes, 1, sizeof bytes, file);
    ck_assert(n > 0 && n < sizeof bytes);
    fclose(file);
    scratch_write(to, bytes, n);
}

START_TEST(a_conversion_fails_before_anything_appears)
{
    char input[256], output[256], tool[] = "gqa-convert", one[] = "-g1";
    char *argv[] = {tool, one, input, output, NULL};
    struct gqa_convert_options options;
    struct gqa_conversion conversion;
    struct stat info;

    copy("good/llama/config.json", "config.json");
    copy("good/llama/model.safetensors", "model.safetensors");
    snprintf(input, sizeof input, "%s", scratch_path("model.safetensors"));
    snprintf(output, sizeof output, "%s", scratch_path("out.gqa"));
    ck_assert_int_eq(gqa_convert_options_parse(&options, 4, argv), GQA_OK);
    ck_assert_int_eq(gqa_convert(&conversion, &options, report), GQA_ERR_IO);
    ck_assert_msg(strstr(gqa_error_message(), "was written to") != NULL, "%s",
                  gqa_error_message());
    ck_assert(!reported);
    ck_assert_int_ne(stat(output, &info), 0);
    gqa_convert_options_clear(&options);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("changed");
    TCase *tc = tcase_create("changed");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, a_shard_is_written_to);
    tcase_add_test(tc, a_shard_grows);
    tcase_add_test(tc, a_shard_is_replaced);
    tcase_add_test(tc, a_shard_goes);
    tcase_add_test(tc, the_index_is_written_to);
    tcase_add_test(tc, the_configuration_is_written_to);
    tcase_add_test(tc, other_weights_come);
    tcase_add_test(tc, what_is_not_read_may_come);
    tcase_add_test(tc, a_conversion_fails_before_anything_appears);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
