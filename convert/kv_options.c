#include "convert/kv_options.h"

#include <stdlib.h>

#include "align/align.h"
#include "align/sets.h"
#include "align/sharing.h"
#include "common/checked.h"
#include "formats/model/kv_bytes.h"
#include "formats/model/regroup.h"
#include "runtime/blas.h"

static enum gqa_status make_item(struct gqa_kv_options *o,
                                 const struct gqa_model *model, size_t place)
{
    const struct gqa_attention *a = &model->attentions[o->attentions[place]];
    struct gqa_knapsack_item *item = &o->items[place];
    size_t room = 1;

    for (uint64_t pooled = 1; o->selected[place] && pooled < a->n_kv_heads;
         pooled++)
        room += gqa_attention_can_have(a, pooled);
    item->options = calloc(room, sizeof *item->options);
    o->pooled[place] = calloc(room, sizeof *o->pooled[place]);
    if (!item->options || !o->pooled[place])
        return gqa_fail_nomem();
    for (uint64_t pooled = a->n_kv_heads; pooled > 0 && item->n < room;
         pooled--) {
        if (!gqa_attention_can_have(a, pooled))
            continue;
        if (!gqa_kv_attention_bytes(model, a, pooled,
                                    &item->options[item->n].bytes))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the KV cache would take more than 2^63 bytes");
        o->pooled[place][item->n++] = pooled;
    }
    return GQA_OK;
}

enum gqa_status gqa_kv_options_create(struct gqa_kv_options *out,
                                      const struct gqa_model *model,
                                      const struct gqa_plan_options *asked)
{
    const size_t n = model->n_attentions + 1;
    struct gqa_kv_options *o = out;
    enum gqa_status st = GQA_OK;

    *o = (struct gqa_kv_options){
        .attentions = calloc(n, sizeof *o->attentions),
        .items = calloc(n, sizeof *o->items),
        .pooled = calloc(n, sizeof *o->pooled),
        .selected = calloc(n, sizeof *o->selected),
    };
    if (!o->attentions || !o->items || !o->pooled || !o->selected)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions && st == GQA_OK; i++) {
        if (!gqa_kv_is_cached(&model->attentions[i]))
            continue;
        o->attentions[o->n] = i;
        o->selected[o->n] = gqa_plan_selects(asked, &model->attentions[i]);
        st = make_item(o, model, o->n++);
    }
    if (st == GQA_OK && o->n == 0)
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "no attention of this model keeps a KV cache");
    return st;
}

void gqa_kv_options_clear(struct gqa_kv_options *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->items[i].options);
        free(o->pooled[i]);
    }
    free(o->attentions);
    free(o->items);
    free(o->pooled);
    free(o->selected);
    *o = (struct gqa_kv_options){0};
}

/* --- Losses --------------------------------------------------------------- */

struct weighing {
    struct gqa_kv_options *options;
    const struct gqa_kv_choice_job *job;
};

static enum gqa_status weigh_options(const struct weighing *w, size_t place,
                                     const struct gqa_attention *a,
                                     const struct gqa_compared_heads *alike)
{
    struct gqa_knapsack_item *item = &w->options->items[place];
    const double scores = gqa_sharing_scores(
        gqa_calibrator_network(w->job->calibrator), a, alike->likeness);
    enum gqa_status st = GQA_OK;

    for (size_t j = 0; j < item->n && st == GQA_OK; j++) {
        struct gqa_sharing_choice choice;

        st = gqa_sharing_choose(&choice, alike, w->options->pooled[place][j],
                                scores, w->job->n_threads);
        item->options[j].lost = choice.predicted;
        free(choice.heads);
    }
    return st;
}

static enum gqa_status weigh(void *ctx, size_t attention,
                             const struct gqa_head_statistics *statistics)
{
    const struct weighing *w = ctx;
    const struct gqa_model *model = w->job->model;
    const struct gqa_attention *a = &model->attentions[attention];
    struct gqa_compared_heads alike;
    enum gqa_status st = gqa_compare_heads(
        &alike, gqa_calibrator_checkpoint(w->job->calibrator), model, a,
        gqa_block_of(gqa_calibrator_network(w->job->calibrator), a), statistics,
        true, w->job->n_threads);
    size_t place = 0;

    while (w->options->attentions[place] != attention)
        place++;
    alike.is_free = alike.is_free && !w->job->no_regroup;
    if (st == GQA_OK)
        st = weigh_options(w, place, a, &alike);
    gqa_compared_heads_clear(&alike);
    return st;
}

static enum gqa_status find_wanted(bool *wanted, const struct gqa_kv_options *o,
                                   const struct gqa_kv_choice_job *job)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < o->n && st == GQA_OK; i++) {
        wanted[o->attentions[i]] = o->selected[i];
        if (o->selected[i])
            st = gqa_align_check(gqa_calibrator_network(job->calibrator),
                                 &job->model->attentions[o->attentions[i]]);
    }
    return st;
}

/* Attentions count by how much of the stream they make. */
static void apply_influence(struct gqa_kv_options *o, const double *influence)
{
    double all = 0;

    for (size_t i = 0; i < o->n; i++)
        all += influence[o->attentions[i]];
    for (size_t i = 0; i < o->n; i++)
        for (size_t j = 0; j < o->items[i].n && all > 0; j++)
            o->items[i].options[j].lost *= influence[o->attentions[i]] / all;
}

enum gqa_status gqa_kv_options_weigh(struct gqa_kv_options *options,
                                     const struct gqa_kv_choice_job *job)
{
    const size_t n = job->model->n_attentions;
    struct weighing w = {options, job};
    bool *wanted = calloc(n + 1, sizeof *wanted);
    double *influence = calloc(n + 1, sizeof *influence);
    enum gqa_status st = wanted && influence ? find_wanted(wanted, options, job)
                                             : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_blas_load(job->n_threads);
    if (st == GQA_OK)
        st = gqa_calibrator_learn_heads(job->calibrator, wanted, weigh, &w,
                                        influence);
    if (st == GQA_OK)
        apply_influence(options, influence);
    free(wanted);
    free(influence);
    return st;
}

/* --- One number for all --------------------------------------------------- */

bool gqa_kv_options_alike(uint64_t *bytes, const struct gqa_kv_options *o,
                          uint64_t pooled)
{
    *bytes = 0;
    for (size_t i = 0; i < o->n; i++) {
        size_t j = 0;

        while (o->selected[i] && j < o->items[i].n && o->pooled[i][j] != pooled)
            j++;
        if (j == o->items[i].n ||
            !gqa_add_u64(*bytes, o->items[i].options[j].bytes, bytes))
            return false;
    }
    return true;
}
