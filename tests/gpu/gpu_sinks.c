/*
 * Scores that belong to no key, beside attention of several shapes and by
 * themselves, and pairs of a gate's outputs and another's: forth and back,
 * against the CPU's in float64.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "twin.h"

enum { SEQUENCES = 3, NEW = 75, ROWS = SEQUENCES * NEW, HEADS = 4 };

static const uint64_t n_tokens[SEQUENCES] = {75, 39, 3};
static const uint64_t starts[SEQUENCES];
static const int32_t tokens[ROWS];

static void set_batch(void)
{
    twin_set_batch(
        &(struct gqa_batch){SEQUENCES, NEW, tokens, n_tokens, starts});
}

/* --- Attention ------------------------------------------------------------ */

/* All new tokens of a sequence are there, behind `before` others. */
struct shape {
    uint64_t head_dim, n_new, before, window;
};

static enum gqa_status attend(const struct side *side, const void *ctx)
{
    const struct shape *s = ctx;
    const struct gqa_weight sinks = side_weight(side, 3, HEADS, 1);
    const struct gqa_attention_op op = {
        .out = side->p[4],
        .q = side->p[0],
        .q_width = HEADS * s->head_dim,
        .q_place = {HEADS, 0, HEADS, 0},
        .k = side->p[1],
        .v = side->p[2],
        .n_kv_heads = 2,
        .head_dim = s->head_dim,
        .capacity = s->before + s->n_new,
        .scale = 1 / sqrt((double)s->head_dim),
        .causal = true,
        .window = s->window,
        .lse = side->p[5],
    };
    const enum gqa_status st = side->backend->attend(side->device, &op);

    return st == GQA_OK ? side->backend->sink(side->device, op.out, op.lse,
                                              &sinks, HEADS, s->head_dim)
                        : st;
}

static void check_attend(uint64_t head_dim, uint64_t n_new, uint64_t before,
                         uint64_t window)
{
    const struct shape s = {head_dim, n_new, before, window};
    const uint64_t all[SEQUENCES] = {n_new, n_new, n_new};
    const uint64_t behind[SEQUENCES] = {before, before, before};
    const size_t n_cache =
        (size_t)(SEQUENCES * 2 * (before + n_new) * head_dim);
    const size_t n = (size_t)(SEQUENCES * n_new * HEADS);
    struct trial t = {.n = 0};

    twin_set_batch(&(struct gqa_batch){SEQUENCES, n_new, tokens, all, behind});
    trial_input(&t, n * head_dim, gpu.real);
    trial_input(&t, n_cache, gpu.real);
    trial_input(&t, n_cache, gpu.real);
    trial_input(&t, HEADS, GQA_BF16);
    trial_result(&t, "out", n * head_dim, gpu.real, twin_tolerance(1e-2, 3e-3));
    trial_result(&t, "lse", n, GQA_F32, twin_tolerance(1e-2, 3e-3));
    trial_run(&t, attend, &s, "heads of %llu, %llu tokens behind %llu%s",
              (unsigned long long)head_dim, (unsigned long long)n_new,
              (unsigned long long)before, window ? ", within a window" : "");
}

/* --- By themselves -------------------------------------------------------- */

static enum gqa_status sink(const struct side *side, const void *ctx)
{
    const struct gqa_weight sinks = side_weight(side, 0, HEADS, 1);

    return side->backend->sink(side->device, side->p[1], side->p[2], &sinks,
                               HEADS, *(const uint64_t *)ctx);
}

static enum gqa_status sink_back(const struct side *side, const void *ctx)
{
    const struct gqa_weight sinks = side_weight(side, 0, HEADS, 1);

    return side->backend->gradients->sink(side->device, side->p[4], side->p[1],
                                          side->p[2], side->p[3], &sinks, HEADS,
                                          *(const uint64_t *)ctx);
}

static void check_sinks(uint64_t head_dim, enum gqa_dtype dtype)
{
    const size_t n = (size_t)(ROWS * HEADS * head_dim);
    struct trial forth = {.n = 0}, back = {.n = 0};
    double *lse;
    int sums;

    set_batch();
    trial_input(&forth, HEADS, dtype);
    trial_sum(&forth, "out", n, gpu.real, rounding());
    sums = trial_sum(&forth, "lse", ROWS * HEADS, GQA_F32,
                     twin_tolerance(1e-5, 1e-5));
    /* Of all sizes beside the sinks; some see no key. */
    lse = trial_host(&forth, sums);
    for (int i = 0; i < ROWS * HEADS; i++)
        lse[i] = i % 5 == 0 ? -HUGE_VAL : i % 5 == 1 ? 60 : lse[i];
    trial_run(&forth, sink, &head_dim, "sinks of heads of %llu",
              (unsigned long long)head_dim);
    trial_input(&back, HEADS, dtype);
    trial_input(&back, n, gpu.real);
    lse = trial_host(&back, trial_input(&back, ROWS * HEADS, GQA_F32));
    for (int i = 0; i < ROWS * HEADS; i++)
        lse[i] = (double)(float)(fabs(lse[i]) + 1);
    trial_input(&back, n, gpu.real);
    trial_sum(&back, "d_sinks", HEADS, GQA_F32, 1e-5);
    trial_run(&back, sink_back, &head_dim, "sinks of heads of %llu, back",
              (unsigned long long)head_dim);
}

/* --- Pairs ---------------------------------------------------------------- */

static const struct gqa_clamped_swiglu constants = {1.702, 2};

static enum gqa_status pairs(const struct side *side, const void *ctx)
{
    return side->backend->swiglu_pairs(side->device, side->p[1], side->p[0],
                                       *(const uint64_t *)ctx, &constants);
}

static enum gqa_status pairs_back(const struct side *side, const void *ctx)
{
    return side->backend->gradients->swiglu_pairs(
        side->device, side->p[2], side->p[0], side->p[1],
        *(const uint64_t *)ctx, &constants);
}

/* Within the limits, at them, and beyond. */
static void spread(struct trial *t, uint64_t n)
{
    double *x = trial_host(t, trial_input(t, 2 * n, gpu.real));

    for (uint64_t i = 0; i < 2 * n; i++)
        x[i] *= 4;
    x[0] = 2;
    x[1] = -2;
}

static void check_pairs(uint64_t n)
{
    struct trial forth = {.n = 0}, back = {.n = 0};

    spread(&forth, n);
    trial_result(&forth, "out", n, gpu.real, rounding());
    trial_run(&forth, pairs, &n, "%llu pairs", (unsigned long long)n);
    spread(&back, n);
    trial_input(&back, n, gpu.real);
    trial_result(&back, "dx", 2 * n, gpu.real, twin_tolerance(3.92e-3, 4.9e-4));
    trial_run(&back, pairs_back, &n, "%llu pairs, back", (unsigned long long)n);
}

static void tests(void)
{
    check_attend(8, NEW, 0, 0);
    check_attend(64, NEW, 0, 16);
    check_attend(64, 1, 74, 0);
    check_attend(64, 1, 74, 16);
    check_attend(64, 3, 72, 0);
    check_attend(128, NEW, 130, 0);
    check_attend(32, NEW, 7, 0);
    check_sinks(1, GQA_F32);
    check_sinks(64, GQA_BF16);
    check_sinks(100, GQA_F16);
    check_pairs(1);
    check_pairs(10007);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
