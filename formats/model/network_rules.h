/* Families of models, as data: what their parts are called and which
 * variants the configuration chooses among. Only network.c reads this. */
#ifndef GQA_FORMATS_MODEL_NETWORK_RULES_H
#define GQA_FORMATS_MODEL_NETWORK_RULES_H

#include "formats/model/network.h"

/* Names of modules, without the family's prefix; ".weight" and ".bias"
 * follow. Those of a block are within a layer. NULL: no such part. */
struct gqa_stack_rule {
    const char *layer; /* '%' stands for the layer's number */
    const char *self_norm, *cross_norm, *ff_norm;
    /* With a gate; `plain` is the only projection up where there is none. */
    const char *gate, *up, *plain, *down;
    const char *positions; /* learned ones */
    const char *final_norm;
};

struct gqa_network_builder;

struct gqa_network_rule {
    const char *family;
    /* Several types share the names, and only a configuration tells them
     * apart; or its values cannot be guessed. */
    bool needs_config;
    struct gqa_stack_rule stacks[2]; /* in the order of gqa_stack; layer NULL:
                                        none */
    bool input_major;                /* weights of linear maps */
    enum gqa_norm_kind norm;
    const char *eps_key;
    double eps;
    const char *activation_key, *activation; /* and what it is by default */
    bool scores_scaled;                      /* by 1 / sqrt(head_dim) */
    const char *theta_key;
    double theta;
    bool tied; /* the unembedding where there is none, by default */
    const char *other_unembedding; /* another name for it, or NULL */
    const char *start_key;         /* token that a decoder begins with */
    /* What is this family's alone: before there are blocks, and when all is
     * there; either may be NULL. */
    enum gqa_status (*begin)(struct gqa_network_builder *b);
    enum gqa_status (*finish)(struct gqa_network_builder *b);
};

struct gqa_network_builder {
    const struct gqa_network_rule *rule;
    const struct gqa_model *model;
    const char *prefix; /* of the parameters' names */
    struct gqa_network *network;
    double eps;
    bool tied, gated;
    bool bias_by_layer; /* a table of relative bias in each, not one for all */
    enum gqa_activation activation;
};

/* Ends with a rule without a family. */
extern const struct gqa_network_rule gqa_network_rules[];

/* Errors GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_activation_parse(enum gqa_activation *out,
                                     const char *name);

#endif
