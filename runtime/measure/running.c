#include "runtime/measure/running.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "formats/model/rope.h"
#include "runtime/data/batches.h"
#include "runtime/layers.h"
#include "runtime/uses.h"

struct gqa_running {
    const struct gqa_backend *backend;
    struct gqa_network *network;
    struct gqa_device *device;
    struct gqa_weight_source weights;
    struct gqa_order_choice choice;
    struct gqa_runtime *runtime; /* NULL: by layer */
};

/*
 * What else a run needs of a device beside weights: caches, activations. Of a
 * small one a quarter is left for them.
 */
#define OTHER_BYTES ((uint64_t)2 << 30)

static enum gqa_status choose_order(struct gqa_running *r,
                                    enum gqa_order wanted)
{
    const size_t n = r->network->model->n_params;
    enum gqa_use *uses = calloc(n ? n : 1, sizeof *uses);
    struct gqa_device_info info = {.free_bytes = 0};
    uint64_t room;
    enum gqa_status st;

    if (!uses)
        return gqa_fail_nomem();
    gqa_use_all(uses, r->network);
    r->choice.weight_bytes = gqa_use_bytes(uses, r->network->model);
    free(uses);
    st = r->backend->describe(r->device, &info);
    r->choice.free_bytes = info.free_bytes;
    room = info.free_bytes - gqa_min_u64(info.free_bytes / 4, OTHER_BYTES);
    r->choice.order = wanted;
    if (wanted == GQA_ORDER_AUTO)
        r->choice.order =
            r->choice.weight_bytes > room ? GQA_ORDER_LAYER : GQA_ORDER_TOKEN;
    return st;
}

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
    r->weights = *weights;
    /* What cannot be run is named before a device is touched. */
    st = gqa_network_create(&r->network, model);
    if (st == GQA_OK)
        st = r->backend->open(&r->device, &options->device);
    if (st == GQA_OK)
        st = choose_order(r, options->order);
    if (st == GQA_OK && r->choice.order == GQA_ORDER_TOKEN)
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

void gqa_running_turn(struct gqa_running *r, const double *divisors)
{
    gqa_rope_divide(&r->network->rope, divisors);
}

struct gqa_runtime *gqa_running_runtime(struct gqa_running *r)
{
    return r->runtime;
}

struct gqa_order_choice gqa_running_order(const struct gqa_running *r)
{
    return r->choice;
}

enum gqa_status gqa_running_describe(struct gqa_running *r,
                                     struct gqa_device_info *out)
{
    return r->backend->describe(r->device, out);
}

/* --- By token ------------------------------------------------------------- */

/*
 * Rows of a batch: as many as a session takes at once. A processor is no
 * faster with more than this, and its memory is everybody's.
 */
#define BATCH_ROWS     ((uint64_t)2048)
#define CPU_BATCH_ROWS ((uint64_t)256)
/* Of KV caches: what a 7B multi-head model needs for so many in 16 bits. */
#define BATCH_BYTES ((uint64_t)1 << 30)

struct batches_run {
    const struct gqa_tokens *tokens;
    struct gqa_batches batches;
    struct gqa_session *session;
    int32_t start_token; /* of the model */
    /* Of a batch, padded, and of one step. */
    int32_t *ids, *fed;
    uint64_t *lengths, *ones;
};

static enum gqa_status step_by_step(const struct batches_run *run,
                                    const struct gqa_token_batch *batch,
                                    const struct gqa_step_output *output)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < batch->n_decoder && st == GQA_OK; i++) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        for (size_t s = 0; s < batch->n; s++) {
            run->fed[s] = run->ids[s * batch->n_decoder + i];
            run->ones[s] = i < run->lengths[s];
        }
        st = gqa_session_decode(run->session, run->fed, 1, run->ones, output);
    }
    return st;
}

static enum gqa_status run_batch(const struct batches_run *run, size_t index,
                                 bool token_by_token,
                                 const struct gqa_step_output *output)
{
    const struct gqa_token_batch *batch = &run->batches.items[index];
    enum gqa_status st =
        gqa_session_begin(run->session, batch->n, batch->n_decoder,
                          batch->n_encoder, run->batches.order + batch->first);

    if (st == GQA_OK && batch->n_encoder > 0) {
        gqa_batches_fill(run->ids, run->lengths, &run->batches, index,
                         run->tokens, true, run->start_token);
        st = gqa_session_encode(run->session, run->ids, batch->n_encoder,
                                run->lengths, output);
    }
    if (st != GQA_OK)
        return st;
    gqa_batches_fill(run->ids, run->lengths, &run->batches, index, run->tokens,
                     false, run->start_token);
    return token_by_token
               ? step_by_step(run, batch, output)
               : gqa_session_decode(run->session, run->ids, batch->n_decoder,
                                    run->lengths, output);
}

static enum gqa_status alloc_host(struct batches_run *run)
{
    const uint64_t n = run->batches.most_sequences;

    run->ids = calloc(
        gqa_max_u64(run->batches.encoder_rows, run->batches.decoder_rows),
        sizeof *run->ids);
    run->fed = calloc(n, sizeof *run->fed);
    run->lengths = calloc(n, sizeof *run->lengths);
    run->ones = calloc(n, sizeof *run->ones);
    return run->ids && run->fed && run->lengths && run->ones ? GQA_OK
                                                             : gqa_fail_nomem();
}

static enum gqa_status create_session(struct batches_run *run,
                                      struct gqa_runtime *runtime)
{
    const struct gqa_batches *b = &run->batches;
    const struct gqa_session_room room = {b->most_sequences, b->most_decoder,
                                          b->most_encoder, b->decoder_rows,
                                          b->encoder_rows};

    return gqa_session_create_for(&run->session, runtime, &room);
}

static uint64_t batch_rows(const struct gqa_running *r)
{
    return r->backend->in_place ? CPU_BATCH_ROWS : BATCH_ROWS;
}

/* Batches and a session for them; smaller ones where memory is short. */
static enum gqa_status prepare(struct batches_run *run,
                               const struct gqa_running *r)
{
    struct gqa_batch_limits limits = {
        .rows = batch_rows(r), .bytes = BATCH_BYTES, .rope = &r->network->rope};
    enum gqa_status st;

    gqa_session_token_bytes(r->runtime, &limits.encoder_token_bytes,
                            &limits.decoder_token_bytes);
    for (;;) {
        const struct gqa_batches *b = &run->batches;

        st = gqa_batches_create(&run->batches, run->tokens, &limits);
        if (st == GQA_OK)
            st = create_session(run, r->runtime);
        if (st != GQA_ERR_NOMEM || b->most_sequences < 2)
            break;
        limits.sequences = b->most_sequences / 2;
        gqa_batches_clear(&run->batches);
    }
    return st == GQA_OK ? alloc_host(run) : st;
}

static uint64_t count_positions(const struct batches_run *run, size_t index)
{
    const struct gqa_token_batch *batch = &run->batches.items[index];
    uint64_t n = 0;

    for (size_t i = batch->first; i < batch->first + batch->n; i++)
        n += run->tokens->sequences[run->batches.order[i]].n_decoder;
    return n;
}

static enum gqa_status run_by_token(struct gqa_running *r,
                                    const struct gqa_tokens *tokens,
                                    bool token_by_token,
                                    const struct gqa_step_output *output,
                                    const struct gqa_run_progress *progress)
{
    struct batches_run run = {.tokens = tokens,
                              .start_token =
                                  (int32_t)gqa_running_network(r)->start_token};
    uint64_t done = 0;
    enum gqa_status st = prepare(&run, r);

    for (size_t i = 0; i < run.batches.n && st == GQA_OK; i++) {
        st = run_batch(&run, i, token_by_token, output);
        done += count_positions(&run, i);
        if (st == GQA_OK && progress && progress->update)
            progress->update(progress->ctx, progress->base + done,
                             progress->all);
    }
    gqa_session_free(run.session);
    gqa_batches_clear(&run.batches);
    free(run.ids);
    free(run.fed);
    free(run.lengths);
    free(run.ones);
    return st;
}

/* --- By layer ------------------------------------------------------------- */

/* Residual streams that take more memory than this go to a file. */
#define STREAM_BYTES ((uint64_t)1 << 30)

struct layers_run {
    const struct gqa_run_progress *progress;
    uint64_t n_positions;
    size_t n_blocks, n_done;
};

static enum gqa_status end_layer(void *ctx, enum gqa_stack stack,
                                 uint64_t layer)
{
    struct layers_run *run = ctx;
    const struct gqa_run_progress *p = run->progress;

    (void)stack;
    (void)layer;
    run->n_done++;
    if (p && p->update)
        p->update(p->ctx,
                  p->base + run->n_positions * run->n_done / run->n_blocks,
                  p->all);
    return GQA_OK;
}

/* Layers and batches; smaller ones where memory is short. */
static enum gqa_status create_layers(struct gqa_layers **out,
                                     struct gqa_running *r,
                                     const struct gqa_tokens *tokens,
                                     bool token_by_token)
{
    struct gqa_layers_options options = {.rows = batch_rows(r),
                                         .host_bytes = STREAM_BYTES,
                                         .token_by_token = token_by_token};
    enum gqa_status st;

    do
        st = gqa_layers_create(out, r->network, r->backend, r->device,
                               &r->weights, tokens, &options);
    while (st == GQA_ERR_NOMEM && (options.rows /= 4) > 0);
    return st;
}

static enum gqa_status run_by_layer(struct gqa_running *r,
                                    const struct gqa_tokens *tokens,
                                    bool token_by_token,
                                    const struct gqa_step_output *output,
                                    const struct gqa_run_progress *progress)
{
    struct layers_run run = {.progress = progress,
                             .n_positions = gqa_tokens_n_positions(tokens)};
    const struct gqa_layers_output each = {
        .ctx = &run, .end = end_layer, .step = *output};
    struct gqa_layers *layers = NULL;
    enum gqa_status st = create_layers(&layers, r, tokens, token_by_token);

    if (st != GQA_OK)
        return st;
    run.n_blocks = gqa_layers_n_blocks(layers);
    st = gqa_layers_run(layers, &each);
    gqa_layers_free(layers);
    return st;
}

enum gqa_status gqa_running_run(struct gqa_running *r,
                                const struct gqa_tokens *tokens,
                                bool token_by_token,
                                const struct gqa_step_output *output,
                                const struct gqa_run_progress *progress)
{
    if (tokens->n == 0)
        return GQA_OK;
    return r->runtime
               ? run_by_token(r, tokens, token_by_token, output, progress)
               : run_by_layer(r, tokens, token_by_token, output, progress);
}
