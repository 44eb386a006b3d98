#include "inspect/trade_off.h"

#include <math.h>
#include <stdlib.h>

#include "align/knapsack.h"
#include "formats/model/kv_bytes.h"

enum { MAX_CURVE = 129 };

/* The choices of all attentions that keep a cache. */
struct items {
    struct gqa_knapsack_item *items; /* [n] */
    size_t n;
    double weights; /* of all attentions */
};

static enum gqa_status make_item(struct gqa_knapsack_item *item,
                                 const struct items *all,
                                 const struct gqa_model *model,
                                 const struct gqa_attention *a,
                                 const struct gqa_similar_heads *heads)
{
    item->options = calloc(heads->n_choices, sizeof *item->options);
    if (!item->options)
        return gqa_fail_nomem();
    item->n = heads->n_choices;
    for (size_t i = 0; i < item->n; i++) {
        if (!gqa_kv_attention_bytes(model, a, heads->choices[i].pooled,
                                    &item->options[i].bytes))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the KV cache would take more than 2^63 bytes");
        item->options[i].lost =
            heads->choices[i].predicted * heads->weight / all->weights;
    }
    return GQA_OK;
}

static enum gqa_status make_items(struct items *all,
                                  const struct gqa_trade_off *t,
                                  const struct gqa_model *model,
                                  const struct gqa_similarity *similarity)
{
    enum gqa_status st = GQA_OK;

    all->n = t->n;
    all->items = calloc(all->n, sizeof *all->items);
    if (!all->items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < all->n; i++)
        all->weights += similarity->attentions[t->attentions[i]].weight;
    if (!(all->weights > 0)) /* nothing is lost where nothing is made */
        all->weights = 1;
    for (size_t i = 0; i < all->n && st == GQA_OK; i++)
        st = make_item(&all->items[i], all, model,
                       &model->attentions[t->attentions[i]],
                       &similarity->attentions[t->attentions[i]]);
    return st;
}

static enum gqa_status choose(struct gqa_trade_off *t,
                              const struct gqa_knapsack *k, double budget)
{
    const uint64_t unit = gqa_knapsack_unit(k);
    const uint64_t all = gqa_knapsack_most(k) / unit;
    const double n_units = (double)all;
    const uint64_t fewest = gqa_knapsack_fewest(k) / unit;
    struct gqa_knapsack_option chosen = {0, 0};
    uint64_t units;

    t->budget = budget > 0 ? budget : 0.5;
    units = (uint64_t)(fmin(t->budget, 1) * n_units + 1e-9);
    if (units < fewest && budget > 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "--budget %.4g%% of the KV cache is less than the "
                        "fewest KV heads that each attention can have take: "
                        "%.4g%%",
                        100 * budget, 100 * (double)fewest / n_units);
    if (units < fewest) {
        units = fewest;
        t->budget = (double)fewest / n_units;
    }
    t->picks = calloc(t->n, sizeof *t->picks);
    if (!t->picks)
        return gqa_fail_nomem();
    if (gqa_knapsack_within(&chosen, t->picks, k, units * unit))
        t->chosen = (struct gqa_trade_point){chosen.bytes, chosen.lost};
    return GQA_OK;
}

/* --- Rows and the curve --------------------------------------------------- */

/* With so many KV heads each; 0: as stored. False: one cannot have them. */
static bool uniform_point(struct gqa_trade_point *out, const struct items *all,
                          const struct gqa_trade_off *t,
                          const struct gqa_similarity *similarity,
                          uint64_t pooled)
{
    *out = (struct gqa_trade_point){0, 0};
    for (size_t i = 0; i < all->n; i++) {
        const struct gqa_similar_heads *heads =
            &similarity->attentions[t->attentions[i]];
        size_t j = 0;

        while (pooled > 0 && j < heads->n_choices &&
               heads->choices[j].pooled != pooled)
            j++;
        if (j == heads->n_choices)
            return false;
        out->bytes += all->items[i].options[j].bytes;
        out->lost += all->items[i].options[j].lost;
    }
    return true;
}

static enum gqa_status make_rows(struct gqa_trade_off *t,
                                 const struct items *all,
                                 const struct gqa_knapsack *k,
                                 const struct gqa_similarity *similarity)
{
    const struct gqa_similar_heads *first =
        &similarity->attentions[t->attentions[0]];

    t->uniform = calloc(first->n_choices + 1, sizeof *t->uniform);
    if (!t->uniform)
        return gqa_fail_nomem();
    for (size_t j = 0; j <= first->n_choices; j++) {
        struct gqa_uniform_row row = {
            .pooled = j == 0 ? 0 : first->choices[j - 1].pooled};
        struct gqa_knapsack_option best;
        struct gqa_trade_point alike;

        if (!uniform_point(&row.at, all, t, similarity, row.pooled))
            continue;
        /* As stored, and all alike: the next row says it. */
        if (j == 0 &&
            uniform_point(&alike, all, t, similarity,
                          first->choices[0].pooled) &&
            alike.bytes == t->stored)
            continue;
        if (gqa_knapsack_within(&best, NULL, k, row.at.bytes))
            row.best = best.lost;
        t->uniform[t->n_uniform++] = row;
    }
    return GQA_OK;
}

static enum gqa_status make_curve(struct gqa_trade_off *t,
                                  const struct gqa_knapsack *k)
{
    const uint64_t unit = gqa_knapsack_unit(k);
    const uint64_t fewest = gqa_knapsack_fewest(k);
    const uint64_t most = gqa_knapsack_most(k);
    const uint64_t step = ((most - fewest) / unit / (MAX_CURVE - 1) + 1) * unit;

    t->curve = calloc(MAX_CURVE + 1, sizeof *t->curve);
    if (!t->curve)
        return gqa_fail_nomem();
    for (uint64_t b = most;; b = b - fewest > step ? b - step : fewest) {
        struct gqa_knapsack_option best;

        if (gqa_knapsack_within(&best, NULL, k, b) &&
            (t->n_curve == 0 || best.bytes < t->curve[t->n_curve - 1].bytes))
            t->curve[t->n_curve++] =
                (struct gqa_trade_point){best.bytes, best.lost};
        if (b == fewest)
            return GQA_OK;
    }
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status find_cached(struct gqa_trade_off *t,
                                   const struct gqa_model *model,
                                   const struct gqa_similarity *similarity)
{
    t->attentions = calloc(model->n_attentions + 1, sizeof *t->attentions);
    if (!t->attentions)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_attentions; i++) {
        if (!gqa_kv_is_cached(&model->attentions[i]))
            continue;
        if (similarity->attentions[i].n_choices == 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED, "no plan can be made: %s",
                            similarity->unaligned);
        t->attentions[t->n++] = i;
    }
    if (t->n == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "no attention of this model keeps a KV cache");
    return GQA_OK;
}

enum gqa_status gqa_trade_off_create(struct gqa_trade_off **out,
                                     const struct gqa_model *model,
                                     const struct gqa_similarity *similarity,
                                     double budget)
{
    struct gqa_trade_off *t = calloc(1, sizeof *t);
    struct items all = {0};
    struct gqa_knapsack *k = NULL;
    enum gqa_status st;

    if (!t)
        return gqa_fail_nomem();
    st = find_cached(t, model, similarity);
    if (st == GQA_OK)
        st = make_items(&all, t, model, similarity);
    if (st == GQA_OK)
        st = gqa_knapsack_create(&k, all.items, all.n);
    if (st == GQA_OK) {
        t->stored = gqa_knapsack_most(k);
        st = make_rows(t, &all, k, similarity);
    }
    if (st == GQA_OK)
        st = make_curve(t, k);
    if (st == GQA_OK)
        st = choose(t, k, budget);
    for (size_t i = 0; all.items && i < all.n; i++)
        free(all.items[i].options);
    free(all.items);
    gqa_knapsack_free(k);
    if (st == GQA_OK) {
        *out = t;
        t = NULL;
    }
    gqa_trade_off_free(t);
    return st;
}

void gqa_trade_off_free(struct gqa_trade_off *t)
{
    if (!t)
        return;
    free(t->attentions);
    free(t->uniform);
    free(t->curve);
    free(t->picks);
    free(t);
}

const struct gqa_sharing_choice *gqa_trade_off_pick(
    const struct gqa_trade_off *t, const struct gqa_similarity *similarity,
    size_t place)
{
    return &similarity->attentions[t->attentions[place]]
                .choices[t->picks[place]];
}
