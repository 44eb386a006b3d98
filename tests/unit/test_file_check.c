/* Damage that only the digests of tensors tell: every checksum is right. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gqa_file.h"
#include "scratch.h"
#include "suite.h"
#include "verify/file_check.h"

/* A GPT-2 of one layer, one head and nothing but its attention. */
static const char header[] =
    "{\"__metadata__\":{\"gqa.version\":\"1\"},"
    "\"h.0.attn.c_attn.weight\":{\"dtype\":\"F32\",\"shape\":[2,6],"
    "\"data_offsets\":[0,48]},"
    "\"h.0.attn.c_proj.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],"
    "\"data_offsets\":[48,64]}}";
static const float values[16] = {1, 2, 3, 4, 5, 6, 7, 8};

/* Names the wrong tensor where one is; returns how many checks failed. */
static size_t check(struct gqa_file *file, const char *named)
{
    struct gqa_file_check options = {.hints = {.n_heads = 1}, .n_threads = 1};
    struct gqa_subject subject = {0};
    struct gqa_report *report = NULL;
    size_t n_failed, size = 0;
    char *text = NULL;
    FILE *out;

    gqa_file_add_manifest(file);
    gqa_file_add_table(file, true);
    options.path = scratch_write("model.gqa", file->bytes, file->n);
    ck_assert_int_eq(gqa_report_create(&report), GQA_OK);
    ck_assert_msg(gqa_file_check(&subject, report, &options) == GQA_OK, "%s",
                  gqa_error_message());
    n_failed = gqa_report_count(report, GQA_FAILED);
    out = open_memstream(&text, &size);
    ck_assert_int_eq(gqa_report_write(out, report, GQA_REPORT_TEXT), GQA_OK);
    fclose(out);
    if (named)
        ck_assert_msg(strstr(text, named) != NULL, "%s", text);
    free(text);
    gqa_report_free(report);
    gqa_subject_close(&subject);
    gqa_file_free(file);
    return n_failed;
}

static void begin(struct gqa_file *file)
{
    *file = (struct gqa_file){0};
    gqa_file_add_header(file, header);
    gqa_file_add_tensor(file, "h.0.attn.c_attn.weight", values, 48, 4096);
    gqa_file_add_tensor(file, "h.0.attn.c_proj.weight", values + 12, 16, 4096);
}

START_TEST(passes_what_is_sound)
{
    struct gqa_file file;

    begin(&file);
    ck_assert_uint_eq(check(&file, "SHA-256 of 2 of 2 tensors right"), 0);
}
END_TEST

/* Another tensor's digest, and a stream digest that fits it. */
START_TEST(finds_a_wrong_digest)
{
    struct gqa_file file;
    json_t *list;

    begin(&file);
    list = json_object_get(file.manifest, "tensors");
    json_object_set(json_array_get(list, 1), "sha256",
                    json_object_get(json_array_get(list, 0), "sha256"));
    memcpy(file.digests[2], file.digests[1], sizeof file.digests[2]);
    ck_assert_uint_eq(check(&file, "'h.0.attn.c_proj.weight': SHA-256 is"), 1);
}
END_TEST

/* What nothing reads may be infinite. */
START_TEST(overlooks_buffers)
{
    static const char with_mask[] =
        "{\"__metadata__\":{\"gqa.version\":\"1\"},"
        "\"h.0.attn.c_attn.weight\":{\"dtype\":\"F32\",\"shape\":[2,6],"
        "\"data_offsets\":[0,48]},"
        "\"h.0.attn.c_proj.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],"
        "\"data_offsets\":[48,64]},"
        "\"h.0.attn.masked_bias\":{\"dtype\":\"F32\",\"shape\":[],"
        "\"data_offsets\":[64,68]}}";
    const float infinite = -INFINITY;
    struct gqa_file file = {0};

    gqa_file_add_header(&file, with_mask);
    gqa_file_add_tensor(&file, "h.0.attn.c_attn.weight", values, 48, 4096);
    gqa_file_add_tensor(&file, "h.0.attn.c_proj.weight", values + 12, 16, 4096);
    gqa_file_add_tensor(&file, "h.0.attn.masked_bias", &infinite, 4, 4096);
    ck_assert_uint_eq(check(&file, "in 1 buffers that nothing reads"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_check");
    TCase *tc = tcase_create("file_check");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, passes_what_is_sound);
    tcase_add_test(tc, finds_a_wrong_digest);
    tcase_add_test(tc, overlooks_buffers);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
