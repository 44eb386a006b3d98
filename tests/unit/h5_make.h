/* HDF5 files for tests, made by the HDF5 library in the scratch folder. */
#ifndef GQA_TESTS_H5_MAKE_H
#define GQA_TESTS_H5_MAKE_H

#include <hdf5.h>
#include <stddef.h>

#include "formats/source.h"

/* A new file; latest: of the newest format. Close it with H5Fclose(). */
hid_t h5_create(const char *name, unsigned user_block, int latest);

/*
 * Write a dataset whose groups are made as needed. type: of the file and of
 * data; plist: how to store it, closed here, or H5P_DEFAULT; data: NULL
 * writes nothing.
 */
void h5_write(hid_t file, const char *path, hid_t type, int rank,
              const hsize_t *shape, hid_t plist, const void *data);
/* n floats 0, 1, 2, ... */
void h5_write_floats(hid_t file, const char *path, hsize_t n);

/* Creation properties with chunks. */
hid_t h5_chunks(int rank, const hsize_t *chunk);

/* n names, of varying length or, with size > 0, of size bytes with NULs. */
void h5_set_names(hid_t object, const char *attribute, size_t n,
                  const char *const *names, size_t size);
/* The same on the object of this path. */
void h5_set_names_at(hid_t file, const char *path, const char *attribute,
                     size_t n, const char *const *names, size_t size);
void h5_set_text(hid_t file, const char *path, const char *attribute,
                 const char *text);

enum gqa_status h5_open(struct gqa_source **out, const char *path);
/* Fails the test where that fails. */
struct gqa_source *h5_open_good(const char *path);
/* Index of the tensor of this name; fails the test where there is none. */
size_t h5_find(const struct gqa_source *source, const char *name);

#endif
