#include "uptrain/estimate.h"

#include "common/units.h"
#include "runtime/back/tape.h"
#include "runtime/state.h"

static uint64_t teacher_bytes(const struct gqa_pair *pair)
{
    const struct gqa_model *model = pair->teacher.model;
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        n += model->params[i].n_bytes;
    return n;
}

static void add_params(struct gqa_estimate *e,
                       const struct gqa_uptrain_options *o,
                       const struct gqa_pair *pair, const bool *trained,
                       uint64_t wide)
{
    const struct gqa_model *model = pair->student.model;

    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_param *p = &model->params[i];
        const bool is_matrix = p->rows > 1 && p->cols > 1;

        e->n_elements += p->n_elements;
        if (trained[i]) {
            e->n_trained += p->n_elements;
            e->n_params++;
            e->training +=
                wide * p->n_elements +
                gqa_optimiser_bytes((enum gqa_optimiser_kind)o->optimiser,
                                    is_matrix ? p->rows : 1,
                                    is_matrix ? p->cols : p->n_elements, wide);
        } else if (pair->same[i] == GQA_NO_PARAM) {
            e->weights += p->n_bytes;
        }
    }
}

/* What a tape of a model takes. trained: NULL: it does not go back. */
static enum gqa_status add_run(struct gqa_estimate *e,
                               const struct gqa_network *network,
                               const struct gqa_settings *settings,
                               const bool *trained,
                               const struct gqa_train_device *device)
{
    const struct gqa_tape_options options = {
        .n_sequences = settings->batch,
        .length = settings->length,
        .encoder_length = network->n_stacks > 1 ? settings->length : 0,
        .trained = trained};
    struct gqa_runtime *runtime = NULL;
    uint64_t least = 0, most = 0;
    const enum gqa_status st = gqa_runtime_create_empty(
        &runtime, network, device->backend, device->device);

    if (st != GQA_OK)
        return st;
    gqa_tape_bytes(runtime, &options, &least, &most);
    gqa_runtime_free(runtime);
    if (least == UINT64_MAX)
        return gqa_fail_prefix(GQA_ERR_NOMEM, "training");
    e->run += least;
    e->fast += most;
    return GQA_OK;
}

enum gqa_status gqa_estimate_make(struct gqa_estimate *out,
                                  const struct gqa_uptrain_options *o,
                                  const struct gqa_settings *settings,
                                  const struct gqa_pair *pair,
                                  const bool *trained,
                                  const struct gqa_train_device *device)
{
    enum gqa_status st;

    *out = (struct gqa_estimate){
        .weights = teacher_bytes(pair),
        .logits = gqa_loss_bytes(pair->student.network, device->backend,
                                 device->info.real),
        .step_tokens = o->batch * o->accumulate * settings->length};
    add_params(out, o, pair, trained,
               device->info.real == GQA_F64 ? sizeof(double) : sizeof(float));
    st = add_run(out, pair->teacher.network, settings, NULL, device);
    return st == GQA_OK
               ? add_run(out, pair->student.network, settings, trained, device)
               : st;
}

enum gqa_status gqa_estimate_check(const struct gqa_estimate *e,
                                   const struct gqa_train_device *device)
{
    const uint64_t needed = e->weights + e->training + e->logits + e->run;
    const uint64_t free = device->info.free_bytes;
    char all[GQA_UNITS_MAX], there[GQA_UNITS_MAX], run[GQA_UNITS_MAX];

    if (needed <= free)
        return GQA_OK;
    return gqa_fail(GQA_ERR_NOMEM,
                    "training takes %s of the device's memory, and %s are "
                    "free; %s of it follow --batch and --length%s",
                    gqa_units_bytes(all, needed), gqa_units_bytes(there, free),
                    gqa_units_bytes(run, e->run),
                    e->training > e->run
                        ? ", most follows what --train names and --optimiser"
                        : "");
}
