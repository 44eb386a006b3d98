#include "scratch.h"

#include <check.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PATHS = 8, PATH_BYTES = 1024 };

static char folder[PATH_BYTES / 2];
static char paths[N_PATHS][PATH_BYTES];
static _Atomic unsigned n_used; /* by threads of what is tested, too */

static const char *make_path(const char *parent, const char *name)
{
    char *path = paths[n_used++ % N_PATHS];

    ck_assert_int_lt(snprintf(path, PATH_BYTES, "%s/%s", parent, name),
                     PATH_BYTES);
    return path;
}

void scratch_create(void)
{
    const char *parent = getenv("TMPDIR");

    ck_assert_int_lt(snprintf(folder, sizeof folder, "%s/gqa-test-XXXXXX",
                              parent ? parent : "/tmp"),
                     (int)sizeof folder);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int remove_entry(const char *path, const struct stat *info, int kind,
                        struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void scratch_remove(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_folder(void)
{
    return folder;
}

const char *scratch_path(const char *name)
{
    return make_path(folder, name);
}

const char *scratch_write(const char *name, const void *bytes, size_t n)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

const char *scratch_write_text(const char *name, const char *text)
{
    return scratch_write(name, text, strlen(text));
}

const char *scratch_write_safetensors(const char *name, const char *header,
                                      const void *data, size_t n)
{
    const size_t length = strlen(header);
    unsigned char *file = malloc(8 + length + n);
    const char *path;

    ck_assert_ptr_nonnull(file);
    for (unsigned i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    if (n > 0)
        memcpy(file + 8 + length, data, n);
    path = scratch_write(name, file, 8 + length + n);
    free(file);
    return path;
}

const char *test_data(const char *name)
{
    const char *parent = getenv("GQA_TEST_DATA");

    ck_assert_msg(parent != NULL, "GQA_TEST_DATA is not set");
    return make_path(parent, name);
}
