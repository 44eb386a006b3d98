/* Which heads share: loss is what the factors lose, planted groups are found,
 * several attentions agree, and threads change nothing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "align/groups.h"
#include "common/random.h"
#include "runtime/blas.h"
#include "suite.h"

enum { DIM = 6 };

static uint64_t counter;

static double draw(void)
{
    double x;

    gqa_random_normal(&x, 1, 11, counter++, 1);
    return x;
}

static size_t below(size_t n)
{
    return (size_t)(gqa_random_uniform(12, counter++) * (double)n);
}

/* Keys or values of n heads, and their metrics. */
struct part {
    struct gqa_bands bands;
    double *moments, *metrics;
};

/*
 * Moments of heads: each is `kinds[h]`'s vector times the head's own factor (so
 * that those of one kind share without loss), and, with noise, something of its
 * own. A factor commutes with rotation.
 */
static struct part make_part(const size_t *kinds, size_t n,
                             const struct gqa_position *position, double noise)
{
    const size_t w = n * DIM;
    struct part p = {.moments = calloc(w * w, sizeof(double)),
                     .metrics = calloc(n * DIM * DIM, sizeof(double))};
    double *factors = malloc(n * sizeof *factors);
    double *vectors = malloc(w * sizeof *vectors), *x = malloc(w * sizeof *x);

    ck_assert_int_eq(position
                         ? gqa_bands_of_position(&p.bands, DIM, position, NULL)
                         : gqa_bands_whole(&p.bands, DIM),
                     GQA_OK);
    for (size_t h = 0; h < n; h++)
        factors[h] = 1 + gqa_random_uniform(13, counter++);
    for (size_t k = 0; k < 4 * w; k++) {
        for (size_t i = 0; i < w; i++)
            vectors[i] = draw();
        for (size_t i = 0; i < w; i++)
            x[i] = factors[i / DIM] * vectors[kinds[i / DIM] * DIM + i % DIM] +
                   (noise > 0 ? noise * draw() : 0);
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < w; j++)
                p.moments[i * w + j] += x[i] * x[j];
    }
    for (size_t h = 0; h < n; h++)
        for (size_t k = 0; k < 2 * DIM; k++) {
            for (size_t i = 0; i < DIM; i++)
                x[i] = draw();
            for (size_t i = 0; i < DIM; i++)
                for (size_t j = 0; j < DIM; j++)
                    p.metrics[(h * DIM + i) * DIM + j] += x[i] * x[j];
        }
    free(factors);
    free(vectors);
    free(x);
    return p;
}

static void drop_part(struct part *p)
{
    gqa_bands_clear(&p->bands);
    free(p->moments);
    free(p->metrics);
}

static struct gqa_likeness *compare(const struct part *keys,
                                    const struct part *values, size_t n)
{
    const struct gqa_likeness_part k = {&keys->bands, keys->moments,
                                        keys->metrics};
    const struct gqa_likeness_part v = {&values->bands, values->moments,
                                        values->metrics};
    struct gqa_likeness *out = NULL;

    ck_assert_int_eq(gqa_likeness_create(&out, n, &k, &v), GQA_OK);
    return out;
}

/* Lost by the factors of these heads, and all there is. */
static void factor(double *lost, double *all, const struct part *p, size_t n,
                   const size_t *heads, size_t m)
{
    double *moments = malloc(m * DIM * m * DIM * sizeof *moments);
    double *metrics = malloc(m * DIM * DIM * sizeof *metrics);
    struct gqa_factor f = {.mix = malloc(m * DIM * DIM * sizeof(double)),
                           .back = malloc(m * DIM * DIM * sizeof(double))};

    for (size_t i = 0; i < m * DIM; i++)
        for (size_t j = 0; j < m * DIM; j++)
            moments[i * m * DIM + j] =
                p->moments[(heads[i / DIM] * DIM + i % DIM) * n * DIM +
                           heads[j / DIM] * DIM + j % DIM];
    for (size_t i = 0; i < m; i++)
        memcpy(metrics + i * DIM * DIM, p->metrics + heads[i] * DIM * DIM,
               DIM * DIM * sizeof *metrics);
    ck_assert_int_eq(gqa_factor(&f, &p->bands, m, moments, metrics), GQA_OK);
    *lost = f.lost;
    *all = f.all;
    free(moments);
    free(metrics);
    free(f.mix);
    free(f.back);
}

static const struct gqa_position positions[] = {
    {GQA_POSITION_NONE, 0, false},
    {GQA_POSITION_ROPE, 6, false},
    {GQA_POSITION_ROPE, 6, true},
    {GQA_POSITION_ROPE, 4, true}, /* the rest is not rotated */
};
enum { N_POSITIONS = sizeof positions / sizeof *positions };

START_TEST(lost_is_what_factors_lose)
{
    enum { N = 5 };
    static const size_t kinds[N] = {0, 1, 2, 3, 4};
    static const size_t everyone[N] = {0, 1, 2, 3, 4}, some[] = {4, 1, 2};
    struct part keys = make_part(kinds, N, &positions[_i], 0.5);
    struct part values = make_part(kinds, N, NULL, 0.5);
    struct gqa_likeness *l = compare(&keys, &values, N);
    double all[2], none, lost[2], is;

    factor(&none, &all[0], &keys, N, everyone, N);
    factor(&none, &all[1], &values, N, everyone, N);
    factor(&lost[0], &none, &keys, N, some, 3);
    factor(&lost[1], &none, &values, N, some, 3);
    ck_assert_int_eq(gqa_likeness_lost(&is, l, some, 3), GQA_OK);
    ck_assert_double_gt(is, 0.01);
    ck_assert_double_eq_tol(is, lost[0] / all[0] + lost[1] / all[1], 1e-10);
    gqa_likeness_free(l);
    drop_part(&keys);
    drop_part(&values);
}
END_TEST

/* kinds in a random order: each of n / m of them m times. */
static void shuffle(size_t *kinds, size_t n, size_t m)
{
    for (size_t i = 0; i < n; i++)
        kinds[i] = i / m;
    for (size_t i = n; i > 1; i--) {
        const size_t j = below(i), kind = kinds[i - 1];

        kinds[i - 1] = kinds[j];
        kinds[j] = kind;
    }
}

static void check_order(const uint64_t *heads, const size_t *kinds, size_t n,
                        size_t m)
{
    bool *seen = calloc(n, sizeof *seen);

    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_lt(heads[i], n);
        ck_assert(!seen[heads[i]]);
        seen[heads[i]] = true;
        ck_assert_uint_eq(kinds[heads[i]], kinds[heads[i / m * m]]);
        if (i % m > 0)
            ck_assert_uint_lt(heads[i - 1], heads[i]);
        else if (i > 0)
            ck_assert_uint_lt(heads[i - m], heads[i]);
    }
    free(seen);
}

/* Heads of one kind are found wherever they stand, and share without loss. */
START_TEST(planted_groups_are_found)
{
    static const size_t sizes[] = {2, 3, 4, 6, 12};
    enum { N = 12 };
    const size_t m = sizes[_i];
    size_t kinds[N];

    for (size_t i = 0; i < N_POSITIONS; i++) {
        struct part keys, values;
        struct gqa_likeness *l;
        struct gqa_sharing sharing = {.pooled = N / m};
        uint64_t heads[N], again[N];
        double lost;

        shuffle(kinds, N, m);
        keys = make_part(kinds, N, &positions[i], 0);
        values = make_part(kinds, N, NULL, 0);
        sharing.likeness = l = compare(&keys, &values, N);
        ck_assert_int_eq(gqa_groups_find(heads, &sharing, 1, 1), GQA_OK);
        check_order(heads, kinds, N, m);
        for (size_t g = 0; g < N / m; g++) {
            size_t members[N];

            for (size_t j = 0; j < m; j++)
                members[j] = heads[g * m + j];
            ck_assert_int_eq(gqa_likeness_lost(&lost, l, members, m), GQA_OK);
            ck_assert_double_le(lost, 1e-10);
        }
        ck_assert_int_eq(gqa_groups_find(again, &sharing, 1, 3), GQA_OK);
        ck_assert_mem_eq(heads, again, sizeof heads);
        gqa_likeness_free(l);
        drop_part(&keys);
        drop_part(&values);
    }
}
END_TEST

static double lost_in_order(const struct gqa_likeness *l, const uint64_t *heads,
                            size_t n, size_t m)
{
    double all = 0, lost;

    for (size_t g = 0; g < n / m; g++) {
        size_t members[16];

        for (size_t j = 0; j < m; j++)
            members[j] = heads ? heads[g * m + j] : g * m + j;
        ck_assert_int_eq(gqa_likeness_lost(&lost, l, members, m), GQA_OK);
        all += lost;
    }
    return all;
}

/* Heads that are all different: no worse than neighbours, and no exchange of
 * two makes it better. */
START_TEST(no_exchange_is_better)
{
    enum { N = 8, M = 4 };
    static const size_t kinds[N] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct part keys = make_part(kinds, N, &positions[1], 0.3);
    struct part values = make_part(kinds, N, NULL, 0.3);
    struct gqa_likeness *l = compare(&keys, &values, N);
    const struct gqa_sharing sharing = {l, N / M};
    uint64_t heads[N];
    double lost;

    ck_assert_int_eq(gqa_groups_find(heads, &sharing, 1, 2), GQA_OK);
    check_order(heads, (size_t[N]){0}, N, M);
    lost = lost_in_order(l, heads, N, M);
    ck_assert_double_le(lost, lost_in_order(l, NULL, N, M));
    for (size_t a = 0; a < N; a++)
        for (size_t b = a + 1; b < N; b++) {
            uint64_t other[N];

            memcpy(other, heads, sizeof other);
            other[a] = heads[b];
            other[b] = heads[a];
            ck_assert_double_ge(lost_in_order(l, other, N, M), lost - 1e-8);
        }
    gqa_likeness_free(l);
    drop_part(&keys);
    drop_part(&values);
}
END_TEST

/* One order for attentions that are to have as many groups, or more. */
START_TEST(attentions_agree)
{
    enum { N = 12 };
    size_t fours[N], pairs[N];
    struct part keys[2], values[2];
    struct gqa_likeness *l[2];
    uint64_t heads[N];

    shuffle(fours, N, 4);
    /* Pairs within the fours. */
    for (size_t i = 0; i < N; i++) {
        size_t rank = 0;

        for (size_t j = 0; j < i; j++)
            rank += fours[j] == fours[i];
        pairs[i] = 2 * fours[i] + rank % 2;
    }
    keys[0] = make_part(fours, N, &positions[0], 0);
    values[0] = make_part(fours, N, NULL, 0);
    keys[1] = make_part(pairs, N, &positions[0], 0);
    values[1] = make_part(pairs, N, NULL, 0);
    for (int k = 0; k < 2; k++)
        l[k] = compare(&keys[k], &values[k], N);
    ck_assert_int_eq(
        gqa_groups_find(
            heads, (const struct gqa_sharing[]){{l[0], N / 4}, {l[1], N / 2}},
            2, 2),
        GQA_OK);
    ck_assert_double_le(lost_in_order(l[0], heads, N, 4), 1e-9);
    ck_assert_double_le(lost_in_order(l[1], heads, N, 2), 1e-9);
    for (int k = 0; k < 2; k++) {
        gqa_likeness_free(l[k]);
        drop_part(&keys[k]);
        drop_part(&values[k]);
    }
}
END_TEST

/* Twins among heads that have nothing in common are told by the estimate too:
 * 0 for them, much for others. */
START_TEST(pairs_are_symmetric)
{
    enum { N = 6 };
    static const size_t kinds[N] = {0, 1, 0, 2, 1, 2};
    struct part keys = make_part(kinds, N, &positions[3], 0);
    struct part values = make_part(kinds, N, NULL, 0);
    struct gqa_likeness *l = compare(&keys, &values, N);
    double pairs[N * N];
    bool exact;

    ck_assert_int_eq(gqa_likeness_pairs(pairs, &exact, l, 2), GQA_OK);
    ck_assert(exact);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            ck_assert(pairs[i * N + j] == pairs[j * N + i]);
            if (kinds[i] == kinds[j])
                ck_assert_double_le(pairs[i * N + j], 1e-10);
            else
                ck_assert_double_gt(pairs[i * N + j], 0.01);
        }
    gqa_likeness_free(l);
    drop_part(&keys);
    drop_part(&values);
}
END_TEST

START_TEST(what_is_not_finite_is_refused)
{
    enum { N = 4 };
    static const size_t kinds[N] = {0, 1, 2, 3};
    struct part keys = make_part(kinds, N, &positions[0], 0.1);
    const struct gqa_likeness_part p = {&keys.bands, keys.moments,
                                        keys.metrics};
    struct gqa_likeness *l = NULL;
    uint64_t heads[N];

    keys.metrics[3] = 1 / 0.0;
    ck_assert_int_eq(gqa_likeness_create(&l, N, &p, &p), GQA_ERR_FORMAT);
    keys.metrics[3] = 0;
    keys.moments[5] = 1 / 0.0;
    ck_assert_int_eq(gqa_likeness_create(&l, N, &p, &p), GQA_OK);
    ck_assert_int_eq(
        gqa_groups_find(heads, &(const struct gqa_sharing){l, 2}, 1, 1),
        GQA_ERR_FORMAT);
    gqa_likeness_free(l);
    /* Nothing at all is no trouble. */
    memset(keys.moments, 0, N * DIM * N * DIM * sizeof *keys.moments);
    ck_assert_int_eq(gqa_likeness_create(&l, N, &p, &p), GQA_OK);
    ck_assert_int_eq(
        gqa_groups_find(heads, &(const struct gqa_sharing){l, 2}, 1, 1),
        GQA_OK);
    for (size_t i = 0; i < N; i++)
        ck_assert_uint_eq(heads[i], i);
    gqa_likeness_free(l);
    drop_part(&keys);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("groups");
    TCase *all = tcase_create("all");

    if (gqa_blas_load(3) != GQA_OK)
        return EXIT_FAILURE;
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, lost_is_what_factors_lose, 0, N_POSITIONS);
    tcase_add_loop_test(all, planted_groups_are_found, 0, 5);
    tcase_add_test(all, no_exchange_is_better);
    tcase_add_test(all, attentions_agree);
    tcase_add_test(all, pairs_are_symmetric);
    tcase_add_test(all, what_is_not_finite_is_refused);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
