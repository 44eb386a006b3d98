#include "align/align.h"

#include <stdlib.h>
#include <string.h>

#include "align/factor.h"
#include "align/moments.h"
#include "align/order.h"
#include "align/sets.h"
#include "common/bounds.h"
#include "common/jobs.h"
#include "runtime/blas.h"

/* What jobs that run at the same time may take of the host. */
#define JOB_BYTES ((uint64_t)2 << 30)

struct aligner {
    struct gqa_alignment *alignment;
    struct gqa_checkpoint *checkpoint;
    const struct gqa_model *model;
    const struct gqa_network *becomes;
    unsigned n_threads;
    struct gqa_head_sets sets;
    struct gqa_energies *waiting; /* by attention, for the others of its set */
    struct gqa_jobs *jobs;
    struct job *all; /* by attention: the one that it started */
};

/* What is done once all of a set is there, or an attention of none. */
struct job {
    const struct aligner *aligner;
    size_t index, set;
};

/* --- One attention -------------------------------------------------------- */

/* The heads of a group, one after another: of moments and of metrics. */
static void gather(double *moments, double *metrics, const double *all_moments,
                   const double *all_metrics, const struct gqa_attention *a,
                   const uint64_t *heads, uint64_t m)
{
    const uint64_t d = a->head_dim, w = m * d, ld = a->n_kv_heads * d;

    for (uint64_t i = 0; i < w; i++)
        for (uint64_t j = 0; j < m; j++)
            memcpy(moments + i * w + j * d,
                   all_moments + (heads[i / d] * d + i % d) * ld + heads[j] * d,
                   d * sizeof *moments);
    for (uint64_t j = 0; j < m; j++)
        memcpy(metrics + j * d * d, all_metrics + heads[j] * d * d,
               d * d * sizeof *metrics);
}

/*
 * All groups of keys, or of values. mixes: [pooled, d, m d]; backs: [n_heads,
 * d, d], what each query head's projection is multiplied with. heads:
 * [n_kv_heads], in the order in which they come to stand.
 */
static enum gqa_status factor_groups(double *mixes, double *backs, double *lost,
                                     const struct gqa_attention *a,
                                     const struct gqa_bands *bands,
                                     const uint64_t *heads, uint64_t pooled,
                                     const double *moments,
                                     const double *metrics)
{
    const uint64_t d = a->head_dim, m = a->n_kv_heads / pooled, w = m * d;
    const uint64_t per = a->n_heads / a->n_kv_heads;
    double *block = malloc(w * w * sizeof *block);
    double *metric = malloc(m * d * d * sizeof *metric);
    double *back = malloc(m * d * d * sizeof *back);
    double all = 0, gone = 0;
    enum gqa_status st = block && metric && back ? GQA_OK : gqa_fail_nomem();

    for (uint64_t g = 0; g < pooled && st == GQA_OK; g++) {
        struct gqa_factor f = {.mix = mixes + g * d * w, .back = back};

        gather(block, metric, moments, metrics, a, heads + g * m, m);
        st = gqa_factor(&f, bands, m, block, metric);
        for (uint64_t h = 0; h < m * per && st == GQA_OK; h++)
            memcpy(backs + (g * m * per + h) * d * d, back + h / per * d * d,
                   d * d * sizeof *back);
        all += f.all;
        gone += f.lost;
    }
    *lost = all > 0 ? gone / all : 0;
    free(block);
    free(metric);
    free(back);
    return st;
}

static enum gqa_status factor(struct gqa_transforms *t,
                              const struct gqa_attention *a,
                              const struct gqa_energies *e)
{
    const uint64_t d = a->head_dim;
    uint64_t *heads = calloc(a->n_kv_heads, sizeof *heads);
    enum gqa_status st = GQA_OK;

    t->k = malloc(a->n_kv_heads * d * d * sizeof *t->k);
    t->v = malloc(a->n_kv_heads * d * d * sizeof *t->v);
    t->q = malloc(a->n_heads * d * d * sizeof *t->q);
    t->o = malloc(a->n_heads * d * d * sizeof *t->o);
    t->outputs = malloc(a->n_heads * sizeof *t->outputs);
    if (!heads || !t->k || !t->v || !t->q || !t->o || !t->outputs)
        st = gqa_fail_nomem();
    for (uint64_t i = 0; i < a->n_kv_heads && st == GQA_OK; i++)
        heads[i] = t->heads ? t->heads[i] : i;
    for (uint64_t h = 0; h < a->n_heads && st == GQA_OK; h++)
        t->outputs[h] = e->outputs[gqa_order_query_head(heads, a, h)];
    if (st == GQA_OK)
        st = factor_groups(t->k, t->q, &t->keys_lost, a, &e->key_bands, heads,
                           t->pooled, e->keys, e->key_metrics);
    if (st == GQA_OK)
        st = factor_groups(t->v, t->o, &t->values_lost, a, &e->value_bands,
                           heads, t->pooled, e->values, e->value_metrics);
    free(heads);
    return st;
}

/* --- Which heads share ---------------------------------------------------- */

static bool is_identity(const uint64_t *heads, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (heads[i] != i)
            return false;
    return true;
}

static void move_table(struct gqa_alignment *alignment, size_t table,
                       size_t attention)
{
    if (table != GQA_NO_PARAM)
        alignment->tables[alignment->n_tables++] =
            (struct gqa_moved_table){table, attention};
}

/* All attentions of a set get the order, and so do the tables they share. */
static enum gqa_status move_set(const struct aligner *aligner, size_t set,
                                const uint64_t *heads, uint64_t n_heads)
{
    struct gqa_alignment *alignment = aligner->alignment;
    size_t last = 0;

    if (is_identity(heads, n_heads))
        return GQA_OK;
    for (size_t i = 0; i < alignment->n; i++) {
        struct gqa_transforms *t = &alignment->attentions[i];

        if (aligner->sets.of[i] != set)
            continue;
        t->source = n_heads;
        t->heads = calloc(n_heads + 1, sizeof *t->heads);
        if (!t->heads)
            return gqa_fail_nomem();
        memcpy(t->heads, heads, n_heads * sizeof *t->heads);
        last = i;
    }
    move_table(alignment, aligner->sets.items[set].table, last);
    move_table(alignment, aligner->sets.items[set].summary_table, last);
    return GQA_OK;
}

/* All attentions of the set whose heads share are waiting. */
static enum gqa_status order_set(const struct aligner *aligner, size_t set)
{
    struct gqa_order_item *items =
        calloc(aligner->sets.items[set].n_sharing + 1, sizeof *items);
    uint64_t *heads = NULL;
    uint64_t n_heads = 0;
    size_t n = 0;
    enum gqa_status st = items ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < aligner->alignment->n && items; i++) {
        if (aligner->sets.of[i] != set || !aligner->waiting[i].keys)
            continue;
        items[n++] = (struct gqa_order_item){
            &aligner->waiting[i], aligner->alignment->attentions[i].pooled};
        n_heads = aligner->model->attentions[i].n_kv_heads;
    }
    if (st == GQA_OK && !(heads = calloc(n_heads + 1, sizeof *heads)))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_order_find(heads, n_heads, items, n, aligner->n_threads);
    if (st == GQA_OK)
        st = move_set(aligner, set, heads, n_heads);
    free(items);
    free(heads);
    return st;
}

static bool waits_with(const struct aligner *aligner, size_t i, size_t set)
{
    return aligner->sets.of[i] == set && aligner->waiting[i].keys;
}

static size_t n_waiting(const struct aligner *aligner, size_t set)
{
    size_t n = 0;

    for (size_t i = 0; i < aligner->alignment->n; i++)
        n += waits_with(aligner, i, set);
    return n;
}

static enum gqa_status run_job(void *ctx)
{
    const struct job *job = ctx;
    const struct aligner *aligner = job->aligner;
    enum gqa_status st =
        job->set == GQA_NO_SET ? GQA_OK : order_set(aligner, job->set);

    for (size_t i = 0; i < aligner->alignment->n && st == GQA_OK; i++) {
        if (job->set == GQA_NO_SET ? i != job->index
                                   : !waits_with(aligner, i, job->set))
            continue;
        st = factor(&aligner->alignment->attentions[i],
                    &aligner->model->attentions[i], &aligner->waiting[i]);
        gqa_energies_clear(&aligner->waiting[i]);
    }
    return st;
}

/*
 * Nothing is done of a set before all of it is there; then it is done while
 * others are learnt about. Tables that move are put down in the order of their
 * sets, so that sets with one are done here.
 */
static enum gqa_status take(void *ctx, size_t index,
                            const struct gqa_head_statistics *s)
{
    const struct aligner *aligner = ctx;
    const struct gqa_attention *a = &aligner->model->attentions[index];
    const size_t set = aligner->sets.of[index];
    struct job *job = &aligner->all[index];
    enum gqa_status st = gqa_energies_take(
        &aligner->waiting[index], aligner->checkpoint, aligner->model, a,
        gqa_block_of(aligner->becomes, a), s, aligner->n_threads);

    if (st != GQA_OK ||
        (set != GQA_NO_SET &&
         n_waiting(aligner, set) < aligner->sets.items[set].n_sharing))
        return st;
    *job = (struct job){aligner, index, set};
    return set == GQA_NO_SET || aligner->sets.items[set].table == GQA_NO_PARAM
               ? gqa_jobs_start(aligner->jobs, run_job, job)
               : run_job(job);
}

/* Without tokens. */
static enum gqa_status take_weights(const struct aligner *aligner, size_t index)
{
    const struct gqa_attention *a = &aligner->model->attentions[index];
    struct gqa_head_statistics s;
    enum gqa_status st = gqa_head_statistics_create(&s, a);

    if (st == GQA_OK)
        st = gqa_statistics_of_weights(&s, aligner->checkpoint, aligner->model,
                                       a, aligner->n_threads);
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

const char *gqa_align_obstacle(const struct gqa_network *network,
                               const struct gqa_attention *a)
{
    const struct gqa_attention_block *block = gqa_block_of(network, a);

    if (!block)
        return NULL;
    if (block->k_norm.kind != GQA_NORM_NONE ||
        block->q_norm.kind != GQA_NORM_NONE)
        return "queries and keys are normed";
    if (block->sinks != GQA_NO_PARAM)
        return "query heads have sinks";
    if (block->rope && block->rope->first)
        return "queries and keys are rotated at their ends";
    return block->clip > 0 ? "queries, keys and values are clipped" : NULL;
}

enum gqa_status gqa_align_check(const struct gqa_network *network,
                                const struct gqa_attention *a)
{
    const char *obstacle = gqa_align_obstacle(network, a);

    return obstacle ? gqa_fail(GQA_ERR_UNSUPPORTED,
                               "%s, which no alignment passes: --method=mean "
                               "pools them",
                               obstacle)
                    : GQA_OK;
}

/* As many as have room, each with moments of keys and values, twice. */
static unsigned jobs_at_once(const struct aligner *aligner)
{
    uint64_t most = 1;

    for (size_t i = 0; i < aligner->model->n_attentions; i++) {
        const struct gqa_attention *a = &aligner->model->attentions[i];
        const uint64_t width = a->n_kv_heads * a->head_dim;

        most = gqa_max_u64(most, 4 * width * width * sizeof(double));
    }
    return (unsigned)gqa_min_u64(aligner->n_threads,
                                 gqa_max_u64(JOB_BYTES / most, 1));
}

/* Which heads share, and whether they may. */
static enum gqa_status prepare(struct aligner *aligner, bool *wanted,
                               const struct gqa_network *network,
                               const uint64_t *pooled,
                               const struct gqa_align_options *options)
{
    const struct gqa_model *model = aligner->model;
    struct gqa_alignment *alignment = aligner->alignment;
    const size_t n = model->n_attentions;
    enum gqa_status st;

    alignment->attentions = calloc(n, sizeof *alignment->attentions);
    alignment->tables = calloc(2 * n, sizeof *alignment->tables);
    aligner->waiting = calloc(n, sizeof *aligner->waiting);
    aligner->all = calloc(n, sizeof *aligner->all);
    if (!alignment->attentions || !alignment->tables || !aligner->waiting ||
        !aligner->all)
        return gqa_fail_nomem();
    alignment->n = n;
    for (size_t i = 0; i < n; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        wanted[i] =
            pooled[i] > 0 && (options->no_pooling || pooled[i] < a->n_kv_heads);
        if (!wanted[i])
            continue;
        alignment->attentions[i].source = a->n_kv_heads;
        alignment->attentions[i].pooled = pooled[i];
        if ((st = gqa_align_check(network, a)) != GQA_OK)
            return st;
    }
    return gqa_head_sets_make(&aligner->sets, network, wanted,
                              options->regroup && !options->no_pooling);
}

/* All attentions, by what runs or by their weights. */
static enum gqa_status take_all(struct aligner *aligner, const bool *wanted,
                                struct gqa_statistics_job *job)
{
    enum gqa_status st = gqa_jobs_create(&aligner->jobs, jobs_at_once(aligner));

    if (st != GQA_OK)
        return st;
    /* A job is a thread's work; a device of the host has it so already. */
    gqa_blas.set_num_threads(1);
    job->wanted = wanted;
    job->take = take;
    job->ctx = aligner;
    st = job->tokens ? gqa_statistics_collect(job)
                     : take_all_weights(aligner, wanted);
    return st == GQA_OK ? gqa_jobs_wait(aligner->jobs) : st;
}

enum gqa_status gqa_align(struct gqa_alignment **out,
                          struct gqa_checkpoint *checkpoint,
                          const struct gqa_model *model, const uint64_t *pooled,
                          const struct gqa_statistics_job *statistics,
                          const struct gqa_network *becomes,
                          const struct gqa_align_options *options)
{
    struct gqa_alignment *alignment = calloc(1, sizeof *alignment);
    bool *wanted = calloc(model->n_attentions, sizeof *wanted);
    struct aligner aligner = {.alignment = alignment,
                              .checkpoint = checkpoint,
                              .model = model,
                              .becomes = becomes,
                              .n_threads = options->n_threads};
    struct gqa_statistics_job job = *statistics;
    /* What is learnt goes on while jobs run. */
    enum gqa_status st = gqa_blas_load(
        jobs_at_once(&aligner) + (statistics->tokens ? options->n_threads : 1));

    if (!alignment || !wanted)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = prepare(&aligner, wanted, job.network, pooled, options);
    if (st == GQA_OK)
        st = take_all(&aligner, wanted, &job);
    gqa_jobs_free(aligner.jobs);
    for (size_t i = 0; aligner.waiting && i < model->n_attentions; i++)
        gqa_energies_clear(&aligner.waiting[i]);
    free(aligner.waiting);
    free(aligner.all);
    gqa_head_sets_clear(&aligner.sets);
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
        free(t->outputs);
        free(t->heads);
        gqa_spill_clear(&t->fitted_o);
        gqa_spill_clear(&t->fitted_q);
        gqa_spill_clear(&t->fitted_k);
        gqa_spill_clear(&t->fitted_v);
    }
    free(alignment->attentions);
    free(alignment->tables);
    free(alignment->divisors);
    free(alignment);
}
