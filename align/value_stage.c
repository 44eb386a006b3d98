#include "align/value_stage.h"

#include <stdlib.h>

#include "align/score_records.h"
#include "align/score_stage.h"
#include "align/source_values.h"
#include "align/values.h"
#include "runtime/values.h"

struct stage {
    const struct gqa_value_stage_job *job;
    struct gqa_score_records records;
    size_t batch; /* that runs */
    /* On the device, of so many rows: ones, and what they should add. */
    void *ones, *aim;
    uint64_t n_rows;
};

static enum gqa_status make_room(struct stage *s, const struct gqa_tapped *t,
                                 uint64_t d)
{
    double *ones;
    enum gqa_status st = GQA_OK;

    if (t->n_rows <= s->n_rows)
        return GQA_OK;
    t->backend->free(t->device, s->ones);
    t->backend->free(t->device, s->aim);
    s->ones = s->aim = NULL;
    s->n_rows = 0;
    ones = malloc(t->n_rows * sizeof *ones);
    for (uint64_t i = 0; i < t->n_rows && ones; i++)
        ones[i] = 1;
    if (!ones)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = t->backend->alloc(t->device, &s->ones,
                               t->n_rows * gqa_dtype_bits(t->real) / 8);
    if (st == GQA_OK)
        st = t->backend->alloc(t->device, &s->aim,
                               t->n_rows * d * gqa_dtype_bits(t->real) / 8);
    if (st == GQA_OK)
        st = gqa_values_upload(t->backend, t->device, s->ones, t->real, ones,
                               t->n_rows);
    if (st == GQA_OK)
        s->n_rows = t->n_rows;
    free(ones);
    return st;
}

/* What the heads gave, what they should have, and how much that counts. */
static enum gqa_status see_heads(struct stage *s, const struct gqa_tapped *t)
{
    const uint64_t d = s->job->refit->network->d_model;
    const struct gqa_weight bias = {s->job->output_bias, GQA_F64, 1, d};
    const void *target = NULL, *before = NULL;
    struct gqa_tapped stream = *t;
    enum gqa_status st = gqa_records_batch(&target, s->job->target, s->batch++);

    if (st == GQA_OK)
        st = gqa_records_batch(&before, s->job->before, 0);
    if (st == GQA_OK)
        st = make_room(s, t, d);
    if (st == GQA_OK)
        st = t->backend->weigh_rows(t->device, s->aim, target, before,
                                    s->job->output_bias ? &bias : NULL, d,
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

static enum gqa_status see(void *ctx, const struct gqa_tapped *t)
{
    struct stage *s = ctx;
    const bool is_cross = s->records.block->heads->kind == GQA_ATTENTION_CROSS;

    switch (t->point) {
    case GQA_TAP_BEFORE:
    case GQA_TAP_AFTER_ATTENTION:
        if (is_cross
                ? t->point == GQA_TAP_BEFORE || t->kind == GQA_ATTENTION_CROSS
                : t->point == GQA_TAP_AFTER_ATTENTION)
            return GQA_OK;
        gqa_records_clear(s->job->before);
        return gqa_records_add(s->job->before, t);
    case GQA_TAP_ATTENDED:
        return t->kind == s->records.block->heads->kind ? see_heads(s, t)
                                                        : GQA_OK;
    case GQA_TAP_INPUT:
    case GQA_TAP_MEMORY:
        return gqa_score_records_see_converted(&s->records, t);
    default:
        return gqa_score_records_see_original(&s->records, t);
    }
}

static enum gqa_status read_table(double **out, const struct stage *s)
{
    const struct gqa_refit_job *job = s->job->refit;
    const size_t table = s->records.block->bias.table;

    return table == GQA_NO_PARAM
               ? GQA_OK
               : gqa_source_values(out, job->converted, job->network->model,
                                   table, 1);
}

static enum gqa_status fit(const struct stage *s, struct gqa_transforms *t,
                           bool *changed)
{
    const struct gqa_refit_job *refit = s->job->refit;
    const struct gqa_model *model = refit->network->model;
    const struct gqa_attention *a = s->job->block->heads;
    struct gqa_head_rows values = {0}, output = {0};
    struct gqa_values_job job = {.records = &s->records,
                                 .becomes = s->records.block,
                                 .pooled = t->pooled,
                                 .d_model = refit->network->d_model,
                                 .n_threads = refit->n_threads};
    double *table = NULL;
    enum gqa_status st =
        gqa_head_rows_read(&values, refit->converted, model, &a->v, a->head_dim,
                           t->source / t->pooled, refit->n_threads);

    if (st == GQA_OK)
        st = gqa_head_rows_read(&output, refit->converted, model, &a->o,
                                a->head_dim, 1, refit->n_threads);
    if (st == GQA_OK)
        st = read_table(&table, s);
    job.output = output.weight;
    job.bias = table;
    if (st == GQA_OK)
        st = gqa_values_fit(&values, changed, &job);
    if (st == GQA_OK && *changed)
        st = gqa_head_rows_keep(&t->fitted_v, &values);
    gqa_head_rows_clear(&values);
    gqa_head_rows_clear(&output);
    free(table);
    return st;
}

enum gqa_status gqa_value_stage_fit(bool *changed,
                                    const struct gqa_value_stage_job *job)
{
    const struct gqa_refit_job *refit = job->refit;
    struct stage s = {
        .job = job,
        .records = {.backend = refit->backend,
                    .device = refit->device,
                    .real = refit->real,
                    .block = gqa_score_stage_converted(refit, job->block)}};
    const struct gqa_taps taps = {
        GQA_TAP(GQA_TAP_BEFORE) | GQA_TAP(GQA_TAP_ATTENDED) |
            GQA_SCORE_RECORDS_OF_ORIGINAL | GQA_SCORE_RECORDS_OF_CONVERTED,
        see, &s};
    const struct gqa_block_point last = {job->block->heads->kind,
                                         GQA_TAP_ATTENDED};
    const struct gqa_layers_output output = {.last = &last,
                                             .step = {.taps = &taps}};
    enum gqa_status st = gqa_layers_next(job->converted, true, &output);

    *changed = false;
    if (st == GQA_OK)
        st = gqa_score_records_finish(&s.records);
    if (st == GQA_OK)
        st = fit(&s,
                 &job->alignment->attentions[job->block->heads -
                                             refit->network->model->attentions],
                 changed);
    gqa_score_records_clear(&s.records);
    refit->backend->free(refit->device, s.ones);
    refit->backend->free(refit->device, s.aim);
    return st;
}
