/*
 * Attention backwards against the CPU's in float64, over shapes that meet each
 * kernel and the borders of their tiles. Each side goes forward first, by the
 * attention that tells the logarithm of its sums. What the cache holds beyond
 * the keys is NaN.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "twin.h"

enum { MOST_SEQUENCES = 3 };

struct shape {
    uint64_t n_heads, n_kv_heads, head_dim, capacity, n_new, n_sequences;
    uint64_t n_tokens[MOST_SEQUENCES];
    uint64_t key_counts[MOST_SEQUENCES]; /* where counted */
    uint64_t window, reach, per_key;
    bool causal, biased, counted;
    bool frozen; /* the bias's gradient is not wanted */
    bool fused;  /* Q among K and V in its rows */
    bool adds;   /* to what the gradient of queries is already */
    bool joint;  /* Q before K and V in its rows, to which all is turned back */
    bool interleaved;
    double scale, soft_cap;
};

enum { Q, K, V, BIAS, D_OUT, OUT, LSE, D_Q, D_K, D_V, D_BIAS, ANGLES };

static struct gqa_head_place place_of(const struct shape *s)
{
    const uint64_t group = s->n_heads / s->n_kv_heads;
    struct gqa_head_place place = {.n_heads = s->n_heads,
                                   .per_block = s->n_heads};

    if (s->fused) {
        place.per_block = group;
        place.block_stride = (group + 2) * s->head_dim;
        place.base = 8;
    }
    return place;
}

static uint64_t width_of(const struct shape *s)
{
    const uint64_t group = s->n_heads / s->n_kv_heads;

    if (s->joint)
        return (s->n_heads + 2 * s->n_kv_heads) * s->head_dim;
    return s->fused ? s->n_kv_heads * (group + 2) * s->head_dim + 8
                    : s->n_heads * s->head_dim;
}

static struct gqa_turn_op turn_of(const struct side *side,
                                  const struct shape *s)
{
    const struct gqa_head_place k = {
        .n_heads = s->n_kv_heads,
        .base = s->n_heads * s->head_dim,
        .per_block = s->n_kv_heads,
    };
    struct gqa_turn_op op = {
        .q = side->p[D_Q],
        .k = side->p[D_Q],
        .v = side->p[D_Q],
        .cache_k = side->p[D_K],
        .cache_v = side->p[D_V],
        .q_width = width_of(s),
        .k_width = width_of(s),
        .v_width = width_of(s),
        .q_place = place_of(s),
        .k_place = k,
        .v_place = k,
        .capacity = s->capacity,
        .head_dim = s->head_dim,
        .n_pairs = s->head_dim / 2,
        .interleaved = s->interleaved,
        .cos_sin = side->p[ANGLES],
    };

    op.v_place.base += s->n_kv_heads * s->head_dim;
    return op;
}

static enum gqa_status call(const struct side *side, const void *ctx)
{
    const struct shape *s = ctx;
    const struct gqa_turn_op turn = turn_of(side, s);
    bool turned = false;
    const struct gqa_gradient_ops *ops = side->backend->gradients;
    const struct gqa_attention_gradient op = {
        .forward =
            {
                .out = side->p[OUT],
                .q = side->p[Q],
                .q_width = width_of(s),
                .q_place = place_of(s),
                .k = side->p[K],
                .v = side->p[V],
                .n_kv_heads = s->n_kv_heads,
                .head_dim = s->head_dim,
                .capacity = s->capacity,
                .scale = s->scale,
                .soft_cap = s->soft_cap,
                .causal = s->causal,
                .window = s->window,
                .key_counts = s->counted ? s->key_counts : NULL,
                .bias = s->biased ? side->p[BIAS] : NULL,
                .reach = s->reach,
                .per_key = s->per_key,
                .lse = side->p[LSE],
            },
        .d_out = side->p[D_OUT],
        .d_q = side->p[D_Q],
        .adds_q = s->adds,
        .d_k = side->p[D_K],
        .d_v = side->p[D_V],
        .d_bias = s->biased && !s->frozen ? side->p[D_BIAS] : NULL,
        .turn = s->joint ? &turn : NULL,
        .turned = &turned,
    };
    enum gqa_status st = side->backend->attend(side->device, &op.forward);

    if (st == GQA_OK)
        st = ops->attend_back(side->device, &op);
    return st == GQA_OK && s->joint && !turned
               ? ops->turn_back(side->device, &turn)
               : st;
}

/* NaN beyond the keys. */
static void clear_cache(struct trial *t, int operand, const struct shape *s)
{
    const uint64_t d = s->head_dim;
    double *cache = trial_host(t, operand);

    for (uint64_t i = 0; i < s->n_sequences; i++) {
        const uint64_t n = s->counted ? s->key_counts[i] : s->n_tokens[i];

        for (uint64_t h = i * s->n_kv_heads; h < (i + 1) * s->n_kv_heads; h++)
            for (uint64_t c = n * d; c < s->capacity * d; c++)
                cache[h * s->capacity * d + c] = (double)NAN;
    }
}

static void set_batch(const struct shape *s)
{
    static const uint64_t starts[MOST_SEQUENCES];
    int32_t *tokens = must_allocate(s->n_sequences * s->n_new, sizeof *tokens);

    twin_set_batch(&(struct gqa_batch){s->n_sequences, s->n_new, tokens,
                                       s->n_tokens, starts});
    free(tokens);
}

/* Rows of padding bring nothing. */
static void clear_padding(double *d_out, const struct shape *s)
{
    const uint64_t width = s->n_heads * s->head_dim;

    for (uint64_t r = 0; r < s->n_sequences * s->n_new; r++)
        if (r % s->n_new >= s->n_tokens[r / s->n_new])
            memset(d_out + r * width, 0, width * sizeof *d_out);
}

static void check(struct shape s)
{
    const uint64_t n_rows = s.n_sequences * s.n_new;
    const size_t n_out = (size_t)(n_rows * s.n_heads * s.head_dim);
    const size_t n_cache =
        (size_t)(s.n_sequences * s.n_kv_heads * s.capacity * s.head_dim);
    /* What do . v - o . do cancels, the rounding of o does not: of many numbers
     * that is so of some, and of a few it may be so of all. float32 is held to
     * the same there as elsewhere. */
    const bool few = n_out < 64;
    const double tolerance =
        twin_tolerance(few ? 5e-2 : 1e-2, few ? 1.5e-2 : 3e-3);
    struct trial t = {.n = 0};
    size_t n_bias;

    s.reach = s.capacity > s.n_new ? s.capacity : s.n_new;
    if (s.scale == 0)
        s.scale = 1.2 / sqrt((double)s.head_dim);
    n_bias = (size_t)(s.n_heads * (2 * s.reach - 1));
    set_batch(&s);
    trial_input(&t, (size_t)(n_rows * width_of(&s)), gpu.real);
    clear_cache(&t, trial_input(&t, n_cache, gpu.real), &s);
    clear_cache(&t, trial_input(&t, n_cache, gpu.real), &s);
    trial_input(&t, n_bias, GQA_F32);
    clear_padding(trial_host(&t, trial_input(&t, n_out, gpu.real)), &s);
    /* Of padding, whatever is finite. */
    trial_sum(&t, "out", n_out, gpu.real, -1);
    trial_sum(&t, "lse", (size_t)(n_rows * s.n_heads), GQA_F32, -1);
    trial_sum(&t, "d_q", (size_t)(n_rows * width_of(&s)), gpu.real, tolerance);
    trial_result(&t, "d_k", n_cache, gpu.real, s.joint ? -1 : tolerance);
    trial_result(&t, "d_v", n_cache, gpu.real, s.joint ? -1 : tolerance);
    trial_sum(&t, "d_bias", n_bias, GQA_F32, tolerance);
    trial_input(&t, (size_t)(s.capacity * s.head_dim), GQA_F32);
    trial_run(&t, call, &s,
              "%llu heads of %llu on %llu, %llu tokens, capacity "
              "%llu%s%s%s%s%s%s%s%s%s",
              (unsigned long long)s.n_heads, (unsigned long long)s.head_dim,
              (unsigned long long)s.n_kv_heads, (unsigned long long)s.n_new,
              (unsigned long long)s.capacity, s.causal ? ", causal" : "",
              s.window ? ", window" : "", s.biased ? ", bias" : "",
              s.counted ? ", counted" : "", s.fused ? ", fused" : "",
              s.soft_cap > 0 ? ", capped" : "",
              s.per_key ? ", keys of several positions" : "",
              s.adds ? ", added" : "", s.joint ? ", turned back" : "");
}

/* Every step-th mask over one arrangement of heads. */
static void check_masks(uint64_t n_heads, uint64_t n_kv_heads,
                        uint64_t head_dim, unsigned step)
{
    for (unsigned mask = 0; mask < 32; mask += step) {
        struct shape s = {
            .n_heads = n_heads,
            .n_kv_heads = n_kv_heads,
            .head_dim = head_dim,
            .capacity = 150,
            .n_new = 131,
            .n_sequences = 3,
            .n_tokens = {131, 70, 0},
            .biased = mask & 1,
            .window = mask & 2 ? 40 : 0,
            .fused = mask & 4,
            .causal = !(mask & 16),
            .frozen = (mask & 3) == 3,
        };

        if (!s.causal)
            s.window = 0;
        if (mask & 8) { /* cross-attention: keys of their own number */
            s.causal = false;
            s.window = 0;
            s.counted = true;
            memcpy(s.key_counts, (uint64_t[]){150, 1, 77},
                   3 * sizeof(uint64_t));
        }
        check(s);
    }
    check((struct shape){.n_heads = n_heads,
                         .n_kv_heads = n_kv_heads,
                         .head_dim = head_dim,
                         .capacity = 3,
                         .n_new = 3,
                         .n_sequences = 2,
                         .n_tokens = {3, 1},
                         .causal = true});
}

static void check_cap(uint64_t head_dim)
{
    struct shape s = {.n_heads = 4,
                      .n_kv_heads = 2,
                      .head_dim = head_dim,
                      .capacity = 150,
                      .n_new = 131,
                      .n_sequences = 2,
                      .n_tokens = {131, 10},
                      .causal = true,
                      .window = 40,
                      .soft_cap = 2};

    check(s);
    s.biased = true;
    check(s);
}

static void check_long(uint64_t head_dim, bool biased, uint64_t window)
{
    check((struct shape){.n_heads = 4,
                         .n_kv_heads = 2,
                         .head_dim = head_dim,
                         .capacity = 700,
                         .n_new = 700,
                         .n_sequences = 2,
                         .n_tokens = {700, 641},
                         .causal = true,
                         .biased = biased,
                         .window = window});
}

/* More blocks of rows than a device has room for at once. */
static void check_many(uint64_t head_dim)
{
    check((struct shape){.n_heads = 33,
                         .n_kv_heads = 11,
                         .head_dim = head_dim,
                         .capacity = 300,
                         .n_new = 300,
                         .n_sequences = 3,
                         .n_tokens = {300, 290, 1},
                         .causal = true});
}

/* Keys that stand for several positions, and then tokens' own. */
static void check_summaries(uint64_t head_dim, uint64_t per_key,
                            double soft_cap)
{
    struct shape s = {.n_heads = 6,
                      .n_kv_heads = 2,
                      .head_dim = head_dim,
                      .n_new = 131,
                      .n_sequences = 3,
                      .n_tokens = {131, 70, 2},
                      .counted = true,
                      .biased = true,
                      .per_key = per_key,
                      .soft_cap = soft_cap};

    s.capacity = s.n_new / per_key;
    for (int i = 0; i < MOST_SEQUENCES; i++)
        s.key_counts[i] = s.n_tokens[i] / per_key;
    check(s);
    s.frozen = s.adds = true;
    check(s);
    s.per_key = 0;
    s.counted = s.frozen = false;
    s.capacity = s.n_new;
    check(s);
}

static void check_turned(uint64_t head_dim, uint64_t n_kv_heads)
{
    struct shape s = {.n_heads = 4,
                      .n_kv_heads = n_kv_heads,
                      .head_dim = head_dim,
                      .capacity = 150,
                      .n_new = 131,
                      .n_sequences = 3,
                      .n_tokens = {131, 70, 0},
                      .causal = true,
                      .joint = true};

    check(s);
    s.capacity = s.n_new;
    s.interleaved = true;
    check(s);
    s.interleaved = false;
    s.biased = true;
    check(s);
}

static void tests(void)
{
    static const uint64_t dims[] = {32, 64, 128, 1, 7, 16, 33, 80, 129, 256};
    static const uint64_t heads[][2] = {
        {4, 4}, {8, 1}, {6, 2}, {16, 1}, {12, 4},
    };

    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (!gpu.small || i < 4)
            check_masks(4, 2, dims[i], gpu.small ? 11 : dims[i] > 80 ? 3 : 1);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (uint64_t dim = 32; dim <= 128; dim *= 2)
            if (!gpu.small)
                check_masks(heads[i][0], heads[i][1], dim, 5);
    check_summaries(33, 4, 0);
    check_summaries(64, 16, 0);
    check_summaries(64, 3, 2);
    check_cap(33);
    check_cap(64);
    for (uint64_t dim = 32; dim <= 128; dim *= 2) {
        check_turned(dim, 4);
        check_turned(dim, 1);
    }
    for (uint64_t dim = 32; dim <= 128 && !gpu.small; dim *= 2) {
        check_long(dim, false, 0);
        check_long(dim, true, 0);
        check_long(dim, false, 200);
        check_many(dim);
    }
    if (!gpu.small)
        check_long(24, true, 100);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
