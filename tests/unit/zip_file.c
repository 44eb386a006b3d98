#include "zip_file.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

static void put(unsigned char *at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

size_t zip_file_add(struct zip_file *zip, const char *name, const void *data,
                    size_t n)
{
    unsigned char *local = zip->bytes + zip->n;
    unsigned char *entry = zip->directory + zip->n_directory;
    const size_t n_name = strlen(name);

    ck_assert_uint_lt(zip->n + zip->n_directory + 2 * n_name + n + 200,
                      sizeof zip->bytes);
    memcpy(local, "PK\3\4", 4);
    put(local + 18, n, 4);
    put(local + 22, n, 4);
    put(local + 26, n_name, 2);
    memcpy(local + 30, name, n_name);
    memcpy(local + 30 + n_name, data, n);
    memcpy(entry, "PK\1\2", 4);
    put(entry + 20, n, 4);
    put(entry + 24, n, 4);
    put(entry + 28, n_name, 2);
    put(entry + 42, zip->n, 4);
    memcpy(entry + 46, name, n_name);
    zip->n += 30 + n_name + n;
    zip->n_directory += 46 + n_name;
    zip->n_members++;
    return zip->n - n;
}

size_t zip_file_end(struct zip_file *zip)
{
    const size_t directory = zip->n;
    unsigned char *end;

    memcpy(zip->bytes + zip->n, zip->directory, zip->n_directory);
    zip->n += zip->n_directory;
    end = zip->bytes + zip->n;
    memcpy(end, "PK\5\6", 4);
    put(end + 8, zip->n_members, 2);
    put(end + 10, zip->n_members, 2);
    put(end + 12, zip->n_directory, 4);
    put(end + 16, directory, 4);
    zip->n += 22;
    return directory;
}
