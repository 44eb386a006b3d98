/*
 * Families of models, as data: adding one is a table entry and a fixture.
 * Only the code that makes a gqa_model reads this.
 *
 * Patterns: '%' stands for a layer number, '$' for the class prefix of a
 * KerasHub variant.
 */
#ifndef GQA_FORMATS_FAMILIES_FAMILY_H
#define GQA_FORMATS_FAMILIES_FAMILY_H

#include "formats/model/model.h"

/*
 * Attentions of one stack and kind. `module` is the Hugging Face name of
 * the attention without the family's prefix; q, k, v and o name its
 * projections (".weight", ".bias" follow). A fused projection has q, k and
 * v equal.
 */
struct gqa_attention_rule {
    enum gqa_stack stack;
    enum gqa_attention_kind kind;
    const char *module;
    const char *q, *k, *v, *o;
    enum gqa_head_layout layout;
    /* Conv1D: weights are [in, out], so heads lie in columns. */
    bool input_major;
    enum gqa_position_scheme position;
};

/* Keys of config.json; NULL where the family has none. */
struct gqa_config_keys {
    const char *n_heads;
    const char *head_dim;
    const char *d_model;
    const char *n_layers;
    const char *n_decoder_layers;
    const char *vocab_size;
    const char *rotary_share; /* of head_dim; NULL: no RoPE */
    double rotary_default;    /* where config.json has no such key */
};

/* How the family draws fresh key and value projections. */
struct gqa_initialiser {
    const char *key;   /* config.json: standard deviation or factor */
    double value;      /* where the key is absent */
    bool over_d_model; /* the deviation is the value / sqrt(d_model) */
};

/* How a KerasHub variable becomes (a part of) a Hugging Face parameter. */
enum gqa_keras_shape {
    GQA_KERAS_AS_IS, /* same order of elements, flattened to a matrix */
    GQA_KERAS_TURN,  /* transposed to [out, in] */
};

struct gqa_keras_rule {
    /*
     * Path of the variable: layer, attributes and variable number of a
     * .weights.h5 ("llama_transformer_decoder%/feedforward_gate_dense/0"),
     * leading underscores dropped.
     */
    const char *path;
    /* The variable's path in a whole-model .h5, or NULL. */
    const char *legacy;
    const char *hf; /* without the family's prefix where it has one */
    enum gqa_keras_shape shape;
    /* Leading axes of the kernel that are its input: (D,H,d) 1, (H,d,D) 2. */
    unsigned n_in_axes;
    /* Which part of a fused parameter, and along which axis. */
    unsigned part, n_parts, axis;
    /* The rule holds where some path has this component ("!": where none
     * has); NULL: always. */
    const char *when;
};

/* A KerasHub backbone that a family's rules describe. */
struct gqa_keras_variant {
    const char *prefix;     /* '$' of its layer classes */
    const char *backbone;   /* class_name of the preset */
    const char *model_type; /* Hugging Face's */
};

/* A key of a KerasHub preset and Hugging Face's; a constant has no keras. */
struct gqa_keras_key {
    const char *keras;
    const char *hf;
    const char *constant; /* JSON text */
};

struct gqa_keras_names {
    const struct gqa_keras_variant *variants; /* prefix NULL ends */
    const struct gqa_keras_rule *rules;       /* path NULL ends */
    /*
     * Layers numbered through both stacks: rules whose Hugging Face name
     * begins with "decoder." apply to layers with cross-attention, numbered
     * from the first one; those with "encoder." to the others.
     */
    bool numbered_through;
    const struct gqa_keras_key *keys; /* hf NULL ends */
    /* What one key for another cannot say; NULL: nothing. */
    void (*finish_config)(json_t *hf, const json_t *preset);
};

struct gqa_family {
    const char *name;
    const char *const *model_types; /* NULL ends */
    const char *const *prefixes;    /* of names; NULL ends; preferred first */
    const struct gqa_attention_rule *rules;
    size_t n_rules;
    struct gqa_config_keys keys;
    const char *embedding;          /* [vocab_size, d_model] */
    const char *unembedding;        /* whole name; absent where tied */
    const char *const *extra_names; /* allowed in a module; NULL ends */
    const char *heads_proof;        /* in a module; its columns are the heads */
    struct gqa_initialiser initialiser;
    const struct gqa_keras_names *keras;
};

/*
 * A whole number > 0 of the configuration; *out stays as it is where the
 * key is NULL or absent, or its value null. Errors GQA_ERR_FORMAT.
 */
GQA_MUST_USE
enum gqa_status gqa_config_count(uint64_t *out, const json_t *config,
                                 const char *key, const char *path);

/* True for the configuration of a KerasHub backbone. */
bool gqa_config_is_preset(const json_t *config);

/*
 * Hugging Face's configuration for a KerasHub preset's. variant: NULL where
 * the variables do not tell; then the preset's class does, and *variant
 * receives it. The caller owns *out.
 */
GQA_MUST_USE
enum gqa_status gqa_config_from_preset(json_t **out,
                                       const struct gqa_keras_variant **variant,
                                       const struct gqa_family *family,
                                       const json_t *preset);

/* All families; NULL ends. */
extern const struct gqa_family *const gqa_families[];

/*
 * Does name match pattern? '%' matches a decimal number without leading
 * zeros, stored in *number; a pattern may have one. tail: receives where in
 * name the pattern ended; NULL: the whole name must match.
 */
bool gqa_pattern_match(const char *pattern, const char *name, uint64_t *number,
                       const char **tail);

#endif
