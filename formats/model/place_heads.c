#include "common/ull.h"
#include "formats/model/attentions.h"
#include "formats/model/regroup.h"

/* Length of a weight along the axis that its heads lie on. */
static uint64_t heads_length(const struct gqa_param *weight, unsigned axis)
{
    return axis == 0 ? weight->rows : weight->cols;
}

static uint64_t other_length(const struct gqa_param *weight, unsigned axis)
{
    return axis == 0 ? weight->cols : weight->rows;
}

uint64_t gqa_slice_head(const struct gqa_slice *slice, uint64_t head_dim,
                        uint64_t h)
{
    return slice->base + h / slice->per_block * slice->block_stride +
           h % slice->per_block * head_dim;
}

uint64_t gqa_slice_stride(const struct gqa_slice *slice, uint64_t head_dim)
{
    return slice->per_block > 1 ? head_dim : slice->block_stride;
}

/* Outputs of q, k, v lie in rows, but in columns of an input-major weight;
 * o takes its inputs from the other side. */
static unsigned axis_of(const struct gqa_found_attention *found, int projection)
{
    const bool in_columns = found->input_major != (projection == 3);

    return in_columns ? 1 : 0;
}

uint64_t gqa_query_length(const struct gqa_found_attention *found,
                          const struct gqa_param *params)
{
    return heads_length(&params[found->weight[3]], axis_of(found, 3));
}

static const char *label(const struct gqa_found_attention *found)
{
    return gqa_attention_label(found->rule->stack, found->rule->kind,
                               found->layer);
}

/* Matrices are matrices, and biases as long as their weights. */
static enum gqa_status check_shapes(const struct gqa_found_attention *found,
                                    const struct gqa_param *params)
{
    const uint64_t d_model =
        other_length(&params[found->weight[0]], axis_of(found, 0));

    for (int i = 0; i < 4; i++) {
        const struct gqa_param *w = &params[found->weight[i]];
        const uint64_t length = i == 3 ? other_length(w, axis_of(found, i))
                                       : heads_length(w, axis_of(found, i));

        if (w->rank != 2)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' has %u dimensions, not the 2 of a "
                            "projection",
                            w->name, w->rank);
        /* Cross-attention takes keys from another stack, perhaps another
         * model's. */
        if (i < 3 && (i == 0 || found->rule->kind == GQA_ATTENTION_SELF) &&
            other_length(w, axis_of(found, i)) != d_model)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' takes %llu inputs, but '%s' takes %llu",
                            w->name, ULL(other_length(w, axis_of(found, i))),
                            params[found->weight[0]].name, ULL(d_model));
        if (found->bias[i] != GQA_NO_PARAM) {
            const struct gqa_param *b = &params[found->bias[i]];

            if (b->rank != 1 || b->rows != length)
                return gqa_fail(GQA_ERR_FORMAT,
                                "'%s' does not have the %llu elements that "
                                "'%s' asks for",
                                b->name, ULL(length), w->name);
        }
    }
    return GQA_OK;
}

/* A norm that all heads share is as long as any of them, one of all heads
 * together as long as all. */
static enum gqa_status check_head_norms(const struct gqa_found_attention *found,
                                        const struct gqa_param *params,
                                        const struct gqa_attention *a)
{
    for (int i = 0; i < 4; i++) {
        const size_t index = found->head_norm[i / 2][i % 2];
        const struct gqa_param *p = &params[index == GQA_NO_PARAM ? 0 : index];
        const uint64_t n_heads = i / 2 ? a->n_kv_heads : a->n_heads;
        const uint64_t length = a->head_dim * (a->full_norms ? n_heads : 1);

        if (index != GQA_NO_PARAM && (p->rank != 1 || p->rows != length))
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' is no vector of the %llu elements that a "
                            "norm %s has",
                            p->name, ULL(length),
                            a->full_norms ? "of all heads together"
                                          : "shared by all heads");
    }
    return GQA_OK;
}

/* A norm of all heads together, whose weights move into the keys when these
 * are pooled. */
static enum gqa_status take_full_norms(struct gqa_attention *a,
                                       const struct gqa_found_attention *found,
                                       const struct gqa_param *params)
{
    const struct gqa_head_norms_rule *rule = &found->rule->head_norms;

    a->k_norm = found->head_norm[1][0];
    a->full_norms =
        rule->weights == GQA_HEAD_NORM_FULL_WIDTH && a->k_norm != GQA_NO_PARAM;
    a->shared_norm =
        rule->weights == GQA_HEAD_NORM_SHARED && a->k_norm != GQA_NO_PARAM;
    if (rule->weights == GQA_HEAD_NORM_FULL_WIDTH &&
        (a->k_norm == GQA_NO_PARAM) != (found->head_norm[0][0] == GQA_NO_PARAM))
        return gqa_fail(
            GQA_ERR_FORMAT,
            "'%s' norms all heads together, and there is no such "
            "norm of the %s",
            params[a->full_norms ? a->k_norm : found->head_norm[0][0]].name,
            a->full_norms ? "queries" : "keys");
    if (!a->full_norms)
        return GQA_OK;
    if (found->weight[0] == found->weight[1] || found->input_major ||
        rule->norm.kind != GQA_NORM_RMS ||
        found->head_norm[1][1] != GQA_NO_PARAM || rule->norm.one_plus)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' norms all heads together, which is handled of "
                        "RMS norms without a bias, and of keys that have a "
                        "matrix of their own, in rows",
                        params[a->k_norm].name);
    return GQA_OK;
}

static enum gqa_status check_sinks(const struct gqa_found_attention *found,
                                   const struct gqa_param *params,
                                   uint64_t n_heads)
{
    const struct gqa_param *p =
        found->sinks == GQA_NO_PARAM ? NULL : &params[found->sinks];

    return !p || (p->rank == 1 && p->rows == n_heads)
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "%s: '%s' has no number for each of %llu query heads",
                          label(found), p->name, ULL(n_heads));
}

/* Parameters and axes; where along those the heads lie follows from the
 * counts. */
static void place(struct gqa_attention *a,
                  const struct gqa_found_attention *found)
{
    struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v, &a->o};

    for (int i = 0; i < 4; i++)
        *slices[i] = (struct gqa_slice){
            .weight = found->weight[i],
            .bias = i == 3 ? GQA_NO_PARAM : found->bias[i],
            .axis = axis_of(found, i),
        };
    *a = gqa_attention_regrouped(a, a->n_kv_heads);
}

enum gqa_status gqa_place_heads(struct gqa_attention *out,
                                const struct gqa_found_attention *found,
                                const struct gqa_param *params,
                                uint64_t n_heads, uint64_t head_dim)
{
    const struct gqa_param *k = &params[found->weight[1]];
    const struct gqa_param *v = &params[found->weight[2]];
    const bool fused = found->weight[0] == found->weight[1];
    const uint64_t q_length = gqa_query_length(found, params);
    const uint64_t k_length = heads_length(k, axis_of(found, 1));
    uint64_t kv_length = k_length;
    struct gqa_attention a = {.stack = found->rule->stack,
                              .kind = found->rule->kind,
                              .layer = found->layer,
                              .n_heads = n_heads,
                              .head_dim = head_dim,
                              .layout = found->rule->layout,
                              .sinks = found->sinks};
    enum gqa_status st;

    if ((st = check_shapes(found, params)) != GQA_OK ||
        (st = take_full_norms(&a, found, params)) != GQA_OK)
        return st;
    if (q_length / head_dim != n_heads || q_length % head_dim != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %llu heads of %llu do not fit the shapes: '%s' "
                        "takes %llu inputs from them",
                        label(found), ULL(n_heads), ULL(head_dim),
                        params[found->weight[3]].name, ULL(q_length));
    if (fused) {
        if (other_length(k, axis_of(found, 1)) == 3 * q_length &&
            k_length == q_length)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' lies transposed: it is [%llu, %llu], "
                            "and matrices of this family are [%s] (nanoGPT "
                            "writes GPT-2's so)",
                            label(found), k->name, ULL(k->rows), ULL(k->cols),
                            found->input_major ? "inputs, outputs"
                                               : "outputs, inputs");
        if (k_length <= q_length || (k_length - q_length) % 2 != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' has length %llu, too little for %llu "
                            "query heads of %llu, keys and values",
                            label(found), k->name, ULL(k_length), ULL(n_heads),
                            ULL(head_dim));
        kv_length = (k_length - q_length) / 2;
    } else {
        const struct gqa_param *q = &params[found->weight[0]];

        if (heads_length(q, axis_of(found, 0)) != q_length)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' makes %llu outputs, but '%s' takes %llu "
                            "inputs",
                            label(found), q->name,
                            ULL(heads_length(q, axis_of(found, 0))),
                            params[found->weight[3]].name, ULL(q_length));
        if (k == v) {
            if (k_length % 2 != 0)
                return gqa_fail(GQA_ERR_FORMAT,
                                "%s: '%s' has length %llu, which is odd: it "
                                "cannot hold keys and values",
                                label(found), k->name, ULL(k_length));
            kv_length = k_length / 2;
        } else if (heads_length(v, axis_of(found, 2)) != k_length)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' has length %llu, but '%s' %llu",
                            label(found), k->name, ULL(k_length), v->name,
                            ULL(heads_length(v, axis_of(found, 2))));
    }
    a.n_kv_heads = kv_length / head_dim;
    if (kv_length == 0 || kv_length % head_dim != 0 ||
        n_heads % a.n_kv_heads != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: '%s' holds %llu key outputs, which heads of %llu "
                        "do not divide into KV heads that %llu query heads "
                        "can share",
                        label(found), k->name, ULL(kv_length), ULL(head_dim),
                        ULL(n_heads));
    if (!gqa_layout_takes(a.layout, n_heads) ||
        !gqa_layout_takes(a.layout, a.n_kv_heads))
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: '%s' has %llu heads and %llu KV heads, which do "
                        "not lie in %d blocks",
                        label(found), k->name, ULL(n_heads), ULL(a.n_kv_heads),
                        (int)GQA_HEAD_BLOCKS);
    place(&a, found);
    *out = a;
    if ((st = check_sinks(found, params, n_heads)) != GQA_OK)
        return st;
    return check_head_norms(found, params, &a);
}
