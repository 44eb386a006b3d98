#include "uptrain/trainer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "runtime/back/masters.h"
#include "runtime/values.h"
#include "uptrain/batch.h"
#include "uptrain/ranks_compared.h"
#include "uptrain/trainee_runs.h"

/* Sums on the device: of the loss (gqa_loss_op), and the squares of all
 * gradients. */
enum { N_LOSSES = 4, NORM = N_LOSSES, N_SUMS };

struct gqa_trainer {
    struct gqa_pair *pair;
    const bool *trained;
    struct gqa_trainer_options options;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype wide;
    struct gqa_runtime *teacher, *student;
    struct gqa_tape *teacher_tape, *student_tape;
    struct gqa_masters *masters;
    struct gqa_trainee *trainees;
    size_t n;
    struct gqa_optimiser *optimiser;
    struct gqa_loss *loss;
    void *sums;                  /* device float64 [N_SUMS] */
    struct gqa_staging *fetched; /* them, on the host; NULL: the device is it */
    struct gqa_train_batch batch;
    struct gqa_step_result result; /* of the step that has begun */
    uint64_t number;               /* its */
    bool is_ahead; /* the batch is the next step's, and the teacher has run */
    bool is_clean; /* gradients are 0 */
};

/* --- Making one ----------------------------------------------------------- */

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
        st = gqa_runtime_create_sharing(&t->student, p->student.network,
                                        &student, t->teacher, shared);
    free(shared);
    return st;
}

static enum gqa_status create_tapes(struct gqa_trainer *t)
{
    struct gqa_tape_options options = {
        .n_sequences = t->options.batch,
        .length = t->options.length,
        .encoder_length =
            t->pair->student.network->n_stacks > 1 ? t->options.length : 0};
    struct gqa_device_info info;
    enum gqa_status st =
        gqa_tape_create(&t->teacher_tape, t->teacher, &options);

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
    t->wide = gqa_wide_of(device->info.real);
    t->pair = pair;
    t->trained = trained;
    t->options = *options;
    if ((st = create_runtimes(t)) != GQA_OK ||
        (st = gqa_masters_create(&t->masters, t->student, trained)) != GQA_OK ||
        (st = gqa_loss_create(&t->loss, t->backend, t->device,
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
    gqa_runtime_free(t->teacher);
    free(t->trainees);
    free(t);
}

struct gqa_runtime *gqa_trainer_teacher(struct gqa_trainer *t)
{
    return t->teacher;
}

/* --- A step --------------------------------------------------------------- */

static int32_t start_token(const struct gqa_trainer *t)
{
    return (int32_t)t->pair->teacher.network->start_token;
}

static enum gqa_status run(struct gqa_trainer *t, struct gqa_tape *tape)
{
    return gqa_interrupt_pending()
               ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
               : gqa_tape_forward(tape, &t->batch.tape);
}

/* n sequences, and the teacher over them where the loss wants it. */
static enum gqa_status take_batch(struct gqa_trainer *t,
                                  const struct gqa_sequence *const *sequences,
                                  uint64_t n, double weight)
{
    t->is_ahead = false;
    gqa_train_batch_fill(&t->batch, sequences, n, start_token(t), weight);
    return gqa_loss_wants_teacher(&t->options.loss) ? run(t, t->teacher_tape)
                                                    : GQA_OK;
}

/* Behind take_batch(). */
static enum gqa_status accumulate(struct gqa_trainer *t)
{
    const struct gqa_loss_rows rows = {t->batch.labels, t->batch.weights};
    enum gqa_status st = run(t, t->student_tape);

    t->is_ahead = false;
    if (st == GQA_OK)
        st = gqa_loss_back(t->loss, &t->options.loss, t->teacher_tape,
                           t->student_tape, &rows, t->sums);
    return st == GQA_OK ? gqa_tape_back(t->student_tape) : st;
}

static uint64_t trainee_values(const struct gqa_trainer *t, size_t i)
{
    return t->trainees[i].n_rows * t->trainees[i].n_cols;
}

static enum gqa_status clean(struct gqa_trainer *t)
{
    enum gqa_status st;

    st = t->backend->zero(t->device, t->sums, N_SUMS * sizeof(double));
    if (st == GQA_OK && !t->is_clean)
        st = gqa_tape_zero(t->student_tape);
    t->is_clean = st == GQA_OK;
    return st;
}

/* Trainee i's gradient alone. */
static enum gqa_status is_finite(bool *out, struct gqa_trainer *t, size_t i)
{
    double square = 0;
    enum gqa_status st = t->backend->zero(t->device, t->sums, sizeof square);

    if (st == GQA_OK)
        st = t->backend->gradients->norm2(
            t->device, t->sums, t->trainees[i].gradients, trainee_values(t, i));
    if (st == GQA_OK)
        st = t->backend->download(t->device, &square, t->sums, sizeof square);
    *out = isfinite(square);
    return st;
}

/*
 * Gradients go from the last layer to the first, and what is not finite goes
 * with them: the last attention that has such a one is where it began.
 */
static enum gqa_status find_culprit(const char **name, struct gqa_trainer *t)
{
    const struct gqa_model *model = t->pair->student.model;
    size_t last = 0, found = GQA_NO_PARAM;

    for (size_t i = 0; i < t->n; i++) {
        size_t place = 0;
        bool finite = true;
        const enum gqa_status st = is_finite(&finite, t, i);

        if (st != GQA_OK)
            return st;
        if (finite)
            continue;
        for (size_t k = 0; k < model->n_attentions; k++) {
            const struct gqa_attention *a = &model->attentions[k];
            const size_t param = t->trainees[i].param;

            if (param == a->q.weight || param == a->k.weight ||
                param == a->v.weight || param == a->o.weight)
                place = k + 1;
        }
        if (found == GQA_NO_PARAM || place > last) {
            found = i;
            last = place;
        }
    }
    *name = found == GQA_NO_PARAM
                ? NULL
                : model->params[t->trainees[found].param].name;
    return GQA_OK;
}

/* What the last forward() says of it; out: "" where logits are finite. */
static enum gqa_status find_layer(char *out, size_t size,
                                  const struct gqa_trainer *t, double loss)
{
    char part[64];
    enum gqa_status st;

    out[0] = '\0';
    if (isfinite(loss))
        return GQA_OK;
    st = gqa_tape_find_fault(part, sizeof part, t->student_tape);
    snprintf(out, size, ", not finite since %s", part);
    return st;
}

static enum gqa_status refuse(struct gqa_trainer *t, double loss)
{
    const char *what = isnan(loss)      ? "the loss is not a number"
                       : isfinite(loss) ? "gradients are too large"
                                        : "the loss is infinite";
    const char *name = NULL;
    char layer[96];
    enum gqa_status st = find_culprit(&name, t);

    if (st == GQA_OK)
        st = find_layer(layer, sizeof layer, t, loss);
    if (st != GQA_OK)
        return st;
    return name ? gqa_fail(GQA_ERR_FORMAT,
                           "%s%s, and the gradient of '%s' is not finite", what,
                           layer, name)
                : gqa_fail(GQA_ERR_FORMAT, "%s%s", what, layer);
}

/* Of a step's sequences this rank's, and what each position counts. */
struct part {
    const struct gqa_sequence *const *sequences;
    uint64_t n, n_counted, n_tokens;
    double weight;
};

static struct part part_of(const struct gqa_trainer *t,
                           const struct gqa_sequence *const *sequences)
{
    struct part p = {.sequences = sequences};
    uint64_t first;

    for (uint64_t s = 0; s < t->options.n_sequences; s++) {
        p.n_counted += gqa_sequence_counted(sequences[s]);
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
    enum gqa_status st = run_part(t, &part, is_ahead);

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
    out->cross_entropy = sums[2];
    out->loss = sums[3];
    out->norm = sqrt(sums[NORM]);
    if (!isfinite(out->loss) || !isfinite(out->norm))
        return refuse(t, out->loss);
    st = gqa_optimiser_step(t->optimiser, t->number, rate, out->norm);
    return st == GQA_OK ? gqa_masters_settle(t->masters) : st;
}

/* --- Measures ------------------------------------------------------------- */

struct measuring {
    struct gqa_trainer *trainer;
    uint64_t first;                /* number of the batch's first sequence */
    struct gqa_compared *compared; /* [room] */
    uint64_t n, room;
};

static enum gqa_status add_rows(void *ctx, uint64_t row, uint64_t n,
                                const struct gqa_logit_comparison *rows)
{
    struct measuring *m = ctx;
    const struct gqa_train_batch *b = &m->trainer->batch;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t at = row + i;

        if (b->weights[at] == 0)
            continue;
        assert(m->n < m->room);
        m->compared[m->n++] = (struct gqa_compared){
            .comparison = rows[i],
            .place = {m->first + at / b->tape.length, at % b->tape.length},
            .has_next = b->labels[at] >= 0};
    }
    return GQA_OK;
}

static enum gqa_status measure_batch(struct measuring *m,
                                     const struct gqa_sequence *sequences,
                                     uint64_t n)
{
    struct gqa_trainer *t = m->trainer;
    const struct gqa_loss_visit visit = {.rows = add_rows, .ctx = m};
    const struct gqa_loss_rows rows = {t->batch.labels, t->batch.weights};
    const struct gqa_sequence **list = calloc(n, sizeof *list);
    enum gqa_status st;

    if (!list)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        list[i] = &sequences[i];
    t->is_ahead = false;
    gqa_train_batch_fill(&t->batch, list, n, start_token(t), 1);
    st = run(t, t->teacher_tape);
    if (st == GQA_OK)
        st = run(t, t->student_tape);
    if (st == GQA_OK)
        st = gqa_loss_visit(t->loss, t->teacher_tape, t->student_tape, &rows,
                            &visit);
    free(list);
    return st;
}

/* Of what was compared from `first` on. */
static enum gqa_status check_finite(const struct measuring *m, uint64_t first)
{
    uint64_t i = first;
    char part[64];
    enum gqa_status st;

    while (i < m->n && m->compared[i].comparison.is_finite[1])
        i++;
    if (i == m->n)
        return GQA_OK;
    st = gqa_tape_find_fault(part, sizeof part, m->trainer->student_tape);
    return st == GQA_OK ? gqa_fail(GQA_ERR_FORMAT,
                                   "logits are not finite, since %s", part)
                        : st;
}

/* This rank's part of the first n sequences. */
static enum gqa_status measure_part(struct measuring *m,
                                    const struct gqa_tokens *tokens, uint64_t n)
{
    const uint64_t batch = m->trainer->options.batch;
    uint64_t first, end;
    enum gqa_status st = GQA_OK;

    end = gqa_ranks_part(m->trainer->options.ranks, n, &first) + first;
    for (uint64_t i = first; i < end; i++)
        m->room += tokens->sequences[i].n_decoder;
    m->compared = calloc((size_t)m->room + 1, sizeof *m->compared);
    if (!m->compared)
        return gqa_fail_nomem();
    for (uint64_t i = first; i < end && st == GQA_OK; i += batch) {
        const uint64_t before = m->n;

        m->first = i;
        st = measure_batch(m, tokens->sequences + i,
                           gqa_min_u64(batch, end - i));
        if (st == GQA_OK)
            st = check_finite(m, before);
    }
    return st;
}

/* The same steps from the same sums leave the same bits everywhere. */
static enum gqa_status check_alike(struct gqa_trainer *t)
{
    double square = 0;
    enum gqa_status st = t->backend->zero(t->device, t->sums, sizeof square);

    for (size_t i = 0; i < t->n && st == GQA_OK; i++)
        st = t->backend->gradients->norm2(
            t->device, t->sums, t->trainees[i].weights, trainee_values(t, i));
    if (st == GQA_OK)
        st = t->backend->download(t->device, &square, t->sums, sizeof square);
    if ((st = gqa_ranks_agree(t->options.ranks, st)) != GQA_OK)
        return st;
    return gqa_ranks_check_same(
        t->options.ranks, &square, sizeof square,
        "its weights are not those of rank 0 after the same steps: a device "
        "or a connection has failed");
}

enum gqa_status gqa_trainer_measure(struct gqa_trainer *t,
                                    struct gqa_fidelity_result *out,
                                    const struct gqa_tokens *tokens, uint64_t n)
{
    struct gqa_ranks *ranks = t->options.ranks;
    struct measuring m = {.trainer = t};
    struct gqa_fidelity *fidelity = NULL;
    enum gqa_status st = ranks ? check_alike(t) : GQA_OK;

    if (st != GQA_OK)
        return st;
    n = n == 0 ? tokens->n : gqa_min_u64(n, tokens->n);
    st = gqa_fidelity_create(&fidelity, t->pair->student.network->vocab_size, n,
                             gqa_tokens_n_positions(tokens));
    if (st == GQA_OK)
        st = measure_part(&m, tokens, n);
    st = gqa_ranks_agree(ranks, st);
    if (st == GQA_OK)
        st = gqa_ranks_add_compared(ranks, fidelity, m.compared, m.n);
    if (st == GQA_OK)
        gqa_fidelity_finish(fidelity, out);
    gqa_fidelity_free(fidelity);
    free(m.compared);
    return st;
}

/* --- Weights -------------------------------------------------------------- */

size_t gqa_trainer_n(const struct gqa_trainer *t)
{
    return t->n;
}

const struct gqa_trainee *gqa_trainer_trainee(const struct gqa_trainer *t,
                                              size_t i)
{
    return &t->trainees[i];
}

const char *gqa_trainer_name(const struct gqa_trainer *t, size_t i)
{
    return t->pair->student.model->params[t->trainees[i].param].name;
}

size_t gqa_trainer_wide(const struct gqa_trainer *t)
{
    return gqa_dtype_bits(t->wide) / 8;
}

struct gqa_optimiser *gqa_trainer_optimiser(struct gqa_trainer *t)
{
    return t->optimiser;
}

static size_t trainee_bytes(const struct gqa_trainer *t, size_t i)
{
    return (size_t)trainee_values(t, i) * gqa_trainer_wide(t);
}

size_t gqa_trainer_bytes(const struct gqa_trainer *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += trainee_bytes(t, i);
    return n;
}

enum gqa_status gqa_trainer_get(struct gqa_trainer *t, void *weights)
{
    char *at = weights;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        st = gqa_masters_read(t->masters, t->trainees[i].param, at);
        at += trainee_bytes(t, i);
    }
    return st;
}

enum gqa_status gqa_trainer_set(struct gqa_trainer *t, const void *weights)
{
    const char *at = weights;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        st = gqa_masters_write(t->masters, t->trainees[i].param, at);
        at += trainee_bytes(t, i);
    }
    return st;
}

static enum gqa_status share_moments(struct gqa_trainer *t)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0;
         i < gqa_optimiser_n_moments(t->optimiser) && st == GQA_OK; i++) {
        const struct gqa_moment m = gqa_optimiser_moment(t->optimiser, i);

        if (m.n > 0)
            st = gqa_ranks_share(t->options.ranks, m.data,
                                 m.n * gqa_trainer_wide(t));
    }
    return st;
}

enum gqa_status gqa_trainer_share(struct gqa_trainer *t, bool moments)
{
    enum gqa_status st = GQA_OK;

    if (!t->options.ranks)
        return GQA_OK;
    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        const struct gqa_trainee *w = &t->trainees[i];

        st = gqa_ranks_share(t->options.ranks, w->weights, trainee_bytes(t, i));
        if (st == GQA_OK && w->copy)
            st = gqa_ranks_share(t->options.ranks, w->copy,
                                 trainee_values(t, i) *
                                     gqa_dtype_bits(w->copy_dtype) / 8);
    }
    if (st == GQA_OK && moments)
        st = share_moments(t);
    return st == GQA_OK ? gqa_masters_settle(t->masters) : st;
}

enum gqa_status gqa_trainer_read(struct gqa_trainer *t, void *host,
                                 const void *device, size_t n_bytes)
{
    return t->backend->download(t->device, host, device, n_bytes);
}

enum gqa_status gqa_trainer_write(struct gqa_trainer *t, void *device,
                                  const void *host, size_t n_bytes)
{
    return t->backend->upload(t->device, device, host, n_bytes);
}
