#include "verify/heads_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/model/attentions.h"
#include "verify/head_runs.h"

static const struct gqa_attention *attention_of(
    const struct gqa_subject *subject, size_t i)
{
    return &subject->model->attentions[i];
}

struct gqa_head_pair gqa_head_pair_make(const struct gqa_heads_check *check,
                                        const struct gqa_slice *from,
                                        const struct gqa_slice *to,
                                        bool is_bias, bool is_value)
{
    const struct gqa_model *a = check->original->model;
    const struct gqa_model *b = check->converted->model;

    return (struct gqa_head_pair){
        .original = check->original->checkpoint,
        .converted = check->converted->checkpoint,
        .original_model = a,
        .from = &a->params[is_bias ? from->bias : from->weight],
        .to = &b->params[is_bias ? to->bias : to->weight],
        .from_slice = from,
        .to_slice = to,
        .axis = is_bias ? 0 : to->axis,
        .head_dim = a->attentions[check->attention].head_dim,
        .is_bias = is_bias,
        .is_value = is_value,
        .norm = from == &a->attentions[check->attention].k ? check->norm : NULL,
    };
}

/* A bias that is float32, as GGUF files and what is made of them have it, holds
 * numbers of the model's half type. */
static void pass_half(struct gqa_head_pair *pair,
                      const struct gqa_heads_check *check)
{
    const enum gqa_dtype *type = check->n_through > 0
                                     ? &check->through[check->n_through - 1]
                                     : &pair->from->dtype;

    if (!check->through || pair->to->dtype != GQA_F32 ||
        !gqa_dtype_is_half(*type))
        return;
    pair->through = type;
    pair->n_through = 1;
}

static void add_pairs(struct gqa_head_pairs *pairs,
                      const struct gqa_heads_check *check,
                      const struct gqa_slice *from, const struct gqa_slice *to,
                      bool is_value)
{
    pairs->items[pairs->n++] =
        gqa_head_pair_make(check, from, to, false, is_value);
    if (from->bias != GQA_NO_PARAM && to->bias != GQA_NO_PARAM) {
        struct gqa_head_pair *bias = &pairs->items[pairs->n++];

        *bias = gqa_head_pair_make(check, from, to, true, is_value);
        pass_half(bias, check);
    }
}

void gqa_head_pairs_make(struct gqa_head_pairs *out,
                         const struct gqa_heads_check *check)
{
    const struct gqa_attention *a =
        attention_of(check->original, check->attention);
    const struct gqa_attention *b =
        attention_of(check->converted, check->attention);

    out->n = 0;
    add_pairs(out, check, &a->k, &b->k, false);
    add_pairs(out, check, &a->v, &b->v, true);
}

uint64_t gqa_head_group(const struct gqa_head_pair *pair,
                        const struct gqa_hypothesis *h, uint64_t head)
{
    return head / (pair->to_slice->n_heads / gqa_hypothesis_groups(h));
}

const char *gqa_hypothesis_text(char *buf, size_t n,
                                const struct gqa_hypothesis *hypothesis,
                                const struct gqa_attention *original,
                                const struct gqa_attention *converted)
{
    static const char *const names[] = {
        [GQA_POOL_MEAN] = "mean over contiguous groups",
        [GQA_POOL_FIRST] = "first head of contiguous groups",
        [GQA_POOL_RANDOM] = "random heads",
        [GQA_POOL_FLOAT32] = "mean over contiguous groups",
        [GQA_POOL_WITHIN] = "mean over contiguous groups",
        [GQA_POOL_STRIDED] = "mean over strided groups, not contiguous ones",
        [GQA_POOL_NARROW] = "mean rounded more than once",
        [GQA_POOL_PERMUTED] = "rows permuted from half to interleaved RoPE",
        [GQA_POOL_UNPERMUTED] = "rows permuted from interleaved to half RoPE",
    };
    const uint64_t pooled = gqa_hypothesis_groups(hypothesis);
    const bool one = pooled == original->n_kv_heads;

    if (hypothesis->n_then > 0) {
        snprintf(buf, n, "%zu conversions one after another%s",
                 hypothesis->n_then + 1,
                 converted->n_kv_heads > pooled ? ", expanded" : "");
        return buf;
    }
    snprintf(buf, n, "%s%s%s%s",
             one && hypothesis->pooling <= GQA_POOL_RANDOM
                 ? "not grouped"
                 : names[hypothesis->pooling],
             hypothesis->pooling == GQA_POOL_NARROW ? ", in " : "",
             hypothesis->pooling == GQA_POOL_NARROW
                 ? gqa_dtype_name(hypothesis->step)
                 : "",
             converted->n_kv_heads > pooled ? ", expanded" : "");
    return buf;
}

/* --- Search --------------------------------------------------------------- */

struct fits {
    uint64_t n;
    struct gqa_difference first; /* of those that do not */
    size_t at;                   /* its pair */
    bool zero_signs;
};

/* Of pair `i`, beside those of the others that have been counted. */
static enum gqa_status count_pair(struct gqa_recompute *r, struct fits *fits,
                                  const struct gqa_head_pairs *pairs, size_t i,
                                  const struct gqa_hypothesis *h)
{
    const struct gqa_head_pair *pair = &pairs->items[i];

    for (uint64_t k = 0; k < pair->to_slice->n_heads; k++) {
        struct gqa_difference d;
        const enum gqa_status st =
            gqa_recompute_head(r, &d, pair, h, k, gqa_head_group(pair, h, k));

        if (st != GQA_OK)
            return st;
        fits->zero_signs |= d.zero_signs;
        if (!d.found) {
            fits->n++;
        } else if (!fits->first.found) {
            fits->first = d;
            fits->at = i;
        }
    }
    return GQA_OK;
}

/* Without a recipe, or with one that leaves out how it began: each way that
 * the heads could have been made. */
struct search {
    struct gqa_heads_check *check;
    struct gqa_recompute *recompute;
    const struct gqa_head_pairs *pairs;
    uint64_t n_from, n_to, all; /* KV heads; heads of all pairs */
    uint64_t best;
    bool any;
};

/* Takes the hypotheses of the pairs if they fit more heads than the best so
 * far. */
static void take_better(struct search *s, const struct gqa_hypothesis *h,
                        uint64_t n_fits)
{
    if (s->any && n_fits <= s->best)
        return;
    memcpy(s->check->of_pair, h, s->pairs->n * sizeof *h);
    s->check->hypothesis = h[0];
    s->best = n_fits;
    s->any = true;
}

static enum gqa_status try_way(struct search *s, struct gqa_hypothesis h)
{
    struct gqa_hypothesis all[GQA_MAX_PAIRS];
    struct fits fits = {.n = 0};
    enum gqa_status st = GQA_OK;

    h.then = s->check->hypothesis.then;
    h.n_then = s->check->hypothesis.n_then;
    h.keeps_dtype = true;
    for (size_t i = 0; i < s->pairs->n && st == GQA_OK; i++) {
        all[i] = h;
        st = count_pair(s->recompute, &fits, s->pairs, i, &h);
    }
    if (st == GQA_OK)
        take_better(s, all, fits.n);
    return st;
}

static bool is_possible(const struct search *s, uint64_t g)
{
    return g > 0 && s->n_from % g == 0 && s->n_to % g == 0;
}

static enum gqa_status try_exact(struct search *s)
{
    static const enum gqa_pooling ways[] = {GQA_POOL_MEAN, GQA_POOL_FIRST};
    enum gqa_status st = GQA_OK;

    for (uint64_t g = s->n_from < s->n_to ? s->n_from : s->n_to; g > 0; g--)
        for (size_t i = 0; i < 2 && is_possible(s, g); i++) {
            /* Groups of one: their mean is their first. */
            if (g == s->n_from && ways[i] != GQA_POOL_MEAN)
                continue;
            st = try_way(
                s, (struct gqa_hypothesis){.pooling = ways[i], .pooled = g});
            if (st != GQA_OK || s->best == s->all)
                return st;
        }
    return st;
}

enum gqa_status gqa_heads_measure(struct gqa_measure *measure,
                                  struct gqa_recompute *r,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t k = 0; k < pair->to_slice->n_heads && st == GQA_OK; k++)
        st = gqa_recompute_measure(r, measure, pair, h, k,
                                   gqa_head_group(pair, h, k));
    return st;
}

/*
 * Where every float32 sum is as good as any other, one wrong bit is within
 * what they differ by. But whoever added up a tensor did so in one order: an
 * order, or the exact mean, that nearly all elements agree with was it, and
 * those that do not are wrong. A bias has few elements: where its weights were
 * added up in an order that is known (has_order), one wrong one is enough.
 */
static enum gqa_status prefer_order(struct search *s,
                                    struct gqa_hypothesis *best,
                                    const struct gqa_head_pair *pair,
                                    bool has_order)
{
    const double few = 0.01;
    struct gqa_hypothesis h = *best;
    enum gqa_status st = GQA_OK;

    h.pooling = GQA_POOL_MEAN;

    for (int order = -1; order < GQA_N_SUM_ORDERS && st == GQA_OK; order++) {
        struct gqa_measure m = {.n_all = 0};

        if (order >= 0) {
            h.pooling = GQA_POOL_FLOAT32;
            h.order = (enum gqa_sum_order)order;
        }
        st = gqa_heads_measure(&m, s->recompute, pair, &h);
        if (st == GQA_OK &&
            ((double)(m.n_all - m.n_equal) <= few * (double)m.n_all ||
             (has_order && m.n_all - m.n_equal <= 1))) {
            *best = h;
            return GQA_OK;
        }
    }
    return st;
}

/* Whether h fits more heads of the pair than *best, which it becomes then. */
static enum gqa_status try_on_pair(struct search *s, size_t i,
                                   struct gqa_hypothesis *best,
                                   uint64_t *n_best, struct gqa_hypothesis h)
{
    struct fits fits = {.n = 0};
    const enum gqa_status st = count_pair(s->recompute, &fits, s->pairs, i, &h);

    if (st == GQA_OK && fits.n > *n_best) {
        *best = h;
        *n_best = fits.n;
    }
    return st;
}

/* The means of a pair's groups as they may have been made, all stored in one
 * way. has_order: as of prefer_order(). */
static enum gqa_status search_stored(struct search *s, size_t i,
                                     struct gqa_hypothesis *best,
                                     uint64_t *n_best, struct gqa_hypothesis h,
                                     bool has_order)
{
    const struct gqa_head_pair *pair = &s->pairs->items[i];
    const uint64_t all = pair->to_slice->n_heads;
    const enum gqa_dtype dtype =
        h.is_widened ? pair->from->dtype : pair->to->dtype;
    enum gqa_status st = try_on_pair(s, i, best, n_best, h);

    /* Wider numbers are not theirs. */
    if (gqa_dtype_bits(dtype) > 32)
        return st;
    h.pooling = GQA_POOL_FLOAT32;
    for (int order = 0;
         order < GQA_N_SUM_ORDERS && st == GQA_OK && *n_best < all; order++) {
        h.order = (enum gqa_sum_order)order;
        st = try_on_pair(s, i, best, n_best, h);
    }
    /* Two numbers can be added in one order only. */
    if (st != GQA_OK || *n_best == all || s->n_from / h.pooled < 3)
        return st;
    h.pooling = GQA_POOL_WITHIN;
    st = try_on_pair(s, i, best, n_best, h);
    if (st == GQA_OK && *n_best == all && dtype == GQA_F32) {
        st = prefer_order(s, best, pair, has_order);
        if (best->pooling != GQA_POOL_WITHIN)
            *n_best = all - 1;
    }
    return st;
}

/* best: of all pairs; before a bias are its weights. */
static enum gqa_status search_pair(struct search *s, size_t i,
                                   struct gqa_hypothesis *best,
                                   uint64_t *n_best, uint64_t g)
{
    const struct gqa_head_pair *pair = &s->pairs->items[i];
    const bool has_order =
        i > 0 && pair->is_bias && best[i - 1].pooling != GQA_POOL_WITHIN;
    struct gqa_hypothesis h = {.pooling = GQA_POOL_MEAN, .pooled = g};
    enum gqa_status st;

    best[i] = h;
    *n_best = 0;
    st = search_stored(s, i, &best[i], n_best, h, has_order);
    h.is_widened =
        gqa_dtype_bits(pair->to->dtype) > gqa_dtype_bits(pair->from->dtype);
    if (st == GQA_OK && h.is_widened && *n_best < pair->to_slice->n_heads)
        st = search_stored(s, i, &best[i], n_best, h, has_order);
    return st;
}

static enum gqa_status try_float32_of(struct search *s, uint64_t g)
{
    struct gqa_hypothesis best[GQA_MAX_PAIRS] = {{.pooled = 0}};
    uint64_t n_fits = 0;

    for (size_t i = 0; i < s->pairs->n; i++) {
        uint64_t n = 0;
        const enum gqa_status st = search_pair(s, i, best, &n, g);

        if (st != GQA_OK)
            return st;
        n_fits += n;
    }
    take_better(s, best, n_fits);
    return GQA_OK;
}

/* Means as others make them. */
static enum gqa_status try_float32(struct search *s)
{
    enum gqa_status st = GQA_OK;

    if (s->check->hypothesis.n_then > 0 ||
        gqa_dtype_bits(s->pairs->items[0].from->dtype) > 32)
        return GQA_OK;
    for (uint64_t g = s->n_from < s->n_to ? s->n_from : s->n_to;
         g > 0 && st == GQA_OK && s->best < s->all; g--)
        if (is_possible(s, g) && g < s->n_from)
            st = try_float32_of(s, g);
    return st;
}

/* Where not all fits, heads that are there several times tell how many were
 * meant: some may be what they would be if none were grouped. */
static enum gqa_status guess_groups(struct search *s)
{
    struct gqa_hypothesis h = {.pooling = GQA_POOL_MEAN, .keeps_dtype = true};
    enum gqa_status st = gqa_head_runs(&h.pooled, &s->pairs->items[0]);

    if (st != GQA_OK || h.pooled >= s->check->hypothesis.pooled ||
        !is_possible(s, h.pooled))
        return st;
    for (size_t i = 0; i < s->pairs->n; i++)
        s->check->of_pair[i] = h;
    s->check->hypothesis = h;
    return GQA_OK;
}

static enum gqa_status find_best(struct gqa_heads_check *check,
                                 struct gqa_recompute *r,
                                 const struct gqa_head_pairs *pairs)
{
    const struct gqa_hypothesis *h = &check->hypothesis;
    struct search s = {
        .check = check,
        .recompute = r,
        .pairs = pairs,
        .n_from = pairs->items[0].from_slice->n_heads,
        .n_to = h->n_then > 0 ? h->then[0].source
                              : pairs->items[0].to_slice->n_heads,
        .all = pairs->items[0].to_slice->n_heads * pairs->n,
    };
    enum gqa_status st = try_exact(&s);

    if (st == GQA_OK && s.best < s.all)
        st = try_float32(&s);
    return st == GQA_OK && s.best < s.all && h->n_then == 0 ? guess_groups(&s)
                                                            : st;
}

/* Queries that share a tensor with keys and values. */
static enum gqa_status check_queries(struct gqa_heads_check *check,
                                     struct gqa_recompute *r)
{
    const struct gqa_attention *a =
        attention_of(check->original, check->attention);
    const struct gqa_attention *b =
        attention_of(check->converted, check->attention);

    for (int bias = 0; bias < 2; bias++) {
        if (bias && (a->q.bias == GQA_NO_PARAM || b->q.bias == GQA_NO_PARAM))
            break;
        for (uint64_t h = 0; h < a->n_heads; h++) {
            struct gqa_head_pair pair =
                gqa_head_pair_make(check, &a->q, &b->q, bias != 0, false);
            struct gqa_difference d;
            enum gqa_status st;

            pair.through = check->through;
            pair.n_through = check->n_through;
            st = gqa_recompute_copy(r, &d, &pair, h);
            if (st != GQA_OK)
                return st;
            if (!d.found)
                continue;
            snprintf(check->unchanged.text, sizeof check->unchanged.text,
                     "'%.300s', query head %" PRIu64 ", element %" PRIu64
                     ": %.9g, in the original %.9g",
                     pair.to->name, h, d.element, d.actual, d.expected);
            return GQA_OK;
        }
    }
    return GQA_OK;
}

static void describe(struct gqa_heads_check *check)
{
    const struct gqa_attention *a =
        attention_of(check->original, check->attention);
    const struct gqa_difference *d = &check->first;

    snprintf(check->grouped.text, sizeof check->grouped.text,
             "'%.300s' (%s), %s head %" PRIu64 ", element %" PRIu64
             ": %.9g, but must be %.9g",
             check->pair.to->name,
             gqa_attention_label(a->stack, a->kind, a->layer),
             check->pair.is_value ? "value" : "key", d->head, d->element,
             d->actual, d->expected);
}

enum gqa_status gqa_heads_check(struct gqa_heads_check *check,
                                struct gqa_recompute *recompute)
{
    struct gqa_head_pairs pairs;
    struct fits fits = {.n = 0};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < GQA_MAX_PAIRS; i++)
        check->of_pair[i] = check->hypothesis;
    gqa_head_pairs_make(&pairs, check);
    if (attention_of(check->original, check->attention)->q.weight ==
        attention_of(check->original, check->attention)->k.weight)
        st = check_queries(check, recompute);
    if (st == GQA_OK && !check->has_recipe)
        st = find_best(check, recompute, &pairs);
    for (size_t i = 0; i < pairs.n && st == GQA_OK; i++)
        st = count_pair(recompute, &fits, &pairs, i, &check->of_pair[i]);
    if (st != GQA_OK)
        return st;
    check->zero_signs |= fits.zero_signs;
    check->is_wrong = fits.first.found;
    check->first = fits.first;
    check->pair = pairs.items[fits.at];
    if (check->is_wrong) {
        check->hypothesis = check->of_pair[fits.at];
        describe(check);
    }
    return GQA_OK;
}
