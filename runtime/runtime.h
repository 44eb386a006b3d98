/*
 * A model in motion: its weights on a device, and sessions that run tokens
 * through it. No file is opened here: weights come through a callback.
 * A signal that is pending (common/interrupt.h) ends reading and running
 * with GQA_ERR_INTERRUPTED. A session whose step failed, of this or of
 * anything but GQA_ERR_USAGE, is fit for a reset alone.
 */
#ifndef GQA_RUNTIME_RUNTIME_H
#define GQA_RUNTIME_RUNTIME_H

#include "formats/model/network.h"
#include "runtime/backend.h"
#include "runtime/taps.h"

/*
 * Rows [row, row + n_rows) of a parameter of the network's model into buf,
 * in the parameter's dtype and Hugging Face orientation. Called from several
 * threads at once.
 */
struct gqa_weight_source {
    enum gqa_status (*read)(void *ctx, size_t param, uint64_t row,
                            uint64_t n_rows, void *buf);
    void *ctx;
};

struct gqa_runtime;
struct gqa_session;

/*
 * Read the weights, each once, on the threads that the device was opened
 * with, and keep them in their own dtype.
 *
 * network, device  lent; must outlive the runtime.
 * Errors those of the callback; GQA_ERR_NOMEM with the bytes needed and the
 *        bytes there are, before anything is read, where the device's memory
 *        is too small.
 */
GQA_MUST_USE
enum gqa_status gqa_runtime_create(struct gqa_runtime **out,
                                   const struct gqa_network *network,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   const struct gqa_weight_source *weights);

/*
 * The same of a network that has weights of another's: parameter i is what
 * same[i] is there (GQA_NO_PARAM: nothing), to the bit, which the caller
 * knows. Those are neither read nor held twice.
 *
 * device   other's, or one that reaches the same memory (gqa_backend.wait_for)
 * network  lent; must outlive the runtime, as `other` must
 * same     [n_params of the network's model]: not kept
 * Errors   also GQA_ERR_USAGE: two that are said to be the same have other
 *          shapes.
 */
GQA_MUST_USE
enum gqa_status gqa_runtime_create_sharing(
    struct gqa_runtime **out, const struct gqa_network *network,
    struct gqa_device *device, const struct gqa_weight_source *weights,
    const struct gqa_runtime *other, const size_t *same);
void gqa_runtime_free(struct gqa_runtime *runtime);

/* What to hand over as a step runs; any may be NULL. s is what the sequence
 * is called: its place in the batch, or what gqa_session_begin() said. */
struct gqa_step_output {
    void *ctx;
    /* Logits of n_rows tokens of sequence s from position on: [n_rows,
     * n_outputs] as double; of a model without logits the rows that stand in
     * their place (network.h). Tokens of a sequence come in order. */
    enum gqa_status (*logits)(void *ctx, uint64_t s, uint64_t position,
                              uint64_t n_rows, const double *logits);
    bool last_only; /* logits of each sequence's last token alone */
    /* The residual stream after a block (layer 0 ...) of a stack, before the
     * final norm: [n_rows, d_model], for each sequence. */
    enum gqa_status (*residual)(void *ctx, enum gqa_stack stack, uint64_t layer,
                                uint64_t s, uint64_t position, uint64_t n_rows,
                                const double *x);
    const struct gqa_taps *taps; /* lent */
};

/* Bytes of the KV cache that a token of the encoder's input, which decoders
 * look back at, and one of the decoder take. */
void gqa_session_token_bytes(const struct gqa_runtime *runtime,
                             uint64_t *encoder, uint64_t *decoder);

/*
 * Room for n_sequences of at most `capacity` tokens each (encoder-decoders:
 * of the decoder), and of at most encoder_capacity tokens of input. The
 * session is lent the runtime. Where the frequencies of RoPE depend on how
 * long a sequence is, they are those of a sequence of `capacity` tokens.
 */
GQA_MUST_USE
enum gqa_status gqa_session_create(struct gqa_session **out,
                                   struct gqa_runtime *runtime,
                                   uint64_t n_sequences, uint64_t capacity,
                                   uint64_t encoder_capacity);
void gqa_session_free(struct gqa_session *session);

/* Forget the tokens seen. */
void gqa_session_reset(struct gqa_session *session);

/* What sessions of changing batches have room for. */
struct gqa_session_room {
    uint64_t n_sequences;                /* at once */
    uint64_t capacity, encoder_capacity; /* tokens of a sequence */
    /* Of all sequences at once: n_sequences * capacity of any batch. */
    uint64_t tokens, encoder_tokens;
};

/* A session that gqa_session_begin() gives its first sequences; else as
 * gqa_session_create(). */
GQA_MUST_USE
enum gqa_status gqa_session_create_for(struct gqa_session **out,
                                       struct gqa_runtime *runtime,
                                       const struct gqa_session_room *room);

/*
 * Forget the tokens seen, and take other sequences from here on, with room
 * for so many tokens of each, which RoPE goes by; callbacks and messages call
 * them numbers[s] (NULL: 0, 1 ...; copied). Errors GQA_ERR_USAGE: none, or more
 * than there is room for.
 */
GQA_MUST_USE
enum gqa_status gqa_session_begin(struct gqa_session *session,
                                  uint64_t n_sequences, uint64_t capacity,
                                  uint64_t encoder_capacity,
                                  const uint64_t *numbers);

/*
 * Run the encoder over tokens [n_sequences, n_new], n_tokens[s], at least 1,
 * of sequence s being real, and keep what the decoder's cross-attention
 * needs. What the session had seen is forgotten, but not where the call is
 * one of GQA_ERR_USAGE: as below, or a model without an encoder. output may
 * be NULL; there are no logits of an input.
 */
GQA_MUST_USE
enum gqa_status gqa_session_encode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output);

/*
 * Run new tokens through the decoder behind those already seen. tokens and
 * n_tokens as above; n_tokens[s] 0 is allowed. A model that is an encoder alone
 * (gqa_network_is_encoder()) takes all tokens of its sequences in one call, and
 * has no more behind them. Errors GQA_ERR_USAGE: a token outside the
 * vocabulary, more tokens than the capacity or than the model has positions,
 * any behind those of an encoder.
 */
GQA_MUST_USE
enum gqa_status gqa_session_decode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output);

/* Tokens drawn one after another, each fed as the next. */
struct gqa_draw {
    struct gqa_draw_op op; /* its vocab_size is the network's, whatever it is */
    int32_t start;         /* fed first */
    int32_t end;           /* ends a sequence; -1: none does */
    const uint64_t *keys;  /* [n_sequences]: of their numbers (random.h) */
    uint64_t length;       /* tokens of a sequence, at most */
    /* Told now and then of the tokens drawn, of n_sequences * length; may be
     * NULL. */
    void (*progress)(void *ctx, uint64_t done);
    void *progress_ctx;
};

/*
 * Draw behind the tokens already seen, on the device: ids come to the host
 * many at a time. Number i of a sequence's key draws its token at position i.
 *
 * out    [n_sequences, length]; of sequence s drawn[s] are set, `end` among
 *        them
 * Errors as of decoding; GQA_ERR_FORMAT: logits are not finite
 */
GQA_MUST_USE
enum gqa_status gqa_session_draw(struct gqa_session *session, int32_t *out,
                                 uint64_t *drawn, const struct gqa_draw *draw);

/*
 * How many sequences of `length` tokens, with inputs of `width` where there is
 * an encoder, to draw at once: as many as the device makes good use of and its
 * memory has room for beside what else there is. The same again and again
 * while nothing else takes much of the memory; at least one.
 */
uint64_t gqa_session_n_drawn(const struct gqa_runtime *runtime, uint64_t length,
                             uint64_t width);

/* What that is at most, of whatever memory. */
uint64_t gqa_session_most_drawn(const struct gqa_backend *backend);

#endif
