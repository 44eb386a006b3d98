/*
 * Models that hold a language model beside other parts, for images or sound.
 * Its configuration is an object within theirs, which says its own model type,
 * and its names begin with more. One table, for all of them: what the language
 * model is, its own family describes.
 */
#ifndef GQA_FORMATS_FAMILIES_NESTED_H
#define GQA_FORMATS_FAMILIES_NESTED_H

#include "formats/families/family.h"

/* By which class an Auto class loads the whole. */
struct gqa_nested_class {
    const char *loader, *class;
};

/*
 * Whose tie_word_embeddings says that the embedding makes the logits. Where a
 * matrix of its own is there as well, transformers 5 takes that.
 */
enum gqa_nested_tied {
    GQA_TIED_INSIDE,       /* the language model's */
    GQA_TIED_OUTSIDE_IN_5, /* in transformers 5 that of the whole, in 4 the
                              language model's */
    GQA_TIED_EITHER_IN_5,  /* in transformers 5 any of the two */
    GQA_TIED_OUTSIDE,      /* that of the whole */
};

struct gqa_nested {
    const char *model_type; /* of the whole */
    const char *config;     /* the key that the inner configuration stands at */
    const char *inner_type; /* where that says no model_type */
    gqa_texts prefixes;     /* before names of the language model */
    /* Where transformers has no grouped class for the language model: the
     * classes of a module that loads the whole (remote_code.h), and what the
     * language model is called in them; NULL: there is no module. */
    const struct gqa_nested_class *classes; /* loader NULL ends */
    const char *attribute;
    enum gqa_nested_tied tied;
    /* What keys of the whole stand for where they are not there: JSON; NULL:
     * none is known. */
    const char *silent;
};

/* model_type NULL ends. */
extern const struct gqa_nested gqa_nested_types[];

/* NULL: a model of this type is its language model. */
const struct gqa_nested *gqa_nested_find(const char *model_type);

/* Put the prefixes before all names of the family. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_nested_names(struct gqa_family *family,
                                 const struct gqa_nested *nested);

#endif
