/* Which parts of a network are trained, and what is below them. */
#include <string.h>

#include "runtime/back/state.h"
#include "runtime/joint.h"

static bool norm_trained(const struct gqa_tape *t, const struct gqa_norm *norm,
                         enum gqa_use *uses)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_norm(uses, norm);
    return gqa_tape_any(n, uses, t->trained);
}

static bool embedding_trained(const struct gqa_tape *t, enum gqa_use *uses,
                              const struct gqa_network_stack *stack)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_embedding(uses, stack);
    return gqa_tape_any(n, uses, t->trained);
}

/* Of a block alone, with nothing else in uses. */
static bool block_trained(const struct gqa_tape *t, enum gqa_use *uses,
                          const struct gqa_block *block)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_block(uses, block);
    return gqa_tape_any(n, uses, t->trained);
}

static bool attention_trained(const struct gqa_tape *t, enum gqa_use *uses,
                              const struct gqa_attention_block *a)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_attention(uses, a);
    return gqa_tape_any(n, uses, t->trained);
}

/* From the lowest part up, encoder before decoder. */
void gqa_tape_find_trained(struct gqa_tape *t, enum gqa_use *uses)
{
    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const bool encoder = i > 0 && t->stacks[0].any;
        bool below;

        s->embedding = embedding_trained(t, uses, s->network);
        below = s->embedding;
        for (size_t j = 0; j < s->network->n_blocks; j++) {
            const struct gqa_block *b = &s->network->blocks[j];

            s->below[j] = below;
            s->self_attention[j] = attention_trained(t, uses, &b->self);
            s->cross_attention[j] =
                b->has_cross &&
                (encoder || attention_trained(t, uses, &b->cross));
            s->block[j] = s->cross_attention[j] || block_trained(t, uses, b);
            below = below || s->block[j];
        }
        s->any = below || norm_trained(t, &s->network->final_norm, uses);
    }
}

static bool same_trained(const struct gqa_tape *t, size_t a, size_t b)
{
    return !t->trained || a == GQA_NO_PARAM || t->trained[a] == t->trained[b];
}

bool gqa_tape_joint(struct gqa_weight *weight, struct gqa_weight *bias,
                    const struct gqa_tape *t,
                    const struct gqa_attention_block *a)
{
    return gqa_joint_weights(weight, bias, t->runtime, a) &&
           same_trained(t, a->q.weight, a->k.weight) &&
           same_trained(t, a->q.weight, a->v.weight) &&
           same_trained(t, a->q.bias, a->k.bias) &&
           same_trained(t, a->q.bias, a->v.bias);
}

bool gqa_tape_joint_gated(struct gqa_weight *weight, const struct gqa_tape *t,
                          const struct gqa_feed_forward *ff)
{
    return gqa_joint_gated(weight, t->runtime, ff) &&
           same_trained(t, ff->gate.weight, ff->up.weight);
}
