/* Attentions for people: layers that are alike share a row. */
#ifndef GQA_INSPECT_ATTENTION_ROWS_H
#define GQA_INSPECT_ATTENTION_ROWS_H

#include <stdio.h>

#include "inspect/inspection.h"
#include "inspect/numbers.h"

struct gqa_attention_row {
    size_t first; /* of the model's attentions */
    size_t n;
    struct gqa_numbers layers;
    char *names;       /* of the first: "l.0.{q,k,v,o}.weight" */
    size_t at, digits; /* where its layer is in that; digits 0: nowhere */
};

struct gqa_attention_rows {
    struct gqa_attention_row *items; /* [n] by their first attentions */
    size_t n;
};

/*
 * A row for each attention where the inspection shows all.
 * The caller ends *out with gqa_attention_rows_free(), also on an error.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_attention_rows_create(struct gqa_attention_rows *out,
                                          const struct gqa_inspection *in);
void gqa_attention_rows_free(struct gqa_attention_rows *rows);

/* The names of its tensors, all layers in one. */
void gqa_attention_row_put_names(FILE *out,
                                 const struct gqa_attention_row *row);

#endif
