/*
 * The layer-major order: all rows of a set of token sequences through one
 * block, then through the next, with the weights of one block alone on the
 * device. What a block computes is what it computes in sessions
 * (runtime.h), through the same code; in batches of the same shape and order
 * it is the same bit for bit.
 *
 * Between blocks the residual streams of all rows lie on the device where half
 * of its memory stays free beside them, else in memory of the host, or in a
 * file without a name in $TMPDIR; on the device there is also the batch that
 * runs, its keys and values of one block, and the block.
 */
#ifndef GQA_RUNTIME_LAYERS_H
#define GQA_RUNTIME_LAYERS_H

#include "runtime/data/tokens.h"
#include "runtime/runtime.h"

struct gqa_layers_options {
    /* Tokens of a batch, padding included; one sequence is always taken
     * whole. 0: 2048. */
    uint64_t rows;
    /* Residual streams on the host that take more than this go to a file. */
    uint64_t host_bytes;
    /* The weights of the block that comes next are read by another thread
     * while one runs, and kept on the host: for sources that may be read by
     * any thread, and whose weights do not change on the way. */
    bool read_ahead;
    /* Decoders take one token of each sequence a step, from the keys and
     * values that the block has cached. */
    bool token_by_token;
};

/* What to hand over; any may be NULL. Sequences are called by their index in
 * the tokens; their positions come in order, sequences in any. */
struct gqa_layers_output {
    void *ctx;
    /* Before and after a block runs over all rows. */
    enum gqa_status (*begin)(void *ctx, enum gqa_stack stack, uint64_t layer);
    enum gqa_status (*end)(void *ctx, enum gqa_stack stack, uint64_t layer);
    /* Asked after each batch where the block is only looked at: true ends
     * that. */
    bool (*has_enough)(void *ctx);
    struct gqa_step_output step; /* with a ctx of its own */
    /* Where the block is only looked at: what of it is not wanted behind that
     * point is not run, nor its weights read; NULL: all of it runs. */
    const struct gqa_block_point *last;
};

struct gqa_layers;

/*
 * network, device, weights, tokens  lent; must outlive the result.
 * Errors GQA_ERR_NOMEM with the largest part's name and bytes, before any
 *        weight is read, where the device has no room even for that;
 *        GQA_ERR_USAGE: there are no tokens, a sequence has none for the
 *        decoder (or the encoder), a token that is not in the vocabulary, or
 *        more than the model has positions; GQA_ERR_IO: no file for the
 *        streams.
 */
GQA_MUST_USE
enum gqa_status gqa_layers_create(struct gqa_layers **out,
                                  const struct gqa_network *network,
                                  const struct gqa_backend *backend,
                                  struct gqa_device *device,
                                  const struct gqa_weight_source *weights,
                                  const struct gqa_tokens *tokens,
                                  const struct gqa_layers_options *options);
void gqa_layers_free(struct gqa_layers *layers);

/* Blocks of both stacks, and how many have run: the encoder's come first. */
size_t gqa_layers_n_blocks(const struct gqa_layers *layers);
size_t gqa_layers_n_done(const struct gqa_layers *layers);

/*
 * Run the next block. output may be NULL; its logits are not looked at.
 *
 * look  run it without moving on: the residual streams stay what they were,
 *       and the block comes next again, its weights read anew. For what is
 *       learnt from a block before it is changed.
 *
 * Errors those of the weight source, the device, the callbacks;
 *        GQA_ERR_INTERRUPTED; GQA_ERR_USAGE: no block is left. After any of
 *        them but the last the result is fit for gqa_layers_free() alone.
 */
GQA_MUST_USE
enum gqa_status gqa_layers_next(struct gqa_layers *layers, bool look,
                                const struct gqa_layers_output *output);

/* Final norm and logits, once all blocks have run. Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_layers_logits(struct gqa_layers *layers,
                                  const struct gqa_layers_output *output);

/* All blocks that are left; progress, which may be NULL, is told of each. */
GQA_MUST_USE
enum gqa_status gqa_layers_blocks(struct gqa_layers *layers,
                                  const struct gqa_layers_output *output,
                                  void (*progress)(void *ctx, uint64_t done,
                                                   uint64_t all),
                                  void *progress_ctx);

/* All blocks that are left, and the logits where output wants them. */
GQA_MUST_USE
enum gqa_status gqa_layers_run(struct gqa_layers *layers,
                               const struct gqa_layers_output *output);

#endif
