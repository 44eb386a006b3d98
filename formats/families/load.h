/*
 * Descriptions of families: those that are built in, and a user's file. Both
 * go through the same parser and the same checks.
 *
 * Errors of descriptions are GQA_ERR_FORMAT, "FILE:LINE: key 'a.b': ...".
 */
#ifndef GQA_FORMATS_FAMILIES_LOAD_H
#define GQA_FORMATS_FAMILIES_LOAD_H

#include "formats/families/family.h"

/* A description that is built in, and what tells whether it may match. */
struct gqa_builtin_family {
    const char *name, *file;
    const char *text;
    size_t length;
    gqa_texts model_types;
    gqa_texts signs;       /* patterns that names of its attentions hold */
    gqa_texts keras_signs; /* parts that names of its KerasHub layers hold */
};

struct gqa_library {
    const struct gqa_builtin_family *items;
    size_t n;
};

extern const struct gqa_library gqa_builtin_families;

/* A user's description, checked with each of its model types. */
struct gqa_family_file;

/* Errors also GQA_ERR_IO, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_family_file_open(struct gqa_family_file **out,
                                     const char *path);
void gqa_family_file_free(struct gqa_family_file *file);
/* All of it. Lent. */
const char *gqa_family_file_text(const struct gqa_family_file *file,
                                 size_t *length);

/*
 * The family that a text describes, with what it says of a model type (NULL:
 * of all). library: what "like" may name. The caller ends it with
 * gqa_family_free().
 */
GQA_MUST_USE
enum gqa_status gqa_family_parse(struct gqa_family **out,
                                 const struct gqa_library *library,
                                 const char *file, const char *text,
                                 size_t length, const char *model_type);

/*
 * Families that may describe a model: the user's first, if there is one, then
 * those that are built in. *out is NULL where this is not among them.
 */
struct gqa_family_choice {
    const struct gqa_family_file *own; /* may be NULL */
    const struct gqa_library *library;
};

size_t gqa_family_count(const struct gqa_family_choice *choice);

/* Whether number i says that it is of this type. */
bool gqa_family_has_type(const struct gqa_family_choice *choice, size_t i,
                         const char *model_type);

/* Whether a tensor's name shows that number i may describe it. */
bool gqa_family_may_name(const struct gqa_family_choice *choice, size_t i,
                         const char *name);

/* The same for a variable of KerasHub. */
bool gqa_family_may_name_keras(const struct gqa_family_choice *choice, size_t i,
                               const char *name);

/* Number i, for a model type or, with NULL, for all of them: for its only one
 * where it has one. */
GQA_MUST_USE
enum gqa_status gqa_family_load(struct gqa_family **out,
                                const struct gqa_family_choice *choice,
                                size_t i, const char *model_type);

/* "t5, mt5, ...": every type of the numbers from first to before end; cut to
 * fit. */
void gqa_family_list_types(char *out, size_t size,
                           const struct gqa_family_choice *choice, size_t first,
                           size_t end);

/* The known type that somebody may have meant, or NULL. Lent. */
const char *gqa_family_near_type(const struct gqa_family_choice *choice,
                                 const char *model_type);

/* Where messages say that number i comes from. */
const char *gqa_family_source(const struct gqa_family_choice *choice, size_t i);

#endif
