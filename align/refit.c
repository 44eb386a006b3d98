#include "align/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/score_stage.h"
#include "align/solve.h"
#include "common/bounds.h"

/* One sequence in so many is held out. */
enum { HELD_OUT = 8 };

/* Shares of the mean of X^T X's diagonal that hold a fit to what it began
 * with; what is held out chooses. */
static const double ridges[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};
enum { N_RIDGES = sizeof ridges / sizeof *ridges };

enum { FITTED, KEPT_OUT, N_SETS };

/* Rows of a residual stream as they came, padding too; float, on the host. */
struct rows {
    float *values;
    uint64_t n, capacity, width, at; /* at: of reading them again */
};

struct refit {
    const struct gqa_refit_job *job;
    struct gqa_alignment *alignment;
    struct gqa_layers *layers[2]; /* of the original, of the converted */
    struct gqa_score_stage scores;
    struct rows target[2];        /* by kind: of the block that runs */
    struct rows before;           /* of the batch that runs */
    enum gqa_attention_kind kind; /* that is fitted */
    const struct gqa_attention *attention;
    double *bias; /* of its output, [d_model]: it stays what it is */
    void *x, *y;  /* on the device, of at most n_room elements each */
    uint64_t x_room, y_room;
    /* On the device, float64: X^T X and X^T Y, by set. */
    void *inputs[N_SETS], *products[N_SETS];
    double squares[N_SETS]; /* |Y|^2 */
};

/* --- Rows ----------------------------------------------------------------- */

static enum gqa_status append(struct rows *rows, const double *values,
                              uint64_t n, uint64_t width)
{
    if (rows->n + n > rows->capacity) {
        const uint64_t capacity = gqa_max_u64(2 * rows->capacity, rows->n + n);
        float *grown =
            reallocarray(rows->values, capacity * width, sizeof *grown);

        if (!grown)
            return gqa_fail_nomem();
        rows->values = grown;
        rows->capacity = capacity;
    }
    rows->width = width;
    for (uint64_t i = 0; i < n * width; i++)
        rows->values[rows->n * width + i] = (float)values[i];
    rows->n += n;
    return GQA_OK;
}

static enum gqa_status fetch(double **out, const struct gqa_tapped *t)
{
    enum gqa_status st;

    *out = malloc(t->n_rows * t->width * sizeof **out);
    if (!*out)
        return gqa_fail_nomem();
    if ((st = gqa_tapped_fetch(t, *out)) == GQA_OK)
        return GQA_OK;
    free(*out);
    *out = NULL;
    return st;
}

/* The original's stream behind its attentions, and what scores are fitted
 * to. */
static enum gqa_status see_original(void *ctx, const struct gqa_tapped *t)
{
    struct refit *r = ctx;
    double *values;
    enum gqa_status st = gqa_score_stage_see(&r->scores, t);

    if (st != GQA_OK || t->point != GQA_TAP_AFTER_ATTENTION)
        return st;
    if ((st = fetch(&values, t)) == GQA_OK)
        st = append(&r->target[t->kind], values, t->n_rows, t->width);
    free(values);
    return st;
}

/* --- Sums ----------------------------------------------------------------- */

static enum gqa_status upload(struct refit *r, void **memory, uint64_t *room,
                              const double *values, uint64_t n,
                              enum gqa_dtype real)
{
    const size_t n_bytes = (size_t)(n * gqa_dtype_bits(real) / 8);
    void *raw = malloc(n_bytes ? n_bytes : 1);
    enum gqa_status st = raw ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK && n > *room) {
        r->job->backend->free(r->job->device, *memory);
        *memory = NULL;
        *room = n;
        st = r->job->backend->alloc(r->job->device, memory, n_bytes);
    }
    if (st == GQA_OK) {
        gqa_store_f64(raw, real, values, (size_t)n);
        st = r->job->backend->upload(r->job->device, *memory, raw, n_bytes);
    }
    free(raw);
    return st;
}

/*
 * Real rows of one set, to the front of x and y: each divided by the root mean
 * square of the original's stream there, as the norm that comes next does it.
 * Returns how many.
 */
static uint64_t weigh(const struct refit *r, const struct gqa_tapped *t,
                      int set, double *x, double *y, const double *heads)
{
    const struct rows *target = &r->target[r->kind];
    const uint64_t d = target->width;
    uint64_t n = 0;

    for (uint64_t i = 0; i < t->n_rows; i++) {
        const float *aim = target->values + (target->at + i) * d;
        const float *from = r->before.values + (r->before.at + i) * d;
        uint64_t sequence, position;
        double square = 0, by;

        if (!gqa_tapped_row(t, i, &sequence, &position) ||
            (sequence % HELD_OUT == HELD_OUT - 1) != (set == KEPT_OUT))
            continue;
        for (uint64_t j = 0; j < d; j++)
            square += (double)aim[j] * aim[j];
        by = square > 0 ? sqrt((double)d / square) : 0;
        for (uint64_t j = 0; j < t->width; j++)
            x[n * t->width + j] = by * heads[i * t->width + j];
        for (uint64_t j = 0; j < d; j++)
            y[n * d + j] = by * ((double)aim[j] - (double)from[j] - r->bias[j]);
        n++;
    }
    return n;
}

static enum gqa_status add_sums(struct refit *r, const struct gqa_tapped *t,
                                const double *heads)
{
    const uint64_t d = r->target[r->kind].width;
    double *x = malloc(t->n_rows * t->width * sizeof *x);
    double *y = malloc(t->n_rows * d * sizeof *y);
    enum gqa_status st = x && y ? GQA_OK : gqa_fail_nomem();

    for (int set = 0; set < N_SETS && st == GQA_OK; set++) {
        const uint64_t n = weigh(r, t, set, x, y, heads);

        if (n == 0)
            continue;
        for (uint64_t i = 0; i < n * d; i++)
            r->squares[set] += y[i] * y[i];
        st = upload(r, &r->x, &r->x_room, x, n * t->width, t->real);
        if (st == GQA_OK)
            st = upload(r, &r->y, &r->y_room, y, n * d, t->real);
        if (st == GQA_OK)
            st = t->backend->gram(t->device, r->inputs[set], r->x, t->width,
                                  NULL, 0, n);
        if (st == GQA_OK)
            st = t->backend->gram(t->device, r->products[set], r->x, t->width,
                                  r->y, d, n);
    }
    free(x);
    free(y);
    return st;
}

/* The stream that the fitted attention adds to, and what its heads give. */
static enum gqa_status see_converted(void *ctx, const struct gqa_tapped *t)
{
    const bool cross = t->kind == GQA_ATTENTION_CROSS;
    struct refit *r = ctx;
    const bool fits_cross = r->kind == GQA_ATTENTION_CROSS;
    double *values = NULL;
    enum gqa_status st = GQA_OK;

    if (t->point == GQA_TAP_ATTENDED ? cross != fits_cross
        : t->point == GQA_TAP_BEFORE ? fits_cross
                                     : !fits_cross || cross)
        return GQA_OK;
    if ((st = fetch(&values, t)) != GQA_OK)
        return st;
    if (t->point != GQA_TAP_ATTENDED) {
        st = append(&r->before, values, t->n_rows, t->width);
    } else {
        st = add_sums(r, t, values);
        r->before.at += t->n_rows;
        r->target[r->kind].at += t->n_rows;
        if (r->before.at == r->before.n)
            r->before.at = r->before.n = 0;
    }
    free(values);
    return st;
}

/* --- Fitting -------------------------------------------------------------- */

static enum gqa_status open_sums(struct refit *r, uint64_t width, uint64_t d)
{
    const uint64_t most = width * gqa_max_u64(width, d);
    double *zeros = calloc(most, sizeof *zeros);
    enum gqa_status st = zeros ? GQA_OK : gqa_fail_nomem();

    for (int set = 0; set < N_SETS && st == GQA_OK; set++) {
        void **const sums[] = {&r->inputs[set], &r->products[set]};
        const uint64_t n_bytes[] = {width * width * sizeof *zeros,
                                    width * d * sizeof *zeros};

        r->squares[set] = 0;
        for (int i = 0; i < 2 && st == GQA_OK; i++) {
            st = r->job->backend->alloc(r->job->device, sums[i], n_bytes[i]);
            if (st == GQA_OK)
                st = r->job->backend->upload(r->job->device, *sums[i], zeros,
                                             n_bytes[i]);
        }
    }
    free(zeros);
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

/* What a set's sums say. */
struct set {
    double *inputs, *products; /* [width, width], [width, d] */
    double squares;
};

static void clear_set(struct set *s)
{
    free(s->inputs);
    free(s->products);
}

static enum gqa_status download_set(const struct refit *r, struct set *out,
                                    int set, uint64_t width, uint64_t d)
{
    enum gqa_status st = GQA_OK;

    out->inputs = malloc(width * width * sizeof *out->inputs);
    out->products = malloc(width * d * sizeof *out->products);
    out->squares = r->squares[set];
    if (!out->inputs || !out->products)
        return gqa_fail_nomem();
    st = r->job->backend->download(r->job->device, out->inputs, r->inputs[set],
                                   width * width * sizeof *out->inputs);
    return st == GQA_OK
               ? r->job->backend->download(r->job->device, out->products,
                                           r->products[set],
                                           width * d * sizeof *out->products)
               : st;
}

/* o's weight as [inputs, outputs], and back into the parameter's shape. */
static void turn(double *out, const double *in, uint64_t rows, uint64_t cols)
{
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            out[c * rows + r] = in[r * cols + c];
}

static enum gqa_status read_weight(const struct refit *r, double *out,
                                   const struct gqa_param *p, bool input_major)
{
    const size_t width = gqa_dtype_bits(p->dtype) / 8;
    void *raw = malloc(p->rows * p->cols * width);
    double *values = malloc(p->rows * p->cols * sizeof *values);
    enum gqa_status st = raw && values ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = r->job->converted->read(r->job->converted->ctx,
                                     r->attention->o.weight, 0, p->rows, raw);
    if (st == GQA_OK) {
        gqa_load_f64(values, raw, p->dtype, p->rows * p->cols);
        if (input_major)
            memcpy(out, values, p->rows * p->cols * sizeof *values);
        else
            turn(out, values, p->rows, p->cols);
    }
    free(raw);
    free(values);
    return st;
}

static enum gqa_status keep(struct refit *r, const double *weight,
                            const struct gqa_param *p, bool input_major)
{
    struct gqa_transforms *t =
        &r->alignment
             ->attentions[r->attention - r->job->network->model->attentions];
    double *values = malloc(p->rows * p->cols * sizeof *values);

    free(t->fitted_o);
    t->fitted_o = malloc(p->rows * p->cols * (gqa_dtype_bits(p->dtype) / 8));
    if (!values || !t->fitted_o) {
        free(values);
        return gqa_fail_nomem();
    }
    if (input_major)
        memcpy(values, weight, p->rows * p->cols * sizeof *values);
    else
        turn(values, weight, p->cols, p->rows);
    gqa_store_f64(t->fitted_o, p->dtype, values, p->rows * p->cols);
    free(values);
    return GQA_OK;
}

/* The best of the fits, if what was held out gains by it. */
static enum gqa_status fit(struct refit *r, const struct gqa_param *p,
                           bool input_major, uint64_t width, uint64_t d)
{
    struct set sets[N_SETS] = {0};
    double *began = malloc(width * d * sizeof *began);
    double *tried = malloc(width * d * sizeof *tried);
    double *best = malloc(width * d * sizeof *best);
    double least, loss;
    bool gains = false;
    enum gqa_status st = began && tried && best ? GQA_OK : gqa_fail_nomem();

    for (int set = 0; set < N_SETS && st == GQA_OK; set++)
        st = download_set(r, &sets[set], set, width, d);
    if (st == GQA_OK)
        st = read_weight(r, began, p, input_major);
    if (st == GQA_OK)
        st = gqa_fit_loss(&least, began, sets[KEPT_OUT].inputs,
                          sets[KEPT_OUT].products, sets[KEPT_OUT].squares,
                          width, d);
    for (int i = 0; i < N_RIDGES && st == GQA_OK; i++) {
        st = gqa_fit_ridge(tried, began, sets[FITTED].inputs,
                           sets[FITTED].products, width, d, ridges[i]);
        if (st == GQA_OK)
            st = gqa_fit_loss(&loss, tried, sets[KEPT_OUT].inputs,
                              sets[KEPT_OUT].products, sets[KEPT_OUT].squares,
                              width, d);
        if (st != GQA_OK || !(loss < least))
            continue;
        least = loss;
        gains = true;
        memcpy(best, tried, width * d * sizeof *best);
    }
    if (st == GQA_OK && gains)
        st = keep(r, best, p, input_major);
    for (int set = 0; set < N_SETS; set++)
        clear_set(&sets[set]);
    free(began);
    free(tried);
    free(best);
    return st;
}

static enum gqa_status read_bias(struct refit *r, size_t param)
{
    const struct gqa_param *p = &r->job->network->model->params[param];
    void *raw = malloc(p->rows * (gqa_dtype_bits(p->dtype) / 8));
    enum gqa_status st = raw ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK)
        st = r->job->original->read(r->job->original->ctx, param, 0, p->rows,
                                    raw);
    if (st == GQA_OK)
        gqa_load_f64(r->bias, raw, p->dtype, p->rows);
    free(raw);
    return st;
}

static enum gqa_status refit_attention(struct refit *r,
                                       const struct gqa_attention_block *block)
{
    const struct gqa_taps taps = {GQA_TAP(GQA_TAP_BEFORE) |
                                      GQA_TAP(GQA_TAP_ATTENDED) |
                                      GQA_TAP(GQA_TAP_AFTER_ATTENTION),
                                  see_converted, r};
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    const struct gqa_attention *a = block->heads;
    const struct gqa_param *p = &r->job->network->model->params[a->o.weight];
    const uint64_t width = a->n_heads * a->head_dim;
    const uint64_t d = r->job->network->d_model;
    enum gqa_status st;

    r->attention = a;
    r->kind = a->kind;
    r->before.n = r->before.at = 0;
    r->target[r->kind].at = 0;
    r->bias = calloc(d, sizeof *r->bias);
    st = r->bias ? open_sums(r, width, d) : gqa_fail_nomem();
    if (st == GQA_OK && block->o.bias != GQA_NO_PARAM)
        st = read_bias(r, block->o.bias);
    if (st == GQA_OK)
        st = gqa_layers_next(r->layers[1], true, &output);
    if (st == GQA_OK)
        st = fit(r, p, block->o.input_major, width, d);
    free(r->bias);
    r->bias = NULL;
    close_sums(r);
    return st;
}

/* Whether the attention's output goes into the stream as o makes it. */
static bool can_fit(const struct refit *r,
                    const struct gqa_attention_block *block)
{
    const size_t i =
        (size_t)(block->heads - r->job->network->model->attentions);

    return !r->job->no_outputs && r->alignment->attentions[i].pooled > 0 &&
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

static enum gqa_status refit_block(struct refit *r,
                                   const struct gqa_block *block)
{
    struct gqa_taps taps = {GQA_TAP(GQA_TAP_AFTER_ATTENTION), see_original, r};
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    enum gqa_status st;

    r->target[0].n = r->target[1].n = 0;
    gqa_score_stage_begin(&r->scores, r->alignment, r->job, block);
    taps.points |= gqa_score_stage_points(&r->scores);
    st = gqa_layers_next(r->layers[0], false, &output);
    if (st == GQA_OK)
        st = fit_attention(r, &block->self);
    if (st == GQA_OK && block->has_cross)
        st = fit_attention(r, &block->cross);
    gqa_score_stage_clear(&r->scores);
    return st == GQA_OK ? gqa_layers_next(r->layers[1], false, NULL) : st;
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

enum gqa_status gqa_refit(struct gqa_alignment *alignment,
                          const struct gqa_refit_job *job)
{
    const struct gqa_layers_options options = {.host_bytes = UINT64_C(1) << 31};
    struct refit r = {.job = job, .alignment = alignment};
    enum gqa_status st =
        gqa_layers_create(&r.layers[0], job->network, job->backend, job->device,
                          job->original, job->tokens, &options);

    if (st == GQA_OK)
        st = gqa_layers_create(&r.layers[1], job->becomes, job->backend,
                               job->device, job->converted, job->tokens,
                               &options);
    if (st == GQA_OK)
        st = run(&r);
    gqa_layers_free(r.layers[0]);
    gqa_layers_free(r.layers[1]);
    job->backend->free(job->device, r.x);
    job->backend->free(job->device, r.y);
    free(r.target[0].values);
    free(r.target[1].values);
    free(r.before.values);
    return st;
}
