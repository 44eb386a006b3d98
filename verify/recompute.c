#include "verify/recompute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "formats/families/family.h"

/* Elements compared at a time. */
enum { ROOM = 65536 };

struct gqa_recompute {
    double sums[ROOM], values[ROOM];
    unsigned char source[8 * ROOM], actual[8 * ROOM], expected[8 * ROOM];
    unsigned char scratch[8 * ROOM];
};

/* A stretch of a head: all its indices along the axis, and [other, other +
 * n) across it. It lies in a buffer as it does in the parameter. */
struct stretch {
    uint64_t other, n, size;
};

enum gqa_status gqa_recompute_create(struct gqa_recompute **out)
{
    *out = malloc(sizeof **out);
    return *out ? GQA_OK : gqa_fail_nomem();
}

void gqa_recompute_free(struct gqa_recompute *recompute)
{
    free(recompute);
}

static enum gqa_status read_head(struct gqa_recompute *r,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_param *param, unsigned axis,
                                 uint64_t first, uint64_t head_dim,
                                 const struct stretch *s, void *buf)
{
    if (axis == 0)
        return gqa_param_read(checkpoint, param, first, head_dim, s->other,
                              s->n, buf, s->n, r->scratch);
    return gqa_param_read(checkpoint, param, s->other, s->n, first, head_dim,
                          buf, head_dim, r->scratch);
}

static enum gqa_status read_source(struct gqa_recompute *r,
                                   const struct gqa_head_pair *pair,
                                   uint64_t head, const struct stretch *s)
{
    return read_head(r, pair->original, pair->from, pair->axis,
                     gqa_slice_head(pair->from_slice, pair->head_dim, head),
                     pair->head_dim, s, r->source);
}

/* x rounded to a narrower type and back. */
static void narrow(double *x, enum gqa_dtype step, size_t n, void *buf)
{
    gqa_store_f64(buf, step, x, n);
    gqa_load_f64(x, buf, step, n);
}

static enum gqa_status sum_group(struct gqa_recompute *r,
                                 const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h, uint64_t group,
                                 const struct stretch *s)
{
    const uint64_t m = pair->from_slice->n_heads / h->pooled;
    const bool strided = h->pooling == GQA_POOL_STRIDED;
    const uint64_t step = strided ? h->pooled : 1;
    uint64_t head = strided ? group : group * m;

    for (uint64_t j = 0; j < m; j++, head += step) {
        enum gqa_status st = read_source(r, pair, head, s);

        if (st != GQA_OK)
            return st;
        gqa_load_f64(r->values, r->source, pair->from->dtype, s->size);
        for (size_t i = 0; i < s->size; i++)
            r->sums[i] = j == 0 ? r->values[i] : r->sums[i] + r->values[i];
        if (h->pooling == GQA_POOL_NARROW)
            narrow(r->sums, h->step, s->size, r->scratch);
        if (h->pooling == GQA_POOL_FIRST)
            return GQA_OK;
    }
    if (m > 1)
        for (size_t i = 0; i < s->size; i++)
            r->sums[i] /= (double)m;
    if (h->pooling == GQA_POOL_NARROW)
        narrow(r->sums, h->step, s->size, r->scratch);
    return GQA_OK;
}

/* --- Random heads (docs/numerics.md) -------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double uniform(uint64_t key, uint64_t counter)
{
    const uint64_t bits = mix(key ^ mix(counter)) >> 11;

    return ((double)bits + 0.5) / 9007199254740992.0;
}

/*
 * The standard deviation of docs/numerics.md: what the configuration says
 * under the family's key, or its default; for some families that over the
 * root of the inputs that a head has, which the weight itself tells.
 */
static double spread(const struct gqa_head_pair *pair)
{
    const struct gqa_initialiser *rule =
        &pair->original_model->family->initialiser;
    const uint64_t inputs = pair->axis == 0 ? pair->to->cols : pair->to->rows;
    const json_t *said = json_object_get(rule->deviation.json, "default");
    double result = json_number_value(said);

    if (gqa_setting_number(&result, &rule->deviation,
                           pair->original_model->config) != GQA_OK)
        result = json_number_value(said);
    if (rule->over_d_model)
        result /= sqrt((double)inputs);
    return result;
}

static void draw(struct gqa_recompute *r, const struct gqa_head_pair *pair,
                 const struct gqa_hypothesis *h, uint64_t group,
                 const struct stretch *s)
{
    const double scale = spread(pair);
    const uint64_t per_row = pair->axis == 0 ? s->n : pair->head_dim;
    const uint64_t row_length =
        pair->axis == 0 ? pair->to->cols : pair->head_dim;
    uint64_t key = mix(h->seed);

    for (const char *c = pair->to->name; *c; c++)
        key = mix(key ^ (unsigned char)*c);
    key = mix(key ^ (2 * group + pair->is_value));
    for (uint64_t i = 0; i < s->size; i++) {
        const uint64_t row = i / per_row, col = i % per_row;
        const uint64_t place = pair->axis == 0
                                   ? row * row_length + s->other + col
                                   : (s->other + row) * row_length + col;
        const double radius = sqrt(-2 * log(uniform(key, 2 * place)));
        const double angle = 6.283185307179586 * uniform(key, 2 * place + 1);

        r->sums[i] = pair->is_bias ? 0 : scale * radius * cos(angle);
    }
}

/* --- Comparison ----------------------------------------------------------- */

/* Index within a head that the row at `i` came from. */
static uint64_t permuted(const struct gqa_hypothesis *h, uint64_t head_dim,
                         uint64_t i)
{
    const uint64_t half = head_dim / 2;

    if (h->pooling == GQA_POOL_PERMUTED)
        return i % 2 * half + i / 2;
    return i < half ? 2 * i : 2 * (i - half) + 1;
}

/* Reorder r->sums as a rotary embedding of the other layout would need. */
static void permute(struct gqa_recompute *r, const struct gqa_head_pair *pair,
                    const struct gqa_hypothesis *h, const struct stretch *s)
{
    memcpy(r->values, r->sums, s->size * sizeof *r->sums);
    for (uint64_t i = 0; i < pair->head_dim; i++) {
        const uint64_t from = permuted(h, pair->head_dim, i);

        for (uint64_t k = 0; k < s->n; k++) {
            if (pair->axis == 0)
                r->sums[i * s->n + k] = r->values[from * s->n + k];
            else
                r->sums[k * pair->head_dim + i] =
                    r->values[k * pair->head_dim + from];
        }
    }
}

static double value_at(const void *buf, enum gqa_dtype dtype, size_t i)
{
    double value;

    if (!gqa_dtype_is_float(dtype))
        return 0;
    gqa_load_f64(&value, (const char *)buf + i * (gqa_dtype_bits(dtype) / 8),
                 dtype, 1);
    return value;
}

/*
 * The first of n elements that differs, or n. A NaN that was computed has no
 * payload to compare; one that was copied has.
 */
static size_t first_difference(const unsigned char *expected,
                               const unsigned char *actual,
                               enum gqa_dtype dtype, size_t n, bool is_copy)
{
    const size_t width = gqa_dtype_bits(dtype) / 8;

    if (memcmp(expected, actual, n * width) == 0)
        return n;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(expected + i * width, actual + i * width, width) == 0)
            continue;
        if (is_copy || !isnan(value_at(expected, dtype, i)) ||
            !isnan(value_at(actual, dtype, i)))
            return i;
    }
    return n;
}

/* Note the difference of two buffers of size elements, if there is one. */
static void compare(struct gqa_difference *d, const struct gqa_recompute *r,
                    const void *expected, const struct gqa_head_pair *pair,
                    size_t size, bool is_copy)
{
    const enum gqa_dtype dtype = pair->to->dtype;
    const size_t i =
        first_difference(expected, r->actual, dtype, size, is_copy);

    if (i == size)
        return;
    d->found = true;
    d->element = i;
    d->expected = value_at(expected, dtype, i);
    d->actual = value_at(r->actual, dtype, i);
}

static enum gqa_status recompute_stretch(struct gqa_recompute *r,
                                         struct gqa_difference *d,
                                         const struct gqa_head_pair *pair,
                                         const struct gqa_hypothesis *h,
                                         uint64_t head, uint64_t group,
                                         const struct stretch *s)
{
    const bool one = pair->from_slice->n_heads == h->pooled;
    const bool is_copy = (one || h->pooling == GQA_POOL_FIRST) &&
                         h->pooling <= GQA_POOL_RANDOM &&
                         pair->from->dtype == pair->to->dtype;
    enum gqa_status st = GQA_OK;

    st = read_head(r, pair->converted, pair->to, pair->axis,
                   gqa_slice_head(pair->to_slice, pair->head_dim, head),
                   pair->head_dim, s, r->actual);
    if (st != GQA_OK)
        return st;
    if (h->pooling == GQA_POOL_RANDOM && !one)
        draw(r, pair, h, group, s);
    else
        st = sum_group(r, pair, h, group, s);
    if (st != GQA_OK)
        return st;
    if (h->pooling == GQA_POOL_PERMUTED || h->pooling == GQA_POOL_UNPERMUTED)
        permute(r, pair, h, s);
    gqa_store_f64(r->expected, pair->to->dtype, r->sums, s->size);
    compare(d, r, is_copy ? r->source : r->expected, pair, s->size, is_copy);
    return GQA_OK;
}

enum gqa_status gqa_recompute_head(struct gqa_recompute *recompute,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   const struct gqa_hypothesis *hypothesis,
                                   uint64_t head, uint64_t group)
{
    const uint64_t across =
        pair->axis == 0 ? pair->from->cols : pair->from->rows;
    const uint64_t take = ROOM / pair->head_dim;
    const uint64_t row_length = pair->axis == 0 ? across : pair->head_dim;

    *difference = (struct gqa_difference){.head = head};
    if (take == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': heads of %llu are too long to verify",
                        pair->to->name, (unsigned long long)pair->head_dim);
    for (uint64_t at = 0; at < across && !difference->found; at += take) {
        const uint64_t n = across - at < take ? across - at : take;
        const struct stretch s = {at, n, n * pair->head_dim};
        enum gqa_status st;

        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        st = recompute_stretch(recompute, difference, pair, hypothesis, head,
                               group, &s);
        if (st != GQA_OK)
            return st;
        if (difference->found && pair->axis == 0)
            difference->element = difference->element / n * row_length + at +
                                  difference->element % n;
        else if (difference->found)
            difference->element += at * row_length;
    }
    return GQA_OK;
}

enum gqa_status gqa_recompute_copy(struct gqa_recompute *recompute,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   uint64_t head)
{
    const struct gqa_hypothesis same = {.pooling = GQA_POOL_MEAN,
                                        .pooled = pair->from_slice->n_heads};

    return gqa_recompute_head(recompute, difference, pair, &same, head, head);
}

enum gqa_status gqa_recompute_whole(struct gqa_recompute *r,
                                    struct gqa_difference *difference,
                                    const struct gqa_head_pair *pair)
{
    const bool is_copy = pair->from->dtype == pair->to->dtype;
    const uint64_t rows = pair->to->rows, cols = pair->to->cols;
    const uint64_t take_cols = cols < ROOM ? cols : ROOM;
    const uint64_t take_rows = take_cols ? ROOM / take_cols : 1;

    *difference = (struct gqa_difference){0};
    for (uint64_t row = 0; row < rows; row += take_rows)
        for (uint64_t col = 0; col < cols; col += take_cols) {
            const uint64_t nr = rows - row < take_rows ? rows - row : take_rows;
            const uint64_t nc = cols - col < take_cols ? cols - col : take_cols;
            enum gqa_status st;

            if (gqa_interrupt_pending())
                return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            st = gqa_param_read(pair->original, pair->from, row, nr, col, nc,
                                r->source, nc, r->scratch);
            if (st == GQA_OK)
                st = gqa_param_read(pair->converted, pair->to, row, nr, col, nc,
                                    r->actual, nc, r->scratch);
            if (st != GQA_OK)
                return st;
            if (!is_copy) {
                gqa_load_f64(r->sums, r->source, pair->from->dtype, nr * nc);
                gqa_store_f64(r->expected, pair->to->dtype, r->sums, nr * nc);
            }
            compare(difference, r, is_copy ? r->source : r->expected, pair,
                    nr * nc, is_copy);
            if (difference->found) {
                difference->element = (row + difference->element / nc) * cols +
                                      col + difference->element % nc;
                return GQA_OK;
            }
        }
    return GQA_OK;
}
