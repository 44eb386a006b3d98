/* Damage that only the digests of tensors tell: every checksum is right. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gqa_file.h"
#include "scratch.h"
#include "suite.h"
#include "verify/file_check.h"

/* A GPT-2 of one layer and one head, width 2: name, shape, elements. */
static const struct {
    const char *name, *shape;
    size_t n;
} tensors[] = {
    {"h.0.attn.c_attn.weight", "2,6", 12},
    {"h.0.attn.c_proj.weight", "2,2", 4},
    {"h.0.ln_1.bias", "2", 2},
    {"h.0.ln_1.weight", "2", 2},
    {"h.0.ln_2.bias", "2", 2},
    {"h.0.ln_2.weight", "2", 2},
    {"h.0.mlp.c_fc.weight", "2,1", 2},
    {"h.0.mlp.c_proj.weight", "1,2", 2},
    {"ln_f.bias", "2", 2},
    {"ln_f.weight", "2", 2},
    {"wpe.weight", "3,2", 6},
    {"wte.weight", "4,2", 8},
    {"h.0.attn.masked_bias", "", 1},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static const float values[16] = {1, 2, 3, 4, 5, 6, 7, 8};
static const float infinite = -INFINITY;

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

#define BUFFER "h.0.attn.masked_bias"

/* All of the model but the tensor `without`. */
static void begin(struct gqa_file *file, const char *without)
{
    char header[2048] = "{\"__metadata__\":{\"gqa.version\":\"1\"}";
    size_t used = strlen(header), at = 0;

    for (size_t i = 0; i < N_TENSORS; i++) {
        if (strcmp(tensors[i].name, without) == 0)
            continue;
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],"
                                 "\"data_offsets\":[%zu,%zu]}",
                                 tensors[i].name, tensors[i].shape, at,
                                 at + 4 * tensors[i].n);
        at += 4 * tensors[i].n;
    }
    snprintf(header + used, sizeof header - used, "}");
    *file = (struct gqa_file){0};
    gqa_file_add_header(file, header);
    for (size_t i = 0; i < N_TENSORS; i++)
        if (strcmp(tensors[i].name, without) != 0)
            gqa_file_add_tensor(file, tensors[i].name,
                                strcmp(tensors[i].name, BUFFER) == 0 ? &infinite
                                                                     : values,
                                4 * tensors[i].n, 4096);
}

START_TEST(passes_what_is_sound)
{
    struct gqa_file file;

    begin(&file, BUFFER);
    ck_assert_uint_eq(check(&file, "SHA-256 of 12 of 12 tensors right"), 0);
}
END_TEST

/* With its name and shape, as far as that is known. */
START_TEST(names_what_is_missing)
{
    struct gqa_file file;

    begin(&file, "h.0.ln_2.bias");
    ck_assert_uint_eq(check(&file, "'h.0.ln_2.bias' [2]"), 1);
    begin(&file, "wpe.weight");
    ck_assert_uint_eq(check(&file, "'wpe.weight' [any, 2]"), 1);
}
END_TEST

/* Another tensor's digest, and a stream digest that fits it. */
START_TEST(finds_a_wrong_digest)
{
    struct gqa_file file;
    json_t *list;

    begin(&file, BUFFER);
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
    struct gqa_file file;

    begin(&file, "");
    ck_assert_uint_eq(check(&file, "in 1 buffers that nothing reads"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_check");
    TCase *tc = tcase_create("file_check");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, passes_what_is_sound);
    tcase_add_test(tc, names_what_is_missing);
    tcase_add_test(tc, finds_a_wrong_digest);
    tcase_add_test(tc, overlooks_buffers);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
