/*
 * The operations a model is made of, on one device. The CPU backend is
 * linked in; the CUDA one is a plug-in that exports gqa_cuda_backend().
 *
 * Pointers to device memory are plain void *, and may be offset. Two types
 * of element: *real*, of the activations and the KV cache (the dtype that
 * the device was opened with), and *wide*, of tables and logits (float64
 * where real is float64, else float32).
 *
 * Activations are matrices of rows x width, row-major, without gaps. The
 * rows of a batch: sequence s, new token i is row s * n_new + i.
 *
 * Operations may run behind the caller's back, in order; download() waits.
 * Each returns GQA_OK or fails with GQA_ERR_NOMEM (memory of the device),
 * GQA_ERR_IO (the device failed or was lost), GQA_ERR_UNSUPPORTED. Errors
 * of work behind the caller's back come with a later call.
 */
#ifndef GQA_RUNTIME_BACKEND_H
#define GQA_RUNTIME_BACKEND_H

#include "common/status.h"
#include "runtime/collective.h"
#include "runtime/gradients.h"
#include "runtime/ops.h"

/* Raised with every change of this header, of ops.h and of what they
 * include: the tools and the plug-in must agree. */
#define GQA_BACKEND_ABI 19

struct gqa_device;

struct gqa_device_options {
    enum gqa_dtype real; /* CPU: F32, F64; CUDA: F32, BF16, F16 */
    unsigned n_threads;  /* of the host; 0: as many as there are processors */
    unsigned ordinal;    /* CUDA: which device */
};

struct gqa_device_info {
    char name[128];     /* "NVIDIA H200", "AMD EPYC ..." */
    char software[256]; /* driver and library versions, in one line */
    uint64_t total_bytes, free_bytes;
    enum gqa_dtype real; /* that it was opened with */
    unsigned n_threads;  /* the same */
};

/* Memory of the host that the device reads by itself; the backend's own
 * struct begins with this. */
struct gqa_staging {
    void *data;
    uint64_t n_bytes;
};

/*
 * A device serves one thread at a time; where more may call, it says so.
 */
struct gqa_backend {
    unsigned abi; /* GQA_BACKEND_ABI */
    const char *name;
    /* Backwards; NULL: the device cannot train. */
    const struct gqa_gradient_ops *gradients;
    /* With other processes' devices; NULL: see collective.h. */
    const struct gqa_collective_ops *collectives;
    /* What alloc() gives is memory of the host and may be written where it
     * is. There is no staging then: its functions are NULL. */
    bool in_place;

    enum gqa_status (*open)(struct gqa_device **out,
                            const struct gqa_device_options *options);
    void (*close)(struct gqa_device *device);
    enum gqa_status (*describe)(struct gqa_device *device,
                                struct gqa_device_info *out);

    /* Contents are undefined. n_bytes 0 is allowed. */
    enum gqa_status (*alloc)(struct gqa_device *device, void **out,
                             uint64_t n_bytes);
    void (*free)(struct gqa_device *device, void *memory);
    /* src may change once this has returned. */
    enum gqa_status (*upload)(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes);
    enum gqa_status (*download)(struct gqa_device *device, void *dst,
                                const void *src, uint64_t n_bytes);

    /* n_bytes set to 0, and from one place on the device to another. */
    enum gqa_status (*zero)(struct gqa_device *device, void *x,
                            uint64_t n_bytes);
    enum gqa_status (*copy)(struct gqa_device *device, void *dst,
                            const void *src, uint64_t n_bytes);

    /*
     * Copies that go on while the host does something else. Several threads
     * may call these at once, each with a staging of its own.
     */
    enum gqa_status (*stage_open)(struct gqa_device *device,
                                  struct gqa_staging **out, uint64_t n_bytes);
    /* Waits first, where it has to. */
    void (*stage_close)(struct gqa_device *device, struct gqa_staging *staging);
    /* Begin to copy the first n_bytes to dst. Operations that are called
     * later find them there. */
    enum gqa_status (*stage_send)(struct gqa_device *device,
                                  struct gqa_staging *staging, void *dst,
                                  uint64_t n_bytes);
    /* Begin to copy n_bytes of src, as what was called before leaves them, to
     * the staging. */
    enum gqa_status (*stage_fetch)(struct gqa_device *device,
                                   struct gqa_staging *staging, const void *src,
                                   uint64_t n_bytes);
    /* Return once what was sent or fetched is there: the staging may be
     * written, or read. */
    enum gqa_status (*stage_wait)(struct gqa_device *device,
                                  struct gqa_staging *staging);

    /*
     * Of two that were opened on the same device, and so reach the same memory:
     * what is called on `device` from here on finds done what was called on
     * `other` before. What is called on the two else goes on at once. NULL:
     * one is all that a device has use for.
     */
    enum gqa_status (*wait_for)(struct gqa_device *device,
                                struct gqa_device *other);

    enum gqa_status (*set_batch)(struct gqa_device *device,
                                 const struct gqa_batch *batch);

    /*
     * Operations on the rows of the current batch. Rows beyond n_tokens[s]
     * stand at position 0 for embed and rotate, and are not stored.
     */

    /* out[r] = table[token of r] * scale + positions[position of r]; scale is
     * rounded to real first. One of the two may be NULL, and is 0; positions of
     * one row are that row everywhere. */
    enum gqa_status (*embed)(struct gqa_device *device, void *out,
                             const struct gqa_weight *table, double scale,
                             const struct gqa_weight *positions);
    /* Rotate the heads of x in place, each by its row's position. cos_sin:
     * wide [n_positions, n_pairs, 2]. */
    enum gqa_status (*rotate)(struct gqa_device *device, void *x,
                              uint64_t width,
                              const struct gqa_head_place *place,
                              uint64_t head_dim, uint64_t n_pairs,
                              bool interleaved, const void *cos_sin);
    /* Append the heads of x to a KV cache laid out as in gqa_attention_op,
     * each token at its position. */
    enum gqa_status (*store)(struct gqa_device *device, void *cache,
                             uint64_t capacity, const void *x, uint64_t width,
                             const struct gqa_head_place *place,
                             uint64_t head_dim);
    enum gqa_status (*attend)(struct gqa_device *device,
                              const struct gqa_attention_op *op);
    /* Of the same queries' attention to other keys (other, other_lse) and what
     * attend() made of some (out, lse): that to all of them, in place. out,
     * other: real [rows, n_heads * head_dim]. */
    enum gqa_status (*merge)(struct gqa_device *device, void *out, void *lse,
                             const void *other, const void *other_lse,
                             uint64_t n_heads, uint64_t head_dim);
    /* Of what attend() made (out, lse): that with one more score in the softmax
     * of each query, which is its head's of `sinks`, [n_heads], and no value,
     * in place. out: as merge()'s. */
    enum gqa_status (*sink)(struct gqa_device *device, void *out, void *lse,
                            const struct gqa_weight *sinks, uint64_t n_heads,
                            uint64_t head_dim);
    /* out[s * n_out + i] = the sum of x's rows of tokens i * size to
     * (i + 1) * size - 1 of sequence s. Tokens that are left over behind the
     * last whole piece count to it; out is 0 where there is no piece. x: real
     * [rows, width]; starts are 0. */
    enum gqa_status (*sum_pieces)(struct gqa_device *device, void *out,
                                  const void *x, uint64_t width, uint64_t size,
                                  uint64_t n_out);

    /* Operations on n_rows rows. */

    /* out = norm(x), or out += that. out may be x where it is not added. */
    enum gqa_status (*norm)(struct gqa_device *device, void *out, const void *x,
                            uint64_t n_rows, uint64_t width,
                            const struct gqa_norm_op *op, bool accumulate);
    /* out = x W^T + bias + added. x: [n_rows, inputs]; added: as out, which it
     * may be; NULL: 0. */
    enum gqa_status (*linear)(struct gqa_device *device, void *out,
                              const void *x, uint64_t n_rows,
                              const struct gqa_weight *weight, bool input_major,
                              const struct gqa_weight *bias, const void *added);
    /* out = act(x), or act(x) * up where up is not NULL; n elements. out may be
     * x. */
    enum gqa_status (*activate)(struct gqa_device *device, void *out,
                                const void *x, const void *up, uint64_t n,
                                enum gqa_activation activation);
    /* out = act(x gate^T) * (x up^T) at once, where the device has that for
     * such rows and weights: *done says whether, and else nothing has been
     * written. gate_out, up_out: the two factors of act()'s inside, NULL: not
     * kept; out: none of them. NULL: linear() and activate() have to do. */
    enum gqa_status (*gated)(struct gqa_device *device, bool *done, void *out,
                             void *gate_out, void *up_out, const void *x,
                             uint64_t n_rows, const struct gqa_weight *gate,
                             const struct gqa_weight *up,
                             enum gqa_activation activation);
    /* out[i] = x[rows[i]]; rows in host memory, copied. */
    enum gqa_status (*gather)(struct gqa_device *device, void *out,
                              const void *x, uint64_t width,
                              const uint64_t *rows, uint64_t n_rows);
    /* out[rows[i]] += scale * weights[i] * x[i]. rows: in host memory, copied,
     * no row twice; NULL: i itself. weights likewise; NULL: 1. */
    enum gqa_status (*add_rows)(struct gqa_device *device, void *out,
                                const void *x, uint64_t width,
                                const uint64_t *rows, const double *weights,
                                double scale, uint64_t n_rows);
    /* Logits: out (wide) = scale * x W^T + bias. */
    enum gqa_status (*unembed)(struct gqa_device *device, void *out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               double scale);
    /*
     * Moments: out += X^T Y. out: float64 [x_width, y_width], whatever real
     * is; x: [n_rows, x_width]; y: [n_rows, y_width], or NULL: y is x, whose
     * width is both, and a symmetric `out` stays so to the bit. Rows of
     * padding count like others: gather what is to be counted.
     *
     * The same calls give the same bits, on any number of threads. Factors
     * are taken as they are; sums are float64, but over at most 1024 rows
     * float32 where real is BF16 or F16.
     */
    enum gqa_status (*gram)(struct gqa_device *device, void *out, const void *x,
                            uint64_t x_width, const void *y, uint64_t y_width,
                            uint64_t n_rows);
    /*
     * Least squares from moments, all of float64: inputs X^T X, [n, n];
     * products X^T Y, [n, m]. NULL where memory is the host's, since LAPACK
     * does it there. Errors also GQA_ERR_FORMAT: not finite, or not positive;
     * GQA_ERR_UNSUPPORTED: a library is not installed.
     *
     * fit_ridge  out = argmin |X out - Y|^2 + ridge t |out - began|^2, t the
     *            mean of X^T X's diagonal.
     * fit_loss   |X weight - Y|^2 less |Y|^2, to the host; waits.
     */
    enum gqa_status (*fit_ridge)(struct gqa_device *device, double *out,
                                 const double *began, const double *inputs,
                                 const double *products, uint64_t n, uint64_t m,
                                 double ridge);
    enum gqa_status (*fit_loss)(struct gqa_device *device, double *out,
                                const double *weight, const double *inputs,
                                const double *products, uint64_t n, uint64_t m);
    /* Norm each head of x by itself, in place; rows of the current batch,
     * as for rotate. */
    enum gqa_status (*norm_heads)(struct gqa_device *device, void *x,
                                  uint64_t width,
                                  const struct gqa_head_place *place,
                                  uint64_t head_dim,
                                  const struct gqa_norm_op *op);
    /* x = x within [-limit, limit], of n elements; a NaN stays one. */
    enum gqa_status (*clip)(struct gqa_device *device, void *x, uint64_t n,
                            double limit);
    /* x = xielu(x), of n elements. */
    enum gqa_status (*xielu)(struct gqa_device *device, void *x, uint64_t n,
                             const struct gqa_xielu *constants);
    /* out[i] = clamped SwiGLU of the gate x[2 i] and of x[2 i + 1], of n
     * elements of out, which is none of x. */
    enum gqa_status (*swiglu_pairs)(struct gqa_device *device, void *out,
                                    const void *x, uint64_t n,
                                    const struct gqa_clamped_swiglu *constants);
    /* x = cap * tanh(x / cap), of n wide elements; cap > 0. */
    enum gqa_status (*soft_cap)(struct gqa_device *device, void *x, uint64_t n,
                                double cap);
    /* out[r] = x[r] / |by[r]|, or (x[r] - less[r] - bias) / |by[r]| where less
     * is not NULL (bias may be); |by| is its root mean square, and the row 0
     * where that is 0. x, less, out: [n_rows, width]; out may be x or less.
     * by: [n_rows, by_width]. */
    enum gqa_status (*weigh_rows)(struct gqa_device *device, void *out,
                                  const void *x, const void *less,
                                  const struct gqa_weight *bias, uint64_t width,
                                  const void *by, uint64_t by_width,
                                  uint64_t n_rows);
    /* Rows of the current batch. The same call gives the same bits, on any
     * number of threads. */
    enum gqa_status (*scores)(struct gqa_device *device,
                              const struct gqa_score_op *op);
    /*
     * Tokens drawn from logits, and the step that they are for, without the
     * host. The batch is one of one new token a sequence at most.
     *
     * draw    out[s] for the n_rows sequences from `first` on, whose logits
     *         (wide [n_rows, vocab_size]) begin at `logits`: by the number
     *         gqa_uniform(keys[s], starts[s] + 1), for which the tokens'
     *         shares of 1 lie side by side in order. -1 where a logit is not
     *         finite; 0 where no token may be drawn, or the sequence has no
     *         new one in the batch. out: int32 [n_sequences]; keys: uint64
     *         [n_sequences]; both memory of the device.
     * follow  The batch behind this one, of tokens [n_sequences] as draw()
     *         gave them. Sequences that are given `end` (-1: none) or -1, or
     *         had no token in this batch, have none from here on.
     */
    enum gqa_status (*draw)(struct gqa_device *device, int32_t *out,
                            const void *logits, const uint64_t *keys,
                            uint64_t first, uint64_t n_rows,
                            const struct gqa_draw_op *op);
    enum gqa_status (*follow)(struct gqa_device *device, const int32_t *tokens,
                              int32_t end);
};

/* out = x W, or out += that: what linear()'s inputs are to blame for, given
 * that of its outputs. x: [n_rows, outputs]; out: [n_rows, inputs]. */
GQA_MUST_USE
static inline enum gqa_status gqa_linear_transposed(
    const struct gqa_backend *backend, struct gqa_device *device, void *out,
    const void *x, uint64_t n_rows, const struct gqa_weight *weight,
    bool input_major, bool accumulate)
{
    return backend->linear(device, out, x, n_rows, weight, !input_major, NULL,
                           accumulate ? out : NULL);
}

const struct gqa_backend *gqa_cpu_backend(void);

/*
 * The CUDA plug-in, loaded on the first call. Errors GQA_ERR_UNSUPPORTED:
 * it is not installed or of another version, or there is no driver or no
 * device; the message says which.
 */
GQA_MUST_USE
enum gqa_status gqa_cuda_backend_load(const struct gqa_backend **out);

#endif
