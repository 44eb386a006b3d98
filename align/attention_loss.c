#include "align/attention_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/score_bias.h"
#include "align/turning.h"
#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/large.h"
#include "common/signs.h"
#include "runtime/values.h"

enum {
    Q = GQA_PROJECTION_Q,
    K = GQA_PROJECTION_K,
    V = GQA_PROJECTION_V,
    O = GQA_PROJECTION_O,
    N_PROJECTIONS = GQA_N_PROJECTIONS,
    PROBED = 4, /* one part in so many tells what gradients look like */
};

struct gqa_attention_loss {
    struct gqa_attention_loss_job job;
    const struct gqa_score_records *records;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    uint64_t d_model, width;        /* of the stream; of heads side by side */
    uint64_t at[N_PROJECTIONS + 1]; /* in weights */
    struct gqa_turning turning;
    struct gqa_score_sizes sizes; /* of parts */
    void *score_bias;             /* of their reach */
    void **scales; /* by part, real [rows]: what each row is divided by */
    double *dots;  /* of rows, on the host */
    /* On the device, in the shapes of projections: */
    void *weights[N_PROJECTIONS], *sums[N_PROJECTIONS];
    void *biases[N_PROJECTIONS];
    void *moments; /* float64, of the widest rows */
    /* Of the largest part, and what they are to blame for: */
    void *rows[N_PROJECTIONS]; /* of o: what is missing of what it adds */
    void *d_q;                 /* of q, whose rows are wanted on the way back */
    void *cache[2], *d_cache[2];
    void *heads, *d_heads;
    void *lse;
    void *inputs, *shares; /* inputs, and what each row of them counts */
};

/* --- Forth ---------------------------------------------------------------- */

static const struct gqa_attention *attention_of(
    const struct gqa_attention_loss *l)
{
    return l->job.becomes->heads;
}

static struct gqa_head_place place_of(uint64_t n_heads)
{
    return (struct gqa_head_place){n_heads, 0, n_heads, 0};
}

static struct gqa_weight weight_of(const struct gqa_attention_loss *l, int i)
{
    return (struct gqa_weight){l->weights[i], l->real, l->job.rows[i]->n,
                               l->job.rows[i]->inputs};
}

/* Queries alone, or, where there are caches, keys and values. */
static struct gqa_turn_op turn_of(const struct gqa_attention_loss *l,
                                  const struct gqa_score_part *p, void *q,
                                  void *const cache[2])
{
    const struct gqa_rope *rope = l->turning.rope;
    struct gqa_turn_op op = {.capacity = p->n_keys,
                             .head_dim = attention_of(l)->head_dim};

    if (rope) {
        op.n_pairs = rope->n_pairs;
        op.interleaved = rope->interleaved;
        op.cos_sin = l->turning.forth;
    }
    if (!cache) {
        op.q = q;
        op.q_width = l->width;
        op.q_place = place_of(attention_of(l)->n_heads);
        return op;
    }
    op.k = l->rows[K];
    op.v = l->rows[V];
    op.k_width = l->job.rows[K]->n;
    op.v_width = l->job.rows[V]->n;
    op.k_place = op.v_place = place_of(l->job.pooled);
    op.cache_k = cache[0];
    op.cache_v = cache[1];
    return op;
}

static struct gqa_attention_op op_of(const struct gqa_attention_loss *l,
                                     const struct gqa_score_part *p)
{
    struct gqa_attention_op op = gqa_score_part_attention(p, l->job.becomes);

    op.out = l->heads;
    op.q = l->rows[Q];
    op.q_width = l->width;
    op.q_place = place_of(attention_of(l)->n_heads);
    op.k = l->cache[0];
    op.v = l->cache[1];
    op.n_kv_heads = l->job.pooled;
    op.bias = l->score_bias;
    op.reach = l->sizes.reach;
    op.lse = l->lse;
    return op;
}

static enum gqa_status project(const struct gqa_attention_loss *l,
                               const struct gqa_score_part *p, int i)
{
    const struct gqa_weight weight = weight_of(l, i);
    const struct gqa_weight bias = {l->biases[i], l->real, weight.rows, 1};

    return l->backend->linear(l->device, l->rows[i],
                              gqa_score_part_inputs(p, i != Q),
                              gqa_score_part_rows(p, i != Q), &weight, false,
                              bias.data ? &bias : NULL, NULL);
}

/* What a part's heads give; queries are the batch then. */
static enum gqa_status attend(const struct gqa_attention_loss *l,
                              const struct gqa_score_part *p)
{
    const struct gqa_turn_op keys = turn_of(l, p, NULL, l->cache);
    const struct gqa_turn_op queries = turn_of(l, p, l->rows[Q], NULL);
    const struct gqa_attention_op op = op_of(l, p);
    enum gqa_status st = gqa_score_records_begin(l->records, p, true);

    if (st == GQA_OK)
        st = project(l, p, K);
    if (st == GQA_OK)
        st = project(l, p, V);
    if (st == GQA_OK)
        st = l->backend->gradients->turn(l->device, &keys);
    if (st == GQA_OK)
        st = gqa_score_records_begin(l->records, p, false);
    if (st == GQA_OK)
        st = project(l, p, Q);
    if (st == GQA_OK)
        st = l->backend->gradients->turn(l->device, &queries);
    return st == GQA_OK ? l->backend->attend(l->device, &op) : st;
}

/* Rows of the part's queries, divided by what they count. */
static enum gqa_status scale_rows(const struct gqa_attention_loss *l, void *out,
                                  const void *x, const void *less,
                                  uint64_t width, size_t part)
{
    return l->backend->weigh_rows(
        l->device, out, x, less, NULL, width, l->scales[part], 1,
        gqa_score_part_rows(&l->records->parts[part], false));
}

/* What is missing, divided, to l->rows[O], and half its squares. */
static enum gqa_status lose(const struct gqa_attention_loss *l, size_t part,
                            double *value)
{
    const struct gqa_score_part *p = &l->records->parts[part];
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const struct gqa_weight output = weight_of(l, O);
    enum gqa_status st = attend(l, p);

    *value = 0;
    if (st == GQA_OK)
        st = l->backend->linear(l->device, l->rows[O], l->heads, n_rows,
                                &output, true, NULL, NULL);
    if (st == GQA_OK)
        st = scale_rows(l, l->rows[O], p->aim, l->rows[O], l->d_model, part);
    if (st == GQA_OK)
        st = l->backend->gradients->dot_rows(l->device, l->dots, l->rows[O],
                                             l->rows[O], l->d_model, n_rows);
    for (uint64_t i = 0; i < n_rows && st == GQA_OK; i++)
        *value += l->dots[i] / 2;
    if (st == GQA_OK && gqa_interrupt_pending())
        st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    return st;
}

/* --- Back ----------------------------------------------------------------- */

/* What the rows of a projection are to blame for. */
static void *blamed(const struct gqa_attention_loss *l, int i)
{
    return i == Q ? l->d_q : l->rows[i];
}

/* From rows of the output, divided, which become what it is to blame for, to
 * those of q, k and v. */
static enum gqa_status blame(const struct gqa_attention_loss *l, size_t part)
{
    const struct gqa_score_part *p = &l->records->parts[part];
    const struct gqa_gradient_ops *ops = l->backend->gradients;
    const struct gqa_weight output = weight_of(l, O);
    const struct gqa_attention_gradient back = {.forward = op_of(l, p),
                                                .d_out = l->d_heads,
                                                .d_q = l->d_q,
                                                .d_k = l->d_cache[0],
                                                .d_v = l->d_cache[1]};
    const struct gqa_turn_op keys = turn_of(l, p, NULL, l->d_cache);
    const struct gqa_turn_op queries = turn_of(l, p, l->d_q, NULL);
    enum gqa_status st =
        scale_rows(l, l->rows[O], l->rows[O], NULL, l->d_model, part);

    if (st == GQA_OK)
        st = gqa_linear_transposed(l->backend, l->device, l->d_heads,
                                   l->rows[O], gqa_score_part_rows(p, false),
                                   &output, true, false);
    if (st == GQA_OK)
        st = ops->attend_back(l->device, &back);
    if (st == GQA_OK)
        st = ops->turn_back(l->device, &queries);
    if (st == GQA_OK)
        st = gqa_score_records_begin(l->records, p, true);
    return st == GQA_OK ? ops->turn_back(l->device, &keys) : st;
}

static enum gqa_status add_gradients(const struct gqa_attention_loss *l,
                                     size_t part)
{
    const struct gqa_score_part *p = &l->records->parts[part];
    enum gqa_status st = blame(l, part);

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++) {
        const bool keys = i == K || i == V;
        const bool output = i == O;

        st = l->backend->gradients->linear_weight(
            l->device, l->sums[i], NULL,
            output ? l->heads : gqa_score_part_inputs(p, keys),
            output ? l->width : l->job.rows[i]->inputs, blamed(l, i),
            output ? l->d_model : l->job.rows[i]->n,
            gqa_score_part_rows(p, keys), output);
    }
    return st;
}

static uint64_t size_of(const struct gqa_attention_loss *l, int i)
{
    return l->at[i + 1] - l->at[i];
}

static enum gqa_status put_weights(const struct gqa_attention_loss *l,
                                   const double *weights)
{
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++)
        st = gqa_values_upload(l->backend, l->device, l->weights[i], l->real,
                               weights + l->at[i], size_of(l, i));
    return st;
}

enum gqa_status gqa_attention_loss_differentiate(struct gqa_attention_loss *l,
                                                 const double *weights,
                                                 double *value,
                                                 double *gradient)
{
    enum gqa_status st = put_weights(l, weights);

    *value = 0;
    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++)
        st = l->backend->zero(l->device, l->sums[i],
                              size_of(l, i) * gqa_wide_bytes(l->real));
    for (size_t i = 0; i < l->records->n_parts && st == GQA_OK; i++) {
        double lost = 0;

        if (l->records->parts[i].held_out)
            continue;
        st = lose(l, i, &lost);
        if (st == GQA_OK)
            st = add_gradients(l, i);
        *value += lost;
    }
    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++)
        st = gqa_values_download(l->backend, l->device, gradient + l->at[i],
                                 l->sums[i], gqa_wide_of(l->real),
                                 size_of(l, i));
    /* What is missing falls where what is added grows. */
    for (uint64_t i = 0; i < l->at[N_PROJECTIONS] && st == GQA_OK; i++)
        gradient[i] = -gradient[i];
    return st;
}

enum gqa_status gqa_attention_loss_hold(struct gqa_attention_loss *l,
                                        const double *weights, double *values)
{
    enum gqa_status st = put_weights(l, weights);

    for (size_t i = 0; i < l->records->n_parts && st == GQA_OK; i++)
        if (l->records->parts[i].held_out)
            st = lose(l, i, values++);
    return st;
}

size_t gqa_attention_loss_n_held(const struct gqa_attention_loss *l)
{
    size_t n = 0;

    for (size_t i = 0; i < l->records->n_parts; i++)
        n += l->records->parts[i].held_out;
    return n;
}

uint64_t gqa_attention_loss_at(const struct gqa_attention_loss *l, int i)
{
    return l->at[i];
}

/* --- Curvature ------------------------------------------------------------ */

static enum gqa_status draw_signs(const struct gqa_attention_loss *l,
                                  size_t part)
{
    const uint64_t n =
        gqa_score_part_rows(&l->records->parts[part], false) * l->d_model;
    const uint64_t key = gqa_sign_key(part, 0, 0, 0);
    double *signs = gqa_large_malloc(n * sizeof *signs);
    enum gqa_status st = signs ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        signs[i] = gqa_sign_bit(key, i) ? -1 : 1;
    if (st == GQA_OK)
        st = gqa_values_upload(l->backend, l->device, l->rows[O], l->real,
                               signs, n);
    free(signs);
    return st;
}

/* out += X^T X of rows, on the diagonal in blocks of d. */
static enum gqa_status add_moments(const struct gqa_attention_loss *l,
                                   double *out, const void *rows,
                                   uint64_t width, uint64_t d, uint64_t n_rows)
{
    double *all = gqa_large_malloc(width * width * sizeof *all);
    enum gqa_status st = all ? l->backend->zero(l->device, l->moments,
                                                width * width * sizeof *all)
                             : gqa_fail_nomem();

    if (st == GQA_OK)
        st = l->backend->gram(l->device, l->moments, rows, width, NULL, 0,
                              n_rows);
    if (st == GQA_OK)
        st = l->backend->download(l->device, all, l->moments,
                                  width * width * sizeof *all);
    for (uint64_t i = 0; i < width * d && st == GQA_OK; i++)
        out[i] += all[i / d * width + i / d / d * d + i % d];
    free(all);
    return st;
}

/* Of what a projection is made from, each row as much as its outputs are to
 * blame for. */
static enum gqa_status add_inputs(const struct gqa_attention_loss *l,
                                  double *out, const struct gqa_score_part *p,
                                  int i)
{
    const uint64_t n_rows = gqa_score_part_rows(p, i != Q);
    const uint64_t inputs = l->job.rows[i]->inputs;
    enum gqa_status st = l->backend->gradients->dot_rows(
        l->device, l->dots, blamed(l, i), blamed(l, i), l->job.rows[i]->n,
        n_rows);

    for (uint64_t r = 0; r < n_rows && st == GQA_OK; r++)
        l->dots[r] = l->dots[r] > 0 ? 1 / sqrt(l->dots[r]) : 0;
    if (st == GQA_OK)
        st = gqa_values_upload(l->backend, l->device, l->shares, l->real,
                               l->dots, n_rows);
    if (st == GQA_OK)
        st = l->backend->weigh_rows(l->device, l->inputs,
                                    gqa_score_part_inputs(p, i != Q), NULL,
                                    NULL, inputs, l->shares, 1, n_rows);
    return st == GQA_OK ? add_moments(l, out, l->inputs, inputs, inputs, n_rows)
                        : st;
}

static enum gqa_status probe_part(const struct gqa_attention_loss *l,
                                  size_t part,
                                  const struct gqa_attention_moments *out)
{
    const struct gqa_score_part *p = &l->records->parts[part];
    const uint64_t d = attention_of(l)->head_dim;
    double lost;
    enum gqa_status st = lose(l, part, &lost);

    if (st == GQA_OK)
        st = draw_signs(l, part);
    if (st == GQA_OK)
        st = blame(l, part);
    for (int i = Q; i <= V && st == GQA_OK; i++) {
        st = add_moments(l, out->heads[i], blamed(l, i), l->job.rows[i]->n, d,
                         gqa_score_part_rows(p, i != Q));
        if (st == GQA_OK)
            st = add_inputs(l, out->inputs[i], p, i);
    }
    if (st == GQA_OK)
        st = scale_rows(l, l->d_heads, l->heads, NULL, l->width, part);
    return st == GQA_OK ? add_moments(l, out->heads[O], l->d_heads, l->width,
                                      l->width, gqa_score_part_rows(p, false))
                        : st;
}

static void multiply(double *values, uint64_t n, double factor)
{
    for (uint64_t i = 0; i < n; i++)
        values[i] *= factor;
}

/* Sums as if of all rows, in so many parts; means of inputs: what a row is to
 * blame for adds up to the trace of the heads' moments. */
static void finish_moments(const struct gqa_attention_loss *l,
                           const struct gqa_attention_moments *out,
                           double factor)
{
    const uint64_t d = attention_of(l)->head_dim;

    for (int i = Q; i <= V; i++) {
        const uint64_t n = l->job.rows[i]->n, inputs = l->job.rows[i]->inputs;
        double trace = 0;

        for (uint64_t r = 0; r < n; r++)
            trace += out->heads[i][r * d + r % d];
        multiply(out->inputs[i], inputs * inputs, trace > 0 ? 1 / trace : 0);
        multiply(out->heads[i], n * d, factor);
    }
    multiply(out->heads[O], l->width * l->width, factor);
}

static enum gqa_status alloc_moments(const struct gqa_attention_loss *l,
                                     struct gqa_attention_moments *out)
{
    const uint64_t d = attention_of(l)->head_dim;

    memset(out, 0, sizeof *out);
    for (int i = 0; i < N_PROJECTIONS; i++) {
        const uint64_t n = l->job.rows[i]->n, inputs = l->job.rows[i]->inputs;

        out->heads[i] = gqa_large_calloc(n * (i == O ? n : d), sizeof(double));
        if (!out->heads[i])
            return gqa_fail_nomem();
        if (i == O)
            continue;
        out->inputs[i] = gqa_large_calloc(inputs * inputs, sizeof(double));
        if (!out->inputs[i])
            return gqa_fail_nomem();
    }
    return GQA_OK;
}

enum gqa_status gqa_attention_loss_probe(struct gqa_attention_loss *l,
                                         const double *weights,
                                         struct gqa_attention_moments *out)
{
    uint64_t n_all = 0, n_probed = 0, n_fit = 0;
    enum gqa_status st = alloc_moments(l, out);

    if (st == GQA_OK)
        st = put_weights(l, weights);
    for (size_t i = 0; i < l->records->n_parts && st == GQA_OK; i++) {
        const struct gqa_score_part *p = &l->records->parts[i];

        if (p->held_out)
            continue;
        n_all += gqa_score_part_rows(p, false);
        if (n_fit++ % PROBED)
            continue;
        n_probed += gqa_score_part_rows(p, false);
        st = probe_part(l, i, out);
    }
    if (st == GQA_OK && n_probed > 0)
        finish_moments(l, out, (double)n_all / (double)n_probed);
    return st;
}

void gqa_attention_moments_clear(struct gqa_attention_moments *moments)
{
    for (int i = 0; i < N_PROJECTIONS; i++) {
        free(moments->heads[i]);
        free(moments->inputs[i]);
    }
    memset(moments, 0, sizeof *moments);
}

/* --- Beginning and end ---------------------------------------------------- */

static enum gqa_status alloc_reals(const struct gqa_attention_loss *l,
                                   void **out, uint64_t n)
{
    return l->backend->alloc(l->device, out, n * gqa_dtype_bits(l->real) / 8);
}

static enum gqa_status alloc_shapes(struct gqa_attention_loss *l)
{
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++) {
        const struct gqa_head_rows *rows = l->job.rows[i];

        st = alloc_reals(l, &l->weights[i], size_of(l, i));
        if (st == GQA_OK)
            st = l->backend->alloc(l->device, &l->sums[i],
                                   size_of(l, i) * gqa_wide_bytes(l->real));
        if (st != GQA_OK || i == O || !rows->bias)
            continue;
        st = alloc_reals(l, &l->biases[i], rows->n);
        if (st == GQA_OK)
            st = gqa_values_upload(l->backend, l->device, l->biases[i], l->real,
                                   rows->bias, rows->n);
    }
    return st;
}

static enum gqa_status alloc_rows(struct gqa_attention_loss *l)
{
    const uint64_t kv_width = l->job.rows[K]->n;
    const uint64_t inputs =
        gqa_max_u64(l->job.rows[Q]->inputs, l->job.rows[K]->inputs);
    const uint64_t widest =
        gqa_max_u64(gqa_max_u64(l->width, kv_width), inputs);
    const uint64_t n_rows = l->sizes.n_queries, n_keys = l->sizes.n_keys;
    const uint64_t n_all = gqa_max_u64(n_rows, n_keys);
    enum gqa_status st;

    if ((st = alloc_reals(l, &l->rows[Q], n_rows * l->width)) != GQA_OK ||
        (st = alloc_reals(l, &l->d_q, n_rows * l->width)) != GQA_OK ||
        (st = alloc_reals(l, &l->rows[K], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->rows[V], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->rows[O], n_rows * l->d_model)) != GQA_OK ||
        (st = alloc_reals(l, &l->cache[0], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->cache[1], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->d_cache[0], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->d_cache[1], n_keys * kv_width)) != GQA_OK ||
        (st = alloc_reals(l, &l->heads, n_rows * l->width)) != GQA_OK ||
        (st = alloc_reals(l, &l->d_heads, n_rows * l->width)) != GQA_OK)
        return st;
    if ((st = alloc_reals(l, &l->inputs, n_all * inputs)) != GQA_OK ||
        (st = alloc_reals(l, &l->shares, n_all)) != GQA_OK)
        return st;
    st = l->backend->alloc(l->device, &l->lse,
                           n_rows * attention_of(l)->n_heads *
                               gqa_wide_bytes(l->real));
    if (st == GQA_OK)
        st = l->backend->alloc(l->device, &l->moments,
                               widest * widest * sizeof(double));
    l->dots = malloc(n_all * sizeof *l->dots);
    return st == GQA_OK && !l->dots ? gqa_fail_nomem() : st;
}

/* A part's rows are divided by the root of what one over their weight is; by
 * 0, which makes them nothing, where that is 0. */
static enum gqa_status make_scales(const struct gqa_attention_loss *l,
                                   size_t part)
{
    const struct gqa_score_part *p = &l->records->parts[part];
    const uint64_t n_rows = gqa_score_part_rows(p, false);
    const uint64_t n_heads = attention_of(l)->n_heads;
    double *weights = malloc(n_rows * n_heads * sizeof *weights);
    enum gqa_status st =
        weights
            ? gqa_values_download(l->backend, l->device, weights, p->weights,
                                  gqa_wide_of(l->real), n_rows * n_heads)
            : gqa_fail_nomem();

    for (uint64_t i = 0; i < n_rows && st == GQA_OK; i++) {
        const double weight = weights[i * n_heads];

        weights[i] = weight > 0 ? sqrt(1 / weight) : 0;
    }
    if (st == GQA_OK)
        st = alloc_reals(l, &l->scales[part], n_rows);
    if (st == GQA_OK)
        st = gqa_values_upload(l->backend, l->device, l->scales[part], l->real,
                               weights, n_rows);
    free(weights);
    return st;
}

static enum gqa_status begin(struct gqa_attention_loss *l)
{
    enum gqa_status st = alloc_shapes(l);

    l->scales = calloc(l->records->n_parts + 1, sizeof *l->scales);
    if (st == GQA_OK && !l->scales)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = alloc_rows(l);
    for (size_t i = 0; i < l->records->n_parts && st == GQA_OK; i++)
        st = make_scales(l, i);
    if (st == GQA_OK)
        st = gqa_score_bias_upload(&l->score_bias, l->backend, l->device,
                                   l->real, l->job.becomes, l->job.table,
                                   l->sizes.reach);
    return st == GQA_OK
               ? gqa_turning_create(&l->turning, l->backend, l->device, l->real,
                                    l->job.becomes->rope, l->sizes.reach)
               : st;
}

enum gqa_status gqa_attention_loss_create(
    struct gqa_attention_loss **out, const struct gqa_attention_loss_job *job)
{
    struct gqa_attention_loss *l;
    enum gqa_status st;

    if (!job->records->backend->gradients)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the device has no gradients");
    if (!(l = calloc(1, sizeof *l)))
        return gqa_fail_nomem();
    l->job = *job;
    l->records = job->records;
    l->backend = job->records->backend;
    l->device = job->records->device;
    l->real = job->records->real;
    l->width = job->rows[O]->n;
    l->d_model = job->rows[O]->inputs;
    l->sizes = gqa_score_records_sizes(l->records);
    for (int i = 0; i < N_PROJECTIONS; i++)
        l->at[i + 1] = l->at[i] + job->rows[i]->n * job->rows[i]->inputs;
    st = begin(l);
    if (st == GQA_OK)
        *out = l;
    else
        gqa_attention_loss_free(l);
    return st;
}

void gqa_attention_loss_free(struct gqa_attention_loss *l)
{
    if (!l)
        return;

    void *const memory[] = {l->d_q,        l->score_bias, l->moments,
                            l->cache[0],   l->cache[1],   l->d_cache[0],
                            l->d_cache[1], l->heads,      l->d_heads,
                            l->lse,        l->inputs,     l->shares};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        l->backend->free(l->device, memory[i]);
    for (int i = 0; i < N_PROJECTIONS; i++) {
        l->backend->free(l->device, l->weights[i]);
        l->backend->free(l->device, l->sums[i]);
        l->backend->free(l->device, l->biases[i]);
        l->backend->free(l->device, l->rows[i]);
    }
    for (size_t i = 0; l->scales && i < l->records->n_parts; i++)
        l->backend->free(l->device, l->scales[i]);
    gqa_turning_clear(&l->turning, l->backend, l->device);
    free(l->scales);
    free(l->dots);
    free(l);
}
