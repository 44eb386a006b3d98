/* What architecture.c reads of each architecture. */
#ifndef GQA_FORMATS_GGUF_ARCHITECTURE_TABLE_H
#define GQA_FORMATS_GGUF_ARCHITECTURE_TABLE_H

#include "formats/gguf/architecture.h"
#include "formats/model/model.h"

/* '%' stands for a layer's number, a second one for an expert's. */
struct gqa_gguf_name {
    const char *theirs;
    const char *ours; /* NULL: nothing that the original has */
    enum gqa_gguf_order order;
};

enum gqa_gguf_key_flags {
    GQA_GGUF_NEEDED = 0,
    GQA_GGUF_OPTIONAL = 1 << 0,
    /* Layers may differ: a list there, too. */
    GQA_GGUF_BY_LAYER = 1 << 1,
    /* 0 is how it says that there is none. */
    GQA_GGUF_ZERO_IS_NONE = 1 << 2,
    /* No configuration is made where it is not 1. */
    GQA_GGUF_MUST_BE_ONE = 1 << 3,
    /* A number with a fraction there, also where it is a whole one. */
    GQA_GGUF_REAL = 1 << 4,
    /* Kinds of layers; there, of which of them see a window alone: a list, or
     * how many of which the last does not. */
    GQA_GGUF_SLIDES = 1 << 5,
    /* There, over the root of the number of layers. */
    GQA_GGUF_OVER_ROOT_DEPTH = 1 << 6,
    /* There, what the stream's width is over it. */
    GQA_GGUF_WIDTH_OVER = 1 << 7,
    /* Whether there is one KV head, or one for each head; there, how many. */
    GQA_GGUF_ONE_OR_ALL = 1 << 8,
    /* Where it is not there, the configuration says null, since silence would
     * mean something else. */
    GQA_GGUF_ELSE_NULL = 1 << 9,
    /* llama.cpp runs models of which it is 1 alone. */
    GQA_GGUF_RUN_WITH_ONE = 1 << 10,
    /* A list of all layers that say it; there, one number. */
    GQA_GGUF_OF_EACH = 1 << 11,
    /* Kinds of layers: how many are dense before those with experts. */
    GQA_GGUF_DENSE_FIRST = 1 << 12,
    /* The number of the last layer. */
    GQA_GGUF_LAST_LAYER = 1 << 13,
};

/* '%' at the beginning of theirs stands for the architecture; ours may be a key
 * within another ("a.b"). */
struct gqa_gguf_key {
    const char *ours, *theirs;
    unsigned flags;
};

/* What is always the same: of a type that llama.cpp demands. */
struct gqa_gguf_constant {
    const char *theirs; /* as above */
    double value;
    enum { GQA_GGUF_FRACTION, GQA_GGUF_COUNT, GQA_GGUF_TRUTH } kind;
    const char *otherwise; /* what it is where it is another, which is not read;
                              NULL: a configuration tells */
};

/* What each layer has one of: a tensor of one element, of that rank, and there
 * a list of all layers'. */
struct gqa_gguf_layer_number {
    const char *theirs, *ours;
    unsigned rank;
};

/* What is true where a tensor is there, or where it is not. */
struct gqa_gguf_sign {
    const char *ours, *tensor;
    bool when_there;
};

/* What that is of models that are known by how many layers they have. */
struct gqa_gguf_known {
    uint64_t n_layers;
    json_int_t value;
};

/* What llama.cpp gives models of so many layers. */
struct gqa_gguf_depth {
    uint64_t n_layers;
    enum gqa_position_scheme positions;
};

struct gqa_gguf_architecture {
    const char *name;   /* llama.cpp's */
    const char *marked; /* a tensor that of those of this name only these models
                           have, before the others in the table; or NULL */
    const char *said;   /* likewise a key, with a number above 0; or NULL */
    bool is_recorded;   /* it is what a file is of that records a
                           configuration of the model type, and no other */
    const char *model_type, *class;
    bool is_mixture;                   /* of experts, which may be one tensor */
    const struct gqa_gguf_name *names; /* ends in one of NULL */
    const struct gqa_gguf_key *keys;   /* likewise */
    const struct gqa_gguf_sign *signs; /* likewise; or NULL */
    const struct gqa_gguf_layer_number *layer_numbers; /* likewise */
    const char *share;  /* the key of the share of heads that RoPE turns; NULL:
                           it turns all, or there is no RoPE */
    const char *extra;  /* JSON: what is always so; or NULL */
    const char *unsaid; /* a number of the configuration that no key says; or
                           NULL */
    const struct gqa_gguf_known *known; /* ends in 0 layers; NULL: of none */

    /* What counts for writing alone. */
    const char *computes; /* JSON: what llama.cpp computes otherwise than such
                             models do that say nothing of it; or NULL */
    const char *const *also; /* other model types that it is, which end in
                                NULL; or NULL */
    const char *by_layer;    /* what such models are whose layers differ in KV
                                heads; NULL: llama.cpp takes one number */
    bool has_head_dim;       /* heads need not add up to the stream's width */
    bool has_factors;        /* it takes divisors of RoPE's frequencies */
    bool has_frequencies;    /* of these, those of all lengths alone */
    bool has_all_heads;      /* it takes no fewer KV heads than heads */
    bool has_windows;        /* layers that slide do so there */
    uint64_t slides_at;      /* by as many layers it takes them to slide, and no
                                others; or 0 */
    bool takes_head_dim;     /* by that it scales scores, where `unsaid` is said
                                by no number of layers */
    uint64_t context;        /* where a configuration says none; or 0 */
    uint64_t head_norms_from; /* as many layers have norms of heads, and fewer
                                 have none; or 0 */
    const struct gqa_gguf_depth *depths; /* those that it knows positions of, by
                                            this alone; end in 0 layers; NULL:
                                            it does not go by it */
    const struct gqa_gguf_constant *constants; /* end in one of NULL; or NULL */
    const char *const *sizes; /* keys with sizes of tensors, which no
                                 configuration says; end in NULL; or NULL */
    /* Names of tensors for which llama.cpp refuses a file: those it has no
     * place for, and those that must be there. End in NULL; or NULL. */
    const char *const *unloaded, *const *demanded;
};

extern const struct gqa_gguf_name gqa_gguf_llama_names[];
/* Those of Llama's names whose rows are all as they are */
extern const struct gqa_gguf_name gqa_gguf_plain_names[];
extern const struct gqa_gguf_name gqa_gguf_gemma_names[];
extern const struct gqa_gguf_name gqa_gguf_gemma2_names[];
extern const struct gqa_gguf_name gqa_gguf_phi2_names[];
extern const struct gqa_gguf_name gqa_gguf_phi3_names[];
extern const struct gqa_gguf_name gqa_gguf_mixtral_names[];
extern const struct gqa_gguf_name gqa_gguf_olmo_names[];
extern const struct gqa_gguf_name gqa_gguf_olmo2_names[];
extern const struct gqa_gguf_name gqa_gguf_starcoder2_names[];
extern const struct gqa_gguf_name gqa_gguf_bloom_names[];
extern const struct gqa_gguf_name gqa_gguf_falcon_names[];
extern const struct gqa_gguf_name gqa_gguf_falcon_2_norms_names[];
extern const struct gqa_gguf_name gqa_gguf_gpt2_names[];
extern const struct gqa_gguf_name gqa_gguf_gpt_neox_names[];
extern const struct gqa_gguf_name gqa_gguf_internlm2_names[];
extern const struct gqa_gguf_name gqa_gguf_baichuan_names[];
extern const struct gqa_gguf_name gqa_gguf_arcee_names[];
extern const struct gqa_gguf_name gqa_gguf_apertus_names[];
extern const struct gqa_gguf_name gqa_gguf_deepseek_names[];
extern const struct gqa_gguf_name gqa_gguf_exaone_names[];
extern const struct gqa_gguf_name gqa_gguf_hunyuan_moe_names[];
extern const struct gqa_gguf_name gqa_gguf_granite_hybrid_names[];
extern const struct gqa_gguf_name gqa_gguf_granite_moe_shared_names[];
extern const struct gqa_gguf_name gqa_gguf_ernie4_5_moe_names[];
extern const struct gqa_gguf_name gqa_gguf_exaone_moe_names[];
extern const struct gqa_gguf_name gqa_gguf_glm4_moe_names[];
extern const struct gqa_gguf_name gqa_gguf_dots1_names[];
extern const struct gqa_gguf_name gqa_gguf_minimax_m2_names[];
extern const struct gqa_gguf_name gqa_gguf_hunyuan_names[];
extern const struct gqa_gguf_name gqa_gguf_jais2_names[];
extern const struct gqa_gguf_name gqa_gguf_granite_moe_names[];
extern const struct gqa_gguf_name gqa_gguf_plain_experts_names[];
extern const struct gqa_gguf_name gqa_gguf_gemma3_names[];
extern const struct gqa_gguf_name gqa_gguf_nemotron_names[];
extern const struct gqa_gguf_name gqa_gguf_glm4_names[];
extern const struct gqa_gguf_name gqa_gguf_seed_oss_names[];
extern const struct gqa_gguf_name gqa_gguf_gpt_bigcode_names[];
extern const struct gqa_gguf_name gqa_gguf_mpt_names[];
extern const struct gqa_gguf_name gqa_gguf_chatglm2_names[];
extern const struct gqa_gguf_name gqa_gguf_t5_names[];
extern const struct gqa_gguf_name gqa_gguf_gated_t5_names[];

extern const struct gqa_gguf_key gqa_gguf_llama_keys[];
extern const struct gqa_gguf_key gqa_gguf_internlm2_keys[];
extern const struct gqa_gguf_key gqa_gguf_baichuan_keys[];
extern const struct gqa_gguf_key gqa_gguf_gemma2_keys[];
extern const struct gqa_gguf_key gqa_gguf_mixtral_keys[];
extern const struct gqa_gguf_key gqa_gguf_gpt2_keys[];
extern const struct gqa_gguf_key gqa_gguf_gpt_neox_keys[];
extern const struct gqa_gguf_key gqa_gguf_phi3_keys[];
extern const struct gqa_gguf_key gqa_gguf_layer_norm_keys[];
extern const struct gqa_gguf_key gqa_gguf_olmo_keys[];
extern const struct gqa_gguf_key gqa_gguf_olmo2_keys[];
extern const struct gqa_gguf_key gqa_gguf_olmo3_keys[];
extern const struct gqa_gguf_key gqa_gguf_exaone_keys[];
extern const struct gqa_gguf_key gqa_gguf_exaone4_keys[];
extern const struct gqa_gguf_key gqa_gguf_jais2_keys[];
extern const struct gqa_gguf_key gqa_gguf_solar_open_keys[];
extern const struct gqa_gguf_key gqa_gguf_granite_hybrid_keys[];
extern const struct gqa_gguf_key gqa_gguf_granite_moe_shared_keys[];
extern const struct gqa_gguf_key gqa_gguf_hunyuan_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_ernie4_5_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_exaone_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_glm4_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_minimax_m2_keys[];
extern const struct gqa_gguf_key gqa_gguf_command_r_keys[];
extern const struct gqa_gguf_key gqa_gguf_starcoder2_keys[];
extern const struct gqa_gguf_key gqa_gguf_bloom_keys[];
extern const struct gqa_gguf_key gqa_gguf_falcon_2_norms_keys[];
extern const struct gqa_gguf_key gqa_gguf_falcon_keys[];
extern const struct gqa_gguf_key gqa_gguf_gemma3_keys[];
extern const struct gqa_gguf_key gqa_gguf_cohere2_keys[];
extern const struct gqa_gguf_key gqa_gguf_qwen2_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_qwen3_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_olmoe_keys[];
extern const struct gqa_gguf_key gqa_gguf_deepseek_keys[];
extern const struct gqa_gguf_key gqa_gguf_mpt_keys[];
extern const struct gqa_gguf_key gqa_gguf_granite_keys[];
extern const struct gqa_gguf_key gqa_gguf_granite_moe_keys[];
extern const struct gqa_gguf_key gqa_gguf_minicpm_keys[];
extern const struct gqa_gguf_key gqa_gguf_nemotron_keys[];
extern const struct gqa_gguf_key gqa_gguf_orion_keys[];
extern const struct gqa_gguf_key gqa_gguf_gpt_bigcode_keys[];
extern const struct gqa_gguf_key gqa_gguf_t5_keys[];
extern const struct gqa_gguf_key gqa_gguf_chatglm2_keys[];

/* Ends in one without a name. */
extern const struct gqa_gguf_architecture gqa_gguf_architectures[];

#endif
