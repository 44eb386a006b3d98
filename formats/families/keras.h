/* What KerasHub calls a family's parameters and its configuration. */
#ifndef GQA_FORMATS_FAMILIES_KERAS_H
#define GQA_FORMATS_FAMILIES_KERAS_H

#include "formats/families/behaviours.h"
#include "formats/families/setting.h"

struct gqa_refusal;

/*
 * How a KerasHub variable becomes (a part of) a Hugging Face parameter. In
 * paths '%' stands for a layer's number, '$' for the backbone's `layers`.
 */
struct gqa_keras_rule {
    /*
     * Path of the variable: layer, attributes and variable number of a
     * .weights.h5 ("llama_transformer_decoder%/feedforward_gate_dense/0"),
     * leading underscores dropped.
     */
    const char *path;
    const char *whole; /* its path in a whole-model .h5, or NULL */
    /* The parameter's whole name; "": it is left out, for the configuration
     * says what it does. */
    const char *is;
    bool turned; /* its matrix lies transposed, [in, out] */
    /* Leading axes of the kernel that are its input: (D,H,d) 1, (H,d,D) 2. */
    uint64_t input_axes; /* behind that of blocks */
    /* Which part of a fused parameter, and along which axis. */
    uint64_t part, parts, axis;
    /* The parts alternate: those of the first head, of the second, ... */
    bool by_head;
    /* Rows that the parameter has before the variable's, and nobody reads. */
    uint64_t unused_rows;
    bool convolution; /* a kernel (places, inputs, outputs) */
    /* Its first axis counts matrices, of which the other axes are: each is a
     * parameter where `is` has a second '%', which is its number; else they
     * lie above one another in one. */
    bool blocks;
    /* A second parameter: its outputs lie behind the first one's, as many. */
    const char *then;
    /* The rule holds where some path has this component ("!": where none
     * has); NULL: always. */
    const char *when;
};

/* A KerasHub backbone that the rules describe. */
struct gqa_keras_backbone {
    const char *class_name; /* of the preset */
    const char *layers;     /* '$': how its layer classes begin */
    const char *model_type; /* Hugging Face's */
    const json_t *config;   /* laid over that of all backbones; or NULL */
};

struct gqa_keras_names {
    bool given;
    const struct gqa_keras_backbone *backbones;
    size_t n_backbones;
    const struct gqa_keras_rule *rules;
    size_t n_rules;
    /*
     * Layers numbered through both stacks: rules for the decoder's layers
     * apply to those with cross-attention, numbered from the first one; those
     * for the encoder's to the others.
     */
    bool numbered_through;
    /* Layers that a whole-model .h5 numbers by a counter of the process that
     * made them; which is which is told by their order in a layer. NULL: none.
     */
    gqa_texts counted;
    /* Hugging Face's key to a setting of the preset; a key of an object within
     * is "object.key". */
    const json_t *config;
    /* Hugging Face's type of the whole that such a model is a part of
     * (nested.h), and its keys likewise, but for those of the part. NULL: it is
     * the whole. */
    const char *within;
    const json_t *outer;
    gqa_texts unread; /* keys of a preset that decide nothing */
    /* Values of its keys that nothing of Hugging Face's says. */
    const struct gqa_refusal *refusals;
    size_t n_refusals;
    /* Values that it computes a little otherwise: told of. */
    const struct gqa_refusal *readings;
    size_t n_readings;
    enum gqa_keras_finish finish;
};

/*
 * The KerasHub backbone in a configuration of Keras, "class_name" and "config":
 * the whole of a preset's, a part of a task's or of another model's. NULL:
 * there is none. n: receives how many there are, and the first is returned.
 */
const json_t *gqa_config_backbone(const json_t *config, size_t *n);

/* "LlamaBackbone", also where it is registered as "keras_hub>LlamaBackbone". */
const char *gqa_backbone_class(const json_t *backbone);

#endif
