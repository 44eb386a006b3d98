#include "align/value_stage.h"

#include <stdlib.h>

#include "align/attention_fit.h"
#include "align/score_records.h"
#include "align/score_stage.h"
#include "align/source_values.h"
#include "align/values.h"
#include "runtime/values.h"

static enum gqa_status make_room(struct gqa_value_stage *s,
                                 const struct gqa_tapped *t, uint64_t d)
{
    const uint64_t bytes = gqa_dtype_bits(t->real) / 8;
    enum gqa_status st;

    if (t->n_rows <= s->n_rows)
        return GQA_OK;
    t->backend->free(t->device, s->ones);
    t->backend->free(t->device, s->aim);
    s->ones = s->aim = NULL;
    s->n_rows = 0;
    st = t->backend->alloc(t->device, &s->ones, t->n_rows * bytes);
    if (st == GQA_OK)
        st = t->backend->alloc(t->device, &s->aim, t->n_rows * d * bytes);
    if (st == GQA_OK)
        st = gqa_values_fill(t->backend, t->device, s->ones, t->real, 1,
                             t->n_rows);
    if (st == GQA_OK)
        s->n_rows = t->n_rows;
    return st;
}

/* What the heads gave, what they should have, and how much that counts. */
static enum gqa_status see_heads(struct gqa_value_stage *s,
                                 const struct gqa_tapped *t)
{
    const uint64_t d = s->job.refit->network->d_model;
    const struct gqa_weight bias = {s->job.output_bias, GQA_F64, 1, d};
    const void *target = NULL, *before = NULL;
    struct gqa_tapped stream = *t;
    enum gqa_status st = gqa_records_batch(&target, s->job.target, s->batch++);

    if (st == GQA_OK)
        st = gqa_records_batch(&before, s->job.before, 0);
    if (st == GQA_OK)
        st = make_room(s, t, d);
    if (st == GQA_OK)
        st = t->backend->weigh_rows(t->device, s->aim, target, before,
                                    s->job.output_bias ? &bias : NULL, d,
                                    s->ones, 1, t->n_rows);
    if (st == GQA_OK)
        st = gqa_score_records_see_converted(&s->records, t);
    stream.width = d;
    stream.point = GQA_TAP_AFTER;
    stream.x = s->aim;
    if (st == GQA_OK)
        st = gqa_score_records_see_converted(&s->records, &stream);
    stream.point = GQA_TAP_AFTER_ATTENTION;
    stream.x = target;
    return st == GQA_OK ? gqa_score_records_see_original(&s->records, &stream)
                        : st;
}

enum gqa_status gqa_value_stage_see(struct gqa_value_stage *s,
                                    const struct gqa_tapped *t)
{
    switch (t->point) {
    case GQA_TAP_ATTENDED:
        return t->kind == s->records.block->heads->kind ? see_heads(s, t)
                                                        : GQA_OK;
    case GQA_TAP_INPUT:
    case GQA_TAP_MEMORY:
        return gqa_score_records_see_converted(&s->records, t);
    case GQA_TAP_Q:
    case GQA_TAP_K:
    case GQA_TAP_Q_TURNED:
    case GQA_TAP_K_TURNED:
        return gqa_score_records_see_original(&s->records, t);
    default:
        return GQA_OK;
    }
}

static enum gqa_status open_fitter(struct gqa_value_stage *s,
                                   const struct gqa_transforms *t,
                                   uint64_t inputs)
{
    const struct gqa_refit_job *refit = s->job.refit;
    const size_t table = s->records.block->bias.table;
    struct gqa_values_job job = {.records = &s->records,
                                 .becomes = s->records.block,
                                 .pooled = t->pooled,
                                 .inputs = inputs,
                                 .d_model = refit->network->d_model,
                                 .n_threads = refit->n_threads};
    enum gqa_status st = gqa_score_records_finish(&s->records);

    if (st == GQA_OK && table != GQA_NO_PARAM)
        st = gqa_source_values(&s->table, refit->converted,
                               refit->network->model, table, 1);
    job.bias = s->table;
    return st == GQA_OK ? gqa_values_create(&s->fitter, &job) : st;
}

enum gqa_status gqa_value_stage_fit(struct gqa_value_stage *s, double *step)
{
    const struct gqa_refit_job *refit = s->job.refit;
    const struct gqa_model *model = refit->network->model;
    const struct gqa_attention *a = s->job.block->heads;
    struct gqa_transforms *t =
        &s->job.alignment->attentions[a - model->attentions];
    struct gqa_head_rows values = {0}, output = {0};
    enum gqa_status st =
        gqa_head_rows_read(&values, refit->converted, model, &a->v, a->head_dim,
                           t->source / t->pooled, refit->n_threads);

    *step = 0;
    if (st == GQA_OK)
        st = gqa_head_rows_read(&output, refit->converted, model, &a->o,
                                a->head_dim, 1, refit->n_threads);
    if (st == GQA_OK)
        st = s->fitter ? gqa_values_attend(s->fitter, &values)
                       : open_fitter(s, t, values.inputs);
    if (st == GQA_OK)
        st = gqa_values_fit(s->fitter, &values, output.weight, step);
    if (st == GQA_OK && *step > 0)
        st = gqa_head_rows_keep(&t->fitted_v, &values);
    gqa_head_rows_clear(&values);
    gqa_head_rows_clear(&output);
    return st;
}

/* --- Together ------------------------------------------------------------- */

/* q, k, v and o as the converted model has them now. */
static enum gqa_status read_all(struct gqa_head_rows rows[GQA_N_PROJECTIONS],
                                const struct gqa_value_stage *s, uint64_t alike)
{
    const struct gqa_refit_job *refit = s->job.refit;
    const struct gqa_attention *a = s->job.block->heads;
    const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v, &a->o};
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < GQA_N_PROJECTIONS && st == GQA_OK; i++)
        st = gqa_head_rows_read(
            &rows[i], refit->converted, refit->network->model, slices[i],
            a->head_dim,
            i == GQA_PROJECTION_K || i == GQA_PROJECTION_V ? alike : 1,
            refit->n_threads);
    return st;
}

static enum gqa_status keep_all(struct gqa_transforms *t, double **output,
                                struct gqa_head_rows *rows)
{
    struct gqa_spill *const kept[] = {&t->fitted_q, &t->fitted_k, &t->fitted_v};
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < GQA_PROJECTION_O && st == GQA_OK; i++)
        st = gqa_head_rows_keep(kept[i], &rows[i]);
    *output = rows[GQA_PROJECTION_O].weight;
    rows[GQA_PROJECTION_O].weight = NULL;
    return st;
}

enum gqa_status gqa_value_stage_fit_together(struct gqa_value_stage *s,
                                             bool *changed, double **output)
{
    const struct gqa_refit_job *refit = s->job.refit;
    struct gqa_transforms *t =
        &s->job.alignment->attentions[s->job.block->heads -
                                      refit->network->model->attentions];
    struct gqa_head_rows rows[GQA_N_PROJECTIONS] = {{0}};
    struct gqa_head_rows *const all[] = {&rows[0], &rows[1], &rows[2],
                                         &rows[3]};
    const struct gqa_attention_loss_job job = {
        .records = &s->records,
        .becomes = s->records.block,
        .pooled = t->pooled,
        .rows = {&rows[0], &rows[1], &rows[2], &rows[3]},
        .table = s->table};
    enum gqa_status st = read_all(rows, s, t->source / t->pooled);

    *changed = false;
    *output = NULL;
    gqa_values_free(s->fitter);
    s->fitter = NULL;
    if (st == GQA_OK)
        st = gqa_attention_fit(all, changed, &job, refit->n_threads);
    if (st == GQA_OK && *changed)
        st = keep_all(t, output, rows);
    for (int i = 0; i < GQA_N_PROJECTIONS; i++)
        gqa_head_rows_clear(&rows[i]);
    return st;
}

bool gqa_value_stage_is_whole(const struct gqa_value_stage *s)
{
    return gqa_score_records_are_whole(&s->records);
}

void gqa_value_stage_begin(struct gqa_value_stage *s,
                           const struct gqa_value_stage_job *job)
{
    const struct gqa_refit_job *refit = job->refit;
    const struct gqa_transforms *t =
        &job->alignment->attentions[job->block->heads -
                                    refit->network->model->attentions];

    *s = (struct gqa_value_stage){
        .job = *job,
        .records = {.backend = refit->backend,
                    .device = refit->device,
                    .real = refit->real,
                    .n_threads = refit->n_threads,
                    .block = gqa_score_stage_converted(refit, job->block),
                    .alike = t->source / t->pooled}};
}

void gqa_value_stage_clear(struct gqa_value_stage *s)
{
    const struct gqa_refit_job *refit = s->job.refit;

    if (!refit)
        return;
    gqa_values_free(s->fitter);
    gqa_score_records_clear(&s->records);
    refit->backend->free(refit->device, s->ones);
    refit->backend->free(refit->device, s->aim);
    free(s->table);
    *s = (struct gqa_value_stage){0};
}
