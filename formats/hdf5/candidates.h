/*
 * The datasets of an HDF5 file that are to be tensors, under their names, and
 * the table of variables that they make. In the parser's process.
 */
#ifndef GQA_FORMATS_HDF5_CANDIDATES_H
#define GQA_FORMATS_HDF5_CANDIDATES_H

#include <stddef.h>

#include "common/status.h"
#include "formats/hdf5/library/library.h"
#include "formats/hdf5/table.h"

struct gqa_h5_candidate {
    char *name; /* owned */
    const struct gqa_h5_object *object;
    size_t order;
    size_t first; /* order of the first candidate of this name */
};

/* Zero-initialise. */
struct gqa_h5_candidates {
    struct gqa_h5_candidate *items;
    size_t n;
    size_t room;
};

/* object: lent for as long as the list lives. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_h5_candidates_add(struct gqa_h5_candidates *list,
                                      const struct gqa_h5_object *object,
                                      const char *name);
void gqa_h5_candidates_clear(struct gqa_h5_candidates *list);

/*
 * Fill in the variables of a table, in the order of their first candidates,
 * and their datasets. A table of embeddings that encoder and decoder share is
 * there once for each of them, under one name. Takes the names out of the
 * list.
 *
 * Errors GQA_ERR_FORMAT (candidates of one name that differ), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_candidates_fill(struct gqa_h5_table *table,
                                       struct gqa_h5_candidates *list);

#endif
