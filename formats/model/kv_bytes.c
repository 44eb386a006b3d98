#include "formats/model/kv_bytes.h"

#include "common/checked.h"

bool gqa_kv_is_cached(const struct gqa_attention *attention)
{
    return attention->stack == GQA_STACK_DECODER;
}

bool gqa_kv_attention_bytes(const struct gqa_model *model,
                            const struct gqa_attention *a, uint64_t n_kv_heads,
                            uint64_t *bytes)
{
    const uint64_t bits =
        (uint64_t)gqa_dtype_bits(model->params[a->k.weight].dtype) +
        gqa_dtype_bits(model->params[a->v.weight].dtype);
    uint64_t n;

    if (!gqa_mul_u64(n_kv_heads, a->head_dim, &n) ||
        !gqa_mul_u64(n, bits, &n) || n > INT64_MAX)
        return false;
    *bytes = n / 8 + (n % 8 != 0);
    return true;
}
