#include "formats/llama2c/layout.h"

bool gqa_llama2c_shape_read(struct gqa_llama2c_shape *shape,
                            const unsigned char *numbers)
{
    /* Such as a model may have; sizes made of them do not overflow. */
    static const uint32_t most[7] = {1u << 17, 1u << 20, 1u << 10, 1u << 12,
                                     1u << 12, 1u << 22, 1u << 22};
    uint64_t *const fields[7] = {&shape->d_model,    &shape->d_ff,
                                 &shape->n_layers,   &shape->n_heads,
                                 &shape->n_kv_heads, &shape->vocab_size,
                                 &shape->n_positions};

    shape->is_tied = true;
    for (size_t i = 0; i < 7; i++) {
        const unsigned char *at = numbers + 4 * i;
        uint32_t v = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                     (uint32_t)at[3] << 24;

        if (i == 5 && v > INT32_MAX) { /* negative: the unembedding is there */
            v = 0u - v;
            shape->is_tied = false;
        }
        if (v == 0 || v > most[i])
            return false;
        *fields[i] = v;
    }
    return shape->d_model % shape->n_heads == 0 &&
           shape->d_model / shape->n_heads % 2 == 0 &&
           shape->n_heads % shape->n_kv_heads == 0;
}

size_t gqa_llama2c_arrays(struct gqa_llama2c_array *arrays,
                          const struct gqa_llama2c_shape *s, unsigned version)
{
    const uint64_t dim = s->d_model / s->n_heads;
    const uint64_t d_kv = s->n_kv_heads * dim;
#define LAYER "model.layers.%."
    const struct gqa_llama2c_array
        embedding = {"model.embed_tokens.weight", s->vocab_size, s->d_model,
                     false, 0},
        unembedding = {"lm_head.weight", s->vocab_size, s->d_model, false, 0},
        attention_norm = {LAYER "input_layernorm.weight", 0, s->d_model, true,
                          0},
        ff_norm = {LAYER "post_attention_layernorm.weight", 0, s->d_model, true,
                   0},
        norm = {"model.norm.weight", 0, s->d_model, false, 0},
        angles = {NULL, s->n_positions, dim / 2, false, 0};
    const struct gqa_llama2c_array attention[] = {
        {LAYER "self_attn.q_proj.weight", s->d_model, s->d_model, true,
         s->n_heads},
        {LAYER "self_attn.k_proj.weight", d_kv, s->d_model, true,
         s->n_kv_heads},
        {LAYER "self_attn.v_proj.weight", d_kv, s->d_model, true, 0},
        {LAYER "self_attn.o_proj.weight", s->d_model, s->d_model, true, 0},
    };
    const struct gqa_llama2c_array feed_forward[] = {
        {LAYER "mlp.gate_proj.weight", s->d_ff, s->d_model, true, 0},
        {LAYER "mlp.down_proj.weight", s->d_model, s->d_ff, true, 0},
        {LAYER "mlp.up_proj.weight", s->d_ff, s->d_model, true, 0},
    };
#undef LAYER
    size_t n = 0;

    if (version == 0) {
        arrays[n++] = embedding;
        arrays[n++] = attention_norm;
    } else {
        arrays[n++] = attention_norm;
        arrays[n++] = ff_norm;
        arrays[n++] = norm;
        arrays[n++] = embedding;
    }
    for (size_t i = 0; i < 4; i++)
        arrays[n++] = attention[i];
    if (version == 0)
        arrays[n++] = ff_norm;
    for (size_t i = 0; i < 3; i++)
        arrays[n++] = feed_forward[i];
    if (version == 0) {
        arrays[n++] = norm;
        arrays[n++] = angles; /* cosines */
        arrays[n++] = angles; /* sines */
    }
    if (!s->is_tied)
        arrays[n++] = unembedding;
    return n;
}
