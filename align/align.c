#include "align/align.h"

#include <stdlib.h>
#include <string.h>

#include "align/factor.h"
#include "align/moments.h"
#include "align/order.h"
#include "runtime/blas.h"

struct aligner {
    struct gqa_alignment *alignment;
    struct gqa_checkpoint *checkpoint;
    const struct gqa_model *model;
    const struct gqa_rope *rope; /* of the converted model */
    bool regroup;
    unsigned n_threads;
};

/* --- One attention -------------------------------------------------------- */

/*
 * All groups of keys, or of values. mixes: [pooled, d, m d]; backs: [n_heads,
 * d, d], what each query head's projection is multiplied with.
 */
static enum gqa_status factor_groups(double *mixes, double *backs, double *lost,
                                     const struct gqa_attention *a,
                                     const struct gqa_bands *bands,
                                     uint64_t pooled, const double *moments,
                                     const double *metrics)
{
    const uint64_t d = a->head_dim, m = a->n_kv_heads / pooled, w = m * d;
    const uint64_t per = a->n_heads / a->n_kv_heads;
    double *block = malloc(w * w * sizeof *block);
    double *back = malloc(m * d * d * sizeof *back);
    double all = 0, gone = 0;
    enum gqa_status st = block && back ? GQA_OK : gqa_fail_nomem();

    for (uint64_t g = 0; g < pooled && st == GQA_OK; g++) {
        struct gqa_factor f = {.mix = mixes + g * d * w, .back = back};

        for (uint64_t i = 0; i < w; i++)
            memcpy(block + i * w,
                   moments + (g * w + i) * a->n_kv_heads * d + g * w,
                   w * sizeof *block);
        st = gqa_factor(&f, bands, m, block, metrics + g * m * d * d);
        for (uint64_t h = 0; h < m * per && st == GQA_OK; h++)
            memcpy(backs + (g * m * per + h) * d * d, back + h / per * d * d,
                   d * d * sizeof *back);
        all += f.all;
        gone += f.lost;
    }
    *lost = all > 0 ? gone / all : 0;
    free(block);
    free(back);
    return st;
}

/* What one attention is made of while it is worked on. */
struct work {
    struct gqa_bands bands, whole; /* of keys, of values */
    /* O_h^T O_h of each query head; queries' and those summed by KV head. */
    double *outputs;
    double *metrics[2];
    double *keys; /* about the mean where they do not turn */
};

static void clear_work(struct work *w)
{
    gqa_bands_clear(&w->bands);
    gqa_bands_clear(&w->whole);
    free(w->outputs);
    free(w->metrics[0]);
    free(w->metrics[1]);
    free(w->keys);
}

static enum gqa_status begin_work(const struct aligner *aligner, struct work *w,
                                  const struct gqa_attention *a,
                                  const struct gqa_head_statistics *s)
{
    const uint64_t d = a->head_dim, n = a->n_kv_heads;
    enum gqa_status st =
        gqa_bands_of_position(&w->bands, d, &a->position, aligner->rope);

    if (st == GQA_OK)
        st = gqa_bands_whole(&w->whole, d);
    if (st != GQA_OK)
        return st;
    w->outputs = malloc(a->n_heads * d * d * sizeof *w->outputs);
    w->keys = malloc(n * d * n * d * sizeof *w->keys);
    for (int i = 0; i < 2; i++)
        w->metrics[i] = malloc(n * d * d * sizeof *w->metrics[i]);
    if (!w->outputs || !w->keys || !w->metrics[0] || !w->metrics[1])
        return gqa_fail_nomem();
    gqa_moments_of_keys(w->keys, a, &w->bands, s);
    /* o's bias is no head's. */
    return gqa_moments_of_weights(w->outputs, aligner->checkpoint,
                                  aligner->model, &a->o, d, false, false);
}

static void sum_metrics(struct work *w, const struct gqa_attention *a,
                        const struct gqa_head_statistics *s)
{
    gqa_moments_by_kv_head(w->metrics[0], a, s->queries);
    gqa_moments_by_kv_head(w->metrics[1], a, w->outputs);
}

/* Find the order of heads, and put all that is known of them into it. */
static enum gqa_status put_in_order(const struct aligner *aligner,
                                    struct gqa_transforms *t, struct work *w,
                                    const struct gqa_attention *a,
                                    const struct gqa_head_statistics *s)
{
    double *const moments[] = {w->keys, s->values};
    double *const queries[] = {s->queries, w->outputs};
    enum gqa_status st;

    t->heads = malloc(a->n_kv_heads * sizeof *t->heads);
    if (!t->heads)
        return gqa_fail_nomem();
    st = gqa_order_find(t->heads, a, t->pooled, &w->bands, w->keys, s->values,
                        w->metrics, aligner->n_threads);
    for (int i = 0; i < 2 && st == GQA_OK; i++) {
        st = gqa_order_moments(moments[i], t->heads, a);
        if (st == GQA_OK)
            st = gqa_order_queries(queries[i], t->heads, a);
    }
    if (st == GQA_OK)
        sum_metrics(w, a, s);
    return st;
}

static enum gqa_status take(void *ctx, size_t index,
                            const struct gqa_head_statistics *s)
{
    const struct aligner *aligner = ctx;
    struct gqa_transforms *t = &aligner->alignment->attentions[index];
    const struct gqa_attention *a = &aligner->model->attentions[index];
    const uint64_t d = a->head_dim;
    struct work w = {0};
    enum gqa_status st = begin_work(aligner, &w, a, s);

    t->k = malloc(a->n_kv_heads * d * d * sizeof *t->k);
    t->v = malloc(a->n_kv_heads * d * d * sizeof *t->v);
    t->q = malloc(a->n_heads * d * d * sizeof *t->q);
    t->o = malloc(a->n_heads * d * d * sizeof *t->o);
    if (st == GQA_OK && (!t->k || !t->v || !t->q || !t->o))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        sum_metrics(&w, a, s);
    if (st == GQA_OK && aligner->regroup && gqa_order_is_free(a))
        st = put_in_order(aligner, t, &w, a, s);
    if (st == GQA_OK)
        st = factor_groups(t->k, t->q, &t->keys_lost, a, &w.bands, t->pooled,
                           w.keys, w.metrics[0]);
    if (st == GQA_OK)
        st = factor_groups(t->v, t->o, &t->values_lost, a, &w.whole, t->pooled,
                           s->values, w.metrics[1]);
    clear_work(&w);
    return st;
}

/* Without tokens. */
static enum gqa_status take_weights(const struct aligner *aligner, size_t index)
{
    const struct gqa_attention *a = &aligner->model->attentions[index];
    struct gqa_head_statistics s;
    enum gqa_status st = gqa_head_statistics_create(&s, a);

    if (st == GQA_OK)
        st = gqa_statistics_of_weights(&s, aligner->checkpoint, aligner->model,
                                       a);
    if (st == GQA_OK)
        st = take((void *)(uintptr_t)aligner, index, &s);
    gqa_head_statistics_clear(&s);
    return st;
}

static enum gqa_status take_all_weights(const struct aligner *aligner,
                                        const bool *wanted)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < aligner->model->n_attentions && st == GQA_OK; i++)
        if (wanted[i])
            st = take_weights(aligner, i);
    return st;
}

/* --- All ------------------------------------------------------------------ */

static const struct gqa_attention_block *block_of(
    const struct gqa_network *network, const struct gqa_attention *a)
{
    for (size_t i = 0; i < network->n_stacks; i++)
        if (network->stacks[i].stack == a->stack) {
            const struct gqa_block *b = &network->stacks[i].blocks[a->layer];

            return a->kind == GQA_ATTENTION_SELF ? &b->self : &b->cross;
        }
    return NULL;
}

bool gqa_align_is_possible(const struct gqa_network *network,
                           const struct gqa_attention *a)
{
    const struct gqa_attention_block *block = block_of(network, a);

    return !block || (block->k_norm.kind == GQA_NORM_NONE &&
                      block->q_norm.kind == GQA_NORM_NONE);
}

enum gqa_status gqa_align(struct gqa_alignment **out,
                          struct gqa_checkpoint *checkpoint,
                          const struct gqa_model *model, const uint64_t *pooled,
                          const struct gqa_statistics_job *statistics,
                          const struct gqa_rope *rope,
                          const struct gqa_align_options *options)
{
    struct gqa_alignment *alignment = calloc(1, sizeof *alignment);
    bool *wanted = calloc(model->n_attentions, sizeof *wanted);
    struct aligner aligner = {alignment, checkpoint,       model,
                              rope,      options->regroup, options->n_threads};
    struct gqa_statistics_job job = *statistics;
    enum gqa_status st = gqa_blas_load(1);

    if (alignment)
        alignment->attentions =
            calloc(model->n_attentions, sizeof *alignment->attentions);
    if (!alignment || !alignment->attentions || !wanted)
        st = gqa_fail_nomem();
    else
        alignment->n = model->n_attentions;
    for (size_t i = 0; i < model->n_attentions && st == GQA_OK; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        wanted[i] = pooled[i] > 0 && pooled[i] < a->n_kv_heads;
        if (!wanted[i])
            continue;
        alignment->attentions[i].source = a->n_kv_heads;
        alignment->attentions[i].pooled = pooled[i];
        if (!gqa_align_is_possible(job.network, a))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "queries and keys are normed head by head, which no "
                          "alignment passes: --method=mean pools them");
    }
    if (st == GQA_OK) {
        job.wanted = wanted;
        job.take = take;
        job.ctx = &aligner;
        st = job.tokens ? gqa_statistics_collect(&job)
                        : take_all_weights(&aligner, wanted);
    }
    free(wanted);
    if (st != GQA_OK) {
        gqa_alignment_free(alignment);
        return st;
    }
    *out = alignment;
    return GQA_OK;
}

void gqa_alignment_free(struct gqa_alignment *alignment)
{
    if (!alignment)
        return;
    for (size_t i = 0; alignment->attentions && i < alignment->n; i++) {
        struct gqa_transforms *t = &alignment->attentions[i];

        free(t->k);
        free(t->v);
        free(t->q);
        free(t->o);
        free(t->heads);
        free(t->fitted_o);
    }
    free(alignment->attentions);
    free(alignment->divisors);
    free(alignment);
}
