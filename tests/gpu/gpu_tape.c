/* Whole models' gradients, of blocks of all kinds, against the CPU's in
 * float64; and once more, for the same bits. GQA_TEST_DATA: tests/data. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "runtime/back/masters.h"
#include "runtime/back/tape.h"
#include "runtime/runtime.h"
#include "runtime/uses.h"
#include "runtime/values.h"
#include "runtime/weights.h"
#include "twin.h"

static const char *const fixtures[] = {
    "runtime/llama-grouped",
    "runtime/gpt2",
    "runtime/gpt_neox",
    "runtime/t5-v1_1",
    "families/gemma2",
    "families/granite",
    "families/roberta-decoder",
    "families/mixtral",
    "families/qwen2_moe",
    "families/granitemoe",
    "families/phimoe",
    "families/switch_transformers",
    "families/switch_transformers-full",
    "families/olmoe-clip",
    "families/mpt-clip",
    "families/apertus",
    "families/blenderbot_small",
    "families/whisper",
    "families/speech_to_text",
    "families/musicgen",
    "families/gpt2-cross",
    "families/t5gemma",
    "families/chatglm",
    "families/udop",
    "families/longt5",
    "families/longt5-global",
    "families/nllb_moe",
    "families/dots1",
    "families/granitemoeshared",
    "families/gpt_oss",
    "families/hunyuan",
    "families/bloom-normed",
    "families/opt-350m",
};

enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };
enum { SEQUENCES = 3, LENGTH = 10, INPUT = 9, ROWS = SEQUENCES * LENGTH };

/* A fixture and its network; runs on both devices. */
struct subject {
    const char *name;
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    bool *trained;
    uint64_t n; /* elements of all gradients */
};

static void open_subject(struct subject *s, const char *name)
{
    static const struct gqa_checkpoint_options as_it_is;
    const struct gqa_model_hints hints = {.n_heads = 0};
    const char *folder = getenv("GQA_TEST_DATA");
    enum gqa_use *uses;
    char path[512];

    *s = (struct subject){.name = name};
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "tests/data", name);
    gpu_must(gqa_checkpoint_open(&s->checkpoint, path, &as_it_is), path);
    gpu_must(gqa_model_create(&s->model, s->checkpoint, &hints), path);
    gpu_must(gqa_network_create(&s->network, s->model), path);
    s->trained = must_allocate(s->model->n_params, sizeof *s->trained);
    uses = must_allocate(s->model->n_params, sizeof *uses);
    gqa_use_all(uses, s->network);
    for (size_t i = 0; i < s->model->n_params; i++) {
        s->trained[i] = gqa_use_is_trainable(uses[i]);
        s->n += s->trained[i] ? s->model->params[i].n_elements : 0;
    }
    free(uses);
}

static void close_subject(struct subject *s)
{
    gqa_network_free(s->network);
    gqa_model_free(s->model);
    gqa_checkpoint_close(s->checkpoint);
    free(s->trained);
}

/* Sequences of different lengths, always the same. */
static struct gqa_tape_batch batch_of(const struct subject *s)
{
    static const uint64_t n_decoder[SEQUENCES] = {LENGTH, 4, 7};
    static const uint64_t n_encoder[SEQUENCES] = {5, INPUT, 1};
    static int32_t decoder[ROWS], encoder[SEQUENCES * INPUT];
    const int vocab = (int)s->network->vocab_size;

    for (int i = 0; i < ROWS; i++)
        decoder[i] = (i * i * 31 + i * 7) % vocab;
    for (int i = 0; i < SEQUENCES * INPUT; i++)
        encoder[i] = (i * i * 17 + i * 5 + 3) % vocab;
    return (struct gqa_tape_batch){SEQUENCES, decoder, LENGTH,   n_decoder,
                                   encoder,   INPUT,   n_encoder};
}

/* d of logits: eighths, which all types hold; 0 in padding. */
static void *weights_of(const struct subject *s,
                        const struct gqa_backend *backend,
                        struct gqa_device *device, enum gqa_dtype real)
{
    const uint64_t vocab = s->network->vocab_size;
    const struct gqa_tape_batch b = batch_of(s);
    double *w = must_allocate(ROWS * vocab, sizeof *w);
    void *out = NULL;

    for (uint64_t i = 0; i < ROWS * vocab; i++) {
        const uint64_t row = i / vocab;

        if (row % LENGTH < b.n_decoder[row / LENGTH])
            w[i] = ((double)(i * i * 29 % 17) - 8) / 8;
    }
    gpu_must(
        backend->alloc(device, &out, ROWS * vocab * gqa_dtype_bits(real) / 8),
        s->name);
    gpu_must(gqa_values_upload(backend, device, out, real, w, ROWS * vocab),
             s->name);
    free(w);
    return out;
}

static void go_back(struct gqa_tape *tape, const struct subject *s, void *d)
{
    const struct gqa_tape_batch b = batch_of(s);

    gpu_must(gqa_tape_forward(tape, &b), s->name);
    gpu_must(gqa_tape_logits_back(tape, 0, ROWS, d), s->name);
    gpu_must(gqa_tape_back(tape), s->name);
}

/* All gradients, one behind the other; the caller's. */
static double *gradients_of(const struct subject *s,
                            const struct gqa_backend *backend,
                            struct gqa_device *device, enum gqa_dtype real)
{
    struct gqa_checkpoint_weights weights = {s->checkpoint, s->model};
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&weights);
    const struct gqa_tape_options options = {.n_sequences = SEQUENCES,
                                             .length = LENGTH,
                                             .encoder_length = INPUT,
                                             .trained = s->trained};
    double *all = must_allocate(s->n, sizeof *all);
    struct gqa_runtime *runtime = NULL;
    struct gqa_masters *masters = NULL;
    struct gqa_tape *tape = NULL;
    uint64_t at = 0;
    void *d;

    gpu_must(gqa_runtime_create(&runtime, s->network, backend, device, &source),
             s->name);
    gpu_must(gqa_masters_create(&masters, runtime, s->trained), s->name);
    gpu_must(gqa_tape_create(&tape, runtime, &options), s->name);
    d = weights_of(s, backend, device, real);
    go_back(tape, s, d);
    for (size_t i = 0; i < s->model->n_params; i++) {
        const uint64_t n = s->model->params[i].n_elements;

        if (!s->trained[i])
            continue;
        gpu_must(gqa_values_download(backend, device, all + at,
                                     gqa_tape_gradient(tape, i),
                                     gqa_wide_of(real), n),
                 s->name);
        at += n;
    }
    backend->free(device, d);
    gqa_tape_free(tape);
    gqa_masters_free(masters);
    gqa_runtime_free(runtime);
    return all;
}

/*
 * In float32 all is near; what is rounded to a half type may give a row other
 * experts, and is held against itself alone. Gradients exceed float16.
 */
static void check_fixture(const char *name)
{
    struct subject s;
    double *got, *again, *want;

    open_subject(&s, name);
    got = gradients_of(&s, gpu.backend, gpu.device, gpu.real);
    again = gradients_of(&s, gpu.backend, gpu.device, gpu.real);
    check_true(memcmp(got, again, s.n * sizeof *got) == 0,
               "gradients of %s once more", name);
    if (gpu.real == GQA_F32) {
        want = gradients_of(&s, gqa_cpu_backend(), twin_cpu(), GQA_F64);
        check_values(got, want, s.n, 1e-5, "gradients of %s", name);
        free(want);
    }
    free(got);
    free(again);
    close_subject(&s);
}

static void tests(void)
{
    if (gpu.real == GQA_F16)
        return;
    for (size_t i = 0; i < N_FIXTURES; i++)
        check_fixture(fixtures[i]);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
