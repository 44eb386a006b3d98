#include <check.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "common/interrupt.h"
#include "formats/gqa/frame_write.h"
#include "formats/safetensors/header_write.h"
#include "output_model.h"
#include "scratch.h"
#include "suite.h"

static const char *header_text(const struct gqa_st_text *header)
{
    return header->bytes + 8;
}

/*
 * Bytes that the safetensors library wrote for the same: dtypes from the
 * widest on, names escaped as needed, padding to 8. (It lists metadata in
 * no fixed order; ours is sorted.)
 */
START_TEST(header_is_that_of_the_reference_library)
{
    static const char expected[] =
        "{\"__metadata__\":{\"a\":\"1\",\"format\":\"pt\","
        "\"z\":\"\xc3\xa9\\\"\\\\/\\n\\t\\b\\f\\u0001\x7f\xe2\x80\xa8\"},"
        "\"x_uint64\":{\"dtype\":\"U64\",\"shape\":[2,3],"
        "\"data_offsets\":[0,48]},"
        "\"x_int64\":{\"dtype\":\"I64\",\"shape\":[2,3],"
        "\"data_offsets\":[48,96]},"
        "\"esc\\\"\\\\/\xc3\xa9\":{\"dtype\":\"F32\","
        "\"shape\":[],\"data_offsets\":[96,100]},"
        "\"x_float16\":{\"dtype\":\"F16\",\"shape\":[2,3],"
        "\"data_offsets\":[100,112]}}";
    static const uint64_t shape[2] = {2, 3};
    const struct gqa_output_tensor tensors[4] = {
        {"x_float16", GQA_F16, 2, shape, 12, GQA_OUTPUT_WEIGHT},
        {"esc\"\\/\xc3\xa9", GQA_F32, 0, NULL, 4, GQA_OUTPUT_WEIGHT},
        {"x_int64", GQA_I64, 2, shape, 48, GQA_OUTPUT_WEIGHT},
        {"x_uint64", GQA_U64, 2, shape, 48, GQA_OUTPUT_WEIGHT},
    };
    size_t order[4] = {0, 1, 2, 3};
    json_t *metadata = json_pack("{s:s, s:s, s:s}", "z",
                                 "\xc3\xa9\"\\/\n\t\b\f\x01\x7f\xe2\x80\xa8",
                                 "a", "1", "format", "pt");
    struct gqa_st_text header;

    gqa_st_sort(order, 4, tensors);
    ck_assert_int_eq(gqa_st_text_create(&header, tensors, order, 4, metadata),
                     GQA_OK);
    ck_assert_uint_eq(header.n_bytes % 8, 0);
    ck_assert_uint_lt(header.n_bytes, 8 + sizeof expected + 7);
    ck_assert_mem_eq(header_text(&header), expected, sizeof expected - 1);
    for (size_t i = 8 + sizeof expected - 1; i < header.n_bytes; i++)
        ck_assert_int_eq(header.bytes[i], ' ');
    ck_assert_uint_eq(header.data_bytes, 112);
    gqa_st_text_free(&header);
    json_decref(metadata);
}
END_TEST

static void header_refused(const char *name1, const char *name2,
                           const char *message)
{
    const struct gqa_output_tensor tensors[2] = {
        {name1, GQA_U8, 0, NULL, 1, GQA_OUTPUT_WEIGHT},
        {name2, GQA_F32, 0, NULL, 4, GQA_OUTPUT_WEIGHT},
    };
    const size_t order[2] = {1, 0};
    struct gqa_st_text header;

    ck_assert_int_eq(gqa_st_text_create(&header, tensors, order, 2, NULL),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), message);
}

/* Nothing is written that is not read again. */
START_TEST(names_that_no_reader_takes_are_refused)
{
    const struct gqa_output_tensor tensor = {"a\n", GQA_U8, 0,
                                             NULL,  1,      GQA_OUTPUT_WEIGHT};
    const size_t order = 0;
    struct gqa_st_text header;

    ck_assert_int_eq(gqa_st_text_create(&header, &tensor, &order, 1, NULL),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_str_eq(gqa_error_message(),
                     "the tensor name \"a?\" holds a control character (byte "
                     "1)");
}
END_TEST

START_TEST(names_that_no_header_can_hold_are_refused)
{
    header_refused("a", "a", "two tensors are named a");
    header_refused("__metadata__", "a", "no tensor may be named __metadata__");
    header_refused("a\xff", "a", "the name of tensor a\xff is not UTF-8");
}
END_TEST

/* Every size of the content size field, and the edges of blocks. */
START_TEST(stored_frames_are_zstandard)
{
    static const size_t sizes[] = {1,      255,    256,     65791,   65792,
                                   131072, 131073, 4194304, 4194305, 9000000};
    unsigned char *content = malloc(9000000);
    unsigned char *back = malloc(9000000);

    ck_assert(content && back);
    for (size_t i = 0; i < 9000000; i++)
        content[i] = (unsigned char)(i * i >> 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i];
        const size_t frame_bytes = gqa_frame_stored_bytes(n);
        unsigned char *frame = malloc(frame_bytes);

        ck_assert_ptr_nonnull(frame);
        ck_assert_uint_eq(gqa_frame_store(frame, content, n), frame_bytes);
        ck_assert_uint_eq(ZSTD_getFrameContentSize(frame, frame_bytes), n);
        ck_assert_uint_eq(ZSTD_findFrameCompressedSize(frame, frame_bytes),
                          frame_bytes);
        ck_assert_uint_eq(ZSTD_decompress(back, n, frame, frame_bytes), n);
        ck_assert_mem_eq(back, content, n);
        ck_assert_uint_eq(gqa_frame_checksum(frame, frame_bytes),
                          XXH64(content, n, 0) & UINT32_MAX);
        free(frame);
    }
    free(back);
    free(content);
}
END_TEST

START_TEST(noise_is_stored_and_weights_shrink)
{
    struct model_trouble none = {0};
    struct gqa_frame_encoder *encoder = NULL;
    unsigned char content[4096];
    unsigned char frame[4096 + 64];
    size_t n;

    ck_assert_int_eq(gqa_frame_encoder_create(&encoder, 1), GQA_OK);
    ck_assert_int_eq(model_produce(&none, 0, 1, 0, sizeof content, content),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_frame_encode(encoder, frame, &n, content, sizeof content), GQA_OK);
    ck_assert_uint_eq(n, gqa_frame_stored_bytes(sizeof content));
    ck_assert_int_eq(model_produce(&none, 0, 0, 0, sizeof content, content),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_frame_encode(encoder, frame, &n, content, sizeof content), GQA_OK);
    ck_assert_uint_lt(n, sizeof content * 4 / 5);
    gqa_frame_encoder_free(encoder);
    ck_assert_int_eq(gqa_frame_encoder_create(&encoder, 23), GQA_ERR_USAGE);
}
END_TEST

START_TEST(safetensors_is_header_and_data)
{
    struct gqa_output_options options = model_options(&gqa_writer_safetensors);
    const char *path = scratch_path("model");
    struct gqa_output_summary summary;
    unsigned char *got, *expected;
    size_t n_got, n_expected;

    options.n_threads = 3;
    summary = model_write(path, &options, 0);
    got = read_file(path, &n_got);
    expected = model_content(0, &n_expected);
    ck_assert_uint_eq(n_got, n_expected);
    ck_assert(memcmp(got, expected, n_got) == 0);
    ck_assert_uint_eq(summary.content_bytes, n_expected);
    ck_assert_uint_eq(summary.file_bytes, n_expected);
    ck_assert_uint_eq(summary.n_files, 1);
    free(expected);
    free(got);
}
END_TEST

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static void sha256_hex(char hex[65], const void *data, size_t n)
{
    unsigned char digest[32];

    ck_assert_int_eq(EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL), 1);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void check_digest(const json_t *object, const char *key,
                         const void *data, size_t n)
{
    char hex[65];

    sha256_hex(hex, data, n);
    ck_assert_str_eq(json_string_value(json_object_get(object, key)), hex);
}

static void raw_digest(unsigned char *to, const json_t *hex)
{
    for (size_t i = 0; i < 32; i++) {
        unsigned byte;

        ck_assert_int_eq(sscanf(json_string_value(hex) + 2 * i, "%2x", &byte),
                         1);
        to[i] = (unsigned char)byte;
    }
}

/* The manifest against the content it speaks of. */
static void check_manifest(const char *text, size_t n_text,
                           const unsigned char *content, size_t n_content)
{
    const size_t header_bytes = 8 + get_u32(content);
    json_t *root = json_loadb(text, n_text, 0, NULL);
    const json_t *list = json_object_get(root, "tensors");
    const unsigned char *at = content + header_bytes;
    unsigned char digests[32 * (1 + N_MODEL_TENSORS)];
    char *blank = strndup(text, n_text);
    char *own;

    ck_assert(root && blank);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "gqa.manifest")),
                     1);
    ck_assert_uint_eq(
        (size_t)json_integer_value(json_object_get(root, "content_bytes")),
        n_content);
    check_digest(root, "header_sha256", content, header_bytes);
    raw_digest(digests, json_object_get(root, "header_sha256"));
    ck_assert_uint_eq(json_array_size(list), N_MODEL_TENSORS);
    for (size_t i = 0; i < N_MODEL_TENSORS; i++) {
        const struct gqa_output_tensor *t = &model_tensors[model_order[i]];
        const json_t *entry = json_array_get(list, i);

        ck_assert_str_eq(json_string_value(json_object_get(entry, "name")),
                         t->name);
        check_digest(entry, "sha256", at, (size_t)t->n_bytes);
        raw_digest(digests + 32 * (i + 1), json_object_get(entry, "sha256"));
        at += t->n_bytes;
    }
    check_digest(root, "stream_digest", digests, sizeof digests);
    own = strstr(blank,
                 json_string_value(json_object_get(root, "manifest_sha256")));
    ck_assert_ptr_nonnull(own);
    memset(own, '0', 64);
    check_digest(root, "manifest_sha256", blank, n_text);
    free(blank);
    json_decref(root);
}

/*
 * A .gqa of the model: frames, each as the seek table says, that give the
 * content one tensor after the other, then the manifest and the table.
 */
static void check_gqa(const char *path, size_t max_content)
{
    size_t n_file, n_content, at = 0, content_at = 0;
    unsigned char *file = read_file(path, &n_file);
    unsigned char *content = model_content(0, &n_content);
    unsigned char *buf = malloc(max_content);
    const unsigned char *footer = file + n_file - 9;
    const uint32_t n_frames = get_u32(footer);
    const unsigned char *entry = footer - 12 * (size_t)n_frames;

    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(footer[4], 0x80);
    ck_assert_uint_eq(get_u32(footer + 5), 0x8F92EAB1);
    ck_assert_uint_eq(get_u32(entry - 8), 0x184D2A5E);
    ck_assert_uint_eq(get_u32(entry - 4), 12 * n_frames + 9);
    /* Header; 1 + 1 + 3 + 1 + 2 + 1 + 1 of the tensors; manifest. */
    ck_assert_uint_eq(n_frames, 12);
    for (uint32_t i = 0; i < n_frames - 1; i++, entry += 12) {
        const size_t n = get_u32(entry + 4);

        ck_assert_uint_gt(n, 0);
        ck_assert_uint_le(n, max_content);
        ck_assert_uint_eq(ZSTD_getFrameContentSize(file + at, n_file - at), n);
        ck_assert_uint_eq(ZSTD_findFrameCompressedSize(file + at, n_file - at),
                          get_u32(entry));
        ck_assert_uint_eq(
            ZSTD_decompress(buf, max_content, file + at, get_u32(entry)), n);
        ck_assert(memcmp(buf, content + content_at, n) == 0);
        ck_assert_uint_eq(get_u32(entry + 8), XXH64(buf, n, 0) & UINT32_MAX);
        if (i == 0)
            ck_assert_uint_eq(n, 8 + get_u32(content));
        at += get_u32(entry);
        content_at += n;
    }
    ck_assert_uint_eq(content_at, n_content);
    ck_assert_uint_eq(get_u32(file + at), 0x184D2A5D);
    ck_assert_uint_eq(get_u32(entry), 8 + get_u32(file + at + 4));
    ck_assert_uint_eq(get_u32(entry + 4), 0);
    ck_assert_uint_eq(get_u32(entry + 8), 0);
    check_manifest((char *)file + at + 8, get_u32(file + at + 4), content,
                   n_content);
    at += get_u32(entry);
    ck_assert_uint_eq(at + 8 + 12 * (size_t)n_frames + 9, n_file);
    free(buf);
    free(content);
    free(file);
}

START_TEST(gqa_is_frames_manifest_and_table)
{
    struct gqa_output_options options = model_options(&gqa_writer_gqa);
    const char *path = scratch_path("model.gqa");
    struct gqa_output_summary summary;

    options.n_threads = 2;
    summary = model_write(path, &options, 0);
    check_gqa(path, GQA_BLOCK_BYTES);
    ck_assert_uint_lt(summary.file_bytes, summary.content_bytes);
    options.settings.store = true;
    options.force = true;
    summary = model_write(path, &options, 0);
    check_gqa(path, GQA_BLOCK_BYTES);
    ck_assert_uint_gt(summary.file_bytes, summary.content_bytes);
}
END_TEST

/* Level 12 takes so much memory that few blocks are compressed at once. */
START_TEST(threads_do_not_change_a_byte)
{
    static const unsigned threads[] = {2, 7, 64};
    static const unsigned levels[] = {1, 3, 12};
    const unsigned level = levels[_i % 3];
    struct gqa_output_options options = model_options(&gqa_writer_gqa);
    size_t n, n_again;
    unsigned char *once, *again;

    options.settings.level = level;
    options.settings.store = _i == 3;
    model_write(scratch_path("once"), &options, 0);
    once = read_file(scratch_path("once"), &n);
    for (size_t i = 0; i < 3; i++) {
        options.n_threads = threads[i];
        options.force = true;
        model_write(scratch_path("again"), &options, 0);
        again = read_file(scratch_path("again"), &n_again);
        ck_assert_uint_eq(n, n_again);
        ck_assert(memcmp(once, again, n) == 0);
        free(again);
    }
    free(once);
}
END_TEST

START_TEST(a_model_without_tensors_is_a_header)
{
    static const struct gqa_writer *const kinds[] = {&gqa_writer_safetensors,
                                                     &gqa_writer_gqa};
    struct gqa_output_summary summary;

    for (size_t i = 0; i < 2; i++) {
        const struct gqa_output_options options = model_options(kinds[i]);

        ck_assert_int_eq(gqa_output_write(&summary, scratch_path(i ? "b" : "a"),
                                          NULL, 0, NULL, NULL, &options),
                         GQA_OK);
        ck_assert_uint_eq(summary.content_bytes, 8 + 32);
    }
}
END_TEST

START_TEST(an_output_is_of_the_kind_that_its_name_says)
{
    const struct {
        const char *name;
        const struct gqa_writer *writer;
    } names[] = {
        {"a.gqa", &gqa_writer_gqa},
        {"a.b/c.safetensors", &gqa_writer_safetensors},
        {"a.gguf", &gqa_writer_gguf},
        {"a.gqa/", &gqa_writer_folder},
        {"a.h5/", &gqa_writer_folder},
        {scratch_folder(), &gqa_writer_folder}, /* which is there */
        {"/", &gqa_writer_folder},
        {"a-00001-of-0002.gguf", &gqa_writer_gguf},
        {"a-00001-of-00002.gguf/", &gqa_writer_folder},
    };
    static const struct {
        const char *name, *message;
    } others[] = {
        {"a.h5",
         "a.h5: cannot write files of this kind; an output is NAME.gqa, "
         "NAME.safetensors, NAME.gguf or FOLDER/"},
        {"a.gqaa",
         "a.gqaa: none of NAME.gqa, NAME.safetensors and NAME.gguf, and "
         "no folder is there; for a new folder write 'a.gqaa/'"},
        /* Nothing before it. */
        {".gqa", ".gqa: none of NAME.gqa, NAME.safetensors and NAME.gguf, and "
                 "no folder is there; for a new folder write '.gqa/'"},
        {"b/a-00001-of-00002.gguf",
         "b/a-00001-of-00002.gguf: the name of one of several files, and an "
         "output is named by the whole; write 'b/a.gguf', of which "
         "--shard-size makes such files"},
        {"model-00002-of-00002.safetensors",
         "model-00002-of-00002.safetensors: the name of one of several files, "
         "and an output is named by the whole; write 'model.safetensors'"},
        {"/dev/null",
         "/dev/null: is there, and no folder; an output is NAME.gqa, "
         "NAME.safetensors, NAME.gguf or FOLDER/"},
    };
    const struct gqa_writer *found = NULL;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(gqa_writer_find(&found, names[i].name), GQA_OK);
        ck_assert_ptr_eq(found, names[i].writer);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(gqa_writer_find(&found, others[i].name),
                         GQA_ERR_USAGE);
        ck_assert_str_eq(gqa_error_message(), others[i].message);
    }
}
END_TEST

static void fails_and_leaves_nothing(struct model_trouble *trouble,
                                     const struct gqa_writer *writer,
                                     enum gqa_status status,
                                     const char *message)
{
    struct gqa_output_options options = model_options(writer);
    struct gqa_output_summary summary;

    options.n_threads = 3;
    ck_assert_int_eq(gqa_output_write(&summary, scratch_path("model"),
                                      model_tensors, N_MODEL_TENSORS,
                                      model_produce, trouble, &options),
                     status);
    ck_assert_str_eq(gqa_error_message(), message);
    ck_assert_uint_eq(count_entries(scratch_folder()), 0);
}

/* test_gguf_write.c has one. */
static bool holds_models_alone(const struct gqa_writer *writer)
{
    return writer->check_model != NULL;
}

START_TEST(a_failed_block_leaves_nothing)
{
    struct model_trouble trouble = {.fails = true};

    if (holds_models_alone(gqa_writers[_i]))
        return;
    fails_and_leaves_nothing(&trouble, gqa_writers[_i], GQA_ERR_FORMAT,
                             "source.h5: chunk 7 is damaged");
}
END_TEST

START_TEST(a_signal_leaves_nothing)
{
    struct model_trouble trouble = {.is_signaled = true};

    if (holds_models_alone(gqa_writers[_i]))
        return;
    gqa_interrupt_catch(NULL);
    fails_and_leaves_nothing(&trouble, gqa_writers[_i], GQA_ERR_INTERRUPTED,
                             "interrupted");
}
END_TEST

static void count_calls(void *ctx, uint64_t done_bytes, uint64_t all_bytes)
{
    uint64_t *last = ctx;

    ck_assert_uint_gt(done_bytes, *last);
    ck_assert_uint_eq(all_bytes, 22020135);
    *last = done_bytes;
}

START_TEST(progress_grows_to_the_end)
{
    struct gqa_output_options options = model_options(gqa_writers[_i]);
    uint64_t last = 0;

    if (holds_models_alone(gqa_writers[_i]))
        return;
    options.n_threads = 3;
    options.settings.shard_bytes = 5000000;
    options.progress = count_calls;
    options.progress_ctx = &last;
    model_write(scratch_path("model"), &options, 0);
    ck_assert_uint_eq(last, 22020135);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output");
    TCase *content = tcase_create("content");
    TCase *trouble = tcase_create("trouble");

    tcase_add_checked_fixture(content, scratch_create, scratch_remove);
    tcase_set_timeout(content, 60);
    tcase_add_test(content, header_is_that_of_the_reference_library);
    tcase_add_test(content, names_that_no_reader_takes_are_refused);
    tcase_add_test(content, names_that_no_header_can_hold_are_refused);
    tcase_add_test(content, stored_frames_are_zstandard);
    tcase_add_test(content, noise_is_stored_and_weights_shrink);
    tcase_add_test(content, safetensors_is_header_and_data);
    tcase_add_test(content, gqa_is_frames_manifest_and_table);
    tcase_add_loop_test(content, threads_do_not_change_a_byte, 0, 4);
    tcase_add_test(content, an_output_is_of_the_kind_that_its_name_says);
    tcase_add_test(content, a_model_without_tensors_is_a_header);
    tcase_add_loop_test(content, progress_grows_to_the_end, 0,
                        (int)gqa_n_writers);
    suite_add_tcase(suite, content);
    tcase_add_checked_fixture(trouble, scratch_create, scratch_remove);
    tcase_set_timeout(trouble, 60);
    tcase_add_loop_test(trouble, a_failed_block_leaves_nothing, 0,
                        (int)gqa_n_writers);
    tcase_add_loop_test(trouble, a_signal_leaves_nothing, 0,
                        (int)gqa_n_writers);
    suite_add_tcase(suite, trouble);
    return suite_run(suite);
}
