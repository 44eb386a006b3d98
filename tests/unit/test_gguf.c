/* GGUF files: their headers, blocks, names and configurations. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "formats/gguf/parts.h"
#include "formats/gguf/reader.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"

/* A file of pieces, put together one by one. */
struct made {
    unsigned char bytes[128 << 10];
    size_t n;
};

static void put(struct made *m, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        m->bytes[m->n++] = (unsigned char)(value >> (8 * i));
}

static void put_text(struct made *m, const char *text)
{
    put(m, strlen(text), 8);
    memcpy(m->bytes + m->n, text, strlen(text));
    m->n += strlen(text);
}

static void put_start(struct made *m, uint64_t n_tensors, uint64_t n_keys)
{
    memcpy(m->bytes, "GGUF", 4);
    m->n = 4;
    put(m, 3, 4);
    put(m, n_tensors, 8);
    put(m, n_keys, 8);
}

static void put_u32(struct made *m, const char *key, uint32_t value)
{
    put_text(m, key);
    put(m, 4, 4);
    put(m, value, 4);
}

static void put_f32(struct made *m, const char *key, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_text(m, key);
    put(m, 6, 4);
    put(m, bits, 4);
}

static void put_word(struct made *m, const char *key, const char *value)
{
    put_text(m, key);
    put(m, 8, 4);
    put_text(m, value);
}

/* [rows, columns]; columns alone where rows is 0 */
static void put_tensor(struct made *m, const char *name, uint64_t rows,
                       uint64_t columns, uint32_t type, uint64_t offset)
{
    put_text(m, name);
    put(m, rows > 0 ? 2 : 1, 4);
    put(m, columns, 8);
    if (rows > 0)
        put(m, rows, 8);
    put(m, type, 4);
    put(m, offset, 8);
}

static void put_data(struct made *m, const void *data, size_t n)
{
    while (m->n % 32 != 0)
        m->bytes[m->n++] = 0;
    memcpy(m->bytes + m->n, data, n);
    m->n += n;
}

static enum gqa_status open_made(struct gqa_source **out, const struct made *m,
                                 bool dequantise, bool lists)
{
    const char *path = scratch_write("x.gguf", m->bytes, m->n);
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    return gqa_gguf_open(
        out, &(const struct gqa_file_handle){.path = "x",
                                             .fd = fd,
                                             .size = size,
                                             .dequantise = dequantise,
                                             .lists = lists});
}

static struct gqa_source *open_good(const struct made *m)
{
    struct gqa_source *source = NULL;

    ck_assert_msg(open_made(&source, m, true, false) == GQA_OK, "%s",
                  gqa_error_message());
    return source;
}

static void refused(const struct made *m, enum gqa_status status,
                    const char *message)
{
    struct gqa_source *source;

    ck_assert_int_eq(open_made(&source, m, false, false), status);
    ck_assert_str_eq(gqa_error_message(), message);
}

/* --- What the real writer wrote ------------------------------------------- */

static const struct {
    const char *file, *same, *config;
} twins[] = {
    {"gguf/llama-grouped.gguf", "runtime/llama-grouped/model.safetensors",
     NULL},
    {"gguf/llama-parts-00001-of-00004.gguf",
     "runtime/llama-grouped/model.safetensors", NULL},
    {"gguf/llama-first-00001-of-00004.gguf",
     "runtime/llama-grouped/model.safetensors", NULL},
    {"gguf/internlm2.gguf", "runtime/llama-grouped/model.safetensors", NULL},
    {"gguf/exaone.gguf", "runtime/llama-grouped/model.safetensors", NULL},
    {"gguf/chatglm2.gguf", "families/chatglm2/model.safetensors", NULL},
    {"gguf/glm.gguf", "families/glm/model.safetensors", NULL},
    {"gguf/t5-v1_0.gguf", "runtime/t5-v1_0", NULL},
    {"gguf/t5-v1_1.gguf", "runtime/t5-v1_1", NULL},
    {"gguf/umt5.gguf", "runtime/umt5", NULL},
    {"gguf/qwen2.gguf", "good/qwen2", NULL},
    {"gguf/gpt2.gguf", "good/gpt2", NULL},
    {"gguf/gpt_neox.gguf", "good/gpt_neox", NULL},
    {"gguf/phi3.gguf", "families/phi3/model.safetensors", NULL},
    {"gguf/qwen3.gguf", "families/qwen3/model.safetensors", NULL},
    {"gguf/phi.gguf", "families/phi/model.safetensors", NULL},
    {"gguf/gemma.gguf", "families/gemma/model.safetensors", NULL},
    {"gguf/gemma2.gguf", "families/gemma2/model.safetensors",
     "families/gemma2/config.json"},
    {"gguf/stablelm.gguf", "families/stablelm/model.safetensors", NULL},
    {"gguf/stablelm-parallel.gguf",
     "families/stablelm-parallel/model.safetensors", NULL},
    {"gguf/bloom.gguf", "families/bloom/model.safetensors", NULL},
    {"gguf/falcon-7b.gguf", "families/falcon-7b/model.safetensors", NULL},
    {"gguf/falcon-40b.gguf", "families/falcon-40b/model.safetensors", NULL},
    {"gguf/olmo.gguf", "families/olmo/model.safetensors", NULL},
    {"gguf/olmo2.gguf", "families/olmo2/model.safetensors", NULL},
    {"gguf/cohere.gguf", "families/cohere/model.safetensors", NULL},
    {"gguf/starcoder2.gguf", "families/starcoder2/model.safetensors",
     "families/starcoder2/config.json"},
    {"gguf/mixtral.gguf", "families/mixtral/model.safetensors", NULL},
    {"gguf/olmoe.gguf", "families/olmoe/model.safetensors", NULL},
    {"gguf/gemma3.gguf", "families/gemma3/model.safetensors",
     "families/gemma3/config.json"},
    {"gguf/cohere2.gguf", "families/cohere2/model.safetensors", NULL},
    {"gguf/mpt.gguf", "families/mpt/model.safetensors", NULL},
    {"gguf/mpt-clip.gguf", "families/mpt-clip/model.safetensors", NULL},
    {"gguf/granite.gguf", "families/granite/model.safetensors", NULL},
    {"gguf/granitemoe.gguf", "families/granitemoe/model.safetensors", NULL},
    {"gguf/smollm3.gguf", "families/smollm3/model.safetensors",
     "families/smollm3/config.json"},
    {"gguf/nemotron.gguf", "families/nemotron/model.safetensors", NULL},
    {"gguf/glm4.gguf", "families/glm4/model.safetensors", NULL},
    {"gguf/ernie4_5.gguf", "families/ernie4_5/model.safetensors", NULL},
    {"gguf/apertus.gguf", "families/apertus/model.safetensors",
     "families/apertus/config.json"},
    {"gguf/arcee.gguf", "families/arcee/model.safetensors", NULL},
    {"gguf/seed_oss.gguf", "families/seed_oss/model.safetensors", NULL},
    {"gguf/xverse.gguf", "families/xverse/model.safetensors", NULL},
    {"gguf/orion.gguf", "families/orion/model.safetensors", NULL},
    {"gguf/deepseek.gguf", "families/deepseek/model.safetensors", NULL},
    {"gguf/minicpm.gguf", "families/minicpm/model.safetensors", NULL},
    {"gguf/gpt_bigcode-mqa.gguf", "families/gpt_bigcode-mqa/model.safetensors",
     NULL},
    {"gguf/qwen2_moe-all.gguf", "families/qwen2_moe-all/model.safetensors",
     NULL},
    {"gguf/qwen3_moe-all.gguf", "families/qwen3_moe-all/model.safetensors",
     NULL},
    {"gguf/exaone4.gguf", "families/exaone4/model.safetensors", NULL},
    {"gguf/exaone4-full.gguf", "families/exaone4-full/model.safetensors", NULL},
    {"gguf/exaone_moe.gguf", "families/exaone_moe/model.safetensors", NULL},
    {"gguf/glm4_moe.gguf", "families/glm4_moe/model.safetensors", NULL},
    {"gguf/solar_open.gguf", "families/solar_open/model.safetensors", NULL},
    {"gguf/dots1.gguf", "families/dots1/model.safetensors", NULL},
    {"gguf/ernie4_5_moe.gguf", "families/ernie4_5_moe/model.safetensors", NULL},
    {"gguf/hunyuan.gguf", "families/hunyuan/model.safetensors", NULL},
    {"gguf/hunyuan-moe.gguf", "families/hunyuan-moe/model.safetensors", NULL},
    {"gguf/minimax_m2.gguf", "families/minimax_m2/model.safetensors", NULL},
    {"gguf/granitemoeshared.gguf",
     "families/granitemoeshared/model.safetensors", NULL},
    {"gguf/olmo3.gguf", "families/olmo3/model.safetensors", NULL},
    {"gguf/jais2.gguf", "families/jais2/model.safetensors", NULL},
};

START_TEST(reads_what_safetensors_says)
{
    twins_are_same_with(twins[_i].file, twins[_i].same, twins[_i].config);
}
END_TEST

/* --- Blocks --------------------------------------------------------------- */

static void holds(struct gqa_source *source, size_t i, const float *values,
                  size_t n)
{
    const struct gqa_span all = {0, 4 * n, 0, 1};
    float found[128];

    ck_assert_int_eq(source->tensors[i].dtype, GQA_F32);
    ck_assert_uint_eq(source->tensors[i].n_bytes, 4 * n);
    ck_assert_int_eq(source->ops->read(source, i, &all, found), GQA_OK);
    ck_assert_mem_eq(found, values, 4 * n);
}

/* Scale 0.5 (0x3800), least value -1 (0xbc00). */
START_TEST(blocks_say_what_they_stand_for)
{
    unsigned char data[32 + 32 + 34] = {0};
    struct made m = {.n = 0};
    struct gqa_source *source;
    float values[32];

    put_start(&m, 3, 0);
    put_tensor(&m, "a", 0, 32, 2, 0);  /* Q4_0, 18 bytes */
    put_tensor(&m, "b", 0, 32, 3, 32); /* Q4_1, 20 bytes */
    put_tensor(&m, "c", 0, 32, 8, 64); /* Q8_0, 34 bytes */
    data[1] = data[33] = data[65] = 0x38;
    data[35] = 0xbc;
    for (unsigned i = 0; i < 16; i++)
        data[2 + i] = data[36 + i] = (unsigned char)(i | (15 - i) << 4);
    for (unsigned i = 0; i < 32; i++)
        data[66 + i] = (unsigned char)(i * 8);
    put_data(&m, data, sizeof data);
    source = open_good(&m);
    for (int i = 0; i < 16; i++) {
        values[i] = 0.5F * (float)(i - 8);
        values[16 + i] = 0.5F * (float)(15 - i - 8);
    }
    holds(source, 0, values, 32);
    for (int i = 0; i < 16; i++) {
        values[i] = 0.5F * (float)i - 1;
        values[16 + i] = 0.5F * (float)(15 - i) - 1;
    }
    holds(source, 1, values, 32);
    for (int i = 0; i < 32; i++)
        values[i] = 0.5F * (float)(i < 16 ? i * 8 : i * 8 - 256);
    holds(source, 2, values, 32);
    gqa_source_close(source);
}
END_TEST

/* Any bits, and what the gguf package says of them. */
START_TEST(blocks_stand_for_what_others_say)
{
    static const struct {
        unsigned type;
        size_t n_elements, n_bytes;
    } kinds[] = {{6, 32, 22},    {7, 32, 24},    {10, 256, 84}, {11, 256, 110},
                 {12, 256, 144}, {13, 256, 176}, {14, 256, 210}};
    unsigned char bytes[210];
    float values[256], found[256];
    FILE *file = fopen(test_data("gguf/blocks.bin"), "rb");

    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = kinds[i].n_elements;
        const struct gqa_span all = {0, 4 * n, 0, 1};
        struct made m = {.n = 0};
        struct gqa_source *source;

        ck_assert_uint_eq(fread(bytes, 1, kinds[i].n_bytes, file),
                          kinds[i].n_bytes);
        ck_assert_uint_eq(fread(values, 4, n, file), n);
        put_start(&m, 1, 0);
        put_tensor(&m, "a", 0, n, kinds[i].type, 0);
        put_data(&m, bytes, kinds[i].n_bytes);
        source = open_good(&m);
        ck_assert_int_eq(source->ops->read(source, 0, &all, found), GQA_OK);
        for (size_t k = 0; k < n; k++)
            ck_assert_msg(found[k] == values[k], "type %u, %zu: %g, %g",
                          kinds[i].type, k, (double)found[k],
                          (double)values[k]);
        gqa_source_close(source);
    }
    fclose(file);
}
END_TEST

START_TEST(quantised_weights_are_asked_for)
{
    static const unsigned char data[34];
    const struct gqa_span all = {0, 4, 0, 1};
    struct made m = {.n = 0};
    struct gqa_source *source = NULL;
    float found;

    put_start(&m, 1, 0);
    put_tensor(&m, "a", 0, 32, 8, 0);
    put_data(&m, data, sizeof data);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "1 of 1 tensors are quantised; a is: quantised to Q8_0; what is "
            "made of it keeps that loss: convert the checkpoint it was made "
            "from, or give --dequantise");
    ck_assert_int_eq(open_made(&source, &m, false, true), GQA_OK);
    ck_assert_int_eq(source->ops->read(source, 0, &all, &found),
                     GQA_ERR_UNSUPPORTED);
    gqa_source_close(source);
    /* Of what cannot be read, not even then */
    memset(&m, 0, sizeof m);
    put_start(&m, 1, 0);
    put_tensor(&m, "a", 0, 256, 16, 0);
    put_data(&m, (unsigned char[66]){0}, 66);
    ck_assert_int_eq(open_made(&source, &m, true, false), GQA_ERR_UNSUPPORTED);
    ck_assert_str_eq(
        gqa_error_message(),
        "1 of 1 tensors are quantised; a is: quantised to IQ2_XXS, "
        "which is not read (Q8_0, Q4_0 to Q5_1 and Q2_K to Q6_K "
        "are, with --dequantise); convert the checkpoint it was made from");
}
END_TEST

/* --- Orders of rows ------------------------------------------------------- */

static void put_llama(struct made *m, uint64_t n_tensors, uint64_t n_more)
{
    put_start(m, n_tensors, 7 + n_more);
    put_word(m, "general.architecture", "llama");
    put_u32(m, "llama.embedding_length", 1);
    put_u32(m, "llama.feed_forward_length", 3);
    put_u32(m, "llama.block_count", 2);
    put_u32(m, "llama.attention.head_count", 4);
    put_u32(m, "llama.context_length", 9);
    put_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
}

/* Heads of 4: rows 0, 2, 1, 3 of each. */
START_TEST(pairs_of_rope_are_put_apart)
{
    static const float rows[] = {0, 1, 2,  3,  4,  5,  6,  7,
                                 8, 9, 10, 11, 12, 13, 14, 15};
    static const float apart[] = {0, 2,  1, 3,  4,  6,  5,  7,
                                  8, 10, 9, 11, 12, 14, 13, 15};
    struct made m = {.n = 0};
    struct gqa_source *source;

    put_llama(&m, 2, 0);
    put_tensor(&m, "blk.1.attn_q.weight", 16, 1, 0, 0);
    put_tensor(&m, "blk.1.attn_k.bias", 0, 16, 0, 64);
    put_data(&m, rows, sizeof rows);
    put_data(&m, rows, sizeof rows);
    source = open_good(&m);
    ck_assert_str_eq(source->tensors[0].name,
                     "model.layers.1.self_attn.q_proj.weight");
    ck_assert_str_eq(source->tensors[1].name,
                     "model.layers.1.self_attn.k_proj.bias");
    holds(source, 0, apart, 16);
    holds(source, 1, apart, 16);
    gqa_source_close(source);
}
END_TEST

/* 4 heads on 2, of dim 1: q0-3, k0-1, v0-1 are q0 q1 k0 v0 q2 q3 k1 v1. */
START_TEST(groups_are_put_together)
{
    static const float rows[] = {0, 1, 2, 3, 10, 11, 20, 21};
    static const float groups[] = {0, 1, 10, 20, 2, 3, 11, 21};
    struct made m = {.n = 0};
    struct gqa_source *source;

    put_start(&m, 1, 10);
    put_word(&m, "general.architecture", "gptneox");
    put_u32(&m, "gptneox.embedding_length", 4);
    put_u32(&m, "gptneox.feed_forward_length", 3);
    put_u32(&m, "gptneox.block_count", 1);
    put_u32(&m, "gptneox.attention.head_count", 4);
    put_u32(&m, "gptneox.attention.head_count_kv", 2);
    put_u32(&m, "gptneox.context_length", 9);
    put_f32(&m, "gptneox.attention.layer_norm_epsilon", 1e-5F);
    put_u32(&m, "gptneox.rope.dimension_count", 1);
    put_text(&m, "gptneox.use_parallel_residual");
    put(&m, 7, 4);
    put(&m, 1, 1);
    put_tensor(&m, "blk.0.attn_qkv.bias", 0, 8, 0, 0);
    put_data(&m, rows, sizeof rows);
    source = open_good(&m);
    holds(source, 0, groups, 8);
    ck_assert(
        json_is_true(json_object_get(source->config, "use_parallel_residual")));
    ck_assert(json_real_value(json_object_get(source->config, "rotary_pct")) ==
              1);
    gqa_source_close(source);
}
END_TEST

/* All experts as one tensor, [n, 2, 2] or [n, 1, 1] */
static void put_mixture(struct made *m, uint64_t n_experts, uint64_t width,
                        uint32_t type)
{
    put_start(m, 3, 1);
    put_word(m, "general.architecture", "llama");
    put_tensor(m, "blk.0.ffn_gate_inp.weight", 0, 8, 0, 0);
    /* As files had it before */
    put_tensor(m, "blk.1.ffn_down.12.weight", 2, 2, 0, 32);
    put_text(m, "blk.0.ffn_up_exps.weight");
    put(m, 3, 4);
    put(m, width, 8);
    put(m, width, 8);
    put(m, n_experts, 8);
    put(m, type, 4);
    put(m, 64, 8);
}

static void open_mixture(struct gqa_source **source, const struct made *m,
                         size_t n)
{
    ck_assert_msg(open_made(source, m, false, true) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_uint_eq((*source)->n_tensors, n);
    ck_assert_str_eq((*source)->tensors[1].name,
                     "model.layers.1.block_sparse_moe.experts.12.w2.weight");
}

START_TEST(experts_are_tensors_of_their_own)
{
    static const float others[8];
    static const float first[] = {1, 2, 3, 4}, second[] = {5, 6, 7, 8};
    static const unsigned char many[64 + 100001];
    struct made m = {.n = 0};
    struct gqa_source *source = NULL;

    put_mixture(&m, 2, 2, 0);
    put_data(&m, others, 32);
    put_data(&m, others, 16);
    put_data(&m, first, sizeof first);
    memcpy(m.bytes + m.n, second, sizeof second);
    m.n += sizeof second;
    open_mixture(&source, &m, 4);
    ck_assert_str_eq(source->tensors[3].name,
                     "model.layers.0.block_sparse_moe.experts.1.w3.weight");
    ck_assert_uint_eq(source->tensors[3].rank, 2);
    holds(source, 2, first, 4);
    holds(source, 3, second, 4);
    gqa_source_close(source);
    /* One expert is one, too. */
    put_mixture(&m, 1, 2, 0);
    put_data(&m, others, 32);
    put_data(&m, others, 16);
    put_data(&m, first, sizeof first);
    open_mixture(&source, &m, 3);
    ck_assert_str_eq(source->tensors[2].name,
                     "model.layers.0.block_sparse_moe.experts.0.w3.weight");
    gqa_source_close(source);
    put_mixture(&m, 100001, 1, 24);
    put_data(&m, many, sizeof many);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "tensor blk.0.ffn_up_exps.weight has more experts than are read: "
            "at most 100000 tensors are");
}
END_TEST

/* --- Configurations ------------------------------------------------------- */

START_TEST(makes_the_configuration)
{
    struct made m = {.n = 0};
    struct gqa_source *source;
    char *text;

    put_llama(&m, 1, 4);
    put_f32(&m, "llama.rope.freq_base", 500000);
    put_word(&m, "llama.rope.scaling.type", "linear");
    put_f32(&m, "llama.rope.scaling.factor", 4);
    /* KV heads differ from layer to layer. */
    put_text(&m, "llama.attention.head_count_kv");
    put(&m, 9, 4);
    put(&m, 4, 4);
    put(&m, 2, 8);
    put(&m, 4, 4);
    put(&m, 2, 4);
    put_tensor(&m, "token_embd.weight", 5, 1, 0, 0);
    put_data(&m, "01234567890123456789", 20);
    source = open_good(&m);
    text = json_dumps(source->config, JSON_SORT_KEYS | JSON_COMPACT);
    ck_assert_str_eq(
        text,
        "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,"
        "\"hidden_act\":\"silu\",\"hidden_size\":1,\"intermediate_size\":3,"
        "\"max_position_embeddings\":9,\"mlp_bias\":false,\"model_type\":"
        "\"llama\",\"num_attention_heads\":4,\"num_hidden_layers\":2,"
        "\"num_key_value_heads\":[4,2],\"rms_norm_eps\":"
        "1.0000000000000001e-5,\"rope_scaling\":{\"factor\":4.0,"
        "\"rope_type\":\"linear\"},\"rope_theta\":500000.0,"
        "\"tie_word_embeddings\":true,\"vocab_size\":5}");
    free(text);
    gqa_source_close(source);
}
END_TEST

static void put_gemma2(struct made *m, uint32_t n_layers)
{
    put_start(m, 0, 11);
    put_word(m, "general.architecture", "gemma2");
    put_u32(m, "gemma2.embedding_length", 8);
    put_u32(m, "gemma2.feed_forward_length", 3);
    put_u32(m, "gemma2.block_count", n_layers);
    put_u32(m, "gemma2.attention.head_count", 4);
    put_u32(m, "gemma2.attention.key_length", 2);
    put_u32(m, "gemma2.context_length", 9);
    put_f32(m, "gemma2.attention.layer_norm_rms_epsilon", 1e-5F);
    put_f32(m, "gemma2.attn_logit_softcapping", 50);
    put_f32(m, "gemma2.final_logit_softcapping", 30);
    put_u32(m, "gemma2.attention.sliding_window", 4096);
}

/* Gemma 2 27b has 46 layers and divides by the root of 144. */
START_TEST(knows_models_by_their_layers)
{
    struct made m = {.n = 0};
    struct gqa_source *source;
    json_t *config;

    put_gemma2(&m, 46);
    source = open_good(&m);
    config = source->config;
    ck_assert_int_eq(
        json_integer_value(json_object_get(config, "query_pre_attn_scalar")),
        144);
    ck_assert(json_real_value(
                  json_object_get(config, "attn_logit_softcapping")) == 50);
    ck_assert_int_eq(
        json_integer_value(json_object_get(config, "sliding_window")), 4096);
    gqa_source_close(source);
    put_gemma2(&m, 45);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "no key of the architecture gemma2 says query_pre_attn_scalar; "
            "give --config the original's config.json");
}
END_TEST

static void cannot_be(const char *architecture, const char *name, uint32_t type,
                      const char *message)
{
    struct made m = {.n = 0};
    struct gqa_source *source;

    put_start(&m, 1, 1);
    put_word(&m, "general.architecture", architecture);
    put_tensor(&m, name, 0, 32, type, 0);
    put_data(&m, (char[128]){0}, type == 8 ? 34 : 128);
    ck_assert_int_eq(open_made(&source, &m, true, true), GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), message);
}

START_TEST(refuses_types_that_cannot_be)
{
    cannot_be("llama", "blk.0.attn_q.bias", 8,
              "tensor blk.0.attn_q.bias is of the type Q8_0, which it cannot "
              "be");
    cannot_be("gemma", "blk.0.attn_norm.weight", 26,
              "tensor blk.0.attn_norm.weight is of the type I32, which it "
              "cannot be");
}
END_TEST

/* Files of before the kind was said: llama.cpp takes it to be linear. */
START_TEST(scaling_without_a_kind_is_linear)
{
    static const char *const keys[] = {"llama.rope.scale_linear",
                                       "llama.rope.scaling.factor"};
    struct made m = {.n = 0};
    struct gqa_source *source;
    const json_t *scaling;

    for (size_t i = 0; i < 2; i++)
        for (int factor = 1; factor <= 4; factor += 3) {
            put_llama(&m, 1, 1);
            put_f32(&m, keys[i], (float)factor);
            put_tensor(&m, "token_embd.weight", 5, 1, 0, 0);
            put_data(&m, "01234567890123456789", 20);
            source = open_good(&m);
            scaling = json_object_get(source->config, "rope_scaling");
            ck_assert(json_number_value(json_object_get(scaling, "factor")) ==
                      (factor == 1 ? 0 : factor));
            if (factor != 1)
                ck_assert_str_eq(
                    json_string_value(json_object_get(scaling, "rope_type")),
                    "linear");
            gqa_source_close(source);
        }
}
END_TEST

/* llama.cpp multiplies 0.1 ln 4 + 1 = 1.138629 with its factor. */
START_TEST(yarn_is_read_with_its_numbers)
{
    struct made m = {.n = 0};
    struct gqa_source *source;
    const json_t *scaling;

    put_llama(&m, 0, 7);
    put_word(&m, "llama.rope.scaling.type", "yarn");
    put_f32(&m, "llama.rope.scaling.factor", 4);
    put_u32(&m, "llama.rope.scaling.original_context_length", 16);
    put_f32(&m, "llama.rope.scaling.yarn_beta_fast", 8);
    put_f32(&m, "llama.rope.scaling.yarn_beta_slow", 2);
    put_f32(&m, "llama.rope.scaling.yarn_ext_factor", 1);
    put_f32(&m, "llama.rope.scaling.attn_factor", 0.5F);
    put_data(&m, "", 0);
    source = open_good(&m);
    scaling = json_object_get(source->config, "rope_scaling");
    ck_assert_str_eq(json_string_value(json_object_get(scaling, "rope_type")),
                     "yarn");
    ck_assert(json_number_value(json_object_get(scaling, "beta_fast")) == 8);
    ck_assert(json_number_value(json_object_get(scaling, "beta_slow")) == 2);
    ck_assert(json_number_value(json_object_get(scaling, "attention_factor")) ==
              0.5693147);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_what_no_configuration_says)
{
    struct made m = {.n = 0};

    put_llama(&m, 1, 0);
    put_tensor(&m, "rope_freqs.weight", 0, 2, 0, 0);
    put_data(&m, "01234567", 8);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "rope_freqs.weight: frequencies of RoPE that were changed (Llama "
            "3.1 and later), by what rule it does not say; give --config the "
            "original's config.json");
    put_llama(&m, 1, 0);
    put_tensor(&m, "rope_factors_long.weight", 0, 2, 0, 0);
    put_data(&m, "01234567", 8);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "rope_factors_long.weight: frequencies of RoPE that change with "
            "the length (longrope); give --config the original's config.json");
    put_llama(&m, 0, 2);
    put_word(&m, "llama.rope.scaling.type", "longrope");
    put_f32(&m, "llama.rope.scaling.factor", 4);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "llama.rope.scaling.type is \"longrope\", which is not read; give "
            "--config the original's config.json");
    put_llama(&m, 0, 3);
    put_word(&m, "llama.rope.scaling.type", "yarn");
    put_f32(&m, "llama.rope.scaling.factor", 4);
    put_f32(&m, "llama.rope.scaling.yarn_ext_factor", 0.5F);
    refused(
        &m, GQA_ERR_UNSUPPORTED,
        "llama.rope.scaling.yarn_ext_factor: YaRN by another rule, which is "
        "not read; give --config the original's config.json");
    put_llama(&m, 0, 2);
    put_u32(&m, "llama.attention.key_length", 8);
    put_u32(&m, "llama.rope.dimension_count", 4);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "llama.rope.dimension_count is 4 of 8: a part of each head, which "
            "models of the type llama do not turn");
    put_start(&m, 0, 8);
    put_word(&m, "general.architecture", "falcon");
    put_u32(&m, "falcon.embedding_length", 8);
    put_u32(&m, "falcon.feed_forward_length", 3);
    put_u32(&m, "falcon.block_count", 1);
    put_u32(&m, "falcon.attention.head_count", 4);
    put_u32(&m, "falcon.attention.head_count_kv", 2);
    put_u32(&m, "falcon.context_length", 9);
    put_f32(&m, "falcon.attention.layer_norm_epsilon", 1e-5F);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "by falcon.attention.head_count_kv this is a model whose "
            "configuration the keys do not say in full; give --config the "
            "original's config.json");
    put_start(&m, 0, 1);
    put_word(&m, "general.architecture", "llama");
    refused(&m, GQA_ERR_FORMAT, "the key llama.embedding_length is missing");
    put_llama(&m, 1, 1);
    put_u32(&m, "llama.attention.head_count_kv", 3);
    put_tensor(&m, "blk.0.attn_k.bias", 0, 4, 0, 0);
    put_data(&m, "0123456789abcdef", 16);
    refused(&m, GQA_ERR_FORMAT,
            "llama.attention.head_count_kv says no number of heads that "
            "divides those of queries, 4");
    put_llama(&m, 1, 0);
    put_tensor(&m, "blk.0.attn_q.bias", 0, 4, 0, 0);
    put_data(&m, "0123456789abcdef", 16);
    refused(&m, GQA_ERR_FORMAT,
            "tensor blk.0.attn_q.bias: 4 rows do not make 4 heads");
}
END_TEST

/* A default would be computed with. */
START_TEST(keys_of_other_kinds_are_refused)
{
    static const char *const numbers[] = {
        "llama.rope.freq_base",
        "llama.rope.dimension_count",
        "llama.attention.key_length",
        "tokenizer.ggml.eos_token_id",
        "llama.rope.scaling.factor",
        "llama.rope.scale_linear",
        "llama.rope.scaling.original_context_length",
        "llama.rope.scaling.attn_factor",
        "llama.rope.scaling.yarn_beta_fast",
        "llama.rope.scaling.yarn_log_multiplier",
    };
    struct made m = {.n = 0};
    char wanted[128];

    snprintf(wanted, sizeof wanted,
             "the key %s is no number; give --config the original's "
             "config.json",
             numbers[_i]);
    put_llama(&m, 0, 1);
    put_word(&m, numbers[_i], "8");
    put_data(&m, "", 0);
    refused(&m, GQA_ERR_FORMAT, wanted);
    put_llama(&m, 0, 1);
    put_f32(&m, numbers[_i], NAN);
    put_data(&m, "", 0);
    refused(&m, GQA_ERR_FORMAT, wanted);
    put_llama(&m, 0, 1);
    put_u32(&m, "llama.rope.scaling.type", 2);
    put_data(&m, "", 0);
    refused(&m, GQA_ERR_FORMAT,
            "the key llama.rope.scaling.type is no text; give --config the "
            "original's config.json");
}
END_TEST

/* --- Damage --------------------------------------------------------------- */

START_TEST(refuses_bad_headers)
{
    struct made m = {.n = 0};

    put_start(&m, 0, 0);
    m.bytes[4] = 1;
    refused(&m, GQA_ERR_UNSUPPORTED, "version 1 of GGUF; 2 and 3 are read");
    memcpy(m.bytes + 4, "\0\0\0\3", 4);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "a GGUF file of big-endian numbers; turn them round: "
            "gguf-convert-endian FILE little");
    put_start(&m, 1ULL << 40, 0);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "0 keys and 1099511627776 tensors; at most 1024 and 100000 are "
            "read");
    put_start(&m, 0, 1);
    refused(&m, GQA_ERR_FORMAT, "the header ends early");
    put_start(&m, 0, 1);
    put(&m, UINT64_MAX, 8);
    refused(&m, GQA_ERR_FORMAT,
            "a text of 18446744073709551615 bytes, where 0 are left");
    put_start(&m, 0, 2);
    put_u32(&m, "a", 1);
    put_u32(&m, "a", 1);
    refused(&m, GQA_ERR_FORMAT, "a: the key a is there twice");
    put_start(&m, 0, 1);
    put_text(&m, "a");
    put(&m, 13, 4);
    refused(&m, GQA_ERR_FORMAT, "a: a value of type 13");
    put_start(&m, 0, 1);
    put_text(&m, "a");
    put(&m, 9, 4);
    put(&m, 9, 4);
    put(&m, 1, 8);
    refused(&m, GQA_ERR_FORMAT, "a: a list of values of type 9");
    put_start(&m, 0, 1);
    put_text(&m, "a");
    put(&m, 9, 4);
    put(&m, 8, 4);
    put(&m, 1ULL << 60, 8);
    refused(&m, GQA_ERR_FORMAT,
            "a: a list of 1152921504606846976 values, where 0 bytes are left");
    put_start(&m, 0, 1);
    put_text(&m, "\377");
    refused(&m, GQA_ERR_FORMAT, "a name that is no text");
    put_start(&m, 0, 1);
    put_u32(&m, "general.alignment", 24);
    refused(&m, GQA_ERR_FORMAT, "general.alignment is no power of two");
    put_start(&m, 0, 1);
    put_u32(&m, "split.count", 3);
    refused(&m, GQA_ERR_USAGE,
            "the first of 3 files of a model; by a name that does not end in "
            "-00001-of-00003.gguf the others are not found");
    put_start(&m, 0, 2);
    put_u32(&m, "split.count", 3);
    put_u32(&m, "split.no", 1);
    refused(&m, GQA_ERR_USAGE,
            "file 2 of 3 of a model; give the first, whose name ends in "
            "-00001-of-00003.gguf");
    put_start(&m, 0, 1);
    put_u32(&m, "split.count", 100000);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "one of 100000 files of a model; at most 99999 are read");
}
END_TEST

static void put_baichuan(struct made *m, uint32_t n_layers)
{
    put_start(m, 1, 7);
    put_word(m, "general.architecture", "baichuan");
    put_u32(m, "baichuan.embedding_length", 1);
    put_u32(m, "baichuan.feed_forward_length", 3);
    put_u32(m, "baichuan.block_count", n_layers);
    put_u32(m, "baichuan.attention.head_count", 4);
    put_u32(m, "baichuan.context_length", 9);
    put_f32(m, "baichuan.attention.layer_norm_rms_epsilon", 1e-5F);
    put_tensor(m, "blk.1.attn_q.weight", 16, 1, 0, 0);
    put_data(m,
             "0123456789abcdef0123456789abcdef"
             "0123456789abcdef0123456789abcdef",
             64);
}

/* As llama.cpp knows them by their layers */
START_TEST(baichuan_is_a_llama_of_32_layers)
{
    struct made m = {.n = 0};
    struct gqa_source *source;

    put_baichuan(&m, 32);
    source = open_good(&m);
    ck_assert_str_eq(
        json_string_value(json_object_get(source->config, "model_type")),
        "llama");
    ck_assert_str_eq(source->tensors[0].name,
                     "model.layers.1.self_attn.q_proj.weight");
    gqa_source_close(source);
    put_baichuan(&m, 40);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "baichuan.block_count is 40: Baichuan with other numbers of layers "
            "than the 7B's 32 has ALiBi, and is read in its original form "
            "alone");
}
END_TEST

START_TEST(parts_are_known_by_their_names)
{
    unsigned number = 0, count = 0;

    ck_assert(gqa_gguf_part_find("a/b-00002-of-00011.gguf", &number, &count));
    ck_assert_uint_eq(number, 2);
    ck_assert_uint_eq(count, 11);
    ck_assert(!gqa_gguf_part_find("b-00000-of-00011.gguf", &number, &count));
    ck_assert(!gqa_gguf_part_find("b-00012-of-00011.gguf", &number, &count));
    ck_assert(!gqa_gguf_part_find("b-0002-of-00011.gguf", &number, &count));
    ck_assert(!gqa_gguf_part_find("b-00002-of-00011.bin", &number, &count));
    ck_assert(!gqa_gguf_part_find("", &number, &count));
}
END_TEST

static void put_one(struct made *m, uint64_t rows, uint64_t columns,
                    uint32_t type, uint64_t offset, size_t n_data)
{
    static const char data[256];

    put_start(m, 1, 0);
    put_tensor(m, "a", rows, columns, type, offset);
    put_data(m, data, n_data);
}

static const char gates[] = "blk.0.ffn_gate_exps.weight";
static const char ups[] = "blk.0.ffn_up_exps.weight";

static void put_granite_moe(struct made *m, uint64_t n_tensors)
{
    put_start(m, n_tensors, 1);
    put_word(m, "general.architecture", "granitemoe");
}

/* Of 8 columns of float32. */
static void put_experts(struct made *m, const char *name, uint64_t experts,
                        uint64_t rows, uint64_t offset)
{
    put_text(m, name);
    put(m, 3, 4);
    put(m, 8, 8);
    put(m, rows, 8);
    put(m, experts, 8);
    put(m, 0, 4);
    put(m, offset, 8);
}

static void put_floats(struct made *m, const char *key, const float *values,
                       uint32_t n)
{
    put_text(m, key);
    put(m, 9, 4);
    put(m, 6, 4);
    put(m, n, 8);
    memcpy(m->bytes + m->n, values, n * sizeof *values);
    m->n += n * sizeof *values;
}

/* Three tensors; keys of activations are behind it, n_more. */
static void put_apertus(struct made *m, uint32_t n_layers, uint64_t n_more)
{
    put_start(m, 3, 3 + n_more);
    put_word(m, "general.architecture", "apertus");
    put_word(m, "gqa.config", "{\"model_type\": \"apertus\"}");
    put_u32(m, "apertus.block_count", n_layers);
}

static void end_apertus(struct made *m)
{
    put_tensor(m, "a", 0, 8, 0, 0);
    put_tensor(m, "b", 0, 8, 0, 32);
    put_tensor(m, "c", 0, 8, 0, 64);
    put_data(m, (char[96]){0}, 96);
}

/* A list, or one number for all layers, is a tensor of each. */
START_TEST(keys_stand_for_tensors)
{
    static const float positive[] = {0.5F, -0.25F}, negative[] = {2, 3};
    struct made m = {.n = 0};
    struct gqa_source *source;

    put_apertus(&m, 2, 4);
    put_floats(&m, "xielu.alpha_p", positive, 2);
    put_floats(&m, "xielu.alpha_n", negative, 2);
    put_f32(&m, "xielu.beta", 0.5F);
    put_f32(&m, "xielu.eps", -1e-6F);
    end_apertus(&m);
    source = open_good(&m);
    ck_assert_uint_eq(source->n_tensors, 3 + 8);
    ck_assert_str_eq(source->tensors[4].name,
                     "model.layers.1.mlp.act_fn.alpha_p");
    ck_assert_uint_eq(source->tensors[4].rank, 1);
    ck_assert_uint_eq(source->tensors[4].shape[0], 1);
    holds(source, 4, &positive[1], 1);
    holds(source, 6, &negative[1], 1);
    ck_assert_str_eq(source->tensors[8].name, "model.layers.1.mlp.act_fn.beta");
    ck_assert_uint_eq(source->tensors[8].rank, 0);
    holds(source, 8, positive, 1);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_keys_that_stand_for_no_tensors)
{
    static const float three[] = {1, 2, 3};
    struct made m = {.n = 0};

    put_apertus(&m, 2, 0);
    end_apertus(&m);
    refused(&m, GQA_ERR_FORMAT,
            "no xielu.alpha_p that says a number for each of 2 layers");
    put_apertus(&m, 2, 1);
    put_floats(&m, "xielu.alpha_p", three, 3);
    end_apertus(&m);
    refused(&m, GQA_ERR_FORMAT,
            "no xielu.alpha_p that says a number for each of 2 layers");
    put_apertus(&m, 2, 1);
    put_word(&m, "xielu.alpha_p", "1");
    end_apertus(&m);
    refused(&m, GQA_ERR_FORMAT,
            "no xielu.alpha_p that says a number for each of 2 layers");
    put_apertus(&m, 0, 0);
    end_apertus(&m);
    refused(&m, GQA_ERR_FORMAT, "block_count is 0, where there are 3 tensors");
    put_apertus(&m, 4000000000, 0);
    end_apertus(&m);
    refused(&m, GQA_ERR_FORMAT,
            "block_count is 4000000000, where there are 3 tensors");
}
END_TEST

START_TEST(refuses_bad_tensors)
{
    struct made m = {.n = 0};

    put_one(&m, 0, 4, 0, 0, 15);
    refused(&m, GQA_ERR_FORMAT,
            "tensor a ends behind the file's 79 bytes; the file is cut off");
    put_one(&m, 0, 4, 0, 0, 33);
    refused(&m, GQA_ERR_FORMAT,
            "1 bytes after the last tensor belong to no tensor");
    put_one(&m, 0, 4, 0, 32, 48);
    refused(&m, GQA_ERR_FORMAT,
            "tensor a begins at byte 32 of the data, not behind the one before "
            "it, at 0");
    put_one(&m, 1ULL << 33, 1ULL << 33, 0, 0, 16);
    refused(&m, GQA_ERR_FORMAT, "tensor a has no shape that can be");
    put_one(&m, 1ULL << 31, 1ULL << 32, 0, 0, 16);
    refused(&m, GQA_ERR_FORMAT, "tensor a has no size that can be");
    put_one(&m, 0, 0, 0, 0, 16);
    refused(&m, GQA_ERR_FORMAT, "tensor a has no shape that can be");
    put_one(&m, 2, 16, 8, 0, 34);
    refused(&m, GQA_ERR_FORMAT, "tensor a: rows of 16 are no blocks of Q8_0");
    put_one(&m, 0, 4, 99, 0, 16);
    refused(&m, GQA_ERR_UNSUPPORTED,
            "tensor a is of type 99 of ggml, which is not known");
    put_start(&m, 1, 0);
    put_text(&m, "a");
    put(&m, 5, 4);
    refused(&m, GQA_ERR_FORMAT,
            "tensor a has 5 dimensions; there are at most 4");
    put_start(&m, 2, 0);
    put_tensor(&m, "a", 0, 8, 0, 0);
    put_tensor(&m, "a", 0, 8, 0, 32);
    put_data(&m, (char[64]){0}, 64);
    refused(&m, GQA_ERR_FORMAT, "two tensors are called a");
    /* One that is called as another is in the original */
    put_llama(&m, 2, 0);
    put_tensor(&m, "output_norm.weight", 0, 8, 0, 0);
    put_tensor(&m, "model.norm.weight", 0, 8, 0, 32);
    put_data(&m, (char[64]){0}, 64);
    refused(&m, GQA_ERR_FORMAT, "two tensors are model.norm.weight");
    /* Halves that are one tensor in the original */
    put_granite_moe(&m, 1);
    put_experts(&m, gates, 2, 3, 0);
    put_data(&m, (char[192]){0}, 192);
    refused(&m, GQA_ERR_FORMAT,
            "a part of model.layers.0.block_sparse_moe.input_linear.weight is "
            "missing");
    put_granite_moe(&m, 2);
    put_experts(&m, gates, 2, 3, 0);
    put_experts(&m, ups, 3, 2, 192);
    put_data(&m, (char[384]){0}, 384);
    refused(&m, GQA_ERR_FORMAT,
            "the parts of model.layers.0.block_sparse_moe.input_linear.weight "
            "do not fit each other");
    put_granite_moe(&m, 1);
    put_tensor(&m, gates, 0, 48, 0, 0);
    put_data(&m, (char[192]){0}, 192);
    refused(&m, GQA_ERR_FORMAT,
            "tensor blk.0.ffn_gate_exps.weight has 1 dimensions, and matrices "
            "have 2, or 3 of experts");
}
END_TEST

/* Four heads on two, of what a file of ours says that it was. */
static void put_internlm2(struct made *m, uint64_t n_tensors, const char *type)
{
    char config[64];

    snprintf(config, sizeof config, "{\"model_type\": \"%s\"}", type);
    put_start(m, n_tensors, 4);
    put_word(m, "general.architecture", "internlm2");
    put_word(m, "gqa.config", config);
    put_u32(m, "internlm2.attention.head_count", 4);
    put_u32(m, "internlm2.attention.head_count_kv", 2);
}

/* Rows of 8 of float32 */
static void put_third(struct made *m, const char *which, uint64_t rows,
                      uint64_t offset)
{
    char name[32];

    snprintf(name, sizeof name, "blk.0.attn_%s.weight", which);
    put_tensor(m, name, rows, 8, 0, offset);
}

#define WQKV "model.layers.0.attention.wqkv.weight"

/* Of heads of 2, a pair each: all queries, keys and values, and in ours two
 * queries, a key and a value, twice. */
START_TEST(recorded_thirds_are_one)
{
    static const int rows[] = {0, 1, 2, 3, 8,  9,  12, 13,
                               4, 5, 6, 7, 10, 11, 14, 15};
    struct made m = {.n = 0};
    struct gqa_source *source;
    float data[16 * 8], ours[16 * 8];

    for (int i = 0; i < 16 * 8; i++)
        data[i] = (float)i;
    put_internlm2(&m, 3, "internlm2");
    put_third(&m, "q", 8, 0);
    put_third(&m, "v", 4, 256);
    put_third(&m, "k", 4, 384);
    /* Values lie before keys in the file. */
    for (int i = 64; i < 96; i++) {
        data[i] += 32;
        data[i + 32] -= 32;
    }
    put_data(&m, (const char *)data, sizeof data);
    source = open_good(&m);
    ck_assert_uint_eq(source->n_tensors, 1);
    ck_assert_str_eq(source->tensors[0].name, WQKV);
    ck_assert_uint_eq(source->tensors[0].shape[0], 16);
    ck_assert_uint_eq(source->tensors[0].n_bytes, sizeof data);
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 8; k++)
            ours[row * 8 + k] = (float)(rows[row] * 8 + k);
    holds(source, 0, ours, 128);
    gqa_source_close(source);
    /* Of another type, or by nothing, it is a Llama. */
    put_internlm2(&m, 1, "llama");
    put_third(&m, "k", 4, 0);
    put_data(&m, (const char *)data, 128);
    source = open_good(&m);
    ck_assert_str_eq(source->tensors[0].name,
                     "model.layers.0.self_attn.k_proj.weight");
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_thirds_that_do_not_fit)
{
    static const char data[768];
    struct made m = {.n = 0};

    put_internlm2(&m, 2, "internlm2");
    put_third(&m, "q", 8, 0);
    put_third(&m, "k", 4, 256);
    put_data(&m, data, 384);
    refused(&m, GQA_ERR_FORMAT, "a part of " WQKV " is missing");
    put_internlm2(&m, 3, "internlm2");
    put_third(&m, "q", 8, 0);
    put_third(&m, "k", 4, 256);
    put_third(&m, "v", 8, 384);
    put_data(&m, data, 640);
    refused(&m, GQA_ERR_FORMAT, "the parts of " WQKV " do not fit each other");
    put_internlm2(&m, 3, "internlm2");
    put_third(&m, "q", 8, 0);
    put_third(&m, "k", 4, 256);
    put_tensor(&m, "blk.0.attn_v.weight", 4, 16, 0, 384);
    put_data(&m, data, 640);
    refused(&m, GQA_ERR_FORMAT, "the parts of " WQKV " do not fit each other");
    put_internlm2(&m, 3, "internlm2");
    put_third(&m, "q", 8, 0);
    put_third(&m, "k", 4, 256);
    put_tensor(&m, "blk.0.attn_v.weight", 4, 8, 1, 384);
    put_data(&m, data, 448);
    refused(&m, GQA_ERR_FORMAT, "the parts of " WQKV " do not fit each other");
    put_internlm2(&m, 1, "internlm2");
    put_third(&m, "k", 5, 0);
    put_data(&m, data, 160);
    refused(&m, GQA_ERR_FORMAT,
            "tensor blk.0.attn_k.weight: 5 rows do not make 2 heads");
    put_internlm2(&m, 1, "internlm2");
    put_tensor(&m, "blk.0.attn_q.weight", 0, 8, 0, 0);
    put_data(&m, data, 32);
    refused(&m, GQA_ERR_FORMAT,
            "tensor blk.0.attn_q.weight has 1 dimensions, and a matrix has 2");
}
END_TEST

/* A mixture of two layers and, behind them, what predicts more. */
static void put_exaone_moe(struct made *m, uint32_t n_layers, uint32_t n_dense,
                           uint32_t n_more, uint64_t n_tensors)
{
    put_start(m, n_tensors, 20);
    put_word(m, "general.architecture", "exaone-moe");
    put_u32(m, "exaone-moe.embedding_length", 8);
    put_u32(m, "exaone-moe.feed_forward_length", 3);
    put_u32(m, "exaone-moe.block_count", n_layers);
    put_u32(m, "exaone-moe.nextn_predict_layers", n_more);
    put_u32(m, "exaone-moe.attention.head_count", 2);
    put_u32(m, "exaone-moe.attention.head_count_kv", 1);
    put_u32(m, "exaone-moe.context_length", 9);
    put_f32(m, "exaone-moe.attention.layer_norm_rms_epsilon", 1e-5F);
    put_u32(m, "exaone-moe.attention.sliding_window", 3);
    put_u32(m, "exaone-moe.attention.sliding_window_pattern", 2);
    put_u32(m, "exaone-moe.expert_count", 4);
    put_u32(m, "exaone-moe.expert_used_count", 2);
    put_u32(m, "exaone-moe.expert_feed_forward_length", 3);
    put_u32(m, "exaone-moe.expert_shared_count", 1);
    put_u32(m, "exaone-moe.expert_gating_func", 2);
    put_f32(m, "exaone-moe.expert_weights_scale", 2.5F);
    put_text(m, "exaone-moe.expert_weights_norm");
    put(m, 7, 4);
    put(m, 1, 1);
    put_u32(m, "exaone-moe.leading_dense_block_count", n_dense);
    put_word(m, "general.name", "m");
}

static void end_exaone_moe(struct made *m)
{
    put_tensor(m, "blk.1.ffn_norm.weight", 0, 8, 0, 0);
    put_tensor(m, "blk.2.ffn_norm.weight", 0, 8, 0, 32);
    put_tensor(m, "blk.2.nextn.eh_proj.weight", 0, 8, 0, 64);
    put_data(m, (char[96]){0}, 96);
}

START_TEST(layers_that_predict_more_are_left_out)
{
    struct made m = {.n = 0};
    struct gqa_source *source;
    const json_t *config;

    put_exaone_moe(&m, 3, 1, 1, 3);
    end_exaone_moe(&m);
    source = open_good(&m);
    config = source->config;
    ck_assert_uint_eq(source->n_tensors, 1);
    ck_assert_int_eq(
        json_integer_value(json_object_get(config, "num_hidden_layers")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(config, "layer_types")),
                      2);
    ck_assert_str_eq(json_string_value(json_array_get(
                         json_object_get(config, "mlp_layer_types"), 1)),
                     "sparse");
    ck_assert(json_is_true(json_object_get(config, "norm_topk_prob")));
    gqa_source_close(source);
    /* Without a number of them all are the model's. */
    put_exaone_moe(&m, 3, 1, 0, 3);
    end_exaone_moe(&m);
    source = open_good(&m);
    ck_assert_uint_eq(source->n_tensors, 3);
    gqa_source_close(source);
}
END_TEST

START_TEST(refuses_layers_that_there_are_not)
{
    struct made m = {.n = 0};

    put_exaone_moe(&m, 2, 1, 3, 3);
    end_exaone_moe(&m);
    refused(&m, GQA_ERR_FORMAT,
            "the key exaone-moe.block_count is no number; give --config the "
            "original's config.json");
    put_exaone_moe(&m, 2, 4000000000U, 0, 3);
    end_exaone_moe(&m);
    refused(&m, GQA_ERR_FORMAT,
            "the key exaone-moe.leading_dense_block_count tells no layers");
    put_exaone_moe(&m, 4000000000U, 1, 0, 3);
    end_exaone_moe(&m);
    refused(&m, GQA_ERR_FORMAT,
            "the key exaone-moe.attention.sliding_window_pattern tells no "
            "layers");
}
END_TEST

/* Both of one matrix, of five rows that are the first and the second half */
START_TEST(halves_of_matrices_are_one)
{
    struct made m = {.n = 0};
    struct gqa_source *source;
    float data[80], found[80];
    const struct gqa_span all = {0, sizeof found, 0, 1};

    for (unsigned i = 0; i < 80; i++)
        data[i] = (float)i;
    put_start(&m, 2, 3);
    put_word(&m, "general.architecture", "granitemoe");
    put_u32(&m, "granitemoe.expert_shared_feed_forward_length", 5);
    put_word(&m, "gqa.config", "{\"model_type\": \"granitemoeshared\"}");
    put_tensor(&m, "blk.0.ffn_up_shexp.weight", 5, 8, 0, 0);
    put_tensor(&m, "blk.0.ffn_gate_shexp.weight", 5, 8, 0, 160);
    put_data(&m, data, sizeof data);
    source = open_good(&m);
    ck_assert_uint_eq(source->n_tensors, 1);
    ck_assert_str_eq(source->tensors[0].name,
                     "model.layers.0.shared_mlp.input_linear.weight");
    ck_assert_uint_eq(source->tensors[0].rank, 2);
    ck_assert_uint_eq(source->tensors[0].shape[0], 10);
    ck_assert_int_eq(source->ops->read(source, 0, &all, found), GQA_OK);
    ck_assert_mem_eq(found, data + 40, 160);
    ck_assert_mem_eq(found + 40, data, 160);
    gqa_source_close(source);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *tests = tcase_create("gguf");

    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, reads_what_safetensors_says, 0,
                        (int)(sizeof twins / sizeof *twins));
    tcase_add_test(tests, blocks_say_what_they_stand_for);
    tcase_add_test(tests, blocks_stand_for_what_others_say);
    tcase_add_test(tests, quantised_weights_are_asked_for);
    tcase_add_test(tests, baichuan_is_a_llama_of_32_layers);
    tcase_add_test(tests, recorded_thirds_are_one);
    tcase_add_test(tests, refuses_thirds_that_do_not_fit);
    tcase_add_test(tests, parts_are_known_by_their_names);
    tcase_add_test(tests, yarn_is_read_with_its_numbers);
    tcase_add_test(tests, pairs_of_rope_are_put_apart);
    tcase_add_test(tests, groups_are_put_together);
    tcase_add_test(tests, experts_are_tensors_of_their_own);
    tcase_add_test(tests, makes_the_configuration);
    tcase_add_test(tests, knows_models_by_their_layers);
    tcase_add_test(tests, refuses_types_that_cannot_be);
    tcase_add_test(tests, scaling_without_a_kind_is_linear);
    tcase_add_test(tests, refuses_what_no_configuration_says);
    tcase_add_loop_test(tests, keys_of_other_kinds_are_refused, 0, 10);
    tcase_add_test(tests, refuses_bad_headers);
    tcase_add_test(tests, keys_stand_for_tensors);
    tcase_add_test(tests, refuses_keys_that_stand_for_no_tensors);
    tcase_add_test(tests, refuses_bad_tensors);
    tcase_add_test(tests, layers_that_predict_more_are_left_out);
    tcase_add_test(tests, refuses_layers_that_there_are_not);
    tcase_add_test(tests, halves_of_matrices_are_one);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
