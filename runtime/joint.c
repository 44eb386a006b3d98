#include "runtime/joint.h"

#include <stdlib.h>

enum { N_JOINT = 3, ALIGNMENT = 64 };

/* Weights, or biases, of queries, keys and values. */
struct three {
    size_t params[N_JOINT];
};

static struct three weights_of(const struct gqa_attention_block *a)
{
    return (struct three){{a->q.weight, a->k.weight, a->v.weight}};
}

static struct three biases_of(const struct gqa_attention_block *a)
{
    return (struct three){{a->q.bias, a->k.bias, a->v.bias}};
}

/* Distinct, and of one type and width. */
static bool are_alike(const struct gqa_model *model, const struct three *t)
{
    const struct gqa_param *first = &model->params[t->params[0]];

    for (size_t i = 1; i < N_JOINT; i++) {
        const struct gqa_param *p = &model->params[t->params[i]];

        if (p->dtype != first->dtype || p->cols != first->cols ||
            t->params[i] == t->params[i - 1] || t->params[i] == t->params[0])
            return false;
    }
    return true;
}

bool gqa_joint_may(const struct gqa_network *network,
                   const struct gqa_attention_block *a)
{
    const struct three weights = weights_of(a), biases = biases_of(a);
    size_t n_biases = 0;

    if (a->q.input_major || a->k.input_major || a->v.input_major ||
        a->q_norm.kind != GQA_NORM_NONE || a->k_norm.kind != GQA_NORM_NONE ||
        a->clip > 0)
        return false;
    for (size_t i = 0; i < N_JOINT; i++)
        n_biases += biases.params[i] != GQA_NO_PARAM;
    /* A bias lies in a row, or in a column. */
    return are_alike(network->model, &weights) &&
           (n_biases == 0 ||
            (n_biases == N_JOINT && are_alike(network->model, &biases) &&
             network->model->params[biases.params[0]].cols == 1));
}

/* The first, with the rows of all, where each lies behind the one before. */
static bool join(struct gqa_weight *out, const struct gqa_runtime *r,
                 const struct three *t)
{
    *out = r->weights[t->params[0]];
    for (size_t i = 1; i < N_JOINT; i++) {
        const struct gqa_weight *w = &r->weights[t->params[i]];
        const uint64_t n_bytes =
            out->rows * out->cols * gqa_dtype_bits(out->dtype) / 8;

        if (!out->data || w->dtype != out->dtype ||
            w->data != (const char *)out->data + n_bytes)
            return false;
        out->rows += w->rows;
    }
    return true;
}

bool gqa_joint_weights(struct gqa_weight *weight, struct gqa_weight *bias,
                       const struct gqa_runtime *r,
                       const struct gqa_attention_block *a)
{
    const struct three weights = weights_of(a), biases = biases_of(a);

    *bias = (struct gqa_weight){.data = NULL};
    return gqa_joint_may(r->network, a) && join(weight, r, &weights) &&
           (a->q.bias == GQA_NO_PARAM || join(bias, r, &biases));
}

uint64_t gqa_joint_outputs(const struct gqa_runtime *r,
                           const struct gqa_attention_block *a)
{
    return gqa_runtime_outputs(r, &a->q) + gqa_runtime_outputs(r, &a->k) +
           gqa_runtime_outputs(r, &a->v);
}

void gqa_joint_heads(struct gqa_heads *q, struct gqa_heads *k,
                     struct gqa_heads *v, const struct gqa_runtime *r,
                     const struct gqa_attention_block *a, void *x)
{
    const uint64_t width = gqa_joint_outputs(r, a);

    *q = (struct gqa_heads){x, width, gqa_part_place(&a->heads->q)};
    *k = (struct gqa_heads){x, width, gqa_part_place(&a->heads->k)};
    *v = (struct gqa_heads){x, width, gqa_part_place(&a->heads->v)};
    k->place.base += gqa_runtime_outputs(r, &a->q);
    v->place.base +=
        gqa_runtime_outputs(r, &a->q) + gqa_runtime_outputs(r, &a->k);
}

/* --- Order ---------------------------------------------------------------- */

struct order {
    size_t *behind;
    bool *follows;
    const bool *chosen;
};

static void put_together(const struct order *o, const struct three *t)
{
    for (size_t i = 0; i < N_JOINT; i++)
        if (t->params[i] == GQA_NO_PARAM || o->follows[t->params[i]] ||
            o->behind[t->params[i]] != GQA_NO_PARAM ||
            (o->chosen && !o->chosen[t->params[i]]))
            return;
    for (size_t i = 1; i < N_JOINT; i++) {
        o->behind[t->params[i - 1]] = t->params[i];
        o->follows[t->params[i]] = true;
    }
}

void gqa_joint_order(size_t *behind, bool *follows,
                     const struct gqa_network *network, const bool *chosen)
{
    const struct order o = {behind, follows, chosen};

    for (size_t i = 0; i < network->model->n_params; i++) {
        behind[i] = GQA_NO_PARAM;
        follows[i] = false;
    }
    for (size_t i = 0; i < network->n_stacks; i++)
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++) {
            const struct gqa_attention_block *a =
                &network->stacks[i].blocks[j].self;
            const struct three weights = weights_of(a), biases = biases_of(a);

            if (!gqa_joint_may(network, a))
                continue;
            put_together(&o, &weights);
            put_together(&o, &biases);
        }
}

enum gqa_status gqa_joint_place(uint64_t *places, uint64_t *n_elements,
                                const struct gqa_network *network,
                                const bool *chosen)
{
    const struct gqa_model *model = network->model;
    size_t *behind = calloc(model->n_params + 1, sizeof *behind);
    bool *follows = calloc(model->n_params + 1, sizeof *follows);
    uint64_t n = 0;

    if (!behind || !follows) {
        free(behind);
        free(follows);
        return gqa_fail_nomem();
    }
    gqa_joint_order(behind, follows, network, chosen);
    for (size_t i = 0; i < model->n_params; i++) {
        if (!chosen[i] || follows[i])
            continue;
        n = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        for (size_t p = i; p != GQA_NO_PARAM; p = behind[p]) {
            places[p] = n;
            n += model->params[p].n_elements;
        }
    }
    *n_elements = n;
    free(behind);
    free(follows);
    return GQA_OK;
}
