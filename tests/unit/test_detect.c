/* What a file is found to be, and what a folder's names tell. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/checkpoint.h"
#include "formats/detect.h"
#include "formats/foreign/words.h"
#include "scratch.h"
#include "suite.h"

#define HDF5_SIGNATURE "\x89HDF\r\n\x1a\n"

static enum gqa_status detect(const struct gqa_format **format,
                              const char *path)
{
    enum gqa_status st;
    uint64_t size;
    int fd;

    *format = NULL;
    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    st = gqa_file_detect(format, fd, size);
    close(fd);
    return st;
}

static void is_format(const struct gqa_format *expected, const void *bytes,
                      size_t n)
{
    const struct gqa_format *format;

    ck_assert_msg(detect(&format, scratch_write("f", bytes, n)) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_ptr_eq(format, expected);
}

static void is_refused(enum gqa_status status, const char *message,
                       const void *bytes, size_t n)
{
    const struct gqa_format *format;

    ck_assert_int_eq(detect(&format, scratch_write("f", bytes, n)), status);
    ck_assert_ptr_null(format);
    ck_assert_str_eq(gqa_error_message(), message);
}

#define IS_FORMAT(name, text) \
    is_format(&gqa_format_##name, text, sizeof(text) - 1)
#define IS_REFUSED(status, message, text) \
    is_refused(status, message, text, sizeof(text) - 1)

#define LLAMA2C(heads, vocabulary)                          \
    "\x20\x01\0\0\0\x03\0\0\x06\0\0\0" heads "\0\0\0" heads \
    "\0\0\0" vocabulary "\0\x01\0\0"

#define ZEROS_26 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

START_TEST(knows_what_is_read)
{
    IS_FORMAT(hdf5, HDF5_SIGNATURE);
    IS_FORMAT(hdf5, HDF5_SIGNATURE "and the rest");
    IS_FORMAT(gqa, "\x28\xb5\x2f\xfd");
    IS_FORMAT(gqa, "\x5e\x2a\x4d\x18\x00\x00\x00\x00{");
    IS_FORMAT(safetensors, "\x02\x00\x00\x00\x00\x00\x00\x00{}");
    IS_FORMAT(gguf, "GGUF\x03\x00\x00\x00\x00");
    IS_FORMAT(llama2c, "24ka\x01\x00\x00\x00\x00");
    /* 288 wide, 768, 6 layers, 6 heads of 48, 32000 words, 256 positions; with
     * an unembedding of its own; with heads of 288 / 7 */
    IS_FORMAT(llama2c_bare, LLAMA2C("\x06", "\0\x7d\0\0"));
    IS_FORMAT(llama2c_bare, LLAMA2C("\x06", "\0\x83\xff\xff"));
    IS_REFUSED(GQA_ERR_FORMAT,
               "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
               "HDF5, GGUF or an index); it begins with the bytes 20 01 00 00 "
               "00 03 00 00",
               LLAMA2C("\x07", "\0\x7d\0\0"));
    IS_FORMAT(keras, "PK\x03\x04" ZEROS_26 "metadata.json");
    IS_FORMAT(keras, "PK\x03\x04" ZEROS_26 "model.weights.h5");
    IS_FORMAT(torch, "PK\x03\x04 archive/data.pkl");
    IS_FORMAT(torch, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50"
                     "\x19.");
    IS_FORMAT(index, "{\"weight_map\": {}}");
    IS_FORMAT(index, "\xef\xbb\xbf \r\n\t{");
}
END_TEST

/* The marks of one within the form of another */
START_TEST(one_that_looks_like_two)
{
    /* A frame whose ninth byte is '{' */
    IS_FORMAT(gqa, "\x28\xb5\x2f\xfd\x00\x00\x00\x00{");
    /* Headers of 0x8b1f and 0x280 bytes: gzip's mark and a pickle's */
    IS_FORMAT(safetensors, "\x1f\x8b\x00\x00\x00\x00\x00\x00{\"a\"");
    IS_FORMAT(safetensors, "\x80\x02\x00\x00\x00\x00\x00\x00{\"a\"");
    /* JSON with a '{' where a header would begin, and the other way round */
    IS_FORMAT(index, "{\"abcd\":{\"a\":1}}");
    IS_FORMAT(safetensors, "{\x00\x00\x00\x00\x00\x00\x00{\"a\"");
    /* A length that no file has: damaged, which is for the reader to say */
    IS_FORMAT(safetensors, "\x80\xff\xff\xff\xff\xff\xff\xff{\"a\"");
}
END_TEST

START_TEST(finds_hdf5_behind_a_user_block)
{
    char bytes[2100] = "PK\x03\x04";

    memcpy(bytes + 2048, HDF5_SIGNATURE, 8);
    is_format(&gqa_format_hdf5_behind, bytes, sizeof bytes);
    /* Not where none can be */
    memset(bytes + 2048, 0, 8);
    memcpy(bytes + 1500, HDF5_SIGNATURE, 8);
    is_refused(GQA_ERR_UNSUPPORTED, "a zip archive; unpack it first", bytes,
               sizeof bytes);
    /* Nor cut off within */
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes + 512, HDF5_SIGNATURE, 8);
    is_refused(
        GQA_ERR_FORMAT,
        "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
        "HDF5, GGUF or an index), but text: \""
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
        bytes, 519);
    bytes[0] = '\xff';
    is_refused(GQA_ERR_FORMAT,
               "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
               "HDF5, GGUF or an index); it begins with the bytes ff 78 78 78 "
               "78 78 78 78",
               bytes, 519);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    const char *message;
} foreign[] = {
#define FOREIGN(text, message)         \
    {                                  \
        text, sizeof text - 1, message \
    }
    FOREIGN("\x80\x02}q\x00", PICKLE_WORDS),
    FOREIGN("\x80\x03}q\x00", PICKLE_WORDS),
    FOREIGN("\x80\x04\x95\x00", PICKLE_WORDS),
    FOREIGN("\x80\x05\x95\x00", PICKLE_WORDS),
    FOREIGN("lmgg\x01", GGML_WORDS),
    FOREIGN("tjgg\x01", GGML_WORDS),
    FOREIGN("\x1f\x8b\x08",
            "compressed with gzip; decompress it first (gunzip)"),
    FOREIGN("\xfd"
            "7zXZ",
            "compressed with xz; decompress it first (unxz)"),
    FOREIGN("BZh9", "compressed with bzip2; decompress it first (bunzip2)"),
    FOREIGN("7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    FOREIGN("\x93NUMPY\x01", "a NumPy array, not a checkpoint"),
    FOREIGN("version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer in place of the file; fetch it (git lfs pull)"),
    FOREIGN("<!DOCTYPE html>", "a web page; the download went wrong"),
    FOREIGN("<!doctype html>", "a web page; the download went wrong"),
    FOREIGN("<html>", "a web page; the download went wrong"),
    FOREIGN("\xef\xbb\xbf\r\n <!DocType HTML>",
            "a web page; the download went wrong"),
    FOREIGN("\n\n<head><title>404", "a web page; the download went wrong"),
    FOREIGN("<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied",
            "what a server says in place of the file; the download went "
            "wrong"),
    FOREIGN("<?xml version=\"1.0\"?>\n<net name=\"m\"", OPENVINO_WORDS),
    FOREIGN("\x04\x22\x4d\x18\x64\x40\xa7\x6f\0",
            "compressed with lz4; decompress it first (unlz4)"),
    FOREIGN("Rar!\x1a\x07\x01\0\0", "a RAR archive; unpack it first"),
    FOREIGN("PK\x05\x06\0\0\0\0\0", "a zip archive with nothing in it"),
    FOREIGN("fmgg\x01\0\0\0\0", GGML_WORDS),
    FOREIGN("algg\x01\0\0\0\0", GGML_WORDS),
    FOREIGN("\xc6\xd7\x34\x01\x03\0\0\0\0", LLM_C_WORDS),
    FOREIGN("\xa3\xd9\x34\x01\x03\0\0\0\0", LLM_C_WORDS),
    FOREIGN("\x85\xa7version\x01",
            "a T5X checkpoint; convert it to Hugging Face form first "
            "(transformers: convert_t5x_checkpoint_to_pytorch.py)"),
    FOREIGN("PK\x03\x04", "a zip archive; unpack it first"),
    FOREIGN("PK\x03\x04 arr_0.npy", NPZ_WORDS),
    FOREIGN("\x08\x0b\x12\x07pytorch\x1a\x05"
            "2.9.0",
            ONNX_WORDS),
    FOREIGN("\x08\x0a:u\x0a\x16\x0a\x01x", ONNX_WORDS),
    FOREIGN("\x1c\0\0\0TFL3\x14\0", TFLITE_WORDS),
    FOREIGN("ftrt\0\0\0\0\0", TENSORRT_WORDS),
    FOREIGN("ptrt\0\0\0\0\0", TENSORRT_WORDS),
    /* As coremltools 9.0 writes versions 1 and 6 of it */
    FOREIGN("\x08\x01\x12\x20\x0a\x0e\x0a\x01x\x1a\x09*\x07", CORE_ML_WORDS),
    FOREIGN("\x08\x06\x12\xcd\x01\x0a\x0f\x0a\x01x\x1a\x0a*\x08",
            CORE_ML_WORDS),
    FOREIGN("\x06\0\0\0\x17\0TransformerDecoderSpec\0\x01\0\0\0",
            CTRANSLATE2_WORDS),
    FOREIGN("\x08\x01\x12\x95\x12\x0a\0\0\0", SAVED_MODEL_WORDS),
    FOREIGN("\x08\x01\x12\x95\x12\x0a\x83\x02\x12\x40\x0a\x05",
            SAVED_MODEL_WORDS),
    FOREIGN("\x81\xabtransformer\x83\xa3wpe", FLAX_WORDS),
    FOREIGN("model_checkpoint_path: \"model.ckpt\"", TF_CHECKPOINT_WORDS),
    FOREIGN("\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x57\xfb\x80\x8b\x24\x75\x47\xdb",
            TF_CHECKPOINT_WORDS),
    FOREIGN("\0\x05\x16\x07\0\x02\0\0Mac OS X",
            "attributes that macOS keeps beside a file (\"._\" and its name), "
            "not the file; give that"),
#undef FOREIGN
};

START_TEST(tells_what_is_not_read)
{
    is_refused(GQA_ERR_UNSUPPORTED, foreign[_i].message, foreign[_i].bytes,
               foreign[_i].n);
}
END_TEST

START_TEST(tells_a_tar_archive)
{
    char bytes[512] = "model_config.yaml";

    memcpy(bytes + 257, "ustar", 5);
    IS_REFUSED(GQA_ERR_FORMAT,
               "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
               "HDF5, GGUF or an index), but text: \"Entry not found\"",
               "Entry not found\nat all");
    IS_REFUSED(GQA_ERR_FORMAT,
               "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
               "HDF5, GGUF or an index); it begins with zeros alone: a "
               "download that was not finished, or what is left of a file",
               ZEROS_26 ZEROS_26);
    IS_REFUSED(GQA_ERR_UNSUPPORTED, EXPORTED_WORDS,
               "PK\x03\x04" ZEROS_26 "serialized_exported_program.json");
    IS_REFUSED(GQA_ERR_UNSUPPORTED, EXPORTED_WORDS,
               "PK\x03\x04" ZEROS_26 "t5/archive_format");
    is_refused(GQA_ERR_UNSUPPORTED,
               "a tar archive; unpack it first (NeMo's .nemo is one)", bytes,
               sizeof bytes);
    is_refused(GQA_ERR_FORMAT,
               "not a checkpoint that we know (safetensors, PyTorch, .gqa, "
               "HDF5, GGUF or an index); it begins with the bytes 6d 6f 64 65 "
               "6c 5f 63 6f",
               bytes, 261);
}
END_TEST

START_TEST(refuses_what_is_too_short)
{
    IS_REFUSED(GQA_ERR_FORMAT, "the file is empty", "");
    IS_REFUSED(GQA_ERR_FORMAT, "1 bytes: too short for a checkpoint", "x");
    /* Cut off within a mark */
    IS_REFUSED(GQA_ERR_FORMAT, "7 bytes: too short for a checkpoint",
               "\x89HDF\r\n\x1a");
    IS_REFUSED(GQA_ERR_FORMAT, "3 bytes: too short for a checkpoint",
               "\x28\xb5\x2f");
    IS_REFUSED(GQA_ERR_FORMAT, "8 bytes: too short for a checkpoint",
               "\x02\x00\x00\x00\x00\x00\x00\x00");
    IS_REFUSED(GQA_ERR_FORMAT, "3 bytes: too short for a checkpoint", "GGU");
}
END_TEST

/* A name proves nothing. */
START_TEST(goes_by_content)
{
    const struct gqa_format *format;
    struct gqa_checkpoint *checkpoint = NULL;
    const struct gqa_checkpoint_options options = {0};

    ck_assert_int_eq(
        detect(&format, scratch_write("model.safetensors", HDF5_SIGNATURE, 8)),
        GQA_OK);
    ck_assert_ptr_eq(format, &gqa_format_hdf5);
    scratch_write("weights.h5", "lmgg\3\0\0\0\0\0", 10);
    ck_assert_int_eq(
        gqa_checkpoint_open(&checkpoint, scratch_path("weights.h5"), &options),
        GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(), "weights.h5: " GGML_WORDS));
}
END_TEST

START_TEST(a_folder_is_no_file)
{
    uint64_t size;
    int fd;

    ck_assert_int_ne(gqa_file_open(&fd, &size, scratch_folder()), GQA_OK);
}
END_TEST

/* Each entry can do what its place in the table asks for. */
START_TEST(entries_are_whole)
{
    for (size_t i = 0; i < gqa_n_formats; i++) {
        const struct gqa_format *f = gqa_formats[i];
        const bool is_told = f->marks || f->recognise;

        ck_assert(is_told || f->endings);
        if (f->word)
            ck_assert(f->label && f->describe && f->open);
        if (is_told && !f->open && !f->is_index)
            ck_assert(f->advice || f->advise);
        ck_assert(!f->names || (f->word && f->preference > 0));
        for (size_t k = 0; k < i; k++) {
            ck_assert(!f->names || !gqa_formats[k]->names ||
                      f->preference != gqa_formats[k]->preference);
            ck_assert(!f->word || !gqa_formats[k]->word ||
                      strcmp(f->word, gqa_formats[k]->word) != 0);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("detect");
    TCase *tests = tcase_create("detect");

    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, knows_what_is_read);
    tcase_add_test(tests, one_that_looks_like_two);
    tcase_add_test(tests, finds_hdf5_behind_a_user_block);
    tcase_add_loop_test(tests, tells_what_is_not_read, 0,
                        sizeof foreign / sizeof *foreign);
    tcase_add_test(tests, tells_a_tar_archive);
    tcase_add_test(tests, refuses_what_is_too_short);
    tcase_add_test(tests, goes_by_content);
    tcase_add_test(tests, a_folder_is_no_file);
    tcase_add_test(tests, entries_are_whole);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
