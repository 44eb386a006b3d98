/* A model on a device, run over token sequences. */
#ifndef GQA_RUNTIME_MEASURE_RUNNING_H
#define GQA_RUNTIME_MEASURE_RUNNING_H

#include "runtime/data/tokens.h"
#include "runtime/runtime.h"

/* In which order tokens meet layers; both compute the same. */
enum gqa_order {
    GQA_ORDER_AUTO,  /* by token where the device has room for all weights */
    GQA_ORDER_TOKEN, /* tokens through all layers (runtime.h) */
    GQA_ORDER_LAYER, /* all tokens through one layer after another, with the
                        weights of one on the device (layers.h) */
};

struct gqa_run_options {
    const struct gqa_backend *backend; /* lent */
    struct gqa_device_options device;
    enum gqa_order order;
};

/* A model on a device. */
struct gqa_running;

/*
 * weights  may be read from any thread as long as the model is open; lent,
 *          as is model, until gqa_running_close().
 * Errors those of gqa_network_create(), of opening the device and of
 *        gqa_runtime_create().
 */
GQA_MUST_USE
enum gqa_status gqa_running_open(struct gqa_running **out,
                                 const struct gqa_model *model,
                                 const struct gqa_weight_source *weights,
                                 const struct gqa_run_options *options);
void gqa_running_close(struct gqa_running *running);

/* All lent. runtime: NULL where the order is by layer. */
const struct gqa_network *gqa_running_network(
    const struct gqa_running *running);
struct gqa_runtime *gqa_running_runtime(struct gqa_running *running);

/* What the order was chosen by. */
struct gqa_order_choice {
    enum gqa_order order;              /* never AUTO */
    uint64_t weight_bytes, free_bytes; /* of the model; of the device */
};

struct gqa_order_choice gqa_running_order(const struct gqa_running *running);

/* Change the frequencies of RoPE in the runs that come: plain ones divided by
 * these, one for each pair. */
void gqa_running_turn(struct gqa_running *running, const double *divisors);
GQA_MUST_USE
enum gqa_status gqa_running_describe(struct gqa_running *running,
                                     struct gqa_device_info *out);

/* Called as batches end; positions of the decoder. */
struct gqa_run_progress {
    void (*update)(void *ctx, uint64_t done, uint64_t all); /* or NULL */
    void *ctx;
    uint64_t base, all; /* added to done; what is given as all */
};

/*
 * Run all sequences, in padded batches of those of like length. output: its
 * callbacks get the sequence's index in tokens; positions of a sequence come
 * in order, but sequences in any, and in pieces beside one another. What is
 * given depends on the other sequences of a batch in the last bits alone.
 * token_by_token: the decoder takes one token a step, from its
 * KV cache, instead of all at once.
 *
 * By layer, the weights are read anew, a layer at a time; progress counts
 * positions as each layer's share of them.
 *
 * Errors those of the session and the callbacks; GQA_ERR_USAGE where a
 * sequence has no decoder tokens; GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_running_run(struct gqa_running *running,
                                const struct gqa_tokens *tokens,
                                bool token_by_token,
                                const struct gqa_step_output *output,
                                const struct gqa_run_progress *progress);

#endif
