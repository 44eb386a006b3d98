#include "verify/recompute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "formats/families/family.h"

/* Elements compared at a time. */
enum { ROOM = 65536 };

#define NO_GROUP UINT64_MAX

struct gqa_recompute {
    double *sums[GQA_MAX_STEPS + 1]; /* [ROOM] of each step, when needed */
    /* The group of the stretch that they hold, rounded, or NO_GROUP: heads
     * that were expanded are made once, else steps would multiply. */
    uint64_t made[GQA_MAX_STEPS + 1];
    double values[ROOM], rounded[ROOM];
    struct gqa_float32_terms terms[ROOM]; /* of GQA_POOL_WITHIN */
    float *members; /* an element of each head of a group, one after another */
    size_t n_members;
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
    struct gqa_recompute *r = malloc(sizeof *r);

    *out = r;
    if (!r)
        return gqa_fail_nomem();
    memset(r->sums, 0, sizeof r->sums);
    r->members = NULL;
    r->n_members = 0;
    return GQA_OK;
}

void gqa_recompute_free(struct gqa_recompute *recompute)
{
    if (!recompute)
        return;
    for (size_t i = 0; i <= GQA_MAX_STEPS; i++)
        free(recompute->sums[i]);
    free(recompute->members);
    free(recompute);
}

uint64_t gqa_hypothesis_groups(const struct gqa_hypothesis *h)
{
    return h->n_then > 0 ? h->then[h->n_then - 1].pooled : h->pooled;
}

bool gqa_hypothesis_is_right(const struct gqa_hypothesis *h)
{
    return h->pooling <= GQA_POOL_WITHIN;
}

/* x rounded to a narrower type and back. */
static void narrow(double *x, enum gqa_dtype step, size_t n, void *buf)
{
    gqa_store_f64(buf, step, x, n);
    gqa_load_f64(x, buf, step, n);
}

/* Through all types that lie between. */
static void pass_through(double *x, const struct gqa_head_pair *pair, size_t n,
                         void *buf)
{
    for (size_t i = 0; i < pair->n_through; i++)
        narrow(x, pair->through[i], n, buf);
    for (size_t i = 0; pair->one_more && i < n; i++)
        x[i] = (float)(x[i] + 1) - 1.0F;
}

static bool keeps_dtype(const struct gqa_head_pair *pair)
{
    for (size_t i = 0; i < pair->n_through; i++)
        if (pair->through[i] != pair->from->dtype)
            return false;
    return pair->from->dtype == pair->to->dtype && !pair->one_more;
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

/* Heads of group `group`: how many, the first, and from one to the next. */
struct members {
    uint64_t n, first, step;
};

static struct members members_of(const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h, uint64_t group)
{
    const uint64_t m = pair->from_slice->n_heads / h->pooled;
    const bool strided = h->pooling == GQA_POOL_STRIDED;

    return (struct members){m, strided ? group : group * m,
                            strided ? h->pooled : 1};
}

/* --- Norms of all keys together (docs/numerics.md) ------------------------ */

/* The first step in which heads share, where the norm's weights move into the
 * keys; SIZE_MAX: there is no norm, or no such step. 0 is the first one. */
static size_t folding_step(const struct gqa_head_pair *pair,
                           const struct gqa_hypothesis *h)
{
    if (!pair->norm)
        return SIZE_MAX;
    if (h->pooled < pair->from_slice->n_heads)
        return 0;
    for (size_t i = 0; i < h->n_then; i++)
        if (h->then[i].pooled < h->then[i].source)
            return i + 1;
    return SIZE_MAX;
}

/* values, those of a head that stood at `head` in the original, times the
 * norm's weights, which were rounded to `dtypes` on their way. */
static void fold(double *values, const struct gqa_head_pair *pair,
                 uint64_t head, const struct stretch *s,
                 const enum gqa_dtype *dtypes, size_t n_dtypes)
{
    for (uint64_t i = 0; i < pair->head_dim; i++) {
        double weight = pair->norm[head * pair->head_dim + i];
        unsigned char room[sizeof weight];

        for (size_t k = 0; k < n_dtypes; k++)
            narrow(&weight, dtypes[k], 1, room);
        for (uint64_t k = 0; k < s->n; k++)
            values[i * s->n + k] *= weight;
    }
}

static enum gqa_status sum_group(struct gqa_recompute *r,
                                 const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h, uint64_t group,
                                 const struct stretch *s)
{
    const struct members of = members_of(pair, h, group);
    double *sums = r->sums[0];

    for (uint64_t j = 0; j < of.n; j++) {
        enum gqa_status st = read_source(r, pair, of.first + j * of.step, s);

        if (st != GQA_OK)
            return st;
        gqa_load_f64(r->values, r->source, pair->from->dtype, s->size);
        if (folding_step(pair, h) == 0)
            fold(r->values, pair, of.first + j * of.step, s, NULL, 0);
        for (size_t i = 0; i < s->size; i++)
            sums[i] = j == 0 ? r->values[i] : sums[i] + r->values[i];
        if (h->pooling == GQA_POOL_WITHIN)
            gqa_float32_terms_add(r->terms, r->values, s->size, j == 0);
        if (h->pooling == GQA_POOL_NARROW)
            narrow(sums, h->step, s->size, r->scratch);
        if (h->pooling == GQA_POOL_FIRST)
            return GQA_OK;
    }
    if (of.n > 1)
        for (size_t i = 0; i < s->size; i++)
            sums[i] /= (double)of.n;
    if (h->pooling == GQA_POOL_NARROW)
        narrow(sums, h->step, s->size, r->scratch);
    return GQA_OK;
}

/* The same in float32, from the members of each element side by side. */
static enum gqa_status sum_float32(struct gqa_recompute *r,
                                   const struct gqa_head_pair *pair,
                                   const struct gqa_hypothesis *h,
                                   uint64_t group, const struct stretch *s)
{
    const struct members of = members_of(pair, h, group);
    const size_t n = s->size * of.n;

    if (n > r->n_members) {
        float *larger = reallocarray(r->members, n, sizeof *larger);

        if (!larger)
            return gqa_fail_nomem();
        r->members = larger;
        r->n_members = n;
    }
    for (uint64_t j = 0; j < of.n; j++) {
        enum gqa_status st = read_source(r, pair, of.first + j * of.step, s);

        if (st != GQA_OK)
            return st;
        gqa_load_f64(r->values, r->source, pair->from->dtype, s->size);
        if (folding_step(pair, h) == 0)
            fold(r->values, pair, of.first + j * of.step, s, NULL, 0);
        for (size_t i = 0; i < s->size; i++)
            r->members[i * of.n + j] = (float)r->values[i];
    }
    for (size_t i = 0; i < s->size; i++)
        r->sums[0][i] = (double)gqa_float32_mean(r->members + i * of.n,
                                                 (size_t)of.n, h->order);
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

static void draw(double *out, const struct gqa_head_pair *pair, uint64_t seed,
                 uint64_t group, const struct stretch *s)
{
    const double scale = spread(pair);
    const uint64_t per_row = pair->axis == 0 ? s->n : pair->head_dim;
    const uint64_t row_length =
        pair->axis == 0 ? pair->to->cols : pair->head_dim;
    uint64_t key = mix(seed);

    for (const char *c = pair->from->name; *c; c++)
        key = mix(key ^ (unsigned char)*c);
    key = mix(key ^ (2 * group + pair->is_value));
    for (uint64_t i = 0; i < s->size; i++) {
        const uint64_t row = i / per_row, col = i % per_row;
        const uint64_t place = pair->axis == 0
                                   ? row * row_length + s->other + col
                                   : (s->other + row) * row_length + col;
        const double radius = sqrt(-2 * log(uniform(key, 2 * place)));
        const double angle = 6.283185307179586 * uniform(key, 2 * place + 1);

        out[i] = pair->is_bias ? 0 : scale * radius * cos(angle);
    }
}

/* --- Conversions one after another ---------------------------------------- */

static enum gqa_status first_step(struct gqa_recompute *r,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h,
                                  uint64_t group, const struct stretch *s)
{
    if (h->pooling == GQA_POOL_FLOAT32)
        return sum_float32(r, pair, h, group, s);
    if (h->pooling != GQA_POOL_RANDOM || pair->from_slice->n_heads == h->pooled)
        return sum_group(r, pair, h, group, s);
    draw(r->sums[0], pair, h->seed, group, s);
    return GQA_OK;
}

/* The type of what step `step` wrote; 0 is the first. */
static enum gqa_dtype dtype_after(const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h, size_t step)
{
    enum gqa_dtype dtype = h->keeps_dtype ? pair->from->dtype : h->dtype;

    for (size_t i = 0; i < step; i++)
        if (!h->then[i].keeps_dtype)
            dtype = h->then[i].dtype;
    return dtype;
}

static enum gqa_status make_group(struct gqa_recompute *r,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h, size_t step,
                                  uint64_t group, const struct stretch *s);

/* KV head `head` as step `step` wrote it, rounded. */
static enum gqa_status make_head(struct gqa_recompute *r,
                                 const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h, size_t step,
                                 uint64_t head, const struct stretch *s)
{
    const uint64_t pooled = step == 0 ? h->pooled : h->then[step - 1].pooled;
    const uint64_t group = head / (h->then[step].source / pooled);
    enum gqa_status st;

    if (r->made[step] == group)
        return GQA_OK;
    st = make_group(r, pair, h, step, group, s);
    if (st == GQA_OK)
        narrow(r->sums[step], dtype_after(pair, h, step), s->size, r->scratch);
    r->made[step] = st == GQA_OK ? group : NO_GROUP;
    return st;
}

/* Head `head` of those before step `step`, which none of the steps before
 * pooled, with the norm's weights. */
static const double *fold_later(struct gqa_recompute *r,
                                const struct gqa_head_pair *pair,
                                const struct gqa_hypothesis *h, size_t step,
                                uint64_t head, const struct stretch *s)
{
    const uint64_t copies =
        h->then[step - 1].source / pair->from_slice->n_heads;
    enum gqa_dtype dtypes[GQA_MAX_STEPS];

    for (size_t i = 0; i < step; i++)
        dtypes[i] = dtype_after(pair, h, i);
    memcpy(r->values, r->sums[step - 1], s->size * sizeof *r->values);
    fold(r->values, pair, head / copies, s, dtypes, step);
    return r->values;
}

/* Group `group` of step `step`, into its sums, not rounded yet. */
static enum gqa_status make_group(struct gqa_recompute *r,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h, size_t step,
                                  uint64_t group, const struct stretch *s)
{
    const struct gqa_pool_step *now = step > 0 ? &h->then[step - 1] : NULL;
    const uint64_t m = now ? now->source / now->pooled : 0;
    double *sums;

    if (!r->sums[step] &&
        !(r->sums[step] = malloc(ROOM * sizeof *r->sums[step])))
        return gqa_fail_nomem();
    if (step == 0)
        return first_step(r, pair, h, group, s);
    sums = r->sums[step];
    if (now->pooling == GQA_POOL_RANDOM && m > 1) {
        draw(sums, pair, now->seed, group, s);
        return GQA_OK;
    }
    for (uint64_t j = 0; j < m; j++) {
        const double *head;
        enum gqa_status st = make_head(r, pair, h, step - 1, group * m + j, s);

        if (st != GQA_OK)
            return st;
        head = r->sums[step - 1];
        if (folding_step(pair, h) == step)
            head = fold_later(r, pair, h, step, group * m + j, s);
        for (size_t i = 0; i < s->size; i++)
            sums[i] = j == 0 ? head[i] : sums[i] + head[i];
        if (now->pooling == GQA_POOL_FIRST)
            return GQA_OK;
    }
    if (m > 1)
        for (size_t i = 0; i < s->size; i++)
            sums[i] /= (double)m;
    return GQA_OK;
}

/* Whether the bytes of one head of the original must come out. */
static bool is_copy(const struct gqa_head_pair *pair,
                    const struct gqa_hypothesis *h)
{
    bool copies = keeps_dtype(pair) && folding_step(pair, h) == SIZE_MAX &&
                  (h->pooling == GQA_POOL_FIRST ||
                   (h->pooling <= GQA_POOL_RANDOM &&
                    pair->from_slice->n_heads == h->pooled));

    for (size_t i = 0; i < h->n_then && copies; i++)
        copies = dtype_after(pair, h, i) == pair->from->dtype &&
                 (h->then[i].pooling == GQA_POOL_FIRST ||
                  h->then[i].source == h->then[i].pooled);
    return copies;
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

/* Reorder the sums as a rotary embedding of the other layout would need. */
static void permute(struct gqa_recompute *r, const struct gqa_head_pair *pair,
                    const struct gqa_hypothesis *h, const struct stretch *s)
{
    double *sums = r->sums[0];

    memcpy(r->values, sums, s->size * sizeof *sums);
    for (uint64_t i = 0; i < pair->head_dim; i++) {
        const uint64_t from = permuted(h, pair->head_dim, i);

        for (uint64_t k = 0; k < s->n; k++) {
            if (pair->axis == 0)
                sums[i * s->n + k] = r->values[from * s->n + k];
            else
                sums[k * pair->head_dim + i] =
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

/* What is held against what: n elements of a type. */
struct comparison {
    const unsigned char *expected, *actual;
    enum gqa_dtype dtype;
    size_t n;
    bool is_copy;
    /* What a float32 mean may be off, from means and their terms; or NULL. */
    const double *means;
    const struct gqa_float32_terms *terms;
    size_t n_summed;
    enum gqa_dtype rounded_to; /* which `dtype` holds */
};

static bool is_within(const struct comparison *c, size_t i, double actual)
{
    const double off = gqa_float32_mean_error(&c->terms[i], c->n_summed);
    double x[] = {c->means[i] - off, c->means[i] + off, actual};
    unsigned char stored[sizeof x];

    narrow(x, c->rounded_to, 3, stored);
    return x[0] <= actual && actual <= x[1] && x[2] == actual;
}

/*
 * Whether element i, whose bits differ, is right all the same. A NaN that was
 * computed has no payload to compare; one that was copied has.
 */
static bool is_tolerated(struct gqa_difference *d, const struct comparison *c,
                         size_t i)
{
    const double expected = value_at(c->expected, c->dtype, i);
    const double actual = value_at(c->actual, c->dtype, i);

    if (!gqa_dtype_is_float(c->dtype))
        return false;
    if (expected == 0 && actual == 0) {
        d->zero_signs = true;
        return true;
    }
    if (isnan(expected) || isnan(actual))
        return !c->is_copy && isnan(expected) && isnan(actual);
    return c->terms && is_within(c, i, actual);
}

static void add_to(struct gqa_measure *m, double expected, double actual)
{
    const double off = fabs(actual - expected);

    if (off > m->max || isnan(off))
        m->max = off;
    m->squares += off * off;
}

static void add_reference(struct gqa_measure *m, const struct comparison *c)
{
    m->n_all += c->n;
    for (size_t i = 0; i < c->n; i++) {
        const double x = value_at(c->expected, c->dtype, i);

        m->reference += x * x;
    }
}

/* Note the first difference, if there is one; and measure all of them, unless
 * measure is NULL. */
static void compare(struct gqa_difference *d, struct gqa_measure *measure,
                    const struct comparison *c)
{
    const size_t width = gqa_dtype_bits(c->dtype) / 8;
    const bool same = memcmp(c->expected, c->actual, c->n * width) == 0;
    size_t n_wrong = 0;

    for (size_t i = 0; i < c->n && !same && (measure || n_wrong == 0); i++) {
        double expected, actual;

        if (memcmp(c->expected + i * width, c->actual + i * width, width) ==
                0 ||
            is_tolerated(d, c, i))
            continue;
        n_wrong++;
        expected = value_at(c->expected, c->dtype, i);
        actual = value_at(c->actual, c->dtype, i);
        if (measure)
            add_to(measure, expected, actual);
        if (d->found)
            continue;
        d->found = true;
        d->element = i;
        d->expected = expected;
        d->actual = actual;
    }
    if (!measure)
        return;
    add_reference(measure, c);
    measure->n_equal += c->n - n_wrong;
}

double gqa_measure_relative(const struct gqa_measure *m)
{
    if (m->squares == 0)
        return 0;
    return m->reference > 0 ? sqrt(m->squares / m->reference) : INFINITY;
}

static enum gqa_status recompute_stretch(struct gqa_recompute *r,
                                         struct gqa_difference *d,
                                         struct gqa_measure *measure,
                                         const struct gqa_head_pair *pair,
                                         const struct gqa_hypothesis *h,
                                         uint64_t head, uint64_t group,
                                         const struct stretch *s)
{
    struct comparison c = {.expected = r->expected,
                           .actual = r->actual,
                           .dtype = pair->to->dtype,
                           .n = s->size,
                           .is_copy = is_copy(pair, h),
                           .rounded_to = h->is_widened ? pair->from->dtype
                                                       : pair->to->dtype};
    double *made = NULL;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < h->n_then; i++)
        r->made[i] = NO_GROUP;
    st = read_head(r, pair->converted, pair->to, pair->axis,
                   gqa_slice_head(pair->to_slice, pair->head_dim, head),
                   pair->head_dim, s, r->actual);
    if (st == GQA_OK)
        st = make_group(r, pair, h, h->n_then, group, s);
    if (st != GQA_OK)
        return st;
    if (h->pooling == GQA_POOL_PERMUTED || h->pooling == GQA_POOL_UNPERMUTED)
        permute(r, pair, h, s);
    made = r->sums[h->n_then];
    if (h->is_widened) {
        made = memcpy(r->values, made, s->size * sizeof *made);
        narrow(made, pair->from->dtype, s->size, r->scratch);
    }
    pass_through(made, pair, s->size, r->scratch);
    gqa_store_f64(r->expected, pair->to->dtype, made, s->size);
    if (c.is_copy)
        c.expected = r->source;
    if (h->pooling == GQA_POOL_WITHIN) {
        c.means = r->sums[0];
        c.terms = r->terms;
        c.n_summed = (size_t)members_of(pair, h, group).n;
    }
    compare(d, measure, &c);
    return GQA_OK;
}

static enum gqa_status recompute(struct gqa_recompute *r,
                                 struct gqa_difference *difference,
                                 struct gqa_measure *measure,
                                 const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h, uint64_t head,
                                 uint64_t group)
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
    for (uint64_t at = 0; at < across && (measure || !difference->found);
         at += take) {
        const uint64_t n = across - at < take ? across - at : take;
        const struct stretch s = {at, n, n * pair->head_dim};
        const bool found = difference->found;
        enum gqa_status st;

        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        st =
            recompute_stretch(r, difference, measure, pair, h, head, group, &s);
        if (st != GQA_OK)
            return st;
        if (found || !difference->found)
            continue;
        if (pair->axis == 0)
            difference->element = difference->element / n * row_length + at +
                                  difference->element % n;
        else
            difference->element += at * row_length;
    }
    return GQA_OK;
}

enum gqa_status gqa_recompute_head(struct gqa_recompute *r,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   const struct gqa_hypothesis *hypothesis,
                                   uint64_t head, uint64_t group)
{
    return recompute(r, difference, NULL, pair, hypothesis, head, group);
}

enum gqa_status gqa_recompute_measure(struct gqa_recompute *r,
                                      struct gqa_measure *measure,
                                      const struct gqa_head_pair *pair,
                                      const struct gqa_hypothesis *hypothesis,
                                      uint64_t head, uint64_t group)
{
    struct gqa_difference difference;

    return recompute(r, &difference, measure, pair, hypothesis, head, group);
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

/* Whether rounding to another type left each of r->values what it was. */
static void note_changes(struct gqa_difference *d, struct gqa_recompute *r,
                         const struct comparison *c)
{
    gqa_load_f64(r->rounded, c->expected, c->dtype, c->n);
    for (size_t i = 0; i < c->n && !d->changed; i++)
        d->changed = r->rounded[i] != r->values[i] &&
                     !(isnan(r->rounded[i]) && isnan(r->values[i]));
}

enum gqa_status gqa_recompute_whole(struct gqa_recompute *r,
                                    struct gqa_difference *difference,
                                    struct gqa_measure *measure,
                                    const struct gqa_head_pair *pair)
{
    const bool copies = keeps_dtype(pair);
    const uint64_t rows = pair->to->rows, cols = pair->to->cols;
    const uint64_t take_cols = cols < ROOM ? cols : ROOM;
    const uint64_t take_rows = take_cols ? ROOM / take_cols : 1;
    struct comparison c = {.expected = copies ? r->source : r->expected,
                           .actual = r->actual,
                           .dtype = pair->to->dtype,
                           .is_copy = copies};
    bool found;

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
            c.n = nr * nc;
            if (!copies) {
                gqa_load_f64(r->values, r->source, pair->from->dtype, c.n);
                pass_through(r->values, pair, c.n, r->scratch);
                gqa_store_f64(r->expected, pair->to->dtype, r->values, c.n);
                note_changes(difference, r, &c);
            }
            found = difference->found;
            compare(difference, measure, &c);
            if (difference->found && !found)
                difference->element = (row + difference->element / nc) * cols +
                                      col + difference->element % nc;
            if (difference->found && !measure)
                return GQA_OK;
        }
    return GQA_OK;
}
