/*
 * Which family a checkpoint's model is of, by its configuration or by names.
 * Part of making a gqa_model.
 */
#ifndef GQA_FORMATS_MODEL_FIND_FAMILY_H
#define GQA_FORMATS_MODEL_FIND_FAMILY_H

#include "formats/families/load.h"
#include "formats/families/nested.h"
#include "formats/model/attentions.h"
#include "formats/model/params.h"

/* What is gathered on the way to a model. */
struct gqa_model_builder {
    const struct gqa_checkpoint *checkpoint;
    const struct gqa_model_hints *hints;
    struct gqa_params params;
    struct gqa_family_choice choice;
    size_t number; /* of the family among the choice */
    struct gqa_family *family;
    bool is_of_type; /* the configuration's model type is one of families */
    /* Model type of KerasHub's backbone, lent by the family that the names
     * told; NULL: not known, or none. */
    const char *backbone_type;
    struct gqa_found_attention *found;
    size_t n_found;
    bool keeps_names; /* names are not tried without what stands before them */
    const struct gqa_nested *nested; /* of what holds the model, or NULL */
    json_t *config;                  /* Hugging Face's, owned, or NULL */
    json_t *outer; /* of the whole, where that of KerasHub's says it; owned */
    const char *config_path; /* for messages */
};

/*
 * Name the parameters, find the family, its attentions and the configuration
 * in Hugging Face's keys. Errors as gqa_model_create().
 */
GQA_MUST_USE
enum gqa_status gqa_find_family(struct gqa_model_builder *b);

#endif
