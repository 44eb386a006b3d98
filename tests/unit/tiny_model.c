#include "tiny_model.h"

#include <check.h>
#include <stdio.h>

#include "scratch.h"
#include "tensor_file.h"

enum {
    WIDTH = 8,
    HEAD_DIM = 2,
    INNER = TINY_HEADS * HEAD_DIM,
    BUCKETS = 4,
    MAX_VOCAB = 8,
};

static const double zeros[WIDTH * MAX_VOCAB];
static const double ones[WIDTH] = {1, 1, 1, 1, 1, 1, 1, 1};
/* The input's residual stream has a mean square of 1, the last one of the
 * decoder of 9: the final norm leaves it as it is. */
static const double threes[WIDTH] = {3, 3, 3, 3, 3, 3, 3, 3};

/* 8 in one of four directions for each token of the input, in both heads. */
static const double tell_input[INNER][WIDTH] = {
    {4, 0, 0, -4}, {0, 4, -4, 0}, {4, 0, 0, -4}, {0, 4, -4, 0}};

/* What the first head says. */
static const double put_input[WIDTH][INNER] = {[4] = {1}, [5] = {0, 1}};
static const double put_error[WIDTH][INNER] = {[7] = {1}};

static const double unembedding[MAX_VOCAB][WIDTH] = {
    {0, 1, 2, 3},
    {2, 0, 0, 0},
    {2, 0, 0, 0, 0, 0, 0, 10},
    {0, 0, 0, 0, -1.5 / 8, -0.5 / 8, 0.75, 0},
};

static void add(struct tensor_file *file, const char *stack, int layer,
                const char *name, size_t rows, size_t cols, const void *values)
{
    char whole[128];

    snprintf(whole, sizeof whole, "%s.block.%d.layer.%s.weight", stack, layer,
             name);
    tensor_file_add(file, whole, rows, cols, values);
}

/* module: "0.SelfAttention"; v and o: NULL for zeros. */
static void add_attention(struct tensor_file *file, const char *stack,
                          int layer, const char *module, size_t n_kv_heads,
                          const void *v, const void *o)
{
    const size_t kv = n_kv_heads * HEAD_DIM;
    char name[64];

    snprintf(name, sizeof name, "%s.q", module);
    add(file, stack, layer, name, INNER, WIDTH, zeros);
    snprintf(name, sizeof name, "%s.k", module);
    add(file, stack, layer, name, kv, WIDTH, zeros);
    snprintf(name, sizeof name, "%s.v", module);
    add(file, stack, layer, name, kv, WIDTH, v ? v : zeros);
    snprintf(name, sizeof name, "%s.o", module);
    add(file, stack, layer, name, WIDTH, INNER, o ? o : zeros);
    snprintf(name, sizeof name, "%c.layer_norm", *module);
    add(file, stack, layer, name, WIDTH, 0, ones);
}

static void add_stack(struct tensor_file *file, const char *stack,
                      size_t n_kv_heads)
{
    const bool decoder = *stack == 'd';
    char name[64];

    for (int i = 0; i < TINY_LAYERS; i++) {
        const int ff = decoder ? 2 : 1;

        add_attention(file, stack, i, "0.SelfAttention", n_kv_heads, NULL,
                      decoder && i == 0 ? put_error : NULL);
        if (i == 0)
            add(file, stack, i, "0.SelfAttention.relative_attention_bias",
                BUCKETS, TINY_HEADS, zeros);
        if (decoder)
            add_attention(file, stack, i, "1.EncDecAttention", n_kv_heads,
                          i == 0 ? tell_input : NULL,
                          i == 0 ? put_input : NULL);
        snprintf(name, sizeof name, "%d.DenseReluDense.wi", ff);
        add(file, stack, i, name, 1, WIDTH, zeros);
        snprintf(name, sizeof name, "%d.DenseReluDense.wo", ff);
        add(file, stack, i, name, WIDTH, 1, zeros);
        snprintf(name, sizeof name, "%d.layer_norm", ff);
        add(file, stack, i, name, WIDTH, 0, ones);
    }
    snprintf(name, sizeof name, "%s.final_layer_norm.weight", stack);
    tensor_file_add(file, name, WIDTH, 0, decoder ? threes : ones);
}

static const char *write_config(const char *name, size_t vocab,
                                size_t n_kv_heads)
{
    char text[1024];

    snprintf(text, sizeof text,
             "{\"model_type\": \"t5\", \"d_model\": %d, \"d_kv\": %d,"
             " \"num_heads\": %d, \"num_key_value_heads\": %zu, \"d_ff\": 1,"
             " \"num_layers\": %d, \"num_decoder_layers\": %d,"
             " \"vocab_size\": %zu, \"feed_forward_proj\": \"relu\","
             " \"tie_word_embeddings\": false, \"layer_norm_epsilon\": 1e-30,"
             " \"relative_attention_num_buckets\": %d,"
             " \"relative_attention_max_distance\": 8,"
             " \"is_encoder_decoder\": true, \"decoder_start_token_id\": 0}",
             WIDTH, HEAD_DIM, TINY_HEADS, n_kv_heads, TINY_LAYERS, TINY_LAYERS,
             vocab, BUCKETS);
    return scratch_write_text(name, text);
}

void tiny_model_open(struct tiny_model *tiny, size_t vocab, size_t n_kv_heads)
{
    static struct tensor_file file;
    double embedding[MAX_VOCAB][WIDTH] = {{0}};
    char name[64];
    struct gqa_checkpoint_options options = {0};
    enum gqa_status st;

    ck_assert_uint_le(vocab, MAX_VOCAB);
    file = (struct tensor_file){.dtype = GQA_F32};
    for (size_t t = 0; t < vocab; t++) {
        embedding[t][6] = 2;
        if (t < TINY_VOCAB)
            embedding[t][t] = 2;
    }
    tensor_file_add(&file, "shared.weight", vocab, WIDTH, embedding[0]);
    tensor_file_add(&file, "lm_head.weight", vocab, WIDTH, unembedding[0]);
    add_stack(&file, "encoder", n_kv_heads);
    add_stack(&file, "decoder", n_kv_heads);
    snprintf(name, sizeof name, "tiny-%zu-%zu.json", vocab, n_kv_heads);
    options.config_path = write_config(name, vocab, n_kv_heads);
    snprintf(name, sizeof name, "tiny-%zu-%zu.safetensors", vocab, n_kv_heads);
    st = gqa_checkpoint_open(&tiny->checkpoint, tensor_file_write(&file, name),
                             &options);
    if (st == GQA_OK)
        st = gqa_model_create(&tiny->model, tiny->checkpoint, NULL);
    ck_assert_msg(st == GQA_OK, "%s", gqa_error_message());
    tiny->weights =
        (struct gqa_checkpoint_weights){tiny->checkpoint, tiny->model};
    tiny->source = gqa_checkpoint_weight_source(&tiny->weights);
}

void tiny_model_close(struct tiny_model *tiny)
{
    gqa_model_free(tiny->model);
    gqa_checkpoint_close(tiny->checkpoint);
    *tiny = (struct tiny_model){0};
}
