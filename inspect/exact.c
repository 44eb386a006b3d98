#include "inspect/exact.h"

#include "common/checked.h"
#include "inspect/kv_cache.h"

static bool keys_turn(const struct gqa_attention *a)
{
    return a->position.scheme == GQA_POSITION_ROPE;
}

/* Add what an attention's inputs take; false: not this one. */
static bool add(struct gqa_exact *e, const struct gqa_model *model,
                const struct gqa_attention *a)
{
    const struct gqa_param *k = &model->params[a->k.weight];
    const uint64_t width = a->k.axis == 0 ? k->cols : k->rows;
    uint64_t bytes, stored;

    if (keys_turn(a) ||
        !gqa_mul_u64(width, gqa_dtype_bits(k->dtype) / 8, &bytes) ||
        !gqa_kv_attention_bytes(model, a, a->n_kv_heads, &stored) ||
        !gqa_add_u64(e->stored, stored, &e->stored))
        return false;
    if (e->kind == GQA_EXACT_LAYER_INPUT || e->n_attentions == 0)
        e->bytes += bytes;
    e->work = (double)width / (double)a->head_dim;
    e->n_attentions++;
    return true;
}

size_t gqa_exact_find(struct gqa_exact out[GQA_N_EXACT],
                      const struct gqa_model *model,
                      const struct gqa_similarity *similarity)
{
    size_t n = 0;

    for (int kind = 0; kind < GQA_N_EXACT; kind++) {
        struct gqa_exact e = {.kind = (enum gqa_exact_kind)kind};
        bool all = true;

        for (size_t i = 0; i < model->n_attentions && all; i++) {
            const struct gqa_attention *a = &model->attentions[i];

            if (!gqa_kv_is_cached(a) ||
                (a->kind == GQA_ATTENTION_CROSS) !=
                    (e.kind == GQA_EXACT_ENCODER_OUTPUT))
                continue;
            /* Where heads cannot share, keys are normed, or it is not known
             * what is done with them. */
            all = similarity->attentions[i].n_choices > 0 && add(&e, model, a);
        }
        if (all && e.n_attentions > 0 && e.bytes < e.stored)
            out[n++] = e;
    }
    return n;
}

const char *gqa_exact_word(enum gqa_exact_kind kind)
{
    return kind == GQA_EXACT_ENCODER_OUTPUT ? "encoder_output" : "layer_input";
}

const char *gqa_exact_text(enum gqa_exact_kind kind)
{
    return kind == GQA_EXACT_ENCODER_OUTPUT
               ? "the encoder's output once, for the cross-attention of all "
                 "layers"
               : "the input of each layer's self-attention";
}
