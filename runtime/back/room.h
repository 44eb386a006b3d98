/*
 * Memory of a tape: what of a block's run its way back needs, and what all
 * blocks use one after the other. Both are one piece of the device's each.
 */
#ifndef GQA_RUNTIME_BACK_ROOM_H
#define GQA_RUNTIME_BACK_ROOM_H

#include "runtime/state.h"

/* Rows of a batch's two sides, and tokens of a sequence: of the decoder, and
 * of the encoder (0: there is none). */
struct gqa_tape_sizes {
    uint64_t n_sequences, length, encoder_length;
};

uint64_t gqa_tape_stack_rows(const struct gqa_tape_sizes *sizes,
                             enum gqa_stack stack);
uint64_t gqa_tape_stack_length(const struct gqa_tape_sizes *sizes,
                               enum gqa_stack stack);

/* Of an attention's run. Rows are those of its queries; NULL where the network
 * has no such thing, or going back needs none. */
struct gqa_tape_attention {
    void *normed;      /* its input, normed */
    void *q;           /* its projection, turned; beside it those of keys
                          and values, where the three are one product */
    void *q_plain;     /* and before, where heads are normed */
    void *k_plain;     /* likewise; q_plain's where they share rows */
    void *q_unclipped; /* normed and not clipped yet, where it is clipped */
    void *k_unclipped,
        *v_unclipped;     /* likewise, where rows are not those before them */
    void *cache_k;        /* real [n_sequences, n_kv_heads, length, head_dim] */
    void *cache_v;        /* the same */
    void *attended, *lse; /* as attend() makes them, merge() or sink() */
    /* Of summaries (summaries.h): rows of what they sum up, and normed; their
     * caches. */
    void *summed, *summed_normed, *summed_k, *summed_v;
    void *output; /* o's, before output_norm */
    void *sum;    /* the stream before after_norm */
    void *after;  /* the stream behind it */
};

/* Of experts: a pair is a row and one of those that it has, and pairs of an
 * expert lie together (experts.c). */
struct gqa_tape_experts {
    void *logits; /* real [rows, experts]: the router's */
    void *made;   /* real [pairs, d_model]: what experts make */
    /* Of the shared one, rows; and the logit of its gate, [rows, 1]. */
    void *up, *gate, *hidden, *made_shared, *share;
};

/* With experts, up, gate and hidden are those of pairs. */
struct gqa_tape_feed_forward {
    void *normed, *up, *gate, *hidden, *output, *sum;
    struct gqa_tape_experts experts;
};

struct gqa_tape_room {
    struct gqa_tape_attention self, cross;
    struct gqa_tape_feed_forward ff;
};

/* What all blocks use. Of rows on the way back, real. */
struct gqa_tape_scratch {
    void *normed, *ff_normed; /* d of a sublayer's input; without a room of
                                 their own, what is normed too */
    void *output;             /* d of what is normed or scaled before it is
                                 added, or of rows of another width, which
                                 `normed` has; forth what is scaled */
    void *q, *k, *v;          /* d of projections; k and v themselves */
    void *attended;
    void *cache_k, *cache_v;
    /* Of summaries: attention to them alone, real and wide; d of rows that they
     * sum up, and of their caches. */
    void *summed_attended, *summed_lse, *summed, *summed_k, *summed_v;
    /* d of gate (or up alone) and of up; hidden too. Where the two are one
     * product, up has both, side by side in a row, or in pairs. */
    void *hidden, *up;
    /* Of experts: rows of pairs, and of what these make; d of logits. */
    void *picked, *mixed, *logits;
};

/* Whether any parameter of `uses` is trained. */
bool gqa_tape_any(const struct gqa_network *network, const enum gqa_use *uses,
                  const bool *trained);

/*
 * Pieces of a room for a block, from `base` on; returns the bytes that they
 * take. base NULL: that number alone. trained: by parameter; NULL: the block
 * will not go back.
 */
uint64_t gqa_tape_room_place(struct gqa_tape_room *room, char *base,
                             const struct gqa_runtime *runtime,
                             const struct gqa_block *block,
                             const struct gqa_tape_sizes *sizes,
                             const bool *trained);

/* The same of scratch that serves all blocks. */
uint64_t gqa_tape_scratch_place(struct gqa_tape_scratch *scratch, char *base,
                                const struct gqa_runtime *runtime,
                                const struct gqa_tape_sizes *sizes,
                                const bool *trained);

#endif
