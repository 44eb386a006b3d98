/*
 * The parameters that a model must and may have, by its family's description
 * and its configuration, held against those that it has: what is missing, of
 * another shape, left over; and what each is to the model.
 *
 * Stock loaders draw what is missing afresh, skip what is left over, and go
 * on; here both are faults.
 */
#ifndef GQA_FORMATS_MODEL_INVENTORY_H
#define GQA_FORMATS_MODEL_INVENTORY_H

#include "common/functions.h"
#include "formats/model/model.h"

/* What a parameter is to the model. */
enum gqa_param_role {
    GQA_ROLE_EXTRA,   /* nothing that we know of: a left-over */
    GQA_ROLE_NETWORK, /* a weight that it computes with */
    GQA_ROLE_COPY,    /* the embedding once more, where it is tied */
    GQA_ROLE_HEAD,    /* of the task that `architectures` names */
    GQA_ROLE_OUTER,   /* of the larger model that this one is a part of */
    GQA_ROLE_BUFFER,  /* a constant that nothing reads */
    GQA_ROLE_SCALE,   /* beside a weight that is stored in fewer bits */
    GQA_ROLE_BESIDE,  /* of a part of the model that nothing here reads */
    GQA_ROLE_CHOICE,  /* a weight by which experts are chosen, of which a
                         rounded one chooses others: its type stays */
};

/* Whether loaders that take no more than a model needs are given it. */
bool gqa_role_is_needless(enum gqa_param_role role);

enum gqa_fault_kind {
    GQA_FAULT_NUMBER,    /* of the configuration, which no model has */
    GQA_FAULT_CONFIG,    /* a key of the configuration contradicts tensors */
    GQA_FAULT_MISSING,   /* a parameter */
    GQA_FAULT_SHAPE,     /* of a parameter */
    GQA_FAULT_EXTRA,     /* a left-over */
    GQA_FAULT_ATTENTION, /* a left-over that looks like an attention's */
    GQA_N_FAULT_KINDS,
};

struct gqa_fault {
    enum gqa_fault_kind kind;
    char *name; /* of the parameter, or the key */
    char *text; /* "'model.norm.weight' [32]", or the whole contradiction */
};

struct gqa_inventory {
    enum gqa_param_role *roles; /* [n_params] of the model */
    struct gqa_fault *faults;   /* in the order of their kinds */
    size_t n_faults;
    size_t n_of[GQA_N_FAULT_KINDS];
    /* By the tensors; 0: not known, or there are none. */
    uint64_t d_ff[2], vocab_size, n_positions; /* d_ff: by gqa_stack */
    uint64_t expert_d_ff;
    /* A left-over with a known cause, or NULL; and why parameters may be
     * missing or misshapen. Clauses. */
    const char *extra_cause;
    char missing_cause[512];
};

/*
 * Take the inventory of a model that was made from this checkpoint. Faults
 * are no errors. The caller ends it with gqa_inventory_free().
 *
 * Errors GQA_ERR_FORMAT: a key of the configuration that decides what there
 *        must be has a value that it cannot have; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_inventory_create(struct gqa_inventory **out,
                                     const struct gqa_model *model,
                                     const struct gqa_checkpoint *checkpoint);
void gqa_inventory_free(struct gqa_inventory *inventory);

/* Whether --dtype converts parameters of this role (if they are floats). */
bool gqa_role_is_converted(enum gqa_param_role role);

/*
 * The faults of kinds first to last in one line: how many, the first names,
 * the likely cause; "" where there are none.
 */
void gqa_inventory_text(char *out, size_t size,
                        const struct gqa_inventory *inventory,
                        enum gqa_fault_kind first, enum gqa_fault_kind last);

#endif
