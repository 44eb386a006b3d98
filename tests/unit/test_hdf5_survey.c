/* Which datasets of an HDF5 file are weights, their names, and refusals. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "formats/formats.h"
#include "formats/source.h"
#include "h5_make.h"
#include "scratch.h"
#include "suite.h"

/* Names in this order, and no others. */
static void check_names(const char *path, enum gqa_naming naming,
                        const char *const *names, size_t n)
{
    struct gqa_source *source = h5_open_good(path);

    ck_assert_int_eq(source->naming, naming);
    ck_assert_ptr_eq(source->format, &gqa_format_hdf5);
    for (size_t i = 0; i < source->n_tensors && i < n; i++)
        ck_assert_str_eq(source->tensors[i].name, names[i]);
    ck_assert_uint_eq(source->n_tensors, n);
    gqa_source_close(source);
}

#define CHECK_NAMES(file, naming, ...)              \
    check_names(scratch_path(file), naming,         \
                (const char *const[]){__VA_ARGS__}, \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* The file named "f" is refused, and the message says this. */
static void refused(enum gqa_status status, const char *message)
{
    struct gqa_source *source = NULL;

    ck_assert_int_eq(h5_open(&source, scratch_path("f")), status);
    ck_assert_msg(strstr(gqa_error_message(), message) != NULL, "%s",
                  gqa_error_message());
}

#define SET_NAMES(file, path, attribute, size, ...)              \
    h5_set_names_at(file, path, attribute,                       \
                    sizeof((const char *const[]){__VA_ARGS__}) / \
                        sizeof(char *),                          \
                    (const char *const[]){__VA_ARGS__}, size)

START_TEST(flat_files_are_in_natural_order)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "layers.10.weight", 2);
    h5_write_floats(file, "layers.9.weight", 2);
    h5_write_floats(file, "sub/layers.2.weight", 2);
    h5_write_floats(file, "layers.0.weight", 2);
    h5_set_text(file, "layers.0.weight", "comment", "nothing to us");
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "layers.0.weight", "layers.9.weight",
                "layers.10.weight", "sub/layers.2.weight");
}
END_TEST

START_TEST(what_is_no_tensor_is_left_out)
{
    const hid_t file = h5_create("f", 0, 0);
    const hid_t text = H5Tcopy(H5T_C_S1);
    const hid_t pair = H5Tcreate(H5T_COMPOUND, 8);
    const hid_t nothing = H5Screate(H5S_NULL);
    const hsize_t one = 1;

    H5Tset_size(text, 8);
    H5Tinsert(pair, "a", 0, H5T_NATIVE_INT);
    h5_write(file, "note", text, 0, NULL, H5P_DEFAULT, "written");
    h5_write(file, "table", pair, 1, &one, H5P_DEFAULT, NULL);
    H5Dclose(H5Dcreate2(file, "none", H5T_IEEE_F32LE, nothing, H5P_DEFAULT,
                        H5P_DEFAULT, H5P_DEFAULT));
    H5Tcommit2(file, "type", text, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(text); /* as long as it is open, so is the file */
    h5_write_floats(file, "w", 3);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "w");
}
END_TEST

/* Layers in the order of the lists, the model's own name dropped. */
static hid_t make_tensorflow(size_t size)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "encoder/m_1/encoder/b/kernel:0", 4);
    h5_write_floats(file, "encoder/m_1/encoder/a/kernel:0", 4);
    h5_write_floats(file, "encoder/shared/shared/embeddings:0", 5);
    h5_write_floats(file, "shared/shared/shared/embeddings:0", 5);
    h5_write_floats(file, "top_level_model_weights/m_1/bias:0", 1);
    h5_write_floats(file, "not/listed", 1);
    SET_NAMES(file, "/", "layer_names", size, "shared", "encoder");
    SET_NAMES(file, "/shared", "weight_names", size,
              "shared/shared/embeddings:0");
    SET_NAMES(file, "/encoder", "weight_names0", size, "m_1/encoder/b/kernel:0",
              "shared/shared/embeddings:0");
    SET_NAMES(file, "/encoder", "weight_names1", size,
              "m_1/encoder/a/kernel:0");
    SET_NAMES(file, "/top_level_model_weights", "weight_names", size,
              "m_1/bias:0");
    return file;
}

START_TEST(tensorflow_names_come_from_the_lists)
{
    /* Variable length, and 40 bytes padded with NULs */
    H5Fclose(make_tensorflow(_i == 0 ? 0 : 40));
    CHECK_NAMES("f", GQA_NAMES_TF, "shared/embeddings:0", "encoder/b/kernel:0",
                "encoder/a/kernel:0", "bias:0");
}
END_TEST

/* Never, in part, or wholly written; what is empty lacks nothing. */
START_TEST(knows_what_was_never_written)
{
    static const struct {
        const char *name;
        uint64_t n_parts, n_unwritten;
    } wanted[] = {
        {"chunked", 3, 3}, {"compact", 1, 0}, {"contiguous", 1, 1},
        {"empty", 0, 0},   {"half", 3, 2},    {"whole", 1, 0},
    };
    const hsize_t n = 6, chunk = 2, none = 0;
    const float values[6] = {1, 2};
    const float fill = 2.5F;
    const hid_t file = h5_create("f", 512, 0);
    const hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t filled = h5_chunks(1, &chunk);
    struct gqa_source *source;
    hid_t dataset;

    H5Pset_layout(compact, H5D_COMPACT);
    H5Pset_fill_value(filled, H5T_IEEE_F32LE, &fill);
    h5_write(file, "contiguous", H5T_IEEE_F32LE, 1, &n, H5P_DEFAULT, NULL);
    h5_write(file, "chunked", H5T_IEEE_F32LE, 1, &n, H5Pcopy(filled), NULL);
    h5_write(file, "half", H5T_IEEE_F32LE, 1, &n, filled, NULL);
    h5_write(file, "compact", H5T_IEEE_F32LE, 1, &n, compact, NULL);
    h5_write(file, "empty", H5T_IEEE_F32LE, 1, &none, h5_chunks(1, &chunk),
             NULL);
    h5_write(file, "whole", H5T_IEEE_F32LE, 1, &n, H5P_DEFAULT, values);
    dataset = H5Dopen2(file, "half", H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &chunk, 8, values),
                     0);
    H5Dclose(dataset);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    ck_assert_uint_eq(source->n_tensors, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < source->n_tensors; i++) {
        ck_assert_str_eq(source->tensors[i].name, wanted[i].name);
        ck_assert_uint_eq(source->tensors[i].n_parts, wanted[i].n_parts);
        ck_assert_uint_eq(source->tensors[i].n_unwritten,
                          wanted[i].n_unwritten);
    }
    gqa_source_close(source);
}
END_TEST

START_TEST(copies_of_a_variable_have_to_be_equal)
{
    const hid_t file = make_tensorflow(0);
    const float other[5] = {0, 1, 2, 3, 4.5};
    const hid_t dataset =
        H5Dopen2(file, "encoder/shared/shared/embeddings:0", H5P_DEFAULT);
    struct gqa_source *source;
    struct gqa_span span = {0, 16, 0, 1};
    float got[5];

    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, other);
    H5Dclose(dataset);
    H5Fclose(file);
    source = h5_open_good(scratch_path("f"));
    ck_assert_int_eq(source->ops->read(source, 0, &span, got), GQA_OK);
    span.piece = 20; /* now the difference is in it */
    ck_assert_int_eq(source->ops->read(source, 0, &span, got), GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(),
                     "/shared/shared/shared/embeddings:0 and "
                     "/encoder/shared/shared/embeddings:0 are one variable, "
                     "but hold different values");
    span = (struct gqa_span){0, 3, 5, 4};
    ck_assert_int_eq(source->ops->read(source, 0, &span, got), GQA_OK);
    span = (struct gqa_span){1, 3, 4, 5};
    ck_assert_int_eq(source->ops->read(source, 0, &span, got), GQA_ERR_FORMAT);
    gqa_source_close(source);
}
END_TEST

START_TEST(copies_of_a_variable_have_one_shape)
{
    const hid_t file = make_tensorflow(0);

    H5Ldelete(file, "shared/shared/shared/embeddings:0", H5P_DEFAULT);
    h5_write_floats(file, "shared/shared/shared/embeddings:0", 6);
    H5Fclose(file);
    refused(GQA_ERR_FORMAT, "differ in shape or type");
}
END_TEST

START_TEST(shards_list_datasets)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "decoder/a/kernel:0", 4);
    h5_write_floats(file, "shared/embeddings:0", 5);
    SET_NAMES(file, "/", "layer_names", 0, "shared/embeddings:0",
              "decoder/a/kernel:0");
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TF, "shared/embeddings:0", "decoder/a/kernel:0");
}
END_TEST

/* As transformers writes BART's embedding, and leaves no other twice. */
START_TEST(shards_keep_scopes_of_a_models_parts)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "model.shared/model.shared/embeddings:0", 5);
    h5_write_floats(file, "a/a/kernel:0", 4);
    SET_NAMES(file, "/", "layer_names", 0,
              "model.shared/model.shared/embeddings:0", "a/a/kernel:0");
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TF, "model.shared/embeddings:0", "a/a/kernel:0");
}
END_TEST

START_TEST(keras_names_are_paths)
{
    const hid_t file = h5_create("f", 0, 0);
    const hid_t bf16 = H5Tcreate(H5T_OPAQUE, 2);
    const hsize_t n = 3;

    h5_write_floats(file, "layers/dense_10/vars/0", 4);
    h5_write_floats(file, "layers/dense_2/vars/0", 4);
    h5_write(file, "layers/dense_2/vars/1", bf16, 1, &n, H5P_DEFAULT, NULL);
    h5_write_floats(file, "optimizer/vars/0", 4);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_KERAS, "/layers/dense_2/vars/0",
                "/layers/dense_2/vars/1", "/layers/dense_10/vars/0");
}
END_TEST

/* A whole Keras model: its weights alone; the names of variables are paths. */
START_TEST(whole_models_hold_more_than_weights)
{
    const hid_t file = h5_create("f", 0, 0);
    struct gqa_source *source;

    h5_write_floats(file, "model_weights/dense/dense/kernel", 4);
    h5_write_floats(file, "model_weights/block/attention/bias", 4);
    h5_write_floats(file, "optimizer_weights/m", 4);
    h5_set_text(file, "/", "model_config",
                "{\"class_name\":\"XBackbone\",\"config\":{\"n\":1}}");
    SET_NAMES(file, "/model_weights", "layer_names", 0, "dense", "block");
    SET_NAMES(file, "/model_weights/dense", "weight_names", 0, "dense/kernel");
    SET_NAMES(file, "/model_weights/block", "weight_names", 0,
              "attention/bias");
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_KERAS_LEGACY, "dense/kernel",
                "block/attention/bias");
    source = h5_open_good(scratch_path("f"));
    ck_assert_ptr_nonnull(source->config);
    gqa_source_close(source);
}
END_TEST

START_TEST(links_within_the_file_are_followed)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "a/w", 4);
    H5Lcreate_soft("/a/w", file, "b", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "a", file, "c", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "a/w", "b", "c/w");
}
END_TEST

/* Refusals of what is made here; see also damaged_files_are_refused. */

START_TEST(refuses_links_that_lead_astray)
{
    hid_t file = h5_create("f", 0, 0);

    H5Lcreate_soft("/nowhere", file, "b", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused(GQA_ERR_FORMAT, "/b: a soft link that leads nowhere");

    file = h5_create("f", 0, 0);
    H5Lcreate_external("/etc/passwd", "/x", file, "e", H5P_DEFAULT,
                       H5P_DEFAULT);
    H5Fclose(file);
    refused(GQA_ERR_UNSUPPORTED, "/e: an external link");

    /* A soft link by way of an external one */
    file = h5_create("f", 0, 0);
    h5_write_floats(file, "w", 4);
    H5Fclose(file);
    ck_assert_int_eq(rename(scratch_path("f"), scratch_path("other")), 0);
    file = h5_create("f", 0, 0);
    H5Lcreate_external(scratch_path("other"), "/", file, "z", H5P_DEFAULT,
                       H5P_DEFAULT);
    H5Lcreate_soft("/z/w", file, "a", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused(GQA_ERR_FORMAT, "/a: a soft link that leads nowhere");

    file = h5_create("f", 0, 0);
    h5_write_floats(file, "g/w", 4);
    H5Lcreate_hard(file, "/", file, "g/up", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused(GQA_ERR_UNSUPPORTED, "/g/up: leads back to the group / that");
}
END_TEST

START_TEST(refuses_opaque_pairs_without_a_name)
{
    const hid_t file = h5_create("f", 0, 0);
    const hsize_t n = 3;

    h5_write(file, "w", H5Tcreate(H5T_OPAQUE, 2), 1, &n, H5P_DEFAULT, NULL);
    H5Fclose(file);
    refused(GQA_ERR_UNSUPPORTED, "/w: opaque elements of 2 bytes; if they are");
}
END_TEST

START_TEST(refuses_what_it_cannot_undo)
{
    const hsize_t n = 64;
    const unsigned options[2] = {H5_SZIP_NN_OPTION_MASK, 8};
    const hid_t file = h5_create("f", 0, 0);
    const hid_t plist = h5_chunks(1, &n);

    if (H5Pset_szip(plist, options[0], options[1]) < 0)
        H5Pset_filter(plist, H5Z_FILTER_SZIP, H5Z_FLAG_OPTIONAL, 2, options);
    h5_write(file, "w", H5T_IEEE_F32LE, 1, &n, plist, NULL);
    H5Fclose(file);
    refused(GQA_ERR_UNSUPPORTED, "/w: stored through filter 4 (szip)");
}
END_TEST

/* Many small sparse datasets are a bomb together. */
START_TEST(refuses_a_sum_of_declarations)
{
    const hsize_t n = (hsize_t)1 << 29; /* 2 GiB of float32 */
    const hid_t file = h5_create("f", 0, 0);

    for (int i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof name, "w%d", i);
        h5_write(file, name, H5T_IEEE_F32LE, 1, &n, H5P_DEFAULT, NULL);
    }
    H5Fclose(file);
    refused(GQA_ERR_FORMAT, "the datasets declare 10737418240 bytes");
}
END_TEST

START_TEST(slashes_stand_for_dots)
{
    hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "lm_head/weight", 2);
    h5_write_floats(file, "model/layers/0/q_proj/bias", 2);
    h5_write_floats(file, "model/layers/0/q_proj/weight", 2);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "lm_head.weight",
                "model.layers.0.q_proj.bias", "model.layers.0.q_proj.weight");
    /* With a dot they are names of their own; and none is a weight. */
    file = h5_create("f", 0, 0);
    h5_write_floats(file, "a/weight", 2);
    h5_write_floats(file, "b.weight", 2);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "a/weight", "b.weight");
    file = h5_create("f", 0, 0);
    h5_write_floats(file, "a/kernel", 2);
    h5_write_floats(file, "weight", 2);
    H5Fclose(file);
    CHECK_NAMES("f", GQA_NAMES_TORCH, "a/kernel", "weight");
}
END_TEST

/* What is read is written again, where no reader would take it. */
START_TEST(refuses_names_with_control_characters)
{
    static const char *const names[] = {"a\x1b[31m.weight", "a\x7f.weight",
                                        "a\n.weight", "a\xc2\x9b.weight"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const hid_t file = h5_create("f", 0, 0);

        h5_write_floats(file, names[i], 4);
        H5Fclose(file);
        refused(GQA_ERR_UNSUPPORTED, "holds a control character (byte 1)");
    }
}
END_TEST

START_TEST(refuses_names_that_are_not_utf8)
{
    const hid_t file = h5_create("f", 0, 0);

    h5_write_floats(file, "w\xff", 4);
    H5Fclose(file);
    refused(GQA_ERR_FORMAT, "is not UTF-8");
}
END_TEST

static const struct {
    const char *path;
    enum gqa_status status;
    const char *message;
} damaged[] = {
    {"h5-empty.h5", GQA_ERR_FORMAT, "not an HDF5 file"},
    {"h5-magic.h5", GQA_ERR_FORMAT, "not an HDF5 file"},
    {"h5-magic-only.h5", GQA_ERR_FORMAT, "cannot open the file"},
    {"h5-truncated.h5", GQA_ERR_FORMAT, "truncated file: eof = 700"},
    {"h5-truncated-old.h5", GQA_ERR_FORMAT, "truncated file: eof = 900"},
    {"h5-external-link.h5", GQA_ERR_UNSUPPORTED, "/b.weight: an external"},
    {"h5-external-storage/model.h5", GQA_ERR_UNSUPPORTED, "external storage"},
    {"h5-virtual/model.h5", GQA_ERR_UNSUPPORTED, "a virtual dataset"},
    {"h5-soft-cycle.h5", GQA_ERR_UNSUPPORTED, "(a link cycle)"},
    {"h5-hard-cycle.h5", GQA_ERR_UNSUPPORTED, "(a link cycle)"},
    {"h5-deep.h5", GQA_ERR_UNSUPPORTED, "nested more than 32 deep"},
    {"h5-rank.h5", GQA_ERR_UNSUPPORTED, "9 dimensions"},
    {"h5-huge-shape/model.h5", GQA_ERR_FORMAT, "holds only 0 of them"},
    {"h5-huge-contiguous/model.h5", GQA_ERR_FORMAT, "holds only 0 of them"},
    {"h5-overflow-shape/model.h5", GQA_ERR_FORMAT, "overflows 64 bits"},
    {"h5-huge-chunk/model.h5", GQA_ERR_FORMAT, "chunks of 1073741824 bytes"},
    {"h5-filter-lzf/model.h5", GQA_ERR_UNSUPPORTED,
     "import h5py; i = h5py.File("},
    {"h5-filter-lz4/model.h5", GQA_ERR_UNSUPPORTED,
     "import h5py, hdf5plugin; i ="},
    {"h5-filter-unknown/model.h5", GQA_ERR_UNSUPPORTED, "filter 40000"},
    {"h5-type-compound/model.h5", GQA_ERR_UNSUPPORTED, "compound values"},
    {"h5-type-opaque3/model.h5", GQA_ERR_UNSUPPORTED, "of 3 bytes"},
    {"h5-type-opaque-float8/model.h5", GQA_ERR_UNSUPPORTED, "not bfloat16"},
    {"h5-type-float24/model.h5", GQA_ERR_UNSUPPORTED, "numbers of 3 bytes"},
    {"h5-cerebras.h5", GQA_ERR_UNSUPPORTED, "a Cerebras checkpoint"},
    {"h5-layer-missing.h5", GQA_ERR_FORMAT, "there is no group /decoder"},
    {"h5-weight-missing.h5", GQA_ERR_FORMAT, "no dataset of that path"},
    {"h5-weight-group.h5", GQA_ERR_FORMAT, "no dataset of that path"},
    {"h5-weight-absolute.h5", GQA_ERR_FORMAT, "no dataset of that path"},
    {"h5-weight-twice.h5", GQA_ERR_FORMAT, "twice"},
    {"h5-layer-number.h5", GQA_ERR_FORMAT, "layer_names: an attribute is no"},
    {"h5-layer-many.h5", GQA_ERR_FORMAT, "twice"},
    {"h5-compact-short.h5", GQA_ERR_FORMAT, "for 60000 bytes, but 64 are"},
    {"h5-compact-long.h5", GQA_ERR_FORMAT, "for 32 bytes, but 64 are"},
    {"h5-compact-past-message.h5", GQA_ERR_FORMAT, "/a.weight: "},
    {"h5-contiguous-short.h5", GQA_ERR_FORMAT, "for 64 bytes, but 32 are"},
    {"h5-contiguous-none.h5", GQA_ERR_FORMAT, "for 64 bytes, but 0 are"},
    {"h5-contiguous-long.h5", GQA_ERR_FORMAT, "4294967296 bytes, but 64"},
    {"h5-contiguous-past-end.h5", GQA_ERR_FORMAT, "pass the end of the file"},
    {"h5-contiguous-wrapped.h5", GQA_ERR_FORMAT, "pass the end of the file"},
    {"h5-fill-none.h5", GQA_ERR_FORMAT, "there is no fill value"},
    {"h5-fill-none-chunk.h5", GQA_ERR_FORMAT, "there is no fill value"},
#ifndef GQA_THREAD_SANITIZER /* puts zeros there, with which a name ends */
    /* Either that is said, or a sanitizer has ended the process before. */
    {"h5-name-past-heap.h5", GQA_ERR_FORMAT, "damaged"},
#endif
    {"h5-text-past-message.h5", GQA_ERR_FORMAT, "layer_names: an attribute"},
    {"h5-text-past-object.h5", GQA_ERR_FORMAT, "layer_names"},
    {"h5-named-type.h5", GQA_ERR_UNSUPPORTED, "/a.weight: a named type"},
    {"h5-named-type-keras.h5", GQA_ERR_UNSUPPORTED, "/vars/1: a named type"},
};

START_TEST(damaged_files_are_refused)
{
    struct gqa_source *source;
    char path[256];

    snprintf(path, sizeof path, "bad/%s", damaged[_i].path);
    ck_assert_int_eq(h5_open(&source, test_data(path)), damaged[_i].status);
    ck_assert_msg(strstr(gqa_error_message(), damaged[_i].message) != NULL,
                  "%s", gqa_error_message());
    /* No process is left behind. */
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

static const struct {
    const char *path; /* a folder of a Llama, or a file of one tensor */
    const char *message;
} damaged_chunks[] = {
    {"h5-deflate-corrupt", "its deflate stream is damaged"},
    {"h5-deflate-checksum", "its deflate stream is damaged"},
    {"h5-deflate-cut", "its deflate stream is damaged"},
    {"h5-deflate-bomb", "its deflate stream is damaged or too long"},
    {"h5-deflate-short", "it holds 32 bytes instead of 64"},
    {"h5-raw-short", "it holds 20 bytes instead of 64"},
    {"h5-fletcher32", "its checksum (Fletcher-32) does not match"},
    {"h5-fletcher32-short", "no room for its checksum"},
    {"h5-zstd-corrupt", "its zstd frame: "},
    {"h5-zstd-bomb", "its zstd frame: "},
    {"h5-chunk-short.h5", "it holds 60 bytes instead of 64"},
    {"h5-chunk-none.h5", "only 0 of them are found"},
    {"h5-chunk-long.h5", "only 0 of them are found"},
    {"h5-chunk-elsewhere.h5", "only 0 of them are found"},
    {"h5-chunk-past-end.h5", "only 0 of them are found"},
    {"h5-chunk-undefined.h5", "only 0 of them are found"},
    {"h5-deflate-skipped.h5", "72 bytes are stored for 64"},
    {"h5-deflate-long.h5", "it holds 68 bytes instead of 64"},
    {"h5-shuffle-short.h5", "it holds 62 bytes instead of 64"},
    {"h5-fletcher32-right-short.h5", "it holds 60 bytes instead of 64"},
    {"h5-zstd-short.h5", "it holds 60 bytes instead of 64"},
};

START_TEST(damaged_chunks_are_found)
{
    const bool is_file = strstr(damaged_chunks[_i].path, ".h5") != NULL;
    const char *name =
        is_file ? "a.weight" : "model.layers.0.self_attn.k_proj.weight";
    /* A parser that cannot find a chunk ends. */
    const int n_times = strstr(damaged_chunks[_i].message, "found") ? 1 : 2;
    struct gqa_source *source;
    struct gqa_span span = {0, 0, 0, 1};
    unsigned char buf[4096];
    char path[256];
    size_t index;

    snprintf(path, sizeof path, "bad/%s%s", damaged_chunks[_i].path,
             is_file ? "" : "/model.h5");
    source = h5_open_good(test_data(path));
    index = h5_find(source, name);
    span.piece = source->tensors[index].n_bytes;
    ck_assert_uint_le(span.piece, sizeof buf);
    for (int i = 0; i < n_times; i++) {
        ck_assert_int_eq(source->ops->read(source, index, &span, buf),
                         GQA_ERR_FORMAT);
        ck_assert_msg(strstr(gqa_error_message(), damaged_chunks[_i].message) !=
                          NULL,
                      "%s", gqa_error_message());
        ck_assert_msg(strncmp(gqa_error_message() + 1, name, strlen(name)) == 0,
                      "%s", gqa_error_message());
    }
    gqa_source_close(source);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

int main(void)
{
    Suite *suite = suite_create("hdf5_survey");
    TCase *tc = tcase_create("files");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, flat_files_are_in_natural_order);
    tcase_add_test(tc, what_is_no_tensor_is_left_out);
    tcase_add_loop_test(tc, tensorflow_names_come_from_the_lists, 0, 2);
    tcase_add_test(tc, knows_what_was_never_written);
    tcase_add_test(tc, copies_of_a_variable_have_to_be_equal);
    tcase_add_test(tc, copies_of_a_variable_have_one_shape);
    tcase_add_test(tc, shards_list_datasets);
    tcase_add_test(tc, shards_keep_scopes_of_a_models_parts);
    tcase_add_test(tc, keras_names_are_paths);
    tcase_add_test(tc, whole_models_hold_more_than_weights);
    tcase_add_test(tc, links_within_the_file_are_followed);
    tcase_add_test(tc, refuses_links_that_lead_astray);
    tcase_add_test(tc, refuses_opaque_pairs_without_a_name);
    tcase_add_test(tc, refuses_what_it_cannot_undo);
    tcase_add_test(tc, refuses_a_sum_of_declarations);
    tcase_add_test(tc, slashes_stand_for_dots);
    tcase_add_test(tc, refuses_names_with_control_characters);
    tcase_add_test(tc, refuses_names_that_are_not_utf8);
    tcase_add_loop_test(tc, damaged_files_are_refused, 0, COUNT(damaged));
    tcase_add_loop_test(tc, damaged_chunks_are_found, 0, COUNT(damaged_chunks));
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
