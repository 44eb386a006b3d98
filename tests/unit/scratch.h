/* Files that a test makes, in a folder of its own that goes when it ends. */
#ifndef GQA_TESTS_SCRATCH_H
#define GQA_TESTS_SCRATCH_H

#include <stddef.h>

/* For tcase_add_checked_fixture(): each test finds an empty folder. */
void scratch_create(void);
void scratch_remove(void);

/* The folder's path; lent until scratch_remove(). */
const char *scratch_folder(void);

/* Path of a file or folder in it; lent until the eighth call after. */
const char *scratch_path(const char *name);

/* Write a file; returns its path as scratch_path() does. */
const char *scratch_write(const char *name, const void *bytes, size_t n);
const char *scratch_write_text(const char *name, const char *text);

/* A safetensors file: header is its JSON, and n bytes of data follow. */
const char *scratch_write_safetensors(const char *name, const char *header,
                                      const void *data, size_t n);

/* A file of the tests' data; lent as scratch_path() does. */
const char *test_data(const char *name);

#endif
