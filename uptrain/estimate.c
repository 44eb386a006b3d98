#include "uptrain/estimate.h"

#include "common/units.h"
#include "runtime/back/tape.h"
#include "runtime/machine.h"
#include "runtime/state.h"
#include "runtime/values.h"
#include "uptrain/data.h"

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

/* Counts may be any that options allow, whose products are no integers. */
static uint64_t bytes_of(double n)
{
    return n < 0x1p62 ? (uint64_t)n : (uint64_t)1 << 62;
}

static size_t count_own(const struct gqa_uptrain_options *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->data.n; i++)
        n += o->data.items[i].kind == GQA_DATA_SELF;
    return n;
}

/* What files hold is there already, and not counted. */
static void add_host(struct gqa_estimate *e,
                     const struct gqa_uptrain_options *o,
                     const struct gqa_settings *settings,
                     const struct gqa_pair *pair, uint64_t wide,
                     const struct gqa_train_device *device)
{
    const size_t n_own = count_own(o);
    const uint64_t step = o->batch * o->accumulate;
    const uint64_t own = gqa_data_own_at_once(
        settings->n_own, step, gqa_session_most_drawn(device->backend),
        o->n_ranks > 0 ? o->n_ranks : 1);
    const bool encodes = pair->student.network->n_stacks > 1;
    const double tokens = (double)settings->length *
                          (double)((encodes ? 3 : 2) * sizeof(int32_t));
    const double sequence = (double)sizeof(struct gqa_sequence) + tokens;

    /* Each is in an order; what is held out has a figure for each position. */
    e->sequences =
        bytes_of((double)n_own * (double)own * (sequence + sizeof(uint64_t)) +
                 (n_own > 0 ? (double)o->n_held_out : 0) *
                     (sequence + (double)settings->length * sizeof(double)) +
                 (double)step * sizeof(void *));
    e->losses = bytes_of((double)o->n_steps * sizeof(double));
    e->copies =
        bytes_of((double)e->n_trained * (double)wide * (o->checkpoint ? 2 : 1));
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
    enum gqa_status st = gqa_runtime_create_empty(
        &runtime, network, device->backend, device->device);

    if (st != GQA_OK)
        return st;
    st = gqa_tape_bytes(runtime, &options, &least, &most);
    gqa_runtime_free(runtime);
    if (st != GQA_OK)
        return st;
    if (least == UINT64_MAX)
        return gqa_fail(
            GQA_ERR_NOMEM,
            "training on %llu tokens at once takes more memory "
            "than any machine has; give less --batch or --length",
            (unsigned long long)(settings->batch * settings->length));
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
    const uint64_t wide = gqa_wide_bytes(device->info.real);
    enum gqa_status st;

    *out = (struct gqa_estimate){
        .weights = teacher_bytes(pair),
        .logits = gqa_loss_bytes(pair->student.network, device->backend,
                                 device->info.real),
        .step_tokens = o->batch * o->accumulate * settings->length};
    add_params(out, o, pair, trained, wide);
    add_host(out, o, settings, pair, wide, device);
    st = add_run(out, pair->teacher.network, settings, NULL, device);
    return st == GQA_OK
               ? add_run(out, pair->student.network, settings, trained, device)
               : st;
}

/* in_place: it is the device's too, of which so much is needed. */
static enum gqa_status check_host(const struct gqa_estimate *e, uint64_t needed)
{
    const uint64_t all = e->sequences + e->losses + e->copies;
    uint64_t total, free;
    char host[GQA_UNITS_MAX], there[GQA_UNITS_MAX], sequences[GQA_UNITS_MAX];
    char losses[GQA_UNITS_MAX];

    gqa_machine_memory(&total, &free);
    if (free == 0 || (needed <= free && all <= free - needed))
        return GQA_OK;
    return gqa_fail(GQA_ERR_NOMEM,
                    "training keeps %s in memory beside what it computes with, "
                    "and %s are free: %s of sequences, which follow --samples, "
                    "--eval-sequences, --batch, --accumulate and --length, and "
                    "%s of losses, which follow --steps",
                    gqa_units_bytes(host, all),
                    gqa_units_bytes(there, needed < free ? free - needed : 0),
                    gqa_units_bytes(sequences, e->sequences),
                    gqa_units_bytes(losses, e->losses));
}

enum gqa_status gqa_estimate_check(const struct gqa_estimate *e,
                                   const struct gqa_train_device *device)
{
    const uint64_t needed = e->weights + e->training + e->logits + e->run;
    const uint64_t free = device->info.free_bytes;
    char all[GQA_UNITS_MAX], there[GQA_UNITS_MAX], run[GQA_UNITS_MAX];

    if (needed <= free)
        return check_host(e, device->backend->in_place ? needed : 0);
    return gqa_fail(GQA_ERR_NOMEM,
                    "training takes %s of the device's memory, and %s are "
                    "free; %s of it follow --batch and --length%s",
                    gqa_units_bytes(all, needed), gqa_units_bytes(there, free),
                    gqa_units_bytes(run, e->run),
                    e->training > e->run
                        ? ", most follows what --train names and --optimiser"
                        : "");
}
