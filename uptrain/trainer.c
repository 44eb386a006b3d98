#include "uptrain/trainer_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/values.h"
#include "uptrain/trainee_runs.h"

/* --- Making one ----------------------------------------------------------- */

/* The teacher once more, of the same weights, so that it runs while the student
 * does. */
static enum gqa_status create_beside(struct gqa_trainer *t)
{
    struct gqa_side *teacher = &t->pair->teacher;
    const struct gqa_weight_source weights =
        gqa_checkpoint_weight_source(&teacher->weights);
    const size_t n = teacher->model->n_params;
    size_t *same = calloc(n + 1, sizeof *same);
    enum gqa_status st;

    if (!same)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        same[i] = i;
    st = gqa_runtime_create_sharing(&t->teacher_beside, teacher->network,
                                    t->beside, &weights, t->teacher, same);
    free(same);
    return st;
}

static enum gqa_status create_runtimes(struct gqa_trainer *t)
{
    struct gqa_pair *p = t->pair;
    const struct gqa_weight_source teacher =
        gqa_checkpoint_weight_source(&p->teacher.weights);
    const struct gqa_weight_source student =
        gqa_checkpoint_weight_source(&p->student.weights);
    const size_t n = p->student.model->n_params;
    size_t *shared = calloc(n + 1, sizeof *shared);
    enum gqa_status st;

    if (!shared)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        shared[i] = t->trained[i] ? GQA_NO_PARAM : p->same[i];
    st = gqa_runtime_create(&t->teacher, p->teacher.network, t->backend,
                            t->device, &teacher);
    if (st == GQA_OK)
        st =
            gqa_runtime_create_sharing(&t->student, p->student.network,
                                       t->device, &student, t->teacher, shared);
    free(shared);
    return st == GQA_OK && t->beside ? create_beside(t) : st;
}

static enum gqa_status create_tapes(struct gqa_trainer *t)
{
    struct gqa_tape_options options = {
        .n_sequences = t->options.batch,
        .length = t->options.length,
        .encoder_length =
            t->pair->student.network->n_stacks > 1 ? t->options.length : 0};
    struct gqa_device_info info;
    enum gqa_status st = gqa_tape_create(
        &t->teacher_tape, t->beside ? t->teacher_beside : t->teacher, &options);

    if (st == GQA_OK)
        st = t->backend->describe(t->device, &info);
    if (st != GQA_OK)
        return st;
    options.trained = t->trained;
    /* What is free, less what the rest takes. */
    options.keep_bytes = info.free_bytes / 2;
    return gqa_tape_create(&t->student_tape, t->student, &options);
}

static enum gqa_status list_trainees(struct gqa_trainer *t)
{
    const struct gqa_model *model = t->pair->student.model;

    t->trainees = calloc(model->n_params + 1, sizeof *t->trainees);
    if (!t->trainees)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_master *m = gqa_masters_of(t->masters, i);
        bool is_matrix;

        if (!m)
            continue;
        is_matrix = m->rows > 1 && m->cols > 1;
        t->trainees[t->n++] = (struct gqa_trainee){
            .param = i,
            .n_rows = is_matrix ? m->rows : 1,
            .n_cols = is_matrix ? m->cols : m->n,
            .weights = m->weights,
            .gradients = gqa_tape_gradient(t->student_tape, i),
            .copy = m->copy,
            .copy_dtype = m->copy_dtype};
    }
    return GQA_OK;
}

static enum gqa_status create_fetched(struct gqa_trainer *t)
{
    return t->backend->in_place
               ? GQA_OK
               : t->backend->stage_open(t->device, &t->fetched,
                                        N_SUMS * sizeof(double));
}

enum gqa_status gqa_trainer_create(struct gqa_trainer **out,
                                   const struct gqa_train_device *device,
                                   struct gqa_pair *pair, const bool *trained,
                                   const struct gqa_trainer_options *options)
{
    struct gqa_trainer *t = calloc(1, sizeof *t);
    enum gqa_status st;

    if (!t)
        return gqa_fail_nomem();
    t->backend = device->backend;
    t->device = device->device;
    t->beside = device->beside;
    t->wide = gqa_wide_of(device->info.real);
    t->pair = pair;
    t->trained = trained;
    t->options = *options;
    if ((st = create_runtimes(t)) != GQA_OK ||
        (st = gqa_masters_create(&t->masters, t->student, trained)) != GQA_OK ||
        (st = gqa_loss_create(&t->loss, t->backend, t->device, t->beside,
                              pair->student.network)) != GQA_OK ||
        (st = create_tapes(t)) != GQA_OK || (st = list_trainees(t)) != GQA_OK ||
        (st = gqa_optimiser_create(&t->optimiser, t->backend, t->device,
                                   t->trainees, t->n, &options->optimiser)) !=
            GQA_OK ||
        (st = t->backend->alloc(t->device, &t->sums,
                                N_SUMS * sizeof(double))) != GQA_OK ||
        (st = create_fetched(t)) != GQA_OK ||
        (st = gqa_train_batch_create(&t->batch, options->batch,
                                     options->length)) != GQA_OK)
        goto done;
    *out = t;
    t = NULL;
done:
    gqa_trainer_free(t);
    return st;
}

void gqa_trainer_free(struct gqa_trainer *t)
{
    if (!t)
        return;
    gqa_train_batch_clear(&t->batch);
    if (t->fetched)
        t->backend->stage_close(t->device, t->fetched);
    if (t->sums)
        t->backend->free(t->device, t->sums);
    gqa_optimiser_free(t->optimiser);
    gqa_loss_free(t->loss);
    gqa_tape_free(t->student_tape);
    gqa_tape_free(t->teacher_tape);
    gqa_masters_free(t->masters);
    gqa_runtime_free(t->student);
    gqa_runtime_free(t->teacher_beside);
    gqa_runtime_free(t->teacher);
    free(t->trainees);
    free(t);
}

struct gqa_runtime *gqa_trainer_teacher(struct gqa_trainer *t)
{
    return t->teacher;
}

/* --- A step --------------------------------------------------------------- */

static enum gqa_status take_batch(struct gqa_trainer *t,
                                  const struct gqa_sequence *const *sequences,
                                  uint64_t n, double weight)
{
    t->is_ahead = false;
    gqa_train_batch_fill(&t->batch, sequences, n, gqa_trainer_start_token(t),
                         weight);
    return gqa_loss_wants_teacher(&t->options.loss)
               ? gqa_trainer_run(t, t->teacher_tape)
               : GQA_OK;
}

/* Behind take_batch(). */
static enum gqa_status accumulate(struct gqa_trainer *t)
{
    const struct gqa_loss_rows rows = {t->batch.labels, t->batch.weights};
    struct gqa_loss_mix mix = t->options.loss;
    enum gqa_status st = gqa_trainer_run(t, t->student_tape);

    mix.cross_entropy *= t->counted_by_followed;
    t->is_ahead = false;
    if (st == GQA_OK)
        st = gqa_loss_back(t->loss, &mix, t->teacher_tape, t->student_tape,
                           &rows, t->sums);
    return st == GQA_OK ? gqa_tape_back(t->student_tape) : st;
}

static enum gqa_status clean(struct gqa_trainer *t)
{
    const enum gqa_status st =
        t->is_clean ? GQA_OK : gqa_tape_zero(t->student_tape);

    t->is_clean = st == GQA_OK;
    return st;
}

/* Of a step's sequences this rank's, and what each position counts. */
struct part {
    const struct gqa_sequence *const *sequences;
    uint64_t n, n_counted, n_followed, n_tokens;
    double weight;
};

static struct part part_of(const struct gqa_trainer *t,
                           const struct gqa_sequence *const *sequences)
{
    struct part p = {.sequences = sequences};
    uint64_t first;

    for (uint64_t s = 0; s < t->options.n_sequences; s++) {
        p.n_counted += gqa_sequence_counted(sequences[s]);
        p.n_followed += gqa_sequence_followed(sequences[s]);
        p.n_tokens += sequences[s]->n_encoder + sequences[s]->n_decoder;
    }
    p.n = gqa_ranks_part(t->options.ranks, t->options.n_sequences, &first);
    p.sequences += first;
    p.weight = 1 / (double)gqa_max_u64(p.n_counted, 1);
    return p;
}

/* is_ahead: the first batch is there already. */
static enum gqa_status run_part(struct gqa_trainer *t, const struct part *p,
                                bool is_ahead)
{
    enum gqa_status st = clean(t);

    if (st == GQA_OK)
        st = t->backend->zero(t->device, t->sums, N_SUMS * sizeof(double));
    t->is_clean = false;
    for (uint64_t at = 0; at < p->n && st == GQA_OK; at += t->options.batch) {
        if (at > 0 || !is_ahead)
            st =
                take_batch(t, p->sequences + at,
                           gqa_min_u64(t->options.batch, p->n - at), p->weight);
        if (st == GQA_OK)
            st = accumulate(t);
    }
    return st;
}

/* Gradients and losses of all ranks. */
static enum gqa_status add_up(struct gqa_trainer *t)
{
    struct gqa_trainee_runs runs;
    struct gqa_summands *list;
    enum gqa_status st;

    if (!t->options.ranks)
        return GQA_OK;
    st = gqa_trainee_runs_create(&runs, t->trainees, t->n, gqa_trainer_wide(t));
    if (st != GQA_OK)
        return st;
    list = calloc(runs.n + 1, sizeof *list);
    if (!list)
        st = gqa_fail_nomem();
    for (size_t i = 0; list && i < runs.n; i++)
        list[i] = (struct gqa_summands){
            gqa_tape_gradient(t->student_tape, runs.items[i].param),
            runs.items[i].n_cols, t->wide};
    if (list) {
        list[runs.n] = (struct gqa_summands){t->sums, N_LOSSES, GQA_F64};
        st = gqa_ranks_sum(t->options.ranks, list, runs.n + 1);
    }
    free(list);
    gqa_trainee_runs_clear(&runs);
    return st;
}

static enum gqa_status fetch_sums(struct gqa_trainer *t)
{
    return t->fetched ? t->backend->stage_fetch(t->device, t->fetched, t->sums,
                                                N_SUMS * sizeof(double))
                      : GQA_OK;
}

static enum gqa_status take_sums(struct gqa_trainer *t, double sums[N_SUMS])
{
    const size_t n_bytes = N_SUMS * sizeof *sums;
    enum gqa_status st;

    if (!t->fetched)
        return t->backend->download(t->device, sums, t->sums, n_bytes);
    st = t->backend->stage_wait(t->device, t->fetched);
    if (st == GQA_OK)
        memcpy(sums, t->fetched->data, n_bytes);
    return st;
}

enum gqa_status gqa_trainer_begin(struct gqa_trainer *t,
                                  const struct gqa_sequence *const *sequences,
                                  uint64_t number)
{
    const struct part part = part_of(t, sequences);
    /* What was run ahead was of the step that follows, or is of no use. */
    const bool is_ahead = t->is_ahead && number == t->number + 1;
    enum gqa_status st;

    t->counted_by_followed =
        (double)part.n_counted / (double)gqa_max_u64(part.n_followed, 1);
    st = run_part(t, &part, is_ahead);
    t->number = number;
    t->result = (struct gqa_step_result){.n_counted = part.n_counted,
                                         .n_tokens = part.n_tokens};
    st = gqa_ranks_agree(t->options.ranks, st);
    if (st == GQA_OK)
        st = add_up(t);
    if (st == GQA_OK)
        st = gqa_optimiser_norm2(t->optimiser, (double *)t->sums + NORM);
    return st == GQA_OK ? fetch_sums(t) : st;
}

void gqa_trainer_run_ahead(struct gqa_trainer *t,
                           const struct gqa_sequence *const *sequences)
{
    const struct part part = part_of(t, sequences);
    const uint64_t n = gqa_min_u64(t->options.batch, part.n);

    t->is_ahead = take_batch(t, part.sequences, n, part.weight) == GQA_OK;
}

enum gqa_status gqa_trainer_end(struct gqa_trainer *t,
                                struct gqa_step_result *out, double rate)
{
    double sums[N_SUMS];
    enum gqa_status st = take_sums(t, sums);

    *out = t->result;
    if (st == GQA_OK)
        st = gqa_ranks_check(t->options.ranks);
    if (st != GQA_OK)
        return st;
    out->kl = sums[0];
    out->reverse_kl = sums[1];
    out->cross_entropy = sums[2] * t->counted_by_followed;
    out->loss = sums[3];
    out->norm = sqrt(sums[NORM]);
    if (!isfinite(out->loss) || !isfinite(out->norm))
        return gqa_trainer_refuse(t, out->loss);
    st = gqa_optimiser_step(t->optimiser, t->number, rate, out->norm);
    if (st == GQA_OK)
        st = gqa_masters_settle(t->masters);
    /* For the next step, while the host sees to this one's end. */
    return st == GQA_OK ? clean(t) : st;
}
