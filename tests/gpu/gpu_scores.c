/*
 * Scores of other queries and keys, and averages of numbers, against the same
 * in double, over masks and over shapes that are cut into tiles by sequences,
 * heads and rows. What caches hold beyond the keys is NaN, and so are outputs
 * before.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/signs.h"
#include "gpu.h"

enum { MAX_SEQUENCES = 4 };

struct shape {
    uint64_t n_sequences, n_heads, head_dim, capacity, n_new;
    uint64_t n_kv_heads, other_kv_heads; /* of the original, of the others */
    uint64_t starts[MAX_SEQUENCES], n_tokens[MAX_SEQUENCES];
    uint64_t key_counts[MAX_SEQUENCES]; /* where has_counts */
    uint64_t window, probe;
    double soft_cap; /* 0: none */
    bool causal, has_bias, has_counts;
    bool fused;   /* the original's Q among K and V in its rows */
    bool turned;  /* head h stands for the original's n_heads - 1 - h */
    bool weighed; /* rows have weights */
    bool subtract, plain;
};

static uint64_t n_keys_of(const struct shape *shape, uint64_t s)
{
    return shape->has_counts ? shape->key_counts[s]
                             : shape->starts[s] + shape->n_tokens[s];
}

struct inputs {
    struct array own_q, own_k, q, k, bias, weights;
    struct gqa_head_place own_place, place;
    uint64_t own_width, width, reach;
    double own_scale, scale;
};

/* --- What is to be expected ------------------------------------------------
 */

/* Keys that a query sees. */
struct seen {
    uint64_t begin, end;
};

static struct seen seen_by(const struct shape *shape, uint64_t s, uint64_t i)
{
    const uint64_t p = shape->starts[s] + i;
    struct seen seen = {0, n_keys_of(shape, s)};

    if (shape->causal && p + 1 < seen.end)
        seen.end = p + 1;
    if (shape->causal && shape->window && p >= shape->window)
        seen.begin = p - shape->window + 1;
    return seen;
}

static double dot(const double *a, const double *b, uint64_t n)
{
    double sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static const double *head_of(const struct array *q, uint64_t row,
                             uint64_t width, const struct gqa_head_place *place,
                             uint64_t h, uint64_t head_dim)
{
    return q->host + row * width + place->base +
           h / place->per_block * place->block_stride +
           h % place->per_block * head_dim;
}

/* Key 0 of the KV head that head h reads. */
static size_t keys_at(const struct shape *shape, uint64_t n_kv_heads,
                      uint64_t s, uint64_t h)
{
    const uint64_t kv = h / (shape->n_heads / n_kv_heads);

    return (s * n_kv_heads + kv) * shape->capacity * shape->head_dim;
}

/* Scaled scores of the original's head, and their softmax. */
static void expect_softmax(double *scaled, double *p, const struct shape *shape,
                           const struct inputs *in, uint64_t s, uint64_t i,
                           uint64_t head)
{
    const uint64_t d = shape->head_dim, at = shape->starts[s] + i;
    const double *q = head_of(&in->own_q, s * shape->n_new + i, in->own_width,
                              &in->own_place, head, d);
    const double *k =
        in->own_k.host + keys_at(shape, shape->n_kv_heads, s, head);
    const struct seen seen = seen_by(shape, s, i);
    double max = -HUGE_VAL, sum = 0;

    for (uint64_t c = seen.begin; c < seen.end; c++) {
        scaled[c] = in->own_scale * dot(q, k + c * d, d);
        p[c] = scaled[c];
        if (shape->soft_cap > 0)
            p[c] = shape->soft_cap * tanh(p[c] / shape->soft_cap);
        if (shape->has_bias)
            p[c] +=
                in->bias
                    .host[head * (2 * in->reach - 1) + c + in->reach - 1 - at];
        max = p[c] > max ? p[c] : max;
    }
    for (uint64_t c = seen.begin; c < seen.end; c++)
        sum += p[c] = exp(p[c] - max);
    for (uint64_t c = seen.begin; c < seen.end; c++)
        p[c] /= sum;
}

struct expected {
    double *out_q, *out_k, *losses;
};

/* r of p, which it may be, and the row's loss. */
static double expect_r(double *r, const double *p, const double *scaled,
                       const struct shape *shape, const struct inputs *in,
                       uint64_t s, uint64_t i, uint64_t h)
{
    const uint64_t d = shape->head_dim, row = s * shape->n_new + i;
    const double *q = head_of(&in->q, row, in->width, &in->place, h, d);
    const double *k = in->k.host + keys_at(shape, shape->other_kv_heads, s, h);
    const uint64_t key = gqa_sign_key(shape->probe, s, h, shape->starts[s] + i);
    const double weight =
        shape->weighed ? in->weights.host[row * shape->n_heads + h] : 1;
    const struct seen seen = seen_by(shape, s, i);
    double *e = must_allocate(seen.end, sizeof *e), mean = 0, loss = 0;

    for (uint64_t c = seen.begin; c < seen.end; c++) {
        if (shape->probe)
            e[c] = gqa_sign_bit(key, c) ? -1 : 1;
        else
            e[c] = in->scale * dot(q, k + c * d, d) -
                   (shape->subtract ? scaled[c] : 0);
        mean += (shape->probe ? sqrt(p[c]) : p[c]) * e[c];
    }
    for (uint64_t c = seen.begin; c < seen.end; c++)
        if (shape->plain) {
            r[c] = weight * p[c];
        } else if (shape->probe) {
            r[c] = sqrt(weight) * (sqrt(p[c]) * e[c] - p[c] * mean);
        } else {
            r[c] = weight * p[c] * (e[c] - mean);
            loss += r[c] * (e[c] - mean);
        }
    free(e);
    return loss;
}

static void expect_row(struct expected *out, const struct shape *shape,
                       const struct inputs *in, uint64_t s, uint64_t i,
                       uint64_t h)
{
    const uint64_t d = shape->head_dim, row = s * shape->n_new + i;
    const uint64_t kv = h / (shape->n_heads / shape->other_kv_heads);
    const double *q = head_of(&in->q, row, in->width, &in->place, h, d);
    const double *k = in->k.host + keys_at(shape, shape->other_kv_heads, s, h);
    const struct seen seen = seen_by(shape, s, i);
    double *scaled = must_allocate(seen.end, sizeof *scaled);
    double *r = must_allocate(seen.end, sizeof *r);
    double *out_q = out->out_q + (row * shape->n_heads + h) * d;

    expect_softmax(scaled, r, shape, in, s, i,
                   shape->turned ? shape->n_heads - 1 - h : h);
    out->losses[h] += expect_r(r, r, scaled, shape, in, s, i, h);
    for (uint64_t c = seen.begin; c < seen.end; c++) {
        double *out_k =
            out->out_k +
            ((s * shape->capacity + c) * shape->other_kv_heads + kv) * d;

        for (uint64_t n = 0; n < d; n++) {
            out_q[n] += in->scale * r[c] * k[c * d + n];
            out_k[n] += in->scale * r[c] * q[n];
        }
    }
    free(scaled);
    free(r);
}

/* --- What it is made of ----------------------------------------------------
 */

/* Keys with NaN where there are none. */
static struct array cache_of(const struct shape *shape, uint64_t n_kv_heads)
{
    const uint64_t d = shape->head_dim;
    struct array cache = array_random(
        shape->n_sequences * n_kv_heads * shape->capacity * d, gpu.real);

    for (uint64_t s = 0; s < shape->n_sequences; s++)
        for (uint64_t h = 0; h < n_kv_heads; h++)
            for (uint64_t c = n_keys_of(shape, s) * d; c < shape->capacity * d;
                 c++)
                cache.host[(s * n_kv_heads + h) * shape->capacity * d + c] =
                    (double)NAN;
    array_send(&cache);
    return cache;
}

static struct inputs inputs_of(const struct shape *shape)
{
    const uint64_t d = shape->head_dim;
    const uint64_t n_rows = shape->n_sequences * shape->n_new;
    const uint64_t group = shape->n_heads / shape->n_kv_heads;
    struct inputs in = {
        .own_place = {.n_heads = shape->n_heads, .per_block = shape->n_heads},
        .place = {.n_heads = shape->n_heads, .per_block = shape->n_heads},
        .own_width = shape->n_heads * d,
        .width = shape->n_heads * d + 3,
        .reach =
            shape->capacity > shape->n_new ? shape->capacity : shape->n_new,
        .own_scale = 1 / sqrt((double)d),
        .scale = 0.75 / sqrt((double)d),
    };

    in.place.base = 3;
    if (shape->fused) {
        in.own_place.per_block = group;
        in.own_place.block_stride = (group + 2) * d;
        in.own_place.base = 8;
        in.own_width = shape->n_kv_heads * in.own_place.block_stride + 8;
    }
    in.own_q = array_random(n_rows * in.own_width, gpu.real);
    in.q = array_random(n_rows * in.width, gpu.real);
    in.own_k = cache_of(shape, shape->n_kv_heads);
    in.k = cache_of(shape, shape->other_kv_heads);
    in.bias = array_random(shape->n_heads * (2 * in.reach - 1), GQA_F32);
    in.weights = array_random(n_rows * shape->n_heads, GQA_F32);
    for (size_t i = 0; i < in.weights.n; i++)
        in.weights.host[i] = fabs(in.weights.host[i]);
    array_send(&in.weights);
    return in;
}

static void free_inputs(struct inputs *in)
{
    array_free(&in->own_q);
    array_free(&in->own_k);
    array_free(&in->q);
    array_free(&in->k);
    array_free(&in->bias);
    array_free(&in->weights);
}

static void set_batch(const struct shape *shape)
{
    int32_t *tokens =
        must_allocate(shape->n_sequences * shape->n_new, sizeof *tokens);
    const struct gqa_batch batch = {shape->n_sequences, shape->n_new, tokens,
                                    shape->n_tokens, shape->starts};

    gpu_must(gpu.backend->set_batch(gpu.device, &batch), "set_batch");
    free(tokens);
}

/* counts: room for MAX_SEQUENCES, which the result points to. */
static struct gqa_attention_op original_of(const struct shape *shape,
                                           const struct inputs *in,
                                           uint64_t *counts)
{
    memcpy(counts, shape->key_counts, sizeof shape->key_counts);
    return (struct gqa_attention_op){
        .q = in->own_q.device,
        .q_width = in->own_width,
        .q_place = in->own_place,
        .k = in->own_k.device,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = shape->head_dim,
        .capacity = shape->capacity,
        .scale = in->own_scale,
        .soft_cap = shape->soft_cap,
        .causal = shape->causal,
        .window = shape->window,
        .key_counts = shape->has_counts ? counts : NULL,
        .bias = shape->has_bias ? in->bias.device : NULL,
        .reach = in->reach,
    };
}

static const char *said(const struct shape *shape)
{
    static char text[256];

    snprintf(
        text, sizeof text,
        "%llu x %llu new, heads %llu / %llu / %llu x %llu, capacity %llu, "
        "start %llu, window %llu, cap %g%s%s%s%s%s%s%s%s%s",
        (unsigned long long)shape->n_sequences,
        (unsigned long long)shape->n_new, (unsigned long long)shape->n_heads,
        (unsigned long long)shape->n_kv_heads,
        (unsigned long long)shape->other_kv_heads,
        (unsigned long long)shape->head_dim,
        (unsigned long long)shape->capacity,
        (unsigned long long)shape->starts[0], (unsigned long long)shape->window,
        shape->soft_cap, shape->causal ? ", causal" : "",
        shape->has_bias ? ", bias" : "", shape->has_counts ? ", counts" : "",
        shape->fused ? ", fused" : "", shape->turned ? ", turned" : "",
        shape->weighed ? ", weighed" : "", shape->subtract ? ", subtract" : "",
        shape->probe ? ", probe" : "", shape->plain ? ", plain" : "");
    return text;
}

/* --- Checks ----------------------------------------------------------------
 */

/* Float32 scores of float32's error; elsewhere what comes back through the
 * softmax is rounded as the results are. */
static double tolerance(void)
{
    return gpu.real == GQA_F32 ? 1e-5 : rounding();
}

static struct expected expect_scores(const struct shape *shape,
                                     const struct inputs *in)
{
    const uint64_t d = shape->head_dim;
    struct expected out = {
        must_allocate(shape->n_sequences * shape->n_new * shape->n_heads * d,
                      sizeof *out.out_q),
        must_allocate(shape->n_sequences * shape->capacity *
                          shape->other_kv_heads * d,
                      sizeof *out.out_k),
        must_allocate(shape->n_heads, sizeof *out.losses)};

    for (uint64_t s = 0; s < shape->n_sequences; s++)
        for (uint64_t i = 0; i < shape->n_tokens[s]; i++)
            for (uint64_t h = 0; h < shape->n_heads; h++)
                expect_row(&out, shape, in, s, i, h);
    return out;
}

static void check_scores(const struct shape *shape)
{
    const uint64_t d = shape->head_dim;
    struct inputs in = inputs_of(shape);
    struct expected expected = expect_scores(shape, &in);
    uint64_t counts[MAX_SEQUENCES];
    uint64_t *heads = must_allocate(shape->n_heads, sizeof *heads);
    double *losses = must_allocate(shape->n_heads, sizeof *losses);
    double *first[2] = {NULL, NULL}, *first_losses = NULL;
    bool same = true;

    set_batch(shape);
    for (int time = 0; time < 2; time++) {
        struct array out_q = array_nan(
            shape->n_sequences * shape->n_new * shape->n_heads * d, gpu.real);
        struct array out_k = array_nan(shape->n_sequences * shape->capacity *
                                           shape->other_kv_heads * d,
                                       gpu.real);
        struct gqa_score_op op = {
            .original = original_of(shape, &in, counts),
            .q = in.q.device,
            .q_width = in.width,
            .q_place = in.place,
            .k = shape->plain ? NULL : in.k.device,
            .n_kv_heads = shape->other_kv_heads,
            .heads = shape->turned ? heads : NULL,
            .weights = shape->weighed ? in.weights.device : NULL,
            .scale = in.scale,
            .subtract = shape->subtract,
            .probe = shape->probe,
            .plain = shape->plain,
            .out_q = shape->plain ? NULL : out_q.device,
            .out_k = out_k.device,
            .losses = losses,
        };

        for (uint64_t h = 0; h < shape->n_heads; h++) {
            heads[h] = shape->n_heads - 1 - h;
            losses[h] = (double)NAN;
        }
        gpu_must(gpu.backend->scores(gpu.device, &op), "scores");
        /* They were copied. */
        memset(counts, 0xff, sizeof counts);
        memset(heads, 0xff, shape->n_heads * sizeof *heads);
        if (time == 0) {
            if (!shape->plain)
                check_array(&out_q, expected.out_q, out_q.n, tolerance(),
                            "scores, queries: %s", said(shape));
            check_array(&out_k, expected.out_k, out_k.n, tolerance(),
                        "scores, keys: %s", said(shape));
            check_values(losses, expected.losses, shape->n_heads, 1e-5,
                         "scores, losses: %s", said(shape));
            first[0] = array_read(&out_q, out_q.n);
            first[1] = array_read(&out_k, out_k.n);
            first_losses = must_allocate(shape->n_heads, sizeof *losses);
            memcpy(first_losses, losses, shape->n_heads * sizeof *losses);
        } else {
            double *q = array_read(&out_q, out_q.n);
            double *k = array_read(&out_k, out_k.n);

            same = memcmp(q, first[0], out_q.n * sizeof *q) == 0 &&
                   memcmp(k, first[1], out_k.n * sizeof *k) == 0 &&
                   memcmp(losses, first_losses,
                          shape->n_heads * sizeof *losses) == 0;
            free(q);
            free(k);
        }
        array_free(&out_q);
        array_free(&out_k);
    }
    check_true(same, "scores, twice: other bits: %s", said(shape));
    for (int i = 0; i < 2; i++)
        free(first[i]);
    free(first_losses);
    free(expected.out_q);
    free(expected.out_k);
    free(expected.losses);
    free(heads);
    free(losses);
    free_inputs(&in);
}

static void check(const struct shape *shape)
{
    struct shape probe = *shape, plain = *shape;

    check_scores(shape);
    probe.probe = 0x0123456789abcdef;
    check_scores(&probe);
    plain.plain = true;
    check_scores(&plain);
}

/* Every mask over one arrangement of heads, with sequences of their own
 * lengths, one of them empty. */
static void check_masks(uint64_t n_heads, uint64_t n_kv_heads,
                        uint64_t other_kv_heads, uint64_t head_dim,
                        unsigned step)
{
    for (unsigned mask = 0; mask < 32; mask += step) {
        struct shape shape = {
            .n_sequences = 3,
            .n_heads = n_heads,
            .n_kv_heads = n_kv_heads,
            .other_kv_heads = other_kv_heads,
            .head_dim = head_dim,
            .capacity = 150,
            .n_new = 131,
            .starts = {19, 0, 0},
            .n_tokens = {131, 10, 0},
            .causal = true,
            .has_bias = mask & 1,
            .window = mask & 2 ? 40 : 0,
            .fused = mask & 4,
            .turned = mask & 8,
            .weighed = mask & 1,
            .subtract = !(mask & 4),
            .soft_cap = mask & 8 ? 2 : 0,
        };

        if (mask & 16) { /* cross-attention: keys of their own number */
            shape.causal = false;
            shape.window = 0;
            shape.has_counts = true;
            memcpy(shape.key_counts, (uint64_t[]){150, 1, 0},
                   3 * sizeof(uint64_t));
        }
        check(&shape);
    }
}

/* All tokens of sequences of one length, as they are when they are fitted. */
static void check_whole(uint64_t n_sequences, uint64_t n_heads,
                        uint64_t other_kv_heads, uint64_t head_dim,
                        uint64_t length)
{
    struct shape shape = {
        .n_sequences = n_sequences,
        .n_heads = n_heads,
        .n_kv_heads = n_heads,
        .other_kv_heads = other_kv_heads,
        .head_dim = head_dim,
        .capacity = length,
        .n_new = length,
        .causal = true,
        .weighed = true,
        .subtract = true,
    };

    for (uint64_t s = 0; s < n_sequences; s++)
        shape.n_tokens[s] = length;
    check(&shape);
}

static void tests(void)
{
    check_masks(4, 4, 2, 64, gpu.small ? 7 : 1);
    check_masks(6, 2, 3, 33, gpu.small ? 13 : 3);
    check_masks(8, 8, 1, 128, gpu.small ? 31 : 5);
    check_masks(2, 1, 2, 7, gpu.small ? 31 : 5);
    if (gpu.small)
        return;
    check_whole(1, 16, 4, 32, 1024);
    check_whole(1, 16, 4, 128, 1024);
    /* Tiles of some sequences, of some heads, of few rows. */
    check_whole(3, 16, 8, 8, 1024);
    check_whole(1, 64, 16, 8, 1024);
    check(&(struct shape){.n_sequences = 1,
                          .n_heads = 64,
                          .n_kv_heads = 64,
                          .other_kv_heads = 1,
                          .head_dim = 8,
                          .capacity = 4096,
                          .n_new = 70,
                          .starts = {4026},
                          .n_tokens = {70},
                          .causal = true,
                          .subtract = true});
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
