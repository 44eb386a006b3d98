#include "inspect/similarity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/align.h"
#include "align/learn_heads.h"
#include "align/moments.h"
#include "align/sets.h"
#include "formats/model/regroup.h"
#include "runtime/blas.h"
#include "runtime/weights.h"

struct comparing {
    struct gqa_similarity *out;
    struct gqa_checkpoint *checkpoint;
    const struct gqa_model *model;
    const struct gqa_network *network; /* NULL: it cannot be run */
    const struct gqa_similarity_options *options;
};

double gqa_similarity_mean(const double *matrix, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            sum += matrix[i * n + j];
    return n > 1 ? sum / ((double)n * (double)(n - 1) / 2) : 1;
}

void gqa_similarity_put_mean(FILE *out, const double *matrix, size_t n)
{
    const double mean = gqa_similarity_mean(matrix, n);

    fprintf(out, "%.2f", fabs(mean) < 0.005 ? 0 : mean);
}

double gqa_similarity_least_kept(const struct gqa_similarity *similarity)
{
    double least = 1;

    for (size_t i = 0; i < similarity->n; i++) {
        const struct gqa_compared_heads *c = &similarity->attentions[i].alike;

        for (int part = 0; part < 2; part++)
            for (size_t k = 0; c->kept[part] && k < c->n * c->n; k++)
                least = fmin(least, c->kept[part][k]);
    }
    return least < 0.9 ? floor(least * 10) / 10
                       : fmin(floor(least * 100) / 100, 0.99);
}

/* The number of KV heads to show: what was asked for, or half of them, or as
 * many as come next. */
static uint64_t shown_heads(const struct comparing *c,
                            const struct gqa_attention *a)
{
    const uint64_t n = a->n_kv_heads;
    uint64_t shown = n / 2;

    if (c->options->groups)
        return c->options->groups < n ? c->options->groups : n;
    while (shown > 0 && !gqa_attention_can_have(a, shown))
        shown--;
    return shown ? shown : n;
}

static enum gqa_status add_choices(const struct comparing *c,
                                   const struct gqa_attention *a,
                                   struct gqa_similar_heads *heads)
{
    const uint64_t n = a->n_kv_heads, shown = shown_heads(c, a);
    size_t room = 0;
    enum gqa_status st = GQA_OK;

    for (uint64_t pooled = 1; pooled <= n; pooled++)
        room += gqa_attention_can_have(a, pooled);
    heads->choices = calloc(room + 1, sizeof *heads->choices);
    if (!heads->choices)
        return gqa_fail_nomem();
    for (uint64_t pooled = n; pooled > 0 && st == GQA_OK; pooled--) {
        if (!gqa_attention_can_have(a, pooled) ||
            (!c->options->all && pooled != n && pooled != shown))
            continue;
        if (pooled == shown)
            heads->shown = heads->n_choices;
        st = gqa_sharing_choose(&heads->choices[heads->n_choices++],
                                &heads->alike, pooled, heads->scores,
                                c->options->n_threads);
    }
    return st;
}

static enum gqa_status compare_with(void *ctx, size_t index,
                                    const struct gqa_head_statistics *s)
{
    const struct comparing *c = ctx;
    const struct gqa_attention *a = &c->model->attentions[index];
    struct gqa_similar_heads *heads = &c->out->attentions[index];
    const bool aligned = c->network && !gqa_align_obstacle(c->network, a);
    enum gqa_status st =
        gqa_compare_heads(&heads->alike, c->checkpoint, c->model, a,
                          c->network ? gqa_block_of(c->network, a) : NULL, s,
                          aligned, c->options->n_threads);

    if (st == GQA_OK && aligned &&
        gqa_learning_has_tokens(&c->options->learning))
        heads->scores =
            gqa_sharing_scores(c->network, a, heads->alike.likeness);
    if (st == GQA_OK && aligned)
        st = add_choices(c, a, heads);
    c->out->n_unaligned += !aligned;
    gqa_compared_heads_shrink(&heads->alike);
    if (st == GQA_ERR_FORMAT)
        st = gqa_fail_prefix(st,
                             "%s, %s attention of layer %" PRIu64 " of the %s",
                             gqa_checkpoint_path(c->checkpoint),
                             gqa_attention_kind_name(a->kind), a->layer,
                             gqa_stack_name(a->stack));
    return st;
}

static enum gqa_status compare_weights(struct comparing *c, size_t index)
{
    const struct gqa_attention *a = &c->model->attentions[index];
    struct gqa_head_statistics s;
    enum gqa_status st = gqa_head_statistics_create(&s, a);

    if (st == GQA_OK)
        st = gqa_statistics_of_weights(&s, c->checkpoint, c->model, a,
                                       c->options->n_threads);
    if (st == GQA_OK)
        st = compare_with(c, index, &s);
    gqa_head_statistics_clear(&s);
    return st;
}

/* What is read of an attention. */
static uint64_t bytes_of(const struct gqa_model *model,
                         const struct gqa_attention *a)
{
    const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v, &a->o};
    uint64_t bytes = 0;

    for (size_t i = 0; i < 4; i++) {
        const struct gqa_param *p = &model->params[slices[i]->weight];
        const uint64_t width = slices[i]->axis == 0 ? p->cols : p->rows;

        bytes += slices[i]->n_heads * a->head_dim * width *
                 (gqa_dtype_bits(p->dtype) / 8);
    }
    return bytes;
}

static enum gqa_status compare_all_weights(struct comparing *c,
                                           struct gqa_progress *bar)
{
    const struct gqa_model *model = c->model;
    enum gqa_status st = GQA_OK;
    uint64_t done = 0, all = 0;

    for (size_t i = 0; i < model->n_attentions; i++)
        all += bytes_of(model, &model->attentions[i]);
    gqa_progress_phase(bar, "comparing heads", GQA_PROGRESS_BYTES);
    for (size_t i = 0; i < model->n_attentions && st == GQA_OK; i++) {
        st = compare_weights(c, i);
        done += bytes_of(model, &model->attentions[i]);
        gqa_progress_update(bar, done, all);
    }
    return st;
}

static enum gqa_status compare_by_tokens(struct comparing *c,
                                         struct gqa_progress *bar,
                                         const bool *wanted, double *influence)
{
    struct gqa_checkpoint_weights weights = {c->checkpoint, c->model};
    struct gqa_learning learning = {.asked = &c->options->learning,
                                    .n_threads = c->options->n_threads,
                                    .network = c->network,
                                    .weights =
                                        gqa_checkpoint_weight_source(&weights),
                                    .bar = bar};
    struct gqa_tokens tokens = {NULL, 0};
    const struct gqa_learn_heads_job job = {.learning = &learning,
                                            .checkpoint = c->checkpoint,
                                            .tokens = &tokens,
                                            .wanted = wanted,
                                            .take = compare_with,
                                            .ctx = c,
                                            .influence = influence};
    enum gqa_status st = gqa_learning_open(&learning);

    if (st == GQA_ERR_UNSUPPORTED)
        st = gqa_fail_prefix(st, "%s", gqa_checkpoint_path(c->checkpoint));
    if (st == GQA_OK)
        st = gqa_learning_all_tokens(&tokens, &learning, 0);
    if (st == GQA_OK)
        st = gqa_learn_heads(&job);
    if (st == GQA_OK)
        c->out->n_tokens = gqa_tokens_n_positions(&tokens);
    gqa_tokens_clear(&tokens);
    gqa_learning_close(&learning);
    return st;
}

static enum gqa_status compare_all(struct comparing *c)
{
    const size_t n = c->model->n_attentions;
    double *influence = malloc((n + 1) * sizeof *influence);
    bool *wanted = malloc((n + 1) * sizeof *wanted);
    struct gqa_progress *bar = NULL;
    enum gqa_status st = gqa_progress_create(&bar, c->options->log_level);

    if (st == GQA_OK && (!influence || !wanted))
        st = gqa_fail_nomem();
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        influence[i] = 1;
        wanted[i] = true;
    }
    if (st == GQA_OK && gqa_learning_has_tokens(&c->options->learning))
        st = compare_by_tokens(c, bar, wanted, influence);
    else if (st == GQA_OK)
        st = compare_all_weights(c, bar);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        c->out->attentions[i].weight = influence[i];
    free(influence);
    free(wanted);
    gqa_progress_free(bar);
    return st;
}

/* --- What is asked for ---------------------------------------------------- */

static enum gqa_status check_groups(const struct comparing *c)
{
    const uint64_t groups = c->options->groups;

    for (size_t i = 0; i < c->model->n_attentions; i++) {
        const struct gqa_attention *a = &c->model->attentions[i];

        if (groups && groups < a->n_kv_heads &&
            !gqa_layout_takes(a->layout, groups))
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: the heads of the %s attention of layer "
                            "%" PRIu64 " of the %s lie in %d blocks, and "
                            "only multiples of that are possible, not "
                            "--groups %" PRIu64,
                            gqa_checkpoint_path(c->checkpoint),
                            gqa_attention_kind_name(a->kind), a->layer,
                            gqa_stack_name(a->stack), (int)GQA_HEAD_BLOCKS,
                            groups);
        if (groups && groups < a->n_kv_heads && a->n_kv_heads % groups != 0)
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: the %s attention of layer %" PRIu64
                            " of the %s has %" PRIu64
                            " KV heads, which --groups %" PRIu64
                            " does not divide",
                            gqa_checkpoint_path(c->checkpoint),
                            gqa_attention_kind_name(a->kind), a->layer,
                            gqa_stack_name(a->stack), a->n_kv_heads, groups);
    }
    return GQA_OK;
}

static enum gqa_status check_types(const struct comparing *c)
{
    for (size_t i = 0; i < c->model->n_attentions; i++) {
        const struct gqa_attention *a = &c->model->attentions[i];
        const size_t weights[] = {a->q.weight, a->k.weight, a->v.weight,
                                  a->o.weight};

        for (size_t j = 0; j < 4; j++) {
            const struct gqa_param *p = &c->model->params[weights[j]];

            if (!gqa_dtype_is_float(p->dtype))
                return gqa_fail(GQA_ERR_UNSUPPORTED,
                                "%s: %s is %s, and heads of that type are not "
                                "compared",
                                gqa_checkpoint_path(c->checkpoint), p->name,
                                gqa_dtype_name(p->dtype));
        }
    }
    return GQA_OK;
}

/* Why heads that cannot share do not. */
static enum gqa_status tell_unaligned(const struct comparing *c,
                                      const char *not_run)
{
    const char *obstacle = "";
    char text[128];

    if (c->out->n_unaligned == 0)
        return GQA_OK;
    for (size_t i = 0; !not_run && i < c->model->n_attentions; i++) {
        const char *found =
            gqa_align_obstacle(c->network, &c->model->attentions[i]);

        if (found)
            obstacle = found;
    }
    snprintf(text, sizeof text, "%s, which no alignment passes", obstacle);
    c->out->unaligned = strdup(not_run ? not_run : text);
    return c->out->unaligned ? GQA_OK : gqa_fail_nomem();
}

/* Where it cannot be run what it computes is not known: only how heads stand
 * is, and not_run why. */
static enum gqa_status make_network(struct gqa_network **network,
                                    char **not_run, const struct comparing *c)
{
    const enum gqa_status st = gqa_network_create(network, c->model);

    if (st == GQA_OK || gqa_learning_has_tokens(&c->options->learning) ||
        (st != GQA_ERR_UNSUPPORTED && st != GQA_ERR_FORMAT))
        return st == GQA_OK ? st
                            : gqa_fail_prefix(
                                  st, "%s", gqa_checkpoint_path(c->checkpoint));
    *not_run = strdup(gqa_error_message());
    return *not_run ? GQA_OK : gqa_fail_nomem();
}

enum gqa_status gqa_similarity_create(
    struct gqa_similarity **out, struct gqa_checkpoint *checkpoint,
    const struct gqa_model *model, const struct gqa_similarity_options *options)
{
    struct gqa_similarity *similarity = calloc(1, sizeof *similarity);
    struct comparing c = {.out = similarity,
                          .checkpoint = checkpoint,
                          .model = model,
                          .options = options};
    struct gqa_network *network = NULL;
    char *not_run = NULL;
    enum gqa_status st;

    if (!similarity)
        return gqa_fail_nomem();
    similarity->n = model->n_attentions;
    similarity->attentions =
        calloc(similarity->n + 1, sizeof *similarity->attentions);
    st = similarity->attentions ? check_groups(&c) : gqa_fail_nomem();
    if (st == GQA_OK)
        st = check_types(&c);
    if (st == GQA_OK)
        st = make_network(&network, &not_run, &c);
    c.network = network;
    if (st == GQA_OK)
        st = gqa_blas_load(options->n_threads);
    if (st == GQA_OK)
        st = compare_all(&c);
    if (st == GQA_OK)
        st = tell_unaligned(&c, not_run);
    free(not_run);
    gqa_network_free(network);
    if (st == GQA_OK) {
        *out = similarity;
        similarity = NULL;
    }
    gqa_similarity_free(similarity);
    return st;
}

void gqa_similarity_free(struct gqa_similarity *similarity)
{
    if (!similarity)
        return;
    for (size_t i = 0; similarity->attentions && i < similarity->n; i++) {
        struct gqa_similar_heads *heads = &similarity->attentions[i];

        gqa_compared_heads_clear(&heads->alike);
        for (size_t k = 0; k < heads->n_choices; k++)
            free(heads->choices[k].heads);
        free(heads->choices);
    }
    free(similarity->attentions);
    free(similarity->unaligned);
    free(similarity);
}
