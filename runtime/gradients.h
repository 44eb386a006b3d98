/*
 * The operations of backend.h, backwards, and what training needs beside
 * them. A backend has them in `gradients`, or NULL there.
 *
 * dy is the gradient of a scalar loss with respect to an operation's output
 * y; dx what follows for its input x. Gradients of activations are real, those
 * of weights wide (backend.h): the latter are added to what is there, so that
 * batches accumulate. NULL where one is not wanted.
 *
 * The same calls give the same bits: on the CPU on any number of threads, on
 * a GPU from run to run. Sums over rows are taken in a fixed order.
 *
 * Rows of padding: their dy is 0 where it came from the loss, and so is what
 * follows from it; attention neither reads nor writes anything but 0 there.
 *
 * Source: derivatives of what backend.h and common/functions.h state; checked
 * against central differences in float64 and autograd of PyTorch.
 */
#ifndef GQA_RUNTIME_GRADIENTS_H
#define GQA_RUNTIME_GRADIENTS_H

#include "common/status.h"
#include "runtime/ops.h"

struct gqa_device;
struct gqa_turn_op;

/* attend(), backwards; the scores are made again and never stored. */
struct gqa_attention_gradient {
    /* As attend() took it; out and lse are what it made, or merge() of that and
     * of other keys' attention, or sink() of it. n_tokens == n_new rows or
     * fewer of each sequence, starts 0. */
    struct gqa_attention_op forward;
    const void *d_out; /* real [rows, n_heads * head_dim] */
    /* real [rows, q_width], and not forward.q, which is read to the end: the
     * heads of q_place are set. */
    void *d_q;
    bool adds_q; /* or added to */
    /* real [n_sequences, n_kv_heads, capacity, head_dim]: set, also where no
     * key is (0). */
    void *d_k, *d_v;
    void *d_bias; /* wide [n_heads, 2 * reach - 1] */
    /* Or NULL: what turn_back() is to be called with behind it, whose q and
     * caches are these. A device that has both at once sets *turned, and what
     * d_k and d_v hold then is not said. */
    const struct gqa_turn_op *turn;
    bool *turned;
};

/* Queries, keys and values of the current batch, between their projections and
 * attention; or, on the way back, what they are to blame for. */
struct gqa_turn_op {
    void *q; /* real [rows, q_width], turned in place; NULL: there are none */
    void *k, *v;             /* real [rows, k_width], [rows, v_width] */
    void *cache_k, *cache_v; /* as gqa_attention_op has them; NULL: there are
                                neither keys nor values */
    uint64_t q_width, k_width, v_width;
    struct gqa_head_place q_place, k_place, v_place;
    uint64_t capacity, head_dim;
    /* As rotate() takes them; n_pairs 0: nothing is turned. */
    uint64_t n_pairs;
    bool interleaved;
    const void *cos_sin;
};

/*
 * A loss of logits, row by row, weighted and summed:
 *
 *   weights[r] (kl * KL(t || s) + reverse_kl * KL(s || t)
 *               + cross_entropy * -log s[labels[r]])
 *
 * t and s the softmax of teacher's and student's logits at `temperature`
 * (cross-entropy: at 1), KL multiplied by its square.
 */
struct gqa_loss_op {
    const void *student, *teacher; /* wide [n_rows, vocab_size]; teacher NULL
                                      where no KL is wanted */
    uint64_t n_rows, vocab_size;
    const int32_t *labels; /* host [n_rows], copied; < 0: the row has none;
                              NULL: no row has */
    const double *weights; /* host [n_rows], copied; 0: not counted */
    double kl, reverse_kl, cross_entropy, temperature;
    double soft_cap; /* of the student's logits, which soft_cap() has capped
                        already; 0: none */
    double factor;   /* times d_logits */
    void *d_logits;  /* real [n_rows, vocab_size]: set; NULL: not wanted.
                        Of the logits before the cap. */
    double *losses;  /* host [n_rows, 3]: KL(t || s), KL(s || t) and -log s of
                        each row as the sum has them, without their factors;
                        the first two wherever there is a teacher, the last
                        wherever a label, all 0 where the weight is. Waits.
                        NULL: not wanted. */
    void *sums;      /* device float64 [4]: added to: the three, each times
                        weights[r], and the whole loss, rows in order; NULL */
};

/* Adam with decoupled decay (Loshchilov and Hutter 2019), on n wide
 * elements. */
struct gqa_adamw_op {
    void *weights, *mean, *square; /* wide [n] */
    const void *gradients;         /* wide [n] */
    uint64_t n;
    double gradient_scale; /* multiplies gradients (clipping, batches) */
    double rate, beta1, beta2, eps, decay;
    uint64_t step; /* from 1 on: bias correction */
    /* The weights once more, in another type, for products; NULL: none. */
    void *copy;
    enum gqa_dtype copy_dtype;
};

/* Adafactor (Shazeer and Stern 2018), of a matrix [n_rows, n_cols], factored,
 * or of a vector, n_rows 1, not factored. */
struct gqa_adafactor_op {
    void *weights;         /* wide [n_rows, n_cols] */
    void *row, *col;       /* wide [n_rows], [n_cols]: second moments; n_rows
                              1: col alone */
    const void *gradients; /* wide */
    uint64_t n_rows, n_cols;
    double gradient_scale;
    double rate;        /* absolute: relative steps are the caller's */
    double decay_power; /* 0.8: beta2 = 1 - step^-0.8 */
    double eps;         /* 1e-30, added to squares */
    double clip;        /* 1: of the update's root mean square */
    double weight_decay;
    uint64_t step;
    void *copy;
    enum gqa_dtype copy_dtype;
};

struct gqa_gradient_ops {
    /* --- Memory: n wide values to or from a dtype ---------------------- */
    enum gqa_status (*widen)(struct gqa_device *device, void *wide,
                             const void *src, enum gqa_dtype dtype, uint64_t n);
    enum gqa_status (*narrow)(struct gqa_device *device, void *dst,
                              enum gqa_dtype dtype, const void *wide,
                              uint64_t n);
    /* x += y, n reals. */
    enum gqa_status (*add)(struct gqa_device *device, void *x, const void *y,
                           uint64_t n);

    /* --- Rows of the current batch ---------------------------------------- */

    /* d_table[token of r] += scale * dx[r]; d_positions[position of r] +=
     * dx[r]. Row gradients of one token are added in the order of rows. */
    enum gqa_status (*embed)(struct gqa_device *device, void *d_table,
                             uint64_t n_rows_of_table, void *d_positions,
                             uint64_t n_positions, const void *dx,
                             uint64_t width, double scale);
    /* rotate() of queries; keys as rotate() turns them, and values, to their
     * caches, as store() puts them there. What k holds then is not said. */
    enum gqa_status (*turn)(struct gqa_device *device,
                            const struct gqa_turn_op *op);
    /* x weight^T, whose rows op's q, k and v lie in, of the batch's rows of x,
     * and turn() of that at once, where the device has that for such: *done
     * says whether, and else nothing has been written. Of the rows turned
     * queries alone are. NULL: linear() and turn() have to do. */
    enum gqa_status (*project)(struct gqa_device *device, bool *done,
                               const struct gqa_turn_op *op, const void *x,
                               const struct gqa_weight *weight);
    /* And back: of d of what is turned, in place, and of d of caches to rows of
     * k and v. Those beyond n_tokens get 0. */
    enum gqa_status (*turn_back)(struct gqa_device *device,
                                 const struct gqa_turn_op *op);
    enum gqa_status (*attend_back)(struct gqa_device *device,
                                   const struct gqa_attention_gradient *op);
    /* sink(), of out and lse as it left them: d_sinks (wide [n_heads]) are
     * added to. attend_back() of these is its way back to queries, keys and
     * values. */
    enum gqa_status (*sink)(struct gqa_device *device, void *d_sinks,
                            const void *out, const void *lse, const void *d_out,
                            const struct gqa_weight *sinks, uint64_t n_heads,
                            uint64_t head_dim);
    /* dx += what sum_pieces() is to blame for. */
    enum gqa_status (*sum_pieces)(struct gqa_device *device, void *dx,
                                  const void *dy, uint64_t width, uint64_t size,
                                  uint64_t n_out);
    /* norm_heads(), of x as it was before: dy becomes dx in place. d_weight,
     * d_bias: wide [head_dim]. */
    enum gqa_status (*norm_heads)(struct gqa_device *device, void *dy,
                                  void *d_weight, void *d_bias, const void *x,
                                  uint64_t width,
                                  const struct gqa_head_place *place,
                                  uint64_t head_dim,
                                  const struct gqa_norm_op *op);

    /* --- n_rows rows ------------------------------------------------------ */

    /* dx = what norm() is to blame for, or dx += that. dx may be dy where it
     * is not added. d_weight, d_bias: wide [width]. */
    enum gqa_status (*norm)(struct gqa_device *device, void *dx, void *d_weight,
                            void *d_bias, const void *x, const void *dy,
                            uint64_t n_rows, uint64_t width,
                            const struct gqa_norm_op *op, bool accumulate);
    /* linear(): d_weight wide [outputs, inputs], input_major [inputs,
     * outputs]; d_bias wide [outputs]. dx is gqa_linear_transposed()'s. */
    enum gqa_status (*linear_weight)(struct gqa_device *device, void *d_weight,
                                     void *d_bias, const void *x,
                                     uint64_t inputs, const void *dy,
                                     uint64_t outputs, uint64_t n_rows,
                                     bool input_major);
    /* activate() of n_rows * width elements: gate is what x was before, up as
     * it was. d_gate and d_up (NULL where up is) are set, rows d_width elements
     * apart; d_gate may be dy where that is width. */
    enum gqa_status (*activate)(struct gqa_device *device, void *d_gate,
                                void *d_up, uint64_t d_width, const void *gate,
                                const void *up, const void *dy, uint64_t n_rows,
                                uint64_t width, enum gqa_activation activation);
    /* xielu(), of x as it was before: dx, which may be dy, is set. sums (device
     * float64 [2], or NULL) are added to: what the constants `positive` and
     * `negative` are to blame for. */
    enum gqa_status (*xielu)(struct gqa_device *device, void *dx, void *sums,
                             const void *x, const void *dy, uint64_t n,
                             const struct gqa_xielu *constants);
    /* swiglu_pairs(), of x as it was: dx, 2 n elements, is set, and none of
     * dy. */
    enum gqa_status (*swiglu_pairs)(struct gqa_device *device, void *dx,
                                    const void *x, const void *dy, uint64_t n,
                                    const struct gqa_clamped_swiglu *constants);
    /* clip(), of x as it was before: dy becomes dx in place, which is 0 where x
     * was beyond the limit. */
    enum gqa_status (*clip)(struct gqa_device *device, void *dy, const void *x,
                            uint64_t n, double limit);
    /* out, host [n_rows]: the sum of x[r] y[r] over each row's width
     * elements. Waits. */
    enum gqa_status (*dot_rows)(struct gqa_device *device, double *out,
                                const void *x, const void *y, uint64_t width,
                                uint64_t n_rows);
    enum gqa_status (*loss)(struct gqa_device *device,
                            const struct gqa_loss_op *op);
    /* out, host [n_rows]: what wide logits [n_rows, vocab_size] of two models
     * have between them, as gqa_compare_logits() (measure/fidelity.h) has it,
     * in float64. labels: host [n_rows], below 0: none. Waits. */
    enum gqa_status (*compare)(struct gqa_device *device,
                               struct gqa_logit_comparison *out,
                               const void *original, const void *converted,
                               uint64_t n_rows, uint64_t vocab_size,
                               const int32_t *labels);
    /* Mean squared error towards `target`: dx = factor * (x - target), set;
     * *sum (device float64) += factor / 2 * |x - target|^2. Rows beyond
     * n_tokens of the current batch count as 0. dx may be x. */
    enum gqa_status (*squares)(struct gqa_device *device, void *dx,
                               const void *x, const void *target,
                               uint64_t n_rows, uint64_t width, double factor,
                               void *sum);

    /* --- Steps ------------------------------------------------------------ */

    /* out[0] (device float64) += sum of squares of n wide elements. */
    enum gqa_status (*norm2)(struct gqa_device *device, void *out,
                             const void *x, uint64_t n);
    enum gqa_status (*adamw)(struct gqa_device *device,
                             const struct gqa_adamw_op *op);
    enum gqa_status (*adafactor)(struct gqa_device *device,
                                 const struct gqa_adafactor_op *op);
};

#endif
