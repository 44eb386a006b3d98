/* q, k, v and o of an attention fitted together: its loss against arithmetic of
 * a few lines, the way back against differences, and what the fit may change.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/attention_fit.h"
#include "align/attention_metric.h"
#include "align/quasi_newton.h"
#include "cpu_device.h"
#include "suite.h"

/* --- The least value of a function ---------------------------------------- */

enum { N = 12, MOST_STEPS = 200 };

/* A bowl that is flat along some axes, and Rosenbrock's valley. */
struct function {
    bool valley, blows_up;
    unsigned n_steps, n_stop; /* seen, and where to stop */
    double least;             /* value that was seen last */
};

static double valley(const double *x, double *g)
{
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];

    memset(g, 0, N * sizeof *g);
    g[0] = -2 * a - 400 * x[0] * b;
    g[1] = 200 * b;
    return a * a + 100 * b * b;
}

static double bowl(const double *x, double *g)
{
    double sum = 0;

    for (int i = 0; i < N; i++) {
        const double steep = pow(10, i % 4);

        g[i] = steep * (x[i] - i);
        sum += steep * (x[i] - i) * (x[i] - i) / 2;
    }
    return sum;
}

static enum gqa_status evaluate(void *ctx, const double *x, double *value,
                                double *gradient)
{
    const struct function *f = ctx;

    *value = f->valley ? valley(x, gradient) : bowl(x, gradient);
    /* Far away there is nothing to be seen. */
    if (f->blows_up && x[0] > 0.5)
        *value = NAN;
    return GQA_OK;
}

static enum gqa_status divide_by_half(void *ctx, double *x)
{
    (void)ctx;
    for (int i = 0; i < N; i++)
        x[i] /= 2;
    return GQA_OK;
}

/* No step goes up. */
static enum gqa_status see(void *ctx, const double *x, bool *stop)
{
    struct function *f = ctx;
    double gradient[N];
    const double value = f->valley ? valley(x, gradient) : bowl(x, gradient);

    ck_assert_double_lt(value, f->least);
    f->least = value;
    *stop = ++f->n_steps == f->n_stop;
    return GQA_OK;
}

static enum gqa_status find(double *x, struct function *f)
{
    f->least = INFINITY;
    return gqa_quasi_newton(
        x, &(struct gqa_quasi_newton_job){.n = N,
                                          .n_steps = MOST_STEPS,
                                          .n_threads = 2,
                                          .ctx = f,
                                          .evaluate = evaluate,
                                          .divide = divide_by_half,
                                          .see = see});
}

START_TEST(finds_the_least)
{
    struct function f = {.valley = _i};
    double x[N] = {-1.2, 1};

    ck_assert_int_eq(find(x, &f), GQA_OK);
    for (int i = 0; i < (_i ? 2 : N); i++)
        ck_assert_double_le(fabs(x[i] - (_i ? 1 : i)), 1e-6);
}
END_TEST

START_TEST(goes_no_farther_than_it_may)
{
    struct function f = {.valley = true, .n_stop = 3};
    double x[N] = {-1.2, 1};

    ck_assert_int_eq(find(x, &f), GQA_OK);
    ck_assert_uint_eq(f.n_steps, 3);
    /* What is not finite is no step. */
    f = (struct function){.valley = true, .blows_up = true};
    x[0] = -1.2;
    x[1] = 1;
    ck_assert_int_eq(find(x, &f), GQA_OK);
    ck_assert_double_le(x[0], 0.5);
    x[0] = 1;
    ck_assert_int_eq(find(x, &f), GQA_ERR_FORMAT);
}
END_TEST

/* --- An attention --------------------------------------------------------- */

enum {
    HEADS = 4,
    POOLED = 2,
    DIM = 4,
    WIDTH = 6,  /* of the stream */
    MEMORY = 5, /* of what a cross-attention looks at */
    FIT = 6,    /* sequences; two more are held out */
    PARTS = 3,
    OUTPUTS = HEADS * DIM,
    SHARED = POOLED * DIM, /* outputs of k and v */
    Q = GQA_PROJECTION_Q,
    O = GQA_PROJECTION_O,
    PROJECTIONS = GQA_N_PROJECTIONS,
};

/* What attentions differ in. */
struct kind {
    bool cross, causal, turns, slopes, table, biases;
    uint64_t window;
    double soft_cap;
};

static const struct kind kinds[] = {
    {.causal = true, .turns = true},
    {.causal = true, .turns = true, .biases = true, .window = 3},
    {.causal = true, .slopes = true, .soft_cap = 2},
    {.cross = true},
    {.cross = true, .biases = true},
    {.causal = true, .table = true},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const double slopes[HEADS] = {0.5, 0.25, 0.125, 0.0625};
static double frequency[DIM / 2] = {1, 0.1};
static const struct gqa_rope rope = {.n_pairs = DIM / 2,
                                     .magnitude = 1.25,
                                     .theta = 100,
                                     .frequency = frequency};
enum { BUCKETS = 4 };
static const double table[BUCKETS * HEADS] = {1, 0.5, -1, 2, 0.3, 1, -2, 0,
                                              1, 0.1, -1, 1, 2,   0, 1,  -0.5};

struct problem {
    struct kind kind;
    struct gqa_attention attention;
    struct gqa_attention_block block;
    struct gqa_score_records records;
    struct gqa_head_rows rows[PROJECTIONS];
    uint64_t n_new, n_keys; /* tokens, and those that are looked at */
    double *x[PARTS], *y[PARTS], *aim[PARTS], *weight[PARTS];
    struct gqa_attention_loss_job job;
};

static uint64_t n_of_part(size_t i)
{
    return i == 0 ? FIT : 1;
}

static uint64_t inputs_of_keys(const struct problem *p)
{
    return p->kind.cross ? MEMORY : WIDTH;
}

static void make_part(struct problem *p, size_t i)
{
    struct gqa_score_part *part = &p->records.parts[i];
    const uint64_t n = n_of_part(i);
    double *weights = make(n * p->n_new * HEADS, sizeof *weights);

    part->held_out = i > 0;
    part->n_sequences = n;
    part->n_new = p->n_new;
    part->n_keys = p->n_keys;
    part->n_tokens = make(n, sizeof *part->n_tokens);
    part->key_counts = make(n, sizeof *part->key_counts);
    p->weight[i] = make(n * p->n_new, sizeof *p->weight[i]);
    for (uint64_t s = 0; s < n; s++) {
        part->n_tokens[s] = p->n_new - s % 3;
        part->key_counts[s] = p->n_keys - s % 3;
        for (uint64_t t = 0; t < part->n_tokens[s]; t++)
            p->weight[i][s * p->n_new + t] = 1 + draw() / 2;
    }
    for (uint64_t r = 0; r < n * p->n_new * HEADS; r++)
        weights[r] = p->weight[i][r / HEADS];
    part->weights = rounded(weights, n * p->n_new * HEADS, real);
    part->x = drawn(&p->x[i], n * p->n_new * WIDTH, real);
    if (p->kind.cross)
        part->y = drawn(&p->y[i], n * p->n_keys * MEMORY, real);
    part->aim = drawn(&p->aim[i], n * p->n_new * WIDTH, real);
    part->k_rows = make(n * p->n_keys * OUTPUTS, bytes_of(real));
    free(weights);
}

static void make_rows(struct problem *p, int i)
{
    struct gqa_head_rows *rows = &p->rows[i];
    const bool keys = i != Q && i != O;

    rows->n = keys ? SHARED : OUTPUTS;
    rows->inputs = keys ? inputs_of_keys(p) : WIDTH;
    rows->dtype = GQA_F64;
    rows->weight = make(rows->n * rows->inputs, sizeof *rows->weight);
    for (uint64_t j = 0; j < rows->n * rows->inputs; j++)
        rows->weight[j] = draw();
    if (!p->kind.biases || i == O)
        return;
    rows->bias = make(rows->n, sizeof *rows->bias);
    for (uint64_t j = 0; j < rows->n; j++)
        rows->bias[j] = draw();
}

/* many: more than the way back takes at a time. */
static void make_problem(struct problem *p, const struct kind *kind, bool many)
{
    const struct gqa_head_place place = {HEADS, 0, HEADS, 0};

    memset(p, 0, sizeof *p);
    p->kind = *kind;
    p->n_new = many ? 70 : 7;
    p->n_keys = !kind->cross ? p->n_new : many ? 300 : 9;
    p->attention = (struct gqa_attention){
        .n_heads = HEADS,
        .n_kv_heads = HEADS,
        .head_dim = DIM,
        .kind = kind->cross ? GQA_ATTENTION_CROSS : GQA_ATTENTION_SELF};
    p->block = (struct gqa_attention_block){
        .heads = &p->attention,
        .rope = kind->turns ? &rope : NULL,
        .bias = {.table = kind->table ? 0 : GQA_NO_PARAM,
                 .n_buckets = BUCKETS,
                 .max_distance = 8},
        .slopes = kind->slopes ? slopes : NULL,
        .scale = 0.5,
        .soft_cap = kind->soft_cap,
        .causal = kind->causal,
        .window = kind->window};
    p->records = (struct gqa_score_records){.backend = backend,
                                            .device = device,
                                            .real = real,
                                            .block = &p->block,
                                            .n_parts = PARTS,
                                            .k_width = OUTPUTS,
                                            .k_place = place};
    p->records.parts = make(PARTS, sizeof *p->records.parts);
    for (size_t i = 0; i < PARTS; i++)
        make_part(p, i);
    ck_assert_int_eq(gqa_score_records_finish(&p->records), GQA_OK);
    p->job =
        (struct gqa_attention_loss_job){.records = &p->records,
                                        .becomes = &p->block,
                                        .pooled = POOLED,
                                        .table = kind->table ? table : NULL};
    for (int i = 0; i < PROJECTIONS; i++) {
        make_rows(p, i);
        p->job.rows[i] = &p->rows[i];
    }
}

static void clear_problem(struct problem *p)
{
    gqa_score_records_clear(&p->records);
    for (int i = 0; i < PROJECTIONS; i++)
        gqa_head_rows_clear(&p->rows[i]);
    for (size_t i = 0; i < PARTS; i++) {
        free(p->x[i]);
        free(p->y[i]);
        free(p->aim[i]);
        free(p->weight[i]);
    }
}

/* --- The same in a few lines ---------------------------------------------- */

static void turn(double *head, uint64_t position)
{
    for (int j = 0; j < DIM / 2; j++) {
        const double angle = (double)position * frequency[j];
        const double a = head[j], b = head[j + DIM / 2];

        head[j] = rope.magnitude * (a * cos(angle) - b * sin(angle));
        head[j + DIM / 2] = rope.magnitude * (b * cos(angle) + a * sin(angle));
    }
}

/* Head h of a projection of row x, of position `at`. */
static void project(double out[DIM], const struct problem *p, int i, uint64_t h,
                    const double *x, uint64_t at)
{
    const struct gqa_head_rows *rows = &p->rows[i];

    for (uint64_t d = 0; d < DIM; d++) {
        const uint64_t row = h * DIM + d;

        out[d] = rows->bias ? rows->bias[row] : 0;
        for (uint64_t j = 0; j < rows->inputs; j++)
            out[d] += rows->weight[row * rows->inputs + j] * x[j];
    }
    if (p->kind.turns && i != GQA_PROJECTION_V)
        turn(out, at);
}

static const double *key_row(const struct problem *p, size_t part, uint64_t s,
                             uint64_t c)
{
    return p->kind.cross ? p->y[part] + (s * p->n_keys + c) * MEMORY
                         : p->x[part] + (s * p->n_new + c) * WIDTH;
}

/* -INFINITY where the key is not seen. Buckets: a distance each up to two,
 * then one for more, as there are four of them. */
static double score(const struct problem *p, const double q[DIM], size_t part,
                    uint64_t s, uint64_t h, uint64_t t, uint64_t c)
{
    const struct gqa_score_part *records = &p->records.parts[part];
    const uint64_t n =
        p->kind.cross ? records->key_counts[s] : records->n_tokens[s];
    double k[DIM], sum = 0;

    if (c >= n || (p->kind.causal && c > t) ||
        (p->kind.window > 0 && c + p->kind.window <= t))
        return -INFINITY;
    project(k, p, GQA_PROJECTION_K, h / (HEADS / POOLED),
            key_row(p, part, s, c), c);
    for (int d = 0; d < DIM; d++)
        sum += p->block.scale * q[d] * k[d];
    if (p->kind.soft_cap > 0)
        sum = p->kind.soft_cap * tanh(sum / p->kind.soft_cap);
    if (p->kind.slopes)
        sum -= slopes[h] * (double)(t - c);
    return sum;
}

static void add_head(double out[WIDTH], const struct problem *p, size_t part,
                     uint64_t s, uint64_t h, uint64_t t)
{
    double q[DIM], v[DIM], z[DIM] = {0}, all = 0;

    project(q, p, Q, h, p->x[part] + (s * p->n_new + t) * WIDTH, t);
    for (uint64_t c = 0; c < p->n_keys; c++) {
        const double e = exp(score(p, q, part, s, h, t, c));

        project(v, p, GQA_PROJECTION_V, h / (HEADS / POOLED),
                key_row(p, part, s, c), c);
        for (int d = 0; d < DIM; d++)
            z[d] += e * v[d];
        all += e;
    }
    for (int d = 0; d < DIM; d++)
        for (int j = 0; j < WIDTH; j++)
            out[j] +=
                z[d] / all *
                p->rows[O]
                    .weight[(h * DIM + (uint64_t)d) * WIDTH + (uint64_t)j];
}

static double loss_of_part(const struct problem *p, size_t part)
{
    double sum = 0;

    for (uint64_t r = 0; r < n_of_part(part) * p->n_new; r++) {
        double out[WIDTH] = {0};

        if (p->weight[part][r] == 0)
            continue;
        for (uint64_t h = 0; h < HEADS; h++)
            add_head(out, p, part, r / p->n_new, h, r % p->n_new);
        for (uint64_t j = 0; j < WIDTH; j++) {
            const double missing = p->aim[part][r * WIDTH + j] - out[j];

            sum += p->weight[part][r] * missing * missing / 2;
        }
    }
    return sum;
}

static double *all_weights(const struct problem *p,
                           const struct gqa_attention_loss *l)
{
    double *w = make(gqa_attention_loss_at(l, PROJECTIONS), sizeof *w);

    for (int i = 0; i < PROJECTIONS; i++)
        memcpy(w + gqa_attention_loss_at(l, i), p->rows[i].weight,
               p->rows[i].n * p->rows[i].inputs * sizeof *w);
    return w;
}

static struct gqa_attention_loss *open_loss(const struct problem *p, double **w)
{
    struct gqa_attention_loss *l = NULL;

    ck_assert_int_eq(gqa_attention_loss_create(&l, &p->job), GQA_OK);
    *w = all_weights(p, l);
    return l;
}

START_TEST(loses_what_it_says)
{
    const bool wide = _i % 2;
    const double limit = wide ? 1e-12 : 1e-5;
    struct problem p;
    struct gqa_attention_loss *l;
    double *w, *gradient, value, held[PARTS - 1];

    /* Where positions count by a table, its buckets are tested elsewhere. */
    if (kinds[_i / 2].table)
        return;
    open_device(wide ? GQA_F64 : GQA_F32, 2);
    make_problem(&p, &kinds[_i / 2], false);
    l = open_loss(&p, &w);
    gradient = make(gqa_attention_loss_at(l, PROJECTIONS), sizeof *gradient);
    ck_assert_int_eq(gqa_attention_loss_differentiate(l, w, &value, gradient),
                     GQA_OK);
    ck_assert_double_le(fabs(value / loss_of_part(&p, 0) - 1), limit);
    ck_assert_uint_eq(gqa_attention_loss_n_held(l), PARTS - 1);
    ck_assert_int_eq(gqa_attention_loss_hold(l, w, held), GQA_OK);
    for (size_t i = 0; i < PARTS - 1; i++)
        ck_assert_double_le(fabs(held[i] / loss_of_part(&p, i + 1) - 1), limit);
    gqa_attention_loss_free(l);
    free(w);
    free(gradient);
    clear_problem(&p);
    close_device();
}
END_TEST

static double value_at(struct gqa_attention_loss *l, const double *w,
                       const double *direction, double step, double *room)
{
    const uint64_t n = gqa_attention_loss_at(l, PROJECTIONS);
    double *moved = make(n, sizeof *moved), value;

    for (uint64_t i = 0; i < n; i++)
        moved[i] = w[i] + step * direction[i];
    ck_assert_int_eq(gqa_attention_loss_differentiate(l, moved, &value, room),
                     GQA_OK);
    free(moved);
    return value;
}

/* Along a direction of each projection by itself, differences of four points
 * agree with the gradient. */
START_TEST(goes_back)
{
    const double h = 1e-3;
    struct problem p;
    struct gqa_attention_loss *l;
    double *w, *gradient, *direction, *room, value;
    uint64_t n;

    open_device(GQA_F64, 2);
    make_problem(&p, &kinds[_i], true);
    l = open_loss(&p, &w);
    n = gqa_attention_loss_at(l, PROJECTIONS);
    gradient = make(n, sizeof *gradient);
    room = make(n, sizeof *room);
    ck_assert_int_eq(gqa_attention_loss_differentiate(l, w, &value, gradient),
                     GQA_OK);
    for (int i = 0; i < PROJECTIONS; i++) {
        double slope = 0, found;

        direction = make(n, sizeof *direction);
        for (uint64_t j = gqa_attention_loss_at(l, i);
             j < gqa_attention_loss_at(l, i + 1); j++) {
            direction[j] = draw();
            slope += direction[j] * gradient[j];
        }
        found = (8 * (value_at(l, w, direction, h, room) -
                      value_at(l, w, direction, -h, room)) -
                 (value_at(l, w, direction, 2 * h, room) -
                  value_at(l, w, direction, -2 * h, room))) /
                (12 * h);
        ck_assert_double_le(fabs(found - slope), 1e-7 * (1 + fabs(slope)));
        free(direction);
    }
    gqa_attention_loss_free(l);
    free(w);
    free(gradient);
    free(room);
    clear_problem(&p);
    close_device();
}
END_TEST

/* --- Curvature ------------------------------------------------------------ */

/* What is divided by is symmetric and positive, and the same for any number of
 * threads. */
START_TEST(divides_by_something_positive)
{
    struct problem p;
    struct gqa_attention_loss *l;
    struct gqa_attention_metric *metric[2] = {NULL, NULL};
    double *w, *a, *b, *given_a, *given_b, ab = 0, ba = 0, aa = 0;
    uint64_t n;

    open_device(GQA_F64, 2);
    make_problem(&p, &kinds[_i], false);
    l = open_loss(&p, &w);
    n = gqa_attention_loss_at(l, PROJECTIONS);
    given_a = make(n, sizeof *given_a);
    given_b = make(n, sizeof *given_b);
    a = make(n, sizeof *a);
    b = make(n, sizeof *b);
    for (uint64_t i = 0; i < n; i++) {
        a[i] = given_a[i] = draw();
        b[i] = given_b[i] = draw();
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(
            gqa_attention_metric_create(&metric[i], l, &p.job, w, i + 1),
            GQA_OK);
    ck_assert_int_eq(gqa_attention_metric_divide(metric[0], a), GQA_OK);
    ck_assert_int_eq(gqa_attention_metric_divide(metric[0], b), GQA_OK);
    for (uint64_t i = 0; i < n; i++) {
        ab += given_a[i] * b[i];
        ba += given_b[i] * a[i];
        aa += given_a[i] * a[i];
    }
    ck_assert_double_gt(aa, 0);
    ck_assert_double_le(fabs(ab - ba), 1e-10 * aa);
    ck_assert_int_eq(gqa_attention_metric_divide(metric[1], given_a), GQA_OK);
    ck_assert_mem_eq(given_a, a, n * sizeof *a);
    gqa_attention_metric_free(metric[0]);
    gqa_attention_metric_free(metric[1]);
    gqa_attention_loss_free(l);
    free(w);
    free(a);
    free(b);
    free(given_a);
    free(given_b);
    clear_problem(&p);
    close_device();
}
END_TEST

/* --- The fit -------------------------------------------------------------- */

/* What the attention adds as it is becomes what it should, and then its weights
 * are changed. */
static void make_known(struct problem *p, const struct kind *kind, double off)
{
    make_problem(p, kind, false);
    for (size_t i = 0; i < PARTS; i++) {
        const uint64_t n = n_of_part(i) * p->n_new;

        memset(p->aim[i], 0, n * WIDTH * sizeof *p->aim[i]);
        for (uint64_t r = 0; r < n; r++)
            for (uint64_t h = 0; h < HEADS; h++)
                add_head(p->aim[i] + r * WIDTH, p, i, r / p->n_new, h,
                         r % p->n_new);
        gqa_store_f64(p->records.parts[i].aim, real, p->aim[i], n * WIDTH);
    }
    for (int i = 0; i < PROJECTIONS; i++)
        for (uint64_t j = 0; j < p->rows[i].n * p->rows[i].inputs; j++)
            p->rows[i].weight[j] += off * draw();
}

static double held_loss(const struct problem *p)
{
    double sum = 0;

    for (size_t i = 1; i < PARTS; i++)
        sum += loss_of_part(p, i);
    return sum;
}

static bool fit(struct problem *p, unsigned n_threads)
{
    struct gqa_head_rows *const rows[] = {&p->rows[0], &p->rows[1], &p->rows[2],
                                          &p->rows[3]};
    bool changed = false;

    ck_assert_int_eq(gqa_attention_fit(rows, &changed, &p->job, n_threads),
                     GQA_OK);
    return changed;
}

/* Where there is something to be had it is, on what was not fitted to; on any
 * number of threads alike. */
START_TEST(finds_what_was_lost)
{
    struct problem p, again;
    double before;

    open_device(reals[_i % 2], 2);
    make_known(&p, &kinds[_i / 2], 0.1);
    before = held_loss(&p);
    ck_assert(fit(&p, 1));
    ck_assert_double_le(held_loss(&p), 0.5 * before);
    clear_problem(&p);
    seed_draws(7);
    make_known(&p, &kinds[_i / 2], 0.1);
    seed_draws(7);
    make_known(&again, &kinds[_i / 2], 0.1);
    ck_assert(fit(&p, 1) == fit(&again, 3));
    for (int i = 0; i < PROJECTIONS; i++)
        ck_assert_mem_eq(p.rows[i].weight, again.rows[i].weight,
                         p.rows[i].n * p.rows[i].inputs * sizeof(double));
    clear_problem(&p);
    clear_problem(&again);
    close_device();
}
END_TEST

/* What gains nothing where it was held out stays as it is, to the bit: nothing
 * of it counts here. And what one sequence would lose by is not taken. */
START_TEST(keeps_what_gains_nothing)
{
    struct problem p;
    double *was[PROJECTIONS];

    open_device(GQA_F64, 1);
    make_known(&p, &kinds[0], 0.1);
    for (int i = 0; i < PROJECTIONS; i++) {
        const size_t n_bytes = p.rows[i].n * p.rows[i].inputs * sizeof *was[i];

        was[i] = make(n_bytes, 1);
        memcpy(was[i], p.rows[i].weight, n_bytes);
    }
    for (size_t i = 1; i < PARTS; i++)
        memset(p.records.parts[i].weights, 0, p.n_new * HEADS * sizeof(double));
    ck_assert(!fit(&p, 1));
    for (int i = 0; i < PROJECTIONS; i++) {
        ck_assert_mem_eq(p.rows[i].weight, was[i],
                         p.rows[i].n * p.rows[i].inputs * sizeof *was[i]);
        free(was[i]);
    }
    clear_problem(&p);
    close_device();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention_fit");
    TCase *tc = tcase_create("core");

    tcase_add_loop_test(tc, finds_the_least, 0, 2);
    tcase_add_test(tc, goes_no_farther_than_it_may);
    tcase_add_loop_test(tc, loses_what_it_says, 0, 2 * N_KINDS);
    tcase_add_loop_test(tc, goes_back, 0, N_KINDS);
    tcase_add_loop_test(tc, divides_by_something_positive, 0, N_KINDS);
    tcase_add_loop_test(tc, finds_what_was_lost, 0, 2 * (N_KINDS - 1));
    tcase_add_test(tc, keeps_what_gains_nothing);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
