/*
 * What the tensors of a checkpoint mean: the family, its dimensions, each
 * parameter in Hugging Face name and orientation, and where in them the
 * heads of every attention lie. Convert, inspect, verify and the runtime
 * all read this one description.
 */
#ifndef GQA_FORMATS_MODEL_MODEL_H
#define GQA_FORMATS_MODEL_MODEL_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/checkpoint.h"

/*
 * A parameter's part as it lies in a tensor of the checkpoint: a matrix of
 * rows x cols elements, row-major as it stands or transposed. Element
 * (r, c) is element r * cols + c of the tensor, or c * rows + r. Where the
 * tensor holds more than that, it begins at element `first`, and `pitch` stands
 * for the cols or the rows of that product.
 *
 * A transposed one may be a convolution's kernel, whose places come first in
 * the tensor, [places, inputs, rows], and last in the parameter, [rows, inputs,
 * places]: its column i * places + p is column p * inputs + i.
 */
struct gqa_view {
    size_t tensor; /* index in the checkpoint */
    uint64_t rows, cols;
    bool transposed;
    uint64_t places; /* of a convolution, which is transposed; else 0 */
    uint64_t first;
    uint64_t pitch; /* 0: the tensor has no more in a row than the view */
};

/*
 * A parameter in Hugging Face name, shape and orientation. As a matrix it
 * has rows = shape[0] and cols = the product of the rest (rank 1: cols 1;
 * rank 0: 1 x 1). Its parts lie side by side along `axis`: 0 stacks their
 * rows, 1 their columns. Most have one part, which is the whole tensor.
 */
struct gqa_param {
    char *name;
    enum gqa_dtype dtype;
    unsigned rank;
    uint64_t shape[GQA_MAX_RANK];
    uint64_t n_elements, n_bytes;
    uint64_t rows, cols;
    unsigned axis;
    size_t n_parts;
    struct gqa_view *parts;
};

enum gqa_stack { GQA_STACK_ENCODER, GQA_STACK_DECODER };
enum gqa_attention_kind { GQA_ATTENTION_SELF, GQA_ATTENTION_CROSS };

enum gqa_position_scheme {
    GQA_POSITION_NONE,
    GQA_POSITION_ROPE,
    GQA_POSITION_RELATIVE_BIAS, /* T5: a learned bias per query head */
    GQA_POSITION_ALIBI,
    GQA_POSITION_LEARNED,    /* added to the embeddings */
    GQA_POSITION_SINUSOIDAL, /* likewise: sines and cosines */
};

struct gqa_position {
    enum gqa_position_scheme scheme;
    /* RoPE: rotated dimensions of each head; pairs (j, j + rotary_dim/2),
     * or (2j, 2j + 1) when interleaved. */
    uint64_t rotary_dim;
    bool interleaved;
};

/* How the heads of an attention lie in its parameters. */
enum gqa_head_layout {
    GQA_HEADS_SEPARATE,    /* q, k, v each of their own */
    GQA_HEADS_FUSED_QKV,   /* [all of q | all of k | all of v] */
    GQA_HEADS_FUSED_GROUP, /* for each KV head: its q heads, k, v */
    GQA_HEADS_FUSED_KV,    /* q of its own, [all of k | all of v] */
    /* GQA_HEAD_BLOCKS times [q | v | k] of as many heads: CodeGen's, who was
     * trained on so many chips */
    GQA_HEADS_FUSED_BLOCKS,
};
enum { GQA_HEAD_BLOCKS = 4 };

/* The cost of a plan grows with the heads, which a file must not set. */
enum { GQA_MAX_HEADS = 16384 };

/*
 * The heads of q, k or v, or the inputs that o takes from each head. Head h
 * covers head_dim indices of the weight's `axis` (0 rows, 1 columns) from
 *
 *     base + (h / per_block) * block_stride + (h % per_block) * head_dim
 *
 * and the same indices of the bias, where there is one.
 */
struct gqa_slice {
    size_t weight; /* param index */
    size_t bias;   /* param index, or GQA_NO_PARAM */
    unsigned axis;
    uint64_t n_heads;
    uint64_t base, per_block, block_stride;
};

#define GQA_NO_PARAM ((size_t)-1)

/* First index of head h along slice->axis. */
uint64_t gqa_slice_head(const struct gqa_slice *slice, uint64_t head_dim,
                        uint64_t h);

/* From a head to the next one of its block, or of the next block where each
 * has one. */
uint64_t gqa_slice_stride(const struct gqa_slice *slice, uint64_t head_dim);

/* Whether so many KV heads can lie in this layout. */
bool gqa_layout_takes(enum gqa_head_layout layout, uint64_t n_kv_heads);

struct gqa_attention {
    enum gqa_stack stack;
    enum gqa_attention_kind kind;
    uint64_t layer; /* within its stack */
    uint64_t n_heads, n_kv_heads, head_dim;
    enum gqa_head_layout layout;
    struct gqa_position position;
    struct gqa_slice q, k, v, o;
    /* Queries and keys are normed before they are rotated, all heads of each
     * together; the weight of the keys' norm: [n_kv_heads * head_dim]. */
    bool full_norms;
    bool
        shared_norm; /* or keys are, each head by itself, by the same weights */
    size_t k_norm;   /* param index; only with full_norms */
    /* Param of a number for each query head, which goes with the head: it has
     * a share of its softmax (network.h). GQA_NO_PARAM: there is none. */
    size_t sinks;
};

struct gqa_family;
struct gqa_family_file;

struct gqa_model {
    struct gqa_family *family; /* owned */
    char *config_path; /* for messages; NULL: there was no configuration */
    char *model_type;  /* Hugging Face's, or NULL: not known */
    uint64_t n_layers; /* encoder layers of an encoder-decoder */
    uint64_t n_decoder_layers; /* encoder-decoder only, else 0 */
    uint64_t d_model, vocab_size;
    struct gqa_param *params; /* in the order of their names */
    size_t n_params;
    struct gqa_attention *attentions; /* encoder first, by layer, self
                                         before cross */
    size_t n_attentions;
    /*
     * The configuration in Hugging Face's keys, owned: a copy of the
     * checkpoint's, or one made from a KerasHub preset or the shapes.
     */
    json_t *config;
    /* Where the model is a part of a larger one: the configuration of that,
     * owned, and the key that `config` stands at in it; else NULL. */
    json_t *outer_config;
    const char *within;
    bool config_is_complete; /* it came from a config.json, not from shapes */
};

struct gqa_nested; /* families/nested.h */

/* What the user says where shapes alone prove nothing; 0 and NULL: unsaid. */
struct gqa_model_hints {
    uint64_t n_heads;
    uint64_t head_dim;
    /* A description of a family that is not built in (families/load.h), lent;
     * it counts more than those that are. */
    const struct gqa_family_file *family;
};

/*
 * Find out what the checkpoint's tensors mean. Reads no tensor data.
 *
 * out    receives the model on GQA_OK; the caller owns it and ends it with
 *        gqa_model_free(). It keeps no reference to the checkpoint but for
 *        the tensor indices.
 * Errors GQA_ERR_UNSUPPORTED: a family we do not know, or a feature that
 *        grouping would break; GQA_ERR_FORMAT: tensors missing, extra or
 *        misshapen, or a configuration that does not fit them;
 *        GQA_ERR_USAGE: a hint is needed, and the message names the option.
 */
GQA_MUST_USE
enum gqa_status gqa_model_create(struct gqa_model **out,
                                 const struct gqa_checkpoint *checkpoint,
                                 const struct gqa_model_hints *hints);
void gqa_model_free(struct gqa_model *model);

/* Index of the parameter of this name; false where there is none. */
bool gqa_model_find(const struct gqa_model *model, const char *name,
                    size_t *index);

/*
 * The whole configuration with this one for the model's; takes config. The
 * caller owns the result, which is incomplete or NULL where memory was short,
 * as gqa_json_check() tells.
 */
json_t *gqa_model_put_config(const struct gqa_model *model, json_t *config);

/* What holds the model; NULL: it is one by itself. */
const struct gqa_nested *gqa_model_nested(const struct gqa_model *model);

/* The whole configuration as it was read, or the model's where it is that.
 * Lent. */
json_t *gqa_model_whole_config(const struct gqa_model *model);

/* Whether a configuration tells loaders what they load: a type, or classes of
 * its own. */
bool gqa_config_tells_class(const json_t *config);

/* The model's part of a whole configuration. Lent by it; NULL: none. */
const json_t *gqa_model_config_in(const struct gqa_model *model,
                                  const json_t *whole);

const char *gqa_family_name(const struct gqa_family *family);
bool gqa_model_is_encoder_decoder(const struct gqa_model *model);
const char *gqa_stack_name(enum gqa_stack stack);
const char *gqa_attention_kind_name(enum gqa_attention_kind kind);
const char *gqa_head_layout_name(enum gqa_head_layout layout);
const char *gqa_position_name(const struct gqa_position *position);

/*
 * Read the rectangle [row, row + n_rows) x [col, col + n_cols) of a
 * parameter's matrix into buf, row-major, in the parameter's dtype (of
 * whole bytes).
 *
 * pitch    elements from one row of buf to the next, at least n_cols.
 * scratch  room for the rectangle's bytes, for parts that lie transposed or
 *          do not fill the rows of buf.
 * Any thread. Errors as gqa_checkpoint_read().
 */
GQA_MUST_USE
enum gqa_status gqa_param_read(struct gqa_checkpoint *checkpoint,
                               const struct gqa_param *param, uint64_t row,
                               uint64_t n_rows, uint64_t col, uint64_t n_cols,
                               void *buf, uint64_t pitch, void *scratch);

/*
 * The first attention of a decoder that is grouped: what a configuration's
 * number of KV heads has to say. NULL: none is, or those of a layer differ,
 * which no key can say. Lent.
 */
const struct gqa_attention *gqa_grouped_by_key(const struct gqa_model *model);

/* Query heads of the attentions that a configuration speaks of: the decoder's,
 * or the encoder's where there is none. */
uint64_t gqa_model_n_heads(const struct gqa_model *model);

/* KV heads of every attention of the decoder; 0: they differ. */
uint64_t gqa_model_kv_heads(const struct gqa_model *model);

#endif
