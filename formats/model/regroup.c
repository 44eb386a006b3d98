#include "formats/model/regroup.h"

struct gqa_attention gqa_attention_regrouped(const struct gqa_attention *a,
                                             uint64_t n_kv_heads)
{
    const uint64_t d = a->head_dim;
    const uint64_t queries = a->n_heads / n_kv_heads; /* of each KV head */
    struct gqa_attention out = *a;
    struct gqa_slice *const slices[] = {&out.q, &out.k, &out.v, &out.o};

    out.n_kv_heads = n_kv_heads;
    for (int i = 0; i < 4; i++) {
        slices[i]->n_heads = i == 1 || i == 2 ? n_kv_heads : a->n_heads;
        slices[i]->base = 0;
        slices[i]->per_block = 1;
        slices[i]->block_stride = d;
    }
    if (a->layout == GQA_HEADS_FUSED_QKV) {
        out.k.base = a->n_heads * d;
        out.v.base = (a->n_heads + n_kv_heads) * d;
    } else if (a->layout == GQA_HEADS_FUSED_GROUP) {
        out.q.per_block = queries;
        out.q.block_stride = out.k.block_stride = out.v.block_stride =
            (queries + 2) * d;
        out.k.base = queries * d;
        out.v.base = (queries + 1) * d;
    } else if (a->layout == GQA_HEADS_FUSED_KV) {
        out.v.base = n_kv_heads * d;
    } else if (a->layout == GQA_HEADS_FUSED_BLOCKS) {
        out.q.per_block = a->n_heads / GQA_HEAD_BLOCKS;
        out.k.per_block = out.v.per_block = n_kv_heads / GQA_HEAD_BLOCKS;
        out.q.block_stride = out.k.block_stride = out.v.block_stride =
            (out.q.per_block + 2 * out.k.per_block) * d;
        out.v.base = out.q.per_block * d;
        out.k.base = (out.q.per_block + out.v.per_block) * d;
    }
    return out;
}

bool gqa_layout_takes(enum gqa_head_layout layout, uint64_t n_kv_heads)
{
    return layout != GQA_HEADS_FUSED_BLOCKS ||
           n_kv_heads % GQA_HEAD_BLOCKS == 0;
}

bool gqa_attention_can_have(const struct gqa_attention *a, uint64_t n_kv_heads)
{
    return n_kv_heads > 0 && a->n_kv_heads % n_kv_heads == 0 &&
           gqa_layout_takes(a->layout, n_kv_heads);
}

uint64_t gqa_attention_fewest(const struct gqa_attention *a)
{
    uint64_t n = 1;

    while (n < a->n_kv_heads && !gqa_attention_can_have(a, n))
        n++;
    return n;
}

uint64_t gqa_attention_length(const struct gqa_attention *a,
                              const struct gqa_slice *slice)
{
    const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v};
    uint64_t n_heads = 0;

    /* A fused parameter holds all three, or keys and values. */
    for (int i = 0; i < 3; i++)
        if (slices[i]->weight == slice->weight)
            n_heads += slices[i]->n_heads;
    return n_heads * a->head_dim;
}
