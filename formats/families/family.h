/*
 * A family of models, as its description says (docs/families.md): the file in
 * memory, with what it inherits and what it says of one model type merged.
 * The code that makes a gqa_model and a gqa_network reads this; nothing else
 * knows one family from another.
 *
 * All texts are lent by the family. Names of modules have no prefix of the
 * family's, and ".weight" and ".bias" follow; NULL: no such part. In patterns
 * '%' stands for a layer's number.
 */
#ifndef GQA_FORMATS_FAMILIES_FAMILY_H
#define GQA_FORMATS_FAMILIES_FAMILY_H

#include "formats/families/behaviours.h"
#include "formats/families/keras.h"
#include "formats/families/setting.h"
#include "formats/model/network.h"

/* Keys of the configuration. Where there are several, the first that is
 * there counts, and the first of all is written. NULL: the family has none. */
struct gqa_config_keys {
    gqa_texts n_heads, n_kv_heads, head_dim, d_model, d_ff;
    /* In place of n_kv_heads, where words say their number (kv_said.h). */
    struct gqa_setting n_kv_heads_by;
    /* Read besides where those words say as many as there are query heads. */
    const char *n_kv_heads_also;
    /* decoder: of an encoder-decoder, where it says another number */
    gqa_texts n_decoder_heads, decoder_d_ff;
    gqa_texts expert_d_ff; /* where experts have a key of their own */
    gqa_texts n_layers, n_decoder_layers;
    uint64_t d_ff_per_d_model; /* times d_model where d_ff says nothing, or 0 */
    const char *d_ff_times; /* the key that says how many times d_model it is */
    uint64_t d_ff_times_stock; /* in transformers, whatever that says, or 0 */
    gqa_texts vocab_size, max_positions;
    gqa_texts start_token, end_token, pad_token;
    /* For comparing configurations: what keys stand for where they are not
     * there (an object of settings, or NULL), and those nothing reads. */
    const json_t *defaults;
    /* By key that transformers 5 writes one value of, whatever was there, what
     * 4 computes the same by; an object, or NULL. */
    const json_t *overwritten;
    gqa_texts unread;
    gqa_texts more_layers; /* layers behind the last that predict more tokens */
    /* What keys say together that elsewhere decide nothing; settings. */
    const json_t *decides;
    /* Keys that loaders have nothing in place of, and those that they have
     * nothing in place of a null of. */
    gqa_texts needed, not_null;
};

struct gqa_family_names {
    gqa_texts prefixes; /* before all names but `unembedding` */
    /* First of them in a class for answers to questions; NULL: as in all. */
    const char *answers_prefix;
    const char *embedding;
    gqa_texts unembedding; /* whole names */
    gqa_texts copies;      /* of the embedding: modules, read by nothing */
    gqa_texts ignored;     /* of an attention or the model, read by nothing */
    gqa_texts left_out;    /* beginnings of what stock classes do not load */
    gqa_texts beside; /* modules that nothing here reads, and all in them */
    const char *heads_proof; /* in an attention; its columns are the heads */
};

enum gqa_part_presence { GQA_PART_ABSENT, GQA_PART_PRESENT, GQA_PART_OPTIONAL };

struct gqa_norm_rule {
    enum gqa_norm_kind kind;
    struct gqa_setting eps;
    struct gqa_setting weight, bias; /* gqa_norm_parts() reads them */
    bool one_plus;                   /* times 1 + weight */
};

struct gqa_embedding_rule {
    struct gqa_setting table; /* of a stack: module in place of the family's */
    struct gqa_setting scale, norm;
    bool norm_first;          /* before positions are added */
    const char *positions;    /* learned ones, or sinusoids that are stored */
    uint64_t position_offset; /* row of position 0 */
    /* Or the token behind whose number that row comes. */
    struct gqa_setting positions_behind;
    struct gqa_setting zero_row; /* of positions that are computed */
    gqa_texts places; /* modules whose first row is added to each token's */
    /* Of a table of another width than the stream has, and the module that
     * makes the stream of its rows. */
    struct gqa_setting width;
    const char *widened;
    const char *widened_behind; /* the same of the sum, normed; with a bias */
};

struct gqa_position_rule {
    enum gqa_position_scheme scheme;
    /* local_theta: of layers that slide, without scaling. dims 0: all. */
    struct gqa_setting theta, local_theta, share, dims;
    struct gqa_setting theta_factor; /* theta is times that */
    /* RoPE that is scaled: the context before that, where this counts more
     * than the key that all have; what sines and cosines are times, in short
     * and in long sequences. */
    struct gqa_setting original_context, magnitude, long_magnitude;
    /* Of kind dynamic: what makes the base of short sequences. */
    struct gqa_setting alpha;
    gqa_texts kinds; /* of RoPE, beside "default"; NULL: those that all have */
    gqa_texts longrope_names; /* of kind longrope, beside that */
    bool interleaved;
    bool at_end; /* what is rotated of a head is its end, not its beginning */
    struct gqa_setting alibi; /* ALiBi in place of RoPE where it says true */
    enum gqa_slopes slopes;
    enum gqa_sinusoids sinusoids;
    bool slopes_scaled; /* with the scores, to which they are added before */
    const char *table;  /* in an attention */
    struct gqa_setting buckets, max_distance;
    bool per_layer; /* a table in each layer, not one for all */
};

/* Norms of a sublayer f: x + output_norm(f(norm(x))), and after_norm of the
 * sum. */
struct gqa_sublayer_norms {
    struct gqa_setting norm, output_norm, after_norm;
};

/* Over what a norm of queries or keys goes, and what its weights are. */
enum gqa_head_norm_weights {
    GQA_HEAD_NORM_SHARED,     /* each head by itself: [head_dim], of all */
    GQA_HEAD_NORM_PER_HEAD,   /* likewise: [n_heads, head_dim], or modules */
    GQA_HEAD_NORM_FULL_WIDTH, /* all heads together: [n_heads * head_dim] */
};

/* Norms of queries and keys, before they are rotated. */
struct gqa_head_norms_rule {
    struct gqa_setting module[2]; /* of queries, of keys; in the attention */
    enum gqa_head_norm_weights weights;
    struct gqa_norm_rule norm; /* the family's where nothing else is said */
    bool turned;               /* behind their rotation */
};

/* Keys and values of an encoder that stand for several tokens each. */
struct gqa_summaries_rule {
    bool given;
    struct gqa_setting of;   /* tokens */
    struct gqa_setting norm; /* module, in the attention */
    const char *table;       /* of biases by distance, in an attention */
};

struct gqa_attention_rule {
    bool given;
    enum gqa_stack stack;
    enum gqa_attention_kind kind;
    const char *pattern; /* of the whole module: "layers.%.self_attn" */
    const char *module;
    /* Whether it is there: true where nothing is said. */
    struct gqa_setting when;
    const char *names[4]; /* of q, k, v, o; equal where they are fused */
    enum gqa_head_layout layout;
    struct gqa_setting bias[4];
    /* Of the output, in the attention, where layers have one by this name. */
    const char *output_bias;
    /* In the attention, a number for each query head, which has a share of its
     * softmax as the score of a key would, and no value; NULL: none. */
    const char *sinks;
    struct gqa_setting scale, scale_rsqrt; /* one of them */
    struct gqa_setting window, soft_cap, clip;
    struct gqa_setting within, span;     /* of an encoder */
    bool causal;                         /* the same */
    bool first_unnormed;                 /* layer 0 has no `norm` */
    struct gqa_summaries_rule summaries; /* the same */
    struct gqa_sublayer_norms norms;
    struct gqa_head_norms_rule head_norms;
    bool positions; /* it has what `positions` of the family says */
};

enum { GQA_FF_GATE, GQA_FF_UP, GQA_FF_DOWN };

/* Feed-forwards of which each row runs a few. */
struct gqa_experts_rule {
    bool given;
    const char *router;
    struct gqa_setting router_bias;
    /* Of each expert, '%' its number; NULL: all lie in one tensor, [n, outputs,
     * inputs]. */
    const char *each;
    const char *gate, *up, *down; /* within it, or within the layer */
    /* Of those in one tensor: [n, inputs, outputs]; and their names are whole,
     * with "_bias" behind them those of biases, [n, outputs]. */
    bool input_major, bare;
    bool interleaved; /* gate and up are one, whose outputs alternate */
    struct gqa_setting n, chosen, normalised, jitter, dropout, factor;
    enum gqa_experts_choice choice;
    struct gqa_setting groups, groups_chosen, capacity;
    const char *correction;           /* whole name within the layer, or NULL */
    const char *shared, *shared_gate; /* within the layer, or NULL */
    struct gqa_setting n_shared;      /* 0: there is none */
    const char *shared_names[3];      /* as `bias`; NULL: as in the others */
};

struct gqa_feed_forward_rule {
    bool given;
    struct gqa_experts_rule experts;
    struct gqa_setting gated;
    /* plain: the only projection up where there is no gate */
    const char *gate, *up, *plain, *down;
    struct gqa_setting activation;
    struct gqa_setting alpha, limit; /* of GQA_CLAMPED_SWIGLU */
    gqa_texts constants; /* of the activation: whole names in the layer */
    struct gqa_setting bias[3];
    struct gqa_sublayer_norms norms;
};

/* The activation of gate and up together (common/functions.h). */
#define GQA_CLAMPED_SWIGLU "clamped_swiglu"

/* Its gate and what it is multiplied with are one matrix: [gate | up]. */
bool gqa_gate_is_fused(const struct gqa_feed_forward_rule *rule);

/* What a stack reads. */
enum gqa_stack_input {
    GQA_INPUT_TOKENS,
    GQA_INPUT_FRAMES, /* encoder: of sound or a picture */
    GQA_INPUT_CODES,  /* decoder: several tokens at a time, with a table each */
};

struct gqa_convolution_rule {
    const char *module;
    uint64_t stride; /* 0: 1 */
};

/* How frames become positions: by convolutions, one after the other. */
struct gqa_frames_rule {
    const struct gqa_convolution_rule *convolutions;
    size_t n_convolutions;
    struct gqa_setting n; /* the first so many; all where nothing is said */
    bool gated;           /* halves of outputs: first * sigmoid(second) */
};

/* Tables of codes beside that of `names.embedding`, which is number 0. */
struct gqa_codes_rule {
    const char *each; /* pattern of a table's module */
    struct gqa_setting n;
};

struct gqa_stack_rule {
    bool given;
    enum gqa_stack_input input;
    struct gqa_frames_rule frames;
    struct gqa_codes_rule codes;
    const char *layers;       /* pattern */
    struct gqa_setting times; /* all of them run, one round after another */
    struct gqa_embedding_rule embedding; /* the family's but where it differs */
    struct gqa_attention_rule self, cross;
    struct gqa_feed_forward_rule feed_forward;
    struct gqa_setting residual, shared_norm, final_norm;
    /* Not 0: a sublayer's output is added to what its norm made, times this. */
    struct gqa_setting residual_normed;
    /* depth: that over the root of the number of layers, in place of it. */
    struct gqa_setting residual_scale, residual_scale_depth;
};

/* What becomes of the stream before logits are made of it, and what is added to
 * them (BERT). Names stand beside the matrix that makes logits, in its module.
 */
struct gqa_transform_rule {
    bool given;
    const char *module;
    struct gqa_setting activation;
    const char *norm;
    const char *bias; /* whole, of the logits */
};

struct gqa_logits_rule {
    struct gqa_setting tied, bias, soft_cap;
    struct gqa_setting scale, divisor, factor;
    struct gqa_setting scale_base; /* over d_model */
    const char *addend;   /* whole name of a row [1, vocab_size], if there */
    uint64_t unwritten;   /* tokens at the table's end that are only read */
    const char *narrowed; /* the embedding's module `widened` backwards */
    struct gqa_transform_rule transform;
};

/* How the family draws fresh key and value projections. */
struct gqa_initialiser {
    struct gqa_setting deviation;
    bool over_d_model; /* the deviation is divided by sqrt(d_model) */
};

/* What is not to be run; or, of readings, what is to be told of. */
struct gqa_refusal {
    gqa_texts keys;
    /* One of them; absent: no key of these says anything. */
    const json_t *is, *is_not;
    bool absent;
    const char *because;
};

/* What stock loaders accept of a grouped checkpoint. */
enum gqa_stock_grouped {
    GQA_STOCK_NONE,    /* nothing: it has to be expanded */
    GQA_STOCK_UNIFORM, /* one number of KV heads for all layers */
};

enum gqa_weights { GQA_WEIGHTS_OUT_IN, GQA_WEIGHTS_IN_OUT };

struct gqa_family {
    const char *name;
    const char *file;       /* where its description stands, for messages */
    bool is_own;            /* the file is the user's: it is not built in */
    const char *model_type; /* the one that is described; NULL: all of them */
    gqa_texts model_types;
    /* Where several families have a type: of those whose key has this value,
     * or another, or is not there. key NULL: any. */
    const char *only_key;
    const json_t *only_is, *only_is_not;
    bool needs_config; /* to be run: several types share the names */
    struct gqa_config_keys keys;
    struct gqa_family_names names;
    enum gqa_weights weights;
    struct gqa_norm_rule norm;
    struct gqa_embedding_rule embedding;
    struct gqa_position_rule positions;
    struct gqa_stack_rule stacks[2]; /* by gqa_stack */
    struct gqa_logits_rule logits;
    struct gqa_initialiser initialiser;
    struct gqa_behaviours behaviours;
    const struct gqa_refusal *refusals;
    size_t n_refusals;
    const char *refused_at; /* "FILE:LINE" of them; NULL: there are none */
    bool refusals_inherited;
    const struct gqa_refusal *readings; /* what versions of transformers read
                                           differently */
    size_t n_readings;
    struct gqa_keras_names keras;
    enum gqa_stock_grouped stock_grouped;
    bool stock_longrope; /* a divisor of each pair's frequency is read */
    bool stock_own_code; /* transformers has no class: checkpoints bring one */
    /* Classes of transformers that its module of Python makes grouped, by the
     * Auto class that loads each; an object of names, or NULL: there is no
     * module (remote_code.h). */
    const json_t *remote_code;
    /* The attentions of its stacks, in the order of gqa_model. */
    const struct gqa_attention_rule *attentions[3];
    size_t n_attentions;
    struct gqa_description *description; /* owned: what all of it is lent by */
};

void gqa_family_free(struct gqa_family *family);

/* What descriptions call a layout: "fused-qkv". */
const char *gqa_described_layout(enum gqa_head_layout layout);

/* Whether norms have a weight and a bias; where the rule says nothing, all have
 * the one and layer norms the other. config NULL: what it decides is optional.
 * Errors as gqa_setting_get(). */
GQA_MUST_USE
enum gqa_status gqa_norm_parts(enum gqa_part_presence *weight,
                               enum gqa_part_presence *bias,
                               const struct gqa_norm_rule *rule,
                               const json_t *config);

/* The bias that a rule with this setting says, where the description itself
 * does; GQA_PART_OPTIONAL where the configuration decides. */
enum gqa_part_presence gqa_bias_said(const struct gqa_setting *bias);

/* Whether its description is laid over another's, whose names it may have. */
bool gqa_family_is_like_another(const struct gqa_family *family);

/* The module that has a stack's embedding; and that of the tokens that are
 * written: the decoder's where there is one. */
const char *gqa_embedding_of(const struct gqa_family *family,
                             enum gqa_stack stack, const json_t *config);
const char *gqa_written_embedding(const struct gqa_family *family,
                                  const json_t *config);

/* Where a family's encoder and decoder are two stacks of one model. */
bool gqa_family_is_encoder_decoder(const struct gqa_family *family);

/* Whether some setting of what is computed reads the key (of a dotted one the
 * part before the dot), or `config.unread` lists it. */
bool gqa_family_reads(const struct gqa_family *family, const char *key);

/* What transformers takes for a key that is not there, where that is a count;
 * 0: not known. key may be NULL. */
uint64_t gqa_family_default(const struct gqa_family *family,
                            const json_t *config, const char *key);

/* Whether a value of one of its keys is what the refusal speaks of. */
bool gqa_refusal_holds(const struct gqa_refusal *refusal, const json_t *value);
/* Whether it speaks of keys that are absent, and none of them says anything. */
bool gqa_refusal_misses(const struct gqa_refusal *refusal,
                        const json_t *config);

/* The row of position 0. Errors GQA_ERR_FORMAT: a token that no model has. */
GQA_MUST_USE
enum gqa_status gqa_position_offset(uint64_t *out,
                                    const struct gqa_embedding_rule *rule,
                                    const json_t *config);

/* Standard deviation of key and value projections that are drawn afresh. */
double gqa_family_deviation(const struct gqa_family *family,
                            const json_t *config, uint64_t d_model);

/* No model has more of anything that its configuration counts. */
#define GQA_MAX_CONFIG_COUNT ((uint64_t)1 << 32)

/*
 * A whole number > 0 of the configuration, by the first key that is there;
 * *out stays as it is where keys is NULL, none is there, or its value null.
 * Errors GQA_ERR_FORMAT.
 */
GQA_MUST_USE
enum gqa_status gqa_config_count(uint64_t *out, const json_t *config,
                                 gqa_texts keys, const char *path);

/* The keys of a stack's width within the feed-forward; may be NULL. */
gqa_texts gqa_d_ff_keys(const struct gqa_config_keys *keys,
                        enum gqa_stack stack);

/* The key among these that the configuration has, or the first; NULL for
 * NULL. */
const char *gqa_config_key(const json_t *config, gqa_texts keys);

/*
 * Does name match pattern? '%' matches a decimal number without leading
 * zeros, stored in *number; a pattern may have one. tail: receives where in
 * name the pattern ended; NULL: the whole name must match.
 */
bool gqa_pattern_match(const char *pattern, const char *name, uint64_t *number,
                       const char **tail);

#endif
