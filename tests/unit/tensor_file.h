/* A safetensors file of matrices, put together one by one. */
#ifndef GQA_TESTS_TENSOR_FILE_H
#define GQA_TESTS_TENSOR_FILE_H

#include <stddef.h>

#include "common/dtype.h"

enum { TENSOR_FILE_VALUES = 4096, TENSOR_FILE_HEADER = 8192 };

/* Zero-initialise; dtype is that of all that is added next, whole bytes. */
struct tensor_file {
    enum gqa_dtype dtype;
    char header[TENSOR_FILE_HEADER];
    unsigned char bytes[8 * TENSOR_FILE_VALUES];
    size_t n_header, n_bytes;
};

/* [rows, cols], or of rank 1 where cols is 0; values are rounded to dtype. */
void tensor_file_add(struct tensor_file *file, const char *name, size_t rows,
                     size_t cols, const double *values);

/* Its path, as scratch_path(). */
const char *tensor_file_write(struct tensor_file *file, const char *name);

#endif
