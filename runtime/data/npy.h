/* Integers of a NumPy .npy file. */
#ifndef GQA_RUNTIME_DATA_NPY_H
#define GQA_RUNTIME_DATA_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* A matrix of whole numbers; values are owned: free() them. */
struct gqa_int_matrix {
    uint64_t rows, cols;
    int64_t *values; /* [rows, cols] */
};

/*
 * The n little-endian integers of `width` bytes at src, as int64. Errors
 * GQA_ERR_FORMAT: an unsigned one too large; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_load_integers(int64_t **out, const void *src, uint64_t n,
                                  unsigned width, bool is_signed);

/*
 * Read a whole .npy file from memory: version 1 to 3, a little-endian
 * integer type, C order (or one dimension), one or two dimensions; one
 * dimension is one row.
 *
 * Errors GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED (another type or order),
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_npy_parse(struct gqa_int_matrix *out, const void *bytes,
                              size_t n_bytes);

#endif
