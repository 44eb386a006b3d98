/*
 * One part of a model on a device, with the weights of that part alone: streams
 * of a batch of whole sequences come in and go out, and one attention can be
 * gone back by itself. What it computes is what a tape does, through the same
 * code.
 *
 *     gqa_layer_begin()          a batch; then the caller fills
 *     gqa_layer_in()             the stream before the part, and
 *     gqa_layer_memory()         what a cross-attention looks back at
 *     gqa_layer_run()            to the stream behind the part, or
 *     gqa_layer_attend()         to the one behind an attention; then
 *     gqa_layer_attend_back()    from that one's gradient to weights'
 */
#ifndef GQA_RUNTIME_BACK_LAYER_H
#define GQA_RUNTIME_BACK_LAYER_H

#include "runtime/back/tape.h"

enum gqa_layer_part {
    GQA_LAYER_EMBEDDING, /* from tokens to the stream */
    GQA_LAYER_BLOCK,
    GQA_LAYER_FINAL_NORM,
};

struct gqa_layer_place {
    enum gqa_layer_part part;
    size_t stack; /* of the network's */
    size_t block; /* of a BLOCK */
};

struct gqa_layer;

/*
 * network, device, options->trained  lent; must outlive the result.
 * options  keep_bytes is not looked at; trained NULL: it does not go back.
 * Errors   those of reading; GQA_ERR_NOMEM; GQA_ERR_UNSUPPORTED: the backend
 *          has no gradients.
 */
GQA_MUST_USE
enum gqa_status gqa_layer_create(struct gqa_layer **out,
                                 const struct gqa_network *network,
                                 const struct gqa_backend *backend,
                                 struct gqa_device *device,
                                 const struct gqa_weight_source *weights,
                                 const struct gqa_layer_place *place,
                                 const struct gqa_tape_options *options);
void gqa_layer_free(struct gqa_layer *layer);

/* Device bytes that one takes, weights included; UINT64_MAX where there can be
 * none. */
uint64_t gqa_layer_bytes(const struct gqa_network *network,
                         const struct gqa_backend *backend,
                         struct gqa_device *device,
                         const struct gqa_layer_place *place,
                         const struct gqa_tape_options *options);

/* Lent: with this part's weights, for masters. */
struct gqa_runtime *gqa_layer_runtime(struct gqa_layer *layer);

/* Take a batch, and make the part's stack the device's. */
GQA_MUST_USE
enum gqa_status gqa_layer_begin(struct gqa_layer *layer,
                                const struct gqa_tape_batch *batch);

/* Device memory, real [rows, d_model], of what another model makes [rows,
 * memory_width], with room for the wider; rows of all sequences, padding
 * included. */
void *gqa_layer_in(const struct gqa_layer *layer);
uint64_t gqa_layer_n_rows(const struct gqa_layer *layer);
/* The encoder's normed output, in its rows; NULL: it is not looked at. */
void *gqa_layer_memory(const struct gqa_layer *layer);

/* *out: likewise, lent until the next call. Without `trained` what
 * gqa_layer_in() gives is overwritten. */
GQA_MUST_USE
enum gqa_status gqa_layer_run(struct gqa_layer *layer, void **out);

/* Of a block: behind its self-attention, or behind its cross-attention. */
GQA_MUST_USE
enum gqa_status gqa_layer_attend(struct gqa_layer *layer, bool cross,
                                 void **out);

/* Room for the gradient of what gqa_layer_attend() gave: real, as that. */
void *gqa_layer_d_out(const struct gqa_layer *layer);

/* Gradients of that attention's projections are added. */
GQA_MUST_USE
enum gqa_status gqa_layer_attend_back(struct gqa_layer *layer, bool cross);

/* As gqa_tape_gradient() and gqa_tape_zero(). */
void *gqa_layer_gradient(const struct gqa_layer *layer, size_t param);
GQA_MUST_USE
enum gqa_status gqa_layer_zero(struct gqa_layer *layer);

#endif
