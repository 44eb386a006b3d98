/* A tensor at rest, and which part of it to read. */
#ifndef GQA_FORMATS_TENSOR_H
#define GQA_FORMATS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/status.h"

/* HDF5 allows 32 dimensions; no weight needs more than 8. */
enum { GQA_MAX_RANK = 8, GQA_MAX_NAME = 1024 };

struct gqa_tensor {
    char *name;
    enum gqa_dtype dtype;
    unsigned rank; /* 0: one element */
    uint64_t shape[GQA_MAX_RANK];
    uint64_t n_elements;
    uint64_t n_bytes; /* of the row-major little-endian content */
    /*
     * HDF5 may know of a tensor that nobody wrote, or of chunks of it: they
     * read as a fill value. Parts it is stored in, and how many of them are
     * not there; 0 and 0 in formats that always have all.
     */
    uint64_t n_parts, n_unwritten;
};

/*
 * Whether a tensor may have that name, whatever format it is in: what is read
 * is also written, and shown on terminals. Errors GQA_ERR_UNSUPPORTED: longer
 * than GQA_MAX_NAME, or a control character in it.
 */
GQA_MUST_USE
enum gqa_status gqa_tensor_name_check(const char *name);

/*
 * `count` pieces of `piece` bytes each, the first at `offset`, the next
 * ones `stride` bytes further on: bytes of a tensor's row-major content. A
 * rectangle of a matrix is one span. The pieces lie one after another in
 * the reader's buffer.
 */
struct gqa_span {
    uint64_t offset;
    uint64_t piece;
    uint64_t stride;
    uint64_t count;
};

#endif
