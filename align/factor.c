#include "align/factor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/eigen.h"
#include "common/large.h"
#include "runtime/blas.h"

/* What is smaller than this share of the largest is rounding, */
static const double NOTHING = 1e-14;
/* and of a metric's mean this counts in all directions, so that it has an
 * inverse, whose rounding is far below that of what is written. */
static const double FLOOR = 1e-10;

/* One band of the group; `width` = n heads * band's dimensions. */
struct band_problem {
    const struct gqa_band *band;
    size_t head_dim, n_heads, width;
    double complex *moments; /* [width, width] */
    double complex *metrics; /* [n_heads, n, n] */
    double complex *roots;   /* likewise: their square roots, */
    double complex *undone;  /* and the inverses of these */
    double complex *pulled;  /* [width, width]: of roots k; then its vectors */
    double complex *mix;     /* [n, width] */
    double complex *back;    /* [width, n]: B_j, one below the other */
    double complex *scratch; /* [width, width] */
    double *values;          /* [width] */
};

static void clear(struct band_problem *p)
{
    free(p->moments);
    free(p->metrics);
    free(p->roots);
    free(p->undone);
    free(p->pulled);
    free(p->mix);
    free(p->back);
    free(p->scratch);
    free(p->values);
}

static enum gqa_status allocate(struct band_problem *p)
{
    const size_t n = p->band->n, w = p->width, size = sizeof *p->moments;

    p->moments = gqa_large_calloc(w * w, size);
    p->metrics = gqa_large_calloc(w * n, size);
    p->roots = gqa_large_calloc(w * n, size);
    p->undone = gqa_large_calloc(w * n, size);
    p->pulled = gqa_large_calloc(w * w, size);
    p->mix = gqa_large_calloc(w * n, size);
    p->back = gqa_large_calloc(w * n, size);
    p->scratch = gqa_large_calloc(w * w, size);
    p->values = calloc(w, sizeof *p->values);
    return p->moments && p->metrics && p->roots && p->undone && p->pulled &&
                   p->mix && p->back && p->scratch && p->values
               ? GQA_OK
               : gqa_fail_nomem();
}

/* out [rows, cols] = a b, or a^H b, or a b^H; ld: elements of a row. */
static void multiply(double complex *out, size_t ld_out, CBLAS_TRANSPOSE on_a,
                     const double complex *a, size_t ld_a, CBLAS_TRANSPOSE on_b,
                     const double complex *b, size_t ld_b, size_t rows,
                     size_t cols, size_t inner)
{
    const double complex one = 1, zero = 0;

    gqa_blas.zgemm(CblasRowMajor, on_a, on_b, (int)rows, (int)cols, (int)inner,
                   &one, a, (int)ld_a, b, (int)ld_b, &zero, out, (int)ld_out);
}

/*
 * E[x conj(y)] of two elements of a band, from the moments of the coordinates;
 * rows and cols point to the heads' first elements, ld is a row's length.
 */
static double complex moment(const struct gqa_band *band, const double *block,
                             size_t ld, size_t i, size_t j)
{
    const double *re = block + band->re[i] * ld;
    const double *im;

    if (!band->im)
        return re[band->re[j]];
    im = block + band->im[i] * ld;
    return re[band->re[j]] + im[band->im[j]] +
           I * (im[band->re[j]] - re[band->im[j]]);
}

static void gather(struct band_problem *p, const double *moments,
                   const double *metrics)
{
    const size_t n = p->band->n, d = p->head_dim, ld = p->n_heads * d;

    for (size_t a = 0; a < p->n_heads; a++)
        for (size_t i = 0; i < n; i++) {
            for (size_t b = 0; b < p->n_heads; b++)
                for (size_t j = 0; j < n; j++)
                    p->moments[(a * n + i) * p->width + b * n + j] =
                        moment(p->band, moments + a * d * ld + b * d, ld, i, j);
            for (size_t j = 0; j < n; j++)
                p->metrics[(a * n + i) * n + j] =
                    moment(p->band, metrics + a * d * d, d, i, j);
        }
}

/* What queries or outputs there are at all makes of a direction that none has
 * one of the least, not nothing. All are 0 where there are none. */
static void add_floor(struct band_problem *p)
{
    const size_t n = p->band->n;
    double sum = 0;

    for (size_t r = 0; r < p->width; r++)
        sum += creal(p->metrics[r * n + r % n]);
    for (size_t r = 0; r < p->width; r++)
        p->metrics[r * n + r % n] += FLOOR * sum / (double)p->width;
}

/* vectors diag(values ^ (1/2) or ^ (-1/2)) vectors^H; scaled is overwritten. */
static void raise(double complex *out, double complex *scaled,
                  const double complex *vectors, const double *values, size_t n,
                  bool to_inverse)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double root = sqrt(fmax(values[j], 0));

            scaled[i * n + j] = vectors[i * n + j] *
                                (to_inverse ? (root > 0 ? 1 / root : 0) : root);
        }
    multiply(out, n, CblasNoTrans, scaled, n, CblasConjTrans, vectors, n, n, n,
             n);
}

/* The square root of each metric; values and scratch are overwritten. */
static enum gqa_status take_roots(struct band_problem *p)
{
    const size_t n = p->band->n;
    double complex *vectors = p->scratch;

    for (size_t h = 0; h < p->n_heads; h++) {
        double complex *scaled = p->back + h * n * n; /* not used yet */
        enum gqa_status st;

        memcpy(vectors, p->metrics + h * n * n, n * n * sizeof *vectors);
        st = gqa_eigen(vectors, p->values, n, !p->band->im);
        if (st != GQA_OK)
            return st;
        raise(p->roots + h * n * n, scaled, vectors, p->values, n, false);
        raise(p->undone + h * n * n, scaled, vectors, p->values, n, true);
    }
    return GQA_OK;
}

/* roots moments roots, block by block. */
static void pull(struct band_problem *p)
{
    const size_t n = p->band->n, w = p->width;

    for (size_t h = 0; h < p->n_heads; h++)
        multiply(p->scratch + h * n * w, w, CblasNoTrans, p->roots + h * n * n,
                 n, CblasNoTrans, p->moments + h * n * w, w, n, w, n);
    for (size_t h = 0; h < p->n_heads; h++)
        multiply(p->pulled + h * n, w, CblasNoTrans, p->scratch + h * n, w,
                 CblasNoTrans, p->roots + h * n * n, n, w, n, n);
    for (size_t i = 0; i < w; i++)
        for (size_t j = 0; j < i; j++)
            p->pulled[i * w + j] = conj(p->pulled[j * w + i]);
}

/* Largest first: dimension i of z is vector w - 1 - i. */
static size_t vector_of(const struct band_problem *p, size_t i)
{
    return p->width - 1 - i;
}

/*
 * M = U^H T and B = T^-1 U. Where U is square, B M is 1 whatever its vectors
 * are; dividing by eigenvalues would lose those that are smallest.
 */
static void transform(struct band_problem *p)
{
    const size_t n = p->band->n, w = p->width;
    double complex *top = p->scratch; /* [width, n] */

    for (size_t r = 0; r < w; r++)
        for (size_t i = 0; i < n; i++)
            top[r * n + i] = p->pulled[r * w + vector_of(p, i)];
    for (size_t h = 0; h < p->n_heads; h++) {
        const double complex *vectors = top + h * n * n;

        multiply(p->mix + h * n, w, CblasConjTrans, vectors, n, CblasNoTrans,
                 p->roots + h * n * n, n, n, n, n);
        multiply(p->back + h * n * n, n, CblasNoTrans, p->undone + h * n * n, n,
                 CblasNoTrans, vectors, n, n, n, n);
    }
}

/* E |q'_i|^2, in the mean of the heads. */
static double query_energy(const struct band_problem *p, size_t i)
{
    const size_t n = p->band->n;
    double complex sum = 0;

    for (size_t h = 0; h < p->n_heads; h++) {
        const double complex *a = p->metrics + h * n * n;
        const double complex *b = p->back + h * n * n;

        for (size_t r = 0; r < n; r++)
            for (size_t c = 0; c < n; c++)
                sum += conj(b[r * n + i]) * a[r * n + c] * b[c * n + i];
    }
    return creal(sum) / (double)p->n_heads;
}

/*
 * Keys and queries get the same energy in each dimension: neither is small
 * where the other is large, when both are rounded. A key that is rounding
 * counts as if it were just none, since it may still be all that tells two
 * apart.
 */
static void balance(struct band_problem *p)
{
    const size_t n = p->band->n, w = p->width;
    const double least = NOTHING * p->values[w - 1];

    for (size_t i = 0; i < n; i++) {
        const double key = fmax(p->values[vector_of(p, i)], least);
        const double query = query_energy(p, i);
        const bool is_used = key > 0 && query > 0;
        const double by = is_used ? sqrt(sqrt(query / key)) : 0;

        for (size_t c = 0; c < w; c++)
            p->mix[i * w + c] *= by;
        for (size_t r = 0; r < w; r++)
            p->back[r * n + i] *= is_used ? 1 / by : 0;
    }
}

/* The real matrix of a complex factor, at [row, col] of a band. */
static void spread(double *out, size_t ld, const struct gqa_band *band,
                   size_t row, size_t col, double complex factor)
{
    out[band->re[row] * ld + band->re[col]] = creal(factor);
    if (!band->im)
        return;
    out[band->re[row] * ld + band->im[col]] = -cimag(factor);
    out[band->im[row] * ld + band->re[col]] = cimag(factor);
    out[band->im[row] * ld + band->im[col]] = creal(factor);
}

static void hand_out(struct gqa_factor *out, const struct band_problem *p)
{
    const size_t n = p->band->n, d = p->head_dim;

    for (size_t h = 0; h < p->n_heads; h++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                spread(out->mix + h * d, p->n_heads * d, p->band, i, j,
                       p->mix[i * p->width + h * n + j]);
                spread(out->back + h * d * d, d, p->band, i, j,
                       conj(p->back[(h * n + j) * n + i]));
            }
    for (size_t i = 0; i < p->width; i++) {
        const double energy = fmax(p->values[vector_of(p, i)], 0);

        out->all += energy;
        out->lost += i < n ? 0 : energy;
    }
}

static enum gqa_status factor_band(struct gqa_factor *out,
                                   const struct gqa_bands *bands,
                                   const struct gqa_band *band, size_t n_heads,
                                   const double *moments, const double *metrics)
{
    struct band_problem p = {.band = band,
                             .head_dim = bands->head_dim,
                             .n_heads = n_heads,
                             .width = n_heads * band->n};
    enum gqa_status st = allocate(&p);

    if (st == GQA_OK) {
        gather(&p, moments, metrics);
        add_floor(&p);
        st = take_roots(&p);
    }
    if (st == GQA_OK) {
        pull(&p);
        st = gqa_eigen(p.pulled, p.values, p.width, !band->im);
    }
    if (st == GQA_OK) {
        transform(&p);
        balance(&p);
        hand_out(out, &p);
    }
    clear(&p);
    return st;
}

enum gqa_status gqa_factor(struct gqa_factor *out,
                           const struct gqa_bands *bands, size_t n,
                           const double *moments, const double *metrics)
{
    const size_t d = bands->head_dim;
    enum gqa_status st = GQA_OK;

    memset(out->mix, 0, n * d * d * sizeof *out->mix);
    memset(out->back, 0, n * d * d * sizeof *out->back);
    out->all = out->lost = 0;
    for (size_t i = 0; i < bands->n && st == GQA_OK; i++)
        st = factor_band(out, bands, &bands->items[i], n, moments, metrics);
    return st;
}
