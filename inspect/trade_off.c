#include "inspect/trade_off.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "common/checked.h"
#include "inspect/kv_cache.h"

/* Places of the table of picks: a gigabyte would be one. */
static const uint64_t MAX_PICKS = (uint64_t)1 << 28;
enum { MAX_CURVE = 129 };
/* Less is rounding. */
static const double NO_GAIN = 1e-9;

struct option {
    uint64_t bytes, units;
    double lost; /* as part of the mean */
};

/* The choices of one attention that keeps a cache. */
struct item {
    struct option *options; /* [n] */
    size_t n;
    unsigned char *picks; /* [n_units + 1] */
};

struct knapsack {
    struct item *items;
    size_t n;
    uint64_t unit, n_units; /* n_units: all as stored */
    double weights;         /* of all attentions */
    double *best;           /* [n_units + 1]: least lost with exactly these */
};

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static enum gqa_status make_item(struct item *item, struct knapsack *k,
                                 const struct gqa_model *model,
                                 const struct gqa_attention *a,
                                 const struct gqa_similar_heads *heads)
{
    if (heads->n_choices > UCHAR_MAX)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "too many numbers of KV heads");
    item->options = calloc(heads->n_choices, sizeof *item->options);
    if (!item->options)
        return gqa_fail_nomem();
    item->n = heads->n_choices;
    for (size_t i = 0; i < item->n; i++) {
        struct option *o = &item->options[i];

        if (!gqa_kv_attention_bytes(model, a, heads->choices[i].pooled,
                                    &o->bytes))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the KV cache would take more than 2^63 bytes");
        o->lost = heads->choices[i].predicted * heads->weight / k->weights;
        k->unit = common_divisor(k->unit, o->bytes);
    }
    return GQA_OK;
}

static enum gqa_status make_items(struct knapsack *k, struct gqa_trade_off *t,
                                  const struct gqa_model *model,
                                  const struct gqa_similarity *similarity)
{
    enum gqa_status st = GQA_OK;

    k->n = t->n;
    k->items = calloc(k->n, sizeof *k->items);
    if (!k->items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < k->n; i++)
        k->weights += similarity->attentions[t->attentions[i]].weight;
    if (!(k->weights > 0)) /* nothing is lost where nothing is made */
        k->weights = 1;
    for (size_t i = 0; i < k->n && st == GQA_OK; i++) {
        st = make_item(&k->items[i], k, model,
                       &model->attentions[t->attentions[i]],
                       &similarity->attentions[t->attentions[i]]);
        if (st == GQA_OK &&
            !gqa_add_u64(t->stored, k->items[i].options[0].bytes, &t->stored))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "the KV cache would take more than 2^63 bytes");
    }
    if (st != GQA_OK)
        return st;
    if (k->unit == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the KV cache takes no bytes");
    k->n_units = t->stored / k->unit;
    if (k->n_units >= MAX_PICKS / k->n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "sizes of KV heads differ too much for a plan");
    for (size_t i = 0; i < k->n; i++)
        for (size_t j = 0; j < k->items[i].n; j++)
            k->items[i].options[j].units =
                k->items[i].options[j].bytes / k->unit;
    return GQA_OK;
}

/* The best of all items so far, with one more. */
static void add_item(double *now, const double *before, struct item *item,
                     uint64_t n_units)
{
    for (uint64_t u = 0; u <= n_units; u++) {
        now[u] = INFINITY;
        for (size_t j = 0; j < item->n; j++) {
            const struct option *o = &item->options[j];

            if (o->units > u || !(before[u - o->units] + o->lost < now[u]))
                continue;
            now[u] = before[u - o->units] + o->lost;
            item->picks[u] = (unsigned char)j;
        }
    }
}

/* Every sum of bytes and the least that is lost with it, attention by
 * attention. */
static enum gqa_status solve(struct knapsack *k)
{
    double *other = malloc((k->n_units + 1) * sizeof *other);

    k->best = malloc((k->n_units + 1) * sizeof *k->best);
    if (!other || !k->best) {
        free(other);
        return gqa_fail_nomem();
    }
    for (uint64_t u = 0; u <= k->n_units; u++)
        k->best[u] = u == 0 ? 0 : INFINITY;
    for (size_t i = 0; i < k->n; i++) {
        double *const before = k->best;

        k->items[i].picks = calloc(k->n_units + 1, 1);
        if (!k->items[i].picks) {
            free(other);
            return gqa_fail_nomem();
        }
        add_item(other, before, &k->items[i], k->n_units);
        k->best = other;
        other = before;
    }
    free(other);
    return GQA_OK;
}

/* Units in which least is lost, of at most so many; more than fewer only where
 * that is of use. False: too few. */
static bool best_within(const struct knapsack *k, uint64_t units, uint64_t *at)
{
    bool found = false;

    for (uint64_t u = 0; u <= units && u <= k->n_units; u++)
        if (isfinite(k->best[u]) &&
            (!found || k->best[u] < k->best[*at] - NO_GAIN)) {
            *at = u;
            found = true;
        }
    return found;
}

static void take_picks(struct gqa_trade_off *t, const struct knapsack *k,
                       uint64_t at)
{
    t->chosen = (struct gqa_trade_point){at * k->unit, k->best[at]};
    for (size_t i = k->n; i-- > 0;) {
        t->picks[i] = k->items[i].picks[at];
        at -= k->items[i].options[t->picks[i]].units;
    }
}

static void fewest_units(const struct knapsack *k, uint64_t *units)
{
    *units = 0;
    for (size_t i = 0; i < k->n; i++)
        *units += k->items[i].options[k->items[i].n - 1].units;
}

static enum gqa_status choose(struct gqa_trade_off *t, const struct knapsack *k,
                              double budget)
{
    uint64_t at = 0, fewest, units;

    fewest_units(k, &fewest);
    t->budget = budget > 0 ? budget : 0.5;
    units = (uint64_t)(fmin(t->budget, 1) * (double)k->n_units + 1e-9);
    if (units < fewest && budget > 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "--budget %.4g%% of the KV cache is less than one KV "
                        "head for each attention takes: %.4g%%",
                        100 * budget,
                        100 * (double)fewest / (double)k->n_units);
    if (units < fewest) {
        units = fewest;
        t->budget = (double)fewest / (double)k->n_units;
    }
    t->picks = calloc(t->n, sizeof *t->picks);
    if (!t->picks)
        return gqa_fail_nomem();
    if (best_within(k, units, &at))
        take_picks(t, k, at);
    return GQA_OK;
}

/* --- Rows and the curve --------------------------------------------------- */

/* With so many KV heads each; 0: as stored. False: one cannot have them. */
static bool uniform_point(struct gqa_trade_point *out, const struct knapsack *k,
                          const struct gqa_trade_off *t,
                          const struct gqa_similarity *similarity,
                          uint64_t pooled)
{
    *out = (struct gqa_trade_point){0, 0};
    for (size_t i = 0; i < k->n; i++) {
        const struct gqa_similar_heads *heads =
            &similarity->attentions[t->attentions[i]];
        size_t j = 0;

        while (pooled > 0 && j < heads->n_choices &&
               heads->choices[j].pooled != pooled)
            j++;
        if (j == heads->n_choices)
            return false;
        out->bytes += k->items[i].options[j].bytes;
        out->lost += k->items[i].options[j].lost;
    }
    return true;
}

static enum gqa_status make_rows(struct gqa_trade_off *t,
                                 const struct knapsack *k,
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
        struct gqa_trade_point alike;
        uint64_t at = 0;

        if (!uniform_point(&row.at, k, t, similarity, row.pooled))
            continue;
        /* As stored, and all alike: the next row says it. */
        if (j == 0 &&
            uniform_point(&alike, k, t, similarity, first->choices[0].pooled) &&
            alike.bytes == t->stored)
            continue;
        if (best_within(k, row.at.bytes / k->unit, &at))
            row.best = k->best[at];
        t->uniform[t->n_uniform++] = row;
    }
    return GQA_OK;
}

static enum gqa_status make_curve(struct gqa_trade_off *t,
                                  const struct knapsack *k)
{
    uint64_t fewest, step;

    fewest_units(k, &fewest);
    step = (k->n_units - fewest) / (MAX_CURVE - 1) + 1;
    t->curve = calloc(MAX_CURVE + 1, sizeof *t->curve);
    if (!t->curve)
        return gqa_fail_nomem();
    for (uint64_t u = k->n_units;; u = u - fewest > step ? u - step : fewest) {
        uint64_t at = 0;

        if (best_within(k, u, &at) &&
            (t->n_curve == 0 || at * k->unit < t->curve[t->n_curve - 1].bytes))
            t->curve[t->n_curve++] =
                (struct gqa_trade_point){at * k->unit, k->best[at]};
        if (u == fewest)
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
    struct knapsack k = {0};
    enum gqa_status st;

    if (!t)
        return gqa_fail_nomem();
    st = find_cached(t, model, similarity);
    if (st == GQA_OK)
        st = make_items(&k, t, model, similarity);
    if (st == GQA_OK)
        st = solve(&k);
    if (st == GQA_OK)
        st = make_rows(t, &k, similarity);
    if (st == GQA_OK)
        st = make_curve(t, &k);
    if (st == GQA_OK)
        st = choose(t, &k, budget);
    for (size_t i = 0; k.items && i < k.n; i++) {
        free(k.items[i].options);
        free(k.items[i].picks);
    }
    free(k.items);
    free(k.best);
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
