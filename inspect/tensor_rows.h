/* Tensors for people: those that differ only in numbers share a row. */
#ifndef GQA_INSPECT_TENSOR_ROWS_H
#define GQA_INSPECT_TENSOR_ROWS_H

#include <stdbool.h>

#include "formats/checkpoint.h"

struct gqa_tensor_row {
    char *name;     /* "layers.0-31.mlp.up_proj.weight" */
    size_t first;   /* of its tensors, in the checkpoint's order */
    size_t n;       /* tensors, of the first's dtype and shape */
    uint64_t bytes; /* of all; stops at the top */
    /* Of the work alone: a number in the name. */
    size_t at, digits;
    uint64_t number;
};

struct gqa_tensor_rows {
    struct gqa_tensor_row *items; /* [n] by their first tensors */
    size_t n;
};

/*
 * all: a row for each tensor.
 * The caller ends *out with gqa_tensor_rows_free(), also on an error.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tensor_rows_create(struct gqa_tensor_rows *out,
                                       const struct gqa_checkpoint *checkpoint,
                                       bool all);
void gqa_tensor_rows_free(struct gqa_tensor_rows *rows);

#endif
