#include <check.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/formats.h"
#include "formats/safetensors/reader.h"
#include "formats/source.h"
#include "scratch.h"
#include "suite.h"

static enum gqa_status open_source(struct gqa_source **out, const char *path)
{
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    return gqa_safetensors_open(out, &(const struct gqa_file_handle){
                                         .path = path, .fd = fd, .size = size});
}

static struct gqa_source *open_good(const char *header, const void *data,
                                    size_t n)
{
    struct gqa_source *source = NULL;

    ck_assert_msg(open_source(&source, scratch_write_safetensors(
                                           "x", header, data, n)) == GQA_OK,
                  "%s", gqa_error_message());
    return source;
}

/* The file of this header and n zeros is refused with this message. */
static void refused(const char *header, size_t n, enum gqa_status status,
                    const char *message)
{
    static const char zeros[64];
    struct gqa_source *source;
    const char *path = scratch_write_safetensors("x", header, zeros, n);

    ck_assert_int_eq(open_source(&source, path), status);
    ck_assert_str_eq(gqa_error_message(), message);
}

static void refused_bytes(const void *bytes, size_t n, const char *message)
{
    struct gqa_source *source;

    ck_assert_int_eq(open_source(&source, scratch_write("x", bytes, n)),
                     GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), message);
}

#define A_U8_4(offsets) \
    "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets "}"
#define B_U8_4(offsets) \
    "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets "}"

/* Listed b, a; lie a, b: tensors come in the order of the data. */
START_TEST(lists_tensors_in_data_order)
{
    struct gqa_source *source =
        open_good("{" B_U8_4("[4,8]") "," A_U8_4("[0,4]") "}  ", "abcdefgh", 8);
    const struct gqa_span all = {0, 4, 4, 1};
    char buf[4];

    ck_assert_uint_eq(source->n_tensors, 2);
    ck_assert_str_eq(source->tensors[0].name, "a");
    ck_assert_str_eq(source->tensors[1].name, "b");
    ck_assert_int_eq(source->naming, GQA_NAMES_TORCH);
    ck_assert_ptr_eq(source->format, &gqa_format_safetensors);
    ck_assert_int_eq(source->ops->read(source, 1, &all, buf), GQA_OK);
    ck_assert_mem_eq(buf, "efgh", 4);
    gqa_source_close(source);
}
END_TEST

START_TEST(describes_a_tensor)
{
    struct gqa_source *source =
        open_good("{\"w\":{\"dtype\":\"BF16\",\"shape\":[2,3],"
                  "\"data_offsets\":[0,12]}}",
                  "............", 12);
    const struct gqa_tensor *w = &source->tensors[0];

    ck_assert_int_eq(w->dtype, GQA_BF16);
    ck_assert_uint_eq(w->rank, 2);
    ck_assert_uint_eq(w->shape[0], 2);
    ck_assert_uint_eq(w->shape[1], 3);
    ck_assert_uint_eq(w->n_elements, 6);
    ck_assert_uint_eq(w->n_bytes, 12);
    gqa_source_close(source);
}
END_TEST

/* MLX's files have PyTorch's names and orientation. */
START_TEST(takes_mlx_for_torch)
{
    struct gqa_source *source =
        open_good("{\"__metadata__\":{\"format\":\"mlx\"}," A_U8_4("[0,4]") "}",
                  "abcd", 4);

    ck_assert_int_eq(source->naming, GQA_NAMES_TORCH);
    gqa_source_close(source);
}
END_TEST

/* An empty tensor shares its offset with the next; a scalar has rank 0. */
START_TEST(takes_empty_tensors_and_scalars)
{
    struct gqa_source *source =
        open_good("{\"s\":{\"dtype\":\"F32\",\"shape\":[],"
                  "\"data_offsets\":[0,4]},"
                  "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],"
                  "\"data_offsets\":[0,0]}}",
                  "1234", 4);

    ck_assert_str_eq(source->tensors[0].name, "e");
    ck_assert_uint_eq(source->tensors[0].n_bytes, 0);
    ck_assert_uint_eq(source->tensors[1].n_elements, 1);
    gqa_source_close(source);
}
END_TEST

START_TEST(takes_a_file_without_tensors)
{
    struct gqa_source *source = open_good("{}", NULL, 0);

    ck_assert_uint_eq(source->n_tensors, 0);
    gqa_source_close(source);
}
END_TEST

START_TEST(reads_metadata_and_naming)
{
    struct gqa_source *source =
        open_good("{\"__metadata__\":{\"format\":\"tf\","
                  "\"gqa.config\":\"{\\\"num_heads\\\":4}\"}}",
                  NULL, 0);

    ck_assert_int_eq(source->naming, GQA_NAMES_TF);
    ck_assert_str_eq(
        json_string_value(json_object_get(source->metadata, "format")), "tf");
    ck_assert_int_eq(
        json_integer_value(json_object_get(source->config, "num_heads")), 4);
    gqa_source_close(source);
}
END_TEST

/* 40 rows of 10 bytes; columns 3 to 6 of rows 1 to 38. */
START_TEST(reads_a_rectangle)
{
    unsigned char data[400], part[38 * 4];
    const struct gqa_span columns = {13, 4, 10, 38};
    struct gqa_source *source;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    source = open_good("{\"w\":{\"dtype\":\"U8\",\"shape\":[40,10],"
                       "\"data_offsets\":[0,400]}}",
                       data, sizeof data);
    ck_assert_int_eq(source->ops->read(source, 0, &columns, part), GQA_OK);
    for (size_t r = 0; r < 38; r++)
        ck_assert_mem_eq(part + 4 * r, data + 13 + 10 * r, 4);
    gqa_source_close(source);
}
END_TEST

/* 3 MB of rows: gaps small, large and none, and pieces that overlap. */
START_TEST(reads_every_stride)
{
    enum { N = 3000000 };
    static const struct gqa_span spans[] = {
        {1, 1000, 3000, 999}, {7, 5000, 300000, 9},
        {0, 10, 10, 300000},  {5, 100000, 101000, 20},
        {2, 8, 4, 1000},      {0, N, 0, 1},
        {9, 0, 50, 3},        {9, 50, 50, 0},
        {3, 1, 4097, 700},    {0, 65536, 65536 + 4096, 40}};
    unsigned char *data = malloc(N), *part = malloc(N + 1);
    struct gqa_source *source;

    ck_assert(data && part);
    for (size_t i = 0; i < N; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    source = open_good("{\"w\":{\"dtype\":\"U8\",\"shape\":[3000000],"
                       "\"data_offsets\":[0,3000000]}}",
                       data, N);
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++) {
        const struct gqa_span *span = &spans[s];

        part[span->piece * span->count] = 0x5a;
        ck_assert_int_eq(source->ops->read(source, 0, span, part), GQA_OK);
        for (size_t i = 0; i < span->count; i++)
            ck_assert_mem_eq(part + i * span->piece,
                             data + span->offset + i * span->stride,
                             span->piece);
        ck_assert_uint_eq(part[span->piece * span->count], 0x5a);
    }
    gqa_source_close(source);
    free(data);
    free(part);
}
END_TEST

/* 100 GB that nobody wrote: only the header is read. */
START_TEST(opens_a_sparse_giant)
{
    struct gqa_source *source;
    const char *path = scratch_write_safetensors(
        "x",
        "{\"w\":{\"dtype\":\"U8\",\"shape\":[100000000000],"
        "\"data_offsets\":[0,100000000000]}}",
        NULL, 0);
    const off_t header = 8 + 75;
    const struct gqa_span last = {99999999999u, 1, 0, 1};
    char byte = 1;

    if (truncate(path, header + 100000000000) != 0)
        return; /* a file system without files that large */
    ck_assert_msg(open_source(&source, path) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_int_eq(source->ops->read(source, 0, &last, &byte), GQA_OK);
    ck_assert_int_eq(byte, 0);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_bad_lengths)
{
    refused_bytes("\x02\0\0\0", 4,
                  "4 bytes: too short for the length of a safetensors header");
    refused_bytes("\x03\0\0\0\0\0\0\0{}", 10,
                  "the header claims 3 bytes, but only 2 follow its length; "
                  "the file is cut off");
    refused_bytes("\x01\xe1\xf5\x05\0\0\0\0{}", 10,
                  "the header claims 100000001 bytes, more than the 100000000 "
                  "that safetensors allows");
    refused_bytes("\0\0\0\0\0\0\0\0", 8,
                  "header: does not begin with '{' after its length");
    refused_bytes("\x03\0\0\0\0\0\0\0 {}", 11,
                  "header: does not begin with '{' after its length");
}
END_TEST

START_TEST(refuses_ranges_that_do_not_tile)
{
    refused("{" A_U8_4("[0,4]") "," B_U8_4("[3,7]") "}", 7, GQA_ERR_FORMAT,
            "tensors a and b overlap: the second begins at byte 3 of the "
            "data, the first ends at 4");
    refused("{" A_U8_4("[0,4]") "," B_U8_4("[6,10]") "}", 10, GQA_ERR_FORMAT,
            "tensor b begins at byte 6 of the data, but bytes 4 to 5 belong "
            "to no tensor");
    refused("{" A_U8_4("[4,8]") "}", 8, GQA_ERR_FORMAT,
            "tensor a begins at byte 4 of the data, but bytes 0 to 3 belong "
            "to no tensor");
    refused("{" A_U8_4("[0,4]") "}", 9, GQA_ERR_FORMAT,
            "5 bytes after the last tensor belong to no tensor");
    refused("{" A_U8_4("[0,4]") "}", 1, GQA_ERR_FORMAT,
            "tensor a ends at byte 4 of the data, but the file holds only 1; "
            "the file is cut off (3 bytes missing)");
    refused("{" A_U8_4("[4,0]") "}", 4, GQA_ERR_FORMAT,
            "tensor a: data_offsets [4, 0] end before they begin");
    refused("{" A_U8_4("[0,5]") "}", 5, GQA_ERR_FORMAT,
            "tensor a: data_offsets [0, 5] hold 5 bytes, but shape and dtype "
            "U8 need 4");
    refused("{" A_U8_4("[0]") "}", 4, GQA_ERR_FORMAT,
            "tensor a: data_offsets is not a pair of non-negative integers");
    refused("{" A_U8_4("[-4,0]") "}", 4, GQA_ERR_FORMAT,
            "tensor a: data_offsets is not a pair of non-negative integers");
}
END_TEST

#define A(dtype, shape, offsets)                       \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}}"

START_TEST(refuses_shapes_that_lie)
{
    refused(A("U8", "[4294967296,4294967296]", "[0,0]"), 0, GQA_ERR_FORMAT,
            "tensor a: the product of the shape overflows 64 bits at "
            "dimension 1 (4294967296)");
    refused(A("F64", "[9223372036854775807]", "[0,0]"), 0, GQA_ERR_FORMAT,
            "tensor a: the size of 9223372036854775807 elements of F64 "
            "overflows 64 bits");
    refused(A("F4", "[3]", "[0,2]"), 2, GQA_ERR_FORMAT,
            "tensor a: 3 elements of 4 bits (F4) do not fill whole bytes");
    refused(A("U8", "[-1]", "[0,0]"), 0, GQA_ERR_FORMAT,
            "tensor a: dimension 0 of the shape is not a non-negative "
            "integer");
    refused(A("U8", "4", "[0,4]"), 4, GQA_ERR_FORMAT,
            "tensor a: no shape in the header");
    refused(A("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, GQA_ERR_UNSUPPORTED,
            "tensor a: 9 dimensions; at most 8 are supported");
    refused(A("F12", "[4]", "[0,6]"), 6, GQA_ERR_UNSUPPORTED,
            "tensor a: unknown dtype \"F12\"");
    refused("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, GQA_ERR_FORMAT,
            "tensor a: no dtype in the header");
    refused("{\"a\":3}", 0, GQA_ERR_FORMAT,
            "tensor a: its header entry is not an object");
}
END_TEST

START_TEST(refuses_bad_names)
{
    char *header = malloc(4096);

    ck_assert_ptr_nonnull(header);
    memset(header, 'n', 4096);
    memcpy(header, "{\"", 2);
    strcpy(header + 2 + 1025, "\":3}");
    refused(header, 0, GQA_ERR_UNSUPPORTED,
            "header: a tensor name of 1025 bytes (\"nnnnnnnnnnnnnnnnnnnnnnnnn"
            "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\"); at most 1024 are "
            "allowed");
    free(header);
    refused("{\"a\\u001b[2J\":3}", 0, GQA_ERR_UNSUPPORTED,
            "header: the tensor name \"a?[2J\" holds a control character "
            "(byte 1)");
    refused("{\"a\\u009b\":3}", 0, GQA_ERR_UNSUPPORTED,
            "header: the tensor name \"a??\" holds a control character "
            "(byte 1)");
}
END_TEST

/* What torch's loaders take for none. */
START_TEST(metadata_may_be_null)
{
    struct gqa_source *source = open_good("{\"__metadata__\":null}", "", 0);

    ck_assert_ptr_null(source->metadata);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_bad_metadata)
{
    refused("{\"__metadata__\":[]}", 0, GQA_ERR_FORMAT,
            "header: __metadata__ is not an object");
    refused("{\"__metadata__\":{\"step\":3}}", 0, GQA_ERR_FORMAT,
            "header: __metadata__ entry \"step\" is not a string");
    refused("{\"__metadata__\":{\"gqa.config\":\"[]\"}}", 0, GQA_ERR_FORMAT,
            "gqa.config in __metadata__: not a JSON object");
    refused("{\"__metadata__\":{\"gqa.version\":\"2\"}}", 0,
            GQA_ERR_UNSUPPORTED,
            "gqa.version in __metadata__ is \"2\"; this tool reads version 1, "
            "so a newer one is needed");
}
END_TEST

/* jansson words these; that they fail is what counts. */
START_TEST(refuses_bad_json)
{
    static const char *const headers[] = {
        "{\"a\":",      "{" A_U8_4("[0,4]") "," A_U8_4("[4,8]") "}",
        "{\"\xff\":3}", "{\"a\\u0000b\":3}",
        "{}x",          "{\"a\":{\"shape\":[18446744073709551616]}}",
    };

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct gqa_source *source;
        const char *path =
            scratch_write_safetensors("x", headers[i], "12345678", 8);

        ck_assert_int_eq(open_source(&source, path), GQA_ERR_FORMAT);
        ck_assert_ptr_nonnull(
            strstr(gqa_error_message(), "header: not valid JSON: "));
    }
}
END_TEST

START_TEST(says_when_the_file_shrinks)
{
    struct gqa_source *source = open_good("{" A_U8_4("[0,4]") "}", "abcd", 4);
    const struct gqa_span all = {0, 4, 4, 1};
    char buf[4];

    ck_assert_int_eq(truncate(source->path, 20), 0);
    ck_assert_int_eq(source->ops->read(source, 0, &all, buf), GQA_ERR_IO);
    ck_assert_str_eq(gqa_error_message(),
                     "tensor a: the file shrank while it was read (it ends "
                     "before byte 65)");
    gqa_source_close(source);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *good = tcase_create("good"), *bad = tcase_create("bad");

    tcase_add_checked_fixture(good, scratch_create, scratch_remove);
    tcase_add_test(good, lists_tensors_in_data_order);
    tcase_add_test(good, describes_a_tensor);
    tcase_add_test(good, takes_mlx_for_torch);
    tcase_add_test(good, takes_empty_tensors_and_scalars);
    tcase_add_test(good, takes_a_file_without_tensors);
    tcase_add_test(good, reads_metadata_and_naming);
    tcase_add_test(good, reads_a_rectangle);
    tcase_add_test(good, reads_every_stride);
    tcase_add_test(good, opens_a_sparse_giant);
    suite_add_tcase(suite, good);
    tcase_add_checked_fixture(bad, scratch_create, scratch_remove);
    tcase_add_test(bad, refuses_bad_lengths);
    tcase_add_test(bad, refuses_ranges_that_do_not_tile);
    tcase_add_test(bad, refuses_shapes_that_lie);
    tcase_add_test(bad, refuses_bad_names);
    tcase_add_test(bad, metadata_may_be_null);
    tcase_add_test(bad, refuses_bad_metadata);
    tcase_add_test(bad, refuses_bad_json);
    tcase_add_test(bad, says_when_the_file_shrinks);
    suite_add_tcase(suite, bad);
    return suite_run(suite);
}
