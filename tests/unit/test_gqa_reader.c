#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/file.h"
#include "common/log.h"
#include "formats/formats.h"
#include "formats/gqa/layout.h"
#include "formats/gqa/reader.h"
#include "formats/source.h"
#include "gqa_file.h"
#include "scratch.h"
#include "suite.h"

#define METADATA(version)                                                  \
    "\"__metadata__\":{\"format\":\"pt\",\"gqa.version\":\"" version "\"," \
    "\"gqa.config\":\"{\\\"model_type\\\":\\\"t5\\\"}\","                  \
    "\"gqa.recipe\":\"{}\"}"

/*
 * The sample: a, ten bytes; e, nothing; b, 3000 bytes in frames of 1000. In
 * its seek table these are entries 1 and 2 to 4; 0 is the header, 5 the
 * manifest.
 */
#define SAMPLE_HEADER(version)                                                 \
    "{" METADATA(version) ","                                                  \
                          "\"a\":{\"dtype\":\"U8\",\"shape\":[10],\"data_"     \
                          "offsets\":[0,10]},"                                 \
                          "\"e\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_"   \
                          "offsets\":[10,10]},"                                \
                          "\"b\":{\"dtype\":\"U8\",\"shape\":[30,100],\"data_" \
                          "offsets\":[10,3010]}}"

enum { N_ENTRIES = 6 };

static unsigned char b_bytes[3000];
static struct gqa_file file;

static void fill(unsigned char *bytes, size_t n)
{
    uint32_t x = 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(x >> 28);
    }
}

static void add_tensors(void)
{
    gqa_file_add_tensor(&file, "a", "0123456789", 10, 1000);
    gqa_file_add_tensor(&file, "e", "", 0, 1000);
    gqa_file_add_tensor(&file, "b", b_bytes, sizeof b_bytes, 1000);
}

/* All of the sample but the seek table. */
static void build_frames(void)
{
    gqa_file_add_header(&file, SAMPLE_HEADER("1"));
    add_tensors();
    gqa_file_add_manifest(&file);
}

static void build_sample(void)
{
    build_frames();
    gqa_file_add_table(&file, true);
}

static void set_up(void)
{
    scratch_create();
    memset(&file, 0, sizeof file);
    fill(b_bytes, sizeof b_bytes);
}

static void tear_down(void)
{
    gqa_file_free(&file);
    scratch_remove();
}

static enum gqa_status open_bytes(struct gqa_source **out, const void *bytes,
                                  size_t n, bool salvage)
{
    const char *path = scratch_write("x", bytes, n);
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    return gqa_gqa_open(
        out, &(const struct gqa_file_handle){
                 .path = "x", .fd = fd, .size = size, .salvage = salvage});
}

static struct gqa_source *open_good(void)
{
    struct gqa_source *source = NULL;

    ck_assert_msg(open_bytes(&source, file.bytes, file.n, false) == GQA_OK,
                  "%s", gqa_error_message());
    return source;
}

static void refused(enum gqa_status status, const char *message)
{
    struct gqa_source *source;

    ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, false), status);
    ck_assert_str_eq(gqa_error_message(), message);
}

static enum gqa_status read_all(struct gqa_source *source, size_t i, void *buf)
{
    const struct gqa_span all = {0, source->tensors[i].n_bytes, 0, 1};

    return source->ops->read(source, i, &all, buf);
}

static void check_content(struct gqa_source *source)
{
    unsigned char buf[3000];

    ck_assert_uint_eq(source->n_tensors, 3);
    ck_assert_int_eq(read_all(source, 0, buf), GQA_OK);
    ck_assert_mem_eq(buf, "0123456789", 10);
    ck_assert_int_eq(read_all(source, 1, buf), GQA_OK);
    ck_assert_int_eq(read_all(source, 2, buf), GQA_OK);
    ck_assert_mem_eq(buf, b_bytes, sizeof b_bytes);
}

/* Where the table, and its entry i, begin in the finished sample. */
static unsigned char *table(void)
{
    return file.bytes + file.n - (8 + 12 * N_ENTRIES + 9);
}

static unsigned char *entry(size_t i)
{
    return table() + 8 + 12 * i;
}

static unsigned char *footer(void)
{
    return file.bytes + file.n - 9;
}

/* Where frame i begins in the file. */
static unsigned char *frame(size_t i)
{
    size_t at = 0;

    for (size_t f = 0; f < i; f++)
        at += file.entries[f].n_bytes;
    return file.bytes + at;
}

START_TEST(reads_the_sample)
{
    struct gqa_source *source;

    build_sample();
    source = open_good();
    ck_assert_ptr_eq(source->format, &gqa_format_gqa);
    ck_assert_int_eq(source->naming, GQA_NAMES_TORCH);
    ck_assert_uint_eq(source->content_bytes, file.content_bytes);
    ck_assert_uint_eq(source->file_bytes, file.n);
    ck_assert_str_eq(
        json_string_value(json_object_get(source->config, "model_type")), "t5");
    ck_assert_uint_eq(
        json_array_size(json_object_get(source->manifest, "tensors")), 3);
    check_content(source);
    gqa_source_close(source);
}
END_TEST

START_TEST(reads_a_table_without_checksums)
{
    struct gqa_source *source;

    build_frames();
    gqa_file_add_table(&file, false);
    source = open_good();
    check_content(source);
    gqa_source_close(source);
}
END_TEST

START_TEST(reads_a_file_without_tensors)
{
    struct gqa_source *source;

    gqa_file_add_header(&file, "{" METADATA("1") "}");
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    source = open_good();
    ck_assert_uint_eq(source->n_tensors, 0);
    gqa_source_close(source);
}
END_TEST

/* Columns 30 to 49 of rows 5 to 24: three frames, ten rows each. */
START_TEST(reads_a_rectangle)
{
    const struct gqa_span columns = {530, 20, 100, 20};
    struct gqa_source *source;
    unsigned char part[400];

    build_sample();
    source = open_good();
    ck_assert_int_eq(source->ops->read(source, 2, &columns, part), GQA_OK);
    for (size_t r = 0; r < 20; r++)
        ck_assert_mem_eq(part + 20 * r, b_bytes + 530 + 100 * r, 20);
    gqa_source_close(source);
}
END_TEST

enum { BIG = 60 << 20 };

struct reads {
    struct gqa_source *source;
    const unsigned char *bytes;
    unsigned seed;
    bool is_right;
};

static void *read_at_random(void *arg)
{
    struct reads *reads = arg;
    unsigned char *buf = malloc(5 << 20);
    uint32_t x = reads->seed;

    reads->is_right = buf != NULL;
    for (unsigned i = 0; i < 60 && reads->is_right; i++) {
        struct gqa_span span = {0, 0, 0, 1};

        x = x * 1664525 + 1013904223;
        span.offset = x % BIG;
        x = x * 1664525 + 1013904223;
        span.piece = i % 4 ? x % 1000 : x % (5 << 20);
        if (span.piece > BIG - span.offset)
            span.piece = BIG - span.offset;
        reads->is_right =
            reads->source->ops->read(reads->source, 0, &span, buf) == GQA_OK &&
            memcmp(buf, reads->bytes + span.offset, span.piece) == 0;
    }
    free(buf);
    return NULL;
}

/* More than is kept, in frames as our writer makes them. */
START_TEST(reads_from_many_threads)
{
    enum { N_THREADS = 4 };
    unsigned char *big = malloc(BIG);
    struct reads reads[N_THREADS];
    pthread_t threads[N_THREADS];
    struct gqa_source *source;

    ck_assert_ptr_nonnull(big);
    for (size_t i = 0; i < BIG; i += 4) {
        const uint32_t word = (uint32_t)i * 2654435761u >> 12;

        memcpy(big + i, &word, 4);
    }
    gqa_file_add_header(
        &file,
        "{" METADATA("1") ",\"b\":{\"dtype\":\"U8\",\"shape\":[62914560],"
                          "\"data_offsets\":[0,62914560]}}");
    gqa_file_add_tensor(&file, "b", big, BIG, GQA_FRAME_BYTES);
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    source = open_good();
    for (unsigned t = 0; t < N_THREADS; t++) {
        reads[t] = (struct reads){source, big, t, false};
        ck_assert_int_eq(
            pthread_create(&threads[t], NULL, read_at_random, &reads[t]), 0);
    }
    for (unsigned t = 0; t < N_THREADS; t++) {
        pthread_join(threads[t], NULL);
        ck_assert(reads[t].is_right);
    }
    gqa_source_close(source);
    free(big);
}
END_TEST

/* The advice that follows what is wrong with the table. */
#define RECOVERS                                                   \
    "; the frames are whole, so `zstd -dc x > model.safetensors` " \
    "recovers the content"

static void refused_table(const char *why)
{
    char message[1024];
    struct gqa_source *source;

    snprintf(message, sizeof message, "%s" RECOVERS, why);
    refused(GQA_ERR_FORMAT, message);
    ck_assert_msg(open_bytes(&source, file.bytes, file.n, true) == GQA_OK, "%s",
                  gqa_error_message());
    check_content(source);
    gqa_source_close(source);
}

START_TEST(salvages_a_missing_table)
{
    build_frames();
    refused_table("the seek table is missing: the file does not end with its "
                  "mark");
}
END_TEST

START_TEST(salvages_a_cut_table)
{
    build_sample();
    file.n -= 1;
    refused_table("the seek table is missing: the file does not end with its "
                  "mark");
}
END_TEST

START_TEST(refuses_a_reserved_bit)
{
    build_sample();
    footer()[4] |= 0x10;
    refused_table("the seek table's descriptor 0x90 has reserved bits set");
}
END_TEST

START_TEST(refuses_a_count_past_the_file)
{
    build_sample();
    footer()[3] = 1;
    refused_table("the seek table claims 16777222 entries, more than the file "
                  "can hold");
}
END_TEST

START_TEST(refuses_a_wrong_count)
{
    char why[200];

    build_sample();
    footer()[0] = 5;
    snprintf(why, sizeof why,
             "the seek table claims 5 entries, but does not begin where that "
             "puts it (byte %zu)",
             (size_t)(table() - file.bytes) + 12);
    refused_table(why);
}
END_TEST

START_TEST(refuses_a_wrong_table_size)
{
    build_sample();
    table()[4] = 80;
    refused_table("the seek table's frame claims 80 bytes; its entries take "
                  "81");
}
END_TEST

START_TEST(refuses_a_wrong_header_entry)
{
    char why[200];

    build_sample();
    entry(0)[4] ^= 1;
    snprintf(why, sizeof why,
             "the seek table says that the header's frame has %u bytes of %u "
             "compressed; it has %u of %u",
             file.entries[0].content_bytes ^ 1, file.entries[0].n_bytes,
             file.entries[0].content_bytes, file.entries[0].n_bytes);
    refused_table(why);
    entry(0)[4] ^= 1;
    entry(0)[8] ^= 1;
    refused_table("the seek table's checksum of frame 0 is not the frame's "
                  "own");
}
END_TEST

START_TEST(refuses_a_frame_too_large)
{
    char why[200];

    build_sample();
    entry(2)[7] = 2;
    refused_table("seek table entry 2 claims 33555432 bytes of content, more "
                  "than the 16777216 allowed in a frame");
    entry(2)[7] = 0;
    entry(2)[3] = 2;
    snprintf(why, sizeof why,
             "seek table entry 2 claims a frame of %u bytes; 16842752 is the "
             "most there can be",
             file.entries[2].n_bytes + (2u << 24));
    refused_table(why);
}
END_TEST

START_TEST(refuses_an_empty_entry)
{
    build_sample();
    memset(entry(1) + 4, 0, 4);
    refused_table("seek table entry 1 holds no content, but is not the last");
}
END_TEST

START_TEST(refuses_sums_that_do_not_fit)
{
    char why[200];
    const size_t before = 8 + 12 * N_ENTRIES + 9;

    build_sample();
    entry(3)[0] ^= 1;
    snprintf(why, sizeof why,
             "the frames of the seek table take %zu bytes; %zu lie before it",
             file.n - before + (entry(3)[0] & 1 ? 1 : (size_t)-1),
             file.n - before);
    refused_table(why);
    entry(3)[0] ^= 1;
    entry(3)[4] ^= 1;
    snprintf(why, sizeof why,
             "the frames of the seek table hold %zu bytes of content; the "
             "header needs %zu",
             (size_t)file.content_bytes + 1, (size_t)file.content_bytes);
    refused_table(why);
}
END_TEST

START_TEST(refuses_a_manifest_with_content)
{
    build_sample();
    entry(5)[4] = 7;
    refused_table("the seek table's last entry has 7 bytes of content and the "
                  "checksum 00000000; the manifest has none");
}
END_TEST

START_TEST(refuses_a_manifest_out_of_place)
{
    char why[200];

    build_sample();
    entry(4)[0] ^= 1;
    entry(5)[0] = (unsigned char)(entry(5)[0] + (entry(4)[0] & 1 ? -1 : 1));
    snprintf(why, sizeof why,
             "the seek table puts a manifest of %u bytes at byte %u; there is "
             "none",
             gqa_read_u32(entry(5)),
             gqa_read_u32(entry(0)) + gqa_read_u32(entry(1)) +
                 gqa_read_u32(entry(2)) + gqa_read_u32(entry(3)) +
                 gqa_read_u32(entry(4)));
    refused_table(why);
}
END_TEST

/* Entries 3 and 4 trade a byte: the sums fit, the frames do not. */
START_TEST(finds_a_table_that_lies_when_it_reads)
{
    struct gqa_source *source;
    unsigned char buf[3000];

    build_sample();
    entry(3)[4]++;
    entry(4)[4]--;
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "tensor b: frame 3 at"));
    ck_assert_ptr_nonnull(strstr(
        gqa_error_message(), "it holds 1000 bytes; the seek table says 1001"));
    gqa_source_close(source);
    ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, true), GQA_OK);
    check_content(source);
    gqa_source_close(source);
}
END_TEST

START_TEST(finds_a_wrong_checksum_in_the_table)
{
    struct gqa_source *source;
    unsigned char buf[3000];

    build_sample();
    entry(3)[8] ^= 1;
    source = open_good();
    ck_assert_int_eq(read_all(source, 0, buf), GQA_OK);
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), ": its checksum is "));
    gqa_source_close(source);
    ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, true), GQA_OK);
    check_content(source);
    gqa_source_close(source);
}
END_TEST

START_TEST(finds_damaged_content)
{
    struct gqa_source *source;
    unsigned char buf[3000], again[3000];
    char message[300], other[300];
    const struct gqa_span part = {1500, 10, 0, 1};

    build_sample();
    /* Near the end of the frame, before its checksum: literals. */
    frame(4)[-20] ^= 4;
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    snprintf(message, sizeof message, "tensor b: frame 3 at byte %zu: ",
             (size_t)(frame(3) - file.bytes));
    ck_assert_int_eq(strncmp(gqa_error_message(), message, strlen(message)), 0);
    strncpy(other, gqa_error_message(), sizeof other - 1);
    other[sizeof other - 1] = '\0';
    ck_assert_int_eq(source->ops->read(source, 2, &part, again),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), other);
    ck_assert_int_eq(read_all(source, 0, buf), GQA_OK);
    gqa_source_close(source);
}
END_TEST

START_TEST(finds_a_wrong_checksum_of_a_frame)
{
    struct gqa_source *source;
    unsigned char buf[3000];
    char message[300];

    build_frames();
    gqa_file_add_table(&file, false);
    frame(4)[-1] ^= 1;
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    snprintf(message, sizeof message,
             "tensor b: frame 3 at byte %zu: the content does not fit the "
             "checksum; it is damaged",
             (size_t)(frame(3) - file.bytes));
    ck_assert_str_eq(gqa_error_message(), message);
    gqa_source_close(source);
}
END_TEST

/* The frames of b, with what is asked of them before. */
static void read_fails(const char *why)
{
    struct gqa_source *source;
    unsigned char buf[3000];
    char message[300];

    gqa_file_add_tensor(&file, "b", b_bytes, sizeof b_bytes, 3000);
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    snprintf(message, sizeof message, "tensor b: frame 2 at byte %zu: %s",
             (size_t)(frame(2) - file.bytes), why);
    ck_assert_str_eq(gqa_error_message(), message);
    gqa_source_close(source);
}

static void build_up_to_b(void)
{
    gqa_file_add_header(&file, SAMPLE_HEADER("1"));
    gqa_file_add_tensor(&file, "a", "0123456789", 10, 1000);
    gqa_file_add_tensor(&file, "e", "", 0, 1000);
}

START_TEST(refuses_frames_without_checksum)
{
    build_up_to_b();
    file.without_checksum = true;
    read_fails("the frame has no checksum");
}
END_TEST

START_TEST(refuses_frames_without_size)
{
    build_up_to_b();
    file.without_content_size = true;
    read_fails("the frame header does not state the content's size");
}
END_TEST

START_TEST(refuses_wide_windows)
{
    struct gqa_source *source;
    unsigned char buf[3000];

    build_up_to_b();
    file.window_log = 10; /* below the content: the header states it */
    gqa_file_add_tensor(&file, "b", b_bytes, sizeof b_bytes, 3000);
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    ck_assert_uint_eq(frame(2)[5], 0);
    frame(2)[5] = (25 - 10) << 3;
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(),
                                 "the frame asks for a window of 33554432 "
                                 "bytes, more than the 16777216 allowed"));
    gqa_source_close(source);
}
END_TEST

/* Even one whose number is 0, which means none: the field must not be. */
START_TEST(refuses_dictionaries)
{
    struct gqa_source *source;
    unsigned char buf[3000], *last;

    build_up_to_b();
    gqa_file_add_tensor(&file, "b", b_bytes, sizeof b_bytes, 3000);
    last = frame(2);
    ck_assert_uint_eq(last[4], 0x64); /* one segment, no dictionary */
    last[4] |= 1;
    memmove(last + 6, last + 5, file.entries[2].n_bytes - 5);
    last[5] = 0;
    file.n++;
    file.entries[2].n_bytes++;
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    source = open_good();
    ck_assert_int_eq(read_all(source, 2, buf), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(), "the frame needs a dictionary"));
    gqa_source_close(source);
}
END_TEST

/* a and b in one frame. */
START_TEST(refuses_tensors_that_share_a_frame)
{
    unsigned char both[3010];

    memset(both, 0, sizeof both);
    gqa_file_add_header(&file, SAMPLE_HEADER("1"));
    gqa_file_add_frame(&file, both, sizeof both);
    file.content_bytes += sizeof both;
    gqa_file_add_manifest(&file);
    gqa_file_add_table(&file, true);
    {
        struct gqa_source *source;

        ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, false),
                         GQA_ERR_FORMAT);
        ck_assert_ptr_nonnull(
            strstr(gqa_error_message(), "tensor b begins at byte "));
        ck_assert_ptr_nonnull(strstr(gqa_error_message(),
                                     "within frame 1 instead of at its start"));
    }
}
END_TEST

static void refused_manifest(const char *message)
{
    gqa_file_add_sealed(&file);
    gqa_file_add_table(&file, true);
    refused(GQA_ERR_FORMAT, message);
}

/* The sample's frames and a manifest that is right but not added. */
static void build_up_to_manifest(void)
{
    build_frames();
    file.n -= file.entries[--file.n_entries].n_bytes;
}

START_TEST(refuses_a_damaged_manifest)
{
    build_sample();
    table()[-10] ^= 1; /* the digits of manifest_sha256 end it */
    refused(GQA_ERR_FORMAT, "manifest: its text does not fit its own digest "
                            "(manifest_sha256); it is damaged");
}
END_TEST

START_TEST(refuses_a_manifest_that_is_not_json)
{
    struct gqa_source *source;

    build_up_to_manifest();
    gqa_file_add_skippable(&file, GQA_MANIFEST_MAGIC, "{", 1, true);
    gqa_file_add_table(&file, true);
    ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, false),
                     GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(), "manifest: not valid JSON: "));
}
END_TEST

START_TEST(refuses_a_newer_manifest)
{
    build_up_to_manifest();
    json_object_set_new(file.manifest, "gqa.manifest", json_integer(2));
    gqa_file_add_sealed(&file);
    gqa_file_add_table(&file, true);
    refused(GQA_ERR_UNSUPPORTED,
            "manifest: version 2; this tool reads version 1, so a newer one "
            "is needed");
}
END_TEST

START_TEST(refuses_a_manifest_without_version)
{
    build_up_to_manifest();
    json_object_del(file.manifest, "gqa.manifest");
    refused_manifest("manifest: no version (gqa.manifest) in it");
}
END_TEST

START_TEST(refuses_another_size)
{
    char message[200];

    build_up_to_manifest();
    json_object_set_new(file.manifest, "content_bytes", json_integer(5));
    snprintf(message, sizeof message,
             "manifest: content_bytes is 5; the header makes it %zu",
             (size_t)file.content_bytes);
    refused_manifest(message);
}
END_TEST

START_TEST(refuses_another_header)
{
    build_up_to_manifest();
    json_object_set(
        file.manifest, "header_sha256",
        json_object_get(
            json_array_get(json_object_get(file.manifest, "tensors"), 0),
            "sha256"));
    refused_manifest("manifest: header_sha256 is not the header's digest; the "
                     "header was changed or is another file's");
}
END_TEST

START_TEST(refuses_other_tensors)
{
    build_up_to_manifest();
    json_array_remove(json_object_get(file.manifest, "tensors"), 2);
    refused_manifest("manifest: lists 2 tensors; the header has 3");
}
END_TEST

START_TEST(refuses_another_name)
{
    json_t *second;

    build_up_to_manifest();
    second = json_array_get(json_object_get(file.manifest, "tensors"), 1);
    json_object_set_new(second, "name", json_string("f"));
    refused_manifest("manifest: tensor 1 is \"f\"; in the data it is e");
}
END_TEST

START_TEST(refuses_another_digest)
{
    json_t *list;

    build_up_to_manifest();
    list = json_object_get(file.manifest, "tensors");
    json_object_set(json_array_get(list, 1), "sha256",
                    json_object_get(json_array_get(list, 0), "sha256"));
    refused_manifest("manifest: stream_digest is not the digest of the "
                     "header's and the tensors' digests");
}
END_TEST

START_TEST(refuses_what_is_no_digest)
{
    json_t *list;

    build_up_to_manifest();
    list = json_object_get(file.manifest, "tensors");
    json_object_set_new(json_array_get(list, 2), "sha256", json_string("ABCD"));
    refused_manifest("manifest: b is not a SHA-256 in 64 lower-case "
                     "hexadecimal digits");
}
END_TEST

START_TEST(refuses_a_file_without_manifest)
{
    struct gqa_source *source;

    build_up_to_manifest();
    gqa_file_add_table(&file, true);
    ck_assert_int_eq(open_bytes(&source, file.bytes, file.n, true),
                     GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(),
                                 "; and the frames are not whole: there is "
                                 "something else at byte "));
}
END_TEST

START_TEST(refuses_a_newer_version)
{
    gqa_file_add_header(&file, SAMPLE_HEADER("2"));
    refused(GQA_ERR_UNSUPPORTED,
            "a .gqa of version \"2\"; this tool reads version 1, so a newer "
            "one is needed");
}
END_TEST

/* Of a later version that has a dtype which this one does not know. */
START_TEST(asks_the_version_first)
{
    gqa_file_add_header(&file, "{\"a\":{\"dtype\":\"F2\",\"shape\":[8],"
                               "\"data_offsets\":[0,2]}," METADATA("1.5") "}");
    refused(GQA_ERR_UNSUPPORTED,
            "a .gqa of version \"1.5\"; this tool reads version 1, so a newer "
            "one is needed");
}
END_TEST

START_TEST(refuses_other_zstandard_files)
{
    const char whole[] = "\x02\0\0\0\0\0\0\0{}data";

    gqa_file_add_frame(&file, "hello, world", 12);
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but its content is no safetensors stream; "
            "decompress it first (zstd -d)");
    gqa_file_free(&file);
    gqa_file_add_frame(&file, "hi", 2);
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but its content is no safetensors stream; "
            "decompress it first (zstd -d)");
    gqa_file_free(&file);
    gqa_file_add_frame(&file, whole, sizeof whole - 1);
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but not a .gqa: its first frame is not the "
            "header alone; decompress it first: zstd -dc x > "
            "model.safetensors");
    gqa_file_free(&file);
    gqa_file_add_header(&file, "{}");
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but not a .gqa: __metadata__ has no "
            "gqa.version; decompress it first: zstd -dc x > "
            "model.safetensors");
    gqa_file_free(&file);
    gqa_file_add_skippable(&file, 0x184d2a50, "", 0, false);
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but not a .gqa: it begins with a skippable "
            "frame; decompress it first: zstd -dc x > model.safetensors");
}
END_TEST

/* Two of the sample, one after the other. */
START_TEST(refuses_a_file_twice)
{
    unsigned char *twice;
    struct gqa_source *source;

    build_sample();
    twice = malloc(2 * file.n);
    ck_assert_ptr_nonnull(twice);
    memcpy(twice, file.bytes, file.n);
    memcpy(twice + file.n, file.bytes, file.n);
    ck_assert_int_eq(open_bytes(&source, twice, 2 * file.n, false),
                     GQA_ERR_FORMAT);
    free(twice);
}
END_TEST

/* Cut anywhere, it is refused; salvaged only if the table alone is hurt. */
START_TEST(refuses_every_cut)
{
    size_t before_table;

    build_sample();
    before_table = (size_t)(table() - file.bytes);
    for (size_t n = 1; n < file.n; n++) {
        struct gqa_source *source = NULL;

        ck_assert_int_ne(open_bytes(&source, file.bytes, n, false), GQA_OK);
        if (n < before_table) {
            ck_assert_int_ne(open_bytes(&source, file.bytes, n, true), GQA_OK);
        } else {
            ck_assert_int_eq(open_bytes(&source, file.bytes, n, true), GQA_OK);
            check_content(source);
            gqa_source_close(source);
        }
    }
}
END_TEST

/*
 * A flipped bit is found, or changes nothing: one in the padding of a
 * compressed block, or the two lowest of the table's descriptor.
 */
START_TEST(survives_every_flip)
{
    const bool salvage = _i;

    build_sample();
    for (size_t i = 0; i < file.n; i++)
        for (unsigned bit = (unsigned)i % 3; bit < 8; bit += 3) {
            const unsigned char *at = file.bytes + i;
            struct gqa_source *source = NULL;
            unsigned char buf[3000];
            enum gqa_status st;

            file.bytes[i] ^= (unsigned char)(1u << bit);
            st = open_bytes(&source, file.bytes, file.n, salvage);
            if (salvage && at >= table())
                ck_assert_int_eq(st, GQA_OK);
            for (size_t t = 0; st == GQA_OK && t < source->n_tensors; t++)
                st = read_all(source, t, buf);
            if (st == GQA_OK) {
                check_content(source);
                ck_assert(salvage || at < frame(5) ||
                          (at == footer() + 4 && bit < 2));
            }
            gqa_source_close(source);
            file.bytes[i] ^= (unsigned char)(1u << bit);
        }
}
END_TEST

/* A few bytes that claim a header of 100 MB cost no more than a few. */
START_TEST(refuses_a_bomb)
{
    const size_t n = 50000000;
    char *content = malloc(n);

    ck_assert_ptr_nonnull(content);
    memset(content, ' ', n);
    memcpy(content, "\xff\xe0\xf5\x05\0\0\0\0{", 9);
    gqa_file_add_frame(&file, content, n);
    free(content);
    ck_assert_uint_lt(file.n, 10000);
    refused(GQA_ERR_UNSUPPORTED,
            "a Zstandard file, but not a .gqa: its first frame is not the "
            "header alone; decompress it first: zstd -dc x > "
            "model.safetensors");
}
END_TEST

static void add_all(TCase *tcase, const TTest *const *tests, size_t n)
{
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
}

int main(void)
{
    Suite *suite = suite_create("gqa_reader");
    TCase *good = tcase_create("good"), *table_case = tcase_create("table");
    TCase *frames = tcase_create("frames"),
          *manifest = tcase_create("manifest");
    TCase *other = tcase_create("other");
    const TTest *const good_tests[] = {
        reads_the_sample, reads_a_table_without_checksums,
        reads_a_file_without_tensors, reads_a_rectangle,
        reads_from_many_threads};
    const TTest *const table_tests[] = {salvages_a_missing_table,
                                        salvages_a_cut_table,
                                        refuses_a_reserved_bit,
                                        refuses_a_count_past_the_file,
                                        refuses_a_wrong_count,
                                        refuses_a_wrong_table_size,
                                        refuses_a_wrong_header_entry,
                                        refuses_a_frame_too_large,
                                        refuses_an_empty_entry,
                                        refuses_sums_that_do_not_fit,
                                        refuses_a_manifest_with_content,
                                        refuses_a_manifest_out_of_place,
                                        finds_a_table_that_lies_when_it_reads,
                                        finds_a_wrong_checksum_in_the_table};
    const TTest *const frame_tests[] = {finds_damaged_content,
                                        finds_a_wrong_checksum_of_a_frame,
                                        refuses_frames_without_checksum,
                                        refuses_frames_without_size,
                                        refuses_wide_windows,
                                        refuses_dictionaries,
                                        refuses_tensors_that_share_a_frame};
    const TTest *const manifest_tests[] = {
        refuses_a_damaged_manifest,     refuses_a_manifest_that_is_not_json,
        refuses_a_newer_manifest,       refuses_a_manifest_without_version,
        refuses_another_size,           refuses_another_header,
        refuses_other_tensors,          refuses_another_name,
        refuses_another_digest,         refuses_what_is_no_digest,
        refuses_a_file_without_manifest};
    const TTest *const other_tests[] = {refuses_a_newer_version,
                                        asks_the_version_first,
                                        refuses_other_zstandard_files,
                                        refuses_a_file_twice,
                                        refuses_every_cut,
                                        refuses_a_bomb};

#define ADD(tcase, tests) add_all(tcase, tests, sizeof tests / sizeof *tests)
    ADD(good, good_tests);
    ADD(table_case, table_tests);
    ADD(frames, frame_tests);
    ADD(manifest, manifest_tests);
    ADD(other, other_tests);
    tcase_add_loop_test(other, survives_every_flip, 0, 2);
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, table_case);
    suite_add_tcase(suite, frames);
    suite_add_tcase(suite, manifest);
    suite_add_tcase(suite, other);
    /* Salvaging warns, thousands of times in these tests. */
    gqa_log_init("test", GQA_LOG_ERROR);
    return suite_run(suite);
}
