/*
 * Arithmetic of the CPU backend on `real`, float or double, which whoever
 * includes this has defined, with
 *
 *   LOAD, GEMM, GEMV   conversion and cblas for it
 *   exp_real(x)        e^x, of arguments of any size
 *   tanh_real(x)       its hyperbolic tangent
 *   sqrt_real(x)       its square root
 *   normal_real(x)     the share of a normal distribution below x
 *   EXPORT             the name of the table
 */
#include <math.h>
#include <string.h>

#include "common/signs.h"
#include "runtime/cpu/back.h"

/* What loops are made of: a call within one keeps it from using vectors. */
#define INLINE inline __attribute__((always_inline))

/* Sums run in so many lanes, so that a compiler may use vectors. */
enum { LANES = 16 };

static void add_reals(void *x, const void *y, size_t n)
{
    real *a = x;
    const real *b = y;

    for (size_t i = 0; i < n; i++)
        a[i] += b[i];
}

static void add_scaled_reals(void *x, const void *y, size_t n, double factor)
{
    const real f = (real)factor;
    real *a = x;
    const real *b = y;

    for (size_t i = 0; i < n; i++)
        a[i] += f * b[i];
}

static void scale_reals(void *x, size_t n, double factor)
{
    const real f = (real)factor;
    real *a = x;

    for (size_t i = 0; i < n; i++)
        a[i] *= f;
}

static void cap_reals(void *x, size_t n, double cap)
{
    const real c = (real)cap;
    real *a = x;

    for (size_t i = 0; i < n; i++)
        a[i] = c * tanh_real(a[i] / c);
}

/* --- Norms ---------------------------------------------------------------- */

/* Sum of (x - center)^2, or of x where squares is false. */
static double sum_reals(const real *x, size_t n, double center, bool squares)
{
    double lanes[LANES] = {0};
    double sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const double v = (double)x[i + j] - center;

            lanes[j] += squares ? v * v : v;
        }
    for (; i < n; i++) {
        const double v = (double)x[i] - center;

        lanes[0] += squares ? v * v : v;
    }
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* out += norm(x), rounded once before it is added. */
static void add_normed(real *out, const real *x, size_t width, double mean,
                       double factor, const struct gqa_cpu_norm *norm)
{
    const real *weight = norm->weight;
    const real *bias = norm->bias;
    const double plus = norm->one_plus ? 1 : 0;

    for (size_t i = 0; i < width; i++) {
        double y = ((double)x[i] - mean) * factor;

        if (weight)
            y *= (double)weight[i] + plus;
        if (bias)
            y += (double)bias[i];
        out[i] += (real)y;
    }
}

static void divide_row(void *out_, const void *x_,
                       const struct gqa_cpu_weigh *op)
{
    real *out = out_;
    const real *x = x_, *less = op->less, *bias = op->bias;
    const double square = sum_reals(op->by, op->by_width, 0, true);
    const double by = square > 0 ? sqrt((double)op->by_width / square) : 0;

    if (!less)
        for (size_t i = 0; i < op->width; i++)
            out[i] = (real)(by * (double)x[i]);
    else if (!bias)
        for (size_t i = 0; i < op->width; i++)
            out[i] = (real)(by * ((double)x[i] - (double)less[i]));
    else
        for (size_t i = 0; i < op->width; i++)
            out[i] =
                (real)(by * ((double)x[i] - (double)less[i] - (double)bias[i]));
}

static void norm_row(void *out_, const void *x_, size_t width,
                     const struct gqa_cpu_norm *norm)
{
    real *out = out_;
    const real *x = x_;
    const real *weight = norm->weight;
    const double n = (double)width;
    const double mean =
        norm->kind == GQA_NORM_LAYER ? sum_reals(x, width, 0, false) / n : 0;
    const double factor =
        1 / sqrt(sum_reals(x, width, mean, true) / n + norm->eps);
    const double plus = norm->one_plus ? 1 : 0;

    if (norm->accumulate) {
        add_normed(out, x, width, mean, factor, norm);
        return;
    }
    if (weight)
        for (size_t i = 0; i < width; i++)
            out[i] = (real)(((double)x[i] - mean) * factor *
                            ((double)weight[i] + plus));
    else
        for (size_t i = 0; i < width; i++)
            out[i] = (real)(((double)x[i] - mean) * factor);
    if (norm->bias)
        add_reals(out, norm->bias, width);
}

/* --- Rotation ------------------------------------------------------------- */

static void rotate_head(void *head, uint64_t n_pairs, bool interleaved,
                        const void *cos_sin)
{
    real *a = head;
    real *b = a + (interleaved ? 1 : n_pairs);
    const size_t step = interleaved ? 2 : 1;
    const real *t = cos_sin;

    for (uint64_t j = 0; j < n_pairs; j++) {
        const real x = a[j * step];
        const real y = b[j * step];

        a[j * step] = x * t[2 * j] - y * t[2 * j + 1];
        b[j * step] = y * t[2 * j] + x * t[2 * j + 1];
    }
}

/* --- Activations ---------------------------------------------------------- */

/* x / (1 + e^-y): silu where y is x, and 0.5 x (1 + tanh(y / 2)) as well,
 * without the cancellation of 1 + tanh. */
static INLINE real gate_real(real x, real y)
{
    return x / ((real)1 + exp_real(-y));
}

/* twice: 2 sqrt(2 / pi), of as many digits as the model has of it. */
static INLINE real gelu_tanh(real x, real twice)
{
    return gate_real(x, twice * (x + (real)0.044715 * x * x * x));
}

static INLINE real gelu(real x)
{
    return x * normal_real(x);
}

static void activate(void *x_, const void *up_, size_t n,
                     enum gqa_activation activation)
{
    real *x = x_;
    const real *up = up_;

    switch (activation) {
    case GQA_ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] < 0 ? 0 : x[i]; /* a NaN stays */
        break;
    case GQA_ACTIVATION_GELU:
        for (size_t i = 0; i < n; i++)
            x[i] = gelu(x[i]);
        break;
    case GQA_ACTIVATION_GELU_TANH:
        for (size_t i = 0; i < n; i++)
            x[i] = gelu_tanh(x[i], (real)1.5957691216057308);
        break;
    case GQA_ACTIVATION_SILU:
        for (size_t i = 0; i < n; i++)
            x[i] = gate_real(x[i], x[i]);
        break;
    case GQA_ACTIVATION_QUICK_GELU:
        for (size_t i = 0; i < n; i++)
            x[i] = gate_real(x[i], (real)1.702 * x[i]);
        break;
    case GQA_ACTIVATION_RELU2:
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] < 0 ? 0 : x[i] * x[i];
        break;
    case GQA_ACTIVATION_GELU_BLOOM:
        for (size_t i = 0; i < n; i++)
            x[i] = gelu_tanh(x[i], (real)1.59576912);
        break;
    }
    if (!up)
        return;
    for (size_t i = 0; i < n; i++)
        x[i] *= up[i];
}

/* A NaN stays one. */
static INLINE real within(real x, real least, real most)
{
    return x > most ? most : x < least ? least : x;
}

static void clip_reals(void *x_, size_t n, double limit_)
{
    const real limit = (real)limit_;
    real *x = x_;

    for (size_t i = 0; i < n; i++)
        x[i] = within(x[i], -limit, limit);
}

/* e^min(x, eps) - 1 is taken in double: for small x it is what is left of two
 * numbers that are nearly the same. */
static void xielu(void *x_, size_t n, const struct gqa_xielu *c)
{
    real *x = x_;

    for (size_t i = 0; i < n; i++) {
        const double y = x[i];

        x[i] =
            (real)(y > 0 ? (c->positive * y + c->beta) * y
                         : c->negative * (expm1(y > c->eps ? c->eps : y) - y) +
                               c->beta * y);
    }
}

static void swiglu_pairs(void *out_, const void *x_, size_t n,
                         const struct gqa_clamped_swiglu *c)
{
    const real alpha = (real)c->alpha, limit = (real)c->limit;
    const real *x = x_;
    real *out = out_;

    for (size_t i = 0; i < n; i++) {
        const real gate = x[2 * i] > limit ? limit : x[2 * i];
        const real up = within(x[2 * i + 1], -limit, limit);

        out[i] = (up + 1) * gate_real(gate, alpha * gate);
    }
}

/* --- Products ------------------------------------------------------------- */

static void multiply(const struct gqa_cpu_product *p)
{
    const real scale = (real)p->scale;
    const real beta = p->accumulate ? 1 : 0;

    if (p->n_rows == 1)
        GEMV(CblasRowMajor, p->input_major ? CblasTrans : CblasNoTrans,
             p->input_major ? p->k : p->n, p->input_major ? p->n : p->k, scale,
             p->w, p->ldw, p->x, 1, beta, p->out, 1);
    else
        GEMM(CblasRowMajor, CblasNoTrans,
             p->input_major ? CblasNoTrans : CblasTrans, p->n_rows, p->n, p->k,
             scale, p->x, p->ldx, p->w, p->ldw, beta, p->out, p->ldout);
}

/* --- Attention ------------------------------------------------------------ */

/* What a task knows of one head's queries while it goes through the keys. */
struct running {
    real *out;          /* [GQA_CPU_QUERIES, head_dim]: sums of e^s v */
    real *most, *total; /* [GQA_CPU_QUERIES]: largest s, and sum of e^s */
};

static size_t running_reals(uint64_t head_dim)
{
    return (size_t)(GQA_CPU_QUERIES * (head_dim + 2));
}

static size_t attend_bytes(uint64_t head_dim, uint64_t group)
{
    return ((size_t)group * running_reals(head_dim) +
            GQA_CPU_QUERIES * GQA_CPU_KEYS) *
           sizeof(real);
}

/* Keys that a query sees: from *first to *end - 1. */
static void seen_keys(const struct gqa_cpu_attend_task *t, uint64_t query,
                      uint64_t *first, uint64_t *end)
{
    const uint64_t position = t->start + query;

    *first = 0;
    *end = t->n_keys;
    if (!t->op->causal)
        return;
    if (position + 1 < *end)
        *end = position + 1;
    if (t->op->window && position + 1 > t->op->window)
        *first = position + 1 - t->op->window;
}

/* Place of key 0 in a row of biases for a query that sees a key. */
static uint64_t bias_at(const struct gqa_cpu_attend_task *t, uint64_t query)
{
    const struct gqa_attention_op *op = t->op;
    uint64_t position = t->start + query;

    if (op->per_key) {
        position /= op->per_key;
        if (position > t->n_keys - 1)
            position = t->n_keys - 1;
    }
    return op->reach - 1 - position;
}

static real largest(const real *x, size_t n)
{
    real lanes[LANES];
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        lanes[j] = (real)-INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (; i < n; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t j = 1; j < LANES; j++)
        lanes[0] = lanes[j] > lanes[0] ? lanes[j] : lanes[0];
    return lanes[0];
}

/* x[i] = e^(x[i] - most); returns their sum. */
static real exponentiate(real *x, size_t n, real most)
{
    real lanes[LANES] = {0};
    real sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            x[i + j] = exp_real(x[i + j] - most);
            lanes[j] += x[i + j];
        }
    for (; i < n; i++) {
        x[i] = exp_real(x[i] - most);
        lanes[0] += x[i];
    }
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* A tile of keys: c0 to c0 + n - 1. */
struct tile {
    uint64_t c0, n;
};

/* Turn a row of scores into weights of the values, and rescale what was
 * summed before where a score is larger than all so far. */
static void weigh_row(const struct gqa_cpu_attend_task *t,
                      const struct running *r, real *scores, uint64_t row,
                      const struct tile *tile, uint64_t head)
{
    const uint64_t head_dim = t->op->head_dim;
    uint64_t first, end;
    real most;

    seen_keys(t, t->first + row, &first, &end);
    first = first > tile->c0 ? first - tile->c0 : 0;
    end = end > tile->c0 ? end - tile->c0 : 0;
    if (end > tile->n)
        end = tile->n;
    if (first >= end) {
        memset(scores, 0, tile->n * sizeof *scores);
        return;
    }
    memset(scores, 0, first * sizeof *scores);
    memset(scores + end, 0, (tile->n - end) * sizeof *scores);
    if (t->op->soft_cap > 0)
        cap_reals(scores + first, (size_t)(end - first), t->op->soft_cap);
    if (t->op->bias) {
        const real *b = (const real *)t->op->bias +
                        head * (2 * t->op->reach - 1) +
                        bias_at(t, t->first + row) + tile->c0;

        for (uint64_t c = first; c < end; c++)
            scores[c] += b[c];
    }
    most = largest(scores + first, (size_t)(end - first));
    if (most > r->most[row]) {
        const real factor = exp_real(r->most[row] - most);

        r->total[row] *= factor;
        for (uint64_t i = 0; i < head_dim; i++)
            r->out[row * head_dim + i] *= factor;
        r->most[row] = most;
    }
    r->total[row] +=
        exponentiate(scores + first, (size_t)(end - first), r->most[row]);
}

static void attend_head(const struct gqa_cpu_attend_task *t,
                        const struct running *r, real *scores, uint64_t head,
                        const struct tile *tile)
{
    const struct gqa_attention_op *op = t->op;
    const int d = (int)op->head_dim;
    const int n_queries = (int)t->n;
    const int n_keys = (int)tile->n;
    const real *q = (const real *)op->q +
                    (t->sequence * t->n_new + t->first) * op->q_width +
                    gqa_cpu_head(&op->q_place, op->head_dim, head);
    const uint64_t at =
        ((t->sequence * op->n_kv_heads + t->kv_head) * op->capacity +
         tile->c0) *
        op->head_dim;
    const real *k = (const real *)op->k + at;
    const real *v = (const real *)op->v + at;

    if (n_queries == 1)
        GEMV(CblasRowMajor, CblasNoTrans, n_keys, d, (real)op->scale, k, d, q,
             1, 0, scores, 1);
    else
        GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, n_queries, n_keys, d,
             (real)op->scale, q, (int)op->q_width, k, d, 0, scores, n_keys);
    for (uint64_t row = 0; row < t->n; row++)
        weigh_row(t, r, scores + row * tile->n, row, tile, head);
    if (n_queries == 1)
        GEMV(CblasRowMajor, CblasTrans, n_keys, d, 1, v, d, scores, 1, 1,
             r->out, 1);
    else
        GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, n_queries, d, n_keys, 1,
             scores, n_keys, v, d, 1, r->out, d);
}

static void begin_head(const struct gqa_cpu_attend_task *t,
                       const struct running *r)
{
    memset(r->out, 0, t->n * t->op->head_dim * sizeof *r->out);
    memset(r->total, 0, t->n * sizeof *r->total);
    for (uint64_t i = 0; i < t->n; i++)
        r->most[i] = -(real)INFINITY;
}

/* Rows of padding are 0, and so is what sees no keys. */
static void end_head(const struct gqa_cpu_attend_task *t,
                     const struct running *r, uint64_t head)
{
    const struct gqa_attention_op *op = t->op;
    const uint64_t d = op->head_dim;

    for (uint64_t row = 0; row < t->n + t->n_padding; row++) {
        real *out =
            (real *)op->out +
            ((t->sequence * t->n_new + t->first + row) * op->q_place.n_heads +
             head) *
                d;
        const bool seen = row < t->n && r->total[row] != 0;

        for (uint64_t i = 0; i < d; i++)
            out[i] = seen ? r->out[row * d + i] / r->total[row] : 0;
        if (op->lse)
            ((real *)op->lse)[(t->sequence * t->n_new + t->first + row) *
                                  op->q_place.n_heads +
                              head] =
                seen ? (real)((double)r->most[row] + log((double)r->total[row]))
                : row < t->n ? (real)-INFINITY
                             : 0;
    }
}

static struct running running_of(void *scratch, uint64_t head_dim, uint64_t g)
{
    real *base = (real *)scratch + GQA_CPU_QUERIES * GQA_CPU_KEYS +
                 g * running_reals(head_dim);

    return (struct running){
        .out = base,
        .most = base + GQA_CPU_QUERIES * head_dim,
        .total = base + GQA_CPU_QUERIES * (head_dim + 1),
    };
}

/* Every tile of keys and values serves all heads of the group while it is in
 * the cache. */
static void attend(const struct gqa_cpu_attend_task *t, void *scratch)
{
    const struct gqa_attention_op *op = t->op;
    const uint64_t group = op->q_place.n_heads / op->n_kv_heads;
    const uint64_t head = t->kv_head * group;
    uint64_t first = 0, end = 0, ignored;
    struct tile tile;

    for (uint64_t g = 0; g < group; g++) {
        const struct running r = running_of(scratch, op->head_dim, g);

        begin_head(t, &r);
    }
    if (t->n > 0) {
        seen_keys(t, t->first, &first, &ignored);
        seen_keys(t, t->first + t->n - 1, &ignored, &end);
    }
    for (tile.c0 = first; tile.c0 < end; tile.c0 += tile.n) {
        tile.n = end - tile.c0 < GQA_CPU_KEYS ? end - tile.c0 : GQA_CPU_KEYS;
        for (uint64_t g = 0; g < group; g++) {
            const struct running r = running_of(scratch, op->head_dim, g);

            attend_head(t, &r, scratch, head + g, &tile);
        }
    }
    for (uint64_t g = 0; g < group; g++) {
        const struct running r = running_of(scratch, op->head_dim, g);

        end_head(t, &r, head + g);
    }
}

static void merge_head(const struct gqa_cpu_merge *op)
{
    real *out = op->out, *lse = op->lse;
    const real *other = op->other;
    const real a = *lse, b = *(const real *)op->other_lse;
    const real most = a > b ? a : b;
    real share, rest;

    /* Nothing is seen of the others. */
    if (b == (real)-INFINITY)
        return;
    share = exp_real(a - most);
    rest = exp_real(b - most);
    for (size_t i = 0; i < op->head_dim; i++)
        out[i] = (share * out[i] + rest * other[i]) / (share + rest);
    *lse = (real)((double)most + log((double)(share + rest)));
}

static void sink_row(const struct gqa_cpu_sink *op)
{
    const real *sinks = op->sinks;
    real *lse = op->lse, *out = op->out;

    for (size_t h = 0; h < op->n_heads; h++, out += op->head_dim) {
        const real most = lse[h] > sinks[h] ? lse[h] : sinks[h];
        const real share = exp_real(lse[h] - most);
        const real all = share + exp_real(sinks[h] - most);

        scale_reals(out, op->head_dim, (double)(share / all));
        lse[h] = (real)((double)most + log((double)all));
    }
}

#include "runtime/cpu/scores.inl"

#include "runtime/cpu/back.inl"

#include "runtime/cpu/back_attend.inl"

static const struct gqa_cpu_back back = {
    .store = store_reals,
    .rotate = rotate_head_back,
    .norm = norm_row_back,
    .activate = activate_back,
    .xielu = xielu_back,
    .swiglu_pairs = swiglu_pairs_back,
    .clip = clip_back,
    .loss = loss_row,
    .squares = squares_back,
    .sum_squares = sum_squares,
    .sum_products = sum_products,
    .add_to_sums = add_to_sums,
    .add_sums = add_sums,
    .multiply_columns = multiply_columns,
    .add_scaled = add_scaled,
    .adamw = adamw,
    .adafactor_row = adafactor_row,
    .adafactor_columns = adafactor_columns,
    .adafactor_update = adafactor_update,
    .attend_bytes = attend_back_bytes,
    .attend = attend_back,
    .sink = sink_back,
};

const struct gqa_cpu_real EXPORT = {
    .size = sizeof(real),
    .back = &back,
    .load = LOAD,
    .add = add_reals,
    .scale = scale_reals,
    .norm = norm_row,
    .rotate = rotate_head,
    .activate = activate,
    .add_scaled = add_scaled_reals,
    .clip = clip_reals,
    .xielu = xielu,
    .swiglu_pairs = swiglu_pairs,
    .soft_cap = cap_reals,
    .weigh = divide_row,
    .multiply = multiply,
    .attend_bytes = attend_bytes,
    .attend = attend,
    .merge = merge_head,
    .sink = sink_row,
    .scores = scores_tile,
};
