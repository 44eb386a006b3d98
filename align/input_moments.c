#include "align/input_moments.h"

#include <stdlib.h>

#include "align/device_inverse.h"
#include "common/bounds.h"
#include "common/large.h"

/* Of the mean diagonal, so that there is an inverse. */
static const double ridge = 1e-3;

/* On the device. */
struct sums {
    const struct gqa_score_records *records;
    void *rows;  /* real ones of a part */
    void *total; /* float64 [width, width] */
    uint64_t width, n;
};

static enum gqa_status gather_real(const struct sums *s,
                                   const struct gqa_score_part *p, bool keys,
                                   uint64_t *n)
{
    const struct gqa_score_records *r = s->records;
    const uint64_t n_new = keys ? p->n_keys : p->n_new;
    const uint64_t *counts = keys ? p->key_counts : p->n_tokens;
    uint64_t *rows = malloc(gqa_score_part_rows(p, keys) * sizeof *rows);
    enum gqa_status st = rows ? GQA_OK : gqa_fail_nomem();

    *n = 0;
    for (uint64_t i = 0; i < p->n_sequences && rows; i++)
        for (uint64_t j = 0; j < counts[i]; j++)
            rows[(*n)++] = i * n_new + j;
    if (st == GQA_OK)
        st = r->backend->gather(r->device, s->rows,
                                gqa_score_part_inputs(p, keys), s->width, rows,
                                *n);
    free(rows);
    return st;
}

static enum gqa_status add_up(struct sums *s, bool keys)
{
    const struct gqa_score_records *r = s->records;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < r->n_parts && st == GQA_OK; i++) {
        uint64_t n;

        if (r->parts[i].held_out)
            continue;
        st = gather_real(s, &r->parts[i], keys, &n);
        if (st == GQA_OK && n > 0)
            st = r->backend->gram(r->device, s->total, s->rows, s->width, NULL,
                                  0, n);
        s->n += n;
    }
    return st;
}

static enum gqa_status open_sums(struct sums *s, bool keys)
{
    const struct gqa_score_records *r = s->records;
    const uint64_t n_bytes = s->width * s->width * sizeof(double);
    const struct gqa_score_sizes most = gqa_score_records_sizes(r);
    const uint64_t n_rows = keys ? most.n_keys : most.n_queries;
    enum gqa_status st = r->backend->alloc(
        r->device, &s->rows, n_rows * s->width * gqa_dtype_bits(r->real) / 8);

    if (st == GQA_OK)
        st = r->backend->alloc(r->device, &s->total, n_bytes);
    if (st == GQA_OK)
        st = r->backend->zero(r->device, s->total, n_bytes);
    return st;
}

enum gqa_status gqa_input_moments_invert(double **out,
                                         const struct gqa_score_records *r,
                                         bool keys, uint64_t width)
{
    struct sums s = {.records = r, .width = width};
    double *moments = gqa_large_malloc(width * width * sizeof *moments);
    enum gqa_status st = moments ? open_sums(&s, keys) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = add_up(&s, keys);
    if (st == GQA_OK)
        st = r->backend->download(r->device, moments, s.total,
                                  width * width * sizeof *moments);
    for (uint64_t i = 0; i < width * width && st == GQA_OK; i++)
        moments[i] /= (double)gqa_max_u64(s.n, 1);
    *out = gqa_large_malloc(width * width * sizeof **out);
    if (st == GQA_OK && !*out)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_device_invert(r->backend, r->device, *out, moments, width,
                               ridge);
    r->backend->free(r->device, s.rows);
    r->backend->free(r->device, s.total);
    free(moments);
    return st;
}
