#include "align/groups.h"

#include <stdlib.h>
#include <string.h>

/* Operations that an attention's search may take behind the pairs: less than a
 * second of a core. */
static const double MAX_WORK = 3e9;
/* Far more than a search by pairs takes. */
enum { MAX_STEPS = 4096 };
/* What a change has to gain: less is rounding. */
static const double NO_GAIN = 1e-9;

/* Losses of groups that were worked out, by the heads in them. */
struct known {
    uint64_t *keys; /* 0: a free place */
    double *lost;
    size_t n, room; /* room: a power of two */
};

struct problem {
    const struct gqa_sharing *sharing;
    size_t size;   /* heads of a group */
    double *pairs; /* [n_heads, n_heads] */
    double *with;  /* [n_heads, groups] */
    bool exact;    /* pairs are */
    struct known known;
};

/* An exchange of two places, and what it does to the sum of pairs. */
struct swap {
    size_t a, b;
    double change;
};

struct search {
    size_t n_heads, n;
    struct problem *problems; /* [n] */
    struct swap *swaps;       /* [n_heads^2 / 2] */
    double work;              /* that is left */
};

/* --- Sums of pairs -------------------------------------------------------- */

/* p->with: of each head and each group, the sum of its pairs with those that
 * are in it. */
static void sum_pairs(const struct search *s, const size_t *order)
{
    for (size_t k = 0; k < s->n; k++) {
        const struct problem *p = &s->problems[k];

        for (size_t h = 0; h < s->n_heads; h++)
            for (size_t g = 0; g < p->sharing->pooled; g++) {
                double *sum = &p->with[h * p->sharing->pooled + g];

                *sum = 0;
                for (size_t i = 0; i < p->size; i++)
                    *sum += p->pairs[h * s->n_heads + order[g * p->size + i]];
            }
    }
}

/* By sum_pairs(): what an exchange adds. */
static double change_of(const struct search *s, const size_t *order, size_t a,
                        size_t b)
{
    double change = 0;

    for (size_t k = 0; k < s->n; k++) {
        const struct problem *p = &s->problems[k];
        const double *with_a = p->with + order[a] * p->sharing->pooled;
        const double *with_b = p->with + order[b] * p->sharing->pooled;
        const size_t ga = a / p->size, gb = b / p->size;

        if (ga != gb)
            change += with_b[ga] - with_b[gb] + with_a[gb] - with_a[ga] -
                      2 * p->pairs[order[a] * s->n_heads + order[b]];
    }
    return change;
}

static void exchange(size_t *order, size_t a, size_t b)
{
    const size_t head = order[a];

    order[a] = order[b];
    order[b] = head;
}

/* Exchange places until none lowers the sum, each time the two that lower it
 * most. */
static void descend_pairs(const struct search *s, size_t *order)
{
    for (size_t i = 0; i < MAX_STEPS; i++) {
        struct swap best = {0, 0, -NO_GAIN};

        sum_pairs(s, order);
        for (size_t a = 0; a < s->n_heads; a++)
            for (size_t b = a + 1; b < s->n_heads; b++) {
                const double change = change_of(s, order, a, b);

                if (change < best.change)
                    best = (struct swap){a, b, change};
            }
        if (best.b == 0)
            return;
        exchange(order, best.a, best.b);
    }
}

/* --- A beginning ---------------------------------------------------------- */

static double pair_of(const struct search *s, size_t x, size_t y)
{
    double sum = 0;

    for (size_t k = 0; k < s->n; k++)
        sum += s->problems[k].pairs[x * s->n_heads + y];
    return sum;
}

/* The head, of those behind `n`, that has least against order[first..n - 1];
 * it comes to stand at n. */
static void take_nearest(const struct search *s, size_t *order, size_t first,
                         size_t n)
{
    size_t best = n;
    double least = 0;

    for (size_t i = n; i < s->n_heads; i++) {
        double sum = 0;

        for (size_t j = first; j < n; j++)
            sum += pair_of(s, order[j], order[i]);
        if (i == n || sum < least) {
            least = sum;
            best = i;
        }
    }
    exchange(order, n, best);
}

/* Group after group, of the largest size: the two that lose least of those
 * that are left, and whoever joins them at the least loss. */
static void agglomerate(const struct search *s, size_t *order)
{
    size_t size = 1;

    for (size_t k = 0; k < s->n; k++)
        if (s->problems[k].size > size)
            size = s->problems[k].size;
    for (size_t first = 0; first < s->n_heads; first += size) {
        struct swap best = {first, first + 1, 0};

        for (size_t a = first; a < s->n_heads; a++)
            for (size_t b = a + 1; b < s->n_heads; b++) {
                const double lost = pair_of(s, order[a], order[b]);

                if (lost < best.change || (a == first && b == first + 1))
                    best = (struct swap){a, b, lost};
            }
        exchange(order, first, best.a);
        exchange(order, first + 1, best.b);
        for (size_t i = first + 2; i < first + size; i++)
            take_nearest(s, order, first, i);
    }
}

/* --- Losses of groups ----------------------------------------------------- */

static size_t place_of(const struct known *k, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);

    for (i &= k->room - 1; k->keys[i] && k->keys[i] != key;)
        i = (i + 1) & (k->room - 1);
    return i;
}

static enum gqa_status grow(struct known *k)
{
    struct known larger = {.n = k->n, .room = k->room ? 2 * k->room : 256};

    larger.keys = calloc(larger.room, sizeof *larger.keys);
    larger.lost = calloc(larger.room, sizeof *larger.lost);
    if (!larger.keys || !larger.lost) {
        free(larger.keys);
        free(larger.lost);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < k->room; i++)
        if (k->keys[i]) {
            const size_t at = place_of(&larger, k->keys[i]);

            larger.keys[at] = k->keys[i];
            larger.lost[at] = k->lost[i];
        }
    free(k->keys);
    free(k->lost);
    *k = larger;
    return GQA_OK;
}

/* Of the group at `first` of a problem; adds to *lost. More than 64 heads have
 * no key, and are worked out each time. */
static enum gqa_status add_lost(struct search *s, double *lost,
                                struct problem *p, const size_t *order,
                                size_t first)
{
    uint64_t key = 0;
    size_t at = 0;
    double found;
    enum gqa_status st;

    if (p->size == 2 && p->exact) {
        *lost += p->pairs[order[first] * s->n_heads + order[first + 1]];
        return GQA_OK;
    }
    if (2 * p->known.n >= p->known.room && (st = grow(&p->known)) != GQA_OK)
        return st;
    for (size_t i = first; i < first + p->size && s->n_heads <= 64; i++)
        key |= UINT64_C(1) << order[i];
    if (key) {
        at = place_of(&p->known, key);
        if (p->known.keys[at]) {
            *lost += p->known.lost[at];
            return GQA_OK;
        }
    }
    st =
        gqa_likeness_lost(&found, p->sharing->likeness, order + first, p->size);
    if (st != GQA_OK)
        return st;
    s->work -= gqa_likeness_work(p->sharing->likeness, p->size);
    if (key) {
        p->known.keys[at] = key;
        p->known.lost[at] = found;
        p->known.n++;
    }
    *lost += found;
    return GQA_OK;
}

static enum gqa_status lost_of(struct search *s, double *lost,
                               const size_t *order)
{
    enum gqa_status st = GQA_OK;

    *lost = 0;
    for (size_t k = 0; k < s->n; k++)
        for (size_t first = 0; first < s->n_heads && st == GQA_OK;
             first += s->problems[k].size)
            st = add_lost(s, lost, &s->problems[k], order, first);
    return st;
}

/* Of the groups that two places belong to, where these are not the same. */
static enum gqa_status lost_around(struct search *s, double *lost,
                                   const size_t *order, size_t a, size_t b)
{
    enum gqa_status st = GQA_OK;

    *lost = 0;
    for (size_t k = 0; k < s->n && st == GQA_OK; k++) {
        struct problem *p = &s->problems[k];

        if (a / p->size == b / p->size)
            continue;
        st = add_lost(s, lost, p, order, a / p->size * p->size);
        if (st == GQA_OK)
            st = add_lost(s, lost, p, order, b / p->size * p->size);
    }
    return st;
}

static int compare_swaps(const void *x, const void *y)
{
    const struct swap *a = x, *b = y;

    if (a->change != b->change)
        return a->change < b->change ? -1 : 1;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

/* Exchange places while that lowers what is lost, those first that the pairs
 * speak for, as long as there is work left. */
static enum gqa_status descend(struct search *s, size_t *order)
{
    bool gained = true;
    enum gqa_status st = GQA_OK;

    while (gained && st == GQA_OK) {
        size_t n = 0;

        gained = false;
        sum_pairs(s, order);
        for (size_t a = 0; a < s->n_heads; a++)
            for (size_t b = a + 1; b < s->n_heads; b++)
                s->swaps[n++] = (struct swap){a, b, change_of(s, order, a, b)};
        qsort(s->swaps, n, sizeof *s->swaps, compare_swaps);
        for (size_t i = 0; i < n && !gained && s->work > 0 && st == GQA_OK;
             i++) {
            const size_t a = s->swaps[i].a, b = s->swaps[i].b;
            double before = 0, after = 0;

            st = lost_around(s, &before, order, a, b);
            exchange(order, a, b);
            if (st == GQA_OK)
                st = lost_around(s, &after, order, a, b);
            gained = after < before - NO_GAIN;
            if (!gained || st != GQA_OK)
                exchange(order, a, b);
        }
    }
    return st;
}

/* --- All ------------------------------------------------------------------ */

static int compare_places(const void *x, const void *y)
{
    const size_t a = *(const size_t *)x, b = *(const size_t *)y;

    return a < b ? -1 : a > b;
}

static int compare_groups(const void *x, const void *y)
{
    return compare_places(x, y); /* by their first heads */
}

/* Groups by their first heads, and heads in their order: what does not matter
 * is as it was. */
static void tidy(const struct search *s, size_t *order)
{
    const size_t size = s->problems[0].size;

    for (size_t k = 1; k < s->n; k++)
        if (s->problems[k].size != size)
            return;
    for (size_t first = 0; first < s->n_heads; first += size)
        qsort(order + first, size, sizeof *order, compare_places);
    qsort(order, s->n_heads / size, size * sizeof *order, compare_groups);
}

static enum gqa_status prepare(struct search *s,
                               const struct gqa_sharing *attentions,
                               unsigned n_threads)
{
    const size_t n_heads = s->n_heads;
    enum gqa_status st = GQA_OK;

    s->swaps = malloc(n_heads * n_heads * sizeof *s->swaps);
    if (!s->swaps)
        return gqa_fail_nomem();
    for (size_t k = 0; k < s->n && st == GQA_OK; k++) {
        struct problem *p = &s->problems[k];

        p->sharing = &attentions[k];
        p->size = n_heads / attentions[k].pooled;
        p->pairs = malloc(n_heads * n_heads * sizeof *p->pairs);
        p->with = malloc(n_heads * attentions[k].pooled * sizeof *p->with);
        st = p->pairs && p->with
                 ? gqa_likeness_pairs(p->pairs, &p->exact,
                                      attentions[k].likeness, n_threads)
                 : gqa_fail_nomem();
    }
    return st;
}

/* From a beginning; *order is kept where it loses less than *least. */
static enum gqa_status try_from(struct search *s, size_t *best, double *least,
                                size_t *order)
{
    double lost;
    enum gqa_status st;

    descend_pairs(s, order);
    s->work = MAX_WORK * (double)s->n / 2;
    st = descend(s, order);
    if (st == GQA_OK)
        st = lost_of(s, &lost, order);
    if (st == GQA_OK && lost < *least - NO_GAIN) {
        *least = lost;
        memcpy(best, order, s->n_heads * sizeof *order);
    }
    return st;
}

static enum gqa_status find(struct search *s, size_t *best, size_t *order)
{
    double least;
    enum gqa_status st;

    for (size_t i = 0; i < s->n_heads; i++)
        best[i] = order[i] = i;
    st = lost_of(s, &least, best);
    if (st == GQA_OK)
        st = try_from(s, best, &least, order);
    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < s->n_heads; i++)
        order[i] = i;
    agglomerate(s, order);
    return try_from(s, best, &least, order);
}

enum gqa_status gqa_groups_find(uint64_t *heads,
                                const struct gqa_sharing *attentions, size_t n,
                                unsigned n_threads)
{
    const size_t n_heads = gqa_likeness_n_heads(attentions[0].likeness);
    struct search s = {.n_heads = n_heads, .n = n};
    size_t *order = malloc(2 * n_heads * sizeof *order);
    size_t *best = order ? order + n_heads : NULL;
    enum gqa_status st;

    s.problems = calloc(n, sizeof *s.problems);
    st = order && s.problems ? prepare(&s, attentions, n_threads)
                             : gqa_fail_nomem();
    if (st == GQA_OK)
        st = find(&s, best, order);
    if (st == GQA_OK)
        tidy(&s, best);
    for (size_t i = 0; i < n_heads && st == GQA_OK; i++)
        heads[i] = best[i];
    for (size_t k = 0; k < n && s.problems; k++) {
        free(s.problems[k].pairs);
        free(s.problems[k].with);
        free(s.problems[k].known.keys);
        free(s.problems[k].known.lost);
    }
    free(s.problems);
    free(s.swaps);
    free(order);
    return st;
}
