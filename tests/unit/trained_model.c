#include "trained_model.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/families/load.h"
#include "runtime/uses.h"
#include "runtime/weights.h"
#include "scratch.h"

static void choose(struct trained_model *m, trained_choice *choice)
{
    const size_t n = m->model->n_params;
    enum gqa_use *uses = calloc(n, sizeof *uses);

    m->trained = calloc(n, sizeof *m->trained);
    ck_assert(uses && m->trained);
    gqa_use_all(uses, m->network);
    for (size_t i = 0; i < n; i++)
        m->trained[i] = gqa_use_is_trainable(uses[i]) &&
                        (!choice || choice(&m->model->params[i]));
    free(uses);
}

/* families/NAME and families/NAME-VARIANT may have their description beside
 * them; others are built in. */
static void open_model(struct trained_model *m, const char *fixture)
{
    struct gqa_model_hints hints = {.n_heads = 0};
    struct gqa_family_file *family = NULL;
    char path[128];

    if (strncmp(fixture, "families/", 9) == 0) {
        snprintf(path, sizeof path, "families/%.*s.json",
                 (int)strcspn(fixture + 9, "-"), fixture + 9);
        if (access(test_data(path), F_OK) == 0)
            ck_assert_int_eq(gqa_family_file_open(&family, test_data(path)),
                             GQA_OK);
        hints.family = family;
    }
    ck_assert_int_eq(gqa_model_create(&m->model, m->checkpoint, &hints),
                     GQA_OK);
    gqa_family_file_free(family);
    ck_assert_int_eq(gqa_network_create(&m->network, m->model), GQA_OK);
}

void trained_open(struct trained_model *m, const char *fixture,
                  enum gqa_dtype real, unsigned n_threads,
                  trained_choice *choice)
{
    static const struct gqa_checkpoint_options as_it_is;
    const struct gqa_backend *backend = gqa_cpu_backend();
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_tape_options options;

    memset(m, 0, sizeof *m);
    ck_assert_int_eq(
        gqa_checkpoint_open(&m->checkpoint, test_data(fixture), &as_it_is),
        GQA_OK);
    open_model(m, fixture);
    ck_assert_int_eq(backend->open(&m->device,
                                   &(struct gqa_device_options){
                                       .real = real, .n_threads = n_threads}),
                     GQA_OK);
    weights = (struct gqa_checkpoint_weights){m->checkpoint, m->model};
    source = gqa_checkpoint_weight_source(&weights);
    ck_assert_int_eq(gqa_runtime_create(&m->runtime, m->network, backend,
                                        m->device, &source),
                     GQA_OK);
    choose(m, choice);
    ck_assert_int_eq(gqa_masters_create(&m->masters, m->runtime, m->trained),
                     GQA_OK);
    options = trained_options(m);
    trained_tape(m, &options);
}

void trained_close(struct trained_model *m)
{
    gqa_tape_free(m->tape);
    gqa_masters_free(m->masters);
    gqa_runtime_free(m->runtime);
    gqa_cpu_backend()->close(m->device);
    gqa_network_free(m->network);
    gqa_model_free(m->model);
    gqa_checkpoint_close(m->checkpoint);
    free(m->trained);
}

struct gqa_tape_options trained_options(const struct trained_model *m)
{
    return (struct gqa_tape_options){
        .n_sequences = BATCH_SEQUENCES,
        .length = BATCH_LENGTH,
        .encoder_length = BATCH_INPUT,
        .trained = m->trained,
    };
}

void trained_tape(struct trained_model *m,
                  const struct gqa_tape_options *options)
{
    gqa_tape_free(m->tape);
    m->tape = NULL;
    ck_assert_int_eq(gqa_tape_create(&m->tape, m->runtime, options), GQA_OK);
}

const struct gqa_tape_batch *trained_batch(const struct trained_model *m)
{
    static int32_t decoder[BATCH_SEQUENCES * BATCH_LENGTH];
    static int32_t encoder[BATCH_SEQUENCES * BATCH_INPUT];
    static const uint64_t n_decoder[] = {BATCH_LENGTH, 4, 7};
    static const uint64_t n_encoder[] = {5, BATCH_INPUT, 1};
    static const struct gqa_tape_batch batch = {
        .n_sequences = BATCH_SEQUENCES,
        .decoder = decoder,
        .length = BATCH_LENGTH,
        .n_decoder = n_decoder,
        .encoder = encoder,
        .encoder_length = BATCH_INPUT,
        .n_encoder = n_encoder,
    };
    const int vocab = (int)m->network->vocab_size;

    for (int i = 0; i < BATCH_SEQUENCES * BATCH_LENGTH; i++)
        decoder[i] = (i * i * 31 + i * 7) % vocab;
    for (int i = 0; i < BATCH_SEQUENCES * BATCH_INPUT; i++)
        encoder[i] = (i * i * 17 + i * 5 + 3) % vocab;
    return &batch;
}
