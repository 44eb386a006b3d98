/* Keras archives, and what is packed in zip archives. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/keras/reader.h"
#include "formats/zip/unpack.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"
#include "zip_file.h"

static void refused(const char *path, enum gqa_status status,
                    const char *message)
{
    struct gqa_file_handle file = {.path = path};
    struct gqa_source *source;

    ck_assert_int_eq(gqa_file_open(&file.fd, &file.size, path), GQA_OK);
    ck_assert_int_eq(gqa_keras_open(&source, &file), status);
    ck_assert_str_eq(gqa_error_message(), message);
}

START_TEST(reads_what_is_in_it)
{
    twins_are_same(_i ? "keras/deflated.keras" : "keras/stored.keras",
                   "good/kerashub-mistral");
}
END_TEST

static const char *write_zip(const char *name, const char *text)
{
    struct zip_file *zip = calloc(1, sizeof *zip);
    const char *path;

    zip_file_add(zip, name, text, strlen(text));
    zip_file_end(zip);
    path = scratch_write("x", zip->bytes, zip->n);
    free(zip);
    return path;
}

START_TEST(refuses_other_archives)
{
    refused(write_zip("model.weights.npz", ""), GQA_ERR_UNSUPPORTED,
            "a Keras archive whose weights are NumPy's (model.weights.npz); "
            "save it where h5py is there");
    refused(write_zip("config.json", "{}"), GQA_ERR_UNSUPPORTED,
            "a zip archive without model.weights.h5, which a Keras archive of "
            "one file has; unpack it and give the folder");
    /* The checksum is 0. */
    refused(write_zip("model.weights.h5", "no weights"), GQA_ERR_FORMAT,
            "model.weights.h5: its content does not fit its checksum");
}
END_TEST

/* --- Compressed members --------------------------------------------------- */

/* "aaaa...": 1000 of them, deflated with zlib at level 9 */
static const unsigned char packed[] = {0x4b, 0x4c, 0x1c, 0x05, 0xa3, 0x60,
                                       0x14, 0x0c, 0x77, 0x00, 0x00};
#define PACKED_CRC 0x9a38da03U

static enum gqa_status unpack(char **text, const unsigned char *bytes, size_t n,
                              uint64_t n_unpacked, uint32_t crc)
{
    const char *path = scratch_write("x", bytes, n);
    const struct gqa_zip_member m = {.name = "m",
                                     .n_bytes = n,
                                     .n_unpacked = n_unpacked,
                                     .is_deflated = true,
                                     .crc = crc};
    enum gqa_status st;
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    st = gqa_zip_load(text, &m, fd, 2000);
    close(fd);
    return st;
}

static void damaged(const unsigned char *bytes, size_t n, uint64_t n_unpacked,
                    const char *message)
{
    char *text = NULL;

    ck_assert_int_ne(unpack(&text, bytes, n, n_unpacked, PACKED_CRC), GQA_OK);
    ck_assert_str_eq(gqa_error_message(), message);
}

START_TEST(inflates_within_bounds)
{
    unsigned char bytes[sizeof packed + 1] = {0};
    char *text = NULL, all[1001] = "";

    memset(all, 'a', 1000);
    ck_assert_int_eq(unpack(&text, packed, sizeof packed, 1000, PACKED_CRC),
                     GQA_OK);
    ck_assert_str_eq(text, all);
    free(text);
    damaged(packed, sizeof packed, 999,
            "m: it holds more than the 999 bytes that it says");
    damaged(packed, sizeof packed, 1001,
            "m: it holds 1000 bytes, not the 1001 that it says");
    damaged(packed, sizeof packed, 2001,
            "m has 2001 bytes; at most 2000 are read");
    damaged(packed, sizeof packed - 3, 1000,
            "m: its compressed bytes are damaged");
    memcpy(bytes, packed, sizeof packed);
    damaged(bytes, sizeof bytes, 1000, "m: bytes behind its compressed ones");
    bytes[0] ^= 0x04;
    ck_assert_int_ne(unpack(&text, bytes, sizeof packed, 1000, PACKED_CRC),
                     GQA_OK);
}
END_TEST

/* More than any compression makes of it is not even reserved. */
START_TEST(refuses_sizes_that_cannot_be)
{
    static const char before[] = "model.weights.h5";
    struct zip_file *zip = calloc(1, sizeof *zip);
    unsigned char *entry = zip->directory;

    zip_file_add(zip, before, packed, sizeof packed);
    zip->bytes[8] = 8;
    entry[10] = 8;
    memcpy(entry + 24, "\0\0\0\100", 4);
    zip_file_end(zip);
    refused(scratch_write("x", zip->bytes, zip->n), GQA_ERR_FORMAT,
            "model.weights.h5: 11 bytes cannot hold the 1073741824 that it "
            "says");
    free(zip);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keras_archive");
    TCase *tests = tcase_create("keras_archive");

    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, reads_what_is_in_it, 0, 2);
    tcase_add_test(tests, refuses_other_archives);
    tcase_add_test(tests, inflates_within_bounds);
    tcase_add_test(tests, refuses_sizes_that_cannot_be);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
