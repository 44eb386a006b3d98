#include "runtime/measure/running.h"

#include <stdlib.h>

#include "common/interrupt.h"

struct gqa_running {
    const struct gqa_backend *backend;
    struct gqa_network *network;
    struct gqa_device *device;
    struct gqa_runtime *runtime;
};

enum gqa_status gqa_running_open(struct gqa_running **out,
                                 const struct gqa_model *model,
                                 const struct gqa_weight_source *weights,
                                 const struct gqa_run_options *options)
{
    struct gqa_running *r = calloc(1, sizeof *r);
    enum gqa_status st;

    if (!r)
        return gqa_fail_nomem();
    r->backend = options->backend;
    /* What cannot be run is named before a device is touched. */
    st = gqa_network_create(&r->network, model);
    if (st == GQA_OK)
        st = r->backend->open(&r->device, &options->device);
    if (st == GQA_OK)
        st = gqa_runtime_create(&r->runtime, r->network, r->backend, r->device,
                                weights);
    if (st == GQA_OK)
        *out = r;
    else
        gqa_running_close(r);
    return st;
}

void gqa_running_close(struct gqa_running *r)
{
    if (!r)
        return;
    gqa_runtime_free(r->runtime);
    if (r->device)
        r->backend->close(r->device);
    gqa_network_free(r->network);
    free(r);
}

const struct gqa_network *gqa_running_network(const struct gqa_running *r)
{
    return r->network;
}

struct gqa_runtime *gqa_running_runtime(struct gqa_running *r)
{
    return r->runtime;
}

enum gqa_status gqa_running_describe(struct gqa_running *r,
                                     struct gqa_device_info *out)
{
    return r->backend->describe(r->device, out);
}

/* Callbacks of a session of one sequence, given its true index. */
struct renamed {
    const struct gqa_step_output *output;
    uint64_t sequence;
};

static enum gqa_status rename_logits(void *ctx, uint64_t s, uint64_t position,
                                     uint64_t n_rows, const double *logits)
{
    const struct renamed *r = ctx;

    (void)s;
    return r->output->logits(r->output->ctx, r->sequence, position, n_rows,
                             logits);
}

static enum gqa_status rename_residual(void *ctx, enum gqa_stack stack,
                                       uint64_t layer, uint64_t s,
                                       uint64_t position, uint64_t n_rows,
                                       const double *x)
{
    const struct renamed *r = ctx;

    (void)s;
    return r->output->residual(r->output->ctx, stack, layer, r->sequence,
                               position, n_rows, x);
}

static enum gqa_status run_sequence(struct gqa_session *session,
                                    const struct gqa_sequence *sequence,
                                    bool token_by_token,
                                    const struct gqa_step_output *output)
{
    const uint64_t step = token_by_token ? 1 : sequence->n_decoder;
    enum gqa_status st = GQA_OK;

    gqa_session_reset(session);
    if (sequence->encoder)
        st = gqa_session_encode(session, sequence->encoder, sequence->n_encoder,
                                &sequence->n_encoder, output);
    for (uint64_t i = 0; st == GQA_OK && i < sequence->n_decoder; i += step) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        st = gqa_session_decode(session, sequence->decoder + i, step, &step,
                                output);
    }
    return st;
}

enum gqa_status gqa_running_run(struct gqa_running *r,
                                const struct gqa_tokens *tokens,
                                bool token_by_token,
                                const struct gqa_step_output *output,
                                const struct gqa_run_progress *progress)
{
    struct renamed renamed = {.output = output};
    const struct gqa_step_output inner = {
        .ctx = &renamed,
        .logits = output->logits ? rename_logits : NULL,
        .last_only = output->last_only,
        .residual = output->residual ? rename_residual : NULL,
    };
    uint64_t capacity = 0, encoder_capacity = 0, done = 0;
    struct gqa_session *session = NULL;
    enum gqa_status st;

    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        if (s->n_decoder == 0)
            return gqa_fail(GQA_ERR_USAGE, "sequence %zu has no labels", i);
        if (s->n_decoder > capacity)
            capacity = s->n_decoder;
        if (s->n_encoder > encoder_capacity)
            encoder_capacity = s->n_encoder;
    }
    st =
        gqa_session_create(&session, r->runtime, 1, capacity, encoder_capacity);
    for (size_t i = 0; i < tokens->n && st == GQA_OK; i++) {
        renamed.sequence = i;
        st = run_sequence(session, &tokens->sequences[i], token_by_token,
                          &inner);
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "sequence %zu", i);
        done += tokens->sequences[i].n_decoder;
        if (st == GQA_OK && progress && progress->update)
            progress->update(progress->ctx, progress->base + done,
                             progress->all);
    }
    gqa_session_free(session);
    return st;
}
