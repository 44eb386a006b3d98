/* Orders of running a model: padded batches, a layer at a time, and what
 * taps see on the way. What models compute is tested in tests/reference. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "runtime/layers.h"
#include "runtime/measure/running.h"
#include "runtime/weights.h"
#include "scratch.h"
#include "suite.h"

static struct gqa_checkpoint *checkpoint;
static struct gqa_model *model;
static struct gqa_network *network;
static struct gqa_checkpoint_weights weights;
static struct gqa_device *device;
static struct gqa_backend backend;
static enum gqa_dtype real;
static double tolerance; /* relative L2 of what is computed in two ways */

/* --- A device whose memory is counted --------------------------------------
 */

enum { MAX_BLOCKS = 4096 };

static const struct gqa_backend *inner;
static struct {
    void *memory;
    uint64_t n_bytes;
} blocks[MAX_BLOCKS];
static uint64_t in_use, most_in_use, limit;

static enum gqa_status counted_alloc(struct gqa_device *d, void **out,
                                     uint64_t n_bytes)
{
    enum gqa_status st;
    int i = 0;

    if (n_bytes > limit - in_use)
        return gqa_fail(GQA_ERR_NOMEM, "the device is full");
    if ((st = inner->alloc(d, out, n_bytes)) != GQA_OK)
        return st;
    while (blocks[i].memory)
        ck_assert_int_lt(++i, MAX_BLOCKS);
    blocks[i].memory = *out;
    blocks[i].n_bytes = n_bytes;
    in_use += n_bytes;
    most_in_use = in_use > most_in_use ? in_use : most_in_use;
    return GQA_OK;
}

static void counted_free(struct gqa_device *d, void *memory)
{
    for (int i = 0; memory && i < MAX_BLOCKS; i++)
        if (blocks[i].memory == memory) {
            in_use -= blocks[i].n_bytes;
            blocks[i].memory = NULL;
            break;
        }
    inner->free(d, memory);
}

static enum gqa_status counted_describe(struct gqa_device *d,
                                        struct gqa_device_info *out)
{
    const enum gqa_status st = inner->describe(d, out);

    out->total_bytes = limit;
    out->free_bytes = limit - in_use;
    return st;
}

/* --- A model and its weights ---------------------------------------------- */

static atomic_int reads_left; /* that still succeed */
static size_t doubled_weight; /* param, or GQA_NO_PARAM: none */

static enum gqa_status read_weight(void *ctx, size_t param, uint64_t row,
                                   uint64_t n_rows, void *buf)
{
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&weights);
    const struct gqa_param *p = &model->params[param];
    const size_t n = (size_t)(n_rows * p->cols);
    double *values;
    enum gqa_status st;

    (void)ctx;
    if (atomic_fetch_sub(&reads_left, 1) <= 0)
        return gqa_fail(GQA_ERR_IO, "the disk is gone");
    st = source.read(source.ctx, param, row, n_rows, buf);
    if (st != GQA_OK || param != doubled_weight)
        return st;
    values = calloc(n, sizeof *values);
    ck_assert_ptr_nonnull(values);
    gqa_load_f64(values, buf, p->dtype, n);
    for (size_t i = 0; i < n; i++)
        values[i] *= 2;
    gqa_store_f64(buf, p->dtype, values, n);
    free(values);
    return GQA_OK;
}

static const struct gqa_weight_source source = {read_weight, NULL};

static void choose_backend(void)
{
    const char *name = getenv("GQA_TEST_BACKEND");

    inner = gqa_cpu_backend();
    real = GQA_F64;
    tolerance = 1e-12;
    if (name && strcmp(name, "cuda") == 0) {
        if (gqa_cuda_backend_load(&inner) != GQA_OK) {
            printf("skipped: %s\n", gqa_error_message());
            exit(77);
        }
        real = GQA_F32;
        tolerance = 1e-5;
    }
    backend = *inner;
    backend.alloc = counted_alloc;
    backend.free = counted_free;
    backend.describe = counted_describe;
    limit = UINT64_MAX;
}

static void open_model(const char *fixture)
{
    static const struct gqa_checkpoint_options as_it_is;

    ck_assert_int_eq(
        gqa_checkpoint_open(&checkpoint, test_data(fixture), &as_it_is),
        GQA_OK);
    ck_assert_int_eq(gqa_model_create(&model, checkpoint, NULL), GQA_OK);
    ck_assert_int_eq(gqa_network_create(&network, model), GQA_OK);
    ck_assert_int_eq(
        backend.open(&device, &(struct gqa_device_options){.real = real,
                                                           .n_threads = 2}),
        GQA_OK);
    weights = (struct gqa_checkpoint_weights){checkpoint, model};
}

static void begin(void)
{
    choose_backend();
    atomic_store(&reads_left, 1 << 30);
    doubled_weight = GQA_NO_PARAM;
    in_use = most_in_use = 0;
}

static void end(void)
{
    ck_assert_uint_eq(in_use, 0);
    if (device)
        backend.close(device);
    gqa_network_free(network);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
}

/* --- Tokens --------------------------------------------------------------- */

enum { N = 5, LONGEST = 19 };

static int32_t ids[N][LONGEST];
static struct gqa_sequence sequences[N];
static const struct gqa_tokens tokens = {sequences, N};

/* Of many lengths, the longest in the midst. */
static void make_tokens(void)
{
    static const uint64_t lengths[N][2] = {
        {7, 12}, {11, 3}, {13, LONGEST}, {2, 1}, {9, 18}};

    for (int s = 0; s < N; s++) {
        for (int i = 0; i < LONGEST; i++)
            ids[s][i] = (i * i * 31 + i * 7 + s * 13) % 50;
        sequences[s] = (struct gqa_sequence){.decoder = ids[s],
                                             .n_decoder = lengths[s][1]};
        if (network->n_stacks > 1) {
            sequences[s].encoder = ids[N - 1 - s];
            sequences[s].n_encoder = lengths[s][0];
        }
    }
}

static uint64_t length_of(uint64_t s, bool encoder)
{
    return encoder ? sequences[s].n_encoder : sequences[s].n_decoder;
}

/* --- What comes out ------------------------------------------------------- */

enum { MAX_LAYERS = 4, N_KINDS = 2 };

/*
 * Rows by stack, layer, kind, point and sequence, [length, width]: those of
 * taps, and the residual streams as point GQA_N_TAP_POINTS.
 */
struct seen {
    double *rows[2][MAX_LAYERS][N_KINDS][GQA_N_TAP_POINTS + 1][N];
    uint64_t widths[2][MAX_LAYERS][N_KINDS][GQA_N_TAP_POINTS + 1];
    struct gqa_tapped heads[2][MAX_LAYERS][N_KINDS][GQA_N_TAP_POINTS];
    double *logits[N];
    uint64_t n_rows, n_logits, n_begun, n_ended;
};

static void put(struct seen *seen, enum gqa_stack stack, uint64_t layer,
                int kind, int point, uint64_t s, uint64_t position,
                uint64_t width, const double *row)
{
    const bool encoder = stack == GQA_STACK_ENCODER ||
                         point == GQA_TAP_MEMORY ||
                         (kind == GQA_ATTENTION_CROSS &&
                          (point == GQA_TAP_K || point == GQA_TAP_V));
    double **at = &seen->rows[stack][layer][kind][point][s];

    ck_assert_uint_lt(layer, MAX_LAYERS);
    ck_assert_uint_lt(s, N);
    ck_assert_uint_lt(position, length_of(s, encoder));
    if (!*at)
        *at = calloc(LONGEST * width, sizeof **at);
    ck_assert_ptr_nonnull(*at);
    memcpy(*at + position * width, row, (size_t)width * sizeof *row);
    seen->widths[stack][layer][kind][point] = width;
    seen->n_rows++;
}

static int calls_left; /* of the tap that still succeed */

static enum gqa_status see(void *ctx, const struct gqa_tapped *t)
{
    struct seen *seen = ctx;
    double *values;
    uint64_t *real_rows, *listed, n = 0;

    if (calls_left-- <= 0)
        return gqa_fail(GQA_ERR_IO, "enough seen");
    values = calloc((size_t)(t->n_rows * t->width), sizeof *values);
    real_rows = calloc((size_t)t->n_rows, sizeof *real_rows);
    listed = calloc((size_t)t->n_rows, sizeof *listed);
    ck_assert(values && real_rows && listed);
    ck_assert_int_eq(gqa_tapped_fetch(t, values), GQA_OK);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        uint64_t s, position;

        if (!gqa_tapped_row(t, r, &s, &position))
            continue;
        real_rows[n++] = r;
        put(seen, t->stack, t->layer, (int)t->kind, (int)t->point, s, position,
            t->width, values + r * t->width);
    }
    ck_assert_uint_eq(gqa_tapped_rows(t, listed), n);
    ck_assert_int_eq(memcmp(listed, real_rows, n * sizeof *listed), 0);
    free(values);
    free(real_rows);
    free(listed);
    seen->heads[t->stack][t->layer][t->kind][t->point] = *t;
    return GQA_OK;
}

static enum gqa_status see_logits(void *ctx, uint64_t s, uint64_t position,
                                  uint64_t n_rows, const double *logits)
{
    struct seen *seen = ctx;
    const uint64_t v = network->vocab_size;

    if (!seen->logits[s])
        seen->logits[s] = calloc(LONGEST * v, sizeof(double));
    ck_assert_ptr_nonnull(seen->logits[s]);
    memcpy(seen->logits[s] + position * v, logits,
           (size_t)(n_rows * v) * sizeof *logits);
    seen->n_logits += n_rows;
    return GQA_OK;
}

static enum gqa_status see_residual(void *ctx, enum gqa_stack stack,
                                    uint64_t layer, uint64_t s,
                                    uint64_t position, uint64_t n_rows,
                                    const double *x)
{
    const uint64_t d = network->d_model;

    for (uint64_t r = 0; r < n_rows; r++)
        put(ctx, stack, layer, 0, GQA_N_TAP_POINTS, s, position + r, d,
            x + r * d);
    return GQA_OK;
}

static enum gqa_status see_begin(void *ctx, enum gqa_stack stack,
                                 uint64_t layer)
{
    struct seen *seen = ctx;

    (void)stack, (void)layer;
    ck_assert_uint_eq(seen->n_begun++, seen->n_ended);
    return GQA_OK;
}

static enum gqa_status see_end(void *ctx, enum gqa_stack stack, uint64_t layer)
{
    struct seen *seen = ctx;

    (void)stack, (void)layer;
    ck_assert_uint_eq(++seen->n_ended, seen->n_begun);
    return GQA_OK;
}

static void forget(struct seen *seen)
{
    double **rows = &seen->rows[0][0][0][0][0];

    for (size_t i = 0; i < sizeof seen->rows / sizeof *rows; i++)
        free(rows[i]);
    for (int s = 0; s < N; s++)
        free(seen->logits[s]);
    memset(seen, 0, sizeof *seen);
}

static double relative(const double *a, const double *b, uint64_t n)
{
    double difference = 0, size = 0;

    for (uint64_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return difference == 0 ? 0 : sqrt(difference / size);
}

static void is_the_same(const struct seen *a, const struct seen *b)
{
    const uint64_t v = network->vocab_size;

    ck_assert_uint_eq(a->n_rows, b->n_rows);
    ck_assert_uint_eq(a->n_logits, b->n_logits);
    for (uint64_t s = 0; s < N; s++)
        ck_assert_double_le(
            relative(a->logits[s], b->logits[s], sequences[s].n_decoder * v),
            tolerance);
    for (int stack = 0; stack < 2; stack++)
        for (int l = 0; l < MAX_LAYERS; l++)
            for (int k = 0; k < N_KINDS; k++)
                for (int p = 0; p <= GQA_N_TAP_POINTS; p++)
                    for (int s = 0; s < N; s++) {
                        const double *x = a->rows[stack][l][k][p][s];
                        const double *y = b->rows[stack][l][k][p][s];

                        ck_assert_int_eq(x != NULL, y != NULL);
                        if (x)
                            ck_assert_double_le(
                                relative(x, y,
                                         LONGEST * a->widths[stack][l][k][p]),
                                tolerance);
                    }
}

/* --- Ways to run ---------------------------------------------------------- */

static struct gqa_taps taps_of(struct seen *seen)
{
    calls_left = 1 << 30;
    return (struct gqa_taps){.points = UINT32_MAX, .tap = see, .ctx = seen};
}

/* Each sequence by itself. */
static void run_alone(struct seen *seen)
{
    const struct gqa_taps taps = taps_of(seen);
    const struct gqa_step_output output = {seen, see_logits, false,
                                           see_residual, &taps};
    struct gqa_runtime *runtime = NULL;

    ck_assert_int_eq(
        gqa_runtime_create(&runtime, network, &backend, device, &source),
        GQA_OK);
    for (uint64_t s = 0; s < N; s++) {
        const struct gqa_sequence *q = &sequences[s];
        const struct gqa_session_room room = {1, q->n_decoder, q->n_encoder,
                                              q->n_decoder, q->n_encoder};
        struct gqa_session *session = NULL;

        ck_assert_int_eq(gqa_session_create_for(&session, runtime, &room),
                         GQA_OK);
        ck_assert_int_eq(
            gqa_session_begin(session, 1, q->n_decoder, q->n_encoder, &s),
            GQA_OK);
        if (q->encoder)
            ck_assert_int_eq(gqa_session_encode(session, q->encoder,
                                                q->n_encoder, &q->n_encoder,
                                                &output),
                             GQA_OK);
        ck_assert_int_eq(gqa_session_decode(session, q->decoder, q->n_decoder,
                                            &q->n_decoder, &output),
                         GQA_OK);
        gqa_session_free(session);
    }
    gqa_runtime_free(runtime);
}

static void run_batches(struct seen *seen, bool token_by_token)
{
    const struct gqa_taps taps = taps_of(seen);
    const struct gqa_step_output output = {seen, see_logits, false,
                                           see_residual, &taps};
    const struct gqa_run_options options = {
        .backend = &backend, .device = {.real = real, .n_threads = 2}};
    struct gqa_running *running = NULL;

    ck_assert_int_eq(gqa_running_open(&running, model, &source, &options),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_running_run(running, &tokens, token_by_token, &output, NULL),
        GQA_OK);
    gqa_running_close(running);
}

static enum gqa_status run_layers(struct seen *seen,
                                  const struct gqa_layers_options *options)
{
    const struct gqa_taps taps = taps_of(seen);
    const struct gqa_layers_output output = {
        .ctx = seen,
        .begin = see_begin,
        .end = see_end,
        .step = {seen, see_logits, false, see_residual, &taps}};
    struct gqa_layers *layers = NULL;
    enum gqa_status st = gqa_layers_create(&layers, network, &backend, device,
                                           &source, &tokens, options);

    if (st == GQA_OK)
        st = gqa_layers_run(layers, &output);
    if (st == GQA_OK)
        ck_assert_uint_eq(seen->n_ended, gqa_layers_n_blocks(layers));
    gqa_layers_free(layers);
    return st;
}

static const char *const fixtures[] = {
    "runtime/llama-grouped", "runtime/gpt2",
    "runtime/gpt_neox",      "runtime/gpt_neox-sequential",
    "runtime/qwen2",         "runtime/mistral",
    "runtime/t5-v1_0",       "runtime/umt5",
    "sample/t5-tiny16",
};

enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

/* Alone, in padded batches, token by token, a layer at a time: the same. */
START_TEST(agree)
{
    static const struct gqa_layers_options options[] = {
        {.rows = 0, .host_bytes = UINT64_MAX, .read_ahead = true},
        {.rows = 40, .host_bytes = 0},
        {.rows = 1, .host_bytes = 1000},
    };
    static struct seen alone, other;

    open_model(fixtures[_i]);
    make_tokens();
    run_alone(&alone);
    ck_assert_uint_eq(alone.n_logits, 12 + 3 + LONGEST + 1 + 18);
    for (int token_by_token = 0; token_by_token < 2; token_by_token++) {
        run_batches(&other, token_by_token);
        is_the_same(&other, &alone);
        forget(&other);
    }
    for (int o = 0; o < 3; o++) {
        ck_assert_int_eq(run_layers(&other, &options[o]), GQA_OK);
        is_the_same(&other, &alone);
        forget(&other);
    }
    forget(&alone);
}
END_TEST

/* --- What taps see -------------------------------------------------------- */

/* A parameter in whole, as double; the caller frees it. */
static double *read_param(size_t param)
{
    const struct gqa_param *p = &model->params[param];
    void *raw = malloc((size_t)p->n_bytes);
    double *values = calloc((size_t)p->n_elements, sizeof *values);

    ck_assert(raw && values);
    ck_assert_int_eq(source.read(source.ctx, param, 0, p->rows, raw), GQA_OK);
    gqa_load_f64(values, raw, p->dtype, (size_t)p->n_elements);
    free(raw);
    return values;
}

/* out = before + W in + b, by the book; before NULL: 0. */
static double *apply(const struct gqa_linear *l, const double *in,
                     const double *before, uint64_t n_rows)
{
    const struct gqa_param *p = &model->params[l->weight];
    const uint64_t n_in = l->input_major ? p->rows : p->cols;
    const uint64_t n_out = l->input_major ? p->cols : p->rows;
    double *w = read_param(l->weight);
    double *b = l->bias == GQA_NO_PARAM ? NULL : read_param(l->bias);
    double *out = calloc((size_t)(n_rows * n_out), sizeof *out);

    ck_assert_ptr_nonnull(out);
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t o = 0; o < n_out; o++) {
            double sum = before ? before[r * n_out + o] : 0;

            for (uint64_t i = 0; i < n_in; i++)
                sum += in[r * n_in + i] *
                       w[l->input_major ? i * n_out + o : o * n_in + i];
            out[r * n_out + o] = sum + (b ? b[o] : 0);
        }
    free(w);
    free(b);
    return out;
}

static void is_linear(const struct gqa_linear *l, const double *in,
                      const double *before, const double *after,
                      uint64_t n_rows)
{
    const struct gqa_param *p = &model->params[l->weight];
    const uint64_t n_out = l->input_major ? p->cols : p->rows;
    double *got;

    ck_assert(in && after);
    got = apply(l, in, before, n_rows);
    ck_assert_double_le(relative(after, got, n_rows * n_out), tolerance);
    free(got);
}

/* Every projection makes its output of its input. */
static void check_block(const struct seen *seen, const struct gqa_block *b,
                        enum gqa_stack stack, uint64_t layer, int s)
{
    const uint64_t n = length_of((uint64_t)s, stack == GQA_STACK_ENCODER);
#define SELF(point)  seen->rows[stack][layer][0][point][s]
#define CROSS(point) seen->rows[stack][layer][1][point][s]
    const double *attended = SELF(GQA_TAP_AFTER_ATTENTION);

    is_linear(&b->self.q, SELF(GQA_TAP_INPUT), NULL, SELF(GQA_TAP_Q), n);
    is_linear(&b->self.v, SELF(GQA_TAP_INPUT), NULL, SELF(GQA_TAP_V), n);
    is_linear(&b->self.k, SELF(GQA_TAP_INPUT), NULL, SELF(GQA_TAP_K), n);
    ck_assert_int_eq(SELF(GQA_TAP_Q_TURNED) != NULL, b->self.rope != NULL);
    ck_assert_int_eq(SELF(GQA_TAP_K_TURNED) != NULL, b->self.rope != NULL);
    is_linear(&b->self.o, SELF(GQA_TAP_ATTENDED), SELF(GQA_TAP_BEFORE),
              attended, n);
    if (b->has_cross) {
        const uint64_t n_input = length_of((uint64_t)s, true);

        is_linear(&b->cross.q, CROSS(GQA_TAP_INPUT), NULL, CROSS(GQA_TAP_Q), n);
        is_linear(&b->cross.k, CROSS(GQA_TAP_MEMORY), NULL, CROSS(GQA_TAP_K),
                  n_input);
        is_linear(&b->cross.v, CROSS(GQA_TAP_MEMORY), NULL, CROSS(GQA_TAP_V),
                  n_input);
        is_linear(&b->cross.o, CROSS(GQA_TAP_ATTENDED), attended,
                  CROSS(GQA_TAP_AFTER_ATTENTION), n);
        attended = CROSS(GQA_TAP_AFTER_ATTENTION);
    }
    ck_assert_ptr_nonnull(SELF(GQA_TAP_FF_INPUT));
    is_linear(&b->ff.down, SELF(GQA_TAP_HIDDEN), attended, SELF(GQA_TAP_AFTER),
              n);
    if (b->ff.gate.weight == GQA_NO_PARAM &&
        b->ff.activation == GQA_ACTIVATION_RELU) {
        double *up = apply(&b->ff.up, SELF(GQA_TAP_FF_INPUT), NULL, n);
        const uint64_t width = seen->widths[stack][layer][0][GQA_TAP_HIDDEN];

        for (uint64_t i = 0; i < n * width; i++)
            up[i] = up[i] > 0 ? up[i] : 0;
        ck_assert_double_le(relative(SELF(GQA_TAP_HIDDEN), up, n * width),
                            tolerance);
        free(up);
    }
#undef SELF
#undef CROSS
}

/* The stream after a block is the one before the next. */
static void check_streams(const struct seen *seen, enum gqa_stack stack,
                          size_t n_blocks, int s)
{
    const uint64_t n = length_of((uint64_t)s, stack == GQA_STACK_ENCODER);

    for (size_t l = 1; l < n_blocks; l++)
        ck_assert_double_eq(
            relative(seen->rows[stack][l][0][GQA_TAP_BEFORE][s],
                     seen->rows[stack][l - 1][0][GQA_TAP_AFTER][s],
                     n * network->d_model),
            0);
}

static void check_heads(const struct seen *seen, const struct gqa_block *b,
                        enum gqa_stack stack, uint64_t layer)
{
    const struct gqa_tapped *q = &seen->heads[stack][layer][0][GQA_TAP_Q];
    const struct gqa_tapped *k = &seen->heads[stack][layer][0][GQA_TAP_K];
    const struct gqa_tapped *out =
        &seen->heads[stack][layer][0][GQA_TAP_ATTENDED];

    ck_assert_uint_eq(q->place.n_heads, b->self.heads->n_heads);
    ck_assert_uint_eq(k->place.n_heads, b->self.heads->n_kv_heads);
    ck_assert_uint_eq(k->place.base, b->self.heads->k.base);
    ck_assert_uint_eq(k->head_dim, b->self.heads->head_dim);
    ck_assert_uint_eq(out->width,
                      b->self.heads->n_heads * b->self.heads->head_dim);
    ck_assert_uint_eq(out->place.n_heads, b->self.heads->n_heads);
}

START_TEST(taps_see_what_projections_do)
{
    static const struct gqa_layers_options options = {.rows = 40,
                                                      .host_bytes = UINT64_MAX};
    static struct seen seen;

    open_model(fixtures[_i]);
    make_tokens();
    ck_assert_int_eq(run_layers(&seen, &options), GQA_OK);
    for (size_t k = 0; k < network->n_stacks; k++)
        for (size_t l = 0; l < network->stacks[k].n_blocks; l++) {
            const struct gqa_network_stack *stack = &network->stacks[k];

            check_heads(&seen, &stack->blocks[l], stack->stack, l);
            for (int s = 0; s < N; s++)
                check_block(&seen, &stack->blocks[l], stack->stack, l, s);
        }
    for (size_t k = 0; k < network->n_stacks; k++)
        for (int s = 0; s < N; s++)
            check_streams(&seen, network->stacks[k].stack,
                          network->stacks[k].n_blocks, s);
    forget(&seen);
}
END_TEST

/* Without points nobody calls. */
START_TEST(taps_are_called_where_wanted)
{
    static struct seen seen;
    struct gqa_taps taps = {
        .points = GQA_TAP(GQA_TAP_HIDDEN), .tap = see, .ctx = &seen};
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    const struct gqa_layers_options options = {.host_bytes = UINT64_MAX};
    struct gqa_layers *layers = NULL;

    open_model("runtime/t5-v1_0");
    make_tokens();
    calls_left = 1 << 30;
    ck_assert_int_eq(gqa_layers_create(&layers, network, &backend, device,
                                       &source, &tokens, &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_layers_next(layers, false, &output), GQA_OK);
    ck_assert_uint_eq(seen.n_rows, 7 + 11 + 13 + 2 + 9);
    taps.points = 0;
    ck_assert_int_eq(gqa_layers_next(layers, false, &output), GQA_OK);
    ck_assert_uint_eq(seen.n_rows, 7 + 11 + 13 + 2 + 9);
    gqa_layers_free(layers);
    forget(&seen);
}
END_TEST

/* --- A layer at a time ---------------------------------------------------- */

/* What a look at the next block sees that ends at a point, is what a look at
 * all of it does; there is less to read, and nothing is seen behind it. */
static void look_at_part(struct gqa_layers *layers, const struct seen *whole,
                         int n_read, const struct gqa_block_point *last)
{
    static struct seen part;
    struct gqa_taps taps = taps_of(&part);
    const struct gqa_layers_output output = {.last = last,
                                             .step = {.taps = &taps}};
    const int left = atomic_load(&reads_left);

    ck_assert_int_eq(gqa_layers_next(layers, true, &output), GQA_OK);
    ck_assert_int_lt(left - atomic_load(&reads_left), n_read);
    ck_assert_uint_gt(part.n_rows, 0);
    for (int stack = 0; stack < 2; stack++)
        for (int l = 0; l < MAX_LAYERS; l++)
            for (int k = 0; k < N_KINDS; k++)
                for (int p = 0; p < GQA_N_TAP_POINTS; p++)
                    for (int s = 0; s < N; s++) {
                        const double *x = part.rows[stack][l][k][p][s];

                        if (!x)
                            continue;
                        ck_assert_int_lt(p, GQA_TAP_FF_INPUT);
                        ck_assert(k != (int)last->kind ||
                                  p <= (int)last->point ||
                                  (k == GQA_ATTENTION_CROSS &&
                                   p <= GQA_TAP_K_TURNED));
                        ck_assert_int_eq(
                            memcmp(x, whole->rows[stack][l][k][p][s],
                                   LONGEST * part.widths[stack][l][k][p] *
                                       sizeof *x),
                            0);
                    }
    forget(&part);
}

START_TEST(looks_no_further)
{
    static struct seen whole;
    struct gqa_taps taps = taps_of(&whole);
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    const struct gqa_layers_options options = {.host_bytes = UINT64_MAX};
    struct gqa_layers *layers = NULL;

    open_model(fixtures[_i]);
    make_tokens();
    ck_assert_int_eq(gqa_layers_create(&layers, network, &backend, device,
                                       &source, &tokens, &options),
                     GQA_OK);
    /* The embedding is read with the first block. */
    ck_assert_int_eq(gqa_layers_next(layers, true, NULL), GQA_OK);
    while (gqa_layers_n_done(layers) < gqa_layers_n_blocks(layers)) {
        static const enum gqa_tap_point points[] = {GQA_TAP_INPUT,
                                                    GQA_TAP_ATTENDED};
        const int left = atomic_load(&reads_left);
        int n_read, n_kinds = 1;

        ck_assert_int_eq(gqa_layers_next(layers, true, &output), GQA_OK);
        n_read = left - atomic_load(&reads_left);
        for (int l = 0; l < MAX_LAYERS; l++)
            if (whole.rows[GQA_STACK_DECODER][l][GQA_ATTENTION_CROSS]
                          [GQA_TAP_ATTENDED][0])
                n_kinds = N_KINDS;
        for (int kind = 0; kind < n_kinds; kind++)
            for (int i = 0; i < 2; i++)
                look_at_part(layers, &whole, n_read,
                             &(struct gqa_block_point){
                                 (enum gqa_attention_kind)kind, points[i]});
        forget(&whole);
        taps = taps_of(&whole);
        ck_assert_int_eq(gqa_layers_next(layers, false, NULL), GQA_OK);
        /* The next stack's embedding. */
        if (gqa_layers_n_done(layers) < gqa_layers_n_blocks(layers))
            ck_assert_int_eq(gqa_layers_next(layers, true, NULL), GQA_OK);
    }
    gqa_layers_free(layers);
}
END_TEST

/* Looked at, a block comes again; changed weights are read anew. */
START_TEST(looks_before_it_moves)
{
    static struct seen first, again, changed;
    struct gqa_taps taps = taps_of(&first);
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    const struct gqa_layers_options options = {
        .host_bytes = _i ? UINT64_MAX : 0, .read_ahead = true};
    struct gqa_layers *layers = NULL;

    open_model("runtime/mistral"); /* whose o has no bias */
    make_tokens();
    ck_assert_int_eq(gqa_layers_create(&layers, network, &backend, device,
                                       &source, &tokens, &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_layers_next(layers, false, NULL), GQA_OK);
    ck_assert_int_eq(gqa_layers_next(layers, true, &output), GQA_OK);
    ck_assert_uint_eq(gqa_layers_n_done(layers), 1);
    taps.ctx = &again;
    ck_assert_int_eq(gqa_layers_next(layers, true, &output), GQA_OK);
    taps.ctx = &changed;
    doubled_weight = network->stacks[0].blocks[1].self.o.weight;
    ck_assert_int_eq(gqa_layers_next(layers, false, &output), GQA_OK);
    ck_assert_uint_eq(gqa_layers_n_done(layers), 2);
    for (int s = 0; s < N; s++) {
        const uint64_t n = sequences[s].n_decoder * network->d_model;
#define AT(seen, point) (seen).rows[GQA_STACK_DECODER][1][0][point][s]
        ck_assert_double_eq(
            relative(AT(again, GQA_TAP_AFTER), AT(first, GQA_TAP_AFTER), n), 0);
        ck_assert_double_eq(relative(AT(changed, GQA_TAP_ATTENDED),
                                     AT(first, GQA_TAP_ATTENDED), n),
                            0);
        /* What attention adds is twice what it was. */
        for (uint64_t i = 0; i < n; i++) {
            const double before = AT(first, GQA_TAP_BEFORE)[i];
            const double was = AT(first, GQA_TAP_AFTER_ATTENTION)[i] - before;
            const double is = AT(changed, GQA_TAP_AFTER_ATTENTION)[i] - before;

            ck_assert_double_le(fabs(is - 2 * was), 1e-4);
        }
#undef AT
    }
    while (gqa_layers_n_done(layers) < gqa_layers_n_blocks(layers))
        ck_assert_int_eq(gqa_layers_next(layers, false, NULL), GQA_OK);
    ck_assert_int_eq(gqa_layers_next(layers, false, NULL), GQA_ERR_USAGE);
    gqa_layers_free(layers);
    forget(&first);
    forget(&again);
    forget(&changed);
}
END_TEST

/* A device with room for half of the weights, beside what runs. */
START_TEST(runs_what_does_not_fit)
{
    const struct gqa_layers_options options = {.rows = 1};
    static struct seen whole, parts;
    struct gqa_runtime *runtime = NULL;
    uint64_t n_bytes = 0;

    open_model(fixtures[_i]);
    make_tokens();
    for (size_t i = 0; i < model->n_params; i++)
        n_bytes += model->params[i].n_bytes;
    run_alone(&whole);
    ck_assert_int_eq(run_layers(&parts, &options), GQA_OK);
    forget(&parts);
    ck_assert_uint_eq(in_use, 0);
    most_in_use = 0;
    ck_assert_int_eq(run_layers(&parts, &options), GQA_OK);
    is_the_same(&parts, &whole);
    forget(&parts);
    limit = most_in_use;
    ck_assert_int_eq(run_layers(&parts, &options), GQA_OK);
    is_the_same(&parts, &whole);
    forget(&parts);
    /* The largest part alone does not fit. */
    limit = 64;
    ck_assert_int_eq(run_layers(&parts, &options), GQA_ERR_NOMEM);
    ck_assert_msg(strstr(gqa_error_message(), "a layer at a time"), "%s",
                  gqa_error_message());
    limit = n_bytes / 2;
    ck_assert_int_eq(
        gqa_runtime_create(&runtime, network, &backend, device, &source),
        GQA_ERR_NOMEM);
    forget(&whole);
    limit = UINT64_MAX;
}
END_TEST

/* Wherever memory of the device, or reading, ends: all is given back. */
START_TEST(survives_the_end_of_everything)
{
    const struct gqa_layers_options options = {.rows = 40,
                                               .read_ahead = _i == 1};
    static struct seen seen;
    enum gqa_status st = GQA_ERR_IO;
    int n = 0;

    open_model("runtime/umt5");
    make_tokens();
    for (; st != GQA_OK; n++) {
        ck_assert_int_lt(n, 1000);
        atomic_store(&reads_left, n);
        st = run_layers(&seen, &options);
        if (st != GQA_OK)
            ck_assert_int_eq(st, GQA_ERR_IO);
        ck_assert_uint_eq(in_use, 0);
        forget(&seen);
    }
    ck_assert_int_gt(n, 50);
    atomic_store(&reads_left, 1 << 30);
    most_in_use = 0;
    ck_assert_int_eq(run_layers(&seen, &options), GQA_OK);
    forget(&seen);
    for (uint64_t room = 0, all = most_in_use; room < all; room += all / 50) {
        limit = room;
        ck_assert_int_eq(run_layers(&seen, &options), GQA_ERR_NOMEM);
        ck_assert_uint_eq(in_use, 0);
        forget(&seen);
    }
    limit = UINT64_MAX;
}
END_TEST

/* --- Callbacks that fail -------------------------------------------------- */

static enum gqa_status refuse_layer(void *ctx, enum gqa_stack stack,
                                    uint64_t layer)
{
    (void)ctx;
    return stack == GQA_STACK_DECODER && layer == 1
               ? gqa_fail(GQA_ERR_IO, "not this one")
               : GQA_OK;
}

static enum gqa_status refuse_residual(void *ctx, enum gqa_stack stack,
                                       uint64_t layer, uint64_t s,
                                       uint64_t position, uint64_t n_rows,
                                       const double *x)
{
    (void)s, (void)position, (void)n_rows, (void)x;
    return refuse_layer(ctx, stack, layer);
}

static enum gqa_status refuse_logits(void *ctx, uint64_t s, uint64_t position,
                                     uint64_t n_rows, const double *logits)
{
    (void)ctx, (void)position, (void)n_rows, (void)logits;
    return s == 3 ? gqa_fail(GQA_ERR_IO, "not this one") : GQA_OK;
}

static enum gqa_status refuse_tap(void *ctx, const struct gqa_tapped *t)
{
    return t->point == GQA_TAP_MEMORY ? refuse_layer(ctx, t->stack, t->layer)
                                      : GQA_OK;
}

START_TEST(ends_where_a_callback_fails)
{
    static const struct gqa_taps taps = {.points = UINT32_MAX,
                                         .tap = refuse_tap};
    static const struct gqa_layers_output outputs[] = {
        {.begin = refuse_layer},
        {.end = refuse_layer},
        {.step = {.residual = refuse_residual}},
        {.step = {.logits = refuse_logits}},
        {.step = {.taps = &taps}},
    };
    const struct gqa_layers_options options = {.read_ahead = true};
    struct gqa_layers *layers = NULL;

    open_model("runtime/t5-v1_1");
    make_tokens();
    ck_assert_int_eq(gqa_layers_create(&layers, network, &backend, device,
                                       &source, &tokens, &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_layers_run(layers, &outputs[_i]), GQA_ERR_IO);
    ck_assert_str_eq(gqa_error_message(), "not this one");
    gqa_layers_free(layers);
}
END_TEST

START_TEST(is_interrupted)
{
    const struct gqa_layers_options options = {.read_ahead = true};
    static struct seen seen;

    open_model("runtime/llama");
    make_tokens();
    gqa_interrupt_catch(NULL);
    ck_assert_int_eq(raise(SIGTERM), 0);
    ck_assert_int_eq(run_layers(&seen, &options), GQA_ERR_INTERRUPTED);
}
END_TEST

/* --- Tokens that cannot be run -------------------------------------------- */

static void refused(const char *says)
{
    const struct gqa_layers_options options = {.rows = 8};
    struct gqa_layers *layers = NULL;

    ck_assert_int_eq(gqa_layers_create(&layers, network, &backend, device,
                                       &source, &tokens, &options),
                     GQA_ERR_USAGE);
    ck_assert_msg(strstr(gqa_error_message(), says) != NULL, "%s",
                  gqa_error_message());
    make_tokens();
}

START_TEST(refuses_bad_tokens)
{
    open_model("runtime/gpt2");
    make_tokens();
    ids[1][2] = 61;
    refused("token 61 (number 2 of sequence 1) is not in the vocabulary of 61");
    ids[4][0] = -1;
    refused("token -1 (number 0 of sequence 4)");
    sequences[2].n_decoder = 25;
    refused("sequence 2 has 25 tokens, but the model has positions for 24");
    sequences[0].n_decoder = 0;
    refused("sequence 0 has no labels");
}
END_TEST

/* Rows of the session are shared out as each batch needs them. */
START_TEST(sessions_take_batches_within_their_room)
{
    const struct gqa_session_room room = {4, 10, 0, 12, 0};
    struct gqa_runtime *runtime = NULL;
    struct gqa_session *session = NULL;

    open_model("runtime/llama");
    ck_assert_int_eq(
        gqa_runtime_create(&runtime, network, &backend, device, &source),
        GQA_OK);
    ck_assert_int_eq(gqa_session_create_for(&session, runtime, &room), GQA_OK);
    ck_assert_int_eq(gqa_session_begin(session, 4, 3, 0, NULL), GQA_OK);
    ck_assert_int_eq(gqa_session_begin(session, 1, 10, 0, NULL), GQA_OK);
    ck_assert_int_eq(gqa_session_begin(session, 4, 4, 0, NULL), GQA_ERR_USAGE);
    ck_assert_int_eq(gqa_session_begin(session, 1, 11, 0, NULL), GQA_ERR_USAGE);
    ck_assert_int_eq(gqa_session_begin(session, 5, 1, 0, NULL), GQA_ERR_USAGE);
    ck_assert_int_eq(gqa_session_begin(session, 0, 1, 0, NULL), GQA_ERR_USAGE);
    gqa_session_free(session);
    gqa_runtime_free(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("orders");
    TCase *tc = tcase_create("orders");

    choose_backend();
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_loop_test(tc, agree, 0, N_FIXTURES);
    tcase_add_loop_test(tc, taps_see_what_projections_do, 0, N_FIXTURES);
    tcase_add_test(tc, taps_are_called_where_wanted);
    tcase_add_loop_test(tc, looks_before_it_moves, 0, 2);
    tcase_add_loop_test(tc, looks_no_further, 0, N_FIXTURES);
    tcase_add_loop_test(tc, runs_what_does_not_fit, 0, N_FIXTURES);
    tcase_add_loop_test(tc, survives_the_end_of_everything, 0, 2);
    tcase_add_loop_test(tc, ends_where_a_callback_fails, 0, 5);
    tcase_add_test(tc, refuses_bad_tokens);
    tcase_add_test(tc, sessions_take_batches_within_their_room);
    /* Last: the signal stays pending. */
    tcase_add_test(tc, is_interrupted);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
