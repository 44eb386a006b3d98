/* Values of HDF5 datasets, in every way that they are stored. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "formats/source.h"
#include "h5_make.h"
#include "scratch.h"
#include "suite.h"

enum { ROWS = 10, COLUMNS = 9, N = ROWS * COLUMNS };

static const hsize_t shape[2] = {ROWS, COLUMNS};
static const hsize_t chunk[2] = {4, 4}; /* both dimensions have a remainder */

/* 0, 1, 2, ... of any type of 1 to 8 bytes. */
static void count_up(void *to, hid_t type)
{
    int64_t values[N];

    for (int i = 0; i < N; i++)
        values[i] = i;
    memcpy(to, values, sizeof values);
    ck_assert_int_ge(
        H5Tconvert(H5T_NATIVE_INT64, type, N, to, NULL, H5P_DEFAULT), 0);
}

static void read_span(struct gqa_source *source, size_t index,
                      struct gqa_span span, void *buf)
{
    ck_assert_msg(source->ops->read(source, index, &span, buf) == GQA_OK, "%s",
                  gqa_error_message());
}

/* Whole, and in pieces that begin and end within elements and rows. */
static void check_content(struct gqa_source *source, const char *name,
                          const unsigned char *want)
{
    const size_t index = h5_find(source, name);
    const uint64_t n = source->tensors[index].n_bytes;
    unsigned char got[8 * N];

    ck_assert_uint_le(n, sizeof got);
    read_span(source, index, (struct gqa_span){0, n, 0, 1}, got);
    ck_assert_msg(memcmp(got, want, n) == 0, "%s", name);
    for (uint64_t piece = 1; piece < 50 && piece < n; piece += 6)
        for (uint64_t stride = piece; stride < 60; stride += 7) {
            const uint64_t offset = (piece + stride) % 11;
            const uint64_t count =
                n < offset + piece ? 0 : (n - offset - piece) / stride + 1;

            read_span(source, index,
                      (struct gqa_span){offset, piece, stride, count}, got);
            for (uint64_t i = 0; i < count; i++)
                ck_assert_mem_eq(got + i * piece, want + offset + i * stride,
                                 piece);
        }
}

static void check_stored(hid_t file, hid_t file_type, hid_t le_type,
                         hid_t plist, const char *path)
{
    unsigned char values[8 * N], want[8 * N];
    struct gqa_source *source;

    count_up(values, file_type);
    count_up(want, le_type);
    h5_write(file, "w.weight", file_type, 2, shape, plist, values);
    H5Fclose(file);
    source = h5_open_good(path);
    check_content(source, "w.weight", want);
    gqa_source_close(source);
}

/* Each filter pipeline, by bits: 1 shuffle, 2 deflate, 4 checksum. */
START_TEST(undoes_filters)
{
    const hid_t types[] = {H5T_IEEE_F32LE, H5T_STD_I16LE, H5T_STD_U8LE,
                           H5T_IEEE_F64LE};

    for (unsigned t = 0; t < 4; t++) {
        const hid_t plist = h5_chunks(2, chunk);

        if (_i & 1)
            H5Pset_shuffle(plist);
        if (_i & 2)
            H5Pset_deflate(plist, 6);
        if (_i & 4)
            H5Pset_fletcher32(plist);
        check_stored(h5_create("f", 0, 0), types[t], types[t], plist,
                     scratch_path("f"));
    }
}
END_TEST

/* The offsets that the library gives are from the end of the user block. */
START_TEST(finds_data_behind_a_user_block)
{
    const hid_t chunked = h5_chunks(2, chunk);

    check_stored(h5_create("a", 1024, 0), H5T_IEEE_F32LE, H5T_IEEE_F32LE,
                 H5P_DEFAULT, scratch_path("a"));
    H5Pset_deflate(chunked, 1);
    check_stored(h5_create("b", 512, 0), H5T_IEEE_F32LE, H5T_IEEE_F32LE,
                 chunked, scratch_path("b"));
}
END_TEST

START_TEST(turns_big_endian_around)
{
    const hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t chunked = h5_chunks(2, chunk);
    const hid_t big[] = {H5T_STD_I16BE, H5T_IEEE_F32BE, H5T_IEEE_F64BE};
    const hid_t little[] = {H5T_STD_I16LE, H5T_IEEE_F32LE, H5T_IEEE_F64LE};

    H5Pset_layout(compact, H5D_COMPACT);
    H5Pset_shuffle(chunked);
    H5Pset_deflate(chunked, 1);
    for (unsigned t = 0; t < 3; t++) {
        check_stored(h5_create("a", 0, 0), big[t], little[t], H5P_DEFAULT,
                     scratch_path("a"));
        check_stored(h5_create("b", 0, 0), big[t], little[t], H5Pcopy(compact),
                     scratch_path("b"));
        check_stored(h5_create("c", 0, 0), big[t], little[t], H5Pcopy(chunked),
                     scratch_path("c"));
    }
    H5Pclose(compact);
    H5Pclose(chunked);
}
END_TEST

/* Every kind of chunk index that the newer formats have. */
START_TEST(reads_newer_chunk_indexes)
{
    const hsize_t whole[2] = {ROWS, COLUMNS};
    const hsize_t grows[2][2] = {{H5S_UNLIMITED, COLUMNS},
                                 {H5S_UNLIMITED, H5S_UNLIMITED}};
    const hid_t file = h5_create("f", 512, 1);
    struct gqa_source *source;
    unsigned char values[8 * N];
    hid_t plist;

    count_up(values, H5T_IEEE_F32LE);
    plist = h5_chunks(2, whole);
    H5Pset_deflate(plist, 1);
    h5_write(file, "single", H5T_IEEE_F32LE, 2, shape, plist, values);
    plist = h5_chunks(2, chunk);
    H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY);
    h5_write(file, "implicit", H5T_IEEE_F32LE, 2, shape, plist, values);
    h5_write(file, "fixed", H5T_IEEE_F32LE, 2, shape, h5_chunks(2, chunk),
             values);
    for (int i = 0; i < 2; i++) {
        const hid_t space = H5Screate_simple(2, shape, grows[i]);
        hid_t dataset;

        plist = h5_chunks(2, chunk);
        H5Pset_deflate(plist, 1);
        dataset =
            H5Dcreate2(file, i == 0 ? "extensible" : "tree", H5T_IEEE_F32LE,
                       space, H5P_DEFAULT, plist, H5P_DEFAULT);
        ck_assert_int_ge(H5Dwrite(dataset, H5T_IEEE_F32LE, H5S_ALL, H5S_ALL,
                                  H5P_DEFAULT, values),
                         0);
        H5Dclose(dataset);
        H5Pclose(plist);
        H5Sclose(space);
    }
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    check_content(source, "single", values);
    check_content(source, "implicit", values);
    check_content(source, "fixed", values);
    check_content(source, "extensible", values);
    check_content(source, "tree", values);
    gqa_source_close(source);
}
END_TEST

/* A file may leave the filters off chunks that stick out. */
START_TEST(reads_raw_edges)
{
    const hid_t plist = h5_chunks(2, chunk);

    H5Pset_deflate(plist, 9);
    H5Pset_chunk_opts(plist, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
    check_stored(h5_create("f", 0, 1), H5T_IEEE_F32LE, H5T_IEEE_F32LE, plist,
                 scratch_path("f"));
}
END_TEST

/*
 * Chunks written as they are: one zstd frame, one with the filter skipped,
 * and the third never.
 */
START_TEST(reads_zstd_and_skipped_filters_and_fill)
{
    const hsize_t length = 12, part = 4, first = 0, second = 4;
    const float values[12] = {1, 2, 3, 4, 5, 6, 7, 8, 2.5, 2.5, 2.5, 2.5};
    const float fill = 2.5;
    const hid_t file = h5_create("f", 0, 0);
    const hid_t plist = h5_chunks(1, &part);
    struct gqa_source *source;
    char frame[256];
    size_t n;
    hid_t dataset;

    H5Pset_fill_value(plist, H5T_IEEE_F32LE, &fill);
    H5Pset_filter(plist, 32015, H5Z_FLAG_OPTIONAL, 0, NULL);
    h5_write(file, "w", H5T_IEEE_F32LE, 1, &length, plist, NULL);
    dataset = H5Dopen2(file, "w", H5P_DEFAULT);
    n = ZSTD_compress(frame, sizeof frame, values, 16, 3);
    ck_assert_int_ge(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &first, n, frame),
                     0);
    ck_assert_int_ge(
        H5Dwrite_chunk(dataset, H5P_DEFAULT, 1, &second, 16, values + 4), 0);
    H5Dclose(dataset);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    check_content(source, "w", (const unsigned char *)values);
    gqa_source_close(source);
}
END_TEST

/* Never written: the fill value, whatever the layout and byte order. */
START_TEST(fills_what_was_never_written)
{
    const uint16_t fill = 0x1234;
    const hid_t file = h5_create("f", 512, 0);
    hid_t contiguous = H5Pcreate(H5P_DATASET_CREATE);
    hid_t chunked = h5_chunks(2, chunk);
    struct gqa_source *source;
    unsigned char want[2 * N], zeros[2 * N] = {0};

    for (int i = 0; i < N; i++)
        memcpy(want + 2 * i, &fill, 2);
    H5Pset_fill_value(contiguous, H5T_NATIVE_UINT16, &fill);
    H5Pset_fill_value(chunked, H5T_NATIVE_UINT16, &fill);
    h5_write(file, "contiguous", H5T_STD_U16BE, 2, shape, contiguous, NULL);
    h5_write(file, "chunked", H5T_STD_U16BE, 2, shape, H5Pcopy(chunked), NULL);
    H5Pset_deflate(chunked, 1);
    h5_write(file, "deflated", H5T_STD_U16LE, 2, shape, chunked, NULL);
    h5_write(file, "zeros", H5T_STD_U16LE, 2, shape, H5P_DEFAULT, NULL);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    check_content(source, "contiguous", want);
    check_content(source, "chunked", want);
    check_content(source, "deflated", want);
    check_content(source, "zeros", zeros);
    gqa_source_close(source);
}
END_TEST

START_TEST(reads_compact_scalar_and_empty)
{
    const hsize_t none[2] = {0, 5};
    const float one = 1.5;
    const hid_t file = h5_create("f", 0, 0);
    const hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
    unsigned char values[8 * N];
    struct gqa_source *source;
    size_t index;

    count_up(values, H5T_IEEE_F32LE);
    H5Pset_layout(compact, H5D_COMPACT);
    h5_write(file, "compact", H5T_IEEE_F32LE, 2, shape, compact, values);
    h5_write(file, "scalar", H5T_IEEE_F32LE, 0, NULL, H5P_DEFAULT, &one);
    h5_write(file, "empty", H5T_IEEE_F32LE, 2, none, H5P_DEFAULT, NULL);
    h5_write(file, "nothing", H5T_IEEE_F32LE, 2, none, h5_chunks(2, chunk),
             NULL);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    check_content(source, "compact", values);
    check_content(source, "scalar", (const unsigned char *)&one);
    check_content(source, "empty", values);
    check_content(source, "nothing", values);
    index = h5_find(source, "scalar");
    ck_assert_uint_eq(source->tensors[index].rank, 0);
    ck_assert_uint_eq(source->tensors[index].n_elements, 1);
    index = h5_find(source, "empty");
    ck_assert_uint_eq(source->tensors[index].shape[1], 5);
    ck_assert_uint_eq(source->tensors[index].n_bytes, 0);
    gqa_source_close(source);
}
END_TEST

static hid_t float_type(size_t exponent, size_t mantissa, size_t bias)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);

    H5Tset_fields(type, exponent + mantissa, mantissa, exponent, 0, mantissa);
    H5Tset_precision(type, 16);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, bias);
    return type;
}

static hid_t truth_type(void)
{
    const hid_t type = H5Tenum_create(H5T_STD_I8LE);
    const char no = 0, yes = 1;

    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

START_TEST(tells_types_apart)
{
    static const char data[16];
    const hsize_t n = 2;
    const struct {
        const char *name;
        hid_t type;
        enum gqa_dtype dtype;
    } cases[] = {
        {"f16", float_type(5, 10, 15), GQA_F16},
        {"bf16", float_type(8, 7, 127), GQA_BF16},
        {"f32", H5T_IEEE_F32LE, GQA_F32},
        {"f64", H5T_IEEE_F64BE, GQA_F64},
        {"i8", H5T_STD_I8BE, GQA_I8},
        {"u8", H5T_STD_U8LE, GQA_U8},
        {"i16", H5T_STD_I16LE, GQA_I16},
        {"u16", H5T_STD_U16LE, GQA_U16},
        {"i32", H5T_STD_I32LE, GQA_I32},
        {"u32", H5T_STD_U32LE, GQA_U32},
        {"i64", H5T_STD_I64LE, GQA_I64},
        {"u64", H5T_STD_U64LE, GQA_U64},
        {"bool", truth_type(), GQA_BOOL},
        {"tagged16", H5T_STD_U16LE, GQA_BF16},
        {"named16", H5T_STD_I16LE, GQA_BF16},
        {"opaque", H5Tcreate(H5T_OPAQUE, 2), GQA_BF16},
    };
    const hid_t file = h5_create("f", 0, 0);
    const hid_t space = H5Screate(H5S_SCALAR);
    struct gqa_source *source;
    hid_t dataset, attribute;
    const int yes = 1;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        h5_write(file, cases[i].name, cases[i].type, 1, &n, H5P_DEFAULT, data);
    h5_set_text(file, "named16", "dtype", "bfloat16");
    h5_set_text(file, "opaque", "dtype", "bfloat16");
    dataset = H5Dopen2(file, "tagged16", H5P_DEFAULT);
    attribute = H5Acreate2(dataset, "is_bfloat16", H5T_STD_I32LE, space,
                           H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT, &yes);
    H5Aclose(attribute);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(source->tensors[h5_find(source, cases[i].name)].dtype ==
                          cases[i].dtype,
                      "%s", cases[i].name);
    gqa_source_close(source);
}
END_TEST

/* Chunks above a megabyte, without filters, are read in part. */
START_TEST(reads_parts_of_large_plain_chunks)
{
    const hsize_t large[2] = {1500, 300}, block[2] = {1000, 300};
    const size_t n = 1500 * 300;
    float *values = malloc(n * sizeof *values);
    float *got = malloc(n * sizeof *got);
    const hid_t file = h5_create("f", 0, 0);
    struct gqa_source *source;

    for (size_t i = 0; i < n; i++)
        values[i] = (float)i;
    h5_write(file, "w", H5T_IEEE_F32LE, 2, large, h5_chunks(2, block), values);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    read_span(source, 0, (struct gqa_span){0, n * 4, 0, 1}, got);
    ck_assert_mem_eq(got, values, n * 4);
    /* The tenth column */
    read_span(source, 0, (struct gqa_span){40, 4, 1200, 1500}, got);
    for (size_t i = 0; i < 1500; i++)
        ck_assert_float_eq(got[i], values[i * 300 + 10]);
    gqa_source_close(source);
    free(values);
    free(got);
}
END_TEST

enum { WIDE = 700, TALL = 600, N_THREADS = 4, N_READS = 150 };

struct reader {
    struct gqa_source *source;
    const float *values;
    unsigned seed;
    bool wrong;
};

static void *read_at_random(void *arg)
{
    struct reader *r = arg;
    float *got = malloc((size_t)WIDE * TALL * sizeof *got);

    for (int i = 0; i < N_READS && !r->wrong; i++) {
        const uint64_t row = (uint64_t)rand_r(&r->seed) % TALL;
        const uint64_t column = (uint64_t)rand_r(&r->seed) % WIDE;
        const uint64_t width = 1 + (uint64_t)rand_r(&r->seed) % (WIDE - column);
        const uint64_t height = 1 + (uint64_t)rand_r(&r->seed) % (TALL - row);
        const struct gqa_span span = {(row * WIDE + column) * 4, width * 4,
                                      WIDE * 4, height};
        const size_t index = (size_t)rand_r(&r->seed) % 2;

        if (r->source->ops->read(r->source, index, &span, got) != GQA_OK)
            r->wrong = true;
        for (uint64_t k = 0; k < height; k++)
            if (memcmp(got + k * width, r->values + (row + k) * WIDE + column,
                       width * 4) != 0)
                r->wrong = true;
    }
    free(got);
    return NULL;
}

START_TEST(several_threads_read_at_once)
{
    const hsize_t full[2] = {TALL, WIDE}, parts[2] = {50, 64};
    float *values = malloc((size_t)WIDE * TALL * sizeof *values);
    struct reader readers[N_THREADS];
    pthread_t threads[N_THREADS];
    const hid_t file = h5_create("f", 0, 0);
    struct gqa_source *source;

    for (int i = 0; i < WIDE * TALL; i++)
        values[i] = (float)(i % 1000);
    for (int i = 0; i < 2; i++) {
        const hid_t plist = h5_chunks(2, parts);

        H5Pset_deflate(plist, 1);
        h5_write(file, i == 0 ? "a" : "b", H5T_IEEE_F32LE, 2, full, plist,
                 values);
    }
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    for (unsigned i = 0; i < N_THREADS; i++) {
        readers[i] = (struct reader){source, values, i, false};
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, read_at_random, &readers[i]), 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!readers[i].wrong);
    }
    gqa_source_close(source);
    free(values);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hdf5_read");
    TCase *tc = tcase_create("values");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_loop_test(tc, undoes_filters, 0, 8);
    tcase_add_test(tc, finds_data_behind_a_user_block);
    tcase_add_test(tc, turns_big_endian_around);
    tcase_add_test(tc, reads_newer_chunk_indexes);
    tcase_add_test(tc, reads_raw_edges);
    tcase_add_test(tc, reads_zstd_and_skipped_filters_and_fill);
    tcase_add_test(tc, fills_what_was_never_written);
    tcase_add_test(tc, reads_compact_scalar_and_empty);
    tcase_add_test(tc, tells_types_apart);
    tcase_add_test(tc, reads_parts_of_large_plain_chunks);
    tcase_add_test(tc, several_threads_read_at_once);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
