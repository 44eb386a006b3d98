/*
 * A description as it is read: texts laid over each other, and the merged
 * whole that all of a gqa_family is lent by. For the code that makes one.
 */
#ifndef GQA_FORMATS_FAMILIES_DESCRIPTION_H
#define GQA_FORMATS_FAMILIES_DESCRIPTION_H

#include "formats/families/family.h"
#include "formats/families/load.h"
#include "formats/families/locate.h"

enum { GQA_MAX_LAYERS = 16 };

/* A text that says a part of the whole: all of a file, or what it says of one
 * model type. */
struct gqa_description_layer {
    const char *file, *text; /* lent until all is read, for messages */
    size_t length;
    const char *model_type; /* NULL: all of the file */
};

struct gqa_description {
    struct gqa_description_layer layers[GQA_MAX_LAYERS]; /* the last said, the
                                                            one that holds, is
                                                            first */
    size_t n_layers;
    json_t *root;   /* all of them merged, owned */
    json_t *parsed; /* the first file's, owned: lends names of model types */
    void **owned;   /* lists and texts that JSON has not as they are needed */
    size_t n_owned;
};

/* The keys of a whole description that say how a model computes. */
extern const char *const gqa_computing_parts[];

/* Whether a setting, or one within an object of more, reads that key, or a part
 * of it ("key.part"). settings: may be NULL. */
bool gqa_settings_read(const json_t *settings, const char *key);

/*
 * What a description says at a place is wrong: "FILE:LINE: key 'a.b': ...",
 * or of the nearest place above it that there is. GQA_ERR_FORMAT.
 */
enum gqa_status gqa_description_fail(const struct gqa_description *d,
                                     const struct gqa_place *place,
                                     const char *fmt, ...) GQA_PRINTF(3, 4);

/* Zeroed memory that the description owns; NULL: there is none. */
void *gqa_description_allocate(struct gqa_description *d, size_t n,
                               size_t size);

/* Without the inherited refusals of keys that the description itself, with
 * what it says of model_type (or NULL), lays settings over. GQA_ERR_NOMEM
 * alone. */
GQA_MUST_USE
enum gqa_status gqa_lift_refusals(struct gqa_description *d,
                                  const char *model_type);

/* Fill the family from description->root, whose layers it owns already.
 * Errors by gqa_description_fail(). */
GQA_MUST_USE
enum gqa_status gqa_family_fill(struct gqa_family *family);

/* What no key by itself shows: contradictions. Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_family_check(const struct gqa_family *family);

#endif
