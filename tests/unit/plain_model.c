#include "plain_model.h"

#include <check.h>
#include <stdio.h>

#include "scratch.h"
#include "tensor_file.h"

enum { VOCAB = 3, INNER = PLAIN_HEADS * PLAIN_DIM };

struct plain_model plain_multi_head(void)
{
    struct plain_model m = {
        .dtype = GQA_F32, .n_layers = 1, .n_kv_heads = PLAIN_HEADS, .norm = 1};

    for (int h = 0; h < PLAIN_HEADS; h++)
        for (int e = 0; e < PLAIN_HEAD; e++) {
            m.k[0][h][e] = 16 * h + e;
            m.v[0][h][e] = -m.k[0][h][e];
        }
    return m;
}

struct plain_model plain_grouped(void)
{
    struct plain_model m = plain_multi_head();

    m.n_kv_heads = 2;
    for (int h = 0; h < 2; h++)
        for (int e = 0; e < PLAIN_HEAD; e++) {
            m.k[0][h][e] = 32 * h + 8 + e;
            m.v[0][h][e] = -m.k[0][h][e];
        }
    return m;
}

static void add_layer(struct tensor_file *file, const struct plain_model *model,
                      int layer)
{
    static const double any[INNER * PLAIN_WIDTH] = {1, 2, 3};
    const struct {
        const char *name;
        size_t rows, cols;
        const double *values;
    } tensors[] = {
        {"self_attn.q_proj", INNER, PLAIN_WIDTH, any},
        {"self_attn.k_proj", model->n_kv_heads * PLAIN_DIM, PLAIN_WIDTH,
         model->k[layer][0]},
        {"self_attn.v_proj", model->n_kv_heads * PLAIN_DIM, PLAIN_WIDTH,
         model->v[layer][0]},
        {"self_attn.o_proj", PLAIN_WIDTH, INNER, any},
        {"mlp.gate_proj", 1, PLAIN_WIDTH, any},
        {"mlp.up_proj", 1, PLAIN_WIDTH, any},
        {"mlp.down_proj", PLAIN_WIDTH, 1, any},
        {"input_layernorm", PLAIN_WIDTH, 0, any},
        {"post_attention_layernorm", PLAIN_WIDTH, 0, any},
    };

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[128];

        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer,
                 tensors[i].name);
        tensor_file_add(file, name, tensors[i].rows, tensors[i].cols,
                        tensors[i].values);
    }
}

void plain_model_open(struct gqa_subject *out, const char *name,
                      const struct plain_model *model)
{
    static struct tensor_file file;
    const double norm[PLAIN_WIDTH] = {model->norm, model->norm};
    const double any[VOCAB * PLAIN_WIDTH] = {3, 2, 1};
    char text[512], file_name[64];
    const char *config;
    enum gqa_status st;

    file = (struct tensor_file){.dtype = model->dtype};
    tensor_file_add(&file, "model.embed_tokens.weight", VOCAB, PLAIN_WIDTH,
                    any);
    tensor_file_add(&file, "lm_head.weight", VOCAB, PLAIN_WIDTH, any);
    if (!model->without_norm)
        tensor_file_add(&file, "model.norm.weight", PLAIN_WIDTH, 0, norm);
    for (size_t i = 0; i < model->n_layers; i++)
        add_layer(&file, model, (int)i);
    snprintf(text, sizeof text,
             "{\"model_type\": \"llama\", \"hidden_size\": %d,"
             " \"num_attention_heads\": %d, \"num_key_value_heads\": %zu,"
             " \"head_dim\": %d, \"num_hidden_layers\": %zu,"
             " \"vocab_size\": %d, \"intermediate_size\": 1}",
             PLAIN_WIDTH, PLAIN_HEADS, model->n_kv_heads, PLAIN_DIM,
             model->n_layers, VOCAB);
    snprintf(file_name, sizeof file_name, "%s.json", name);
    config = scratch_write_text(file_name, text);
    snprintf(file_name, sizeof file_name, "%s.safetensors", name);
    st = gqa_subject_open(
        out, tensor_file_write(&file, file_name),
        &(struct gqa_checkpoint_options){.config_path = config});
    if (st == GQA_OK)
        st = gqa_subject_understand(out, NULL);
    ck_assert_msg(st == GQA_OK, "%s", gqa_error_message());
}
