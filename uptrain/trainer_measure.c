/* How far the student is from its teacher. */
#include <assert.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "uptrain/ranks_compared.h"
#include "uptrain/trainer_state.h"

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
    gqa_train_batch_fill(&t->batch, list, n, gqa_trainer_start_token(t), 1);
    st = gqa_trainer_run(t, t->teacher_tape);
    if (st == GQA_OK)
        st = gqa_trainer_run(t, t->student_tape);
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
        st = t->backend->gradients->norm2(t->device, t->sums,
                                          t->trainees[i].weights,
                                          gqa_trainer_values(t, i));
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
