/* Rows of a GGUF tensor, as numbers of its type or of what its blocks say. */
#ifndef GQA_FORMATS_GGUF_ROWS_H
#define GQA_FORMATS_GGUF_ROWS_H

#include "formats/gguf/architecture.h"
#include "formats/tensor.h"

struct gqa_gguf_rows {
    const struct gqa_gguf_type *type;
    unsigned part;   /* which file, of a model in several */
    uint64_t offset; /* in the file */
    uint64_t length; /* elements of a row, there */
    uint64_t n_rows; /* there */
    uint64_t n_elements;
    struct gqa_gguf_place place;
    /* What of the content other tensors have: the second halves of experts,
     * each with n_half rows; keys and values. */
    struct gqa_gguf_rows *rest; /* [n_rest], owned */
    size_t n_rest;
    uint64_t n_half;
    /* In place of all that: the one element, of a float32 tensor that a key
     * stands for. */
    bool is_number;
    float number;
};

/* Read a span of the content, which fits, in the original's order, into buf.
 * fds: of the model's files.
 * Errors GQA_ERR_IO, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_gguf_rows_read(const struct gqa_gguf_rows *rows,
                                   const int *fds, const struct gqa_span *span,
                                   void *buf);

#endif
