#include "runtime/frames.h"

#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/random.h"
#include "runtime/parts.h"
#include "runtime/values.h"

void gqa_frames_draw(double *out, uint64_t n, int32_t token)
{
    const uint64_t key = gqa_random_key((uint64_t)token, "frames", 0);

    for (uint64_t i = 0; i < n; i++)
        out[i] = sqrt(3) * (2 * gqa_random_uniform(key, i) - 1);
}

/* Frames of all sequences on the host, [n_sequences, n, width]. */
struct frames {
    double *x;
    uint64_t n_sequences, n, width;
};

static enum gqa_status room_for(double **out, uint64_t rows, uint64_t width)
{
    uint64_t n, n_bytes;

    if (!gqa_mul_u64(rows, width, &n) ||
        !gqa_mul_u64(n, sizeof(double), &n_bytes) || n_bytes > SIZE_MAX ||
        !(*out = calloc((size_t)gqa_max_u64(n, 1), sizeof **out)))
        return gqa_fail_nomem();
    return GQA_OK;
}

static enum gqa_status draw(struct frames *out,
                            const struct gqa_frames_run *run)
{
    const struct gqa_frames *f = &run->stack->frames;
    const struct gqa_batch *b = run->batch;
    const uint64_t each = f->per_position * f->width;
    enum gqa_status st;

    *out = (struct frames){.n_sequences = b->n_sequences,
                           .n = b->n_new * f->per_position,
                           .width = f->width};
    if ((st = room_for(&out->x, run->n_rows, each)) != GQA_OK)
        return st;
    for (uint64_t s = 0; s < b->n_sequences; s++)
        for (uint64_t i = 0; i < b->n_tokens[s]; i++) {
            const uint64_t row = s * b->n_new + i;

            gqa_frames_draw(out->x + row * each, each, b->tokens[row]);
        }
    return GQA_OK;
}

/* --- Convolutions --------------------------------------------------------- */

struct convolution {
    const struct gqa_frames_run *run;
    const struct gqa_convolution *c;
    const struct frames *in;
    struct frames *out;
    uint64_t window; /* elements that an output is made of */
    /* Some rows of them, on the device and on the host. */
    void *windows, *made;
    double *values;
    uint64_t rows; /* that they have room for */
};

/* What output frame t of sequence s sees. */
static void take_window(double *window, const struct convolution *v, uint64_t s,
                        uint64_t t)
{
    const struct frames *in = v->in;
    const uint64_t before = v->c->kernel / 2;

    for (uint64_t j = 0; j < v->c->kernel; j++) {
        const uint64_t at = v->c->stride * t + j;
        const bool is_there = at >= before && at - before < in->n;
        const double *x =
            is_there ? in->x + (s * in->n + at - before) * in->width : NULL;

        for (uint64_t c = 0; c < in->width; c++)
            window[c * v->c->kernel + j] = x ? x[c] : 0;
    }
}

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752);
}

/* One output frame of a product's row. */
static void finish_row(double *out, const double *made, uint64_t width,
                       bool gated)
{
    for (uint64_t i = 0; i < width; i++)
        out[i] = gated ? made[i] / (1 + exp(-made[width + i])) : gelu(made[i]);
}

/* Products for output frames [first, first + n), counted through all sequences,
 * and their windows, on the device; the products on the host, too. */
static enum gqa_status multiply_rows(const struct convolution *v,
                                     uint64_t first, uint64_t n)
{
    const struct gqa_runtime *r = v->run->runtime;
    const uint64_t outputs = v->c->linear.rows;
    const struct frames *out = v->out;
    enum gqa_status st;

    for (uint64_t i = 0; i < n; i++)
        take_window(v->values + i * v->window, v, (first + i) / out->n,
                    (first + i) % out->n);
    st = gqa_values_upload(r->backend, r->device, v->windows, r->real,
                           v->values, n * v->window);
    if (st == GQA_OK)
        st = gqa_part_linear(r, v->made, v->windows, n, &v->c->linear, NULL);
    return st == GQA_OK ? gqa_values_download(r->backend, r->device, v->values,
                                              v->made, r->real, n * outputs)
                        : st;
}

static enum gqa_status make_rows(const struct convolution *v, uint64_t first,
                                 uint64_t n)
{
    const struct frames *out = v->out;
    const enum gqa_status st = multiply_rows(v, first, n);

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        finish_row(out->x + (first + i) * out->width,
                   v->values + i * v->c->linear.rows, out->width, v->c->gated);
    return st;
}

/* Beyond a sequence's end there is nothing, whatever a bias makes of it. */
static void clear_padding(const struct frames *x,
                          const struct gqa_frames_run *run)
{
    const struct gqa_batch *b = run->batch;
    const uint64_t each = x->n / b->n_new;

    for (uint64_t s = 0; s < b->n_sequences; s++)
        for (uint64_t i = b->n_tokens[s] * each * x->width; i < x->n * x->width;
             i++)
            x->x[s * x->n * x->width + i] = 0;
}

static void end_convolution(struct convolution *v)
{
    const struct gqa_runtime *r = v->run->runtime;

    r->backend->free(r->device, v->windows);
    r->backend->free(r->device, v->made);
    free(v->values);
}

static enum gqa_status begin_convolution(struct convolution *v)
{
    const struct gqa_runtime *r = v->run->runtime;
    const uint64_t outputs = v->c->linear.rows;
    const uint64_t real = gqa_dtype_bits(r->real) / 8;
    enum gqa_status st;

    v->window = v->c->inputs * v->c->kernel;
    v->rows = gqa_min_u64(v->out->n_sequences * v->out->n, v->run->at_once);
    if ((st = room_for(&v->values, v->rows, gqa_max_u64(v->window, outputs))) !=
            GQA_OK ||
        (st = r->backend->alloc(r->device, &v->windows,
                                v->rows * v->window * real)) != GQA_OK)
        return st;
    return r->backend->alloc(r->device, &v->made, v->rows * outputs * real);
}

/* Out of what `in` holds; the caller's. */
static enum gqa_status convolve(struct frames *out, const struct frames *in,
                                const struct gqa_frames_run *run,
                                const struct gqa_convolution *c)
{
    struct convolution v = {.run = run, .c = c, .in = in, .out = out};
    enum gqa_status st;

    *out = (struct frames){.n_sequences = in->n_sequences,
                           .n = in->n / c->stride,
                           .width = c->linear.rows / (c->gated ? 2 : 1)};
    st = room_for(&out->x, out->n_sequences * out->n, out->width);
    if (st == GQA_OK)
        st = begin_convolution(&v);
    for (uint64_t i = 0, all = out->n_sequences * out->n;
         i < all && st == GQA_OK; i += v.rows)
        st = make_rows(&v, i, gqa_min_u64(v.rows, all - i));
    if (st == GQA_OK)
        clear_padding(out, run);
    end_convolution(&v);
    return st;
}

/* What is drawn, and what each convolution makes of that before it. */
struct levels {
    struct frames frames[GQA_MAX_CONVOLUTIONS + 1];
};

static void free_levels(struct levels *l)
{
    for (size_t i = 0; i <= GQA_MAX_CONVOLUTIONS; i++)
        free(l->frames[i].x);
}

static enum gqa_status make_levels(struct levels *l,
                                   const struct gqa_frames_run *run)
{
    const struct gqa_frames *f = &run->stack->frames;
    enum gqa_status st = draw(&l->frames[0], run);

    for (size_t i = 0; i < f->n_convolutions && st == GQA_OK; i++)
        st = convolve(&l->frames[i + 1], &l->frames[i], run,
                      &f->convolutions[i]);
    return st;
}

/* --- Rows of a stack ------------------------------------------------------ */

/* Rows that are there become tokens of a table of them, so that the stack's
 * scale and positions are added as to any other. */
static enum gqa_status embed_rows(const struct gqa_frames_run *run, void *x,
                                  const void *rows)
{
    const struct gqa_runtime *r = run->runtime;
    const struct gqa_weight table = {rows, r->real, run->n_rows,
                                     r->network->d_model};
    int32_t *tokens = calloc((size_t)run->n_rows, sizeof *tokens);
    struct gqa_batch batch = *run->batch;
    enum gqa_status st = tokens ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < run->n_rows && st == GQA_OK; i++)
        tokens[i] = (int32_t)i;
    batch.tokens = tokens;
    if (st == GQA_OK)
        st = r->backend->set_batch(r->device, &batch);
    if (st == GQA_OK)
        st = gqa_part_embed_from(r, run->stack, x, run->n_rows, &table);
    if (st == GQA_OK)
        st = r->backend->set_batch(r->device, run->batch);
    free(tokens);
    return st;
}

enum gqa_status gqa_frames_embed(const struct gqa_frames_run *run, void *x,
                                 void *room)
{
    const struct gqa_runtime *r = run->runtime;
    const size_t n = run->stack->frames.n_convolutions;
    struct levels l = {.frames = {{.x = NULL}}};
    enum gqa_status st = make_levels(&l, run);

    if (st == GQA_OK)
        st = gqa_values_upload(r->backend, r->device, n ? room : x, r->real,
                               l.frames[n].x, run->n_rows * l.frames[n].width);
    free_levels(&l);
    return st == GQA_OK && n ? embed_rows(run, x, room) : st;
}

/* --- Back ----------------------------------------------------------------- */

static double gelu_slope(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752) +
           x * 0.39894228040143268 * exp(-0.5 * x * x);
}

/* A product's row becomes what it is to blame for, d that of its frame. */
static void row_back(double *made, const double *d, uint64_t width, bool gated)
{
    for (uint64_t i = 0; i < width; i++) {
        const double share = gated ? 1 / (1 + exp(-made[width + i])) : 0;

        if (gated) {
            made[width + i] = d[i] * made[i] * share * (1 - share);
            made[i] = d[i] * share;
        } else {
            made[i] = d[i] * gelu_slope(made[i]);
        }
    }
}

/* What a window is to blame for goes to its frames. */
static void add_window(struct frames *d_in, const double *window,
                       const struct convolution *v, uint64_t s, uint64_t t)
{
    const uint64_t before = v->c->kernel / 2;

    for (uint64_t j = 0; j < v->c->kernel; j++) {
        const uint64_t at = v->c->stride * t + j;

        if (at < before || at - before >= d_in->n)
            continue;
        for (uint64_t c = 0; c < d_in->width; c++)
            d_in->x[(s * d_in->n + at - before) * d_in->width + c] +=
                window[c * v->c->kernel + j];
    }
}

/* Of output frames [first, first + n): d_in NULL: not wanted. */
static enum gqa_status rows_back(const struct convolution *v,
                                 const struct frames *d_out,
                                 struct frames *d_in, void *d_weight,
                                 void *d_bias, uint64_t first, uint64_t n)
{
    const struct gqa_runtime *r = v->run->runtime;
    const struct gqa_linear *linear = &v->c->linear;
    const uint64_t outputs = linear->rows;
    struct gqa_weight room;
    enum gqa_status st = multiply_rows(v, first, n);

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        row_back(v->values + i * outputs, d_out->x + (first + i) * d_out->width,
                 d_out->width, v->c->gated);
    if (st == GQA_OK)
        st = gqa_values_upload(r->backend, r->device, v->made, r->real,
                               v->values, n * outputs);
    if (st == GQA_OK && (d_weight || d_bias))
        st = r->backend->gradients->linear_weight(r->device, d_weight, d_bias,
                                                  v->windows, v->window,
                                                  v->made, outputs, n, false);
    if (st != GQA_OK || !d_in)
        return st;
    st = gqa_linear_transposed(r->backend, r->device, v->windows, v->made, n,
                               gqa_runtime_matrix(r, linear, &room), false,
                               false);
    if (st == GQA_OK)
        st = gqa_values_download(r->backend, r->device, v->values, v->windows,
                                 r->real, n * v->window);
    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        add_window(d_in, v->values + i * v->window, v, (first + i) / d_out->n,
                   (first + i) % d_out->n);
    return st;
}

/* d becomes that of what convolution i was given; of the first, nothing. */
static enum gqa_status convolution_back(struct frames *d,
                                        const struct gqa_frames_run *run,
                                        struct levels *l, size_t i,
                                        const struct gqa_frames_gradient *g)
{
    struct frames d_in = l->frames[i];
    struct convolution v = {.run = run,
                            .c = &run->stack->frames.convolutions[i],
                            .in = &l->frames[i],
                            .out = &l->frames[i + 1]};
    enum gqa_status st;

    d_in.x = NULL;
    clear_padding(d, run);
    st = i > 0 ? room_for(&d_in.x, d_in.n_sequences * d_in.n, d_in.width)
               : GQA_OK;
    if (st == GQA_OK)
        st = begin_convolution(&v);
    for (uint64_t k = 0, all = d->n_sequences * d->n; k < all && st == GQA_OK;
         k += v.rows)
        st = rows_back(&v, d, i > 0 ? &d_in : NULL, g->d_weight[i],
                       g->d_bias[i], k, gqa_min_u64(v.rows, all - k));
    end_convolution(&v);
    free(d->x);
    *d = d_in;
    return st;
}

enum gqa_status gqa_frames_back(const struct gqa_frames_run *run,
                                const struct gqa_frames_gradient *gradient,
                                const void *d_x)
{
    const struct gqa_runtime *r = run->runtime;
    const size_t n = run->stack->frames.n_convolutions;
    const double scale = run->stack->embedding_scale;
    struct levels l = {.frames = {{.x = NULL}}};
    struct frames d = {.x = NULL};
    enum gqa_status st = make_levels(&l, run);

    if (st == GQA_OK) {
        d = l.frames[n];
        d.x = NULL;
        st = room_for(&d.x, run->n_rows, d.width);
    }
    if (st == GQA_OK)
        st = gqa_values_download(r->backend, r->device, d.x, d_x, r->real,
                                 run->n_rows * d.width);
    for (uint64_t i = 0; i < run->n_rows * d.width && st == GQA_OK; i++)
        d.x[i] *= scale;
    for (size_t i = n; i-- > 0 && st == GQA_OK;)
        st = convolution_back(&d, run, &l, i, gradient);
    free(d.x);
    free_levels(&l);
    return st;
}
