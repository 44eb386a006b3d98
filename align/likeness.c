#include "align/likeness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/eigen.h"
#include "common/ranges.h"
#include "runtime/blas.h"

/* Above it two heads are compared by an estimate: minutes of a core. */
static const double MAX_PAIR_WORK = 3e11;
/* Of an eigenvalue problem that has no size. */
static const double CALL_WORK = 2e4;

/*
 * A band's T moments T, T being the square roots of the metrics (docs/
 * numerics.md), as a real matrix: a complex pair stands there as two
 * coordinates, so that each of its eigenvalues is there twice.
 */
struct pulled {
    size_t n;         /* coordinates of a head */
    bool is_doubled;  /* it was complex */
    double *matrix;   /* [n_heads n, n_heads n] */
    double *energies; /* [n_heads]: traces */
    double *squares;  /* [n_heads]: of the heads' own blocks */
};

struct part {
    struct pulled *bands;
    size_t n_bands;
    double all; /* energy of all heads */
};

struct gqa_likeness {
    size_t n_heads;
    struct part parts[2];
};

/* --- T moments T ---------------------------------------------------------- */

static size_t width_of(const struct gqa_band *band)
{
    return band->im ? 2 * band->n : band->n;
}

/*
 * Element (i, j) of a block of moments between two heads, of a band of complex
 * pairs what E[x conj(y)] is as a real matrix: [[re, -im], [im, re]].
 */
static double element(const struct gqa_band *band, const double *block,
                      size_t ld, size_t i, size_t j)
{
    const size_t n = band->n;
    const double *re, *im;

    if (!band->im)
        return block[band->re[i] * ld + band->re[j]];
    re = block + band->re[i % n] * ld;
    im = block + band->im[i % n] * ld;
    if ((i < n) == (j < n))
        return re[band->re[j % n]] + im[band->im[j % n]];
    return (i < n ? -1 : 1) * (im[band->re[j % n]] - re[band->im[j % n]]);
}

/* The square root of a metric, [n, n]. */
static enum gqa_status take_root(double *root, const struct gqa_band *band,
                                 const double *metric, size_t head_dim)
{
    const size_t n = width_of(band);
    double complex *vectors = malloc(n * n * sizeof *vectors);
    double *values = malloc(n * sizeof *values);
    double *scaled = malloc(2 * n * n * sizeof *scaled);
    enum gqa_status st =
        vectors && values && scaled ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < n && st == GQA_OK; i++)
        for (size_t j = 0; j < n; j++)
            vectors[i * n + j] = element(band, metric, head_dim, i, j);
    if (st == GQA_OK)
        st = gqa_eigen(vectors, values, n, true);
    if (st == GQA_OK) {
        double *plain = scaled + n * n;

        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                const double x = creal(vectors[i * n + j]);

                plain[i * n + j] = x;
                scaled[i * n + j] = x * sqrt(fmax(values[j], 0));
            }
        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n,
                       (int)n, 1, scaled, (int)n, plain, (int)n, 0, root,
                       (int)n);
    }
    free(vectors);
    free(values);
    free(scaled);
    return st;
}

struct pulling {
    const struct gqa_likeness_part *from;
    const struct gqa_band *band;
    size_t n_heads;
    double *roots; /* [n_heads, n, n] */
    double *rows;  /* [n, n_heads n]: a head's moments with itself and those
                      behind it */
    double *half;  /* likewise, times its root */
};

static void pull_head(struct pulled *out, const struct pulling *p, size_t h)
{
    const size_t n = out->n, w = p->n_heads * n, d = p->from->bands->head_dim;
    const size_t ld = p->n_heads * d, behind = w - h * n;

    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < behind; c++)
            p->rows[i * behind + c] = element(
                p->band, p->from->moments + h * d * ld + (h + c / n) * d, ld, i,
                c % n);
    gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n,
                   (int)behind, (int)n, 1, p->roots + h * n * n, (int)n,
                   p->rows, (int)behind, 0, p->half, (int)behind);
    for (size_t j = h; j < p->n_heads; j++)
        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n,
                       (int)n, (int)n, 1, p->half + (j - h) * n, (int)behind,
                       p->roots + j * n * n, (int)n, 0,
                       out->matrix + h * n * w + j * n, (int)w);
    for (size_t i = 0; i < n; i++)
        for (size_t c = h * n + i + 1; c < w; c++)
            out->matrix[c * w + h * n + i] = out->matrix[(h * n + i) * w + c];
    for (size_t i = 0; i < n; i++) {
        const double *row = out->matrix + (h * n + i) * w + h * n;

        out->energies[h] += row[i];
        for (size_t c = 0; c < n; c++)
            out->squares[h] += row[c] * row[c];
    }
}

static enum gqa_status pull(struct pulled *out,
                            const struct gqa_likeness_part *from,
                            const struct gqa_band *band, size_t n_heads)
{
    const size_t n = width_of(band), w = n_heads * n;
    const size_t d = from->bands->head_dim;
    struct pulling p = {.from = from, .band = band, .n_heads = n_heads};
    enum gqa_status st = GQA_OK;

    out->n = n;
    out->is_doubled = band->im != NULL;
    out->matrix = malloc(w * w * sizeof *out->matrix);
    out->energies = calloc(n_heads, sizeof *out->energies);
    out->squares = calloc(n_heads, sizeof *out->squares);
    p.roots = malloc(w * n * sizeof *p.roots);
    p.rows = malloc(w * n * sizeof *p.rows);
    p.half = malloc(w * n * sizeof *p.half);
    if (!out->matrix || !out->energies || !out->squares || !p.roots ||
        !p.rows || !p.half)
        st = gqa_fail_nomem();
    for (size_t h = 0; h < n_heads && st == GQA_OK; h++)
        st = take_root(p.roots + h * n * n, band, from->metrics + h * d * d, d);
    for (size_t h = 0; h < n_heads && st == GQA_OK; h++)
        pull_head(out, &p, h);
    free(p.roots);
    free(p.rows);
    free(p.half);
    return st;
}

static enum gqa_status pull_part(struct part *out,
                                 const struct gqa_likeness_part *from,
                                 size_t n_heads)
{
    enum gqa_status st = GQA_OK;

    out->n_bands = from->bands->n;
    out->bands = calloc(out->n_bands, sizeof *out->bands);
    if (!out->bands)
        return gqa_fail_nomem();
    for (size_t i = 0; i < out->n_bands && st == GQA_OK; i++) {
        struct pulled *b = &out->bands[i];

        st = pull(b, from, &from->bands->items[i], n_heads);
        for (size_t h = 0; h < n_heads && st == GQA_OK; h++)
            out->all += b->energies[h] / (b->is_doubled ? 2 : 1);
    }
    return st;
}

enum gqa_status gqa_likeness_create(struct gqa_likeness **out, size_t n_heads,
                                    const struct gqa_likeness_part *keys,
                                    const struct gqa_likeness_part *values)
{
    struct gqa_likeness *l = calloc(1, sizeof *l);
    enum gqa_status st;

    if (!l)
        return gqa_fail_nomem();
    l->n_heads = n_heads;
    st = pull_part(&l->parts[0], keys, n_heads);
    if (st == GQA_OK)
        st = pull_part(&l->parts[1], values, n_heads);
    if (st != GQA_OK) {
        gqa_likeness_free(l);
        return st;
    }
    *out = l;
    return GQA_OK;
}

void gqa_likeness_free(struct gqa_likeness *l)
{
    if (!l)
        return;
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; l->parts[k].bands && i < l->parts[k].n_bands; i++) {
            free(l->parts[k].bands[i].matrix);
            free(l->parts[k].bands[i].energies);
            free(l->parts[k].bands[i].squares);
        }
        free(l->parts[k].bands);
    }
    free(l);
}

size_t gqa_likeness_n_heads(const struct gqa_likeness *likeness)
{
    return likeness->n_heads;
}

/* --- What is lost --------------------------------------------------------- */

/* All eigenvalues of the heads' own matrix but the n largest; `work` has room
 * for it and for them. */
static enum gqa_status lost_of_band(double *lost, const struct pulled *b,
                                    size_t n_heads, const size_t *heads,
                                    size_t n, double *work)
{
    const size_t w = n * b->n, ld = n_heads * b->n;
    double *values = work + w * w;
    enum gqa_status st;
    double sum = 0;

    for (size_t x = 0; x < n; x++)
        for (size_t i = 0; i < b->n; i++)
            for (size_t y = 0; y < n; y++)
                memcpy(work + (x * b->n + i) * w + y * b->n,
                       b->matrix + (heads[x] * b->n + i) * ld + heads[y] * b->n,
                       b->n * sizeof *work);
    st = gqa_eigenvalues(work, values, w);
    for (size_t i = 0; i < w - b->n && st == GQA_OK; i++)
        sum += fmax(values[i], 0);
    *lost += b->is_doubled ? sum / 2 : sum;
    return st;
}

enum gqa_status gqa_likeness_lost_apart(double lost[2],
                                        const struct gqa_likeness *l,
                                        const size_t *heads, size_t n)
{
    size_t most = 1;
    double *work;
    enum gqa_status st = GQA_OK;

    lost[0] = lost[1] = 0;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < l->parts[k].n_bands; i++)
            if (l->parts[k].bands[i].n > most)
                most = l->parts[k].bands[i].n;
    work = malloc((n * most + 1) * n * most * sizeof *work);
    if (!work)
        return gqa_fail_nomem();
    for (int k = 0; k < 2 && st == GQA_OK; k++) {
        const struct part *part = &l->parts[k];
        double sum = 0;

        for (size_t i = 0; i < part->n_bands && st == GQA_OK; i++)
            st =
                lost_of_band(&sum, &part->bands[i], l->n_heads, heads, n, work);
        lost[k] = part->all > 0 ? sum / part->all : 0;
    }
    free(work);
    return st;
}

enum gqa_status gqa_likeness_lost(double *lost, const struct gqa_likeness *l,
                                  const size_t *heads, size_t n)
{
    double apart[2];
    const enum gqa_status st = gqa_likeness_lost_apart(apart, l, heads, n);

    *lost = apart[0] + apart[1];
    return st;
}

void gqa_likeness_all(double all[2], const struct gqa_likeness *l)
{
    for (int k = 0; k < 2; k++)
        all[k] = l->parts[k].all;
}

void gqa_likeness_energy(double energy[2], const struct gqa_likeness *l,
                         size_t head)
{
    for (int k = 0; k < 2; k++) {
        const struct part *part = &l->parts[k];
        double sum = 0;

        for (size_t i = 0; i < part->n_bands; i++)
            sum += part->bands[i].energies[head] /
                   (part->bands[i].is_doubled ? 2 : 1);
        energy[k] = part->all > 0 ? sum / part->all : 0;
    }
}

double gqa_likeness_work(const struct gqa_likeness *l, size_t n)
{
    double work = 0;

    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < l->parts[k].n_bands; i++) {
            const double w = (double)(n * l->parts[k].bands[i].n);

            work += CALL_WORK + 4 * w * w * w / 3;
        }
    return work;
}

/*
 * An estimate: were both heads' energies spread alike, what two of them keep
 * would be half of theirs and the sum of the singular values of the block
 * between them, which follows from its squares where it has as many that count
 * as they have. None is lost where heads are the same.
 */
static void estimate(double lost[2], const struct gqa_likeness *l, size_t x,
                     size_t y)
{
    for (int k = 0; k < 2; k++) {
        const struct part *part = &l->parts[k];
        double sum = 0;

        for (size_t i = 0; i < part->n_bands; i++) {
            const struct pulled *b = &part->bands[i];
            const size_t ld = l->n_heads * b->n;
            const double own = b->squares[x] * b->squares[y];
            double between = 0, kept;

            for (size_t r = 0; r < b->n; r++)
                for (size_t c = 0; c < b->n; c++) {
                    const double v =
                        b->matrix[(x * b->n + r) * ld + y * b->n + c];

                    between += v * v;
                }
            kept = own > 0 ? sqrt(between * b->energies[x] * b->energies[y] /
                                  sqrt(own))
                           : 0;
            kept = fmax((b->energies[x] + b->energies[y]) / 2 - kept, 0);
            sum += b->is_doubled ? kept / 2 : kept;
        }
        lost[k] = part->all > 0 ? sum / part->all : 0;
    }
}

struct pairs {
    const struct gqa_likeness *likeness;
    double *const *out; /* of keys, of values */
    bool exact;
};

static enum gqa_status pair_rows(void *ctx, uint64_t first, uint64_t n_rows)
{
    const struct pairs *p = ctx;
    const size_t n = p->likeness->n_heads;
    enum gqa_status st = GQA_OK;

    for (size_t x = first; x < first + n_rows && st == GQA_OK; x++) {
        p->out[0][x * n + x] = p->out[1][x * n + x] = 0;
        for (size_t y = x + 1; y < n && st == GQA_OK; y++) {
            const size_t both[] = {x, y};
            double lost[2] = {0, 0};

            if (p->exact)
                st = gqa_likeness_lost_apart(lost, p->likeness, both, 2);
            else
                estimate(lost, p->likeness, x, y);
            for (int k = 0; k < 2; k++)
                p->out[k][x * n + y] = p->out[k][y * n + x] = lost[k];
        }
    }
    return st;
}

enum gqa_status gqa_likeness_pairs_apart(double *const out[2], bool *exact,
                                         const struct gqa_likeness *likeness,
                                         unsigned n_threads)
{
    const double n = (double)likeness->n_heads;
    struct pairs p = {.likeness = likeness, .out = out};

    p.exact = n * (n - 1) / 2 * gqa_likeness_work(likeness, 2) <= MAX_PAIR_WORK;
    *exact = p.exact;
    return gqa_ranges_run(likeness->n_heads, 1, n_threads, pair_rows, &p);
}

enum gqa_status gqa_likeness_pairs(double *out, bool *exact,
                                   const struct gqa_likeness *likeness,
                                   unsigned n_threads)
{
    const size_t n = likeness->n_heads;
    double *values = malloc(n * n * sizeof *values);
    enum gqa_status st =
        values ? gqa_likeness_pairs_apart((double *const[]){out, values}, exact,
                                          likeness, n_threads)
               : gqa_fail_nomem();

    for (size_t i = 0; i < n * n && st == GQA_OK; i++)
        out[i] += values[i];
    free(values);
    return st;
}
