/*
 * The saved state of a run of gqa-uptrain: any bytes. What is accepted is a run
 * that can go on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "align/learning.h"
#include "common/log.h"
#include "fuzz.h"
#include "uptrain/saved.h"
#include "uptrain/trained.h"

enum { N_STEPS = 8, LENGTH = 4 };

static const char model[] = GQA_DATA "/runtime/llama";
static const char name[] = "uptrain-state.safetensors";

static struct gqa_pair pair;
static struct gqa_train_device device;
static bool *trained;
static struct gqa_trainer *trainer;
static void *best;
static char folder[] = "/tmp/fuzz-state-XXXXXX";
static json_t *what;

static void end(void)
{
    char path[64];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    rmdir(folder);
    json_decref(what);
    free(best);
    gqa_trainer_free(trainer);
    gqa_train_device_close(&device);
    free(trained);
    gqa_pair_close(&pair);
}

/* A model that is its own original, of which one norm is trained. */
static void begin(void)
{
    const struct gqa_pair_options open = {
        .teacher = model, .student = model, .n_threads = 1};
    const struct gqa_trainer_options options = {
        .loss = {.kl = 1}, .batch = 1, .n_sequences = 1, .length = LENGTH};
    struct gqa_trained_facts facts;

    gqa_log_init("fuzz", GQA_LOG_ERROR);
    if (gqa_pair_open(&pair, &open) != GQA_OK ||
        gqa_train_device_open(&device, GQA_LEARN_CPU, 0, GQA_TRAIN_DTYPE_AUTO,
                              1) != GQA_OK)
        abort();
    facts = (struct gqa_trained_facts){.network = pair.student.network,
                                       .used = pair.used,
                                       .differs = pair.differs};
    trained = calloc(pair.student.model->n_params, sizeof *trained);
    if (!trained ||
        gqa_trained_mark(trained, "model.norm.weight", &facts) != GQA_OK ||
        gqa_trainer_create(&trainer, &device, &pair, trained, &options) !=
            GQA_OK)
        abort();
    best = malloc(gqa_trainer_bytes(trainer));
    what = json_pack("{s:i}", "seed", 0);
    if (!best || !what || !mkdtemp(folder))
        abort();
    atexit(end);
}

static void write_state(const uint8_t *data, size_t size)
{
    char path[64];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    out = fopen(path, "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out) != 0)
        abort();
}

static void check(const struct gqa_history *h)
{
    if (h->n_steps > h->room || h->n_evaluations == 0 ||
        h->best >= h->n_evaluations || !(h->rate > 0) || !(h->seconds >= 0))
        abort();
    for (size_t i = 0; i < h->n_evaluations; i++)
        if (h->evaluations[i].step > h->n_steps ||
            h->evaluations[i].kl < gqa_history_best(h)->kl)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_saved saved = {.folder = folder};
    struct gqa_history history;
    bool found;

    if (!trainer)
        begin();
    saved.what = what;
    write_state(data, size);
    if (gqa_history_create(&history, N_STEPS) != GQA_OK)
        abort();
    if (gqa_saved_read(&found, &saved, trainer, &history, best) == GQA_OK)
        check(&history);
    gqa_history_clear(&history);
    return 0;
}
