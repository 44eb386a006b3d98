#include "runtime/uses.h"

#include "common/checked.h"

bool gqa_use_is_trainable(enum gqa_use use)
{
    return use == GQA_USE_DEVICE || use == GQA_USE_HOST;
}

static void use(enum gqa_use *uses, size_t param)
{
    if (param != GQA_NO_PARAM)
        uses[param] = GQA_USE_DEVICE;
}

static void use_linear(enum gqa_use *uses, const struct gqa_linear *linear)
{
    if (linear->weight == GQA_NO_PARAM)
        return;
    use(uses, linear->weight);
    use(uses, linear->bias);
}

static void use_expert(enum gqa_use *uses, const struct gqa_expert *expert)
{
    use_linear(uses, &expert->gate);
    use_linear(uses, &expert->up);
    use_linear(uses, &expert->down);
}

static void use_experts(enum gqa_use *uses, const struct gqa_experts *experts)
{
    use_linear(uses, &experts->router);
    if (experts->correction != GQA_NO_PARAM)
        uses[experts->correction] = GQA_USE_CONSTANT;
    for (uint64_t e = 0; e < experts->n; e++)
        use_expert(uses, &experts->each[e]);
    use_expert(uses, &experts->shared);
    use_linear(uses, &experts->shared_gate);
}

void gqa_use_norm(enum gqa_use *uses, const struct gqa_norm *norm)
{
    if (norm->kind == GQA_NORM_NONE)
        return;
    use(uses, norm->weight);
    use(uses, norm->bias);
}

void gqa_use_attention(enum gqa_use *uses, const struct gqa_attention_block *a)
{
    gqa_use_norm(uses, &a->norm);
    gqa_use_norm(uses, &a->output_norm);
    gqa_use_norm(uses, &a->after_norm);
    gqa_use_norm(uses, &a->q_norm);
    gqa_use_norm(uses, &a->k_norm);
    use_linear(uses, &a->q);
    use_linear(uses, &a->k);
    use_linear(uses, &a->v);
    use_linear(uses, &a->o);
    use(uses, a->sinks);
    if (a->bias.table != GQA_NO_PARAM)
        uses[a->bias.table] = GQA_USE_HOST;
    if (a->summaries.size == 0)
        return;
    gqa_use_norm(uses, &a->summaries.norm);
    uses[a->summaries.bias.table] = GQA_USE_HOST;
}

void gqa_use_block(enum gqa_use *uses, const struct gqa_block *block)
{
    gqa_use_attention(uses, &block->self);
    if (block->has_cross)
        gqa_use_attention(uses, &block->cross);
    gqa_use_norm(uses, &block->ff.norm);
    gqa_use_norm(uses, &block->ff.output_norm);
    gqa_use_norm(uses, &block->ff.after_norm);
    use_linear(uses, &block->ff.gate);
    use_linear(uses, &block->ff.up);
    use_linear(uses, &block->ff.down);
    /* Beta and eps are no parameters where the model comes from. */
    for (int i = 0; i < 4 && block->ff.has_xielu; i++)
        uses[block->ff.xielu[i]] = i < 2 ? GQA_USE_HOST : GQA_USE_CONSTANT;
    if (block->ff.experts)
        use_experts(uses, block->ff.experts);
}

void gqa_use_embedding(enum gqa_use *uses,
                       const struct gqa_network_stack *stack)
{
    for (size_t i = 0; i < stack->frames.n_convolutions; i++)
        use_linear(uses, &stack->frames.convolutions[i].linear);
    use(uses, stack->embedding);
    for (size_t i = 0; i < stack->n_codes; i++)
        use(uses, stack->codes[i]);
    for (size_t i = 0; i < stack->n_places; i++)
        use(uses, stack->places[i]);
    if (stack->embedding_width)
        use_linear(uses, &stack->widened);
    use(uses, stack->positions);
    gqa_use_norm(uses, &stack->embedding_norm);
}

void gqa_use_unembedding(enum gqa_use *uses, const struct gqa_network *network)
{
    gqa_use_norm(uses, &network->stacks[network->n_stacks - 1].final_norm);
    if (network->logit_width)
        use_linear(uses, &network->narrowed);
    if (network->transforms) {
        use_linear(uses, &network->transform);
        gqa_use_norm(uses, &network->transform_norm);
    }
    use_linear(uses, &network->unembedding);
}

void gqa_use_all(enum gqa_use *uses, const struct gqa_network *network)
{
    for (size_t i = 0; i < network->n_stacks; i++) {
        const struct gqa_network_stack *stack = &network->stacks[i];

        gqa_use_embedding(uses, stack);
        gqa_use_norm(uses, &stack->final_norm);
        for (size_t j = 0; j < stack->n_blocks; j++)
            gqa_use_block(uses, &stack->blocks[j]);
    }
    gqa_use_unembedding(uses, network);
}

uint64_t gqa_use_bytes(const enum gqa_use *uses, const struct gqa_model *model)
{
    uint64_t total = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (uses[i] == GQA_USE_DEVICE &&
            !gqa_add_u64(total, model->params[i].n_bytes, &total))
            return UINT64_MAX;
    return total;
}
