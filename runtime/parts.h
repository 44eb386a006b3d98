/*
 * Parts of a network as calls to the backend, with a runtime's weights: what
 * a session's blocks and those of a tape (back/) are made of.
 */
#ifndef GQA_RUNTIME_PARTS_H
#define GQA_RUNTIME_PARTS_H

#include "runtime/state.h"

/* The heads of a projection: heads of one slice in rows of this width. */
struct gqa_heads {
    void *x;
    uint64_t width;
    struct gqa_head_place place;
};

/* Where a slice's heads lie in its projection's rows. */
struct gqa_head_place gqa_part_place(const struct gqa_slice *slice);

/* Rows of positions that a stack's embedding adds, from the one of position 0
 * on, in *room; NULL: it adds none. */
const struct gqa_weight *gqa_part_positions(
    const struct gqa_runtime *runtime, const struct gqa_network_stack *stack,
    struct gqa_weight *room);

/* The tokens of the batch, which is set, become n_rows rows of x, which are
 * sums: of the embedding, positions but where these come behind a norm, rows of
 * further tables (codes) and places. room: as many, of gqa_network_row_width().
 */
GQA_MUST_USE
enum gqa_status gqa_part_embed_sum(const struct gqa_runtime *runtime,
                                   const struct gqa_network_stack *stack,
                                   void *x, uint64_t n_rows, void *room);

/* The same, normed, with positions behind the norm. */
GQA_MUST_USE
enum gqa_status gqa_part_embed_whole(const struct gqa_runtime *runtime,
                                     const struct gqa_network_stack *stack,
                                     void *x, void *room, uint64_t n_rows);

/* As gqa_part_embed_whole() where tokens are rows of a table that is not the
 * stack's, and there are neither codes nor places. */
GQA_MUST_USE
enum gqa_status gqa_part_embed_from(const struct gqa_runtime *runtime,
                                    const struct gqa_network_stack *stack,
                                    void *x, uint64_t n_rows,
                                    const struct gqa_weight *table);

/* Logits (wide) of n_rows rows behind the final norm. room: as many, as above,
 * where logits are made of rows of another width; x is not. */
GQA_MUST_USE
enum gqa_status gqa_part_unembed(const struct gqa_runtime *runtime, void *out,
                                 const void *x, uint64_t n_rows, void *room);

/* out = norm(x), rows of d_model, or out += that; a norm of kind NONE is none
 * of its. */
GQA_MUST_USE
enum gqa_status gqa_part_norm(const struct gqa_runtime *runtime, void *out,
                              const void *x, uint64_t n_rows,
                              const struct gqa_norm *norm, bool accumulate);

GQA_MUST_USE
enum gqa_status gqa_part_linear(const struct gqa_runtime *runtime, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_linear *linear,
                                const void *added);

/* The wide half of a feed-forward: where `up` gives a width, of each row of x
 * act(x up^T), or act(x gate^T) * (x up^T); or, of half that width, what
 * `pairs` makes of x up^T. */
struct gqa_part_hidden {
    const struct gqa_linear *gate, *up;
    enum gqa_activation activation;
    const struct gqa_clamped_swiglu *pairs; /* NULL: there are none */
    /* Room, [n_rows, width]; gate_room only where there is a gate. Where they
     * are kept they hold what act() was given, and its factor; else `out` may
     * be one of them, where there are no pairs. */
    void *out, *gate_room, *up_room;
    bool kept;
};
GQA_MUST_USE
enum gqa_status gqa_part_hidden(const struct gqa_runtime *runtime,
                                const struct gqa_part_hidden *hidden,
                                const void *x, uint64_t n_rows);

/* The network's transform up to its norm, as that; plain: what act() is given,
 * or out. */
struct gqa_part_hidden gqa_part_transform(const struct gqa_network *network,
                                          void *out, void *plain);

/* What a norm of q or k goes over: each head by itself, or all as one of
 * *width elements. */
struct gqa_head_place gqa_part_normed(uint64_t *width,
                                      const struct gqa_attention *heads,
                                      const struct gqa_head_place *place);

/* Norm the heads of q or k in place, where the network says so. */
GQA_MUST_USE
enum gqa_status gqa_part_norm_heads(const struct gqa_runtime *runtime,
                                    const struct gqa_attention_block *a,
                                    const struct gqa_heads *heads,
                                    const struct gqa_norm *norm);

/* Rotate them likewise. angles: not looked at without RoPE. */
GQA_MUST_USE
enum gqa_status gqa_part_rotate(const struct gqa_runtime *runtime,
                                const struct gqa_attention_block *a,
                                const struct gqa_heads *heads,
                                const struct gqa_angles *angles);

/* Of a feed-forward that has them; else NULL. Lent by the network. */
const struct gqa_clamped_swiglu *gqa_part_pairs(
    const struct gqa_feed_forward *ff);

/* The constants of a feed-forward's xIELU, as they are now. */
struct gqa_xielu gqa_part_xielu_constants(const struct gqa_runtime *runtime,
                                          const struct gqa_feed_forward *ff);

/* x = xielu(x), of n elements. */
GQA_MUST_USE
enum gqa_status gqa_part_xielu(const struct gqa_runtime *runtime, void *x,
                               uint64_t n, const struct gqa_feed_forward *ff);

/* What the network says of an attention; tensors, capacity, reach and counts
 * are for the caller to fill in. */
struct gqa_attention_op gqa_part_attention(const struct gqa_attention_block *a,
                                           const struct gqa_heads *q);

/* What attend() made of op, with the attention's sinks, where it has any; op
 * has an lse then. */
GQA_MUST_USE
enum gqa_status gqa_part_sink(const struct gqa_runtime *runtime,
                              const struct gqa_attention_block *a,
                              const struct gqa_attention_op *op);

#endif
