#include "verify/weights_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/workers.h"
#include "formats/families/family.h"
#include "formats/formats.h"
#include "verify/comparison.h"
#include "verify/kept_transforms.h"
#include "verify/mistakes.h"
#include "verify/replay_table.h"

enum { MAX_THREADS = 16 };

static bool same_shape(const struct gqa_param *a, const struct gqa_param *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0 &&
           a->rows == b->rows && a->cols == b->cols;
}

static void mark_kv(struct gqa_comparison *c)
{
    for (size_t i = 0; i < c->converted->model->n_attentions; i++) {
        const struct gqa_attention *a = &c->converted->model->attentions[i];
        const size_t kv[] = {a->k.weight, a->k.bias, a->v.weight, a->v.bias,
                             a->full_norms ? a->k_norm : GQA_NO_PARAM};

        for (size_t k = 0; k < 5; k++)
            if (kv[k] != GQA_NO_PARAM)
                c->is_kv[kv[k]] = true;
    }
}

static void mark_turned(struct gqa_comparison *c)
{
    for (size_t i = 0; i < c->converted->model->n_attentions; i++) {
        const struct gqa_attention *a = &c->converted->model->attentions[i];
        const size_t turned[] = {a->q.weight, a->q.bias, a->o.weight};

        for (size_t k = 0;
             c->converted->recipe && c->recipe.aligned[i] && k < 3; k++)
            if (turned[k] != GQA_NO_PARAM)
                c->is_turned[turned[k]] = true;
    }
}

static void mark_trained(struct gqa_comparison *c)
{
    for (size_t i = 0; i < c->converted->model->n_params; i++)
        c->is_trained[i] = !c->options.trained &&
                           gqa_recipe_is_trained(
                               &c->recipe, c->converted->model->params[i].name);
}

static bool is_trained(const struct gqa_comparison *c,
                       const struct gqa_slice *slice)
{
    return (slice->weight != GQA_NO_PARAM && c->is_trained[slice->weight]) ||
           (slice->bias != GQA_NO_PARAM && c->is_trained[slice->bias]);
}

bool gqa_comparison_is_trained(const struct gqa_comparison *c, size_t i)
{
    const struct gqa_attention *a = &c->converted->model->attentions[i];

    return is_trained(c, &a->k) || is_trained(c, &a->v);
}

static bool is_norm_trained(const struct gqa_comparison *c, size_t i)
{
    const struct gqa_attention *a = &c->converted->model->attentions[i];

    return c->options.trained || (a->full_norms && c->is_trained[a->k_norm]);
}

/* Those of another shape cannot be compared. */
static void check_shapes(struct gqa_comparison *c)
{
    const struct gqa_model *b = c->converted->model;

    for (size_t i = 0; i < b->n_params; i++) {
        const size_t k = c->pairing.partner[i];

        if (k == GQA_NO_PARAM || c->is_kv[i] ||
            same_shape(&c->original->model->params[k], &b->params[i]))
            continue;
        gqa_note(&c->pairing.finding,
                 "'%.300s' has another shape than in the original",
                 b->params[i].name);
        c->pairing.partner[i] = GQA_NO_PARAM;
    }
}

static bool is_gguf(const struct gqa_subject *s)
{
    return gqa_checkpoint_n_sources(s->checkpoint) > 0 &&
           gqa_checkpoint_source(s->checkpoint, 0)->format == &gqa_format_gguf;
}

/* Norms that are times 1 + weight stand as that in GGUF files, in float32. */
static bool may_have_one_more(const struct gqa_comparison *c,
                              const struct gqa_param *to)
{
    return c->converted->model->family->norm.one_plus && to->rank == 1 &&
           to->dtype == GQA_F32;
}

/* The values that --trained is for are not those that were written. */
static enum gqa_status check_digest(struct gqa_comparison *c, size_t i)
{
    const struct gqa_param *to = &c->converted->model->params[i];

    if (!c->converted->recipe || c->options.trained)
        return GQA_OK;
    return gqa_digest_check(&c->digested[i],
                            &(const struct gqa_digest_pair){
                                .original = c->original,
                                .converted = c->converted,
                                .pairing = &c->pairing,
                                .recipe = &c->recipe,
                                .param = i,
                                .follows = c->follows[i] != GQA_FOLLOWS_NONE,
                                .may_have_one_more = may_have_one_more(c, to) &&
                                                     is_gguf(c->converted)});
}

static enum gqa_status check_param(struct gqa_comparison *c, size_t i,
                                   struct gqa_recompute *recompute)
{
    const struct gqa_param *to = &c->converted->model->params[i];
    struct gqa_head_pair pair = {.original = c->original->checkpoint,
                                 .converted = c->converted->checkpoint,
                                 .to = to,
                                 .through = c->recipe.dtypes,
                                 .n_through = c->recipe.n_dtypes};
    struct gqa_difference d;
    enum gqa_status st;

    if (c->is_kv[i] || c->is_trained[i] ||
        (c->is_turned[i] && !c->options.trained) ||
        c->pairing.partner[i] == GQA_NO_PARAM)
        return GQA_OK;
    pair.from = &c->original->model->params[c->pairing.partner[i]];
    if (c->follows[i] != GQA_FOLLOWS_NONE && !c->options.trained)
        return gqa_table_replay(&c->params[i], &(const struct gqa_table_pair){
                                                   .original = pair.original,
                                                   .converted = pair.converted,
                                                   .from = pair.from,
                                                   .to = to,
                                                   .recipe = &c->recipe,
                                                   .model = c->converted->model,
                                                   .attention = c->follows[i]});
    if (pair.from->dtype != to->dtype &&
        (!gqa_dtype_is_float(pair.from->dtype) ||
         !gqa_dtype_is_float(to->dtype)))
        return GQA_OK; /* a failure of "parameters" */
    if (!gqa_dtype_is_float(to->dtype))
        pair.n_through = 0;
    if (gqa_dtype_bits(to->dtype) % 8 != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s': %s cannot be verified",
                        to->name, gqa_dtype_name(to->dtype));
    st = gqa_recompute_whole(
        recompute, &d, c->options.trained ? &c->measures[i] : NULL, &pair);
    if (st == GQA_OK && d.found && !c->options.trained &&
        may_have_one_more(c, to)) {
        pair.one_more = true;
        st = gqa_recompute_whole(recompute, &d, NULL, &pair);
        if (st == GQA_OK && !d.found)
            atomic_store(&c->near_one, true);
    }
    if (st != GQA_OK)
        return st;
    c->changed[i] = d.changed;
    if (d.zero_signs)
        atomic_store(&c->zero_signs, true);
    if (d.found)
        gqa_note(&c->params[i],
                 "'%.300s', element %" PRIu64 ": %.9g, in the original %.9g",
                 to->name, d.element, d.actual, d.expected);
    return GQA_OK;
}

static enum gqa_status check_tensor(struct gqa_comparison *c, size_t i,
                                    struct gqa_recompute *recompute)
{
    const enum gqa_status st = check_digest(c, i);

    return st == GQA_OK ? check_param(c, i, recompute) : st;
}

static enum gqa_status check_aligned(struct gqa_comparison *c, size_t i)
{
    const struct gqa_attention *a = &c->converted->model->attentions[i];

    return gqa_replay(
        &c->replayed[i],
        &(const struct gqa_replay){.original = c->original,
                                   .converted = c->converted,
                                   .recipe = &c->recipe,
                                   .attention = i,
                                   .q_is_trained = is_trained(c, &a->q),
                                   .o_is_trained = is_trained(c, &a->o)});
}

static enum gqa_status check_heads(struct gqa_comparison *c, size_t i,
                                   struct gqa_recompute *recompute)
{
    struct gqa_head_pairs pairs;
    enum gqa_status st;

    if (c->converted->recipe && !c->recipe.fits[i])
        return GQA_OK;
    if (gqa_comparison_is_trained(c, i))
        return GQA_OK;
    if (c->converted->recipe && c->recipe.aligned[i])
        return c->options.trained ? GQA_OK : check_aligned(c, i);
    st = gqa_norm_read(&c->norms[i], c->original, i);
    if (st != GQA_OK)
        return st;
    c->heads[i].norm = c->norms[i].weights;
    st = gqa_heads_check(&c->heads[i], recompute);
    if (st == GQA_OK && c->norms[i].n && !is_norm_trained(c, i))
        st = gqa_norm_check(&c->heads[i].grouped, &c->norms[i], &c->heads[i]);
    if (st != GQA_OK || !c->options.trained)
        return st;
    gqa_head_pairs_make(&pairs, &c->heads[i]);
    for (size_t k = 0; k < pairs.n && st == GQA_OK; k++)
        st = gqa_heads_measure(&c->moved[i], recompute, &pairs.items[k],
                               &c->heads[i].of_pair[k]);
    return st;
}

static enum gqa_status work(void *ctx, unsigned worker)
{
    struct gqa_comparison *c = ctx;
    const size_t n_attentions = c->converted->model->n_attentions;
    const size_t n = n_attentions + c->converted->model->n_params;
    struct gqa_recompute *recompute = NULL;
    enum gqa_status st = gqa_recompute_create(&recompute);

    (void)worker;
    while (st == GQA_OK) {
        const size_t i = atomic_fetch_add(&c->next, 1);

        if (i >= n)
            break;
        st = i >= n_attentions ? check_tensor(c, i - n_attentions, recompute)
                               : check_heads(c, i, recompute);
    }
    if (st != GQA_OK) /* the others need not go on */
        atomic_store(&c->next, n);
    gqa_recompute_free(recompute);
    return st;
}

/* The first that is wrong, since its cause alone is told. */
static enum gqa_status explain(struct gqa_comparison *c)
{
    struct gqa_recompute *recompute;
    enum gqa_status st = GQA_OK;
    size_t i = 0;

    while (i < c->converted->model->n_attentions && !c->heads[i].is_wrong &&
           !c->heads[i].unchanged.text[0])
        i++;
    if (i == c->converted->model->n_attentions || c->options.trained)
        return GQA_OK;
    st = gqa_recompute_create(&recompute);
    if (st == GQA_OK)
        st = gqa_mistakes_explain(&c->heads[i], recompute);
    gqa_recompute_free(recompute);
    return st;
}

static enum gqa_status prepare(struct gqa_comparison *c)
{
    const struct gqa_model *b = c->converted->model;
    enum gqa_status st = GQA_OK;

    mark_kv(c);
    if (c->converted->recipe)
        st = gqa_recipe_read(&c->recipe, c->original, c->converted);
    if (st == GQA_OK)
        st = gqa_pairing_make(&c->pairing, c->original, c->converted);
    if (st != GQA_OK)
        return st;
    check_shapes(c);
    mark_turned(c);
    mark_trained(c);
    for (size_t i = 0; i < b->n_params; i++)
        c->follows[i] = GQA_FOLLOWS_NONE;
    if (c->converted->recipe)
        st = gqa_transforms_check(&c->recipe.finding, c->converted, &c->recipe);
    if (st == GQA_OK && c->converted->recipe)
        st = gqa_tables_find(c->follows, &c->recipe.finding, b, &c->recipe);
    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < b->n_attentions; i++) {
        c->heads[i].original = c->original;
        c->heads[i].converted = c->converted;
        c->heads[i].attention = i;
        if (!c->converted->recipe || !c->recipe.fits[i])
            continue;
        c->heads[i].through = c->recipe.dtypes;
        c->heads[i].n_through = c->recipe.n_dtypes;
        c->heads[i].has_recipe = c->recipe.is_whole;
        c->heads[i].hypothesis = gqa_recipe_hypothesis(
            &c->recipe, i, c->original->model->attentions[i].n_kv_heads);
    }
    return GQA_OK;
}

static enum gqa_status compare(struct gqa_report *report,
                               struct gqa_comparison *c)
{
    const unsigned n = c->options.n_threads;
    const double start = gqa_clock_s();
    enum gqa_status st = prepare(c);

    if (st == GQA_OK)
        st = gqa_workers_run(n < MAX_THREADS ? n : MAX_THREADS, work, c);
    if (st == GQA_OK)
        st = explain(c);
    if (st != GQA_OK)
        return st;
    gqa_compare_dtypes(c);
    c->seconds = gqa_clock_s() - start;
    gqa_clock_log("comparing the weights", start, 0);
    return gqa_comparison_report(report, c);
}

static enum gqa_status add_skipped(struct gqa_report *report)
{
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = "unchanged",
                              .verdict = GQA_SKIPPED,
                              .detail = "the file is not understood"};
    enum gqa_status st = gqa_report_add(report, &check);

    check.name = "grouped";
    return st == GQA_OK ? gqa_report_add(report, &check) : st;
}

static bool allocate(struct gqa_comparison *c)
{
    const size_t n_params = c->converted->model->n_params + 1;
    const size_t n_attentions = c->converted->model->n_attentions + 1;

    c->is_kv = calloc(n_params, sizeof *c->is_kv);
    c->params = calloc(n_params, sizeof *c->params);
    c->digested = calloc(n_params, sizeof *c->digested);
    c->measures = calloc(n_params, sizeof *c->measures);
    c->changed = calloc(n_params, sizeof *c->changed);
    c->is_turned = calloc(n_params, sizeof *c->is_turned);
    c->is_trained = calloc(n_params, sizeof *c->is_trained);
    c->heads = calloc(n_attentions, sizeof *c->heads);
    c->moved = calloc(n_attentions, sizeof *c->moved);
    c->norms = calloc(n_attentions, sizeof *c->norms);
    c->replayed = calloc(n_attentions, sizeof *c->replayed);
    c->follows = calloc(n_params, sizeof *c->follows);
    return c->digested && c->follows && c->replayed && c->is_kv &&
           c->is_turned && c->is_trained && c->params && c->measures &&
           c->changed && c->heads && c->moved && c->norms;
}

static void clear(struct gqa_comparison *c)
{
    gqa_pairing_free(&c->pairing);
    gqa_recipe_free(&c->recipe);
    free(c->is_kv);
    free(c->is_turned);
    free(c->is_trained);
    free(c->params);
    free(c->digested);
    free(c->measures);
    free(c->changed);
    free(c->heads);
    for (size_t i = 0; c->norms && i < c->converted->model->n_attentions; i++)
        gqa_norm_clear(&c->norms[i]);
    free(c->norms);
    free(c->moved);
    free(c->replayed);
    free(c->follows);
}

enum gqa_status gqa_weights_check(struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_subject *converted,
                                  const struct gqa_weights_options *options)
{
    struct gqa_comparison c = {
        .original = original, .converted = converted, .options = *options};
    enum gqa_status st;

    if (!converted->model)
        return add_skipped(report);
    if ((st = gqa_compare_models(&c)) != GQA_OK)
        return st;
    st = allocate(&c) ? compare(report, &c) : gqa_fail_nomem();
    clear(&c);
    return st;
}
