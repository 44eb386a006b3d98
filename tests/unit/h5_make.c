#include "h5_make.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "formats/hdf5/reader.h"
#include "scratch.h"

hid_t h5_create(const char *name, unsigned user_block, int latest)
{
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file;

    ck_assert_int_ge(H5Pset_userblock(creation, user_block), 0);
    if (latest)
        ck_assert_int_ge(
            H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST),
            0);
    file = H5Fcreate(scratch_path(name), H5F_ACC_TRUNC, creation, access);
    ck_assert_int_ge(file, 0);
    H5Pclose(creation);
    H5Pclose(access);
    return file;
}

void h5_write(hid_t file, const char *path, hid_t type, int rank,
              const hsize_t *shape, hid_t plist, const void *data)
{
    const hid_t space =
        rank > 0 ? H5Screate_simple(rank, shape, NULL) : H5Screate(H5S_SCALAR);
    const hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t dataset;

    H5Pset_create_intermediate_group(links, 1);
    dataset = H5Dcreate2(file, path, type, space, links, plist, H5P_DEFAULT);
    ck_assert_int_ge(dataset, 0);
    if (data)
        ck_assert_int_ge(
            H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
    H5Dclose(dataset);
    H5Pclose(links);
    H5Sclose(space);
    if (plist != H5P_DEFAULT)
        H5Pclose(plist);
}

void h5_write_floats(hid_t file, const char *path, hsize_t n)
{
    float *values = malloc(((size_t)n + 1) * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (hsize_t i = 0; i < n; i++)
        values[i] = (float)i;
    h5_write(file, path, H5T_IEEE_F32LE, 1, &n, H5P_DEFAULT, values);
    free(values);
}

hid_t h5_chunks(int rank, const hsize_t *chunk)
{
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);

    ck_assert_int_ge(H5Pset_chunk(plist, rank, chunk), 0);
    return plist;
}

void h5_set_names(hid_t object, const char *attribute, size_t n,
                  const char *const *names, size_t size)
{
    const hsize_t count = n;
    const hid_t type = H5Tcopy(H5T_C_S1);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    char *block = calloc(n + 1, size + 1);
    hid_t id;

    ck_assert_ptr_nonnull(block);
    H5Tset_size(type, size > 0 ? size : H5T_VARIABLE);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    id = H5Acreate2(object, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(id, 0);
    for (size_t i = 0; i < n && size > 0; i++)
        memcpy(block + i * size, names[i], strnlen(names[i], size));
    ck_assert_int_ge(H5Awrite(id, type, size > 0 ? (const void *)block : names),
                     0);
    free(block);
    H5Aclose(id);
    H5Sclose(space);
    H5Tclose(type);
}

void h5_set_names_at(hid_t file, const char *path, const char *attribute,
                     size_t n, const char *const *names, size_t size)
{
    const hid_t object = H5Oopen(file, path, H5P_DEFAULT);

    ck_assert_int_ge(object, 0);
    h5_set_names(object, attribute, n, names, size);
    H5Oclose(object);
}

void h5_set_text(hid_t file, const char *path, const char *attribute,
                 const char *text)
{
    h5_set_names_at(file, path, attribute, 1, &text, 0);
}

enum gqa_status h5_open(struct gqa_source **out, const char *path)
{
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    return gqa_hdf5_open(out, &(const struct gqa_file_handle){
                                  .path = path, .fd = fd, .size = size});
}

struct gqa_source *h5_open_good(const char *path)
{
    struct gqa_source *source = NULL;

    ck_assert_msg(h5_open(&source, path) == GQA_OK, "%s", gqa_error_message());
    return source;
}

size_t h5_find(const struct gqa_source *source, const char *name)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (strcmp(source->tensors[i].name, name) == 0)
            return i;
    ck_abort_msg("no tensor %s", name);
    return 0;
}
