/* Operations on rows backwards, against differences of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradient_check.h"
#include "runtime/measure/fidelity.h"
#include "suite.h"

enum { SEQUENCES = 3, NEW = 7, ROWS = SEQUENCES * NEW };

static const uint64_t n_tokens[SEQUENCES] = {7, 3, 5};

/* What a case is about; the operation's own part of it. */
struct row_ctx {
    const void *wanted;
    void *w;   /* weights of the scalar: the gradient of what is made */
    void *out; /* what is made */
    size_t n;  /* of both */
    void *more[3];
    void *op;
};

static int32_t tokens[ROWS];

static bool is_padding(size_t row)
{
    return row % NEW >= n_tokens[row / NEW];
}

static void set_batch(void)
{
    static const uint64_t starts[SEQUENCES];

    for (int i = 0; i < ROWS; i++)
        tokens[i] = i * i % 5;
    ck_assert_int_eq(
        backend->set_batch(device, &(struct gqa_batch){SEQUENCES, NEW, tokens,
                                                       n_tokens, starts}),
        GQA_OK);
}

/* A context whose result has n values, of rows whose padding counts as 0. */
static struct row_ctx *begin(struct problem *p, const void *wanted, size_t n,
                             bool padded)
{
    struct row_ctx *c = make(1, sizeof *c);

    set_batch();
    c->wanted = wanted;
    c->n = n;
    c->w = drawn_reals(n);
    c->out = zero_reals(n);
    for (size_t r = 0; padded && r < ROWS; r++)
        if (is_padding(r))
            memset((char *)c->w + r * (n / ROWS) * bytes_of(real), 0,
                   n / ROWS * bytes_of(real));
    p->ctx = c;
    return c;
}

static void end(struct problem *p)
{
    struct row_ctx *c = p->ctx;

    free(c->w);
    free(c->out);
    free(c->op);
    for (int i = 0; i < 3; i++)
        free(c->more[i]);
    free(c);
    end_problem(p);
}

static double scalar(const struct row_ctx *c)
{
    return dot(c->out, c->w, c->n);
}

static struct gqa_weight weight_of(const void *data, uint64_t rows,
                                   uint64_t cols)
{
    return (struct gqa_weight){data, real, rows, cols};
}

/* --- Norms ---------------------------------------------------------------- */

enum { WIDTH = 37 };

struct norm_case {
    enum gqa_norm_kind kind;
    bool one_plus, weighed, biased, accumulate, in_place;
};

static const struct norm_case norms[] = {
    {GQA_NORM_RMS, false, true, false, false, false},
    {GQA_NORM_RMS, true, true, false, true, false},
    {GQA_NORM_LAYER, false, true, true, false, true},
    {GQA_NORM_LAYER, false, false, false, true, false},
    {GQA_NORM_RMS, false, false, false, false, true},
    {GQA_NORM_LAYER, true, true, true, true, false},
};

enum { N_NORMS = sizeof norms / sizeof *norms };

/* Of `width`; the vectors are variables 1 and 2. */
struct norm_op {
    struct gqa_weight weight, bias;
    struct gqa_norm_op op;
};

static struct norm_op *norm_op(struct problem *p, const struct norm_case *n,
                               uint64_t width)
{
    struct norm_op *op = make(1, sizeof *op);

    op->op = (struct gqa_norm_op){
        .kind = n->kind, .eps = 0.01, .one_plus = n->one_plus};
    if (n->weighed) {
        op->weight = weight_of(add_variable(p, "weight", width), 1, width);
        op->op.weight = &op->weight;
    }
    if (n->biased) {
        op->bias = weight_of(add_variable(p, "bias", width), 1, width);
        op->op.bias = &op->bias;
    }
    return op;
}

static void *gradient_of(const struct problem *p, const char *name)
{
    for (size_t i = 0; i < p->n_variables; i++)
        if (strcmp(p->variables[i].name, name) == 0)
            return p->variables[i].dx;
    return NULL;
}

static double norm_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct norm_case *n = c->wanted;
    const struct norm_op *op = c->op;

    memcpy(c->out, p->variables[0].x, c->n * sizeof(double));
    ck_assert_int_eq(backend->norm(device, c->out, p->variables[0].x, ROWS,
                                   WIDTH, &op->op, n->accumulate),
                     GQA_OK);
    return scalar(c);
}

static void norm_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct norm_case *n = c->wanted;
    const struct norm_op *op = c->op;
    void *dx = p->variables[0].dx;

    /* x + norm(x): the stream's own gradient is there already. */
    if (n->accumulate || n->in_place)
        memcpy(dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(ops.norm(device, dx, gradient_of(p, "weight"),
                              gradient_of(p, "bias"), p->variables[0].x,
                              n->in_place ? dx : c->w, ROWS, WIDTH, &op->op,
                              n->accumulate),
                     GQA_OK);
}

static void make_norm(struct problem *p, const void *wanted)
{
    struct row_ctx *c = begin(p, wanted, (size_t)ROWS * WIDTH, false);

    add_variable(p, "x", c->n);
    c->op = norm_op(p, wanted, WIDTH);
    p->value = norm_value;
    p->back = norm_back;
}

static const struct gradient_test norm_test = {make_norm, end};

START_TEST(norms_go_back)
{
    check_gradients(&norm_test, &norms[_i]);
}
END_TEST

/* --- Norms of heads ------------------------------------------------------- */

enum { DIM = 6, HEADS_WIDTH = 29 };

/* Two heads from 1 on, and two from 16 on. */
static const struct gqa_head_place place = {4, 1, 2, 15};

static double heads_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct norm_op *op = c->op;

    memcpy(c->out, p->variables[0].x, c->n * sizeof(double));
    ck_assert_int_eq(
        backend->norm_heads(device, c->out, HEADS_WIDTH, &place, DIM, &op->op),
        GQA_OK);
    return scalar(c);
}

static void heads_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct norm_op *op = c->op;
    void *dx = p->variables[0].dx;

    memcpy(dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(ops.norm_heads(device, dx, gradient_of(p, "weight"),
                                    gradient_of(p, "bias"), p->variables[0].x,
                                    HEADS_WIDTH, &place, DIM, &op->op),
                     GQA_OK);
}

static void make_heads(struct problem *p, const void *wanted)
{
    struct row_ctx *c = begin(p, wanted, (size_t)ROWS * HEADS_WIDTH, true);

    add_variable(p, "x", c->n);
    c->op = norm_op(p, wanted, DIM);
    p->value = heads_value;
    p->back = heads_back;
}

static const struct gradient_test heads_test = {make_heads, end};

START_TEST(norms_of_heads_go_back)
{
    check_gradients(&heads_test, &norms[_i]);
}
END_TEST

/* --- Rotation and caches -------------------------------------------------- */

enum { PAIRS = 2, CAPACITY = 9 };

/* Of queries alone. */
static struct gqa_turn_op turning(void *q, bool interleaved,
                                  const void *cos_sin)
{
    return (struct gqa_turn_op){.q = q,
                                .q_width = HEADS_WIDTH,
                                .q_place = place,
                                .head_dim = DIM,
                                .n_pairs = PAIRS,
                                .interleaved = interleaved,
                                .cos_sin = cos_sin};
}

static double rotate_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const bool *interleaved = c->wanted;

    const struct gqa_turn_op op = turning(c->out, *interleaved, c->more[0]);

    memcpy(c->out, p->variables[0].x, c->n * sizeof(double));
    ck_assert_int_eq(ops.turn(device, &op), GQA_OK);
    return scalar(c);
}

static void rotate_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const bool *interleaved = c->wanted;

    const struct gqa_turn_op op =
        turning(p->variables[0].dx, *interleaved, c->more[0]);

    memcpy(p->variables[0].dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(ops.turn_back(device, &op), GQA_OK);
}

static void make_rotation(struct problem *p, const void *wanted)
{
    struct row_ctx *c = begin(p, wanted, (size_t)ROWS * HEADS_WIDTH, true);

    add_variable(p, "x", c->n);
    c->more[0] = drawn_reals((size_t)NEW * PAIRS * 2);
    p->value = rotate_value;
    p->back = rotate_back;
}

static const struct gradient_test rotate_test = {make_rotation, end};

START_TEST(rotations_go_back)
{
    const bool interleaved = _i;

    check_gradients(&rotate_test, &interleaved);
}
END_TEST

enum { CACHE = SEQUENCES * 4 * CAPACITY * DIM };

/* Of keys, turned, and values, to caches one behind the other. */
static struct gqa_turn_op keeping(const struct row_ctx *c, void *caches,
                                  size_t size)
{
    return (struct gqa_turn_op){.cache_k = caches,
                                .cache_v = (char *)caches + CACHE * size,
                                .k_width = HEADS_WIDTH,
                                .v_width = HEADS_WIDTH,
                                .k_place = place,
                                .v_place = place,
                                .capacity = CAPACITY,
                                .head_dim = DIM,
                                .n_pairs = PAIRS,
                                .cos_sin = c->more[0]};
}

static double store_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    double *k = malloc(ROWS * HEADS_WIDTH * sizeof *k);
    struct gqa_turn_op op = keeping(c, c->out, sizeof(double));

    ck_assert_ptr_nonnull(k);
    memcpy(k, p->variables[0].x, ROWS * HEADS_WIDTH * sizeof *k);
    memset(c->out, 0, c->n * sizeof(double));
    op.k = k; /* which may be turned */
    op.v = p->variables[1].x;
    ck_assert_int_eq(ops.turn(device, &op), GQA_OK);
    free(k);
    return scalar(c);
}

static void store_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    struct gqa_turn_op op = keeping(c, c->w, bytes_of(real));

    op.k = p->variables[0].dx;
    op.v = p->variables[1].dx;
    ck_assert_int_eq(ops.turn_back(device, &op), GQA_OK);
}

static void make_store(struct problem *p, const void *wanted)
{
    struct row_ctx *c = begin(p, wanted, (size_t)2 * CACHE, false);

    add_variable(p, "k", (size_t)ROWS * HEADS_WIDTH);
    add_variable(p, "v", (size_t)ROWS * HEADS_WIDTH);
    c->more[0] = drawn_reals((size_t)NEW * PAIRS * 2);
    p->value = store_value;
    p->back = store_back;
}

static const struct gradient_test store_test = {make_store, end};

START_TEST(caches_go_back)
{
    check_gradients(&store_test, NULL);
}
END_TEST

/* --- Embedding ------------------------------------------------------------ */

enum { VOCAB = 6, POSITIONS = 8 };

static double embed_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct gqa_weight table = weight_of(p->variables[0].x, VOCAB, WIDTH);
    const struct gqa_weight positions =
        weight_of(p->variables[1].x, POSITIONS, WIDTH);

    ck_assert_int_eq(backend->embed(device, c->out, &table, 1.7, &positions),
                     GQA_OK);
    return scalar(c);
}

static void embed_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    ck_assert_int_eq(ops.embed(device, p->variables[0].dx, VOCAB,
                               p->variables[1].dx, POSITIONS, c->w, WIDTH, 1.7),
                     GQA_OK);
}

static void make_embedding(struct problem *p, const void *wanted)
{
    begin(p, wanted, (size_t)ROWS * WIDTH, true);
    add_variable(p, "table", (size_t)VOCAB * WIDTH);
    add_variable(p, "positions", (size_t)POSITIONS * WIDTH);
    p->value = embed_value;
    p->back = embed_back;
}

static const struct gradient_test embed_test = {make_embedding, end};

START_TEST(embeddings_go_back)
{
    check_gradients(&embed_test, NULL);
}
END_TEST

/* --- Products ------------------------------------------------------------- */

struct linear_case {
    uint64_t inputs, outputs;
    bool input_major;
};

static const struct linear_case linears[] = {
    {5, 9, false}, {9, 5, true}, {300, 260, false}, {130, 300, true}};

enum { N_LINEARS = sizeof linears / sizeof *linears };

static struct gqa_weight linear_weight(const struct problem *p,
                                       const struct linear_case *l)
{
    return weight_of(p->variables[1].x, l->input_major ? l->inputs : l->outputs,
                     l->input_major ? l->outputs : l->inputs);
}

static double linear_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct linear_case *l = c->wanted;
    const struct gqa_weight w = linear_weight(p, l);
    const struct gqa_weight b = weight_of(p->variables[2].x, 1, l->outputs);

    ck_assert_int_eq(backend->linear(device, c->out, p->variables[0].x, ROWS,
                                     &w, l->input_major, &b, NULL),
                     GQA_OK);
    return scalar(c);
}

static void linear_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct linear_case *l = c->wanted;
    const struct gqa_weight w = linear_weight(p, l);

    ck_assert_int_eq(gqa_linear_transposed(backend, device, p->variables[0].dx,
                                           c->w, ROWS, &w, l->input_major,
                                           false),
                     GQA_OK);
    ck_assert_int_eq(ops.linear_weight(device, p->variables[1].dx,
                                       p->variables[2].dx, p->variables[0].x,
                                       l->inputs, c->w, l->outputs, ROWS,
                                       l->input_major),
                     GQA_OK);
}

static void make_linear(struct problem *p, const void *wanted)
{
    const struct linear_case *l = wanted;

    begin(p, wanted, (size_t)(ROWS * l->outputs), false);
    add_variable(p, "x", (size_t)(ROWS * l->inputs));
    add_variable(p, "weight", (size_t)(l->inputs * l->outputs));
    add_variable(p, "bias", (size_t)l->outputs);
    p->value = linear_value;
    p->back = linear_back;
}

static const struct gradient_test linear_test = {make_linear, end};

START_TEST(products_go_back)
{
    check_gradients(&linear_test, &linears[_i]);
}
END_TEST

/* --- Activations ---------------------------------------------------------- */

struct activation_case {
    enum gqa_activation kind;
    bool gated, in_place;
};

static const struct activation_case activations[] = {
    {GQA_ACTIVATION_RELU, false, false},
    {GQA_ACTIVATION_RELU, true, true},
    {GQA_ACTIVATION_GELU, false, true},
    {GQA_ACTIVATION_GELU, true, false},
    {GQA_ACTIVATION_GELU_TANH, false, false},
    {GQA_ACTIVATION_GELU_TANH, true, true},
    {GQA_ACTIVATION_SILU, false, false},
    {GQA_ACTIVATION_SILU, true, true},
    {GQA_ACTIVATION_QUICK_GELU, false, true},
    {GQA_ACTIVATION_QUICK_GELU, true, false},
    {GQA_ACTIVATION_RELU2, false, false},
    {GQA_ACTIVATION_RELU2, true, true},
    {GQA_ACTIVATION_GELU_BLOOM, false, false},
    {GQA_ACTIVATION_GELU_BLOOM, true, false},
};

enum { N_ACTIVATIONS = sizeof activations / sizeof *activations };

static double activate_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct activation_case *a = c->wanted;

    ck_assert_int_eq(backend->activate(device, c->out, p->variables[0].x,
                                       a->gated ? p->variables[1].x : NULL,
                                       c->n, a->kind),
                     GQA_OK);
    return scalar(c);
}

static void activate_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct activation_case *a = c->wanted;
    void *dx = p->variables[0].dx;

    if (a->in_place)
        memcpy(dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(
        ops.activate(device, dx, a->gated ? p->variables[1].dx : NULL, c->n,
                     p->variables[0].x, a->gated ? p->variables[1].x : NULL,
                     a->in_place ? dx : c->w, 1, c->n, a->kind),
        GQA_OK);
}

/* Values from -5 to 5, none next to 0, where some have a kink. */
static void make_activation(struct problem *p, const void *wanted)
{
    const struct activation_case *a = wanted;
    struct row_ctx *c = begin(p, wanted, 97, false);
    double values[97];

    add_variable(p, "gate", c->n);
    for (size_t i = 0; i < c->n; i++)
        values[i] = i % 2 ? 0.02 + 0.05 * (double)i : -0.02 - 0.05 * (double)i;
    gqa_store_f64(p->variables[0].x, real, values, c->n);
    if (a->gated)
        add_variable(p, "up", c->n);
    p->value = activate_value;
    p->back = activate_back;
}

static const struct gradient_test activation_test = {make_activation, end};

START_TEST(activations_go_back)
{
    check_gradients(&activation_test, &activations[_i]);
}
END_TEST

/* Far from 0 they are flat or straight, and nothing overflows. */
START_TEST(activations_end_well)
{
    const double far[] = {-1e30, -200, 200, 1e30};

    mend_ops();
    for (int type = 0; type < 2; type++) {
        open_device(reals[type], 1);
        for (int kind = GQA_ACTIVATION_RELU; kind <= GQA_ACTIVATION_GELU_BLOOM;
             kind++) {
            void *gate = zero_reals(4), *dy = zero_reals(4);
            double out[4];

            gqa_store_f64(gate, real, far, 2 + 2 * (kind != 5));
            gqa_store_f64(dy, real, (const double[]){1, 1, 1, 1}, 4);
            ck_assert_int_eq(ops.activate(device, dy, NULL, 4, gate, NULL, dy,
                                          1, 4, (enum gqa_activation)kind),
                             GQA_OK);
            gqa_load_f64(out, dy, real, 4);
            ck_assert_msg(out[0] == 0 && fabs(out[1]) < 1e-30,
                          "kind %d in %s: %g, %g", kind, gqa_dtype_name(real),
                          out[0], out[1]);
            if (kind != GQA_ACTIVATION_RELU2)
                ck_assert_msg(out[2] == 1 && out[3] == 1,
                              "kind %d in %s: %g, %g", kind,
                              gqa_dtype_name(real), out[2], out[3]);
            free(gate);
            free(dy);
        }
        close_device();
    }
}
END_TEST

/* --- Losses --------------------------------------------------------------- */

enum { CLASSES = 53 };

struct loss_case {
    double kl, reverse_kl, cross_entropy, temperature, soft_cap;
    bool labelled;
};

static const struct loss_case losses[] = {
    {1, 0, 0, 1, 0, false},      {0, 1, 0, 1, 0, false},
    {0, 0, 1, 1, 0, true},       {0.3, 0.5, 0.2, 2.5, 0, true},
    {0.3, 0.5, 0.2, 1, 3, true}, {1, 0, 0.7, 0.5, 2, true},
};

enum { N_LOSSES = sizeof losses / sizeof *losses };

static void run_loss(const struct problem *p, double *sum, void *d_logits,
                     double *rows)
{
    const struct row_ctx *c = p->ctx;
    const struct loss_case *l = c->wanted;
    double sums[4] = {0}, weights[ROWS];
    int32_t labels[ROWS];
    const struct gqa_loss_op op = {
        .student = c->out,
        .teacher = l->kl != 0 || l->reverse_kl != 0 ? c->more[0] : NULL,
        .n_rows = ROWS,
        .vocab_size = CLASSES,
        .labels = l->labelled ? labels : NULL,
        .weights = weights,
        .kl = l->kl,
        .reverse_kl = l->reverse_kl,
        .cross_entropy = l->cross_entropy,
        .temperature = l->temperature,
        .soft_cap = l->soft_cap,
        .factor = 1.3,
        .d_logits = d_logits,
        .losses = rows,
        .sums = sums,
    };

    for (int i = 0; i < ROWS; i++) {
        weights[i] = i % 4 == 3 ? 0 : 0.1 * (i + 1);
        labels[i] = i % 5 == 1 ? -1 : i * 7 % CLASSES;
    }
    memcpy(c->out, p->variables[0].x, c->n * bytes_of(real));
    if (l->soft_cap > 0)
        ck_assert_int_eq(backend->soft_cap(device, c->out, c->n, l->soft_cap),
                         GQA_OK);
    ck_assert_int_eq(ops.loss(device, &op), GQA_OK);
    *sum = 1.3 * sums[3];
    if (rows) {
        double all = 0;

        for (int i = 0; i < ROWS; i++)
            all += weights[i] *
                   (l->kl * rows[3 * i] + l->reverse_kl * rows[3 * i + 1] +
                    l->cross_entropy * rows[3 * i + 2]);
        ck_assert_double_le(fabs(all - sums[3]), 1e-12);
    }
}

static double loss_value(const struct problem *p)
{
    double rows[3 * ROWS], sum;

    run_loss(p, &sum, NULL, rows);
    return sum;
}

static void loss_back(const struct problem *p)
{
    double sum;

    run_loss(p, &sum, p->variables[0].dx, NULL);
}

static void make_loss(struct problem *p, const void *wanted)
{
    struct row_ctx *c = begin(p, wanted, (size_t)ROWS * CLASSES, false);
    double *values;

    add_variable(p, "logits", c->n);
    free(p->variables[0].x);
    values = make(c->n, sizeof *values);
    for (size_t i = 0; i < c->n; i++)
        values[i] = 3 * draw();
    p->variables[0].x = rounded(values, c->n, real);
    for (size_t i = 0; i < c->n; i++)
        values[i] = 2 * draw();
    c->more[0] = rounded(values, c->n, real);
    free(values);
    p->value = loss_value;
    p->back = loss_back;
}

static const struct gradient_test loss_test = {make_loss, end};

START_TEST(losses_go_back)
{
    check_gradients(&loss_test, &losses[_i]);
}
END_TEST

/* Against sums of their definitions. */
START_TEST(losses_are_right)
{
    const struct loss_case *l = &losses[3];
    struct problem p = {.n_variables = 0};
    double rows[3 * ROWS], sum;
    const double *s, *t;

    open_device(GQA_F64, 2);
    mend_ops();
    make_loss(&p, l);
    run_loss(&p, &sum, NULL, rows);
    s = p.variables[0].x;
    t = ((const struct row_ctx *)p.ctx)->more[0];
    for (int i = 0; i < ROWS; i++, s += CLASSES, t += CLASSES) {
        double of_s = 0, of_t = 0, at_one = 0, want[3] = {0};

        for (int j = 0; j < CLASSES; j++) {
            of_s += exp(s[j] / l->temperature);
            of_t += exp(t[j] / l->temperature);
            at_one += exp(s[j]);
        }
        for (int j = 0; j < CLASSES; j++) {
            const double a = s[j] / l->temperature - log(of_s);
            const double b = t[j] / l->temperature - log(of_t);

            want[0] += exp(b) * (b - a) * l->temperature * l->temperature;
            want[1] += exp(a) * (a - b) * l->temperature * l->temperature;
        }
        want[2] = i % 5 == 1 ? 0 : log(at_one) - s[i * 7 % CLASSES];
        for (int k = 0; k < 3; k++)
            ck_assert_double_le(
                fabs(rows[3 * i + k] - (i % 4 == 3 ? 0 : want[k])), 1e-12);
    }
    end(&p);
    close_device();
}
END_TEST

/* On any number of threads as by itself, of either type. */
START_TEST(comparisons_are_fidelitys)
{
    static const enum gqa_dtype kinds[] = {GQA_F64, GQA_F32};
    double values[2][ROWS * CLASSES];
    float narrow[2][ROWS * CLASSES];
    int32_t labels[ROWS];

    for (int i = 0; i < ROWS * CLASSES; i++)
        for (int m = 0; m < 2; m++)
            values[m][i] = narrow[m][i] = (float)sin(i * (m + 1.5)) * 4;
    values[0][CLASSES] = narrow[0][CLASSES] = INFINITY;
    values[1][2 * CLASSES + 1] = narrow[1][2 * CLASSES + 1] = NAN;
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 4 == 3 ? -1 : i % CLASSES;
    for (int k = 0; k < 2; k++) {
        struct gqa_logit_comparison got[ROWS], want;

        open_device(kinds[k], 3);
        ck_assert_int_eq(backend->gradients->compare(
                             device, got,
                             k ? (void *)narrow[0] : (void *)values[0],
                             k ? (void *)narrow[1] : (void *)values[1], ROWS,
                             CLASSES, labels),
                         GQA_OK);
        for (int i = 0; i < ROWS; i++) {
            gqa_compare_logits(&want, values[0] + (size_t)i * CLASSES,
                               values[1] + (size_t)i * CLASSES, CLASSES,
                               labels[i]);
            ck_assert_double_eq(got[i].kl, want.kl);
            ck_assert_int_eq(got[i].same, want.same);
            for (int m = 0; m < 2; m++) {
                ck_assert_double_eq(got[i].log_likelihood[m],
                                    want.log_likelihood[m]);
                ck_assert_int_eq(got[i].is_finite[m], want.is_finite[m]);
            }
        }
        ck_assert_int_eq(got[1].is_finite[0], 0);
        ck_assert_int_eq(got[2].is_finite[1], 0);
        ck_assert_double_gt(got[0].kl, 0);
        close_device();
    }
}
END_TEST

/* --- Squares -------------------------------------------------------------- */

static double squares_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    double sum = 0;

    ck_assert_int_eq(ops.squares(device, c->out, p->variables[0].x, c->w, ROWS,
                                 WIDTH, 0.7, &sum),
                     GQA_OK);
    return sum;
}

static void squares_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    memcpy(p->variables[0].dx, p->variables[0].x, c->n * bytes_of(real));
    ck_assert_int_eq(ops.squares(device, p->variables[0].dx, p->variables[0].dx,
                                 c->w, ROWS, WIDTH, 0.7, NULL),
                     GQA_OK);
}

static void make_squares(struct problem *p, const void *wanted)
{
    const struct row_ctx *c = begin(p, wanted, (size_t)ROWS * WIDTH, false);

    add_variable(p, "x", c->n);
    p->value = squares_value;
    p->back = squares_back;
}

static const struct gradient_test squares_test = {make_squares, end};

START_TEST(squares_go_back)
{
    check_gradients(&squares_test, NULL);
}
END_TEST

/* Its constants are variable 1: positive, negative. */
static struct gqa_xielu xielu_of(const struct problem *p)
{
    struct gqa_xielu c = {.beta = 0.5, .eps = -0.01};
    double values[2];

    gqa_load_f64(values, p->variables[1].x, real, 2);
    c.positive = values[0];
    c.negative = values[1];
    return c;
}

static double xielu_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct gqa_xielu constants = xielu_of(p);

    memcpy(c->out, p->variables[0].x, c->n * bytes_of(real));
    ck_assert_int_eq(backend->xielu(device, c->out, c->n, &constants), GQA_OK);
    return scalar(c);
}

static void xielu_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;
    const struct gqa_xielu constants = xielu_of(p);
    double sums[2] = {0, 0};

    /* In place, and not. */
    memcpy(p->variables[0].dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(ops.xielu(device, p->variables[0].dx, NULL,
                               p->variables[0].x, p->variables[0].dx, c->n,
                               &constants),
                     GQA_OK);
    ck_assert_int_eq(ops.xielu(device, c->out, sums, p->variables[0].x, c->w,
                               c->n, &constants),
                     GQA_OK);
    ck_assert_mem_eq(c->out, p->variables[0].dx, c->n * bytes_of(real));
    gqa_store_f64(p->variables[1].dx, real, sums, 2);
}

/* From -3 to 3, and on both sides of eps and of 0, far from either by what
 * differences take. */
static void make_xielu(struct problem *p, const void *wanted)
{
    enum { N = 10001 };
    const struct row_ctx *c = begin(p, wanted, N, false);
    double *values = make(N, sizeof *values);

    add_variable(p, "x", c->n);
    add_variable(p, "constants", 2);
    for (int i = 0; i < N; i++)
        values[i] = i % 7 == 3 ? -0.005 : (i % 60 - 29.5) / 10;
    gqa_store_f64(p->variables[0].x, real, values, c->n);
    gqa_store_f64(p->variables[1].x, real, (const double[]){0.8, 1.3}, 2);
    free(values);
    p->value = xielu_value;
    p->back = xielu_back;
}

static const struct gradient_test xielu_test = {make_xielu, end};

START_TEST(xielu_goes_back)
{
    check_gradients(&xielu_test, NULL);
}
END_TEST

/* --- Limits --------------------------------------------------------------- */

static const double LIMIT = 0.61;

static double clip_value(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    memcpy(c->out, p->variables[0].x, c->n * bytes_of(real));
    ck_assert_int_eq(backend->clip(device, c->out, c->n, LIMIT), GQA_OK);
    return scalar(c);
}

static void clip_back(const struct problem *p)
{
    const struct row_ctx *c = p->ctx;

    memcpy(p->variables[0].dx, c->w, c->n * bytes_of(real));
    ck_assert_int_eq(
        ops.clip(device, p->variables[0].dx, p->variables[0].x, c->n, LIMIT),
        GQA_OK);
}

/* From -2 to 2 in steps, none of which is near the limit. */
static void make_clip(struct problem *p, const void *wanted)
{
    enum { N = 10001 };
    const struct row_ctx *c = begin(p, wanted, N, false);
    double *values = make(N, sizeof *values);

    add_variable(p, "x", c->n);
    for (int i = 0; i < N; i++)
        values[i] = (i % 41 - 20) / 10.0;
    gqa_store_f64(p->variables[0].x, real, values, c->n);
    free(values);
    p->value = clip_value;
    p->back = clip_back;
}

static const struct gradient_test clip_test = {make_clip, end};

START_TEST(limits_go_back)
{
    check_gradients(&clip_test, NULL);
}
END_TEST

/* What is at the limit is within it, as PyTorch's clamp has it; a NaN is not.
 */
START_TEST(limits_are_within)
{
    static const double x[] = {0.5, -0.5, 0.75, -0.75, NAN, 0};
    static const double want[] = {1, 1, 0, 0, 0, 1};

    mend_ops();
    for (int type = 0; type < 2; type++) {
        double xs[6], dy[6], got[6];

        open_device(reals[type], 1);
        gqa_store_f64(xs, real, x, 6);
        gqa_store_f64(dy, real, (const double[]){1, 1, 1, 1, 1, 1}, 6);
        ck_assert_int_eq(ops.clip(device, dy, xs, 6, 0.5), GQA_OK);
        gqa_load_f64(got, dy, real, 6);
        ck_assert_mem_eq(got, want, sizeof want);
        close_device();
    }
}
END_TEST

/* --- Products of rows ----------------------------------------------------- */

/* Of any width, on any number of threads; a NaN stays in its row. */
START_TEST(rows_are_multiplied)
{
    enum { N = 9, MOST = 1001 };
    static const size_t widths[] = {1, 8, 37, MOST};

    mend_ops();
    for (int type = 0; type < 2; type++)
        for (size_t w = 0; w < 4; w++) {
            const size_t width = widths[w];
            double first[N], again[N];

            for (unsigned threads = 1; threads <= 3; threads++) {
                double x[N * MOST], y[N * MOST];
                void *xs, *ys;

                open_device(reals[type], threads);
                xs = zero_reals(N * width);
                ys = zero_reals(N * width);
                for (size_t i = 0; i < N * width; i++) {
                    x[i] = sin(1 + (double)i);
                    y[i] = cos(7 * (double)i);
                }
                gqa_store_f64(xs, real, x, N * width);
                gqa_store_f64(ys, real, y, N * width);
                /* As they were rounded. */
                gqa_load_f64(x, xs, real, N * width);
                gqa_load_f64(y, ys, real, N * width);
                ck_assert_int_eq(ops.dot_rows(device, again, xs, ys, width, N),
                                 GQA_OK);
                for (size_t r = 0; r < N; r++)
                    ck_assert_double_eq_tol(
                        again[r], dot(x + r * width, y + r * width, width),
                        1e-12);
                if (threads == 1)
                    memcpy(first, again, sizeof first);
                ck_assert_mem_eq(again, first, sizeof first);
                gqa_store_f64(xs, real, &(double){NAN}, 1);
                ck_assert_int_eq(ops.dot_rows(device, again, xs, ys, width, N),
                                 GQA_OK);
                ck_assert(isnan(again[0]) && again[1] == first[1]);
                free(xs);
                free(ys);
                close_device();
            }
        }
}
END_TEST

/* --- Broken --------------------------------------------------------------- */

static enum gqa_status norm_of_another_kind(struct gqa_device *d, void *dx,
                                            void *d_weight, void *d_bias,
                                            const void *x, const void *dy,
                                            uint64_t n_rows, uint64_t width,
                                            const struct gqa_norm_op *op,
                                            bool accumulate)
{
    struct gqa_norm_op broken = *op;

    broken.kind = op->kind == GQA_NORM_RMS ? GQA_NORM_LAYER : GQA_NORM_RMS;
    return whole_ops()->norm(d, dx, d_weight, d_bias, x, dy, n_rows, width,
                             &broken, accumulate);
}

static enum gqa_status norm_without_one(struct gqa_device *d, void *dx,
                                        void *d_weight, void *d_bias,
                                        const void *x, const void *dy,
                                        uint64_t n_rows, uint64_t width,
                                        const struct gqa_norm_op *op,
                                        bool accumulate)
{
    struct gqa_norm_op broken = *op;

    broken.one_plus = false;
    return whole_ops()->norm(d, dx, d_weight, d_bias, x, dy, n_rows, width,
                             &broken, accumulate);
}

static enum gqa_status norm_of_fewer_rows(struct gqa_device *d, void *dx,
                                          void *d_weight, void *d_bias,
                                          const void *x, const void *dy,
                                          uint64_t n_rows, uint64_t width,
                                          const struct gqa_norm_op *op,
                                          bool accumulate)
{
    const enum gqa_status st = whole_ops()->norm(d, dx, NULL, d_bias, x, dy,
                                                 n_rows, width, op, accumulate);

    return st == GQA_OK ? whole_ops()->norm(d, NULL, d_weight, NULL, x, dy,
                                            n_rows - 1, width, op, accumulate)
                        : st;
}

static enum gqa_status heads_of_another_eps(struct gqa_device *d, void *dy,
                                            void *d_weight, void *d_bias,
                                            const void *x, uint64_t width,
                                            const struct gqa_head_place *at,
                                            uint64_t head_dim,
                                            const struct gqa_norm_op *op)
{
    struct gqa_norm_op broken = *op;

    broken.eps *= 1.01;
    return whole_ops()->norm_heads(d, dy, d_weight, d_bias, x, width, at,
                                   head_dim, &broken);
}

static enum gqa_status turn_forth(struct gqa_device *d,
                                  const struct gqa_turn_op *op)
{
    return whole_ops()->turn(d, op);
}

static enum gqa_status turn_fewer(struct gqa_device *d,
                                  const struct gqa_turn_op *op)
{
    struct gqa_turn_op broken = *op;

    broken.capacity--;
    return whole_ops()->turn_back(d, &broken);
}

static enum gqa_status embed_unscaled(struct gqa_device *d, void *d_table,
                                      uint64_t n_rows, void *d_positions,
                                      uint64_t n_positions, const void *dx,
                                      uint64_t width, double scale)
{
    (void)scale;
    return whole_ops()->embed(d, d_table, n_rows, d_positions, n_positions, dx,
                              width, 1);
}

static enum gqa_status weight_of_fewer_rows(struct gqa_device *d,
                                            void *d_weight, void *d_bias,
                                            const void *x, uint64_t inputs,
                                            const void *dy, uint64_t outputs,
                                            uint64_t n_rows, bool input_major)
{
    return whole_ops()->linear_weight(d, d_weight, d_bias, x, inputs, dy,
                                      outputs, n_rows - 1, input_major);
}

static enum gqa_status activate_other(struct gqa_device *d, void *d_gate,
                                      void *d_up, uint64_t d_width,
                                      const void *gate, const void *up,
                                      const void *dy, uint64_t n_rows,
                                      uint64_t width,
                                      enum gqa_activation activation)
{
    return whole_ops()->activate(
        d, d_gate, d_up, d_width, gate, up, dy, n_rows, width,
        activation == GQA_ACTIVATION_SILU ? GQA_ACTIVATION_QUICK_GELU
                                          : GQA_ACTIVATION_GELU_TANH);
}

static enum gqa_status loss_uncapped(struct gqa_device *d,
                                     const struct gqa_loss_op *op)
{
    struct gqa_loss_op broken = *op;

    broken.soft_cap = 0;
    return whole_ops()->loss(d, &broken);
}

static enum gqa_status loss_at_one(struct gqa_device *d,
                                   const struct gqa_loss_op *op)
{
    struct gqa_loss_op broken = *op;

    if (op->d_logits)
        broken.temperature = 1;
    return whole_ops()->loss(d, &broken);
}

static enum gqa_status loss_unlabelled(struct gqa_device *d,
                                       const struct gqa_loss_op *op)
{
    struct gqa_loss_op broken = *op;

    if (op->d_logits)
        broken.labels = NULL;
    return whole_ops()->loss(d, &broken);
}

static enum gqa_status squares_halved(struct gqa_device *d, void *dx,
                                      const void *x, const void *target,
                                      uint64_t n_rows, uint64_t width,
                                      double factor, void *sum)
{
    return whole_ops()->squares(d, dx, x, target, n_rows, width,
                                sum ? factor : factor / 2, sum);
}

static enum gqa_status xielu_without_eps(struct gqa_device *d, void *dx,
                                         void *sums, const void *x,
                                         const void *dy, uint64_t n,
                                         const struct gqa_xielu *constants)
{
    struct gqa_xielu broken = *constants;

    broken.eps = 0;
    return whole_ops()->xielu(d, dx, sums, x, dy, n, &broken);
}

static enum gqa_status xielu_sums_swapped(struct gqa_device *d, void *dx,
                                          void *sums, const void *x,
                                          const void *dy, uint64_t n,
                                          const struct gqa_xielu *constants)
{
    const enum gqa_status st =
        whole_ops()->xielu(d, dx, sums, x, dy, n, constants);
    double *both = sums, first;

    if (both) {
        first = both[0];
        both[0] = both[1];
        both[1] = first;
    }
    return st;
}

static enum gqa_status clip_at_twice(struct gqa_device *d, void *dy,
                                     const void *x, uint64_t n, double limit)
{
    return whole_ops()->clip(d, dy, x, n, 2 * limit);
}

START_TEST(broken_ones_are_caught)
{
    const bool interleaved = true;

    mend_ops();
    ops.norm = norm_of_another_kind;
    check_caught(&norm_test, &norms[0], "another kind of norm");
    ops.norm = norm_of_another_kind;
    check_caught(&norm_test, &norms[2], "a norm without mean");
    ops.norm = norm_without_one;
    check_caught(&norm_test, &norms[1], "a norm without its 1");
    ops.norm = norm_of_fewer_rows;
    check_caught(&norm_test, &norms[0], "a norm's weight of fewer rows");
    ops.norm_heads = heads_of_another_eps;
    check_caught(&heads_test, &norms[0], "another eps");
    ops.turn_back = turn_forth;
    check_caught(&rotate_test, &interleaved, "a rotation the same way");
    ops.turn_back = turn_fewer;
    check_caught(&store_test, NULL, "another capacity");
    ops.embed = embed_unscaled;
    check_caught(&embed_test, NULL, "an embedding without scale");
    ops.linear_weight = weight_of_fewer_rows;
    check_caught(&linear_test, &linears[0], "a weight of fewer rows");
    ops.activate = activate_other;
    check_caught(&activation_test, &activations[6], "another activation");
    ops.activate = activate_other;
    check_caught(&activation_test, &activations[3], "the other gelu");
    ops.loss = loss_uncapped;
    check_caught(&loss_test, &losses[4], "no cap of logits");
    ops.loss = loss_at_one;
    check_caught(&loss_test, &losses[3], "no temperature");
    ops.loss = loss_unlabelled;
    check_caught(&loss_test, &losses[2], "no labels");
    ops.xielu = xielu_without_eps;
    check_caught(&xielu_test, NULL, "no eps");
    ops.xielu = xielu_sums_swapped;
    check_caught(&xielu_test, NULL, "each constant's gradient for the other");
    ops.clip = clip_at_twice;
    check_caught(&clip_test, NULL, "another limit");
    ops.squares = squares_halved;
    check_caught(&squares_test, NULL, "half of a square's slope");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradients");
    TCase *tcase = tcase_create("rows");

    tcase_add_loop_test(tcase, norms_go_back, 0, N_NORMS);
    tcase_add_loop_test(tcase, norms_of_heads_go_back, 0, N_NORMS);
    tcase_add_loop_test(tcase, rotations_go_back, 0, 2);
    tcase_add_test(tcase, caches_go_back);
    tcase_add_test(tcase, embeddings_go_back);
    tcase_add_loop_test(tcase, products_go_back, 0, N_LINEARS);
    tcase_add_loop_test(tcase, activations_go_back, 0, N_ACTIVATIONS);
    tcase_add_test(tcase, activations_end_well);
    tcase_add_loop_test(tcase, losses_go_back, 0, N_LOSSES);
    tcase_add_test(tcase, losses_are_right);
    tcase_add_test(tcase, comparisons_are_fidelitys);
    tcase_add_test(tcase, xielu_goes_back);
    tcase_add_test(tcase, limits_go_back);
    tcase_add_test(tcase, limits_are_within);
    tcase_add_test(tcase, rows_are_multiplied);
    tcase_add_test(tcase, squares_go_back);
    tcase_add_test(tcase, broken_ones_are_caught);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
