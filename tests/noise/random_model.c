#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/random.h"

enum { N_OF_LAYER = 9, HEADER_SIZE = 1 << 20 };

struct matrix {
    char name[96];
    uint64_t rows, cols; /* cols 0: a vector */
};

static const char *const names[N_OF_LAYER] = {
    "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
    "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj",
};

static size_t list(struct matrix *out, const struct random_model_shape *s)
{
    const uint64_t d = s->d_model, q = (uint64_t)s->n_heads * s->head_dim;
    const uint64_t kv = (uint64_t)s->n_kv_heads * s->head_dim, ff = s->d_ff;
    const uint64_t shapes[N_OF_LAYER][2] = {{d, 0},  {q, d},  {kv, d},
                                            {kv, d}, {d, q},  {d, 0},
                                            {ff, d}, {ff, d}, {d, ff}};
    size_t n = 0;

    out[n++] = (struct matrix){"model.embed_tokens.weight", s->vocab_size, d};
    for (unsigned l = 0; l < s->n_layers; l++)
        for (int i = 0; i < N_OF_LAYER; i++) {
            struct matrix *m = &out[n++];

            snprintf(m->name, sizeof m->name, "model.layers.%u.%s.weight", l,
                     names[i]);
            m->rows = shapes[i][0];
            m->cols = shapes[i][1];
        }
    out[n++] = (struct matrix){"model.norm.weight", d, 0};
    out[n++] = (struct matrix){"lm_head.weight", s->vocab_size, d};
    return n;
}

static double uniform(uint64_t key, uint64_t i)
{
    return 2 * gqa_random_uniform(key, i) - 1;
}

/* Of variance `deviation` squared; uniform is as good as normal here. */
static double value(const struct random_model_shape *s, const struct matrix *m,
                    uint64_t key, uint64_t row, uint64_t col, double deviation)
{
    const double x =
        deviation * sqrt(3) * uniform(key, row * (m->cols + 1) + col);
    const bool embedding = strstr(m->name, "embed_tokens") != NULL;

    if (m->cols == 0)
        return s->is_uneven ? 1 + 0.7 * x + (row % 97 == 5 ? 4 : 0) : 1;
    if (!s->is_uneven)
        return x;
    /* Channels of huge values; of the first token, one that dwarfs all. */
    if (embedding && row == 1 && col == 7)
        return 60;
    if (embedding && col % 61 == 3)
        return 15 * x;
    return x;
}

static double deviation_of(const struct random_model_shape *s,
                           const struct matrix *m)
{
    double deviation = 1 / sqrt((double)m->cols);

    if (m->cols == 0)
        return 0.3;
    if (strstr(m->name, "embed_tokens"))
        return s->is_uneven ? 0.1 : 1;
    /* A mean of so many heads. */
    if (strstr(m->name, "k_proj") || strstr(m->name, "v_proj"))
        deviation /= sqrt((double)s->n_heads / s->n_kv_heads);
    if (s->is_uneven &&
        (strstr(m->name, "q_proj") || strstr(m->name, "k_proj")))
        deviation *= 2;
    /* Residual streams grow as slowly as in trained models. */
    if (strstr(m->name, "o_proj") || strstr(m->name, "down_proj"))
        deviation /= sqrt(2.0 * s->n_layers);
    return deviation;
}

static bool write_matrix(FILE *out, const struct random_model_shape *s,
                         const struct matrix *m, size_t index)
{
    const uint64_t n = m->cols ? m->cols : 1;
    const double deviation = deviation_of(s, m);
    const uint64_t key = gqa_random_key(7, "model", index);
    double *row = calloc(n, sizeof *row);
    uint16_t *narrow = calloc(n, sizeof *narrow);
    bool good = row && narrow;

    for (uint64_t r = 0; r < m->rows && good; r++) {
        for (uint64_t c = 0; c < n; c++)
            row[c] = value(s, m, key, r, c, deviation);
        gqa_store_f64(narrow, GQA_BF16, row, (size_t)n);
        good = fwrite(narrow, sizeof *narrow, (size_t)n, out) == n;
    }
    free(row);
    free(narrow);
    return good;
}

static bool write_weights(const char *path, const struct random_model_shape *s,
                          struct matrix *matrices)
{
    FILE *out = fopen(path, "wbe");
    char *header = calloc(1, HEADER_SIZE);
    const size_t n = list(matrices, s);
    size_t used = 0;
    uint64_t at = 0, length;
    bool good = out && header;

    for (size_t i = 0; i < n && good; i++) {
        const struct matrix *m = &matrices[i];
        const uint64_t bytes = 2 * m->rows * (m->cols ? m->cols : 1);
        const unsigned long long at_end = at + bytes;
        char shape[64];

        snprintf(shape, sizeof shape, m->cols ? "%llu,%llu" : "%llu",
                 (unsigned long long)m->rows, (unsigned long long)m->cols);
        used += (size_t)snprintf(
            header + used, HEADER_SIZE - used,
            "%c\"%s\":{\"dtype\":\"BF16\",\"shape\":[%s],\"data_offsets\":["
            "%llu,%llu]}",
            i ? ',' : '{', m->name, shape, (unsigned long long)at, at_end);
        at += bytes;
        good = used + 256 < HEADER_SIZE;
    }
    if (good) {
        header[used++] = '}';
        while (used % 8)
            header[used++] = ' ';
        length = used;
        good = fwrite(&length, sizeof length, 1, out) == 1 &&
               fwrite(header, 1, used, out) == used;
    }
    for (size_t i = 0; i < n && good; i++)
        good = write_matrix(out, s, &matrices[i], i);
    free(header);
    if (out && fclose(out) != 0)
        good = false;
    return good;
}

static bool write_config(const char *path, const struct random_model_shape *s)
{
    FILE *out = fopen(path, "we");

    if (!out)
        return false;
    fprintf(out,
            "{\"model_type\": \"llama\", \"architectures\": "
            "[\"LlamaForCausalLM\"], \"hidden_size\": %u, "
            "\"num_attention_heads\": %u, \"num_key_value_heads\": %u, "
            "\"head_dim\": %u, \"num_hidden_layers\": %u, "
            "\"intermediate_size\": %u, \"vocab_size\": %u, "
            "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, "
            "\"hidden_act\": \"silu\", \"max_position_embeddings\": 4096, "
            "\"tie_word_embeddings\": false, \"bos_token_id\": 1, "
            "\"eos_token_id\": 2}\n",
            s->d_model, s->n_heads, s->n_kv_heads, s->head_dim, s->n_layers,
            s->d_ff, s->vocab_size);
    return fclose(out) == 0;
}

enum gqa_status random_model_open(struct random_model *out,
                                  const struct random_model_shape *shape)
{
    const char *temporary = getenv("TMPDIR");
    struct matrix *matrices =
        calloc(shape->n_layers * N_OF_LAYER + 3, sizeof *matrices);
    char path[300], config[300];
    bool good = matrices != NULL;
    enum gqa_status st;

    *out = (struct random_model){0};
    snprintf(out->folder, sizeof out->folder, "%.200s/gqa-noise-XXXXXX",
             temporary ? temporary : "/tmp");
    good = good && mkdtemp(out->folder);
    snprintf(path, sizeof path, "%s/model.safetensors", out->folder);
    snprintf(config, sizeof config, "%s/config.json", out->folder);
    good = good && write_config(config, shape) &&
           write_weights(path, shape, matrices);
    free(matrices);
    if (!good)
        return gqa_fail(GQA_ERR_IO, "%s: cannot be written", path);
    st = gqa_checkpoint_open(&out->checkpoint, out->folder,
                             &(struct gqa_checkpoint_options){0});
    if (st == GQA_OK)
        st = gqa_model_create(&out->model, out->checkpoint, NULL);
    out->weights = (struct gqa_checkpoint_weights){out->checkpoint, out->model};
    out->source = gqa_checkpoint_weight_source(&out->weights);
    return st;
}

void random_model_close(struct random_model *m)
{
    char path[300];

    gqa_model_free(m->model);
    gqa_checkpoint_close(m->checkpoint);
    snprintf(path, sizeof path, "%s/model.safetensors", m->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", m->folder);
    unlink(path);
    rmdir(m->folder);
}
