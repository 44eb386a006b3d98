/* A whole model's run that is gone back: held against a session's run, and
 * against differences. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"
#include "runtime/state.h"
#include "scratch.h"
#include "suite.h"
#include "trained_model.h"

static const char *const fixtures[] = {
    "runtime/llama",
    "runtime/llama-grouped",
    "runtime/llama-dynamic",
    "runtime/mistral",
    "runtime/qwen2",
    "runtime/gpt2",
    "runtime/gpt2-variant",
    "runtime/gpt_neox",
    "runtime/gpt_neox-sequential",
    "runtime/t5-v1_0",
    "runtime/t5-v1_1",
    "runtime/umt5",
    "families/gemma2",
    "families/qwen3",
    "families/qwen3-grouped",
    "families/phi",
    "families/phi-norms",
    "families/phi-grouped",
    "families/phi3",
    "families/olmo2",
    "families/gemma3",
    "families/nemotron",
    "families/cohere",
    "families/stablelm",
    "families/stablelm-parallel",
    "families/gptj",
    "families/opt",
    "families/opt-post",
    "families/opt-350m",
    "families/bloom",
    "families/bloom-base",
    "families/falcon",
    "families/falcon-parallel",
    "families/falcon-40b",
    "families/gpt_neo",
    "families/codegen",
    "families/openai_gpt",
    "families/bart",
    "families/mbart",
    "families/m2m_100",
    "families/granite",
    "families/minicpm",
    "families/mixtral",
    "families/olmoe",
    "families/qwen2_moe",
    "families/qwen3_moe",
    "families/granitemoe",
    "families/phimoe",
    "families/deepseek",
    "families/switch_transformers",
    "families/switch_transformers-full",
    "families/olmo-clip",
    "families/olmoe-clip",
    "families/mpt-clip",
    "families/apertus",
    "families/blenderbot_small",
    "families/whisper",
    "families/speech_to_text",
    "families/trocr",
    "families/musicgen",
    "families/gpt2-cross",
    "families/t5gemma",
    "families/longt5",
    "families/longt5-global",
    "families/nllb_moe",
    "families/nllb_moe-bias",
    "families/ernie4_5_moe",
    "families/glm4_moe",
    "families/granitemoeshared",
    "families/donut",
    "families/chatglm",
    "families/udop",
    "families/bloom-normed",
    "families/roberta-decoder",
};

enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

static uint64_t n_logits(const struct trained_model *m)
{
    return BATCH_SEQUENCES * BATCH_LENGTH * m->network->vocab_size;
}

static size_t wide_bytes(enum gqa_dtype real)
{
    return real == GQA_F64 ? sizeof(double) : sizeof(float);
}

/* --- Forth ---------------------------------------------------------------- */

/* All logits of the batch, padding's too, as the tape makes them. */
static double *tape_logits(const struct trained_model *m, enum gqa_dtype real)
{
    const uint64_t n_rows = BATCH_SEQUENCES * BATCH_LENGTH;
    double *values = calloc(n_logits(m), sizeof *values);
    void *raw = calloc(n_logits(m), wide_bytes(real));

    ck_assert(values && raw);
    ck_assert_int_eq(gqa_tape_forward(m->tape, trained_batch(m)), GQA_OK);
    ck_assert_uint_eq(gqa_tape_n_rows(m->tape), n_rows);
    /* In two pieces. */
    ck_assert_int_eq(gqa_tape_logits(m->tape, 0, 5, raw), GQA_OK);
    ck_assert_int_eq(gqa_tape_logits(m->tape, 5, n_rows - 5,
                                     (char *)raw + 5 * m->network->vocab_size *
                                                       wide_bytes(real)),
                     GQA_OK);
    gqa_load_f64(values, raw, real, n_logits(m));
    free(raw);
    return values;
}

struct kept {
    double *logits;
    uint64_t vocab;
};

static enum gqa_status keep(void *ctx, uint64_t s, uint64_t position,
                            uint64_t n_rows, const double *logits)
{
    const struct kept *k = ctx;

    memcpy(k->logits + (s * BATCH_LENGTH + position) * k->vocab, logits,
           n_rows * k->vocab * sizeof *logits);
    return GQA_OK;
}

static double *session_logits(const struct trained_model *m)
{
    const struct gqa_tape_batch *b = trained_batch(m);
    struct kept kept = {calloc(n_logits(m), sizeof(double)),
                        m->network->vocab_size};
    const struct gqa_step_output output = {.ctx = &kept, .logits = keep};
    struct gqa_session *session = NULL;

    ck_assert_ptr_nonnull(kept.logits);
    ck_assert_int_eq(gqa_session_create(&session, m->runtime, b->n_sequences,
                                        b->length, b->encoder_length),
                     GQA_OK);
    if (m->network->n_stacks > 1)
        ck_assert_int_eq(gqa_session_encode(session, b->encoder,
                                            b->encoder_length, b->n_encoder,
                                            NULL),
                         GQA_OK);
    ck_assert_int_eq(gqa_session_decode(session, b->decoder, b->length,
                                        b->n_decoder, &output),
                     GQA_OK);
    gqa_session_free(session);
    return kept.logits;
}

/* Of rows that are no padding, relative to the size of b. */
static double distance(const struct trained_model *m, const double *a,
                       const double *b)
{
    const uint64_t vocab = m->network->vocab_size;
    double error = 0, all = 0;

    for (uint64_t i = 0; i < n_logits(m); i++) {
        const uint64_t row = i / vocab;

        if (row % BATCH_LENGTH >=
            trained_batch(m)->n_decoder[row / BATCH_LENGTH])
            continue;
        error += (a[i] - b[i]) * (a[i] - b[i]);
        all += b[i] * b[i];
    }
    return sqrt(error / all);
}

START_TEST(runs_as_a_session_does)
{
    for (int wide = 0; wide < 2; wide++) {
        const enum gqa_dtype real = wide ? GQA_F64 : GQA_F32;
        struct trained_model m;
        struct gqa_tape_options options;
        double *want, *got, *teacher;

        trained_open(&m, fixtures[_i], real, 2, NULL);
        want = session_logits(&m);
        got = tape_logits(&m, real);
        ck_assert_double_le(distance(&m, got, want), wide ? 1e-13 : 1e-6);
        options = trained_options(&m);
        options.trained = NULL;
        trained_tape(&m, &options);
        teacher = tape_logits(&m, real);
        ck_assert_double_le(distance(&m, teacher, want), wide ? 1e-13 : 1e-6);
        free(want);
        free(got);
        free(teacher);
        trained_close(&m);
    }
}
END_TEST

/* --- Back ----------------------------------------------------------------- */

/* A weight of each logit; 0 in padding. */
static double *make_weights(const struct trained_model *m)
{
    const uint64_t vocab = m->network->vocab_size;
    double *w = calloc(n_logits(m), sizeof *w);
    uint64_t seed = 11;

    ck_assert_ptr_nonnull(w);
    for (uint64_t i = 0; i < n_logits(m); i++) {
        const uint64_t row = i / vocab;

        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        if (row % BATCH_LENGTH <
            trained_batch(m)->n_decoder[row / BATCH_LENGTH])
            w[i] = (double)(int64_t)(seed >> 11) * 0x1p-52 - 1;
    }
    return w;
}

/* The sum of weighted logits. */
static double value(const struct trained_model *m, const double *w)
{
    double *logits = tape_logits(m, GQA_F64);
    double sum = 0;

    for (uint64_t i = 0; i < n_logits(m); i++)
        sum += w[i] * logits[i];
    free(logits);
    return sum;
}

/* What the sum's gradient is of logits before scale and cap. */
static void *d_logits(const struct trained_model *m, const double *w,
                      enum gqa_dtype real)
{
    const double cap = m->network->logit_soft_cap;
    double *logits = tape_logits(m, real);
    void *raw = calloc(n_logits(m), wide_bytes(real));

    ck_assert_ptr_nonnull(raw);
    for (uint64_t i = 0; i < n_logits(m); i++) {
        const double share = cap > 0 ? logits[i] / cap : 0;

        logits[i] = m->network->logit_scale * w[i] * (1 - share * share);
    }
    gqa_store_f64(raw, real, logits, n_logits(m));
    free(logits);
    return raw;
}

/* Gradients of the sum, from 0 on, `times` times. */
static void go_back(const struct trained_model *m, enum gqa_dtype real,
                    int times)
{
    const uint64_t n_rows = BATCH_SEQUENCES * BATCH_LENGTH;
    const uint64_t row_bytes = m->network->vocab_size * wide_bytes(real);
    double *w = make_weights(m);
    char *d = NULL;

    ck_assert_int_eq(gqa_tape_zero(m->tape), GQA_OK);
    for (int i = 0; i < times; i++) {
        free(d);
        d = d_logits(m, w, real);
        /* In two pieces, the last first. */
        ck_assert_int_eq(
            gqa_tape_logits_back(m->tape, 20, n_rows - 20, d + 20 * row_bytes),
            GQA_OK);
        ck_assert_int_eq(gqa_tape_logits_back(m->tape, 0, 20, d), GQA_OK);
        ck_assert_int_eq(gqa_tape_back(m->tape), GQA_OK);
    }
    free(d);
    free(w);
}

/* Of an element of a master, by four points h apart. */
static double slope_at(const struct trained_model *m, size_t param, uint64_t i,
                       const double *w, double h)
{
    static const int steps[4] = {-2, -1, 1, 2};
    double *x = (double *)gqa_masters_of(m->masters, param)->weights + i;
    const double at = *x;
    double values[4];

    for (int j = 0; j < 4; j++) {
        *x = at + steps[j] * h;
        ck_assert_int_eq(gqa_masters_settle(m->masters), GQA_OK);
        values[j] = value(m, w);
    }
    *x = at;
    ck_assert_int_eq(gqa_masters_settle(m->masters), GQA_OK);
    return (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h);
}

/* Elements of a parameter that are looked at: the largest of the gradient, and
 * some. */
enum { LOOKED_AT = 5 };

static void check_param(const struct trained_model *m, size_t param,
                        const double *w)
{
    const struct gqa_param *p = &m->model->params[param];
    const double *g = gqa_tape_gradient(m->tape, param);
    double error = 0, all = 0;
    uint64_t most = 0;

    for (uint64_t i = 0; i < p->n_elements; i++)
        if (fabs(g[i]) > fabs(g[most]))
            most = i;
    for (uint64_t j = 0; j < LOOKED_AT; j++) {
        const uint64_t i = j ? (j * 7919 + 3) % p->n_elements : most;
        double least = INFINITY;

        /* Near a kink, and where it bends much, points have to be close. */
        for (int k = 0; k < 3 && !(least <= 1e-9 * fabs(g[i])); k++)
            least = fmin(
                least, fabs(g[i] - slope_at(m, param, i, w, pow(10, -3 - k))));
        error += least * least;
        all += g[i] * g[i];
    }
    /* Some have no say at all: a bias of keys, to a softmax. */
    ck_assert_msg(sqrt(error) <= 1e-8 * sqrt(all) + 1e-8,
                  "%s: %g of %g against differences", p->name, sqrt(error),
                  sqrt(all));
}

START_TEST(goes_back)
{
    struct trained_model m;
    double *w;

    trained_open(&m, fixtures[_i], GQA_F64, 2, NULL);
    w = make_weights(&m);
    go_back(&m, GQA_F64, 1);
    for (size_t i = 0; i < m.model->n_params; i++)
        if (m.trained[i])
            check_param(&m, i, w);
    free(w);
    trained_close(&m);
}
END_TEST

/* All gradients, one behind the other. */
static double *gradients_of(const struct trained_model *m, enum gqa_dtype real,
                            uint64_t *n)
{
    double *all;

    *n = 0;
    for (size_t i = 0; i < m->model->n_params; i++)
        *n += m->trained[i] ? m->model->params[i].n_elements : 0;
    all = calloc(*n, sizeof *all);
    ck_assert_ptr_nonnull(all);
    *n = 0;
    for (size_t i = 0; i < m->model->n_params; i++)
        if (m->trained[i]) {
            gqa_load_f64(all + *n, gqa_tape_gradient(m->tape, i), real,
                         m->model->params[i].n_elements);
            *n += m->model->params[i].n_elements;
        }
    return all;
}

static double difference(const double *a, const double *b, uint64_t n)
{
    double error = 0, all = 0;

    for (uint64_t i = 0; i < n; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        all += b[i] * b[i];
    }
    return sqrt(error / all);
}

/* However much is kept: the same bits; and twice is double. */
START_TEST(keeps_or_makes_again)
{
    struct trained_model m;
    struct gqa_tape_options options;
    uint64_t n, least, most;
    double *first, *again;

    trained_open(&m, fixtures[_i], GQA_F64, 2, NULL);
    go_back(&m, GQA_F64, 1);
    first = gradients_of(&m, GQA_F64, &n);
    options = trained_options(&m);
    ck_assert_int_eq(gqa_tape_bytes(m.runtime, &options, &least, &most),
                     GQA_OK);
    ck_assert_uint_lt(least, most);
    for (int part = 1; part <= 2; part++) {
        options.keep_bytes = (most - least) * (uint64_t)part / 2;
        trained_tape(&m, &options);
        go_back(&m, GQA_F64, 1);
        again = gradients_of(&m, GQA_F64, &n);
        ck_assert_mem_eq(again, first, n * sizeof *first);
        free(again);
    }
    go_back(&m, GQA_F64, 2);
    again = gradients_of(&m, GQA_F64, &n);
    for (uint64_t i = 0; i < n; i++)
        first[i] *= 2;
    ck_assert_double_le(difference(again, first, n), 1e-14);
    free(first);
    free(again);
    trained_close(&m);
}
END_TEST

START_TEST(is_right_in_float32)
{
    double *wide, *narrow[3];
    struct trained_model m;
    uint64_t n;

    trained_open(&m, fixtures[_i], GQA_F64, 2, NULL);
    go_back(&m, GQA_F64, 1);
    wide = gradients_of(&m, GQA_F64, &n);
    trained_close(&m);
    for (unsigned i = 0; i < 3; i++) {
        trained_open(&m, fixtures[_i], GQA_F32, i + 1, NULL);
        go_back(&m, GQA_F32, 1);
        narrow[i] = gradients_of(&m, GQA_F32, &n);
        trained_close(&m);
        ck_assert_double_le(difference(narrow[i], wide, n), 1e-5);
        ck_assert_mem_eq(narrow[i], narrow[0], n * sizeof **narrow);
    }
    for (int i = 0; i < 3; i++)
        free(narrow[i]);
    free(wide);
}
END_TEST

/* --- Parts ---------------------------------------------------------------- */

static bool is_attention(const struct gqa_param *p)
{
    return strstr(p->name, "attn") || strstr(p->name, "Attention") ||
           strstr(p->name, "attention");
}

static bool is_first_query(const struct gqa_param *p)
{
    return strstr(p->name, "0.self_attn.q") ||
           strstr(p->name, "h.0.attn.c_attn") ||
           strstr(p->name, "block.0.layer.0.SelfAttention.q");
}

static bool is_last_down(const struct gqa_param *p)
{
    return strstr(p->name, "1.mlp.down") || strstr(p->name, "h.1.mlp.c_proj") ||
           strstr(p->name, "decoder.block.1.layer.2.DenseReluDense.wo");
}

static bool is_encoder(const struct gqa_param *p)
{
    return strncmp(p->name, "encoder.block.0", 15) == 0;
}

static bool is_embedding(const struct gqa_param *p)
{
    return strstr(p->name, "embed_tokens") || strstr(p->name, "wte") ||
           strstr(p->name, "shared");
}

static bool is_router(const struct gqa_param *p)
{
    return strstr(p->name, "mlp.gate.") ||
           strstr(p->name, "shared_expert_gate");
}

static bool is_expert_down(const struct gqa_param *p)
{
    return strstr(p->name, "experts.1.down_proj") ||
           strstr(p->name, "shared_expert.down_proj");
}

static bool is_shared_expert(const struct gqa_param *p)
{
    return strstr(p->name, "shared_expert.gate_proj");
}

static trained_choice *const choices[] = {
    is_attention, is_first_query, is_last_down,   is_encoder,
    is_embedding, is_router,      is_expert_down, is_shared_expert};
static const char *const of_parts[] = {"runtime/llama",   "runtime/gpt2",
                                       "runtime/t5-v1_1", "runtime/gpt_neox",
                                       "families/gemma2", "families/qwen2_moe"};

enum { N_OF_PARTS = sizeof of_parts / sizeof *of_parts };

/* What is asked for alone is what it was among all. */
START_TEST(trains_parts)
{
    for (size_t c = 0; c < sizeof choices / sizeof *choices; c++) {
        struct trained_model all, part;
        bool any = false;

        trained_open(&all, of_parts[_i], GQA_F64, 2, NULL);
        go_back(&all, GQA_F64, 1);
        trained_open(&part, of_parts[_i], GQA_F64, 2, choices[c]);
        go_back(&part, GQA_F64, 1);
        for (size_t i = 0; i < all.model->n_params; i++) {
            const void *want = gqa_tape_gradient(all.tape, i);
            const void *got = gqa_tape_gradient(part.tape, i);

            if (!part.trained[i]) {
                ck_assert_ptr_null(got);
                continue;
            }
            any = true;
            ck_assert_msg(
                difference(got, want, all.model->params[i].n_elements) <= 1e-13,
                "%s", all.model->params[i].name);
        }
        ck_assert(any || c > 0);
        trained_close(&all);
        trained_close(&part);
    }
}
END_TEST

/* --- Broken --------------------------------------------------------------- */

static struct gqa_gradient_ops broken_ops;

/* Experts' shares that are to blame for half of what they are. */
static enum gqa_status dots_halved(struct gqa_device *d, double *out,
                                   const void *x, const void *y, uint64_t width,
                                   uint64_t n_rows)
{
    const enum gqa_status st =
        gqa_cpu_backend()->gradients->dot_rows(d, out, x, y, width, n_rows);

    for (uint64_t r = 0; r < n_rows; r++)
        out[r] /= 2;
    return st;
}

/* What was clipped counts as ever. */
static enum gqa_status clips_nothing(struct gqa_device *d, void *dy,
                                     const void *x, uint64_t n, double limit)
{
    (void)d, (void)dy, (void)x, (void)n, (void)limit;
    return GQA_OK;
}

/* Beta, and the constants as they are, but not their own gradients. */
static enum gqa_status xielu_without_sums(struct gqa_device *d, void *dx,
                                          void *sums, const void *x,
                                          const void *dy, uint64_t n,
                                          const struct gqa_xielu *constants)
{
    (void)sums;
    return gqa_cpu_backend()->gradients->xielu(d, dx, NULL, x, dy, n,
                                               constants);
}

/* Gradients with broken_ops are none that differences would agree with. */
static void is_caught(const char *fixture, const char *how)
{
    struct gqa_backend broken = *gqa_cpu_backend();
    struct trained_model m;
    double *want, *got;
    uint64_t n;

    trained_open(&m, fixture, GQA_F64, 2, NULL);
    go_back(&m, GQA_F64, 1);
    want = gradients_of(&m, GQA_F64, &n);
    broken.gradients = &broken_ops;
    m.runtime->backend = &broken;
    go_back(&m, GQA_F64, 1);
    got = gradients_of(&m, GQA_F64, &n);
    ck_assert_msg(difference(got, want, n) > 1e-5, "%s: %s is not caught",
                  fixture, how);
    m.runtime->backend = gqa_cpu_backend();
    broken_ops = *gqa_cpu_backend()->gradients;
    free(want);
    free(got);
    trained_close(&m);
}

START_TEST(catches_what_is_broken)
{
    static const char *const mixtures[] = {
        "families/mixtral", "families/qwen2_moe", "families/phimoe"};
    static const char *const clipped[] = {
        "families/olmo-clip", "families/olmoe-clip", "families/mpt-clip"};

    broken_ops = *gqa_cpu_backend()->gradients;
    for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++) {
        broken_ops.dot_rows = dots_halved;
        is_caught(mixtures[i], "half of what experts count");
    }
    for (size_t i = 0; i < sizeof clipped / sizeof *clipped; i++) {
        broken_ops.clip = clips_nothing;
        is_caught(clipped[i], "what was clipped");
    }
    broken_ops.xielu = xielu_without_sums;
    is_caught("families/apertus", "constants without gradients");
}
END_TEST

/* --- Limits --------------------------------------------------------------- */

static void refused(enum gqa_status st, const char *says)
{
    ck_assert_int_eq(st, GQA_ERR_USAGE);
    ck_assert_msg(strstr(gqa_error_message(), says) != NULL, "%s",
                  gqa_error_message());
}

START_TEST(refuses_bad_batches)
{
    struct trained_model m;
    struct gqa_tape_batch b;
    struct gqa_tape_options options;
    int32_t tokens[BATCH_SEQUENCES * BATCH_LENGTH] = {0};
    uint64_t n[BATCH_SEQUENCES] = {1, 1, 1};
    double ignored[61];

    trained_open(&m, "runtime/llama", GQA_F64, 1, NULL);
    refused(gqa_tape_logits(m.tape, 0, 1, ignored), "has run no batch");
    refused(gqa_tape_back(m.tape), "has run no batch");
    b = *trained_batch(&m);
    b.length = BATCH_LENGTH + 1;
    refused(gqa_tape_forward(m.tape, &b), "no room for 3 sequences");
    b.length = BATCH_LENGTH;
    b.decoder = tokens;
    b.n_decoder = n;
    n[1] = 0;
    refused(gqa_tape_forward(m.tape, &b), "0 tokens are not 1 to 11");
    n[1] = 1;
    tokens[0] = 61;
    refused(gqa_tape_forward(m.tape, &b), "token 61 (number 0 of sequence 0)");
    tokens[0] = 60;
    ck_assert_int_eq(gqa_tape_forward(m.tape, &b), GQA_OK);
    refused(gqa_tape_logits(m.tape, 33, 1, ignored), "are not of the 33");
    options = trained_options(&m);
    options.trained = NULL;
    trained_tape(&m, &options);
    ck_assert_int_eq(gqa_tape_forward(m.tape, &b), GQA_OK);
    refused(gqa_tape_back(m.tape), "cannot go back");
    trained_close(&m);
}
END_TEST

/* --- Failures ------------------------------------------------------------- */

static struct gqa_backend failing;
static struct gqa_gradient_ops failing_ops;
static unsigned calls_left;

static bool fails_now(void)
{
    return calls_left == 0 || --calls_left == 0;
}

static enum gqa_status lost(void)
{
    return gqa_fail(GQA_ERR_IO, "the device was lost");
}

static enum gqa_status failing_alloc(struct gqa_device *d, void **out,
                                     uint64_t n_bytes)
{
    return fails_now() ? lost() : gqa_cpu_backend()->alloc(d, out, n_bytes);
}

static enum gqa_status failing_linear(struct gqa_device *d, void *out,
                                      const void *x, uint64_t n_rows,
                                      const struct gqa_weight *weight,
                                      bool input_major,
                                      const struct gqa_weight *bias,
                                      const void *added)
{
    return fails_now() ? lost()
                       : gqa_cpu_backend()->linear(d, out, x, n_rows, weight,
                                                   input_major, bias, added);
}

static enum gqa_status failing_attend_back(
    struct gqa_device *d, const struct gqa_attention_gradient *op)
{
    return fails_now() ? lost()
                       : gqa_cpu_backend()->gradients->attend_back(d, op);
}

static enum gqa_status failing_norm(struct gqa_device *d, void *dx,
                                    void *d_weight, void *d_bias, const void *x,
                                    const void *dy, uint64_t n_rows,
                                    uint64_t width,
                                    const struct gqa_norm_op *op,
                                    bool accumulate)
{
    return fails_now()
               ? lost()
               : gqa_cpu_backend()->gradients->norm(d, dx, d_weight, d_bias, x,
                                                    dy, n_rows, width, op,
                                                    accumulate);
}

static enum gqa_status failing_dot_rows(struct gqa_device *d, double *out,
                                        const void *x, const void *y,
                                        uint64_t width, uint64_t n_rows)
{
    return fails_now() ? lost()
                       : gqa_cpu_backend()->gradients->dot_rows(d, out, x, y,
                                                                width, n_rows);
}

static enum gqa_status failing_gather(struct gqa_device *d, void *out,
                                      const void *x, uint64_t width,
                                      const uint64_t *rows, uint64_t n_rows)
{
    return fails_now()
               ? lost()
               : gqa_cpu_backend()->gather(d, out, x, width, rows, n_rows);
}

/* Once through all of it. */
static enum gqa_status run_all(struct trained_model *m)
{
    const struct gqa_tape_options options = trained_options(m);
    const uint64_t n = BATCH_SEQUENCES * BATCH_LENGTH;
    double *logits = calloc(n_logits(m), sizeof *logits);
    enum gqa_status st;

    ck_assert_ptr_nonnull(logits);
    gqa_tape_free(m->tape);
    m->tape = NULL;
    st = gqa_tape_create(&m->tape, m->runtime, &options);
    if (st == GQA_OK)
        st = gqa_tape_forward(m->tape, trained_batch(m));
    if (st == GQA_OK)
        st = gqa_tape_logits(m->tape, 0, n, logits);
    if (st == GQA_OK)
        st = gqa_tape_logits_back(m->tape, 0, n, logits);
    if (st == GQA_OK)
        st = gqa_tape_back(m->tape);
    free(logits);
    return st;
}

/* Whatever fails, and when: it is told, and nothing is lost. */
START_TEST(tells_failures)
{
    static const char *const models[] = {"runtime/gpt_neox", "runtime/t5-v1_1",
                                         "families/qwen2_moe"};
    struct trained_model m;
    unsigned n = 0;
    enum gqa_status st;

    trained_open(&m, models[_i], GQA_F64, 2, NULL);
    failing = *gqa_cpu_backend();
    failing_ops = *failing.gradients;
    failing.alloc = failing_alloc;
    failing.linear = failing_linear;
    failing.gradients = &failing_ops;
    failing_ops.attend_back = failing_attend_back;
    failing_ops.norm = failing_norm;
    failing_ops.dot_rows = failing_dot_rows;
    failing.gather = failing_gather;
    m.runtime->backend = &failing;
    do {
        calls_left = ++n;
        st = run_all(&m);
        ck_assert(st == GQA_OK || st == GQA_ERR_IO);
    } while (st != GQA_OK);
    ck_assert_uint_gt(n, 30);
    m.runtime->backend = gqa_cpu_backend();
    trained_close(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape");
    TCase *tcase = tcase_create("tape");

    tcase_add_loop_test(tcase, runs_as_a_session_does, 0, N_FIXTURES);
    tcase_add_loop_test(tcase, goes_back, 0, N_FIXTURES);
    tcase_add_loop_test(tcase, keeps_or_makes_again, 0, N_FIXTURES);
    tcase_add_loop_test(tcase, is_right_in_float32, 0, N_FIXTURES);
    tcase_add_loop_test(tcase, trains_parts, 0, N_OF_PARTS);
    tcase_add_test(tcase, catches_what_is_broken);
    tcase_add_test(tcase, refuses_bad_batches);
    tcase_add_loop_test(tcase, tells_failures, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
