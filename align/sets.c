#include "align/sets.h"

#include <stdlib.h>

#include "align/order.h"
#include "common/log.h"

/* What is learnt of a set may take, until all of it is there. */
static const uint64_t MAX_KEPT_BYTES = UINT64_C(4) << 30;

const struct gqa_attention_block *gqa_block_of(
    const struct gqa_network *network, const struct gqa_attention *a)
{
    for (size_t i = 0; i < network->n_stacks; i++)
        if (network->stacks[i].stack == a->stack) {
            const struct gqa_block *b = &network->stacks[i].blocks[a->layer];

            return a->kind == GQA_ATTENTION_SELF ? &b->self : &b->cross;
        }
    return NULL;
}

/* The set of an attention's table, a new one where there is none. Who shares
 * that shares the summaries' too. block: NULL, or the attention's. */
static size_t find_set(struct gqa_head_sets *sets,
                       const struct gqa_attention_block *block)
{
    const size_t table = block ? block->bias.table : GQA_NO_PARAM;

    for (size_t i = 0; i < sets->n && table != GQA_NO_PARAM; i++)
        if (sets->items[i].table == table)
            return i;
    sets->items[sets->n] =
        (struct gqa_head_set){.table = table,
                              .summary_table = block && block->summaries.size
                                                   ? block->summaries.bias.table
                                                   : GQA_NO_PARAM};
    return sets->n++;
}

/* Whether one order can serve all attentions of a set that share a table. */
static bool has_one_order(const struct gqa_head_sets *sets, size_t set,
                          const struct gqa_model *model)
{
    const struct gqa_attention *first = NULL;
    uint64_t n_bytes = 0;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const uint64_t width = a->n_kv_heads * a->head_dim;

        if (sets->of[i] != set)
            continue;
        if (first && (first->n_kv_heads != a->n_kv_heads ||
                      first->n_heads != a->n_heads)) {
            gqa_warn("layers that share a table of positions differ in their "
                     "KV heads: their heads share with neighbours");
            return false;
        }
        first = a;
        n_bytes += 2 * width * width * sizeof(double);
    }
    if (sets->items[set].n_sharing > 1 && n_bytes > MAX_KEPT_BYTES) {
        gqa_warn("what is learnt of layers that share a table of positions is "
                 "too much to be kept: their heads share with neighbours");
        return false;
    }
    return true;
}

static void leave_out(struct gqa_head_sets *sets, const struct gqa_model *model)
{
    for (size_t set = 0; set < sets->n; set++) {
        if (sets->items[set].n_sharing > 0 && has_one_order(sets, set, model))
            continue;
        for (size_t i = 0; i < model->n_attentions; i++)
            if (sets->of[i] == set)
                sets->of[i] = GQA_NO_SET;
    }
}

enum gqa_status gqa_head_sets_make(struct gqa_head_sets *out,
                                   const struct gqa_network *network,
                                   const bool *shares, bool regroup)
{
    const struct gqa_model *m = network->model;

    out->items = calloc(m->n_attentions + 1, sizeof *out->items);
    out->of = calloc(m->n_attentions + 1, sizeof *out->of);
    if (!out->items || !out->of)
        return gqa_fail_nomem();
    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention *a = &m->attentions[i];
        const struct gqa_attention_block *block = gqa_block_of(network, a);

        out->of[i] = GQA_NO_SET;
        if (!regroup || !gqa_order_is_free(a))
            continue;
        out->of[i] = find_set(out, block);
        out->items[out->of[i]].n_sharing += shares[i];
    }
    leave_out(out, m);
    return GQA_OK;
}

void gqa_head_sets_clear(struct gqa_head_sets *sets)
{
    free(sets->items);
    free(sets->of);
    *sets = (struct gqa_head_sets){0};
}
