/* A model on a device, and what a session holds of it. */
#ifndef GQA_RUNTIME_STATE_H
#define GQA_RUNTIME_STATE_H

#include "runtime/runtime.h"
#include "runtime/uses.h"

/* Device memory of weights that lie one behind the other (joint.h). */
struct gqa_piece {
    void *data;
    size_t n_weights; /* that are still there */
};

struct gqa_runtime {
    const struct gqa_network *network;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real, wide;
    /* By param index; what no block uses has no data. */
    struct gqa_weight *weights;
    /* By param index: the piece that a weight lies in, which is freed with its
     * last; NULL: there is no weight, or it is another's, which frees it. */
    struct gqa_piece **pieces;
    /* Tables of relative bias, on the host, by param index; else NULL. */
    double **tables;
    /* By number of a stack: positions that are computed; else no data. */
    struct gqa_weight sinusoids[2];
    struct gqa_loader *loader; /* made with the first weights */
};

/* A runtime without weights: what it runs on is loaded in parts. */
GQA_MUST_USE
enum gqa_status gqa_runtime_create_empty(struct gqa_runtime **out,
                                         const struct gqa_network *network,
                                         const struct gqa_backend *backend,
                                         struct gqa_device *device);

/*
 * Load the parameters of `uses`, none of which is on the device yet; tables
 * of the host stay once they are there. After an error some are loaded.
 */
GQA_MUST_USE
enum gqa_status gqa_runtime_load(struct gqa_runtime *runtime,
                                 const struct gqa_weight_source *source,
                                 const enum gqa_use *uses);

/* Forget a weight, and free it where it is the runtime's. */
void gqa_runtime_drop(struct gqa_runtime *runtime, size_t param);

/* The same of all weights on the device. */
void gqa_runtime_unload(struct gqa_runtime *runtime);

/* GQA_ERR_NOMEM where the device has not so many bytes free. what: "the
 * model's weights take", before the number. */
GQA_MUST_USE
enum gqa_status gqa_runtime_check_room(const struct gqa_runtime *runtime,
                                       const char *what, uint64_t n_bytes);

/* The weight of a param index; NULL for GQA_NO_PARAM. */
const struct gqa_weight *gqa_runtime_weight(const struct gqa_runtime *runtime,
                                            size_t param);

/* A linear map's matrix, or its bias: the weight, or its part of it, in
 * *room. */
const struct gqa_weight *gqa_runtime_matrix(const struct gqa_runtime *runtime,
                                            const struct gqa_linear *linear,
                                            struct gqa_weight *room);
const struct gqa_weight *gqa_runtime_bias(const struct gqa_runtime *runtime,
                                          const struct gqa_linear *linear,
                                          struct gqa_weight *room);

/* The network's norm as the backend takes it. */
struct gqa_norm_op gqa_runtime_norm(const struct gqa_runtime *runtime,
                                    const struct gqa_norm *norm);

/* Width of what a linear map makes; 0: there is none. */
uint64_t gqa_runtime_outputs(const struct gqa_runtime *runtime,
                             const struct gqa_linear *linear);

/* Keys and values of one attention, as gqa_attention_op has them. */
struct gqa_kv_cache {
    void *k, *v;
};

/* Of summaries (summaries.h), of the block that runs; unused where the network
 * has none. */
struct gqa_summary_room {
    struct gqa_kv_cache cache;
    void *rows;     /* real [summaries, d_model] */
    void *attended; /* real [rows, heads]: attention to them alone */
    void *lse;      /* wide [rows, n_heads]: that of it */
    void **bias;    /* by block of the encoder, as the session's */
    uint64_t *n;    /* host [n_sequences]: how many there are */
};

/* Device memory of a session; activations have `rows` rows. */
struct gqa_workspace {
    void *x;           /* real [rows, d_model]: the residual stream, or what
                          comes of an input (memory_width) */
    void *normed;      /* the same, normed for the attention */
    void *ff_normed;   /* and for a parallel feed-forward that has a norm of
                          its own; else unused */
    void *output;      /* real [rows, d_model]: a sublayer's, where a norm
                          comes before it is added; else unused */
    void *q, *k, *v;   /* real [rows, outputs]: projections */
    void *attended;    /* real [rows, heads] */
    void *lse;         /* wide [rows, n_heads]: as attend() has it, of
                          attentions with summaries or sinks; else unused */
    void *picked;      /* real [ff_rows, d_model]: an expert's rows; unused
                          without experts */
    void *up, *gate;   /* real [ff_rows, d_ff] */
    void *last;        /* real [head_rows, d_model]: rows that get logits */
    void *last_normed; /* the same */
    void *logits;      /* wide [head_rows, vocab_size] */
};

/* Angles of the network's RoPE, and of its local one: wide [positions, n_pairs,
 * 2], or NULL. */
struct gqa_angles {
    void *all, *local;
    uint64_t turned_for; /* kind of lengths, as gqa_rope_kind() has it */
};

/* Those of one of the two. */
const void *gqa_angles_of(const struct gqa_angles *angles,
                          const struct gqa_network *network,
                          const struct gqa_rope *rope);

struct gqa_session {
    struct gqa_runtime *runtime;
    struct gqa_session_room room;                     /* what there is */
    uint64_t n_sequences, capacity, encoder_capacity; /* what is in use */
    uint64_t *numbers; /* [n_sequences]: what callbacks call the sequences */
    uint64_t *seen;    /* [n_sequences]: tokens of the decoder so far */
    uint64_t *inputs;  /* [n_sequences]: tokens of the encoder; 0: none yet */
    /* By stack and block, of experts that take so many tokens of a sequence
     * (capacity.h): what they have taken; NULL: they take all. */
    uint64_t **taken[2];
    /* By decoder block; cross of encoder-decoders. */
    struct gqa_kv_cache *self, *cross;
    bool one_cache; /* one of each, which serves one block after another */
    struct gqa_kv_cache encoder; /* of the block that runs */
    struct gqa_angles angles;
    /* By stack and block: T5's bias or ALiBi's, wide [n_heads, 2 * capacity -
     * 1] or NULL. Blocks
     * that share a table share it here. */
    void **bias[2];
    struct gqa_summary_room summaries;
    struct gqa_workspace work;
    uint64_t chunk; /* new tokens of each sequence taken at once */
    uint64_t rows, ff_rows, head_rows;
    /* Host memory: tokens and counts of a batch, values on their way out. */
    int32_t *tokens; /* [rows] */
    uint64_t *n_tokens, *starts;
    bool *ends; /* whether a sequence's last new token is in the batch */
    uint64_t *out_rows, *out_sequence, *out_position; /* [rows] */
    void *raw;
    double *values; /* as many as head_rows * max(n_outputs, d_model) */
};

/* Rows of a batch that run through a stack. */
struct gqa_pass {
    struct gqa_session *session;
    const struct gqa_network_stack *stack;
    size_t layer; /* the block that runs */
    struct gqa_batch batch;
    uint64_t n_rows;
    const struct gqa_step_output *output; /* or NULL */
    /* What blocks do behind it is not wanted; NULL: all is. */
    const struct gqa_block_point *last;
};

/* A session whose KV cache serves one block at a time: nothing of a block
 * is left once another has run. Else as gqa_session_create_for(). */
GQA_MUST_USE
enum gqa_status gqa_session_create_one_cache(
    struct gqa_session **out, struct gqa_runtime *runtime,
    const struct gqa_session_room *room);

/*
 * Make the pass's batch of n of the new tokens [n_sequences, n_new], from the
 * one at `first` on; session->starts is set already. The batch points to the
 * session's memory.
 */
void gqa_pass_fill(struct gqa_pass *pass, const int32_t *tokens, uint64_t n_new,
                   const uint64_t *n_tokens, uint64_t first, uint64_t n);

/* How far apart two tokens of the stack may be: what tables of biases cover. */
uint64_t gqa_session_reach(const struct gqa_session *session,
                           const struct gqa_network_stack *stack);

/* Bytes of the device that a session takes for each of its sequences, of so
 * many tokens, and of so many of input where there is an encoder. */
uint64_t gqa_session_sequence_bytes(const struct gqa_runtime *runtime,
                                    uint64_t length, uint64_t width);

/* Whether new tokens are in the vocabulary, and have room behind those seen. */
GQA_MUST_USE
enum gqa_status gqa_session_check_tokens(const struct gqa_session *session,
                                         const int32_t *tokens, uint64_t n_new,
                                         const uint64_t *n_tokens);
GQA_MUST_USE
enum gqa_status gqa_session_check_room(const struct gqa_session *session,
                                       const uint64_t *n_tokens);

/* Embed the tokens of the batch and run them through the stack's blocks. */
GQA_MUST_USE
enum gqa_status gqa_forward(const struct gqa_pass *pass);

/* The same where the device has its batch already. */
GQA_MUST_USE
enum gqa_status gqa_forward_batch(const struct gqa_pass *pass);

/* From the encoder's last residual stream, what the decoder's
 * cross-attentions read. */
GQA_MUST_USE
enum gqa_status gqa_forward_cross(const struct gqa_pass *pass);

/* Hand rows to a tap that wants them; the pass fills in the rest. */
GQA_MUST_USE
enum gqa_status gqa_emit_tap(const struct gqa_pass *pass,
                             const struct gqa_tapped *what);

/* Hand over the residual stream after a block. */
GQA_MUST_USE
enum gqa_status gqa_emit_residual(const struct gqa_pass *pass, uint64_t layer);

/* Hand over logits of the batch. */
GQA_MUST_USE
enum gqa_status gqa_emit_logits(const struct gqa_pass *pass);

#endif
