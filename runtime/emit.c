/* Values on their way out of a device, as double. */
#include "common/bounds.h"
#include "runtime/parts.h"

/* n values of a device's dtype to session->values. */
static enum gqa_status fetch(struct gqa_session *s, const void *src,
                             enum gqa_dtype dtype, uint64_t n)
{
    const struct gqa_runtime *r = s->runtime;
    const enum gqa_status st = r->backend->download(
        r->device, s->raw, src, n * gqa_dtype_bits(dtype) / 8);

    if (st == GQA_OK)
        gqa_load_f64(s->values, s->raw, dtype, (size_t)n);
    return st;
}

enum gqa_status gqa_emit_tap(const struct gqa_pass *pass,
                             const struct gqa_tapped *what)
{
    const struct gqa_session *s = pass->session;
    struct gqa_tapped tapped = *what;

    tapped.n_sequences = pass->batch.n_sequences;
    tapped.n_new = pass->batch.n_new;
    tapped.n_tokens = pass->batch.n_tokens;
    tapped.starts = pass->batch.starts;
    tapped.numbers = s->numbers;
    tapped.backend = s->runtime->backend;
    tapped.device = s->runtime->device;
    tapped.real = s->runtime->real;
    return pass->output->taps->tap(pass->output->taps->ctx, &tapped);
}

enum gqa_status gqa_emit_residual(const struct gqa_pass *pass, uint64_t layer)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_batch *b = &pass->batch;
    const uint64_t width = r->network->d_model;
    const uint64_t row_bytes = width * gqa_dtype_bits(r->real) / 8;

    if (!pass->output || !pass->output->residual)
        return GQA_OK;
    for (uint64_t i = 0; i < b->n_sequences; i++)
        for (uint64_t j = 0; j < b->n_tokens[i]; j += s->head_rows) {
            const uint64_t n = gqa_min_u64(b->n_tokens[i] - j, s->head_rows);
            const char *x =
                (const char *)s->work.x + (i * b->n_new + j) * row_bytes;
            enum gqa_status st = fetch(s, x, r->real, n * width);

            if (st == GQA_OK)
                st = pass->output->residual(
                    pass->output->ctx, pass->stack->stack, layer, s->numbers[i],
                    b->starts[i] + j, n, s->values);
            if (st != GQA_OK)
                return st;
        }
    return GQA_OK;
}

/* The rows that get logits, in order; returns how many. */
static uint64_t choose_rows(const struct gqa_pass *pass)
{
    struct gqa_session *s = pass->session;
    const struct gqa_batch *b = &pass->batch;
    const bool last_only = pass->output->last_only;
    uint64_t n = 0;

    for (uint64_t i = 0; i < b->n_sequences; i++)
        for (uint64_t j = 0; j < b->n_tokens[i]; j++) {
            if (last_only && (!s->ends[i] || j + 1 < b->n_tokens[i]))
                continue;
            s->out_rows[n] = i * b->n_new + j;
            s->out_sequence[n] = i;
            s->out_position[n] = b->starts[i] + j;
            n++;
        }
    return n;
}

/* Logits of n chosen rows from the first one on, or these rows normed where the
 * model makes none, to session->values. */
static enum gqa_status compute(const struct gqa_pass *pass, uint64_t first,
                               uint64_t n)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_network *net = r->network;
    const struct gqa_norm_op norm =
        gqa_runtime_norm(r, &pass->stack->final_norm);
    void *rows = s->work.last, *room = s->work.last_normed;
    enum gqa_status st = r->backend->gather(
        r->device, rows, s->work.x, net->d_model, s->out_rows + first, n);

    if (st == GQA_OK && norm.kind != GQA_NORM_NONE) {
        rows = s->work.last_normed;
        room = s->work.last;
        st = r->backend->norm(r->device, rows, room, n, net->d_model, &norm,
                              false);
    }
    if (st == GQA_OK && !net->has_logits)
        return fetch(s, rows, r->real, n * net->n_outputs);
    if (st == GQA_OK)
        st = gqa_part_unembed(r, s->work.logits, rows, n, room);
    return st == GQA_OK ? fetch(s, s->work.logits, r->wide, n * net->n_outputs)
                        : st;
}

/* Call back once for each run of rows of one sequence. */
static enum gqa_status hand_over(const struct gqa_pass *pass, uint64_t first,
                                 uint64_t n)
{
    const struct gqa_session *s = pass->session;
    const uint64_t width = s->runtime->network->n_outputs;
    uint64_t i = 0;

    while (i < n) {
        const uint64_t sequence = s->out_sequence[first + i];
        uint64_t run = 1;
        enum gqa_status st;

        while (i + run < n && s->out_sequence[first + i + run] == sequence)
            run++;
        st = pass->output->logits(pass->output->ctx, s->numbers[sequence],
                                  s->out_position[first + i], run,
                                  s->values + i * width);
        if (st != GQA_OK)
            return st;
        i += run;
    }
    return GQA_OK;
}

enum gqa_status gqa_emit_logits(const struct gqa_pass *pass)
{
    const uint64_t most = pass->session->head_rows;
    enum gqa_status st = GQA_OK;
    uint64_t n_rows;

    if (!pass->output || !pass->output->logits)
        return GQA_OK;
    n_rows = choose_rows(pass);
    for (uint64_t i = 0; i < n_rows && st == GQA_OK; i += most) {
        const uint64_t n = gqa_min_u64(n_rows - i, most);

        st = compute(pass, i, n);
        if (st == GQA_OK)
            st = hand_over(pass, i, n);
    }
    return st;
}
