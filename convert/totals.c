#include "convert/totals.h"

static void widen(struct gqa_range *range, uint64_t value)
{
    if (range->low == 0 || value < range->low)
        range->low = value;
    if (value > range->high)
        range->high = value;
}

struct gqa_totals gqa_totals_of(const struct gqa_plan *plan)
{
    struct gqa_totals t = {0};

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];
        const struct gqa_attention *a = out->attention;
        const struct gqa_plan_tensor *k = &plan->tensors[a->k.weight];
        const uint64_t before =
            2 * a->head_dim * gqa_dtype_bits(k->param->dtype) / 8;
        const uint64_t after = 2 * a->head_dim * gqa_dtype_bits(k->dtype) / 8;

        if (out->selected) {
            t.n_grouped++;
            t.n_fewer += out->pooled < out->source;
            widen(&t.before, out->source);
            widen(&t.after, out->pooled);
        }
        if (a->stack != GQA_STACK_DECODER)
            continue;
        if (a->kind == GQA_ATTENTION_SELF) {
            t.self_before += out->source * before;
            t.self_after += out->written * after;
        } else {
            t.cross_before += out->source * before;
            t.cross_after += out->written * after;
        }
    }
    for (size_t i = 0; i < plan->model->n_params; i++) {
        const struct gqa_plan_tensor *tensor = &plan->tensors[i];

        t.params_before += tensor->param->n_elements;
        t.params_after += tensor->rows * tensor->cols;
        t.bytes_before += tensor->param->n_bytes;
        t.bytes_after += tensor->n_bytes;
    }
    return t;
}
