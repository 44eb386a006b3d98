#include "verify/heads_check.h"

#include <inttypes.h>
#include <stdio.h>

#include "formats/model/attentions.h"

enum { MAX_PAIRS = 4 };

/* The weights of k and v, and their biases where there are any. */
struct pairs {
    struct gqa_head_pair items[MAX_PAIRS];
    size_t n;
};

static const struct gqa_attention *attention_of(
    const struct gqa_subject *subject, size_t i)
{
    return &subject->model->attentions[i];
}

static struct gqa_head_pair make_pair(const struct gqa_heads_check *check,
                                      const struct gqa_slice *from,
                                      const struct gqa_slice *to, bool is_bias,
                                      bool is_value)
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
    };
}

static void add_pairs(struct pairs *pairs, const struct gqa_heads_check *check,
                      const struct gqa_slice *from, const struct gqa_slice *to,
                      bool is_value)
{
    pairs->items[pairs->n++] = make_pair(check, from, to, false, is_value);
    if (from->bias != GQA_NO_PARAM && to->bias != GQA_NO_PARAM)
        pairs->items[pairs->n++] = make_pair(check, from, to, true, is_value);
}

/* Group of KV head `head` of the converted checkpoint. */
static uint64_t group_of(const struct gqa_head_pair *pair,
                         const struct gqa_hypothesis *h, uint64_t head)
{
    return head / (pair->to_slice->n_heads / h->pooled);
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
        [GQA_POOL_STRIDED] = "mean over strided groups, not contiguous ones",
        [GQA_POOL_NARROW] = "mean rounded more than once",
        [GQA_POOL_PERMUTED] = "rows permuted from half to interleaved RoPE",
        [GQA_POOL_UNPERMUTED] = "rows permuted from interleaved to half RoPE",
    };
    const bool one = hypothesis->pooled == original->n_kv_heads;

    snprintf(buf, n, "%s%s%s%s",
             one && hypothesis->pooling <= GQA_POOL_RANDOM
                 ? "not grouped"
                 : names[hypothesis->pooling],
             hypothesis->pooling == GQA_POOL_NARROW ? ", in " : "",
             hypothesis->pooling == GQA_POOL_NARROW
                 ? gqa_dtype_name(hypothesis->step)
                 : "",
             converted->n_kv_heads > hypothesis->pooled ? ", expanded" : "");
    return buf;
}

/* --- Diagnosis ------------------------------------------------------------ */

static enum gqa_status try_one(struct gqa_recompute *r, bool *fits,
                               const struct gqa_head_pair *pair,
                               const struct gqa_hypothesis *h, uint64_t head,
                               uint64_t group)
{
    struct gqa_difference d;
    const enum gqa_status st = gqa_recompute_head(r, &d, pair, h, head, group);

    *fits = st == GQA_OK && !d.found;
    return st;
}

/* The group that a head was made of, if another: *other is set. */
static enum gqa_status find_swapped(struct gqa_recompute *r, bool *found,
                                    uint64_t *other,
                                    const struct gqa_head_pair *pair,
                                    const struct gqa_hypothesis *h,
                                    uint64_t head)
{
    enum gqa_status st = GQA_OK;

    *found = false;
    for (uint64_t g = 0; g < h->pooled && st == GQA_OK && !*found; g++) {
        if (g == group_of(pair, h, head))
            continue;
        st = try_one(r, found, pair, h, head, g);
        *other = g;
    }
    return st;
}

/* A hypothesis, right or a named mistake, that does explain the head. */
static enum gqa_status find_mistake(struct gqa_recompute *r, bool *found,
                                    struct gqa_hypothesis *mistake,
                                    const struct gqa_head_pair *pair,
                                    const struct gqa_hypothesis *h,
                                    uint64_t head)
{
    const uint64_t n_source = pair->from_slice->n_heads;
    const bool pooled = h->pooled < n_source;
    const bool divides = pair->to_slice->n_heads % n_source == 0;
    const struct {
        struct gqa_hypothesis h;
        bool possible;
    } candidates[] = {
        {{.pooling = GQA_POOL_MEAN, .pooled = n_source}, divides},
        {{.pooling = GQA_POOL_MEAN, .pooled = h->pooled}, pooled},
        {{.pooling = GQA_POOL_FIRST, .pooled = h->pooled}, pooled},
        {{.pooling = GQA_POOL_STRIDED, .pooled = h->pooled}, pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = h->pooled, .step = GQA_BF16},
         pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = h->pooled, .step = GQA_F16},
         pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = h->pooled, .step = GQA_F32},
         pooled},
        {{.pooling = GQA_POOL_PERMUTED, .pooled = h->pooled}, true},
        {{.pooling = GQA_POOL_UNPERMUTED, .pooled = h->pooled}, true},
    };
    enum gqa_status st = GQA_OK;

    *found = false;
    for (size_t i = 0;
         i < sizeof candidates / sizeof *candidates && !*found && st == GQA_OK;
         i++) {
        if (!candidates[i].possible)
            continue;
        *mistake = candidates[i].h;
        st = try_one(r, found, pair, mistake, head,
                     group_of(pair, mistake, head));
    }
    return st;
}

static enum gqa_status explain(struct gqa_heads_check *check,
                               struct gqa_recompute *r,
                               const struct gqa_head_pair *pair,
                               const struct gqa_difference *d)
{
    const struct gqa_attention *a =
        attention_of(check->original, check->attention);
    const struct gqa_attention *b =
        attention_of(check->converted, check->attention);
    struct gqa_hypothesis mistake;
    char cause[256] = "", text[128];
    uint64_t other = 0;
    bool found;
    enum gqa_status st =
        find_swapped(r, &found, &other, pair, &check->hypothesis, d->head);

    if (st == GQA_OK && found)
        snprintf(cause, sizeof cause,
                 "; it is what KV head %" PRIu64
                 " must be: KV heads are swapped",
                 other * (b->n_kv_heads / check->hypothesis.pooled));
    else if (st == GQA_OK) {
        st = find_mistake(r, &found, &mistake, pair, &check->hypothesis,
                          d->head);
        if (st == GQA_OK && found)
            snprintf(cause, sizeof cause, "; it fits: %s",
                     gqa_hypothesis_text(text, sizeof text, &mistake, a, b));
    }
    if (st == GQA_OK)
        snprintf(check->grouped.text, sizeof check->grouped.text,
                 "'%.300s' (%s), %s head %" PRIu64 ", element %" PRIu64
                 ": %.9g, but must be %.9g%s",
                 pair->to->name,
                 gqa_attention_label(a->stack, a->kind, a->layer),
                 pair->is_value ? "value" : "key", d->head, d->element,
                 d->actual, d->expected, cause);
    return st;
}

/* --- Search --------------------------------------------------------------- */

/* How many heads fit; the first that does not is *first of pair *at. */
static enum gqa_status count_fits(struct gqa_recompute *r, uint64_t *n_fits,
                                  struct gqa_difference *first, size_t *at,
                                  const struct pairs *pairs,
                                  const struct gqa_hypothesis *h)
{
    *n_fits = 0;
    *first = (struct gqa_difference){.found = false};
    for (size_t i = 0; i < pairs->n; i++)
        for (uint64_t k = 0; k < pairs->items[i].to_slice->n_heads; k++) {
            const struct gqa_head_pair *pair = &pairs->items[i];
            struct gqa_difference d;
            const enum gqa_status st =
                gqa_recompute_head(r, &d, pair, h, k, group_of(pair, h, k));

            if (st != GQA_OK)
                return st;
            if (!d.found) {
                ++*n_fits;
            } else if (!first->found) {
                *first = d;
                *at = i;
            }
        }
    return GQA_OK;
}

/* Without a recipe: each way that the heads could have been made. */
static enum gqa_status find_best(struct gqa_heads_check *check,
                                 struct gqa_recompute *r,
                                 const struct pairs *pairs)
{
    static const enum gqa_pooling ways[] = {GQA_POOL_MEAN, GQA_POOL_FIRST};
    const uint64_t n_from = pairs->items[0].from_slice->n_heads;
    const uint64_t n_to = pairs->items[0].to_slice->n_heads;
    const uint64_t all = n_to * pairs->n;
    uint64_t best = 0;
    bool any = false;

    for (uint64_t g = n_from < n_to ? n_from : n_to; g > 0; g--)
        for (size_t i = 0; i < 2 && n_from % g == 0 && n_to % g == 0; i++) {
            const struct gqa_hypothesis h = {.pooling = ways[i], .pooled = g};
            struct gqa_difference first;
            uint64_t n_fits;
            size_t at;
            enum gqa_status st;

            /* Groups of one: their mean is their first. */
            if (g == n_from && ways[i] != GQA_POOL_MEAN)
                continue;
            st = count_fits(r, &n_fits, &first, &at, pairs, &h);
            if (st != GQA_OK)
                return st;
            if (!any || n_fits > best) {
                check->hypothesis = h;
                best = n_fits;
                any = true;
            }
            if (n_fits == all)
                return GQA_OK;
        }
    return GQA_OK;
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
            const struct gqa_head_pair pair =
                make_pair(check, &a->q, &b->q, bias != 0, false);
            struct gqa_difference d;
            const enum gqa_status st = gqa_recompute_copy(r, &d, &pair, h);

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

enum gqa_status gqa_heads_check(struct gqa_heads_check *check,
                                struct gqa_recompute *recompute)
{
    const struct gqa_attention *a =
        attention_of(check->original, check->attention);
    const struct gqa_attention *b =
        attention_of(check->converted, check->attention);
    struct pairs pairs = {.n = 0};
    struct gqa_difference first = {.found = false};
    uint64_t n_fits;
    size_t at = 0;
    enum gqa_status st = GQA_OK;

    add_pairs(&pairs, check, &a->k, &b->k, false);
    add_pairs(&pairs, check, &a->v, &b->v, true);
    if (a->q.weight == a->k.weight)
        st = check_queries(check, recompute);
    if (st == GQA_OK && !check->has_recipe)
        st = find_best(check, recompute, &pairs);
    if (st == GQA_OK)
        st = count_fits(recompute, &n_fits, &first, &at, &pairs,
                        &check->hypothesis);
    if (st == GQA_OK && first.found)
        st = explain(check, recompute, &pairs.items[at], &first);
    return st;
}
