/*
 * Keys or values that were pooled, but not as they must be: each way is tried
 * on all heads, or on the first columns of wide ones.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify/mistakes.h"

/* Elements looked at, and at most held where a whole tensor has to be. */
#define SAMPLE ((uint64_t)1 << 20)
#define WHOLE  ((uint64_t)1 << 24)

enum gqa_status gqa_head_matrix_load(struct gqa_head_matrix *out,
                                     struct gqa_checkpoint *checkpoint,
                                     const struct gqa_param *param,
                                     unsigned axis, const uint64_t *first,
                                     uint64_t n_heads, uint64_t dim,
                                     uint64_t max_elements)
{
    const uint64_t across = axis == 0 ? param->cols : param->rows;
    const uint64_t most = max_elements / (n_heads * dim);
    const uint64_t cols = across < most ? across : most > 0 ? most : 1;
    const size_t width = gqa_dtype_bits(param->dtype) / 8;
    const size_t n = (size_t)(dim * cols);
    enum gqa_status st = GQA_OK;
    void *buf = calloc(n + 1, width), *scratch = calloc(n + 1, width);
    double *values = calloc(n + 1, sizeof *values);

    *out = (struct gqa_head_matrix){
        .n_heads = n_heads, .dim = dim, .cols = cols, .dtype = param->dtype};
    out->at = calloc((size_t)n_heads * n + 1, sizeof *out->at);
    if (!buf || !scratch || !values || !out->at)
        st = gqa_fail_nomem();
    for (uint64_t h = 0; h < n_heads && st == GQA_OK; h++) {
        double *to = out->at + h * n;

        st = axis == 0 ? gqa_param_read(checkpoint, param, first[h], dim, 0,
                                        cols, buf, cols, scratch)
                       : gqa_param_read(checkpoint, param, 0, cols, first[h],
                                        dim, buf, dim, scratch);
        if (st != GQA_OK)
            break;
        gqa_load_f64(values, buf, param->dtype, n);
        for (uint64_t i = 0; i < dim; i++)
            for (uint64_t c = 0; c < cols; c++)
                to[i * cols + c] =
                    values[axis == 0 ? i * cols + c : c * dim + i];
    }
    free(values);
    free(scratch);
    free(buf);
    if (st != GQA_OK) {
        free(out->at);
        out->at = NULL;
    }
    return st;
}

/* Heads of the original, of the converted checkpoint, and the means that the
 * latter must be before they are rounded. */
struct heads {
    struct gqa_head_matrix from, to;
    double *means; /* [to.n_heads * dim, cols] */
    uint64_t pooled, members;
};

static uint64_t n_elements(const struct heads *p)
{
    return p->to.n_heads * p->to.dim * p->to.cols;
}

static double rounded(const struct heads *p, double x)
{
    unsigned char stored[sizeof x];

    gqa_store_f64(stored, p->to.dtype, &x, 1);
    gqa_load_f64(&x, stored, p->to.dtype, 1);
    return x;
}

/* The value of the type that comes after `x`, away from zero (1) or towards
 * it (-1). */
static double next_to(const struct heads *p, double x, int direction)
{
    unsigned char stored[sizeof x] = {0};
    uint64_t bits = 0;

    if (x == 0)
        return x;
    gqa_store_f64(stored, p->to.dtype, &x, 1);
    memcpy(&bits, stored, sizeof bits);
    bits = direction > 0 ? bits + 1 : bits - 1;
    memcpy(stored, &bits, sizeof bits);
    gqa_load_f64(&x, stored, p->to.dtype, 1);
    return x;
}

static uint64_t group_of(const struct heads *p, uint64_t head)
{
    return head / (p->to.n_heads / p->pooled);
}

static void make_means(struct heads *p)
{
    const uint64_t n = p->to.dim * p->to.cols;

    for (uint64_t h = 0; h < p->to.n_heads; h++)
        for (uint64_t e = 0; e < n; e++) {
            const uint64_t first = group_of(p, h) * p->members;
            double sum = p->from.at[first * n + e];

            for (uint64_t j = 1; j < p->members; j++)
                sum += p->from.at[(first + j) * n + e];
            p->means[h * n + e] = sum / (double)p->members;
        }
}

/* --- The wrong number in the division ------------------------------------- */

static bool are_scaled(const struct heads *p, double factor, double tolerance)
{
    for (uint64_t e = 0; e < n_elements(p); e++) {
        const double wanted = p->means[e] * factor;

        if (tolerance == 0
                ? p->to.at[e] != rounded(p, wanted)
                : fabs(p->to.at[e] - wanted) > tolerance * fabs(wanted) + 1e-30)
            return false;
    }
    return true;
}

static bool find_divisor(struct gqa_finding *cause, const struct heads *p)
{
    const double m = (double)p->members;
    uint64_t largest = 0;
    double factor, divisor;

    for (uint64_t e = 0; e < n_elements(p); e++)
        if (fabs(p->means[e]) > fabs(p->means[largest]))
            largest = e;
    if (p->means[largest] == 0)
        return false;
    factor = p->to.at[largest] / p->means[largest];
    divisor = m / factor;
    if (!isfinite(divisor) || factor == 0)
        return false;
    if (fabs(divisor - round(divisor)) < 0.02 * fabs(divisor) &&
        are_scaled(p, m / round(divisor), 0)) {
        if (round(divisor) == 1)
            gqa_note(cause,
                     "it is the sum of the group's %" PRIu64
                     " heads: it was not divided",
                     p->members);
        else
            gqa_note(cause,
                     "it is the sum of the group's %" PRIu64
                     " heads divided by %g: a wrong divisor",
                     p->members, round(divisor));
        return true;
    }
    /* Three digits, which every type has. */
    if (fabs(factor - 1) < 0.02 || !are_scaled(p, factor, 0x1p-7))
        return false;
    gqa_note(cause, "it is %.3g times the mean: a wrong divisor", factor);
    return true;
}

/* --- Another rounding ----------------------------------------------------- */

enum rounding {
    TOWARDS_ZERO,
    TIES_AWAY,
    AWAY_FROM_ZERO,
    BY_BF16, /* and then to the type */
    BY_F16,
    N_ROUNDINGS
};

static double by_way_of(const struct heads *p, double x, enum gqa_dtype dtype)
{
    unsigned char stored[sizeof x];

    gqa_store_f64(stored, dtype, &x, 1);
    gqa_load_f64(&x, stored, dtype, 1);
    return rounded(p, x);
}

static double round_otherwise(const struct heads *p, double x,
                              enum rounding rounding)
{
    const double nearest = rounded(p, x);
    const double after = next_to(p, nearest, 1);

    switch (rounding) {
    case TOWARDS_ZERO:
        return fabs(nearest) > fabs(x) ? next_to(p, nearest, -1) : nearest;
    case AWAY_FROM_ZERO:
        return fabs(nearest) < fabs(x) ? after : nearest;
    case BY_BF16:
        return by_way_of(p, x, GQA_BF16);
    case BY_F16:
        return by_way_of(p, x, GQA_F16);
    case TIES_AWAY:
    case N_ROUNDINGS:
        break;
    }
    return fabs(after) - fabs(x) == fabs(x) - fabs(nearest) ? after : nearest;
}

static bool find_rounding(struct gqa_finding *cause, const struct heads *p)
{
    static const char *const names[] = {
        [TOWARDS_ZERO] = "mean that was truncated, not rounded",
        [TIES_AWAY] = "mean rounded with ties away from zero, not to even",
        [BY_BF16] = "mean rounded twice, to BF16 and then again",
        [BY_F16] = "mean rounded twice, to F16 and then again",
        [AWAY_FROM_ZERO] = "mean rounded away from zero, not to nearest",
    };

    for (int r = 0; r < N_ROUNDINGS; r++) {
        uint64_t e = 0;

        while (e < n_elements(p) &&
               p->to.at[e] == round_otherwise(p, p->means[e], (enum rounding)r))
            e++;
        if (e < n_elements(p))
            continue;
        gqa_note(cause, "it fits: %s", names[r]);
        return true;
    }
    return false;
}

/* --- One head of the group ------------------------------------------------ */

static bool is_head(const struct heads *p, uint64_t offset, uint64_t stride)
{
    const uint64_t n = p->to.dim * p->to.cols;

    for (uint64_t h = 0; h < p->to.n_heads; h++)
        for (uint64_t e = 0; e < n; e++)
            if (p->to.at[h * n + e] !=
                rounded(p,
                        p->from.at[(group_of(p, h) * stride + offset) * n + e]))
                return false;
    return true;
}

static bool find_head(struct gqa_finding *cause, const struct heads *p)
{
    for (uint64_t j = 1; j < p->members; j++)
        if (is_head(p, j, p->members)) {
            if (j == p->members - 1)
                gqa_note(cause, "it fits: last head of contiguous groups");
            else
                gqa_note(cause,
                         "it fits: head %" PRIu64 " of contiguous groups", j);
            return true;
        }
    for (uint64_t j = 0; j < p->members; j++)
        if (is_head(p, j * p->pooled, 1)) {
            gqa_note(cause,
                     "it fits: heads %" PRIu64 " to %" PRIu64
                     ", one for each group",
                     j * p->pooled, (j + 1) * p->pooled - 1);
            return true;
        }
    return false;
}

/* --- Rows taken for other rows -------------------------------------------- */

/* Row of element i of head h where all heads' first elements come first. */
static uint64_t minor(uint64_t n_heads, uint64_t h, uint64_t i)
{
    return i * n_heads + h;
}

struct view {
    bool from_minor, to_minor, strided;
};

static bool is_view(const struct heads *p, struct view v)
{
    const uint64_t dim = p->to.dim, cols = p->to.cols;

    for (uint64_t h = 0; h < p->to.n_heads; h++)
        for (uint64_t i = 0; i < dim; i++) {
            const uint64_t g = group_of(p, h);
            const uint64_t to =
                v.to_minor ? minor(p->to.n_heads, h, i) : h * dim + i;

            for (uint64_t c = 0; c < cols; c++) {
                double sum = 0;

                for (uint64_t j = 0; j < p->members; j++) {
                    const uint64_t head =
                        v.strided ? g + j * p->pooled : g * p->members + j;
                    const uint64_t row = v.from_minor
                                             ? minor(p->from.n_heads, head, i)
                                             : head * dim + i;

                    sum = j == 0 ? p->from.at[row * cols + c]
                                 : sum + p->from.at[row * cols + c];
                }
                if (p->to.at[to * cols + c] !=
                    rounded(p, sum / (double)p->members))
                    return false;
            }
        }
    return true;
}

static bool find_view(struct gqa_finding *cause, const struct heads *p)
{
    for (int k = 1; k < 8; k++) {
        const struct view v = {(k & 1) != 0, (k & 2) != 0, (k & 4) != 0};

        if (!v.from_minor && !v.to_minor)
            continue; /* strides alone have a name of their own */
        if (!is_view(p, v))
            continue;
        gqa_note(cause,
                 "it fits: rows %s as [head_dim, heads], not as [heads, "
                 "head_dim]%s",
                 !v.to_minor    ? "of the original taken"
                 : v.from_minor ? "taken and written"
                                : "written",
                 v.strided ? ", and strided groups" : "");
        return true;
    }
    return false;
}

/* --- Transposed ----------------------------------------------------------- */

/* The matrix's transpose, read in the matrix's own shape. */
static enum gqa_status transpose(double *at, uint64_t rows, uint64_t cols)
{
    const uint64_t n = rows * cols;
    double *old = calloc((size_t)n + 1, sizeof *old);

    if (!old)
        return gqa_fail_nomem();
    memcpy(old, at, (size_t)n * sizeof *old);
    for (uint64_t k = 0; k < n; k++)
        at[k] = old[k % rows * cols + k / rows];
    free(old);
    return GQA_OK;
}

static enum gqa_status find_transposed(bool *found, struct gqa_finding *cause,
                                       struct heads *p)
{
    enum gqa_status st =
        transpose(p->means, p->to.n_heads * p->to.dim, p->to.cols);

    *found = st == GQA_OK && are_scaled(p, 1, 0);
    if (st == GQA_OK && *found)
        gqa_note(cause, "it is what it must be, transposed");
    if (st != GQA_OK || *found)
        return st;
    st = transpose(p->from.at, p->from.n_heads * p->from.dim, p->from.cols);
    if (st != GQA_OK)
        return st;
    make_means(p);
    *found = are_scaled(p, 1, 0);
    if (*found)
        gqa_note(cause, "it fits: the original transposed, then grouped");
    return GQA_OK;
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status load_side(struct gqa_head_matrix *out,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_param *param,
                                 const struct gqa_slice *slice,
                                 const struct gqa_head_pair *pair,
                                 uint64_t max_elements)
{
    uint64_t *first = calloc((size_t)slice->n_heads, sizeof *first);
    enum gqa_status st;

    if (!first)
        return gqa_fail_nomem();
    for (uint64_t h = 0; h < slice->n_heads; h++)
        first[h] = gqa_slice_head(slice, pair->head_dim, h);
    st = gqa_head_matrix_load(out, checkpoint, param, pair->axis, first,
                              slice->n_heads, pair->head_dim, max_elements);
    free(first);
    return st;
}

static void clear(struct heads *p)
{
    free(p->from.at);
    free(p->to.at);
    free(p->means);
    memset(p, 0, sizeof *p);
}

/* max_elements: of the original, whose heads are at least as many. */
static enum gqa_status load(struct heads *p, const struct gqa_head_pair *pair,
                            uint64_t pooled, uint64_t max_elements)
{
    const uint64_t n_from = pair->from_slice->n_heads;
    const uint64_t n_to = pair->to_slice->n_heads;
    const uint64_t more = n_from > n_to ? n_from : n_to;
    enum gqa_status st;

    *p = (struct heads){.pooled = pooled, .members = n_from / pooled};
    st = load_side(&p->from, pair->original, pair->from, pair->from_slice, pair,
                   max_elements / more * n_from);
    if (st == GQA_OK)
        st = load_side(&p->to, pair->converted, pair->to, pair->to_slice, pair,
                       max_elements / more * n_to);
    if (st == GQA_OK) {
        p->means = calloc((size_t)n_elements(p) + 1, sizeof *p->means);
        if (!p->means)
            st = gqa_fail_nomem();
    }
    if (st == GQA_OK)
        make_means(p);
    else
        clear(p);
    return st;
}

/* As it must be, but for the number of groups. */
static bool find_groups(struct gqa_finding *cause, const struct heads *p)
{
    if (are_scaled(p, 1, 0))
        gqa_note(cause, "it fits: mean of %" PRIu64 " heads", p->members);
    else if (is_head(p, 0, p->members))
        gqa_note(cause, "it fits: first of %" PRIu64 " heads", p->members);
    else
        return false;
    return true;
}

static enum gqa_status try_groups(bool *found, struct gqa_finding *cause,
                                  const struct gqa_head_pair *pair,
                                  uint64_t pooled, bool is_another)
{
    const uint64_t across =
        pair->axis == 0 ? pair->from->cols : pair->from->rows;
    const uint64_t n_from = pair->from_slice->n_heads;
    const uint64_t n_to = pair->to_slice->n_heads;
    const uint64_t all =
        (n_from > n_to ? n_from : n_to) * pair->head_dim * across;
    struct heads p;
    enum gqa_status st = load(&p, pair, pooled, SAMPLE);

    if (st != GQA_OK)
        return st;
    *found = (is_another && find_groups(cause, &p)) ||
             find_divisor(cause, &p) || find_rounding(cause, &p) ||
             find_head(cause, &p) || find_view(cause, &p);
    clear(&p);
    if (*found || all > WHOLE || pair->is_bias)
        return GQA_OK;
    st = load(&p, pair, pooled, WHOLE);
    if (st == GQA_OK)
        st = find_transposed(found, cause, &p);
    clear(&p);
    return st;
}

enum gqa_status gqa_mistakes_of_pooling(bool *found, struct gqa_finding *cause,
                                        const struct gqa_head_pair *pair,
                                        uint64_t pooled)
{
    const uint64_t n_from = pair->from_slice->n_heads;
    const uint64_t n_to = pair->to_slice->n_heads;
    enum gqa_status st = GQA_OK;

    *found = false;
    if (n_from % pooled == 0 && n_to % pooled == 0)
        st = try_groups(found, cause, pair, pooled, false);
    /* Where nothing fits, the number of groups may be another. */
    for (uint64_t g = n_to; g > 0 && st == GQA_OK && !*found; g--)
        if (g != pooled && n_from % g == 0 && n_to % g == 0)
            st = try_groups(found, cause, pair, g, true);
    return st;
}
