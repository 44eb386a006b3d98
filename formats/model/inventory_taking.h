/* Taking an inventory: what its parts share. */
#ifndef GQA_FORMATS_MODEL_INVENTORY_TAKING_H
#define GQA_FORMATS_MODEL_INVENTORY_TAKING_H

#include "formats/families/family.h"
#include "formats/model/inventory.h"
#include "formats/model/network_params.h"

struct gqa_taking {
    struct gqa_inventory *out;
    const struct gqa_model *model;
    const struct gqa_family *family;
    const struct gqa_checkpoint *checkpoint;
    struct gqa_network_builder names; /* for the functions that make names */
    bool is_known; /* the configuration was written for the model */
    uint64_t d_ff[2], vocab_size; /* by stack; 0: not known */
    size_t n_turned;              /* misshapen ones that are so transposed */
    const char *telling_name;     /* of the left-over that tells the cause */
};

/* Note a fault; fmt makes its text. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_taking_fault(struct gqa_taking *t, enum gqa_fault_kind kind,
                                 const char *name, const char *fmt, ...)
    GQA_PRINTF(4, 5);

bool gqa_taking_find(const struct gqa_taking *t, const char *name,
                     size_t *index);

/* How many layers the stack has. */
uint64_t gqa_taking_layers(const struct gqa_taking *t, enum gqa_stack stack);

/* Whether the feed-forward has a gate; where no configuration tells, whether
 * the first layer has one. Errors as gqa_setting_flag(). */
GQA_MUST_USE
enum gqa_status gqa_taking_gated(bool *out, const struct gqa_taking *t,
                                 enum gqa_stack stack);

/* "[64, 32]"; "of no dimension" for a scalar. */
struct gqa_shape_text {
    char text[GQA_MAX_RANK * 22 + 16];
};
const char *gqa_shape_text(struct gqa_shape_text *out, unsigned rank,
                           const uint64_t *shape);

/* rank 1: a vector of `rows`, 2: a matrix; a length of 0 is any. */
bool gqa_shape_fits(const struct gqa_param *p, unsigned rank, uint64_t rows,
                    uint64_t cols);

/* What a class that `architectures` names has. */
enum gqa_model_class {
    GQA_CLASS_LM,      /* it makes logits */
    GQA_CLASS_BASE,    /* no head */
    GQA_CLASS_ENCODER, /* likewise, and no decoder */
    GQA_CLASS_TASK,    /* a head of its own */
};

/* The first class of this kind that loads the whole, or NULL; and whether any
 * is named. */
const char *gqa_class_named(const struct gqa_model *model,
                            enum gqa_model_class kind);
bool gqa_has_classes(const struct gqa_model *model);

/* Hold the configuration against the tensors; finds d_ff and vocab_size. */
GQA_MUST_USE
enum gqa_status gqa_take_config(struct gqa_taking *t);

/* The same of a claim that weights are quantised, once roles are given. */
GQA_MUST_USE
enum gqa_status gqa_take_quantised(struct gqa_taking *t);

/* The file that the configuration is from, for messages. */
const char *gqa_taking_config_path(const struct gqa_taking *t);

/* All parameters that there must and may be, each given its role. */
GQA_MUST_USE
enum gqa_status gqa_take_network(struct gqa_taking *t);

#endif
