#include "align/knapsack.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "common/checked.h"

/* Places of the table of picks: a gigabyte would be one. */
static const uint64_t MAX_PICKS = (uint64_t)1 << 28;
/* Less is rounding. */
static const double NO_GAIN = 1e-9;

struct option {
    uint64_t units;
    double lost;
};

struct item {
    struct option *options; /* [n] */
    size_t n;
    unsigned char *picks; /* [n_units + 1] */
};

struct gqa_knapsack {
    struct item *items;
    size_t n;
    uint64_t unit, n_units; /* n_units: of all first options */
    uint64_t fewest;        /* units, of all last ones */
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

static enum gqa_status find_unit(struct gqa_knapsack *k,
                                 const struct gqa_knapsack_item *items)
{
    uint64_t most = 0;

    for (size_t i = 0; i < k->n; i++) {
        if (items[i].n > UCHAR_MAX)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "too many numbers of KV heads");
        for (size_t j = 0; j < items[i].n; j++)
            k->unit = common_divisor(k->unit, items[i].options[j].bytes);
        if (!gqa_add_u64(most, items[i].options[0].bytes, &most) ||
            most > INT64_MAX)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the KV cache would take more than 2^63 bytes");
    }
    if (k->unit == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the KV cache takes no bytes");
    k->n_units = most / k->unit;
    if (k->n_units >= MAX_PICKS / k->n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "sizes of KV heads differ too much for a plan");
    return GQA_OK;
}

static enum gqa_status take_items(struct gqa_knapsack *k,
                                  const struct gqa_knapsack_item *items)
{
    for (size_t i = 0; i < k->n; i++) {
        struct item *item = &k->items[i];

        item->n = items[i].n;
        item->options = calloc(item->n, sizeof *item->options);
        item->picks = calloc(k->n_units + 1, 1);
        if (!item->options || !item->picks)
            return gqa_fail_nomem();
        for (size_t j = 0; j < item->n; j++)
            item->options[j] = (struct option){
                items[i].options[j].bytes / k->unit, items[i].options[j].lost};
        k->fewest += item->options[item->n - 1].units;
    }
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

/* Every sum of bytes and the least that is lost with it, item by item. */
static enum gqa_status solve(struct gqa_knapsack *k)
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

        add_item(other, before, &k->items[i], k->n_units);
        k->best = other;
        other = before;
    }
    free(other);
    return GQA_OK;
}

enum gqa_status gqa_knapsack_create(struct gqa_knapsack **out,
                                    const struct gqa_knapsack_item *items,
                                    size_t n)
{
    struct gqa_knapsack *k = calloc(1, sizeof *k);
    enum gqa_status st = GQA_OK;

    if (!k)
        return gqa_fail_nomem();
    k->n = n;
    k->items = calloc(n + 1, sizeof *k->items);
    if (!k->items)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = find_unit(k, items);
    if (st == GQA_OK)
        st = take_items(k, items);
    if (st == GQA_OK)
        st = solve(k);
    if (st == GQA_OK) {
        *out = k;
        k = NULL;
    }
    gqa_knapsack_free(k);
    return st;
}

void gqa_knapsack_free(struct gqa_knapsack *k)
{
    if (!k)
        return;
    for (size_t i = 0; k->items && i < k->n; i++) {
        free(k->items[i].options);
        free(k->items[i].picks);
    }
    free(k->items);
    free(k->best);
    free(k);
}

uint64_t gqa_knapsack_most(const struct gqa_knapsack *k)
{
    return k->n_units * k->unit;
}

uint64_t gqa_knapsack_fewest(const struct gqa_knapsack *k)
{
    return k->fewest * k->unit;
}

uint64_t gqa_knapsack_unit(const struct gqa_knapsack *k)
{
    return k->unit;
}

bool gqa_knapsack_within(struct gqa_knapsack_option *out, size_t *picks,
                         const struct gqa_knapsack *k, uint64_t bytes)
{
    uint64_t at = 0;
    bool found = false;

    for (uint64_t u = 0; u <= bytes / k->unit && u <= k->n_units; u++)
        if (isfinite(k->best[u]) &&
            (!found || k->best[u] < k->best[at] - NO_GAIN)) {
            at = u;
            found = true;
        }
    if (!found)
        return false;
    *out = (struct gqa_knapsack_option){at * k->unit, k->best[at]};
    for (size_t i = k->n; picks && i-- > 0;) {
        picks[i] = k->items[i].picks[at];
        at -= k->items[i].options[picks[i]].units;
    }
    return true;
}
