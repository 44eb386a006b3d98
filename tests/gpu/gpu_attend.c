/*
 * Attention against the same in double, over shapes that meet each kernel
 * and the borders of their tiles. What the cache holds beyond the keys is
 * NaN, and so is the output before.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

enum { MAX_SEQUENCES = 4 };

struct shape {
    uint64_t n_sequences, n_heads, n_kv_heads, head_dim, capacity, n_new;
    uint64_t starts[MAX_SEQUENCES], n_tokens[MAX_SEQUENCES];
    uint64_t key_counts[MAX_SEQUENCES]; /* where has_counts */
    uint64_t window;
    bool causal, has_bias, has_counts;
    bool fused;      /* Q among K and V in its rows */
    unsigned offset; /* elements by which Q begins off its allocation */
    double scale;    /* 0: 1 / sqrt(head_dim) */
    double soft_cap; /* 0: none */
    double growth;   /* of keys, by their number: 0 if none */
};

static uint64_t n_keys_of(const struct shape *shape, uint64_t s)
{
    return shape->has_counts ? shape->key_counts[s]
                             : shape->starts[s] + shape->n_tokens[s];
}

struct inputs {
    struct array q, k, v, bias, out;
    struct gqa_head_place place;
    uint64_t width, reach;
    double scale;
};

/* One row of the output. */
static void expect_head(double *out, const struct shape *shape,
                        const struct inputs *in, uint64_t s, uint64_t i,
                        uint64_t h)
{
    const uint64_t d = shape->head_dim, p = shape->starts[s] + i;
    const uint64_t kv = h / (shape->n_heads / shape->n_kv_heads);
    const size_t cache = (s * shape->n_kv_heads + kv) * shape->capacity * d;
    const double *q = in->q.host + shape->offset +
                      (s * shape->n_new + i) * in->width + in->place.base +
                      h / in->place.per_block * in->place.block_stride +
                      h % in->place.per_block * d;
    uint64_t begin = 0, end = n_keys_of(shape, s);
    double *weights = must_allocate(end, sizeof *weights);
    double max = -HUGE_VAL, sum = 0;

    if (shape->causal && p + 1 < end)
        end = p + 1;
    if (shape->causal && shape->window && p >= shape->window)
        begin = p - shape->window + 1;
    for (uint64_t c = begin; c < end; c++) {
        double score = 0;

        for (uint64_t n = 0; n < d; n++)
            score += q[n] * in->k.host[cache + c * d + n];
        weights[c] = score * in->scale;
        if (shape->soft_cap > 0)
            weights[c] = shape->soft_cap * tanh(weights[c] / shape->soft_cap);
        if (shape->has_bias)
            weights[c] +=
                in->bias.host[h * (2 * in->reach - 1) + c + in->reach - 1 - p];
        max = weights[c] > max ? weights[c] : max;
    }
    for (uint64_t c = begin; c < end; c++)
        sum += weights[c] = exp(weights[c] - max);
    for (uint64_t n = 0; n < d; n++)
        out[n] = 0;
    for (uint64_t c = begin; c < end; c++)
        for (uint64_t n = 0; n < d; n++)
            out[n] += weights[c] / sum * in->v.host[cache + c * d + n];
    free(weights);
}

/* K or V with NaN beyond the keys. */
static struct array cache_of(const struct shape *shape)
{
    const uint64_t d = shape->head_dim;
    struct array cache = array_random(
        shape->n_sequences * shape->n_kv_heads * shape->capacity * d, gpu.real);

    for (uint64_t s = 0; s < shape->n_sequences; s++)
        for (uint64_t h = 0; h < shape->n_kv_heads; h++)
            for (uint64_t c = n_keys_of(shape, s) * d; c < shape->capacity * d;
                 c++)
                cache.host[(s * shape->n_kv_heads + h) * shape->capacity * d +
                           c] = (double)NAN;
    array_send(&cache);
    return cache;
}

static struct inputs inputs_of(const struct shape *shape)
{
    const uint64_t group = shape->n_heads / shape->n_kv_heads;
    const uint64_t n_rows = shape->n_sequences * shape->n_new;
    struct inputs in = {
        .place = {.n_heads = shape->n_heads, .per_block = shape->n_heads},
        .width = shape->n_heads * shape->head_dim,
        .reach =
            shape->capacity > shape->n_new ? shape->capacity : shape->n_new,
        .scale = shape->scale != 0 ? shape->scale
                                   : 1 / sqrt((double)shape->head_dim),
    };

    if (shape->fused) {
        in.place.per_block = group;
        in.place.block_stride = (group + 2) * shape->head_dim;
        in.place.base = 8;
        in.width = shape->n_kv_heads * in.place.block_stride + 8;
    }
    in.q = array_random(n_rows * in.width + shape->offset, gpu.real);
    in.k = cache_of(shape);
    for (size_t i = 0; i < in.k.n; i++)
        in.k.host[i] *=
            1 + shape->growth * (double)(i / shape->head_dim % shape->capacity);
    array_send(&in.k);
    in.v = cache_of(shape);
    in.bias = array_random(shape->n_heads * (2 * in.reach - 1), GQA_F32);
    in.out = array_nan(n_rows * shape->n_heads * shape->head_dim, gpu.real);
    return in;
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

static void check_attend(const struct shape *shape)
{
    const uint64_t d = shape->head_dim;
    struct inputs in = inputs_of(shape);
    double *expected = must_allocate(in.out.n, sizeof *expected), *got;
    uint64_t counts[MAX_SEQUENCES];
    struct gqa_attention_op op = {
        .out = in.out.device,
        .q = in.q.device + (size_t)shape->offset * gqa_dtype_bits(gpu.real) / 8,
        .q_width = in.width,
        .q_place = in.place,
        .k = in.k.device,
        .v = in.v.device,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = d,
        .capacity = shape->capacity,
        .scale = in.scale,
        .soft_cap = shape->soft_cap,
        .causal = shape->causal,
        .window = shape->window,
        .key_counts = shape->has_counts ? counts : NULL,
        .bias = shape->has_bias ? in.bias.device : NULL,
        .reach = in.reach,
    };
    bool finite = true;

    memcpy(counts, shape->key_counts, sizeof counts);
    set_batch(shape);
    gpu_must(gpu.backend->attend(gpu.device, &op), "attend");
    memset(counts, 0xff, sizeof counts); /* they were copied */
    got = array_read(&in.out, in.out.n);
    for (uint64_t s = 0; s < shape->n_sequences; s++)
        for (uint64_t i = 0; i < shape->n_new; i++)
            for (uint64_t h = 0; h < shape->n_heads; h++) {
                const size_t at =
                    ((s * shape->n_new + i) * shape->n_heads + h) * d;

                if (i < shape->n_tokens[s]) {
                    expect_head(expected + at, shape, &in, s, i, h);
                    continue;
                }
                for (size_t n = at; n < at + d; n++)
                    finite = finite && isfinite(got[n]);
                memcpy(expected + at, got + at, d * sizeof *got);
            }
    check_true(finite, "padding is finite, %llu new of %llu heads",
               (unsigned long long)shape->n_new,
               (unsigned long long)shape->n_heads);
    /* Many values that cancel leave errors of float32 sums; bfloat16 and
     * float16 weights are rounded before they meet the values. */
    check_values(
        got, expected, in.out.n, gpu.real == GQA_F32 ? 2e-6 : rounding(),
        "attend %llu new, heads %llu / %llu x %llu, capacity %llu, "
        "start %llu, window %llu, cap %g, growth %g%s%s%s%s",
        (unsigned long long)shape->n_new, (unsigned long long)shape->n_heads,
        (unsigned long long)shape->n_kv_heads, (unsigned long long)d,
        (unsigned long long)shape->capacity,
        (unsigned long long)shape->starts[0], (unsigned long long)shape->window,
        shape->soft_cap, shape->growth, shape->causal ? ", causal" : "",
        shape->has_bias ? ", bias" : "", shape->has_counts ? ", counts" : "",
        shape->fused ? ", fused" : "");
    free(got);
    free(expected);
    array_free(&in.q);
    array_free(&in.k);
    array_free(&in.v);
    array_free(&in.bias);
    array_free(&in.out);
}

/* Every step-th mask over one arrangement of heads, decoding and prefill. */
static void check_masks(uint64_t n_heads, uint64_t n_kv_heads,
                        uint64_t head_dim, unsigned step)
{
    for (unsigned mask = 0; mask < 16; mask += step) {
        struct shape shape = {
            .n_sequences = 3,
            .n_heads = n_heads,
            .n_kv_heads = n_kv_heads,
            .head_dim = head_dim,
            .capacity = 150,
            .n_new = 1,
            .starts = {149, 63, 5},
            .n_tokens = {1, 1, 0},
            .causal = true,
            .has_bias = mask & 1,
            .window = mask & 2 ? 40 : 0,
            .fused = mask & 4,
        };

        if (mask & 8) { /* cross-attention: keys of their own number */
            shape.causal = false;
            shape.window = 0;
            shape.has_counts = true;
            memcpy(shape.key_counts, (uint64_t[]){150, 1, 77},
                   3 * sizeof(uint64_t));
        }
        check_attend(&shape);
        shape.n_new = 3;
        memcpy(shape.starts, (uint64_t[]){147, 62, 0}, 3 * sizeof(uint64_t));
        memcpy(shape.n_tokens, (uint64_t[]){3, 2, 0}, 3 * sizeof(uint64_t));
        check_attend(&shape);
        /* Padding of the second stands past the capacity. */
        shape.n_new = 131;
        memcpy(shape.starts, (uint64_t[]){19, 140, 0}, 3 * sizeof(uint64_t));
        memcpy(shape.n_tokens, (uint64_t[]){131, 10, 0}, 3 * sizeof(uint64_t));
        check_attend(&shape);
        shape.starts[1] = 0;
        shape.starts[0] = 0;
        check_attend(&shape);
    }
}

/* Alone and long: the parts that share its keys are joined. */
static void check_long(uint64_t n_heads, uint64_t n_kv_heads, uint64_t head_dim,
                       uint64_t length, bool has_bias)
{
    struct shape shape = {
        .n_sequences = 1,
        .n_heads = n_heads,
        .n_kv_heads = n_kv_heads,
        .head_dim = head_dim,
        .capacity = length,
        .n_new = 1,
        .starts = {length - 1},
        .n_tokens = {1},
        .causal = true,
        .has_bias = has_bias,
    };

    check_attend(&shape);
    shape.n_new = shape.n_tokens[0] = 70;
    shape.starts[0] = length - 70;
    check_attend(&shape);
}

/* Scores that rise from tile to tile, slowly and by more than an exponent
 * holds, and that fall. In float32, whose kernel is another, the error of such
 * scores would be seen. */
static void check_growth(uint64_t head_dim)
{
    static const double growth[] = {0.05, 1, -0.002};

    for (size_t i = 0;
         i < sizeof growth / sizeof *growth && gpu.real != GQA_F32; i++) {
        struct shape shape = {
            .n_sequences = 2,
            .n_heads = 2,
            .n_kv_heads = 1,
            .head_dim = head_dim,
            .capacity = 400,
            .n_new = 330,
            .starts = {70, 0},
            .n_tokens = {330, 257},
            .causal = true,
            .growth = growth[i],
        };

        check_attend(&shape);
        shape.window = 90;
        check_attend(&shape);
    }
}

/* More blocks of rows than a device has room for at once. */
static void check_many(uint64_t head_dim)
{
    check_attend(&(struct shape){
        .n_sequences = 4,
        .n_heads = 26,
        .n_kv_heads = 2,
        .head_dim = head_dim,
        .capacity = 300,
        .n_new = 300,
        .n_tokens = {300, 300, 129, 1},
        .causal = true,
    });
}

/* A value that is not a number is not lost: all of n_new tokens see the key. */
static void check_nan(uint64_t head_dim, uint64_t length, uint64_t n_new,
                      uint64_t key)
{
    const struct shape shape = {
        .n_sequences = 1,
        .n_heads = 2,
        .n_kv_heads = 1,
        .head_dim = head_dim,
        .capacity = length,
        .n_new = n_new,
        .starts = {length - n_new},
        .n_tokens = {n_new},
        .causal = true,
    };
    struct inputs in = inputs_of(&shape);
    struct gqa_attention_op op = {
        .out = in.out.device,
        .q = in.q.device,
        .q_width = in.width,
        .q_place = in.place,
        .k = in.k.device,
        .v = in.v.device,
        .n_kv_heads = 1,
        .head_dim = head_dim,
        .capacity = length,
        .scale = in.scale,
        .causal = true,
    };

    in.k.host[key * head_dim + 5] = (double)NAN;
    array_send(&in.k);
    set_batch(&shape);
    gpu_must(gpu.backend->attend(gpu.device, &op), "attend");
    for (size_t i = 0; i < in.out.n; i++)
        in.out.host[i] = (double)NAN;
    check_array(&in.out, in.out.host, in.out.n, 0,
                "NaN in key %llu of %llu, %llu new, head of %llu",
                (unsigned long long)key, (unsigned long long)length,
                (unsigned long long)n_new, (unsigned long long)head_dim);
    array_free(&in.q);
    array_free(&in.k);
    array_free(&in.v);
    array_free(&in.bias);
    array_free(&in.out);
}

/* Scores of about the cap's size: one token and many, which without a cap
 * other kernels would take. */
static void check_cap(uint64_t head_dim)
{
    struct shape shape = {
        .n_sequences = 2,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_dim = head_dim,
        .capacity = 150,
        .n_new = 1,
        .starts = {149, 5},
        .n_tokens = {1, 1},
        .causal = true,
        .window = 40,
        .scale = 0.5,
        .soft_cap = 5,
    };

    check_attend(&shape);
    shape.has_bias = true;
    shape.n_new = 131;
    memcpy(shape.starts, (uint64_t[]){19, 0}, 2 * sizeof(uint64_t));
    memcpy(shape.n_tokens, (uint64_t[]){131, 10}, 2 * sizeof(uint64_t));
    check_attend(&shape);
}

static void tests(void)
{
    static const uint64_t dims[] = {64, 128, 1, 7, 32, 33, 80, 129, 256};
    static const uint64_t heads[][2] = {
        {4, 4}, {4, 2}, {8, 1}, {6, 2}, {32, 2}, {33, 1}, {64, 1},
    };

    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (!gpu.small || i % 3 == 0)
            check_masks(4, 2, dims[i], gpu.small ? 5 : 1);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (uint64_t dim = 32; dim <= 128; dim *= 2)
            if (!gpu.small || i == 4)
                check_masks(heads[i][0], heads[i][1], dim, 5);
    check_long(4, 1, 64, gpu.small ? 700 : 4097, false);
    check_long(2, 2, 128, gpu.small ? 900 : 5000, true);
    check_cap(33);
    check_cap(64);
    check_cap(128);
    for (uint64_t dim = 32; dim <= 128; dim *= 2) {
        check_growth(dim);
        if (!gpu.small)
            check_many(dim);
        /* Of the first tile, and of another. */
        check_nan(dim, 400, 200, 3);
        check_nan(dim, 400, 200, 126);
    }
    check_nan(64, 40, 1, 3);
    check_nan(128, 900, 1, 3);
    check_nan(33, 40, 1, 3);
    /* What 16-byte accesses do not reach, and scales out of the ordinary. */
    for (unsigned variant = 0; variant < 3; variant++)
        check_attend(&(struct shape){.n_sequences = 2,
                                     .n_heads = 4,
                                     .n_kv_heads = 2,
                                     .head_dim = 64,
                                     .capacity = 70,
                                     .n_new = 2,
                                     .starts = {60, 3},
                                     .n_tokens = {2, 2},
                                     .causal = true,
                                     .offset = variant == 0 ? 3 : 0,
                                     .scale = variant == 1   ? 1
                                              : variant == 2 ? -0.1
                                                             : 0});
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
