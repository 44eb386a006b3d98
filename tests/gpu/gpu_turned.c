/* Projections that are turned and kept at once, against the CPU's product and
 * what follows it, in float64. */
#include <math.h>

#include "twin.h"

enum { N_SEQUENCES = 3, MOST_NEW = 700, CAPACITY = 720 };

struct shape {
    uint64_t n_new, inputs, n_queries, n_keys, head_dim, n_pairs, more;
    bool interleaved;
    bool taken; /* by devices that have it, in types of 16 bits */
};

enum { X, WEIGHT, COS_SIN, ROWS, CACHE_K, CACHE_V, QUERIES };

static struct gqa_head_place place_of(uint64_t n_heads, uint64_t base)
{
    return (struct gqa_head_place){
        .n_heads = n_heads, .base = base, .per_block = n_heads};
}

static uint64_t rows_of(const struct shape *s)
{
    return N_SEQUENCES * s->n_new;
}

static uint64_t outputs_of(const struct shape *s)
{
    return (s->n_queries + 2 * s->n_keys) * s->head_dim + s->more;
}

/* Queries are kept as well, to be compared without what lies beside them. */
static enum gqa_status call(const struct side *side, const void *ctx)
{
    const struct shape *s = ctx;
    const struct gqa_backend *b = side->backend;
    const uint64_t d = s->head_dim, width = outputs_of(s);
    const struct gqa_weight weight =
        side_weight(side, WEIGHT, width, s->inputs);
    const struct gqa_turn_op op = {
        .q = side->p[ROWS],
        .k = side->p[ROWS],
        .v = side->p[ROWS],
        .cache_k = side->p[CACHE_K],
        .cache_v = side->p[CACHE_V],
        .q_width = width,
        .k_width = width,
        .v_width = width,
        .q_place = place_of(s->n_queries, 0),
        .k_place = place_of(s->n_keys, s->n_queries * d),
        .v_place = place_of(s->n_keys, (s->n_queries + s->n_keys) * d),
        .capacity = CAPACITY,
        .head_dim = d,
        .n_pairs = s->n_pairs,
        .interleaved = s->interleaved,
        .cos_sin = side->p[COS_SIN],
    };
    bool done = false;
    enum gqa_status st = b->gradients->project
                             ? b->gradients->project(side->device, &done, &op,
                                                     side->p[X], &weight)
                             : GQA_OK;

    check_true(!done || s->taken, "projection of %llu rows of %llu: done",
               (unsigned long long)rows_of(s), (unsigned long long)s->inputs);
    if (st == GQA_OK && !done)
        st = b->linear(side->device, side->p[ROWS], side->p[X], rows_of(s),
                       &weight, false, NULL, NULL);
    if (st == GQA_OK && !done)
        st = b->gradients->turn(side->device, &op);
    return st == GQA_OK ? b->store(side->device, side->p[QUERIES], CAPACITY,
                                   side->p[ROWS], width, &op.q_place, d)
                        : st;
}

/* Products of about 1, and angles that are some. */
static void scale(struct trial *t, const struct shape *s)
{
    double *weight = trial_host(t, WEIGHT), *angles = trial_host(t, COS_SIN);

    for (size_t i = 0; i < t->operands[WEIGHT].array.n; i++)
        weight[i] /= sqrt((double)s->inputs);
    for (size_t i = 0; i + 1 < t->operands[COS_SIN].array.n; i += 2) {
        const double angle = angles[i];

        angles[i] = cos(angle);
        angles[i + 1] = sin(angle);
    }
}

static void check(const struct shape *s)
{
    const uint64_t n_tokens[N_SEQUENCES] = {s->n_new, 17, s->n_new - 1};
    const uint64_t starts[N_SEQUENCES] = {0, 10, 3};
    static const int32_t tokens[N_SEQUENCES * MOST_NEW];
    const struct gqa_batch batch = {N_SEQUENCES, s->n_new, tokens, n_tokens,
                                    starts};
    const size_t rows = (size_t)rows_of(s);
    const size_t cache = (size_t)N_SEQUENCES * CAPACITY * s->head_dim;
    /* Rounded before they are turned, and behind that. */
    const double twice = twin_tolerance(3.92e-3, 4.9e-4);
    struct trial t = {.n = 0};

    twin_set_batch(&batch);
    trial_input(&t, rows * s->inputs, gpu.real);
    trial_input(&t, outputs_of(s) * s->inputs, gpu.real);
    trial_input(&t, CAPACITY * s->n_pairs * 2 + 1, GQA_F32);
    trial_input(&t, rows * outputs_of(s), gpu.real);
    trial_result(&t, "keys", cache * s->n_keys, gpu.real, twice);
    trial_result(&t, "values", cache * s->n_keys, gpu.real, twice);
    trial_result(&t, "queries", cache * s->n_queries, gpu.real, twice);
    scale(&t, s);
    trial_run(&t, call, s,
              "projection of %llu rows of %llu, %llu and %llu heads of %llu, "
              "%llu pairs",
              (unsigned long long)rows, (unsigned long long)s->inputs,
              (unsigned long long)s->n_queries, (unsigned long long)s->n_keys,
              (unsigned long long)s->head_dim, (unsigned long long)s->n_pairs);
}

static void check_all(const struct shape *shapes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&shapes[i]);
}

static void tests(void)
{
    static const struct shape small[] = {
        {350, 64, 4, 1, 32, 16, .taken = true},
        {350, 40, 6, 3, 32, 16, .taken = true},
        {400, 64, 3, 1, 64, 32, .taken = true},
        {400, 72, 2, 1, 128, 64, .taken = true},
        /* Not turned, as where positions are added. */
        {350, 64, 4, 1, 32, 0, .taken = true},
        /* Few rows, others in them, other pairs, odd widths. */
        {340, 64, 4, 1, 32, 16, .taken = false},
        {350, 64, 4, 1, 32, 16, .more = 32},
        {350, 64, 4, 1, 32, 8, .taken = false},
        {350, 64, 4, 1, 32, 16, .interleaved = true},
        {350, 64, 4, 1, 48, 24, .taken = false},
        {350, 60, 4, 1, 32, 16, .taken = false},
        {350, 64, 1, 1, 32, 16, .taken = false},
    };
    static const struct shape large[] = {
        /* More tiles than processors. */
        {MOST_NEW, 512, 16, 4, 32, 16, .taken = true},
        {MOST_NEW, 256, 32, 32, 64, 32, .taken = true},
    };

    if (!gpu.backend->gradients)
        return;
    check_all(small, sizeof small / sizeof *small);
    if (!gpu.small)
        check_all(large, sizeof large / sizeof *large);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
