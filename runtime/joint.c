#include "runtime/joint.h"

#include <stdlib.h>

enum { MOST_JOINT = 3, ALIGNMENT = 64 };

/* Weights, or biases, of queries, keys and values; or of gate and up. */
struct joint {
    size_t n, params[MOST_JOINT];
};

static struct joint weights_of(const struct gqa_attention_block *a)
{
    return (struct joint){3, {a->q.weight, a->k.weight, a->v.weight}};
}

static struct joint biases_of(const struct gqa_attention_block *a)
{
    return (struct joint){3, {a->q.bias, a->k.bias, a->v.bias}};
}

static struct joint gated_of(const struct gqa_feed_forward *ff)
{
    return (struct joint){2, {ff->gate.weight, ff->up.weight}};
}

/* Distinct, and of one type and width. */
static bool are_alike(const struct gqa_model *model, const struct joint *t)
{
    const struct gqa_param *first = &model->params[t->params[0]];

    for (size_t i = 1; i < t->n; i++) {
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
    const struct joint weights = weights_of(a), biases = biases_of(a);
    size_t n_biases = 0;

    if (a->q.input_major || a->k.input_major || a->v.input_major ||
        a->q_norm.kind != GQA_NORM_NONE || a->k_norm.kind != GQA_NORM_NONE ||
        a->clip > 0)
        return false;
    for (size_t i = 0; i < biases.n; i++)
        n_biases += biases.params[i] != GQA_NO_PARAM;
    /* A bias lies in a row, or in a column. */
    return are_alike(network->model, &weights) &&
           (n_biases == 0 ||
            (n_biases == biases.n && are_alike(network->model, &biases) &&
             network->model->params[biases.params[0]].cols == 1));
}

/* The first, with the rows of all, where each lies behind the one before. */
static bool join(struct gqa_weight *out, const struct gqa_runtime *r,
                 const struct joint *t)
{
    *out = r->weights[t->params[0]];
    for (size_t i = 1; i < t->n; i++) {
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

bool gqa_joint_gated_may(const struct gqa_network *network,
                         const struct gqa_feed_forward *ff)
{
    const struct joint weights = gated_of(ff);

    return !ff->experts && ff->gate.weight != GQA_NO_PARAM &&
           !ff->gate.input_major && !ff->up.input_major && !ff->gate.rows &&
           !ff->up.rows && ff->gate.bias == GQA_NO_PARAM &&
           ff->up.bias == GQA_NO_PARAM && are_alike(network->model, &weights) &&
           network->model->params[ff->gate.weight].rows ==
               network->model->params[ff->up.weight].rows;
}

bool gqa_joint_gated(struct gqa_weight *weight, const struct gqa_runtime *r,
                     const struct gqa_feed_forward *ff)
{
    const struct joint weights = gated_of(ff);

    return gqa_joint_gated_may(r->network, ff) && join(weight, r, &weights);
}

bool gqa_joint_weights(struct gqa_weight *weight, struct gqa_weight *bias,
                       const struct gqa_runtime *r,
                       const struct gqa_attention_block *a)
{
    const struct joint weights = weights_of(a), biases = biases_of(a);

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

static void put_together(const struct order *o, const struct joint *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->params[i] == GQA_NO_PARAM || o->follows[t->params[i]] ||
            o->behind[t->params[i]] != GQA_NO_PARAM ||
            (o->chosen && !o->chosen[t->params[i]]))
            return;
    for (size_t i = 1; i < t->n; i++) {
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
            const struct gqa_block *b = &network->stacks[i].blocks[j];
            const struct joint weights = weights_of(&b->self);
            const struct joint biases = biases_of(&b->self);
            const struct joint gated = gated_of(&b->ff);

            if (gqa_joint_may(network, &b->self)) {
                put_together(&o, &weights);
                put_together(&o, &biases);
            }
            if (gqa_joint_gated_may(network, &b->ff))
                put_together(&o, &gated);
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
