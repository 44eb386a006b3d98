/* Operations backwards, but attention, against the CPU's in float64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "twin.h"

static const enum gqa_dtype dtypes[] = {GQA_F32, GQA_BF16, GQA_F16, GQA_F64};

/* Three sequences, of which the last has no token. */
enum { N_SEQUENCES = 3, N_NEW = 40, N_ROWS = N_SEQUENCES * N_NEW };
enum { CAPACITY = 50, VOCAB = 11 };
static const uint64_t n_tokens[N_SEQUENCES] = {40, 17, 0};
static const uint64_t starts[N_SEQUENCES] = {0, 10, 3};

/* What one rounding of a result makes of it. */
static double rounded(void)
{
    return twin_tolerance(3.92e-3, 4.9e-4);
}

static void set_batch(void)
{
    int32_t tokens[N_ROWS];
    const struct gqa_batch batch = {N_SEQUENCES, N_NEW, tokens, n_tokens,
                                    starts};

    /* Most of them one and the same. */
    for (unsigned i = 0; i < N_ROWS; i++)
        tokens[i] = random_below(2) ? 3 : (int32_t)random_below(VOCAB);
    twin_set_batch(&batch);
}

/* --- Memory ----------------------------------------------------------------
 */

static enum gqa_status call_memory(const struct side *side, const void *ctx)
{
    const uint64_t n = *(const uint64_t *)ctx;
    const struct gqa_gradient_ops *ops = side->backend->gradients;
    const uint64_t size = side->is_cpu ? 8 : gqa_dtype_bits(gpu.real) / 8;
    enum gqa_status st = ops->add(side->device, side->p[0], side->p[1], n);

    if (st == GQA_OK)
        st =
            side->backend->copy(side->device, side->p[2], side->p[1], n * size);
    if (st == GQA_OK)
        st = side->backend->zero(side->device, side->p[3], n * size);
    return st;
}

static void check_memory(uint64_t n)
{
    struct trial t = {.n = 0};

    trial_sum(&t, "sum", n, gpu.real, rounded());
    trial_input(&t, n, gpu.real);
    trial_result(&t, "copy", n, gpu.real, 0);
    trial_result(&t, "zeros", n, gpu.real, 0);
    trial_run(&t, call_memory, &n, "memory of %llu", (unsigned long long)n);
}

static enum gqa_status call_convert(const struct side *side, const void *ctx)
{
    const enum gqa_dtype dtype =
        side->is_cpu ? GQA_F64 : *(const enum gqa_dtype *)ctx;
    const uint64_t n = side->trial->operands[0].array.n;
    const struct gqa_gradient_ops *ops = side->backend->gradients;
    enum gqa_status st =
        ops->widen(side->device, side->p[1], side->p[0], dtype, n);

    return st == GQA_OK
               ? ops->narrow(side->device, side->p[3], dtype, side->p[2], n)
               : st;
}

static void check_convert(enum gqa_dtype dtype, uint64_t n)
{
    struct trial t = {.n = 0};

    trial_input(&t, n, dtype);
    trial_result(&t, "widened", n, GQA_F32, 1e-7);
    trial_input(&t, n, GQA_F32);
    trial_result(&t, "narrowed", n, dtype,
                 dtype == GQA_BF16  ? 3.92e-3
                 : dtype == GQA_F16 ? 4.9e-4
                                    : 0);
    trial_run(&t, call_convert, &dtype, "conversion of %llu %s",
              (unsigned long long)n, gqa_dtype_name(dtype));
}

/* --- Rows of a batch --------------------------------------------------------
 */

struct embed_case {
    uint64_t width;
    double scale;
    bool positions;
};

static enum gqa_status call_embed(const struct side *side, const void *ctx)
{
    const struct embed_case *c = ctx;

    return side->backend->gradients->embed(
        side->device, side->p[1], VOCAB, c->positions ? side->p[2] : NULL,
        CAPACITY, side->p[0], c->width, c->scale);
}

static void check_embed(const struct embed_case *c)
{
    struct trial t = {.n = 0};

    set_batch();
    trial_input(&t, N_ROWS * c->width, gpu.real);
    trial_sum(&t, "d_table", VOCAB * c->width, GQA_F32, 1e-5);
    trial_sum(&t, "d_positions", CAPACITY * c->width, GQA_F32, 1e-5);
    trial_run(&t, call_embed, c, "embed of %llu%s",
              (unsigned long long)c->width, c->positions ? ", positions" : "");
}

static const struct gqa_head_place places[] = {
    {.n_heads = 5, .per_block = 5},
    {.n_heads = 6, .base = 14, .per_block = 2, .block_stride = 35},
};
enum { HEAD_DIM = 7, WIDTH = 120 };

/* Such as are read by 16 bytes. */
static const struct gqa_head_place whole_places[] = {
    {.n_heads = 3, .per_block = 3},
    {.n_heads = 2, .base = 16, .per_block = 1, .block_stride = 48},
};
enum { WHOLE_DIM = 32 };

struct heads_case {
    const struct gqa_head_place *place;
    uint64_t head_dim, n_pairs;
    bool interleaved, back, queries, keys;
};

/* Queries; keys and values, and their caches; angles. */
static enum gqa_status call_heads(const struct side *side, const void *ctx)
{
    const struct heads_case *c = ctx;
    const struct gqa_gradient_ops *ops = side->backend->gradients;
    const struct gqa_turn_op op = {.q = c->queries ? side->p[0] : NULL,
                                   .k = side->p[1],
                                   .v = side->p[2],
                                   .cache_k = c->keys ? side->p[3] : NULL,
                                   .cache_v = side->p[4],
                                   .q_width = WIDTH,
                                   .k_width = WIDTH,
                                   .v_width = WIDTH,
                                   .q_place = *c->place,
                                   .k_place = *c->place,
                                   .v_place = *c->place,
                                   .capacity = CAPACITY,
                                   .head_dim = c->head_dim,
                                   .n_pairs = c->n_pairs,
                                   .interleaved = c->interleaved,
                                   .cos_sin = side->p[5]};

    return c->back ? ops->turn_back(side->device, &op)
                   : ops->turn(side->device, &op);
}

/* What lies between the heads stays. */
static void check_heads(const struct heads_case *c)
{
    const size_t rows = (size_t)N_ROWS * WIDTH;
    const size_t cache =
        (size_t)(N_SEQUENCES * c->place->n_heads * CAPACITY * c->head_dim);
    struct trial t = {.n = 0};

    set_batch();
    trial_sum(&t, "queries", rows, gpu.real, rounded());
    if (c->back) {
        trial_sum(&t, "keys", rows, gpu.real, rounded());
        trial_sum(&t, "values", rows, gpu.real, 0);
        trial_input(&t, cache, gpu.real);
        trial_input(&t, cache, gpu.real);
    } else {
        trial_input(&t, rows, gpu.real);
        trial_input(&t, rows, gpu.real);
        trial_sum(&t, "cached keys", cache, gpu.real, rounded());
        trial_sum(&t, "cached values", cache, gpu.real, 0);
    }
    trial_input(&t, CAPACITY * c->n_pairs * 2 + 1, GQA_F32);
    trial_run(&t, call_heads, c, "%llu heads of %llu, %llu pairs%s%s%s%s",
              (unsigned long long)c->place->n_heads,
              (unsigned long long)c->head_dim, (unsigned long long)c->n_pairs,
              c->interleaved ? ", interleaved" : "", c->back ? ", back" : "",
              c->queries ? ", queries" : "", c->keys ? ", keys" : "");
}

/* Of any number of pairs; flags: a bit of each case's. */
static void check_all_heads(const struct gqa_head_place *place,
                            uint64_t head_dim, uint64_t most_pairs,
                            unsigned flags)
{
    for (uint64_t n_pairs = 0; n_pairs <= most_pairs;
         n_pairs += most_pairs > 4 ? 8 : 1)
        check_heads(&(struct heads_case){place, head_dim, n_pairs, flags & 1,
                                         flags & 2, flags & 4, flags & 8});
}

/* --- Norms ------------------------------------------------------------------
 */

enum target { FRESH, IN_PLACE, ADDED, NONE };

struct norm_case {
    enum gqa_norm_kind kind;
    bool weight, one_plus, sums;
    uint64_t n_rows, width;
    enum target target;
    const struct gqa_head_place *place; /* of norm_heads() */
};

/* dy, x, weight, d_weight, d_bias, dx. */
static enum gqa_status call_norm(const struct side *side, const void *ctx)
{
    const struct norm_case *c = ctx;
    const struct gqa_weight weight = side_weight(side, 2, 1, c->width);
    const struct gqa_norm_op op = {.kind = c->kind,
                                   .eps = 1e-2,
                                   .weight = c->weight ? &weight : NULL,
                                   .one_plus = c->one_plus};
    void *d_weight = c->sums && c->weight ? side->p[3] : NULL;
    void *d_bias = c->sums ? side->p[4] : NULL;
    void *dx = c->target == IN_PLACE ? side->p[0]
               : c->target == NONE   ? NULL
                                     : side->p[5];

    if (c->place)
        return side->backend->gradients->norm_heads(
            side->device, side->p[0], d_weight, d_bias, side->p[1], WIDTH,
            c->place, HEAD_DIM, &op);
    return side->backend->gradients->norm(side->device, dx, d_weight, d_bias,
                                          side->p[1], side->p[0], c->n_rows,
                                          c->width, &op, c->target == ADDED);
}

static void check_norm(const struct norm_case *c)
{
    const size_t n =
        (size_t)(c->place ? (uint64_t)N_ROWS * WIDTH : c->n_rows * c->width);
    struct trial t = {.n = 0};
    double *x;
    int at;

    set_batch();
    trial_sum(&t, "dy", n, gpu.real,
              c->place || c->target == IN_PLACE ? rounded() : 0);
    at = trial_input(&t, n, gpu.real);
    x = trial_host(&t, at);
    for (size_t i = 0; i < n && c->kind == GQA_NORM_LAYER; i++)
        x[i] += 3;
    trial_input(&t, c->width, dtypes[c->width % 4]);
    trial_sum(&t, "d_weight", c->width, GQA_F32, 1e-5);
    trial_sum(&t, "d_bias", c->width, GQA_F32, 1e-5);
    if (c->target == ADDED)
        trial_sum(&t, "dx", n, gpu.real, rounded());
    else
        trial_result(&t, "dx", n, gpu.real, rounded());
    trial_run(&t, call_norm, c, "norm %d, %llu x %llu, target %d%s%s%s%s",
              c->kind, (unsigned long long)c->n_rows,
              (unsigned long long)c->width, c->target,
              c->weight ? ", weight" : "", c->one_plus ? ", 1 +" : "",
              c->sums ? ", sums" : "", c->place ? ", heads" : "");
}

static void check_norms(void)
{
    static const uint64_t widths[] = {1, 7, 64, 1000, 4097};

    for (int kind = GQA_NORM_RMS; kind <= GQA_NORM_LAYER; kind++)
        for (unsigned flags = 0; flags < 8; flags++) {
            struct norm_case c = {.kind = (enum gqa_norm_kind)kind,
                                  .weight = flags & 1,
                                  .one_plus = (flags & 3) == 3,
                                  .sums = flags & 4,
                                  .n_rows = 5,
                                  .width = 300};

            for (int target = FRESH; target <= NONE; target++) {
                c.target = (enum target)target;
                check_norm(&c);
            }
            c.target = FRESH;
            c.n_rows = 200;
            c.width = widths[flags % 5];
            check_norm(&c);
            c.width = HEAD_DIM;
            for (int i = 0; i < 2; i++) {
                c.place = &places[i];
                check_norm(&c);
            }
        }
    if (gpu.small)
        return;
    check_norm(&(struct norm_case){.kind = GQA_NORM_RMS,
                                   .weight = true,
                                   .sums = true,
                                   .n_rows = 70001,
                                   .width = 33});
    /* More rows than warps at a time. */
    for (int target = FRESH; target <= ADDED; target++) {
        check_norm(&(struct norm_case){.kind = GQA_NORM_RMS,
                                       .weight = true,
                                       .n_rows = 9001,
                                       .width = 512,
                                       .target = (enum target)target});
        check_norm(&(struct norm_case){.kind = GQA_NORM_LAYER,
                                       .weight = true,
                                       .n_rows = 9001,
                                       .width = 904,
                                       .target = (enum target)target});
    }
}

/* --- Products ---------------------------------------------------------------
 */

struct linear_case {
    uint64_t n_rows, inputs, outputs;
    bool input_major, weight, bias;
};

static enum gqa_status call_linear(const struct side *side, const void *ctx)
{
    const struct linear_case *c = ctx;

    return side->backend->gradients->linear_weight(
        side->device, c->weight ? side->p[2] : NULL,
        c->bias ? side->p[3] : NULL, side->p[0], c->inputs, side->p[1],
        c->outputs, c->n_rows, c->input_major);
}

static void check_linear(const struct linear_case *c)
{
    struct trial t = {.n = 0};

    trial_input(&t, c->n_rows * c->inputs, gpu.real);
    trial_input(&t, c->n_rows * c->outputs, gpu.real);
    trial_sum(&t, "d_weight", c->inputs * c->outputs, GQA_F32, 1e-5);
    trial_sum(&t, "d_bias", c->outputs, GQA_F32, 1e-5);
    trial_run(&t, call_linear, c, "weight of %llu to %llu, %llu rows%s%s%s",
              (unsigned long long)c->inputs, (unsigned long long)c->outputs,
              (unsigned long long)c->n_rows, c->weight ? ", weight" : "",
              c->bias ? ", bias" : "", c->input_major ? ", input-major" : "");
}

/* --- Elements ---------------------------------------------------------------
 */

struct activate_case {
    enum gqa_activation which;
    bool up, in_place;
    uint64_t n;               /* of them, or of a row */
    uint64_t n_rows, d_width; /* 0: one row, of as many */
};

static enum gqa_status call_activate(const struct side *side, const void *ctx)
{
    const struct activate_case *c = ctx;

    return side->backend->gradients->activate(
        side->device, c->in_place ? side->p[2] : side->p[3],
        c->up ? side->p[4] : NULL, c->n_rows ? c->d_width : c->n, side->p[0],
        c->up ? side->p[1] : NULL, side->p[2], c->n_rows ? c->n_rows : 1, c->n,
        c->which);
}

static void check_activate(const struct activate_case *c)
{
    const uint64_t n = c->n_rows ? c->n_rows * c->n : c->n;
    const uint64_t n_out = c->n_rows ? c->n_rows * c->d_width : c->n;
    struct trial t = {.n = 0};
    double *gate;

    gate = trial_host(&t, trial_input(&t, n, gpu.real));
    for (uint64_t i = 0; i < n; i++)
        gate[i] *= 3;
    trial_input(&t, n, gpu.real);
    trial_sum(&t, "dy", n, gpu.real, c->in_place ? rounded() : 0);
    trial_result(&t, "d_gate", n_out, gpu.real, rounded());
    trial_result(&t, "d_up", n_out, gpu.real, rounded());
    trial_run(&t, call_activate, c, "activation %d of %llu%s%s%s", c->which,
              (unsigned long long)n, c->up ? ", gated" : "",
              c->in_place ? ", in place" : "", c->n_rows ? ", rows apart" : "");
}

/* Far out, slopes are 0 and 1, and what they are times x. */
static void check_activation_ends(enum gqa_activation which)
{
    static const double ends[] = {-30000, -100, -12, -0.0, 100, 30000};
    const struct activate_case c = {.which = which,
                                    .n = sizeof ends / sizeof *ends};
    struct trial t = {.n = 0};

    memcpy(trial_host(&t, trial_input(&t, c.n, gpu.real)), ends, sizeof ends);
    trial_input(&t, c.n, gpu.real);
    trial_input(&t, c.n, gpu.real);
    trial_result(&t, "d_gate", c.n, gpu.real, rounded());
    trial_result(&t, "d_up", c.n, gpu.real, -1);
    if (which != GQA_ACTIVATION_RELU2 || gpu.real != GQA_F16)
        trial_run(&t, call_activate, &c, "activation %d far out", which);
    else
        for (size_t i = 0; i < t.n; i++)
            array_free(&t.operands[i].array);
}

static enum gqa_status call_xielu(const struct side *side, const void *ctx)
{
    static const struct gqa_xielu constants = {0.8, 1.3, 0.5, -1e-6};

    return side->backend->gradients->xielu(side->device, side->p[2], side->p[3],
                                           side->p[0], side->p[1],
                                           *(const uint64_t *)ctx, &constants);
}

static void check_xielu(uint64_t n)
{
    struct trial t = {.n = 0};

    trial_host(&t, trial_input(&t, n, gpu.real))[0] = 0;
    trial_input(&t, n, gpu.real);
    trial_result(&t, "dx", n, gpu.real, rounded());
    trial_sum(&t, "sums", 2, GQA_F64, 1e-5);
    trial_run(&t, call_xielu, &n, "xielu of %llu", (unsigned long long)n);
}

static enum gqa_status call_clip(const struct side *side, const void *ctx)
{
    return side->backend->gradients->clip(side->device, side->p[1], side->p[0],
                                          *(const uint64_t *)ctx, 0.625);
}

/* Among them what is at the limit, and what is no number. */
static void check_clip(uint64_t n)
{
    struct trial t = {.n = 0};
    double *x = trial_host(&t, trial_input(&t, n, gpu.real));

    x[0] = 0.625;
    x[n - 1] = -0.625;
    x[n / 2] = NAN;
    trial_sum(&t, "dy", n, gpu.real, 0);
    trial_run(&t, call_clip, &n, "limit of %llu", (unsigned long long)n);
}

/* Host memory's to the device, where trials look. */
static enum gqa_status call_dots(const struct side *side, const void *ctx)
{
    const uint64_t width = *(const uint64_t *)ctx;
    double dots[N_ROWS];
    const enum gqa_status st = side->backend->gradients->dot_rows(
        side->device, dots, side->p[0], side->p[1], width, N_ROWS);

    return st == GQA_OK ? side->backend->upload(side->device, side->p[2], dots,
                                                sizeof dots)
                        : st;
}

static void check_dots(uint64_t width)
{
    struct trial t = {.n = 0};

    trial_input(&t, N_ROWS * width, gpu.real);
    trial_input(&t, N_ROWS * width, gpu.real);
    trial_result(&t, "dots", N_ROWS, GQA_F64, 1e-9);
    trial_run(&t, call_dots, &width, "products of rows of %llu",
              (unsigned long long)width);
}

static enum gqa_status call_squares(const struct side *side, const void *ctx)
{
    const uint64_t width = *(const uint64_t *)ctx;

    return side->backend->gradients->squares(side->device, side->p[2],
                                             side->p[0], side->p[1], N_ROWS,
                                             width, 0.37, side->p[3]);
}

static void check_squares(uint64_t width)
{
    struct trial t = {.n = 0};

    set_batch();
    trial_input(&t, N_ROWS * width, gpu.real);
    trial_input(&t, N_ROWS * width, gpu.real);
    trial_result(&t, "dx", N_ROWS * width, gpu.real, rounded());
    trial_sum(&t, "sum", 1, GQA_F64, 1e-6);
    trial_run(&t, call_squares, &width, "squares of %llu",
              (unsigned long long)width);
}

/* --- Losses -----------------------------------------------------------------
 */

enum { MOST_LOSS_ROWS = 40 };

struct loss_case {
    uint64_t n_rows, vocab;
    double kl, reverse_kl, cross_entropy, temperature, soft_cap;
    bool teacher, labels, near; /* near: the two are nearly one */
    int32_t *label;
    double *weight;
};

/* student, teacher, d_logits, sums, losses. */
static enum gqa_status call_loss(const struct side *side, const void *ctx)
{
    const struct loss_case *c = ctx;
    double losses[MOST_LOSS_ROWS * 3];
    const struct gqa_loss_op op = {
        .student = side->p[0],
        .teacher = c->teacher ? side->p[1] : NULL,
        .n_rows = c->n_rows,
        .vocab_size = c->vocab,
        .labels = c->labels ? c->label : NULL,
        .weights = c->weight,
        .kl = c->kl,
        .reverse_kl = c->reverse_kl,
        .cross_entropy = c->cross_entropy,
        .temperature = c->temperature,
        .soft_cap = c->soft_cap,
        .factor = 0.7,
        .d_logits = side->p[2],
        .losses = losses,
        .sums = side->p[3],
    };
    enum gqa_status st = side->backend->gradients->loss(side->device, &op);

    return st == GQA_OK
               ? side->backend->upload(side->device, side->p[4], losses,
                                       c->n_rows * 3 * sizeof *losses)
               : st;
}

static void check_loss(struct loss_case c)
{
    const size_t n = (size_t)(c.n_rows * c.vocab);
    int32_t label[MOST_LOSS_ROWS];
    double weight[MOST_LOSS_ROWS];
    struct trial t = {.n = 0};
    double *student, *teacher;
    int first, second;

    for (uint64_t r = 0; r < c.n_rows; r++) {
        label[r] = r % 5 == 2 ? -1 : (int32_t)random_below(c.vocab);
        weight[r] = r % 7 == 3 ? 0 : 0.5 + (double)random_below(10);
    }
    c.label = label;
    c.weight = weight;
    first = trial_input(&t, n, GQA_F32);
    second = trial_input(&t, n, GQA_F32);
    student = trial_host(&t, first);
    teacher = trial_host(&t, second);
    for (size_t i = 0; i < n; i++) {
        student[i] *= 3;
        teacher[i] = c.near ? student[i] + 0.03 * teacher[i] : 3 * teacher[i];
        if (c.soft_cap > 0)
            student[i] = c.soft_cap * tanh(student[i] / c.soft_cap);
    }
    /* Far above the rest. */
    student[0] = c.soft_cap > 0 ? 0.99 * c.soft_cap : 60;
    trial_result(&t, "d_logits", n, gpu.real, rounded());
    trial_sum(&t, "sums", 4, GQA_F64, 1e-5);
    trial_result(&t, "losses", c.n_rows * 3, GQA_F64, 1e-5);
    trial_run(&t, call_loss, &c, "loss %g %g %g at %g of %llu%s%s%s%s", c.kl,
              c.reverse_kl, c.cross_entropy, c.temperature,
              (unsigned long long)c.vocab, c.teacher ? ", teacher" : "",
              c.labels ? ", labels" : "", c.near ? ", near" : "",
              c.soft_cap > 0 ? ", capped" : "");
}

/* original, converted, comparisons. */
static enum gqa_status call_compare(const struct side *side, const void *ctx)
{
    const struct loss_case *c = ctx;
    struct gqa_logit_comparison rows[MOST_LOSS_ROWS];
    double values[MOST_LOSS_ROWS * 6];
    const enum gqa_status st = side->backend->gradients->compare(
        side->device, rows, side->p[0], side->p[1], c->n_rows, c->vocab,
        c->label);

    for (uint64_t r = 0; r < c->n_rows && st == GQA_OK; r++) {
        const double row[6] = {
            rows[r].kl,   rows[r].log_likelihood[0], rows[r].log_likelihood[1],
            rows[r].same, rows[r].is_finite[0],      rows[r].is_finite[1]};

        memcpy(values + 6 * r, row, sizeof row);
    }
    return st == GQA_OK
               ? side->backend->upload(side->device, side->p[2], values,
                                       c->n_rows * 6 * sizeof *values)
               : st;
}

static void check_compare(uint64_t vocab)
{
    struct loss_case c = {.n_rows = vocab > 2000 ? 9 : MOST_LOSS_ROWS,
                          .vocab = vocab};
    const size_t n = (size_t)(c.n_rows * vocab);
    int32_t label[MOST_LOSS_ROWS];
    struct trial t = {.n = 0};
    double *original, *converted;
    int first, second;

    for (uint64_t r = 0; r < c.n_rows; r++)
        label[r] = r % 5 == 2 ? -1 : (int32_t)random_below(vocab);
    c.label = label;
    first = trial_input(&t, n, GQA_F32);
    second = trial_input(&t, n, GQA_F32);
    original = trial_host(&t, first);
    converted = trial_host(&t, second);
    for (size_t i = 0; i < n; i++)
        converted[i] = original[i] + 0.1 * converted[i];
    /* Equals, and what is no number, in either. */
    original[vocab - 1] = original[0] = 9;
    converted[vocab] = INFINITY;
    original[2 * vocab] = NAN;
    trial_result(&t, "comparisons", c.n_rows * 6, GQA_F64, 1e-9);
    trial_run(&t, call_compare, &c, "comparison of %llu",
              (unsigned long long)vocab);
}

static void check_losses(void)
{
    static const uint64_t vocabs[] = {2, 33, 384, 1025, 32003};

    for (size_t i = 0; i < sizeof vocabs / sizeof *vocabs; i++) {
        struct loss_case c = {.n_rows = vocabs[i] > 2000 ? 9 : MOST_LOSS_ROWS,
                              .vocab = vocabs[i],
                              .kl = 1,
                              .temperature = 1,
                              .teacher = true};

        check_loss(c);
        c.near = true;
        check_loss(c);
        c.near = false;
        c.labels = true;
        c.reverse_kl = 0.4;
        c.cross_entropy = 0.3;
        check_loss(c);
        c.temperature = 2.5;
        check_loss(c);
        c.soft_cap = 20;
        check_loss(c);
        c.teacher = false;
        check_loss(c);
        c.kl = c.cross_entropy = 0;
        c.teacher = true;
        check_loss(c);
        check_compare(vocabs[i]);
    }
}

/* --- Steps ------------------------------------------------------------------
 */

static enum gqa_status call_norm2(const struct side *side, const void *ctx)
{
    return side->backend->gradients->norm2(side->device, side->p[1], side->p[0],
                                           *(const uint64_t *)ctx);
}

static void check_norm2(uint64_t n)
{
    struct trial t = {.n = 0};

    trial_input(&t, n, GQA_F32);
    trial_sum(&t, "sum", 1, GQA_F64, 1e-9);
    trial_run(&t, call_norm2, &n, "norm of %llu", (unsigned long long)n);
}

struct step_case {
    uint64_t n_rows, n_cols, step;
    enum gqa_dtype copy;
    bool has_copy;
};

static double copy_error(const struct step_case *c)
{
    return c->copy == GQA_BF16 ? 3.92e-3 : c->copy == GQA_F16 ? 4.9e-4 : 1e-5;
}

static enum gqa_status call_adamw(const struct side *side, const void *ctx)
{
    const struct step_case *c = ctx;
    const struct gqa_adamw_op op = {
        .weights = side->p[0],
        .mean = side->p[1],
        .square = side->p[2],
        .gradients = side->p[3],
        .n = c->n_cols,
        .gradient_scale = 0.3,
        .rate = 1e-2,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .decay = 0.1,
        .step = c->step,
        .copy = c->has_copy ? side->p[4] : NULL,
        .copy_dtype = side->is_cpu ? GQA_F64 : c->copy,
    };

    return side->backend->gradients->adamw(side->device, &op);
}

static void make_positive(struct trial *t, int operand)
{
    double *x = trial_host(t, operand);

    for (size_t i = 0; i < t->operands[operand].array.n; i++)
        x[i] = fabs(x[i]) + 1e-3;
}

static void check_adamw(const struct step_case *c)
{
    struct trial t = {.n = 0};

    trial_sum(&t, "weights", c->n_cols, GQA_F32, 1e-6);
    trial_sum(&t, "mean", c->n_cols, GQA_F32, 1e-6);
    make_positive(&t, trial_sum(&t, "square", c->n_cols, GQA_F32, 1e-6));
    trial_input(&t, c->n_cols, GQA_F32);
    trial_result(&t, "copy", c->n_cols, c->copy, copy_error(c));
    trial_run(&t, call_adamw, c, "AdamW of %llu, step %llu, %s",
              (unsigned long long)c->n_cols, (unsigned long long)c->step,
              c->has_copy ? gqa_dtype_name(c->copy) : "no copy");
}

static enum gqa_status call_adafactor(const struct side *side, const void *ctx)
{
    const struct step_case *c = ctx;
    const struct gqa_adafactor_op op = {
        .weights = side->p[0],
        .row = c->n_rows > 1 ? side->p[1] : NULL,
        .col = side->p[2],
        .gradients = side->p[3],
        .n_rows = c->n_rows,
        .n_cols = c->n_cols,
        .gradient_scale = 0.3,
        .rate = 1e-2,
        .decay_power = 0.8,
        .eps = 1e-30,
        .clip = 1,
        .weight_decay = 0.1,
        .step = c->step,
        .copy = c->has_copy ? side->p[4] : NULL,
        .copy_dtype = side->is_cpu ? GQA_F64 : c->copy,
    };

    return side->backend->gradients->adafactor(side->device, &op);
}

static void check_adafactor(const struct step_case *c)
{
    const size_t n = (size_t)(c->n_rows * c->n_cols);
    struct trial t = {.n = 0};

    trial_sum(&t, "weights", n, GQA_F32, 1e-6);
    make_positive(&t, trial_sum(&t, "row", c->n_rows, GQA_F32, 1e-6));
    make_positive(&t, trial_sum(&t, "col", c->n_cols, GQA_F32, 1e-6));
    trial_input(&t, n, GQA_F32);
    trial_result(&t, "copy", n, c->copy, copy_error(c));
    trial_run(&t, call_adafactor, c, "Adafactor of %llu x %llu, step %llu, %s",
              (unsigned long long)c->n_rows, (unsigned long long)c->n_cols,
              (unsigned long long)c->step,
              c->has_copy ? gqa_dtype_name(c->copy) : "no copy");
}

static void check_steps(void)
{
    static const uint64_t shapes[][2] = {
        {1, 5}, {1, 1003}, {3, 4}, {70, 65}, {257, 40}, {600, 1001},
    };

    check_norm2(1);
    check_norm2(8192);
    check_norm2(100003);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct step_case c = {shapes[i][0], shapes[i][1], 1, dtypes[i % 4],
                              true};

        check_adafactor(&c);
        c.n_cols *= c.n_rows;
        check_adamw(&c);
        c.step = 7;
        c.has_copy = i % 2;
        check_adamw(&c);
        c.n_cols = shapes[i][1];
        check_adafactor(&c);
    }
}

static void tests(void)
{
    static const uint64_t linear[][3] = {
        {1, 1, 1},     {5, 7, 3},       {64, 64, 128},
        {200, 33, 65}, {513, 256, 192}, {3000, 96, 100},
    };

    for (uint64_t n = 1; n < 20000; n = n * 7 + 1)
        check_memory(n);
    for (unsigned i = 0; i < 4; i++) {
        check_convert(dtypes[i], 1003);
        check_convert(dtypes[i], 4096);
    }
    check_embed(&(struct embed_case){64, 1, false});
    check_embed(&(struct embed_case){67, 0.5, true});
    check_embed(&(struct embed_case){600, 4, true});
    for (unsigned i = 0; i < 32; i++) {
        check_all_heads(&places[i % 2], HEAD_DIM, 3, i / 2);
        check_all_heads(&whole_places[i % 2], WHOLE_DIM, 16, i / 2);
    }
    check_norms();
    for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
        for (unsigned flags = 1; flags < 8; flags++)
            if (flags & 3)
                check_linear(&(struct linear_case){linear[i][0], linear[i][1],
                                                   linear[i][2], flags & 4,
                                                   flags & 1, flags & 2});
    for (int which = GQA_ACTIVATION_RELU; which <= GQA_ACTIVATION_GELU_BLOOM;
         which++) {
        struct activate_case c = {.which = (enum gqa_activation)which, .n = 33};

        check_activate(&c);
        c.in_place = true;
        check_activate(&c);
        c.up = true;
        c.n = 10007;
        check_activate(&c);
        c.in_place = false;
        check_activate(&c);
        c.n_rows = 90;
        c.n = 7;
        c.d_width = 15;
        check_activate(&c);
        c.n = 24;
        c.d_width = 48;
        check_activate(&c);
        check_activation_ends(c.which);
    }
    check_squares(1);
    check_squares(1000);
    check_xielu(1);
    check_xielu(10007);
    if (!gpu.small)
        check_xielu(5000011);
    check_clip(3);
    check_clip(10007);
    check_dots(1);
    check_dots(33);
    check_dots(4097);
    check_losses();
    check_steps();
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
