#include "align/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/device_ridge.h"
#include "align/records.h"
#include "align/score_stage.h"
#include "align/solve.h"
#include "align/source_values.h"
#include "align/turning.h"
#include "align/value_stage.h"
#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"

/* One sequence in so many is held out. */
enum { HELD_OUT = 8 };

/* Of values and outputs in turn, at most. */
enum { ROUNDS = 3 };

/* Shares of the mean of X^T X's diagonal that hold a fit to what it began
 * with; what is held out chooses. */
static const double ridges[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};
enum { N_RIDGES = sizeof ridges / sizeof *ridges };

enum { FITTED, KEPT_OUT, N_SETS };

/* What of a row is fitted to what. */
enum { HEADS, AIM };

/* Memory of the device that grows. */
struct room {
    void *data;
    uint64_t n_bytes;
};

struct refit {
    const struct gqa_refit_job *job;
    struct gqa_alignment *alignment;
    struct gqa_layers *layers[2]; /* of the original, of the converted */
    struct gqa_score_stage scores;
    struct gqa_device_ridge ridge;
    struct gqa_value_stage values; /* of the attention that is fitted */
    bool sees_values;              /* what comes is for it too */
    /* The original's stream behind its attentions, of the block that runs, by
     * kind; the converted's before one, of the batch that runs. */
    struct gqa_records *target[2], *before;
    size_t batch;                 /* that runs */
    enum gqa_attention_kind kind; /* that is fitted */
    const struct gqa_attention *attention;
    void *bias; /* of its output, on the device: it stays what it is; NULL */
    /* On the device, of real: rows that are weighed, and those of a set. */
    struct room weighed[2], gathered[2];
    /* On the device, float64: X^T X and X^T Y, by set. */
    void *inputs[N_SETS], *products[N_SETS];
};

/* --- Sums ----------------------------------------------------------------- */

/* The original's stream behind its attentions, and what scores are fitted
 * to. */
static enum gqa_status see_original(void *ctx, const struct gqa_tapped *t)
{
    struct refit *r = ctx;
    const enum gqa_status st = gqa_score_stage_see(&r->scores, t);

    return st == GQA_OK && t->point == GQA_TAP_AFTER_ATTENTION
               ? gqa_records_add(r->target[t->kind], t)
               : st;
}

static enum gqa_status reserve(const struct refit *r, struct room *room,
                               uint64_t n, enum gqa_dtype real)
{
    const uint64_t n_bytes = n * (gqa_dtype_bits(real) / 8);
    enum gqa_status st;

    if (n_bytes <= room->n_bytes)
        return GQA_OK;
    r->job->backend->free(r->job->device, room->data);
    *room = (struct room){0};
    st = r->job->backend->alloc(r->job->device, &room->data, n_bytes);
    if (st == GQA_OK)
        room->n_bytes = n_bytes;
    return st;
}

/* Both are divided by the root mean square of the original's stream there, as
 * the norm that comes next does it. */
static enum gqa_status weigh(struct refit *r, const struct gqa_tapped *t)
{
    const uint64_t d = r->job->network->d_model;
    const uint64_t offset = t->first_row * d * (gqa_dtype_bits(t->real) / 8);
    const struct gqa_weight bias = {r->bias, GQA_F64, 1, d};
    const void *target = NULL, *before = NULL;
    enum gqa_status st =
        gqa_records_batch(&target, r->target[r->kind], r->batch);

    if (st == GQA_OK)
        st = gqa_records_batch(&before, r->before, 0);
    if (st == GQA_OK)
        st = reserve(r, &r->weighed[HEADS], t->n_rows * t->width, t->real);
    if (st == GQA_OK)
        st = reserve(r, &r->weighed[AIM], t->n_rows * d, t->real);
    if (st != GQA_OK)
        return st;
    target = (const char *)target + offset;
    before = (const char *)before + offset;
    st = t->backend->weigh_rows(t->device, r->weighed[HEADS].data, t->x, NULL,
                                NULL, t->width, target, d, t->n_rows);
    return st == GQA_OK
               ? t->backend->weigh_rows(t->device, r->weighed[AIM].data, target,
                                        before, r->bias ? &bias : NULL, d,
                                        target, d, t->n_rows)
               : st;
}

/* The real rows of a set, as gather() takes them; returns how many. */
static uint64_t rows_of_set(const struct gqa_tapped *t, int set, uint64_t *rows)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < t->n_rows; i++) {
        uint64_t sequence, position;

        if (gqa_tapped_row(t, i, &sequence, &position) &&
            (sequence % HELD_OUT == HELD_OUT - 1) == (set == KEPT_OUT))
            rows[n++] = i;
    }
    return n;
}

static enum gqa_status gather(struct refit *r, const struct gqa_tapped *t,
                              int which, uint64_t width, const uint64_t *rows,
                              uint64_t n)
{
    enum gqa_status st =
        reserve(r, &r->gathered[which], t->n_rows * width, t->real);

    return st == GQA_OK
               ? t->backend->gather(t->device, r->gathered[which].data,
                                    r->weighed[which].data, width, rows, n)
               : st;
}

static enum gqa_status add_sums(struct refit *r, const struct gqa_tapped *t)
{
    const uint64_t d = r->job->network->d_model;
    uint64_t *rows = malloc(t->n_rows * sizeof *rows);
    enum gqa_status st = rows ? weigh(r, t) : gqa_fail_nomem();

    for (int set = 0; set < N_SETS && st == GQA_OK; set++) {
        const uint64_t n = rows_of_set(t, set, rows);

        if (n == 0)
            continue;
        st = gather(r, t, HEADS, t->width, rows, n);
        if (st == GQA_OK)
            st = gather(r, t, AIM, d, rows, n);
        if (st == GQA_OK)
            st =
                t->backend->gram(t->device, r->inputs[set],
                                 r->gathered[HEADS].data, t->width, NULL, 0, n);
        if (st == GQA_OK)
            st = t->backend->gram(t->device, r->products[set],
                                  r->gathered[HEADS].data, t->width,
                                  r->gathered[AIM].data, d, n);
    }
    free(rows);
    return st;
}

/* The stream that the fitted attention adds to, and what its heads give. */
static enum gqa_status see_converted(void *ctx, const struct gqa_tapped *t)
{
    const bool cross = t->kind == GQA_ATTENTION_CROSS;
    struct refit *r = ctx;
    const bool fits_cross = r->kind == GQA_ATTENTION_CROSS;
    enum gqa_status st;

    if (r->sees_values) {
        st = gqa_value_stage_see(&r->values, t);
        if (st != GQA_OK)
            return st;
    }
    if (t->point == GQA_TAP_BEFORE
            ? !fits_cross
            : t->point == GQA_TAP_AFTER_ATTENTION && fits_cross && !cross) {
        gqa_records_clear(r->before);
        return gqa_records_add(r->before, t);
    }
    if (t->point != GQA_TAP_ATTENDED || cross != fits_cross ||
        r->job->no_outputs)
        return GQA_OK;
    st = add_sums(r, t);
    if (t->first_row + t->n_rows == t->n_sequences * t->n_new)
        r->batch++;
    return st;
}

/* --- Fitting -------------------------------------------------------------- */

static enum gqa_status open_sums(struct refit *r, uint64_t width, uint64_t d)
{
    const struct gqa_backend *backend = r->job->backend;
    enum gqa_status st = GQA_OK;

    for (int set = 0; set < N_SETS; set++) {
        void **const sums[] = {&r->inputs[set], &r->products[set]};
        const uint64_t n_bytes[] = {width * width * sizeof(double),
                                    width * d * sizeof(double)};

        for (int i = 0; i < 2 && st == GQA_OK; i++) {
            st = backend->alloc(r->job->device, sums[i], n_bytes[i]);
            if (st == GQA_OK)
                st = backend->zero(r->job->device, *sums[i], n_bytes[i]);
        }
    }
    return st;
}

static void close_sums(struct refit *r)
{
    for (int set = 0; set < N_SETS; set++) {
        r->job->backend->free(r->job->device, r->inputs[set]);
        r->job->backend->free(r->job->device, r->products[set]);
        r->inputs[set] = r->products[set] = NULL;
    }
}

/* o's weight as [inputs, outputs], and back into the parameter's shape. */
struct turning {
    double *out;
    const double *in;
    uint64_t rows, cols; /* of in */
};

enum { TILE = 64 }; /* what is near in one is far apart in the other */

static enum gqa_status turn_columns(void *ctx, uint64_t first, uint64_t n)
{
    const struct turning *t = ctx;

    for (uint64_t r0 = 0; r0 < t->rows; r0 += TILE)
        for (uint64_t r = r0; r < gqa_min_u64(r0 + TILE, t->rows); r++)
            for (uint64_t c = first; c < first + n; c++)
                t->out[c * t->rows + r] = t->in[r * t->cols + c];
    return GQA_OK;
}

static enum gqa_status turn(const struct refit *r, double *out,
                            const double *in, uint64_t rows, uint64_t cols)
{
    struct turning t = {out, in, rows, cols};

    return gqa_ranges_run(cols, TILE, r->job->n_threads, turn_columns, &t);
}

static enum gqa_status read_weight(const struct refit *r, double **out,
                                   const struct gqa_param *p, bool input_major)
{
    double *values = NULL;
    enum gqa_status st =
        gqa_source_values(&values, r->job->converted, r->job->network->model,
                          r->attention->o.weight, r->job->n_threads);

    *out = values;
    if (st != GQA_OK || input_major)
        return st;
    *out = gqa_large_malloc(p->rows * p->cols * sizeof **out);
    if (!*out)
        st = gqa_fail_nomem();
    else
        st = turn(r, *out, values, p->rows, p->cols);
    free(values);
    return st;
}

static enum gqa_status keep(struct refit *r, const double *weight,
                            const struct gqa_param *p, bool input_major)
{
    struct gqa_transforms *t =
        &r->alignment
             ->attentions[r->attention - r->job->network->model->attentions];
    const uint64_t n = p->rows * p->cols;
    const uint64_t n_bytes = n * (gqa_dtype_bits(p->dtype) / 8);
    double *values = gqa_large_malloc(n * sizeof *values);
    void *raw = gqa_large_malloc(n_bytes);
    enum gqa_status st = values && raw ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK && input_major)
        memcpy(values, weight, n * sizeof *values);
    else if (st == GQA_OK)
        st = turn(r, values, weight, p->cols, p->rows);
    if (st == GQA_OK) {
        gqa_store_f64(raw, p->dtype, values, n);
        st = gqa_spill_keep(&t->fitted_o, raw, n_bytes);
    }
    free(values);
    free(raw);
    return st;
}

/* Of what was held out, less |Y|^2, which is the same for all weights. */
static enum gqa_status fit_loss(const struct refit *r, double *out,
                                const double *weight, uint64_t width,
                                uint64_t d)
{
    const struct gqa_backend *backend = r->job->backend;
    const double *inputs = r->inputs[KEPT_OUT];
    const double *products = r->products[KEPT_OUT];
    const enum gqa_status st =
        backend->fit_loss
            ? backend->fit_loss(r->job->device, out, weight, inputs, products,
                                width, d)
            : gqa_fit_loss(out, weight, inputs, products, 0, width, d);

    if (st == GQA_OK && !isfinite(*out))
        return gqa_fail(GQA_ERR_FORMAT,
                        "what attentions give is not finite, and no output "
                        "projection can be fitted to it");
    return st;
}

/* Of began, tried and best, float64 on the device, to best; false: nothing
 * that was held out gains. */
static enum gqa_status choose(bool *gains, struct refit *r, void *weights[3],
                              uint64_t width, uint64_t d)
{
    double least, loss;
    enum gqa_status st = fit_loss(r, &least, weights[0], width, d);

    *gains = false;
    for (int i = 0; i < N_RIDGES && st == GQA_OK; i++) {
        void *const tried = weights[1];

        st = gqa_device_fit_ridge(&r->ridge, tried, weights[0],
                                  r->inputs[FITTED], r->products[FITTED], width,
                                  d, ridges[i]);
        if (st == GQA_OK)
            st = fit_loss(r, &loss, tried, width, d);
        if (st != GQA_OK || !(loss < least))
            continue;
        least = loss;
        *gains = true;
        weights[1] = weights[2];
        weights[2] = tried;
    }
    return st;
}

/* The best of the fits, if what was held out gains by it. */
static enum gqa_status fit(struct refit *r, const struct gqa_param *p,
                           bool input_major, uint64_t width, uint64_t d)
{
    const struct gqa_backend *backend = r->job->backend;
    const uint64_t n_bytes = width * d * sizeof(double);
    double *weight = NULL;
    void *weights[3] = {NULL, NULL, NULL};
    bool gains = false;
    enum gqa_status st = read_weight(r, &weight, p, input_major);

    for (int i = 0; i < 3 && st == GQA_OK; i++)
        st = backend->alloc(r->job->device, &weights[i], n_bytes);
    if (st == GQA_OK)
        st = backend->upload(r->job->device, weights[0], weight, n_bytes);
    if (st == GQA_OK)
        st = choose(&gains, r, weights, width, d);
    if (st == GQA_OK && gains)
        st = backend->download(r->job->device, weight, weights[2], n_bytes);
    if (st == GQA_OK && gains)
        st = keep(r, weight, p, input_major);
    for (int i = 0; i < 3; i++)
        backend->free(r->job->device, weights[i]);
    free(weight);
    return st;
}

static enum gqa_status read_bias(struct refit *r, size_t param)
{
    const struct gqa_backend *backend = r->job->backend;
    const uint64_t n_bytes =
        r->job->network->model->params[param].rows * sizeof(double);
    double *values = NULL;
    enum gqa_status st = gqa_source_values(&values, r->job->original,
                                           r->job->network->model, param, 1);

    if (st == GQA_OK)
        st = backend->alloc(r->job->device, &r->bias, n_bytes);
    if (st == GQA_OK)
        st = backend->upload(r->job->device, r->bias, values, n_bytes);
    free(values);
    return st;
}

/* The block is looked at for values too, where they are to be seen. */
static enum gqa_status refit_output(struct refit *r,
                                    const struct gqa_attention_block *block)
{
    const struct gqa_taps taps = {
        GQA_TAP(GQA_TAP_BEFORE) | GQA_TAP(GQA_TAP_ATTENDED) |
            GQA_TAP(GQA_TAP_AFTER_ATTENTION) |
            (r->sees_values ? GQA_VALUE_STAGE_POINTS : 0),
        see_converted, r};
    const struct gqa_block_point last = {block->heads->kind, GQA_TAP_ATTENDED};
    const struct gqa_layers_output output = {.last = &last,
                                             .step = {.taps = &taps}};
    const struct gqa_attention *a = block->heads;
    const struct gqa_param *p = &r->job->network->model->params[a->o.weight];
    const uint64_t width = a->n_heads * a->head_dim;
    const uint64_t d = r->job->network->d_model;
    enum gqa_status st;

    if (r->job->no_outputs && !r->sees_values)
        return GQA_OK;
    r->attention = a;
    r->kind = a->kind;
    r->batch = 0;
    st = open_sums(r, width, d);
    if (st == GQA_OK)
        st = gqa_layers_next(r->layers[1], true, &output);
    if (st == GQA_OK && !r->job->no_outputs)
        st = fit(r, p, block->o.input_major, width, d);
    close_sums(r);
    return st;
}

static void begin_values(struct refit *r,
                         const struct gqa_attention_block *block)
{
    const struct gqa_value_stage_job job = {.alignment = r->alignment,
                                            .refit = r->job,
                                            .block = block,
                                            .target =
                                                r->target[block->heads->kind],
                                            .before = r->before,
                                            .output_bias = r->bias};

    gqa_value_stage_begin(&r->values, &job);
    r->sees_values = true;
}

/* Of a model so large that values are fitted to a part of the tokens, more than
 * one turn would take long and fit what that part has of its own. */
static int n_rounds(const struct refit *r)
{
    return gqa_value_stage_is_whole(&r->values) ? ROUNDS : 1;
}

/* Whether everything that is fitted together is fitted by itself too, and
 * can be gone back through. In 16 bits steps are lost that are as small. */
static bool can_fit_together(const struct refit *r,
                             const struct gqa_attention_block *block)
{
    const struct gqa_refit_job *job = r->job;
    const struct gqa_attention_block *to =
        gqa_score_stage_converted(job, block);

    return !job->no_scores && !job->no_outputs && !job->no_values &&
           !job->not_together && block->summaries.size == 0 &&
           job->backend->gradients &&
           (job->real == GQA_F32 || job->real == GQA_F64) && to &&
           gqa_turns_by_table(to->rope);
}

/* q, k, v and o at once. */
static enum gqa_status fit_together(struct refit *r,
                                    const struct gqa_attention_block *block)
{
    const struct gqa_param *p =
        &r->job->network->model->params[block->heads->o.weight];
    double *output = NULL;
    bool changed;
    enum gqa_status st =
        gqa_value_stage_fit_together(&r->values, &changed, &output);

    if (st == GQA_OK && changed)
        st = keep(r, output, p, block->o.input_major);
    free(output);
    return st;
}

/* o; then v with that o, and o with that v, while v goes all of its way. */
static enum gqa_status refit_attention(struct refit *r,
                                       const struct gqa_attention_block *block)
{
    /* What they are weighed with is learnt of tokens' keys alone. */
    double step = r->job->no_values || block->summaries.size ? 0 : 1;
    enum gqa_status st =
        block->o.bias != GQA_NO_PARAM ? read_bias(r, block->o.bias) : GQA_OK;

    if (step > 0)
        begin_values(r, block);
    if (st == GQA_OK)
        st = refit_output(r, block);
    r->sees_values = false;
    for (int i = 0; i < n_rounds(r) && step == 1 && st == GQA_OK; i++) {
        st = gqa_value_stage_fit(&r->values, &step);
        if (st == GQA_OK && step > 0)
            st = refit_output(r, block);
    }
    if (st == GQA_OK && can_fit_together(r, block))
        st = fit_together(r, block);
    gqa_value_stage_clear(&r->values);
    r->job->backend->free(r->job->device, r->bias);
    r->bias = NULL;
    return st;
}

/* Whether the attention's output goes into the stream as o makes it. */
static bool can_fit(const struct refit *r,
                    const struct gqa_attention_block *block)
{
    const size_t i =
        (size_t)(block->heads - r->job->network->model->attentions);

    return r->alignment->attentions[i].pooled > 0 &&
           block->residual_scale == 0 &&
           block->output_norm.kind == GQA_NORM_NONE &&
           block->after_norm.kind == GQA_NORM_NONE;
}

static enum gqa_status fit_attention(struct refit *r,
                                     const struct gqa_attention_block *block)
{
    const enum gqa_status st =
        gqa_score_stage_fit(&r->scores, block, r->layers[1]);

    return st == GQA_OK && can_fit(r, block) ? refit_attention(r, block) : st;
}

/* Nothing of the attention is read again until it is written. */
static void rest(const struct refit *r, const struct gqa_attention *a)
{
    const struct gqa_transforms *t =
        &r->alignment->attentions[a - r->job->network->model->attentions];

    gqa_spill_rest(&t->fitted_q);
    gqa_spill_rest(&t->fitted_k);
    gqa_spill_rest(&t->fitted_v);
    gqa_spill_rest(&t->fitted_o);
}

static enum gqa_status refit_block(struct refit *r,
                                   const struct gqa_block *block)
{
    struct gqa_taps taps = {GQA_TAP(GQA_TAP_AFTER_ATTENTION), see_original, r};
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    enum gqa_status st;

    gqa_records_clear(r->target[0]);
    gqa_records_clear(r->target[1]);
    gqa_score_stage_begin(&r->scores, r->alignment, r->job, block);
    taps.points |= gqa_score_stage_points(&r->scores);
    st = gqa_layers_next(r->layers[0], false, &output);
    if (st == GQA_OK)
        st = fit_attention(r, &block->self);
    if (st == GQA_OK && block->has_cross)
        st = fit_attention(r, &block->cross);
    gqa_score_stage_clear(&r->scores);
    if (st == GQA_OK)
        st = gqa_layers_next(r->layers[1], false, NULL);
    rest(r, block->self.heads);
    if (block->has_cross)
        rest(r, block->cross.heads);
    return st;
}

static enum gqa_status run(struct refit *r)
{
    const struct gqa_network *n = r->job->network;
    const size_t all = gqa_layers_n_blocks(r->layers[0]);
    enum gqa_status st = GQA_OK;

    for (size_t s = 0; s < n->n_stacks; s++)
        for (size_t i = 0; i < n->stacks[s].n_blocks && st == GQA_OK; i++) {
            st = refit_block(r, &n->stacks[s].blocks[i]);
            if (st == GQA_OK && r->job->progress)
                r->job->progress(r->job->progress_ctx,
                                 gqa_layers_n_done(r->layers[1]), all);
        }
    return st;
}

static enum gqa_status open_refit(struct refit *r)
{
    const struct gqa_layers_options options = {.host_bytes = UINT64_C(1) << 30};
    const struct gqa_refit_job *job = r->job;
    struct gqa_records **const records[] = {&r->target[0], &r->target[1],
                                            &r->before};
    enum gqa_status st =
        gqa_layers_create(&r->layers[0], job->network, job->backend,
                          job->device, job->original, job->tokens, &options);

    if (st == GQA_OK)
        st = gqa_layers_create(&r->layers[1], job->becomes, job->backend,
                               job->device, job->converted, job->tokens,
                               &options);
    for (size_t i = 0; i < sizeof records / sizeof *records && st == GQA_OK;
         i++)
        st = gqa_records_create(records[i], job->backend, job->device);
    return st;
}

static void close_refit(struct refit *r)
{
    struct room *const rooms[] = {&r->weighed[HEADS], &r->weighed[AIM],
                                  &r->gathered[HEADS], &r->gathered[AIM]};

    gqa_layers_free(r->layers[0]);
    gqa_layers_free(r->layers[1]);
    gqa_records_free(r->target[0]);
    gqa_records_free(r->target[1]);
    gqa_records_free(r->before);
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        r->job->backend->free(r->job->device, rooms[i]->data);
}

enum gqa_status gqa_refit(struct gqa_alignment *alignment,
                          const struct gqa_refit_job *job)
{
    struct refit r = {
        .job = job,
        .alignment = alignment,
        .ridge = {.backend = job->backend, .device = job->device}};
    enum gqa_status st = open_refit(&r);

    if (st == GQA_OK)
        st = run(&r);
    close_refit(&r);
    return st;
}
