/* What a tape holds; embed.c, forward.c, back.c and experts.c run
 * parts of it, run.c all, tape.c owns it. */
#ifndef GQA_RUNTIME_BACK_STATE_H
#define GQA_RUNTIME_BACK_STATE_H

#include "runtime/back/room.h"
#include "runtime/back/tape.h"
#include "runtime/parts.h"

/* One of the network's stacks. */
struct gqa_tape_stack {
    const struct gqa_network_stack *network;
    /* Streams: x[i] is what block i is given; x[n_blocks] is what comes out.
     * All one where the tape does not go back. */
    void **x;
    void *normed; /* real [rows, d_model]: the final norm's; x[n_blocks] where
                     there is none */
    struct gqa_tape_room *rooms; /* [n_blocks] */
    bool *kept;                  /* [n_blocks]: the room is the block's own */
    void **bias;                 /* [n_blocks]: wide, or NULL; shared */
    void **d_bias;               /* the same, where the table is trained */
    /* Of its summaries, likewise. */
    void **summary_bias, **d_summary_bias;
    uint64_t *n_summaries; /* host [n_sequences]: of the block that runs */
    double *d_xielu;       /* device, [n_blocks, 2]: of xIELU's `positive` and
                              `negative`; NULL: none is trained */
    /* Of the batch, host memory. */
    int32_t *tokens;
    uint64_t *n_tokens, *starts;
    struct gqa_batch batch;
    uint64_t n_rows;
    /* What of it is trained. [n_blocks]: whether anything before a block is,
     * of the block, of its attentions; the encoder counts as the
     * cross-attention's. */
    bool *below, *block, *self_attention, *cross_attention;
    bool embedding, any; /* or its norm, positions; of the whole stack */
};

struct gqa_tape {
    struct gqa_runtime *runtime;       /* lent */
    const bool *trained;               /* lent, or NULL */
    struct gqa_tape_sizes room, sizes; /* what there is; of the batch */
    struct gqa_tape_stack stacks[2];   /* as the network's */
    size_t n_stacks;
    struct gqa_tape_scratch scratch;
    struct gqa_angles angles;
    void *d_x;      /* real [rows, d_model]: d of the stream */
    void *d_normed; /* of the decoder's final norm */
    void *d_memory; /* of the encoder's, or NULL */
    /* By parameter: wide, or NULL; tables of the host's are summed there,
     * as doubles, and then put here. */
    void **gradients;
    void *all_gradients;  /* the piece that they lie in */
    uint64_t n_gradients; /* its elements */
    double **tables;
    /* Memory of the device that is freed with the tape. */
    void **owned;
    size_t n_owned;
    bool forward_done;
};

/* The parameter's gradient; NULL: GQA_NO_PARAM, or not trained. */
void *gqa_tape_gradient_of(const struct gqa_tape *tape, size_t param);

/* Find out what of the stacks is trained; uses: [n_params], of no meaning
 * before or after. */
void gqa_tape_find_trained(struct gqa_tape *tape, enum gqa_use *uses);

/* Elements of a row of the stack's streams. */
uint64_t gqa_tape_row_width(const struct gqa_tape *tape,
                            const struct gqa_tape_stack *stack);

/* The stack's tokens, whose batch is set, to x[0]. */
GQA_MUST_USE
enum gqa_status gqa_tape_embed(const struct gqa_tape *tape,
                               const struct gqa_tape_stack *stack);

/* d_x, of x[0], to gradients of what the stack embeds with. */
GQA_MUST_USE
enum gqa_status gqa_tape_embed_back(const struct gqa_tape *tape,
                                    const struct gqa_tape_stack *stack);

/* Whether queries, keys and values of a self-attention are one product
 * (joint.h), forth and back: gradients of all three are wanted, or of none. */
bool gqa_tape_joint(struct gqa_weight *weight, struct gqa_weight *bias,
                    const struct gqa_tape *tape,
                    const struct gqa_attention_block *attention);

/* The same of gate and up of a feed-forward, on the way back. */
bool gqa_tape_joint_gated(struct gqa_weight *weight,
                          const struct gqa_tape *tape,
                          const struct gqa_feed_forward *ff);

/* Take all memory of the device, or count it alone. */
GQA_MUST_USE
enum gqa_status gqa_tape_take_memory(struct gqa_tape *tape, uint64_t keep_bytes,
                                     bool counts, uint64_t *n_bytes);

/* Bytes that blocks could keep, beside those. */
uint64_t gqa_tape_rooms_bytes(const struct gqa_tape *tape);

/* Check a batch and copy it to the stacks. */
GQA_MUST_USE
enum gqa_status gqa_tape_take_batch(struct gqa_tape *tape,
                                    const struct gqa_tape_batch *batch);

/* Angles and biases for the batch. */
GQA_MUST_USE
enum gqa_status gqa_tape_make_tables(struct gqa_tape *tape);

/* Gradients of what the host makes of tables (biases by distance, constants of
 * xIELU) begin as 0, or end in their tables'. */
GQA_MUST_USE
enum gqa_status gqa_tape_table_gradients(struct gqa_tape *tape, bool end);

/* Make the stack's batch the device's. */
GQA_MUST_USE
enum gqa_status gqa_tape_set_batch(const struct gqa_tape *tape,
                                   const struct gqa_tape_stack *stack);

/*
 * Run block i of a stack, whose batch is set, from x[i] to x[i + 1]; what its
 * room has places for is left there. again: it ran before, and what only the
 * stream behind it needs is left out.
 */
GQA_MUST_USE
enum gqa_status gqa_tape_run_block(const struct gqa_tape *tape,
                                   const struct gqa_tape_stack *stack, size_t i,
                                   bool again);

/* Keys and values of the cross-attention of the decoder's block i, from the
 * encoder's normed output. The decoder's batch is set behind it. */
GQA_MUST_USE
enum gqa_status gqa_tape_run_keys(const struct gqa_tape *tape, size_t i);

/* The experts of block i, of rows `in`, normed: after += what they make; NULL:
 * they ran before, and only what they leave in the room is asked for. */
GQA_MUST_USE
enum gqa_status gqa_tape_run_experts(const struct gqa_tape *tape,
                                     const struct gqa_tape_stack *stack,
                                     size_t i, const void *in, void *after);

/* d_in = what their rows are to blame for, NULL: not wanted; gradients of
 * experts and router are added. in: not looked at where none is trained. */
GQA_MUST_USE
enum gqa_status gqa_tape_experts_back(const struct gqa_tape *tape,
                                      const struct gqa_tape_stack *stack,
                                      size_t i, void *d_in, const void *in,
                                      const void *dy);

/* Block i's self-attention alone, or it and the cross-attention, from x[i] on;
 * *out: the stream behind it. As gqa_tape_run_block() else. */
GQA_MUST_USE
enum gqa_status gqa_tape_run_attention(const struct gqa_tape *tape,
                                       const struct gqa_tape_stack *stack,
                                       size_t i, bool cross, void **out);

/* d_x, of x[i + 1], becomes that of x[i]; gradients of the block's parameters
 * are added. Its room holds what it left; the stack's batch is set, also
 * behind it. */
GQA_MUST_USE
enum gqa_status gqa_tape_block_back(const struct gqa_tape *tape,
                                    const struct gqa_tape_stack *stack,
                                    size_t i);

/* Of one attention that has run: gradients of its projections are added, from
 * d_x, of the stream behind it, which is no longer that then. Nothing before it
 * is asked. */
GQA_MUST_USE
enum gqa_status gqa_tape_attention_back(const struct gqa_tape *tape,
                                        const struct gqa_tape_stack *stack,
                                        size_t i, bool cross);

/* The attention to summaries that belongs to one to tokens, `op`, of block i:
 * keys and values of the room, counts of the stack. */
struct gqa_attention_op gqa_tape_summaries_op(
    const struct gqa_tape *tape, const struct gqa_tape_stack *stack, size_t i,
    const struct gqa_attention_op *op);

/* Make block i's summaries, of which there are some, the device's batch; and
 * how many rows that has, 0 where there are none. */
GQA_MUST_USE
enum gqa_status gqa_tape_set_summaries(const struct gqa_tape *tape,
                                       const struct gqa_tape_stack *stack,
                                       size_t i);
uint64_t gqa_tape_n_summaries(const struct gqa_tape_stack *stack, size_t i);

/* Whether heads turn by themselves, before what keeps them: their ends alone,
 * or before they are normed. */
bool gqa_tape_turns_apart(const struct gqa_attention_block *attention);

/* What turns an attention's heads: queries and keys that are given, NULL those
 * that are not; keys and values are kept in the room's caches. */
struct gqa_turn_op gqa_tape_turn(const struct gqa_tape *tape,
                                 const struct gqa_attention_block *attention,
                                 const struct gqa_tape_attention *room,
                                 const struct gqa_heads *q,
                                 const struct gqa_heads *k,
                                 const struct gqa_heads *v, uint64_t capacity);

/* out = scale * weights[r] * x[r], rows of d_model. weights: of the host; NULL:
 * 1. */
GQA_MUST_USE
enum gqa_status gqa_tape_scale_rows(const struct gqa_tape *tape, void *out,
                                    const void *x, const double *weights,
                                    double scale, uint64_t n_rows);

/* dx (+)= what a norm of the network is to blame for; one of kind NONE has
 * dx = dy, or dx += dy. dx may be dy. */
GQA_MUST_USE
enum gqa_status gqa_tape_norm_back(const struct gqa_tape *tape, void *dx,
                                   const void *x, const void *dy,
                                   uint64_t n_rows, const struct gqa_norm *norm,
                                   bool accumulate);

/* dx (+)= dy W; NULL: not wanted. Gradients of weight and bias are added. */
GQA_MUST_USE
enum gqa_status gqa_tape_linear_back(const struct gqa_tape *tape, void *dx,
                                     const void *x, const void *dy,
                                     uint64_t n_rows,
                                     const struct gqa_linear *linear,
                                     bool accumulate);

#endif
