/*
 * The names that a pickle may refer to, and what each means. Nothing is looked
 * up in any program: a name that is not in the table ends the reading.
 */
#ifndef GQA_FORMATS_TORCH_GLOBALS_H
#define GQA_FORMATS_TORCH_GLOBALS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/dtype.h"

enum gqa_pickle_role {
    GQA_PICKLE_IS_DICT,      /* made of nothing, or of pairs */
    GQA_PICKLE_IS_DEFAULT,   /* a dict, made of what it has by default */
    GQA_PICKLE_IS_SIZE,      /* a tuple, made of one */
    GQA_PICKLE_IS_SET,       /* made of a list */
    GQA_PICKLE_IS_REBUILD,   /* a tensor: storage, offset, size, stride... */
    GQA_PICKLE_IS_REBUILD_3, /* with its type behind two more */
    GQA_PICKLE_IS_PARAMETER, /* its tensor comes first */
    GQA_PICKLE_IS_FROM_TYPE, /* calls another: function, class, arguments... */
    GQA_PICKLE_IS_TENSOR,    /* class of what has no more than that */
    GQA_PICKLE_IS_STORAGE,
    GQA_PICKLE_IS_DTYPE,
    GQA_PICKLE_IS_OBJECT, /* of no concern: whatever comes of it */
};

struct gqa_pickle_global {
    const char *module, *name;
    enum gqa_pickle_role role;
    /* Of a storage or dtype: its elements'; false: some that we do not read,
     * or bytes. */
    bool has_dtype;
    enum gqa_dtype dtype;
    unsigned element_bytes; /* of a storage */
};

extern const struct gqa_pickle_global gqa_pickle_globals[];

/* Its number in the table; false: it is not there. */
bool gqa_pickle_global_find(size_t *out, const char *module, const char *name);

#endif
