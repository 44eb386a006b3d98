/* Whole models' gradients against those of PyTorch's autograd
 * (tests/data/make_gradients.py), through the loss and the tape. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"
#include "suite.h"
#include "tests/find_tensor.h"
#include "trained_model.h"

static const char *const fixtures[] = {
    "runtime/llama",
    "runtime/llama-grouped",
    "runtime/mistral",
    "runtime/gpt2",
    "runtime/gpt_neox",
    "runtime/t5-v1_0",
    "runtime/t5-v1_1",
    "runtime/umt5",
    "families/qwen3-grouped",
    "families/gemma2",
    "families/phi-norms",
    "families/cohere",
    "families/falcon",
    "families/mixtral",
    "families/qwen2_moe",
    "families/granitemoe",
    "families/phimoe",
    "families/switch_transformers",
    "families/olmoe-clip",
    "families/mpt-clip",
    "families/apertus",
    "families/blenderbot_small",
    "families/whisper",
    "families/speech_to_text",
    "families/trocr",
    "families/bert-decoder",
    "families/roberta-decoder",
    "families/musicgen",
    "families/gpt2-cross",
    "families/t5gemma",
    "families/udop",
    "families/bloom-normed",
    "families/chatglm",
    "families/longt5",
    "families/longt5-global",
    "families/nllb_moe",
    "families/nllb_moe-bias",
    "families/donut",
    "families/ernie4_5_moe",
    "families/dots1",
    "families/granitemoeshared",
    "families/switch_transformers-full",
    "families/gpt_oss",
    "families/hunyuan",
    "families/hunyuan-moe",
};

enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

static const double TEMPERATURE = 1.5, LABELS = 0.2;

/* --- Files ---------------------------------------------------------------- */

static struct gqa_checkpoint *open_file(const char *path)
{
    static const struct gqa_checkpoint_options as_it_is;
    struct gqa_checkpoint *file = NULL;

    ck_assert_int_eq(gqa_checkpoint_open(&file, test_data(path), &as_it_is),
                     GQA_OK);
    return file;
}

/* A tensor of F64 or I64, the caller's; NULL: there is none. */
static void *read_tensor(struct gqa_checkpoint *file, const char *name,
                         uint64_t *n, const uint64_t **shape)
{
    const struct gqa_tensor *t;
    size_t index;
    void *raw;

    if (!find_tensor(file, name, &index))
        return NULL;
    t = gqa_checkpoint_tensor(file, index);
    raw = malloc(t->n_bytes + 1);
    ck_assert_ptr_nonnull(raw);
    ck_assert_uint_eq(gqa_dtype_bits(t->dtype), 64);
    ck_assert_int_eq(
        gqa_checkpoint_read(file, index,
                            &(struct gqa_span){.piece = t->n_bytes, .count = 1},
                            raw),
        GQA_OK);
    *n = t->n_elements;
    *shape = t->shape;
    return raw;
}

/* --- The batch ------------------------------------------------------------ */

/* One side of a reference's batch. */
struct side {
    int32_t *tokens;
    uint64_t *lengths, n, length;
};

static struct side read_side(struct gqa_checkpoint *file, const char *ids,
                             const char *lengths)
{
    const uint64_t *shape;
    struct side side = {NULL, NULL, 0, 0};
    uint64_t n;
    int64_t *whole = read_tensor(file, ids, &n, &shape);

    if (!whole)
        return side;
    side.n = shape[0];
    side.length = shape[1];
    side.tokens = calloc(n, sizeof *side.tokens);
    ck_assert_ptr_nonnull(side.tokens);
    for (uint64_t i = 0; i < n; i++)
        side.tokens[i] = (int32_t)whole[i];
    free(whole);
    side.lengths = read_tensor(file, lengths, &n, &shape);
    ck_assert_ptr_nonnull(side.lengths);
    return side;
}

struct batch {
    struct side decoder, encoder;
    double *teacher; /* logits of the reference, changed */
};

static void read_batch(struct batch *b, const char *fixture, uint64_t vocab)
{
    struct gqa_checkpoint *file;
    const uint64_t *shape;
    uint64_t n;
    double *logits;
    char path[128];

    snprintf(path, sizeof path, "%s/reference.safetensors", fixture);
    file = open_file(path);
    logits = read_tensor(file, "logits", &n, &shape);
    b->decoder = read_side(file, "decoder_input_ids", "decoder_lengths");
    b->encoder = read_side(file, "input_ids", "lengths");
    if (!b->decoder.tokens) {
        b->decoder = b->encoder;
        b->encoder = (struct side){.tokens = NULL};
    }
    ck_assert_ptr_nonnull(logits);
    ck_assert_uint_eq(n, b->decoder.n * b->decoder.length * vocab);
    b->teacher = calloc(n, sizeof *b->teacher);
    ck_assert_ptr_nonnull(b->teacher);
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t row = i / vocab * vocab;

        b->teacher[i] = logits[row + (i - row + vocab - 1) % vocab] / 2;
    }
    free(logits);
    gqa_checkpoint_close(file);
}

static void free_batch(struct batch *b)
{
    free(b->decoder.tokens);
    free(b->decoder.lengths);
    free(b->encoder.tokens);
    free(b->encoder.lengths);
    free(b->teacher);
}

/* --- The loss ------------------------------------------------------------- */

/* Back from the loss of a batch; returns the loss. */
static double step(struct trained_model *m, const struct batch *b,
                   enum gqa_dtype real)
{
    const uint64_t vocab = m->network->vocab_size;
    const uint64_t n_rows = b->decoder.n * b->decoder.length;
    const size_t size = gqa_dtype_bits(real) / 8;
    const struct gqa_tape_options options = {
        .n_sequences = b->decoder.n,
        .length = b->decoder.length,
        .encoder_length = b->encoder.length,
        .trained = m->trained,
    };
    const struct gqa_tape_batch batch = {
        b->decoder.n,       b->decoder.tokens, b->decoder.length,
        b->decoder.lengths, b->encoder.tokens, b->encoder.length,
        b->encoder.lengths,
    };
    void *student = calloc(n_rows * vocab, size);
    void *teacher = calloc(n_rows * vocab, size);
    void *d_logits = calloc(n_rows * vocab, size);
    double *weights = calloc(n_rows, sizeof *weights);
    int32_t *labels = calloc(n_rows, sizeof *labels);
    double sums[4] = {0};
    uint64_t counted = 0;

    ck_assert(student && teacher && d_logits && weights && labels);
    for (uint64_t s = 0; s < b->decoder.n; s++)
        counted += b->decoder.lengths[s];
    for (uint64_t r = 0; r < n_rows; r++) {
        const uint64_t s = r / b->decoder.length;

        if (r % b->decoder.length < b->decoder.lengths[s])
            weights[r] = 1 / (double)counted;
        labels[r] = (b->decoder.tokens[r] * 7 + 3) % (int)vocab;
    }
    gqa_store_f64(teacher, real, b->teacher, n_rows * vocab);
    trained_tape(m, &options);
    ck_assert_int_eq(gqa_tape_forward(m->tape, &batch), GQA_OK);
    ck_assert_int_eq(gqa_tape_logits(m->tape, 0, n_rows, student), GQA_OK);
    ck_assert_int_eq(gqa_cpu_backend()->gradients->loss(
                         m->device,
                         &(struct gqa_loss_op){
                             .student = student,
                             .teacher = teacher,
                             .n_rows = n_rows,
                             .vocab_size = vocab,
                             .labels = labels,
                             .weights = weights,
                             .kl = 1,
                             .cross_entropy = LABELS,
                             .temperature = TEMPERATURE,
                             .soft_cap = m->network->logit_soft_cap,
                             .factor = m->network->logit_scale,
                             .d_logits = d_logits,
                             .sums = sums,
                         }),
                     GQA_OK);
    ck_assert_int_eq(gqa_tape_logits_back(m->tape, 0, n_rows, d_logits),
                     GQA_OK);
    ck_assert_int_eq(gqa_tape_back(m->tape), GQA_OK);
    free(student);
    free(teacher);
    free(d_logits);
    free(weights);
    free(labels);
    return sums[3];
}

/* --- Comparison ----------------------------------------------------------- */

/* Squares of errors and of what they are of. */
struct sum {
    double error, all;
};

static void add(struct sum *sum, double got, double want)
{
    sum->error += (got - want) * (got - want);
    sum->all += want * want;
}

/* A parameter's gradient: its norm, and some of its elements. */
static struct sum compare_param(const struct trained_model *m, size_t param,
                                const double *want, uint64_t n_want,
                                enum gqa_dtype real)
{
    const uint64_t n = m->model->params[param].n_elements;
    const uint64_t k = (n + 15) / 16;
    double *g = calloc(n, sizeof *g);
    double square = 0;
    struct sum sum = {0, 0};

    ck_assert_ptr_nonnull(g);
    ck_assert_ptr_nonnull(gqa_tape_gradient(m->tape, param));
    gqa_load_f64(g, gqa_tape_gradient(m->tape, param), real, n);
    for (uint64_t i = 0; i < n; i++)
        square += g[i] * g[i];
    add(&sum, sqrt(square), want[0]);
    for (uint64_t i = 0; i * k < n; i++) {
        ck_assert_uint_lt(i + 1, n_want);
        add(&sum, g[i * k], want[i + 1]);
    }
    free(g);
    return sum;
}

/* Every parameter's, each by itself in float64. */
static void compare(const struct trained_model *m, const char *fixture,
                    double loss, enum gqa_dtype real)
{
    struct gqa_checkpoint *file;
    struct sum whole = {0, 0};
    size_t n_compared = 0, n_trained = 0;
    char path[128];

    snprintf(path, sizeof path, "gradients/%s.safetensors",
             strchr(fixture, '/') + 1);
    file = open_file(path);
    for (size_t i = 0; i < m->model->n_params; i++)
        n_trained += m->trained[i];
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(file); i++) {
        const char *name = gqa_checkpoint_tensor(file, i)->name;
        const uint64_t *shape;
        uint64_t n;
        double *want = read_tensor(file, name, &n, &shape);
        struct sum sum = {0, 0};
        size_t param;

        if (strcmp(name, "loss") == 0) {
            add(&sum, loss, want[0]);
        } else {
            ck_assert_msg(gqa_model_find(m->model, name, &param), "%s", name);
            sum = compare_param(m, param, want, n, real);
            whole.error += sum.error;
            whole.all += sum.all;
            n_compared++;
        }
        if (real == GQA_F64)
            ck_assert_msg(sqrt(sum.error) <= 1e-9 * sqrt(sum.all) + 1e-14,
                          "%s: %s: %g of %g", fixture, name, sqrt(sum.error),
                          sqrt(sum.all));
        free(want);
    }
    ck_assert_uint_eq(n_compared, n_trained);
    ck_assert_msg(sqrt(whole.error) <=
                      (real == GQA_F64 ? 1e-9 : 1e-5) * sqrt(whole.all),
                  "%s: %g of %g", fixture, sqrt(whole.error), sqrt(whole.all));
    gqa_checkpoint_close(file);
}

START_TEST(agrees_with_autograd)
{
    for (int wide = 0; wide < 2; wide++) {
        const enum gqa_dtype real = wide ? GQA_F64 : GQA_F32;
        struct trained_model m;
        struct batch b;
        double loss;

        trained_open(&m, fixtures[_i], real, 2, NULL);
        read_batch(&b, fixtures[_i], m.network->vocab_size);
        loss = step(&m, &b, real);
        compare(&m, fixtures[_i], loss, real);
        free_batch(&b);
        trained_close(&m);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("autograd");
    TCase *tcase = tcase_create("autograd");

    tcase_add_loop_test(tcase, agrees_with_autograd, 0, N_FIXTURES);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
