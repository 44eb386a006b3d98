#include "runtime/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/interrupt.h"
#include "runtime/block.h"
#include "runtime/data/batches.h"
#include "runtime/read_ahead.h"
#include "runtime/streams.h"

#define ULL(x) ((unsigned long long)(x))

/* As many as products take at once. */
#define DEFAULT_ROWS ((uint64_t)2048)

struct gqa_layers {
    const struct gqa_network *network;
    struct gqa_runtime *runtime; /* with the weights of one part */
    struct gqa_weight_source source;
    struct gqa_read_ahead *ahead; /* NULL: none */
    const struct gqa_tokens *tokens;
    struct gqa_batches batches;
    struct gqa_session *session;
    struct gqa_streams *streams;
    uint64_t *rows[2]; /* by stack, [batches.n]: first row of each */
    bool token_by_token;
    size_t next;          /* block, counted through both stacks */
    bool is_embedded[2];  /* by stack */
    enum gqa_use *uses;   /* of a part */
    int32_t *ids;         /* of a batch */
    uint64_t *lengths[2]; /* by stack, of its sequences */
    /* Of the block that is looked at; NULL: all of it runs. */
    const struct gqa_block_point *last;
};

/* --- Parts ---------------------------------------------------------------- */

size_t gqa_layers_n_blocks(const struct gqa_layers *l)
{
    size_t n = 0;

    for (size_t i = 0; i < l->network->n_stacks; i++)
        n += l->network->stacks[i].n_blocks;
    return n;
}

size_t gqa_layers_n_done(const struct gqa_layers *l)
{
    return l->next;
}

/* Stack and layer of a block; false: there is none. */
static bool locate(const struct gqa_layers *l, size_t block, size_t *stack,
                   size_t *layer)
{
    for (*stack = 0; *stack < l->network->n_stacks; ++*stack) {
        const size_t n = l->network->stacks[*stack].n_blocks;

        *layer = block;
        if (block < n)
            return true;
        block -= n;
    }
    return false;
}

static const enum gqa_use *uses_of(struct gqa_layers *l)
{
    memset(l->uses, 0, l->network->model->n_params * sizeof *l->uses);
    return l->uses;
}

static const enum gqa_use *block_uses(struct gqa_layers *l, size_t stack,
                                      size_t layer)
{
    const struct gqa_block *block = &l->network->stacks[stack].blocks[layer];

    uses_of(l);
    if (!l->last) {
        gqa_use_block(l->uses, block);
        return l->uses;
    }
    gqa_use_attention(l->uses, &block->self);
    if (l->last->kind == GQA_ATTENTION_CROSS)
        gqa_use_attention(l->uses, &block->cross);
    return l->uses;
}

static uint64_t part_bytes(const struct gqa_layers *l)
{
    return gqa_use_bytes(l->uses, l->network->model);
}

/* Room for the largest part, whose name is in the message. */
static enum gqa_status check_room(struct gqa_layers *l)
{
    const struct gqa_network *n = l->network;
    char what[96] = "";
    uint64_t most = 0;
    size_t stack, layer;

    for (size_t i = 0; i < n->n_stacks; i++) {
        uses_of(l);
        gqa_use_embedding(l->uses, &n->stacks[i]);
        most = gqa_max_u64(most, part_bytes(l));
    }
    uses_of(l);
    gqa_use_unembedding(l->uses, n);
    most = gqa_max_u64(most, part_bytes(l));
    snprintf(what, sizeof what, "a layer at a time: the embeddings take");
    for (size_t i = 0; locate(l, i, &stack, &layer); i++) {
        block_uses(l, stack, layer);
        if (part_bytes(l) <= most)
            continue;
        most = part_bytes(l);
        snprintf(what, sizeof what,
                 "a layer at a time: the largest, %s layer %zu, takes",
                 gqa_stack_name(n->stacks[stack].stack), layer);
    }
    return gqa_runtime_check_room(l->runtime, what, most);
}

static enum gqa_status load(struct gqa_layers *l)
{
    struct gqa_weight_source source = l->source;

    if (l->ahead) {
        gqa_read_ahead_wait(l->ahead);
        source = gqa_read_ahead_source(l->ahead);
    }
    return gqa_runtime_load(l->runtime, &source, l->uses);
}

/* --- Creation ------------------------------------------------------------- */

/* The tables that stay on the host. */
static enum gqa_status load_tables(struct gqa_layers *l)
{
    uses_of(l);
    gqa_use_all(l->uses, l->network);
    for (size_t i = 0; i < l->network->model->n_params; i++)
        if (l->uses[i] == GQA_USE_DEVICE)
            l->uses[i] = GQA_USE_NONE;
    return load(l);
}

static enum gqa_status check_sequence(const struct gqa_network *n, size_t index,
                                      const char *what, const int32_t *ids,
                                      uint64_t n_ids)
{
    if (n->max_positions && n_ids > n->max_positions)
        return gqa_fail(GQA_ERR_USAGE,
                        "sequence %zu has %llu tokens, but the model has "
                        "positions for %llu",
                        index, ULL(n_ids), ULL(n->max_positions));
    if (n_ids == 0)
        return gqa_fail(GQA_ERR_USAGE, "sequence %zu has no %s", index, what);
    for (uint64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || (uint64_t)ids[i] >= n->table_size)
            return gqa_fail(GQA_ERR_USAGE,
                            "token %d (number %llu of sequence %zu) is not in "
                            "the vocabulary of %llu",
                            (int)ids[i], ULL(i), index, ULL(n->table_size));
    return GQA_OK;
}

static enum gqa_status check_tokens(const struct gqa_layers *l)
{
    enum gqa_status st = GQA_OK;

    if (l->tokens->n == 0)
        return gqa_fail(GQA_ERR_USAGE, "there is no sequence to run");
    for (size_t i = 0; i < l->tokens->n && st == GQA_OK; i++) {
        const struct gqa_sequence *s = &l->tokens->sequences[i];

        st = check_sequence(l->network, i, "labels", s->decoder, s->n_decoder);
        if (st == GQA_OK && l->network->n_stacks > 1)
            st = check_sequence(l->network, i, "input", s->encoder,
                                s->n_encoder);
    }
    return st;
}

/* n_rows: of both stacks. Rows are padded as their batches are. */
static enum gqa_status lay_out(struct gqa_layers *l, uint64_t *n_rows)
{
    const size_t n_stacks = l->network->n_stacks;

    *n_rows = 0;
    for (size_t i = 0; i < n_stacks; i++) {
        const bool encoder = i + 1 < n_stacks;

        l->rows[i] = calloc(l->batches.n, sizeof *l->rows[i]);
        l->lengths[i] =
            calloc(l->batches.most_sequences, sizeof *l->lengths[i]);
        if (!l->rows[i] || !l->lengths[i])
            return gqa_fail_nomem();
        for (size_t j = 0; j < l->batches.n; j++) {
            const struct gqa_token_batch *b = &l->batches.items[j];

            l->rows[i][j] = *n_rows;
            *n_rows += b->n * (encoder ? b->n_encoder : b->n_decoder);
        }
    }
    l->ids =
        calloc(gqa_max_u64(l->batches.encoder_rows, l->batches.decoder_rows),
               sizeof *l->ids);
    return l->ids ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status create_streams(struct gqa_layers *l, uint64_t n_rows,
                                      uint64_t host_bytes)
{
    const struct gqa_runtime *r = l->runtime;

    return gqa_streams_create(&l->streams, r->backend, r->device, n_rows,
                              gqa_network_row_width(l->network) *
                                  gqa_dtype_bits(r->real) / 8,
                              l->session->rows, host_bytes);
}

static enum gqa_status create_session(struct gqa_layers *l)
{
    const struct gqa_batches *b = &l->batches;
    const struct gqa_session_room room = {b->most_sequences, b->most_decoder,
                                          b->most_encoder, b->decoder_rows,
                                          b->encoder_rows};

    return gqa_session_create_one_cache(&l->session, l->runtime, &room);
}

static enum gqa_status prepare(struct gqa_layers *l,
                               const struct gqa_layers_options *options)
{
    const struct gqa_batch_limits limits = {
        .rows = options->rows ? options->rows : DEFAULT_ROWS,
        .rope = &l->network->rope};
    uint64_t n_rows;
    enum gqa_status st;

    l->uses = calloc(l->network->model->n_params, sizeof *l->uses);
    if (!l->uses)
        return gqa_fail_nomem();
    if ((st = check_tokens(l)) != GQA_OK || (st = check_room(l)) != GQA_OK ||
        (st = gqa_batches_create(&l->batches, l->tokens, &limits)) != GQA_OK)
        return st;
    if (options->read_ahead)
        st = gqa_read_ahead_create(&l->ahead, &l->source, l->network->model);
    if (st == GQA_OK)
        st = load_tables(l);
    if (st == GQA_OK)
        st = create_session(l);
    if (st == GQA_OK)
        st = lay_out(l, &n_rows);
    return st == GQA_OK ? create_streams(l, n_rows, options->host_bytes) : st;
}

enum gqa_status gqa_layers_create(struct gqa_layers **out,
                                  const struct gqa_network *network,
                                  const struct gqa_backend *backend,
                                  struct gqa_device *device,
                                  const struct gqa_weight_source *weights,
                                  const struct gqa_tokens *tokens,
                                  const struct gqa_layers_options *options)
{
    struct gqa_layers *l = calloc(1, sizeof *l);
    enum gqa_status st;

    if (!l)
        return gqa_fail_nomem();
    l->network = network;
    l->source = *weights;
    l->tokens = tokens;
    l->token_by_token = options->token_by_token;
    st = gqa_runtime_create_empty(&l->runtime, network, backend, device);
    if (st == GQA_OK)
        st = prepare(l, options);
    if (st == GQA_OK)
        *out = l;
    else
        gqa_layers_free(l);
    return st;
}

void gqa_layers_free(struct gqa_layers *l)
{
    if (!l)
        return;
    gqa_read_ahead_free(l->ahead);
    gqa_streams_free(l->streams);
    gqa_session_free(l->session);
    gqa_batches_clear(&l->batches);
    gqa_runtime_free(l->runtime);
    for (int i = 0; i < 2; i++) {
        free(l->rows[i]);
        free(l->lengths[i]);
    }
    free(l->uses);
    free(l->ids);
    free(l);
}

/* --- Passes --------------------------------------------------------------- */

/* What is done with rows [row, row + pass->n_rows) of the streams; layer:
 * of the block that it is done for. */
typedef enum gqa_status (*visit_fn)(struct gqa_layers *l,
                                    const struct gqa_pass *pass, uint64_t row,
                                    size_t layer);

/* Call back for the tokens of a batch of a stack, in as many pieces as
 * sessions take them. */
static enum gqa_status visit(struct gqa_layers *l, size_t stack, size_t batch,
                             const struct gqa_step_output *output, visit_fn fn,
                             size_t layer)
{
    const struct gqa_runtime *r = l->runtime;
    const struct gqa_token_batch *b = &l->batches.items[batch];
    const bool encoder = stack + 1 < l->network->n_stacks;
    const uint64_t n_new = encoder ? b->n_encoder : b->n_decoder;
    const uint64_t step = encoder             ? n_new
                          : l->token_by_token ? 1
                                              : l->session->chunk;
    struct gqa_pass pass = {.session = l->session,
                            .stack = &l->network->stacks[stack],
                            .output = output,
                            .last = l->last};
    enum gqa_status st = GQA_OK;

    gqa_batches_fill(l->ids, l->lengths[stack], &l->batches, batch, l->tokens,
                     encoder, (int32_t)l->network->start_token);
    for (uint64_t first = 0; first < n_new && st == GQA_OK; first += step) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        for (size_t i = 0; i < b->n; i++)
            l->session->starts[i] = gqa_min_u64(first, l->lengths[stack][i]);
        gqa_pass_fill(&pass, l->ids, n_new, l->lengths[stack], first,
                      gqa_min_u64(step, n_new - first));
        st = r->backend->set_batch(r->device, &pass.batch);
        if (st == GQA_OK)
            st = fn(l, &pass, l->rows[stack][batch] + first * b->n, layer);
    }
    return st;
}

static enum gqa_status begin_batch(struct gqa_layers *l, size_t batch)
{
    const struct gqa_token_batch *b = &l->batches.items[batch];

    return gqa_session_begin(l->session, b->n, b->n_decoder, b->n_encoder,
                             l->batches.order + b->first);
}

static enum gqa_status visit_all(struct gqa_layers *l, size_t stack,
                                 const struct gqa_step_output *output,
                                 visit_fn fn)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < l->batches.n && st == GQA_OK; i++) {
        st = begin_batch(l, i);
        if (st == GQA_OK)
            st = visit(l, stack, i, output, fn, 0);
    }
    return st;
}

static enum gqa_status embed(struct gqa_layers *l, const struct gqa_pass *pass,
                             uint64_t row, size_t layer)
{
    const enum gqa_status st = gqa_block_embed(pass);

    (void)layer;
    return st == GQA_OK ? gqa_streams_save(l->streams, row, pass->n_rows,
                                           l->session->work.x)
                        : st;
}

/* Run the block, and leave the streams as they are. */
static enum gqa_status look_at(struct gqa_layers *l,
                               const struct gqa_pass *pass, uint64_t row,
                               size_t layer)
{
    enum gqa_status st =
        gqa_streams_load(l->streams, row, pass->n_rows, l->session->work.x);

    if (st == GQA_OK)
        st = gqa_block_run(pass, &pass->stack->blocks[layer], layer);
    return st == GQA_OK && !pass->last ? gqa_emit_residual(pass, layer) : st;
}

static enum gqa_status move_on(struct gqa_layers *l,
                               const struct gqa_pass *pass, uint64_t row,
                               size_t layer)
{
    const enum gqa_status st = look_at(l, pass, row, layer);

    return st == GQA_OK ? gqa_streams_save(l->streams, row, pass->n_rows,
                                           l->session->work.x)
                        : st;
}

/* The encoder's streams become what the decoder looks back at. */
static enum gqa_status end_encoder(struct gqa_layers *l,
                                   const struct gqa_pass *pass, uint64_t row,
                                   size_t layer)
{
    struct gqa_workspace *w = &l->session->work;
    const void *memory = NULL;
    enum gqa_status st = gqa_streams_load(l->streams, row, pass->n_rows, w->x);

    (void)layer;
    if (st == GQA_OK)
        st = gqa_block_norm(pass, &memory, w->normed, &pass->stack->final_norm);
    return st == GQA_OK
               ? gqa_streams_save(l->streams, row, pass->n_rows, memory)
               : st;
}

static enum gqa_status look_back(struct gqa_layers *l,
                                 const struct gqa_pass *pass, uint64_t row,
                                 size_t layer)
{
    const enum gqa_status st = gqa_streams_load(l->streams, row, pass->n_rows,
                                                l->session->work.normed);

    return st == GQA_OK
               ? gqa_block_keys(pass, l->session->work.normed,
                                &l->network->stacks[1].blocks[layer].cross,
                                layer)
               : st;
}

static enum gqa_status emit_logits(struct gqa_layers *l,
                                   const struct gqa_pass *pass, uint64_t row,
                                   size_t layer)
{
    const enum gqa_status st =
        gqa_streams_load(l->streams, row, pass->n_rows, l->session->work.x);

    (void)layer;
    return st == GQA_OK ? gqa_emit_logits(pass) : st;
}

/* --- Layers --------------------------------------------------------------- */

/* Load l->uses, visit all rows of a stack with it, and unload it. */
static enum gqa_status run_part(struct gqa_layers *l, size_t stack,
                                const struct gqa_step_output *output,
                                visit_fn fn)
{
    enum gqa_status st = load(l);

    if (st == GQA_OK)
        st = visit_all(l, stack, output, fn);
    gqa_runtime_unload(l->runtime);
    return st;
}

static enum gqa_status run_embedding(struct gqa_layers *l, size_t stack)
{
    if (l->is_embedded[stack])
        return GQA_OK;
    l->is_embedded[stack] = true;
    uses_of(l);
    gqa_use_embedding(l->uses, &l->network->stacks[stack]);
    return run_part(l, stack, NULL, embed);
}

static enum gqa_status run_end_of_encoder(struct gqa_layers *l)
{
    uses_of(l);
    gqa_use_norm(l->uses, &l->network->stacks[0].final_norm);
    return run_part(l, 0, NULL, end_encoder);
}

static enum gqa_status run_batch(struct gqa_layers *l, size_t stack,
                                 size_t layer, size_t batch, bool look,
                                 const struct gqa_step_output *output)
{
    const bool looks_back = l->network->stacks[stack].blocks[layer].has_cross &&
                            !(l->last && l->last->kind == GQA_ATTENTION_SELF);
    enum gqa_status st = begin_batch(l, batch);

    if (st == GQA_OK && looks_back) {
        st = visit(l, 0, batch, output, look_back, layer);
        memcpy(l->session->inputs, l->lengths[0],
               l->session->n_sequences * sizeof *l->session->inputs);
    }
    return st == GQA_OK
               ? visit(l, stack, batch, output, look ? look_at : move_on, layer)
               : st;
}

static void read_next(struct gqa_layers *l)
{
    size_t stack, layer;

    if (locate(l, l->next + 1, &stack, &layer))
        gqa_read_ahead_begin(l->ahead, block_uses(l, stack, layer));
    else
        gqa_read_ahead_drop(l->ahead);
}

static enum gqa_status run_block(struct gqa_layers *l, size_t stack,
                                 size_t layer, bool look,
                                 const struct gqa_layers_output *output)
{
    const enum gqa_stack name = l->network->stacks[stack].stack;
    enum gqa_status st;

    block_uses(l, stack, layer);
    if ((st = load(l)) != GQA_OK)
        return st;
    if (l->ahead && look)
        gqa_read_ahead_drop(l->ahead);
    else if (l->ahead)
        read_next(l);
    if (output && output->begin)
        st = output->begin(output->ctx, name, layer);
    for (size_t i = 0; i < l->batches.n && st == GQA_OK; i++) {
        st = run_batch(l, stack, layer, i, look, output ? &output->step : NULL);
        if (look && output && output->has_enough &&
            output->has_enough(output->ctx))
            break;
    }
    if (st == GQA_OK && output && output->end)
        st = output->end(output->ctx, name, layer);
    return st;
}

enum gqa_status gqa_layers_next(struct gqa_layers *l, bool look,
                                const struct gqa_layers_output *output)
{
    size_t stack, layer;
    enum gqa_status st;

    if (!locate(l, l->next, &stack, &layer))
        return gqa_fail(GQA_ERR_USAGE, "all layers have run");
    st = run_embedding(l, stack);
    /* An encoder without blocks, whose turn never comes. */
    if (st == GQA_OK && stack > 0 && l->network->stacks[0].n_blocks == 0)
        st = run_embedding(l, 0);
    l->last = look && output ? output->last : NULL;
    if (st == GQA_OK)
        st = run_block(l, stack, layer, look, output);
    l->last = NULL;
    gqa_runtime_unload(l->runtime);
    if (st != GQA_OK || look)
        return st;
    l->next++;
    return stack + 1 < l->network->n_stacks &&
                   layer + 1 == l->network->stacks[stack].n_blocks
               ? run_end_of_encoder(l)
               : GQA_OK;
}

enum gqa_status gqa_layers_logits(struct gqa_layers *l,
                                  const struct gqa_layers_output *output)
{
    if (l->next < gqa_layers_n_blocks(l))
        return gqa_fail(GQA_ERR_USAGE, "%zu of %zu layers have run", l->next,
                        gqa_layers_n_blocks(l));
    uses_of(l);
    gqa_use_unembedding(l->uses, l->network);
    return run_part(l, l->network->n_stacks - 1, &output->step, emit_logits);
}

enum gqa_status gqa_layers_blocks(struct gqa_layers *l,
                                  const struct gqa_layers_output *output,
                                  void (*progress)(void *ctx, uint64_t done,
                                                   uint64_t all),
                                  void *progress_ctx)
{
    enum gqa_status st = GQA_OK;

    while (st == GQA_OK && l->next < gqa_layers_n_blocks(l)) {
        st = gqa_layers_next(l, false, output);
        if (st == GQA_OK && progress)
            progress(progress_ctx, l->next, gqa_layers_n_blocks(l));
    }
    return st;
}

enum gqa_status gqa_layers_run(struct gqa_layers *l,
                               const struct gqa_layers_output *output)
{
    const enum gqa_status st = gqa_layers_blocks(l, output, NULL, NULL);

    return st == GQA_OK && output->step.logits ? gqa_layers_logits(l, output)
                                               : st;
}
