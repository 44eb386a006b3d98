#include "align/score_stage.h"

#include <stdlib.h>
#include <string.h>

#include "align/order.h"
#include "align/scores.h"
#include "align/source_values.h"
#include "align/turning.h"

static struct gqa_transforms *transforms_of(
    const struct gqa_score_stage *stage,
    const struct gqa_attention_block *block)
{
    return &stage->alignment
                ->attentions[block->heads -
                             stage->job->network->model->attentions];
}

const struct gqa_attention_block *gqa_score_stage_converted(
    const struct gqa_refit_job *job, const struct gqa_attention_block *block)
{
    const struct gqa_network *n = job->becomes;
    const struct gqa_attention *a = block->heads;

    for (size_t i = 0; i < n->n_stacks; i++)
        if (n->stacks[i].stack == a->stack) {
            const struct gqa_block *b = &n->stacks[i].blocks[a->layer];

            return a->kind == GQA_ATTENTION_SELF ? &b->self : &b->cross;
        }
    return NULL;
}

static bool can_fit(const struct gqa_score_stage *stage,
                    const struct gqa_attention_block *block)
{
    const struct gqa_attention_block *to =
        gqa_score_stage_converted(stage->job, block);

    /* Records have scores of tokens' keys alone. */
    return !stage->job->no_scores && to && block->summaries.size == 0 &&
           transforms_of(stage, block)->pooled > 0 &&
           gqa_turns_by_table(block->rope) && gqa_turns_by_table(to->rope);
}

void gqa_score_stage_begin(struct gqa_score_stage *stage,
                           struct gqa_alignment *alignment,
                           const struct gqa_refit_job *job,
                           const struct gqa_block *block)
{
    memset(stage, 0, sizeof *stage);
    stage->job = job;
    stage->alignment = alignment;
    for (int kind = 0; kind < (block->has_cross ? 2 : 1); kind++) {
        const struct gqa_attention_block *a =
            kind ? &block->cross : &block->self;

        stage->wanted[a->heads->kind] = can_fit(stage, a);
        stage->records[a->heads->kind] = (struct gqa_score_records){
            .backend = job->backend,
            .device = job->device,
            .real = job->real,
            .n_threads = job->n_threads,
            .block = a,
            .outputs = transforms_of(stage, a)->outputs};
    }
}

void gqa_score_stage_clear(struct gqa_score_stage *stage)
{
    for (int kind = 0; kind < 2; kind++)
        gqa_score_records_clear(&stage->records[kind]);
}

uint32_t gqa_score_stage_points(const struct gqa_score_stage *stage)
{
    return stage->wanted[0] || stage->wanted[1] ? GQA_SCORE_RECORDS_OF_ORIGINAL
                                                : 0;
}

enum gqa_status gqa_score_stage_see(struct gqa_score_stage *stage,
                                    const struct gqa_tapped *t)
{
    return stage->wanted[t->kind]
               ? gqa_score_records_see_original(&stage->records[t->kind], t)
               : GQA_OK;
}

/* --- Fitting -------------------------------------------------------------- */

static enum gqa_status see_inputs(void *ctx, const struct gqa_tapped *t)
{
    return gqa_score_records_see_converted(ctx, t);
}

/* All batches that something was kept of have come. */
static bool has_enough(void *ctx)
{
    return gqa_score_records_are_full(ctx);
}

static enum gqa_status look(struct gqa_score_records *records,
                            struct gqa_layers *converted)
{
    const struct gqa_taps taps = {GQA_SCORE_RECORDS_OF_CONVERTED, see_inputs,
                                  records};
    const struct gqa_block_point last = {records->block->heads->kind,
                                         GQA_TAP_INPUT};
    const struct gqa_layers_output output = {.ctx = records,
                                             .last = &last,
                                             .has_enough = has_enough,
                                             .step = {.taps = &taps}};
    const enum gqa_status st = gqa_layers_next(converted, true, &output);

    return st == GQA_OK ? gqa_score_records_finish(records) : st;
}

static enum gqa_status read_bias(double **out,
                                 const struct gqa_score_stage *stage,
                                 const struct gqa_attention_block *block)
{
    const struct gqa_refit_job *job = stage->job;

    return block->bias.table == GQA_NO_PARAM
               ? GQA_OK
               : gqa_source_values(out, job->original, job->network->model,
                                   block->bias.table, 1);
}

static enum gqa_status order_of(uint64_t **out, const struct gqa_attention *a,
                                const struct gqa_transforms *t)
{
    if (!t->heads)
        return GQA_OK;
    *out = malloc(a->n_heads * sizeof **out);
    if (!*out)
        return gqa_fail_nomem();
    for (uint64_t h = 0; h < a->n_heads; h++)
        (*out)[h] = gqa_order_query_head(t->heads, a, h);
    return GQA_OK;
}

static enum gqa_status fit(struct gqa_score_stage *stage,
                           struct gqa_scores_job *job, struct gqa_transforms *t)
{
    const struct gqa_model *model = stage->job->network->model;
    const struct gqa_attention *a = job->block->heads;
    struct gqa_head_rows queries = {0}, keys = {0};
    struct gqa_scores_gain gain = {0};
    enum gqa_status st =
        gqa_head_rows_read(&queries, stage->job->converted, model, &a->q,
                           a->head_dim, 1, stage->job->n_threads);

    if (st == GQA_OK)
        st = gqa_head_rows_read(&keys, stage->job->converted, model, &a->k,
                                a->head_dim, t->source / t->pooled,
                                stage->job->n_threads);
    if (st == GQA_OK)
        st = gqa_scores_fit(&queries, &keys, &gain, job);
    if (st == GQA_OK && gain.queries)
        st = gqa_head_rows_keep(&t->fitted_q, &queries);
    if (st == GQA_OK && gain.keys)
        st = gqa_head_rows_keep(&t->fitted_k, &keys);
    gqa_head_rows_clear(&queries);
    gqa_head_rows_clear(&keys);
    return st;
}

enum gqa_status gqa_score_stage_fit(struct gqa_score_stage *stage,
                                    const struct gqa_attention_block *block,
                                    struct gqa_layers *converted)
{
    struct gqa_score_records *records = &stage->records[block->heads->kind];
    struct gqa_transforms *t = transforms_of(stage, block);
    uint64_t *heads = NULL;
    double *bias = NULL;
    enum gqa_status st;

    if (!stage->wanted[block->heads->kind])
        return GQA_OK;
    st = look(records, converted);
    if (st == GQA_OK)
        st = order_of(&heads, block->heads, t);
    if (st == GQA_OK)
        st = read_bias(&bias, stage, block);
    if (st == GQA_OK) {
        struct gqa_scores_job job = {
            .records = records,
            .block = block,
            .becomes = gqa_score_stage_converted(stage->job, block),
            .heads = heads,
            .pooled = t->pooled,
            .bias = bias,
            .n_threads = stage->job->n_threads};

        st = fit(stage, &job, t);
    }
    free(heads);
    free(bias);
    gqa_score_records_clear(records);
    return st;
}
