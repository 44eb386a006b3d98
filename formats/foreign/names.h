/* Files that are not read, by their names. */
#ifndef GQA_FORMATS_FOREIGN_NAMES_H
#define GQA_FORMATS_FOREIGN_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct gqa_foreign_name {
    const char *pattern; /* of fnmatch(3) */
    const char *advice;  /* what it is and what to do */
    /* Whether the name says more than what the file begins with. */
    bool decides;
};

/* What tells most comes first: of a folder's files the first that fits an
 * early one is told of. */
extern const struct gqa_foreign_name gqa_foreign_names[];
extern const size_t gqa_n_foreign_names;

/* The first that the name of a file fits, or NULL. path may have folders. */
const struct gqa_foreign_name *gqa_foreign_name_find(const char *path);

/* Whether a file of that name is made of a finished model, or stands beside
 * one: an adapter, a state of training, a form to run it in. */
bool gqa_foreign_name_is_made(const char *name);

#endif
