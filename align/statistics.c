#include "align/statistics.h"

#include <stdlib.h>
#include <string.h>

#include "align/moments.h"
#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/values.h"

enum { QUERIES, KEYS, VALUES, N_PARTS };

/* Sums over the rows of one projection's outputs, on the device. */
struct sums {
    void *moments; /* float64 [width, width] */
    void *totals;  /* float64 [width, 1] */
    uint64_t width, n_rows;
    struct gqa_head_place place;
};

struct collector {
    const struct gqa_statistics_job *job;
    struct sums sums[2][N_PARTS]; /* by kind, of the block that runs */
    void *gathered, *ones;        /* on the device */
    uint64_t gathered_bytes, n_ones;
};

static size_t element_bytes(const struct gqa_tapped *t)
{
    return gqa_dtype_bits(t->real) / 8;
}

/* A block's attention, by kind; NULL: it has none, or nobody wants it. */
static const struct gqa_attention *wanted(const struct collector *c,
                                          enum gqa_stack stack, uint64_t layer,
                                          enum gqa_attention_kind kind,
                                          size_t *index)
{
    const struct gqa_model *m = c->job->network->model;

    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention *a = &m->attentions[i];

        if (a->stack != stack || a->layer != layer || a->kind != kind)
            continue;
        *index = i;
        return c->job->wanted[i] ? a : NULL;
    }
    return NULL;
}

enum gqa_status gqa_head_statistics_create(struct gqa_head_statistics *out,
                                           const struct gqa_attention *a)
{
    const uint64_t d = a->head_dim, kv = a->n_kv_heads * d;

    *out = (struct gqa_head_statistics){
        .queries = gqa_large_malloc(a->n_heads * d * d * sizeof(double)),
        .centred_keys = gqa_large_malloc(kv * kv * sizeof(double)),
        .keys = gqa_large_malloc(kv * kv * sizeof(double)),
        .values = gqa_large_malloc(kv * kv * sizeof(double)),
    };
    return out->queries && out->centred_keys && out->keys && out->values
               ? GQA_OK
               : gqa_fail_nomem();
}

void gqa_head_statistics_clear(struct gqa_head_statistics *s)
{
    free(s->queries);
    free(s->centred_keys);
    free(s->keys);
    free(s->values);
}

/* --- On the device -------------------------------------------------------- */

static enum gqa_status allocate_zeros(const struct collector *c, void **out,
                                      uint64_t n)
{
    const uint64_t n_bytes = n * sizeof(double);
    const enum gqa_status st =
        c->job->backend->alloc(c->job->device, out, n_bytes);

    return st == GQA_OK ? c->job->backend->zero(c->job->device, *out, n_bytes)
                        : st;
}

static void clear_sums(const struct collector *c, struct sums *s)
{
    c->job->backend->free(c->job->device, s->moments);
    c->job->backend->free(c->job->device, s->totals);
    *s = (struct sums){0};
}

static enum gqa_status begin_sums(const struct collector *c, struct sums *s,
                                  const struct gqa_tapped *t)
{
    enum gqa_status st;

    s->width = t->width;
    s->place = t->place;
    st = allocate_zeros(c, &s->moments, s->width * s->width);
    return st == GQA_OK ? allocate_zeros(c, &s->totals, s->width) : st;
}

static enum gqa_status grow(const struct collector *c, void **memory,
                            uint64_t *has, uint64_t n_bytes)
{
    if (n_bytes <= *has)
        return GQA_OK;
    c->job->backend->free(c->job->device, *memory);
    *memory = NULL;
    *has = n_bytes;
    return c->job->backend->alloc(c->job->device, memory, n_bytes);
}

static enum gqa_status make_ones(struct collector *c,
                                 const struct gqa_tapped *t, uint64_t n)
{
    enum gqa_status st;
    double *ones;

    if (n <= c->n_ones)
        return GQA_OK;
    c->job->backend->free(c->job->device, c->ones);
    c->ones = NULL;
    c->n_ones = n;
    ones = malloc(n * sizeof *ones);
    if (!ones)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        ones[i] = 1;
    st = c->job->backend->alloc(c->job->device, &c->ones, n * element_bytes(t));
    if (st == GQA_OK)
        st = gqa_values_upload(c->job->backend, c->job->device, c->ones,
                               t->real, ones, n);
    free(ones);
    return st;
}

/* The real rows: *x is t->x, or the copy of them. */
static enum gqa_status gather(struct collector *c, const void **x, uint64_t *n,
                              const struct gqa_tapped *t)
{
    uint64_t *rows = calloc(t->n_rows, sizeof *rows);
    enum gqa_status st = GQA_OK;

    if (!rows)
        return gqa_fail_nomem();
    *n = gqa_tapped_rows(t, rows);
    *x = t->x;
    if (*n > 0 && *n < t->n_rows) {
        st = grow(c, &c->gathered, &c->gathered_bytes,
                  t->n_rows * t->width * element_bytes(t));
        if (st == GQA_OK)
            st = t->backend->gather(t->device, c->gathered, t->x, t->width,
                                    rows, *n);
        *x = c->gathered;
    }
    free(rows);
    return st;
}

static enum gqa_status see(void *ctx, const struct gqa_tapped *t)
{
    static const int parts[] = {
        [GQA_TAP_Q] = QUERIES, [GQA_TAP_K] = KEYS, [GQA_TAP_V] = VALUES};
    struct collector *c = ctx;
    struct sums *s = &c->sums[t->kind][parts[t->point]];
    const void *x = NULL;
    uint64_t n = 0;
    size_t index;
    enum gqa_status st;

    if (!wanted(c, t->stack, t->layer, t->kind, &index))
        return GQA_OK;
    if (!s->moments && (st = begin_sums(c, s, t)) != GQA_OK)
        return st;
    if ((st = gather(c, &x, &n, t)) != GQA_OK || n == 0)
        return st;
    s->n_rows += n;
    st = t->backend->gram(t->device, s->moments, x, s->width, NULL, 0, n);
    if (st == GQA_OK)
        st = make_ones(c, t, n);
    return st == GQA_OK ? t->backend->gram(t->device, s->totals, x, s->width,
                                           c->ones, 1, n)
                        : st;
}

/* --- On the host ---------------------------------------------------------- */

static uint64_t element_of(const struct sums *s, uint64_t d, uint64_t i)
{
    const struct gqa_head_place *p = &s->place;
    const uint64_t h = i / d;

    return p->base + h / p->per_block * p->block_stride + h % p->per_block * d +
           i % d;
}

/*
 * Heads side by side: E[x x^T] of elements [first, first + n), about the mean
 * where it is given.
 */
struct extraction {
    double *out; /* [n, n] */
    const struct sums *s;
    const double *moments, *mean;
    uint64_t head_dim, first, n;
};

static enum gqa_status extract_rows(void *ctx, uint64_t row, uint64_t n_rows)
{
    const struct extraction *e = ctx;
    const uint64_t width = e->s->width, d = e->head_dim;
    const double n_all = (double)e->s->n_rows;

    for (uint64_t i = row; i < row + n_rows; i++) {
        const uint64_t r = element_of(e->s, d, e->first + i);

        /* What of a row belongs to one head lies together. */
        for (uint64_t j = 0, n; j < e->n; j += n) {
            const uint64_t c = element_of(e->s, d, e->first + j);
            const double *from = e->moments + r * width + c;
            double *to = e->out + i * e->n + j;

            n = gqa_min_u64(d - (e->first + j) % d, e->n - j);
            for (uint64_t k = 0; k < n; k++)
                to[k] = from[k] / n_all -
                        (e->mean ? e->mean[r] * e->mean[c + k] : 0);
        }
    }
    return GQA_OK;
}

static enum gqa_status extract(double *out, const struct collector *c,
                               const struct sums *s, const double *moments,
                               const double *mean, uint64_t d, uint64_t first,
                               uint64_t n)
{
    struct extraction e = {out, s, moments, mean, d, first, n};

    return gqa_ranges_run(n, 64, c->job->n_threads, extract_rows, &e);
}

static enum gqa_status fetch(const struct collector *c, const struct sums *s,
                             double *moments, double *mean)
{
    enum gqa_status st =
        c->job->backend->download(c->job->device, moments, s->moments,
                                  s->width * s->width * sizeof *moments);

    if (st == GQA_OK)
        st = c->job->backend->download(c->job->device, mean, s->totals,
                                       s->width * sizeof *mean);
    for (uint64_t i = 0; i < s->width && st == GQA_OK; i++)
        mean[i] /= (double)s->n_rows;
    return st;
}

static enum gqa_status extract_part(const struct collector *c,
                                    struct gqa_head_statistics *out, int part,
                                    const struct sums *s,
                                    const struct gqa_attention *a)
{
    const uint64_t d = a->head_dim, kv = a->n_kv_heads * d;
    double *moments = gqa_large_malloc(s->width * s->width * sizeof *moments);
    double *mean = malloc(s->width * sizeof *mean);
    enum gqa_status st =
        moments && mean ? fetch(c, s, moments, mean) : gqa_fail_nomem();

    for (uint64_t h = 0; h < a->n_heads && part == QUERIES && st == GQA_OK; h++)
        st =
            extract(out->queries + h * d * d, c, s, moments, NULL, d, h * d, d);
    if (st == GQA_OK && part == KEYS)
        st = extract(out->keys, c, s, moments, NULL, d, 0, kv);
    if (st == GQA_OK && part == KEYS)
        st = extract(out->centred_keys, c, s, moments, mean, d, 0, kv);
    if (st == GQA_OK && part == VALUES)
        st = extract(out->values, c, s, moments, NULL, d, 0, kv);
    free(moments);
    free(mean);
    return st;
}

static enum gqa_status hand_over(struct collector *c, size_t index,
                                 const struct gqa_attention *a,
                                 struct sums *sums)
{
    struct gqa_head_statistics s;
    enum gqa_status st = gqa_head_statistics_create(&s, a);

    for (int part = 0; part < N_PARTS && st == GQA_OK; part++)
        st = extract_part(c, &s, part, &sums[part], a);
    if (st == GQA_OK)
        st = gqa_statistics_add_share(&s, c->job->checkpoint,
                                      c->job->network->model, a,
                                      c->job->n_threads);
    if (st == GQA_OK)
        st = c->job->take(c->job->ctx, index, &s);
    gqa_head_statistics_clear(&s);
    return st;
}

static enum gqa_status end_block(void *ctx, enum gqa_stack stack,
                                 uint64_t layer)
{
    struct collector *c = ctx;
    enum gqa_status st = GQA_OK;

    for (int kind = 0; kind < 2 && st == GQA_OK; kind++) {
        size_t index;
        const struct gqa_attention *a =
            wanted(c, stack, layer, (enum gqa_attention_kind)kind, &index);

        if (a)
            st = hand_over(c, index, a, c->sums[kind]);
        for (int part = 0; part < N_PARTS; part++)
            clear_sums(c, &c->sums[kind][part]);
    }
    return st;
}

enum gqa_status gqa_statistics_collect(const struct gqa_statistics_job *job)
{
    const struct gqa_layers_options options = {.host_bytes = UINT64_C(1) << 31,
                                               .read_ahead = true};
    struct collector c = {.job = job};
    const struct gqa_taps taps = {
        GQA_TAP(GQA_TAP_Q) | GQA_TAP(GQA_TAP_K) | GQA_TAP(GQA_TAP_V), see, &c};
    const struct gqa_layers_output output = {
        .ctx = &c, .end = end_block, .step = {.taps = &taps}};
    struct gqa_layers *layers = NULL;
    enum gqa_status st =
        gqa_layers_create(&layers, job->network, job->backend, job->device,
                          job->weights, job->tokens, &options);

    if (st == GQA_OK)
        st = gqa_layers_blocks(layers, &output, job->progress,
                               job->progress_ctx);
    for (int kind = 0; kind < 2; kind++)
        for (int part = 0; part < N_PARTS; part++)
            clear_sums(&c, &c.sums[kind][part]);
    job->backend->free(job->device, c.gathered);
    job->backend->free(job->device, c.ones);
    gqa_layers_free(layers);
    return st;
}
