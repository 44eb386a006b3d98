/* A zip archive of stored members, put together one by one. */
#ifndef GQA_TESTS_ZIP_FILE_H
#define GQA_TESTS_ZIP_FILE_H

#include <stddef.h>

enum { ZIP_FILE_BYTES = 16384 };

/* Zero-initialise. */
struct zip_file {
    unsigned char bytes[ZIP_FILE_BYTES], directory[ZIP_FILE_BYTES];
    size_t n, n_directory, n_members;
};

/* Where in `bytes` the member's data begins. */
size_t zip_file_add(struct zip_file *zip, const char *name, const void *data,
                    size_t n);

/* The directory and the end behind the members; for tests that damage them,
 * where in `bytes` the directory begins. */
size_t zip_file_end(struct zip_file *zip);

#endif
