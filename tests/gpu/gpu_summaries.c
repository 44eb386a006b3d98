/*
 * What surrounds keys that stand for several tokens, against the CPU's in
 * float64: their sums, forth and back, attention to them, and both attentions
 * as one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "twin.h"

enum { SEQUENCES = 3, NEW = 75, ROWS = SEQUENCES * NEW };

static const uint64_t n_tokens[SEQUENCES] = {75, 39, 3};
static const uint64_t starts[SEQUENCES];

static void set_batch(void)
{
    static const int32_t tokens[ROWS];

    twin_set_batch(
        &(struct gqa_batch){SEQUENCES, NEW, tokens, n_tokens, starts});
}

/* --- Sums ----------------------------------------------------------------- */

struct pieces {
    uint64_t width, size;
};

static enum gqa_status sum(const struct side *side, const void *ctx)
{
    const struct pieces *p = ctx;

    return side->backend->sum_pieces(side->device, side->p[1], side->p[0],
                                     p->width, p->size, NEW / p->size);
}

static enum gqa_status sum_back(const struct side *side, const void *ctx)
{
    const struct pieces *p = ctx;

    return side->backend->gradients->sum_pieces(
        side->device, side->p[1], side->p[0], p->width, p->size, NEW / p->size);
}

static void check_sums(uint64_t width, uint64_t size)
{
    const struct pieces p = {width, size};
    const size_t n_rows = (size_t)(ROWS * width);
    const size_t n_sums = (size_t)(SEQUENCES * (NEW / size) * width);
    struct trial forth = {.n = 0}, back = {.n = 0};

    set_batch();
    trial_input(&forth, n_rows, gpu.real);
    trial_result(&forth, "sums", n_sums, gpu.real, rounding());
    trial_run(&forth, sum, &p, "sums of %llu rows of %llu",
              (unsigned long long)size, (unsigned long long)width);
    trial_input(&back, n_sums, gpu.real);
    trial_sum(&back, "rows", n_rows, gpu.real, rounding());
    trial_run(&back, sum_back, &p, "sums of %llu rows of %llu, backwards",
              (unsigned long long)size, (unsigned long long)width);
}

/* --- Attention ------------------------------------------------------------ */

struct shape {
    uint64_t n_heads, n_kv_heads, head_dim, size;
    double soft_cap;
    uint64_t counts[SEQUENCES];
};

enum { Q, K, V, BIAS, OUT, LSE };

static enum gqa_status attend(const struct side *side, const void *ctx)
{
    const struct shape *s = ctx;
    const struct gqa_attention_op op = {
        .out = side->p[OUT],
        .q = side->p[Q],
        .q_width = s->n_heads * s->head_dim,
        .q_place = {.n_heads = s->n_heads, .per_block = s->n_heads},
        .k = side->p[K],
        .v = side->p[V],
        .n_kv_heads = s->n_kv_heads,
        .head_dim = s->head_dim,
        .capacity = NEW / s->size,
        .scale = 1.2 / sqrt((double)s->head_dim),
        .soft_cap = s->soft_cap,
        .key_counts = s->counts,
        .bias = side->p[BIAS],
        .reach = NEW / s->size,
        .per_key = s->size,
        .lse = side->p[LSE],
    };

    return side->backend->attend(side->device, &op);
}

/* NaN beyond the keys, and in a sequence that has none. */
static void clear_cache(struct trial *t, int operand, const struct shape *s)
{
    const uint64_t d = s->head_dim, capacity = NEW / s->size;
    double *cache = trial_host(t, operand);

    for (uint64_t i = 0; i < SEQUENCES * s->n_kv_heads; i++)
        for (uint64_t c = s->counts[i / s->n_kv_heads] * d; c < capacity * d;
             c++)
            cache[i * capacity * d + c] = (double)NAN;
}

/* All rows are there, so that all of what is made is compared. */
static void check_attend(uint64_t head_dim, uint64_t size, double soft_cap)
{
    struct shape s = {8, 2, head_dim, size, soft_cap, {NEW / size, 1, 2}};
    const uint64_t capacity = NEW / size;
    const size_t n_cache =
        (size_t)(SEQUENCES * s.n_kv_heads * capacity * head_dim);
    static const uint64_t all[SEQUENCES] = {NEW, NEW, NEW};
    static const int32_t tokens[ROWS];
    struct trial t = {.n = 0};

    twin_set_batch(&(struct gqa_batch){SEQUENCES, NEW, tokens, all, starts});
    trial_input(&t, (size_t)(ROWS * s.n_heads * head_dim), gpu.real);
    clear_cache(&t, trial_input(&t, n_cache, gpu.real), &s);
    clear_cache(&t, trial_input(&t, n_cache, gpu.real), &s);
    trial_input(&t, (size_t)(s.n_heads * (2 * capacity - 1)), GQA_F32);
    trial_result(&t, "out", (size_t)(ROWS * s.n_heads * head_dim), gpu.real,
                 twin_tolerance(1e-2, 3e-3));
    trial_result(&t, "lse", (size_t)(ROWS * s.n_heads), GQA_F32,
                 twin_tolerance(1e-2, 3e-3));
    trial_run(&t, attend, &s, "heads of %llu on keys of %llu%s",
              (unsigned long long)head_dim, (unsigned long long)size,
              soft_cap > 0 ? ", capped" : "");
}

/* --- Both ----------------------------------------------------------------- */

enum { HEADS = 3 };

static enum gqa_status merge(const struct side *side, const void *ctx)
{
    return side->backend->merge(side->device, side->p[2], side->p[3],
                                side->p[0], side->p[1], HEADS,
                                *(const uint64_t *)ctx);
}

static void check_merge(uint64_t head_dim)
{
    const size_t n = (size_t)(ROWS * HEADS * head_dim);
    struct trial t = {.n = 0};
    double *lse;

    set_batch();
    trial_input(&t, n, gpu.real);
    lse = trial_host(&t, trial_input(&t, ROWS * HEADS, GQA_F32));
    /* Some see none of the others, and some nothing but them. */
    for (int i = 0; i < ROWS * HEADS; i++) {
        lse[i] = i % 5 == 0 ? -HUGE_VAL : i % 5 == 1 ? 60 : lse[i];
        round_to(&lse[i], 1, GQA_F32);
    }
    trial_sum(&t, "out", n, gpu.real, rounding());
    trial_sum(&t, "lse", ROWS * HEADS, GQA_F32, twin_tolerance(1e-5, 1e-5));
    trial_run(&t, merge, &head_dim, "two attentions of heads of %llu",
              (unsigned long long)head_dim);
}

static void tests(void)
{
    check_sums(1, 4);
    check_sums(300, 16);
    check_sums(7, 75);
    check_attend(5, 4, 0);
    check_attend(64, 16, 0);
    check_attend(64, 3, 2);
    check_attend(130, 8, 0);
    check_merge(1);
    check_merge(64);
    check_merge(100);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
