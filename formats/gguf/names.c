/* Names of llama.cpp's tensors, and those of the originals. */
#include <stddef.h>

#include "formats/gguf/architecture_table.h"

#define AS_IT_IS  GQA_GGUF_AS_IT_IS
#define ONE_MORE  GQA_GGUF_ONE_MORE
#define TURNED    GQA_GGUF_TURNED
#define BY_GROUPS GQA_GGUF_BY_GROUPS
#define PAIRED_Q  GQA_GGUF_PAIRED
#define PAIRED_K  GQA_GGUF_PAIRED_KEYS

#define LAYER(theirs, ours, ...)                             \
    {                                                        \
        "blk.%." theirs, "model.layers.%." ours, __VA_ARGS__ \
    }

/* What models with the names of Llama share; norms may have a bias. */
#define ENDS(norm)                                                \
    {"token_embd.weight", "model.embed_tokens.weight", AS_IT_IS}, \
        {"output_norm.weight", "model.norm.weight", norm},        \
        {"output_norm.bias", "model.norm.bias", AS_IT_IS},        \
        {"output.weight", "lm_head.weight", AS_IT_IS},            \
        {"rope_freqs.weight", NULL, AS_IT_IS},                    \
        {"rope_factors_long.weight", NULL, AS_IT_IS},             \
    {                                                             \
        "rope_factors_short.weight", NULL, AS_IT_IS               \
    }

#define NORMS                                                                  \
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),             \
        LAYER("attn_norm.bias", "input_layernorm.bias", AS_IT_IS),             \
        LAYER("ffn_norm.weight", "post_attention_layernorm.weight", AS_IT_IS), \
        LAYER("ffn_norm.bias", "post_attention_layernorm.bias", AS_IT_IS)

#define VALUES                                                   \
    LAYER("attn_v.weight", "self_attn.v_proj.weight", AS_IT_IS), \
        LAYER("attn_v.bias", "self_attn.v_proj.bias", AS_IT_IS)

#define OUTPUT(ours)                                       \
    LAYER("attn_output.weight", ours ".weight", AS_IT_IS), \
        LAYER("attn_output.bias", ours ".bias", AS_IT_IS)

#define QUERIES(weight, bias)                                  \
    LAYER("attn_q.weight", "self_attn.q_proj.weight", weight), \
        LAYER("attn_q.bias", "self_attn.q_proj.bias", bias)

#define KEYS(weight, bias)                                     \
    LAYER("attn_k.weight", "self_attn.k_proj.weight", weight), \
        LAYER("attn_k.bias", "self_attn.k_proj.bias", bias)

/* Each as it is */
#define ATTENTION                                                  \
    QUERIES(AS_IT_IS, AS_IT_IS), KEYS(AS_IT_IS, AS_IT_IS), VALUES, \
        OUTPUT("self_attn.o_proj")

#define HEAD_NORMS                                                    \
    LAYER("attn_q_norm.weight", "self_attn.q_norm.weight", AS_IT_IS), \
        LAYER("attn_k_norm.weight", "self_attn.k_norm.weight", AS_IT_IS)

#define UP_AND_DOWN(up, down)                               \
    LAYER("ffn_up.weight", up ".weight", AS_IT_IS),         \
        LAYER("ffn_up.bias", up ".bias", AS_IT_IS),         \
        LAYER("ffn_down.weight", down ".weight", AS_IT_IS), \
        LAYER("ffn_down.bias", down ".bias", AS_IT_IS)

#define GATED                                                   \
    LAYER("ffn_gate.weight", "mlp.gate_proj.weight", AS_IT_IS), \
        LAYER("ffn_gate.bias", "mlp.gate_proj.bias", AS_IT_IS), \
        UP_AND_DOWN("mlp.up_proj", "mlp.down_proj")

/* As RoPE turns them in pairs that lie side by side */
#define PAIRED_ATTENTION                                           \
    QUERIES(PAIRED_Q, PAIRED_Q), KEYS(PAIRED_K, PAIRED_K), VALUES, \
        OUTPUT("self_attn.o_proj")

#define EXPERTS(router)                                                     \
    LAYER("ffn_gate_inp.weight", router ".weight", AS_IT_IS),               \
        LAYER("ffn_gate.%.weight", "mlp.experts.%.gate_proj.weight",        \
              AS_IT_IS),                                                    \
        LAYER("ffn_up.%.weight", "mlp.experts.%.up_proj.weight", AS_IT_IS), \
        LAYER("ffn_down.%.weight", "mlp.experts.%.down_proj.weight", AS_IT_IS)

#define BLOCK_SPARSE_EXPERTS                                                \
    LAYER("ffn_gate_inp.weight", "block_sparse_moe.gate.weight", AS_IT_IS), \
        LAYER("ffn_gate.%.weight", "block_sparse_moe.experts.%.w1.weight",  \
              AS_IT_IS),                                                    \
        LAYER("ffn_down.%.weight", "block_sparse_moe.experts.%.w2.weight",  \
              AS_IT_IS),                                                    \
        LAYER("ffn_up.%.weight", "block_sparse_moe.experts.%.w3.weight",    \
              AS_IT_IS)

/* What is added to the scores that experts are chosen by */
#define CORRECTION(ours, order) LAYER("exp_probs_b.bias", ours, order)

#define SHARED(ours)                                                    \
    LAYER("ffn_gate_shexp.weight", ours ".gate_proj.weight", AS_IT_IS), \
        LAYER("ffn_up_shexp.weight", ours ".up_proj.weight", AS_IT_IS), \
        LAYER("ffn_down_shexp.weight", ours ".down_proj.weight", AS_IT_IS)

const struct gqa_gguf_name gqa_gguf_llama_names[] = {
    ENDS(AS_IT_IS), NORMS, PAIRED_ATTENTION, GATED, {0},
};

/* Queries, keys and values lie in one tensor of the original; the second and
 * the third follow the first. */
const struct gqa_gguf_name gqa_gguf_internlm2_names[] = {
    {"token_embd.weight", "model.tok_embeddings.weight", AS_IT_IS},
    {"output_norm.weight", "model.norm.weight", AS_IT_IS},
    {"output.weight", "output.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "attention_norm.weight", AS_IT_IS),
    LAYER("attn_q.weight", "attention.wqkv.weight", GQA_GGUF_GROUPED_QUERIES),
    LAYER("attn_k.weight", "attention.wqkv.weight", GQA_GGUF_GROUPED_KEYS),
    LAYER("attn_v.weight", "attention.wqkv.weight", GQA_GGUF_GROUPED_VALUES),
    LAYER("attn_output.weight", "attention.wo.weight", AS_IT_IS),
    LAYER("ffn_norm.weight", "ffn_norm.weight", AS_IT_IS),
    LAYER("ffn_gate.weight", "feed_forward.w1.weight", AS_IT_IS),
    LAYER("ffn_down.weight", "feed_forward.w2.weight", AS_IT_IS),
    LAYER("ffn_up.weight", "feed_forward.w3.weight", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_baichuan_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    LAYER("attn_q.weight", "self_attn.W_pack.weight", GQA_GGUF_QUERIES),
    LAYER("attn_k.weight", "self_attn.W_pack.weight", GQA_GGUF_KEYS),
    LAYER("attn_v.weight", "self_attn.W_pack.weight", GQA_GGUF_VALUES),
    OUTPUT("self_attn.o_proj"),
    GATED,
    {0},
};

const struct gqa_gguf_name gqa_gguf_apertus_names[] = {
    ENDS(AS_IT_IS),
    LAYER("attn_norm.weight", "attention_layernorm.weight", AS_IT_IS),
    LAYER("ffn_norm.weight", "feedforward_layernorm.weight", AS_IT_IS),
    ATTENTION,
    HEAD_NORMS,
    UP_AND_DOWN("mlp.up_proj", "mlp.down_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_arcee_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    PAIRED_ATTENTION,
    UP_AND_DOWN("mlp.up_proj", "mlp.down_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_deepseek_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    PAIRED_ATTENTION,
    GATED,
    EXPERTS("mlp.gate"),
    SHARED("mlp.shared_experts"),
    {0},
};

/* Of Qwen's mixtures and OLMoE: those without have no shared ones. */
const struct gqa_gguf_name gqa_gguf_plain_experts_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    ATTENTION,
    HEAD_NORMS,
    GATED,
    EXPERTS("mlp.gate"),
    SHARED("mlp.shared_expert"),
    LAYER("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight",
          GQA_GGUF_ROW),
    {0},
};

#define DENSE_AND_EXPERTS \
    ATTENTION, GATED, EXPERTS("mlp.gate"), SHARED("mlp.shared_experts")

const struct gqa_gguf_name gqa_gguf_dots1_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    HEAD_NORMS,
    DENSE_AND_EXPERTS,
    CORRECTION("mlp.gate.e_score_correction_bias", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_glm4_moe_names[] = {
    ENDS(AS_IT_IS),
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("post_attention_norm.weight", "post_attention_layernorm.weight",
          AS_IT_IS),
    HEAD_NORMS,
    DENSE_AND_EXPERTS,
    CORRECTION("mlp.gate.e_score_correction_bias", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_exaone_moe_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    HEAD_NORMS,
    DENSE_AND_EXPERTS,
    CORRECTION("mlp.e_score_correction_bias", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_ernie4_5_moe_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    DENSE_AND_EXPERTS,
    CORRECTION("mlp.moe_statics.e_score_correction_bias", GQA_GGUF_ROW),
    {0},
};

/* What is in one tensor of the original: the second halves follow the first. */
#define HALVES(gate, up, ours)                          \
    LAYER(gate, ours ".weight", GQA_GGUF_FIRST_HALVES), \
        LAYER(up, ours ".weight", GQA_GGUF_SECOND_HALVES)

#define GRANITE_MIXTURE                                                        \
    ENDS(AS_IT_IS), NORMS, PAIRED_ATTENTION,                                   \
        LAYER("ffn_gate_inp.weight", "block_sparse_moe.router.layer.weight",   \
              AS_IT_IS),                                                       \
        HALVES("ffn_gate_exps.weight", "ffn_up_exps.weight",                   \
               "block_sparse_moe.input_linear"),                               \
        LAYER("ffn_down_exps.weight", "block_sparse_moe.output_linear.weight", \
              AS_IT_IS)

const struct gqa_gguf_name gqa_gguf_granite_moe_names[] = {
    GRANITE_MIXTURE,
    {0},
};

const struct gqa_gguf_name gqa_gguf_granite_moe_shared_names[] = {
    GRANITE_MIXTURE,
    HALVES("ffn_gate_shexp.weight", "ffn_up_shexp.weight",
           "shared_mlp.input_linear"),
    LAYER("ffn_down_shexp.weight", "shared_mlp.output_linear.weight", AS_IT_IS),
    {0},
};

/* Without experts */
const struct gqa_gguf_name gqa_gguf_granite_hybrid_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    PAIRED_ATTENTION,
    HALVES("ffn_gate.weight", "ffn_up.weight", "shared_mlp.input_linear"),
    LAYER("ffn_down.weight", "shared_mlp.output_linear.weight", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_mixtral_names[] = {
    ENDS(AS_IT_IS), NORMS, PAIRED_ATTENTION, BLOCK_SPARSE_EXPERTS, {0},
};

const struct gqa_gguf_name gqa_gguf_minimax_m2_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    ATTENTION,
    HEAD_NORMS,
    BLOCK_SPARSE_EXPERTS,
    CORRECTION("block_sparse_moe.e_score_correction_bias", AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_plain_names[] = {
    ENDS(AS_IT_IS), NORMS, ATTENTION, HEAD_NORMS, GATED, {0},
};

#define HUNYUAN_ATTENTION                                               \
    ATTENTION,                                                          \
        LAYER("attn_q_norm.weight", "self_attn.query_layernorm.weight", \
              AS_IT_IS),                                                \
        LAYER("attn_k_norm.weight", "self_attn.key_layernorm.weight",   \
              AS_IT_IS)

const struct gqa_gguf_name gqa_gguf_hunyuan_names[] = {
    ENDS(AS_IT_IS), NORMS, HUNYUAN_ATTENTION, GATED, {0},
};

const struct gqa_gguf_name gqa_gguf_hunyuan_moe_names[] = {
    ENDS(AS_IT_IS),           NORMS, HUNYUAN_ATTENTION, EXPERTS("mlp.gate.wg"),
    SHARED("mlp.shared_mlp"), {0},
};

const struct gqa_gguf_name gqa_gguf_jais2_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    ATTENTION,
    UP_AND_DOWN("mlp.up_proj", "mlp.down_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_phi2_names[] = {
    {"token_embd.weight", "model.embed_tokens.weight", AS_IT_IS},
    {"output_norm.weight", "model.final_layernorm.weight", AS_IT_IS},
    {"output_norm.bias", "model.final_layernorm.bias", AS_IT_IS},
    {"output.weight", "lm_head.weight", AS_IT_IS},
    {"output.bias", "lm_head.bias", AS_IT_IS},
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("attn_norm.bias", "input_layernorm.bias", AS_IT_IS),
    QUERIES(AS_IT_IS, AS_IT_IS),
    KEYS(AS_IT_IS, AS_IT_IS),
    VALUES,
    OUTPUT("self_attn.dense"),
    UP_AND_DOWN("mlp.fc1", "mlp.fc2"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_gemma_names[] = {
    ENDS(ONE_MORE),
    LAYER("attn_norm.weight", "input_layernorm.weight", ONE_MORE),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", ONE_MORE),
    ATTENTION,
    GATED,
    {0},
};

#define GEMMA_4_NORMS                                                          \
    LAYER("attn_norm.weight", "input_layernorm.weight", ONE_MORE),             \
        LAYER("post_attention_norm.weight", "post_attention_layernorm.weight", \
              ONE_MORE),                                                       \
        LAYER("ffn_norm.weight", "pre_feedforward_layernorm.weight",           \
              ONE_MORE),                                                       \
        LAYER("post_ffw_norm.weight", "post_feedforward_layernorm.weight",     \
              ONE_MORE)

const struct gqa_gguf_name gqa_gguf_gemma2_names[] = {
    ENDS(ONE_MORE), GEMMA_4_NORMS, ATTENTION, GATED, {0},
};

const struct gqa_gguf_name gqa_gguf_gemma3_names[] = {
    ENDS(ONE_MORE),
    GEMMA_4_NORMS,
    ATTENTION,
    LAYER("attn_q_norm.weight", "self_attn.q_norm.weight", ONE_MORE),
    LAYER("attn_k_norm.weight", "self_attn.k_norm.weight", ONE_MORE),
    GATED,
    {0},
};

const struct gqa_gguf_name gqa_gguf_nemotron_names[] = {
    ENDS(ONE_MORE),
    LAYER("attn_norm.weight", "input_layernorm.weight", ONE_MORE),
    LAYER("attn_norm.bias", "input_layernorm.bias", AS_IT_IS),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", ONE_MORE),
    LAYER("ffn_norm.bias", "post_attention_layernorm.bias", AS_IT_IS),
    ATTENTION,
    UP_AND_DOWN("mlp.up_proj", "mlp.down_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_glm4_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    LAYER("post_attention_norm.weight", "post_self_attn_layernorm.weight",
          AS_IT_IS),
    LAYER("post_ffw_norm.weight", "post_mlp_layernorm.weight", AS_IT_IS),
    ATTENTION,
    UP_AND_DOWN("mlp.gate_up_proj", "mlp.down_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_seed_oss_names[] = {
    ENDS(AS_IT_IS),
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("post_attention_norm.weight", "post_attention_layernorm.weight",
          AS_IT_IS),
    ATTENTION,
    GATED,
    {0},
};

/* OLMo's norms have no weights, and only matrices are in another order. */
const struct gqa_gguf_name gqa_gguf_olmo_names[] = {
    ENDS(AS_IT_IS),
    QUERIES(PAIRED_Q, AS_IT_IS),
    KEYS(PAIRED_K, AS_IT_IS),
    VALUES,
    OUTPUT("self_attn.o_proj"),
    GATED,
    {0},
};

const struct gqa_gguf_name gqa_gguf_olmo2_names[] = {
    ENDS(AS_IT_IS),
    LAYER("post_attention_norm.weight", "post_attention_layernorm.weight",
          AS_IT_IS),
    LAYER("post_ffw_norm.weight", "post_feedforward_layernorm.weight",
          AS_IT_IS),
    ATTENTION,
    HEAD_NORMS,
    GATED,
    {0},
};

const struct gqa_gguf_name gqa_gguf_starcoder2_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    ATTENTION,
    UP_AND_DOWN("mlp.c_fc", "mlp.c_proj"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_phi3_names[] = {
    ENDS(AS_IT_IS),
    NORMS,
    LAYER("attn_qkv.weight", "self_attn.qkv_proj.weight", AS_IT_IS),
    OUTPUT("self_attn.o_proj"),
    UP_AND_DOWN("mlp.gate_up_proj", "mlp.down_proj"),
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                              \
    {                                                         \
        "blk.%." theirs, "transformer.h.%." ours, __VA_ARGS__ \
    }

const struct gqa_gguf_name gqa_gguf_exaone_names[] = {
    {"token_embd.weight", "transformer.wte.weight", AS_IT_IS},
    {"output_norm.weight", "transformer.ln_f.weight", AS_IT_IS},
    {"output.weight", "lm_head.weight", AS_IT_IS},
    {"rope_freqs.weight", NULL, AS_IT_IS},
    LAYER("attn_norm.weight", "ln_1.weight", AS_IT_IS),
    LAYER("ffn_norm.weight", "ln_2.weight", AS_IT_IS),
    LAYER("attn_q.weight", "attn.attention.q_proj.weight", AS_IT_IS),
    LAYER("attn_q.bias", "attn.attention.q_proj.bias", AS_IT_IS),
    LAYER("attn_k.weight", "attn.attention.k_proj.weight", AS_IT_IS),
    LAYER("attn_k.bias", "attn.attention.k_proj.bias", AS_IT_IS),
    LAYER("attn_v.weight", "attn.attention.v_proj.weight", AS_IT_IS),
    LAYER("attn_v.bias", "attn.attention.v_proj.bias", AS_IT_IS),
    OUTPUT("attn.attention.out_proj"),
    LAYER("ffn_gate.weight", "mlp.c_fc_0.weight", AS_IT_IS),
    LAYER("ffn_gate.bias", "mlp.c_fc_0.bias", AS_IT_IS),
    UP_AND_DOWN("mlp.c_fc_1", "mlp.c_proj"),
    {0},
};

/* What Bloom and Falcon share */
#define BLOOM_ENDS                                                         \
    {"token_embd.weight", "transformer.word_embeddings.weight", AS_IT_IS}, \
        {"output_norm.weight", "transformer.ln_f.weight", AS_IT_IS},       \
        {"output_norm.bias", "transformer.ln_f.bias", AS_IT_IS},           \
    {                                                                      \
        "output.weight", "lm_head.weight", AS_IT_IS                        \
    }

#define BLOOM_MATRICES                                                \
    LAYER("attn_qkv.weight", "self_attention.query_key_value.weight", \
          BY_GROUPS),                                                 \
        LAYER("attn_qkv.bias", "self_attention.query_key_value.bias", \
              BY_GROUPS),                                             \
        OUTPUT("self_attention.dense"),                               \
        UP_AND_DOWN("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")

#define NORM(theirs, ours)                             \
    LAYER(theirs ".weight", ours ".weight", AS_IT_IS), \
        LAYER(theirs ".bias", ours ".bias", AS_IT_IS)

const struct gqa_gguf_name gqa_gguf_bloom_names[] = {
    BLOOM_ENDS,
    {"token_embd_norm.weight", "transformer.word_embeddings_layernorm.weight",
     AS_IT_IS},
    {"token_embd_norm.bias", "transformer.word_embeddings_layernorm.bias",
     AS_IT_IS},
    NORM("attn_norm", "input_layernorm"),
    NORM("ffn_norm", "post_attention_layernorm"),
    BLOOM_MATRICES,
    {0},
};

const struct gqa_gguf_name gqa_gguf_falcon_names[] = {
    BLOOM_ENDS,
    NORM("attn_norm", "input_layernorm"),
    BLOOM_MATRICES,
    {0},
};

const struct gqa_gguf_name gqa_gguf_falcon_2_norms_names[] = {
    BLOOM_ENDS,
    NORM("attn_norm", "ln_mlp"),
    NORM("attn_norm_2", "ln_attn"),
    BLOOM_MATRICES,
    {0},
};

/* Norms, biases and embeddings have the same names in GPT-2 and StarCoder. */
#define GPT2_MODEL(matrix, qkv_weight, qkv_bias)                      \
    {"token_embd.weight", "transformer.wte.weight", AS_IT_IS},        \
        {"position_embd.weight", "transformer.wpe.weight", AS_IT_IS}, \
        {"output_norm.weight", "transformer.ln_f.weight", AS_IT_IS},  \
        {"output_norm.bias", "transformer.ln_f.bias", AS_IT_IS},      \
        {"output.weight", "lm_head.weight", AS_IT_IS},                \
        NORM("attn_norm", "ln_1"), NORM("ffn_norm", "ln_2"),          \
        LAYER("attn_qkv.weight", "attn.c_attn.weight", qkv_weight),   \
        LAYER("attn_qkv.bias", "attn.c_attn.bias", qkv_bias),         \
        LAYER("attn_output.weight", "attn.c_proj.weight", matrix),    \
        LAYER("attn_output.bias", "attn.c_proj.bias", AS_IT_IS),      \
        LAYER("ffn_up.weight", "mlp.c_fc.weight", matrix),            \
        LAYER("ffn_up.bias", "mlp.c_fc.bias", AS_IT_IS),              \
        LAYER("ffn_down.weight", "mlp.c_proj.weight", matrix),        \
        LAYER("ffn_down.bias", "mlp.c_proj.bias", AS_IT_IS)

/* Matrices of GPT-2 have a row for each input, in the original. */
const struct gqa_gguf_name gqa_gguf_gpt2_names[] = {
    GPT2_MODEL(TURNED, TURNED, AS_IT_IS),
    {0},
};

const struct gqa_gguf_name gqa_gguf_gpt_bigcode_names[] = {
    GPT2_MODEL(AS_IT_IS, BY_GROUPS, BY_GROUPS),
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                                \
    {                                                           \
        "blk.%." theirs, "gpt_neox.layers.%." ours, __VA_ARGS__ \
    }

const struct gqa_gguf_name gqa_gguf_gpt_neox_names[] = {
    {"token_embd.weight", "gpt_neox.embed_in.weight", AS_IT_IS},
    {"output_norm.weight", "gpt_neox.final_layer_norm.weight", AS_IT_IS},
    {"output_norm.bias", "gpt_neox.final_layer_norm.bias", AS_IT_IS},
    {"output.weight", "embed_out.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("attn_norm.bias", "input_layernorm.bias", AS_IT_IS),
    LAYER("attn_qkv.weight", "attention.query_key_value.weight", BY_GROUPS),
    LAYER("attn_qkv.bias", "attention.query_key_value.bias", BY_GROUPS),
    LAYER("attn_output.weight", "attention.dense.weight", AS_IT_IS),
    LAYER("attn_output.bias", "attention.dense.bias", AS_IT_IS),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", AS_IT_IS),
    LAYER("ffn_norm.bias", "post_attention_layernorm.bias", AS_IT_IS),
    LAYER("ffn_up.weight", "mlp.dense_h_to_4h.weight", AS_IT_IS),
    LAYER("ffn_up.bias", "mlp.dense_h_to_4h.bias", AS_IT_IS),
    LAYER("ffn_down.weight", "mlp.dense_4h_to_h.weight", AS_IT_IS),
    LAYER("ffn_down.bias", "mlp.dense_4h_to_h.bias", AS_IT_IS),
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                                   \
    {                                                              \
        "blk.%." theirs, "transformer.blocks.%." ours, __VA_ARGS__ \
    }

const struct gqa_gguf_name gqa_gguf_mpt_names[] = {
    {"token_embd.weight", "transformer.wte.weight", AS_IT_IS},
    {"output_norm.weight", "transformer.norm_f.weight", AS_IT_IS},
    {"output.weight", "lm_head.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "norm_1.weight", AS_IT_IS),
    LAYER("ffn_norm.weight", "norm_2.weight", AS_IT_IS),
    LAYER("attn_qkv.weight", "attn.Wqkv.weight", AS_IT_IS),
    LAYER("attn_output.weight", "attn.out_proj.weight", AS_IT_IS),
    LAYER("ffn_up.weight", "ffn.up_proj.weight", AS_IT_IS),
    LAYER("ffn_down.weight", "ffn.down_proj.weight", AS_IT_IS),
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                                           \
    {                                                                      \
        "blk.%." theirs, "transformer.encoder.layers.%." ours, __VA_ARGS__ \
    }

const struct gqa_gguf_name gqa_gguf_chatglm2_names[] = {
    {"token_embd.weight", "transformer.embedding.word_embeddings.weight",
     AS_IT_IS},
    {"output_norm.weight", "transformer.encoder.final_layernorm.weight",
     AS_IT_IS},
    {"output.weight", "transformer.output_layer.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", AS_IT_IS),
    LAYER("attn_qkv.weight", "self_attention.query_key_value.weight", AS_IT_IS),
    LAYER("attn_qkv.bias", "self_attention.query_key_value.bias", AS_IT_IS),
    LAYER("attn_output.weight", "self_attention.dense.weight", AS_IT_IS),
    LAYER("ffn_up.weight", "mlp.dense_h_to_4h.weight", AS_IT_IS),
    LAYER("ffn_down.weight", "mlp.dense_4h_to_h.weight", AS_IT_IS),
    {0},
};

/* An encoder and a decoder, with numbers of sublayers in the original. */
#undef LAYER
#define LAYER(side, theirs, ours)                               \
    {                                                           \
        side ".blk.%." theirs ".weight",                        \
            side "oder.block.%.layer." ours ".weight", AS_IT_IS \
    }

#define T5_SELF(side)                               \
    LAYER(side, "attn_norm", "0.layer_norm"),       \
        LAYER(side, "attn_q", "0.SelfAttention.q"), \
        LAYER(side, "attn_k", "0.SelfAttention.k"), \
        LAYER(side, "attn_v", "0.SelfAttention.v"), \
        LAYER(side, "attn_o", "0.SelfAttention.o"), \
        LAYER(side, "attn_rel_b", "0.SelfAttention.relative_attention_bias")

#define T5_ATTENTIONS                                                 \
    {"token_embd.weight", "shared.weight", AS_IT_IS},                 \
        {"output.weight", "lm_head.weight", AS_IT_IS},                \
        {"enc.output_norm.weight", "encoder.final_layer_norm.weight", \
         AS_IT_IS},                                                   \
        {"dec.output_norm.weight", "decoder.final_layer_norm.weight", \
         AS_IT_IS},                                                   \
        T5_SELF("enc"), T5_SELF("dec"),                               \
        LAYER("dec", "cross_attn_norm", "1.layer_norm"),              \
        LAYER("dec", "cross_attn_q", "1.EncDecAttention.q"),          \
        LAYER("dec", "cross_attn_k", "1.EncDecAttention.k"),          \
        LAYER("dec", "cross_attn_v", "1.EncDecAttention.v"),          \
        LAYER("dec", "cross_attn_o", "1.EncDecAttention.o"),          \
        LAYER("enc", "ffn_norm", "1.layer_norm"),                     \
        LAYER("enc", "ffn_down", "1.DenseReluDense.wo"),              \
        LAYER("dec", "ffn_norm", "2.layer_norm"),                     \
        LAYER("dec", "ffn_down", "2.DenseReluDense.wo")

const struct gqa_gguf_name gqa_gguf_t5_names[] = {
    T5_ATTENTIONS,
    LAYER("enc", "ffn_up", "1.DenseReluDense.wi"),
    LAYER("dec", "ffn_up", "2.DenseReluDense.wi"),
    {0},
};

const struct gqa_gguf_name gqa_gguf_gated_t5_names[] = {
    T5_ATTENTIONS,
    LAYER("enc", "ffn_gate", "1.DenseReluDense.wi_0"),
    LAYER("enc", "ffn_up", "1.DenseReluDense.wi_1"),
    LAYER("dec", "ffn_gate", "2.DenseReluDense.wi_0"),
    LAYER("dec", "ffn_up", "2.DenseReluDense.wi_1"),
    {0},
};
