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

static enum gqa_status draw(struct frames *out, const struct gqa_pass *pass)
{
    const struct gqa_frames *f = &pass->stack->frames;
    const struct gqa_batch *b = &pass->batch;
    const uint64_t each = f->per_position * f->width;
    enum gqa_status st;

    *out = (struct frames){.n_sequences = b->n_sequences,
                           .n = b->n_new * f->per_position,
                           .width = f->width};
    if ((st = room_for(&out->x, pass->n_rows, each)) != GQA_OK)
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
    const struct gqa_pass *pass;
    const struct gqa_convolution *c;
    const struct frames *in;
    struct frames *out;
    uint64_t window; /* elements that an output is made of */
    /* Some rows of them, on the device and on the host. */
    void *windows, *made;
    double *values;
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

/* Output frames [first, first + n), counted through all sequences. */
static enum gqa_status make_rows(const struct convolution *v, uint64_t first,
                                 uint64_t n)
{
    const struct gqa_runtime *r = v->pass->session->runtime;
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
    if (st == GQA_OK)
        st = gqa_values_download(r->backend, r->device, v->values, v->made,
                                 r->real, n * outputs);
    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        finish_row(out->x + (first + i) * out->width, v->values + i * outputs,
                   out->width, v->c->gated);
    return st;
}

/* Beyond a sequence's end there is nothing, whatever a bias makes of it. */
static void clear_padding(const struct convolution *v)
{
    const struct gqa_batch *b = &v->pass->batch;
    const struct frames *out = v->out;
    const uint64_t each = out->n / b->n_new;

    for (uint64_t s = 0; s < b->n_sequences; s++)
        for (uint64_t i = b->n_tokens[s] * each * out->width;
             i < out->n * out->width; i++)
            out->x[s * out->n * out->width + i] = 0;
}

static enum gqa_status run_rows(struct convolution *v)
{
    const struct gqa_session *s = v->pass->session;
    const struct gqa_runtime *r = s->runtime;
    const uint64_t outputs = v->c->linear.rows;
    const uint64_t all = v->out->n_sequences * v->out->n;
    const uint64_t rows = gqa_min_u64(all, s->ff_rows);
    const uint64_t real = gqa_dtype_bits(r->real) / 8;
    enum gqa_status st;

    if ((st = room_for(&v->values, rows, gqa_max_u64(v->window, outputs))) !=
            GQA_OK ||
        (st = r->backend->alloc(r->device, &v->windows,
                                rows * v->window * real)) != GQA_OK ||
        (st = r->backend->alloc(r->device, &v->made, rows * outputs * real)) !=
            GQA_OK)
        return st;
    for (uint64_t i = 0; i < all && st == GQA_OK; i += rows)
        st = make_rows(v, i, gqa_min_u64(rows, all - i));
    return st;
}

static enum gqa_status convolve(struct frames *x, const struct gqa_pass *pass,
                                const struct gqa_convolution *c)
{
    const struct gqa_runtime *r = pass->session->runtime;
    struct frames out = {.n_sequences = x->n_sequences,
                         .n = x->n / c->stride,
                         .width = c->linear.rows / (c->gated ? 2 : 1)};
    struct convolution v = {.pass = pass,
                            .c = c,
                            .in = x,
                            .out = &out,
                            .window = c->inputs * c->kernel};
    enum gqa_status st = room_for(&out.x, out.n_sequences * out.n, out.width);

    if (st == GQA_OK)
        st = run_rows(&v);
    if (st == GQA_OK)
        clear_padding(&v);
    if (v.windows)
        r->backend->free(r->device, v.windows);
    if (v.made)
        r->backend->free(r->device, v.made);
    free(v.values);
    free(x->x);
    *x = out;
    return st;
}

/* --- Rows of a stack ------------------------------------------------------ */

/* Rows that are there become tokens of a table of them, so that the stack's
 * scale and positions are added as to any other. */
static enum gqa_status embed_rows(const struct gqa_pass *pass, const void *rows)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_weight table = {rows, r->real, pass->n_rows,
                                     r->network->d_model};
    enum gqa_status st;

    for (uint64_t i = 0; i < pass->n_rows; i++)
        s->tokens[i] = (int32_t)i;
    st = r->backend->set_batch(r->device, &pass->batch);
    return st == GQA_OK ? gqa_part_embed_from(r, pass->stack, s->work.x,
                                              pass->n_rows, &table)
                        : st;
}

enum gqa_status gqa_frames_embed(const struct gqa_pass *pass)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_frames *f = &pass->stack->frames;
    struct frames x = {.x = NULL};
    enum gqa_status st = draw(&x, pass);

    for (size_t i = 0; i < f->n_convolutions && st == GQA_OK; i++)
        st = convolve(&x, pass, &f->convolutions[i]);
    if (st == GQA_OK)
        st = gqa_values_upload(r->backend, r->device,
                               f->n_convolutions ? s->work.normed : s->work.x,
                               r->real, x.x, pass->n_rows * x.width);
    free(x.x);
    return st == GQA_OK && f->n_convolutions ? embed_rows(pass, s->work.normed)
                                             : st;
}
