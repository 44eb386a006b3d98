/* All tensors of a checkpoint's files under one number and by name. */
#ifndef GQA_FORMATS_TENSOR_TABLE_H
#define GQA_FORMATS_TENSOR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"
#include "formats/source.h"

struct gqa_tensor_ref {
    const struct gqa_tensor *tensor; /* lent by its source */
    size_t source;                   /* which file */
    size_t local;                    /* index in that file */
};

/* Zero-initialise; gqa_tensor_table_clear() frees what filling put in. */
struct gqa_tensor_table {
    struct gqa_tensor_ref *refs; /* [n] file by file, in file order */
    size_t n;
    const struct gqa_tensor_ref **by_name; /* [n] sorted */
};

/* Who decides which tensors of the files count. */
struct gqa_tensor_filter {
    bool (*keeps)(void *ctx, size_t source, const char *name);
    void *ctx;
};

/*
 * filter: NULL for all tensors. Errors GQA_ERR_FORMAT: a name in two files;
 * GQA_ERR_NOMEM. The table lives no longer than the sources.
 */
GQA_MUST_USE
enum gqa_status gqa_tensor_table_fill(struct gqa_tensor_table *table,
                                      struct gqa_source *const *sources,
                                      size_t n_sources,
                                      const struct gqa_tensor_filter *filter);
/* All tensors of one more file, sources[s]; errors the same. */
GQA_MUST_USE
enum gqa_status gqa_tensor_table_add(struct gqa_tensor_table *table,
                                     struct gqa_source *const *sources,
                                     size_t s);
/* Take `prefix` from all names where all of the table's begin with it and none
 * ends there; returns whether they did. */
bool gqa_tensor_table_take_prefix(struct gqa_tensor_table *table,
                                  struct gqa_source *const *sources,
                                  const char *prefix);
/*
 * Take `part` from within all names, which it is a component of, but no last
 * one; *n: how many had it. Where two names were one then, none changes.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tensor_table_take_part(size_t *n,
                                           struct gqa_tensor_table *table,
                                           struct gqa_source *const *sources,
                                           const char *part);
void gqa_tensor_table_clear(struct gqa_tensor_table *table);

/* The tensor of this name, or NULL. */
const struct gqa_tensor_ref *gqa_tensor_table_find(
    const struct gqa_tensor_table *table, const char *name);

/* Position in by_name of the first name that is not less than `name`. */
size_t gqa_tensor_table_lower_bound(const struct gqa_tensor_table *table,
                                    const char *name);

#endif
