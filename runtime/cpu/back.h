/* The CPU backend, backwards: its operations (gradients.h), and arithmetic
 * for each of the two types of reals. Wide is real. */
#ifndef GQA_RUNTIME_CPU_BACK_H
#define GQA_RUNTIME_CPU_BACK_H

#include "runtime/cpu/cpu.h"

/* A row of a loss; scratch: three reals for each logit. */
struct gqa_cpu_loss_row {
    const struct gqa_loss_op *op;
    const void *student, *teacher; /* the row's; teacher or NULL */
    void *d_logits;                /* or NULL */
    int32_t label;                 /* < 0: none */
    double weight;                 /* not 0 */
    double *losses;                /* [3] */
};

/* Query heads [head, head + n_heads) of a sequence, of one KV head. */
struct gqa_cpu_attend_back_task {
    const struct gqa_attention_gradient *op;
    uint64_t sequence, kv_head, head, n_heads;
    uint64_t n_new, n_tokens, start, n_keys;
    void *d_k, *d_v; /* [capacity, head_dim]: set */
    void *d_bias;    /* [n_heads, 2 * reach - 1]: set; or NULL */
};

/* A part of an optimiser's elements, [first, first + n). */
struct gqa_cpu_part {
    size_t first, n;
};

/* Arithmetic on one type of reals. No function fails. */
struct gqa_cpu_back {
    /* dst[i] = src[i] in another type, rounded to it. */
    void (*store)(void *dst, enum gqa_dtype dtype, const void *src, size_t n);
    void (*rotate)(void *head, uint64_t n_pairs, bool interleaved,
                   const void *cos_sin);
    /* A row's; sums (NULL: none) are added to. */
    void (*norm)(void *dx, double *d_weight, double *d_bias, const void *x,
                 const void *dy, size_t width, const struct gqa_cpu_norm *norm);
    void (*activate)(void *d_gate, void *d_up, const void *gate, const void *up,
                     const void *dy, size_t n, enum gqa_activation activation);
    /* sums: [2], set. */
    void (*xielu)(void *dx, double *sums, const void *x, const void *dy,
                  size_t n, const struct gqa_xielu *constants);
    void (*swiglu_pairs)(void *dx, const void *x, const void *dy, size_t n,
                         const struct gqa_clamped_swiglu *constants);
    void (*clip)(void *dy, const void *x, size_t n, double limit);
    void (*loss)(const struct gqa_cpu_loss_row *row, void *scratch);
    /* dx = factor * (x - target); returns |x - target|^2. */
    double (*squares)(void *dx, const void *x, const void *target, size_t n,
                      double factor);
    double (*sum_squares)(const void *x, size_t n);
    double (*sum_products)(const void *x, const void *y, size_t n);
    /* sums += x; x += sums. */
    void (*add_to_sums)(double *sums, const void *x, size_t n);
    void (*add_sums)(void *x, const double *sums, size_t n);
    /* out [n_x, ldout] columns [0, n_y) += x^T y, of n_rows rows. */
    void (*multiply_columns)(void *out, int ldout, const void *x, int ldx,
                             int n_x, const void *y, int ldy, int n_y,
                             int n_rows);
    /* x += factor * y, factor rounded first. */
    void (*add_scaled)(void *x, const void *y, size_t n, double factor);
    void (*adamw)(const struct gqa_adamw_op *op,
                  const struct gqa_cpu_part *part);
    /* Row r's moment anew. */
    void (*adafactor_row)(const struct gqa_adafactor_op *op, double beta,
                          uint64_t r);
    /* Columns' moments anew; sums: [part->n]. */
    void (*adafactor_columns)(const struct gqa_adafactor_op *op, double beta,
                              const struct gqa_cpu_part *part, double *sums);
    /* Row r's update of weights, divided by `divisor`, or, where that is 0,
     * no more than the sum of its squares, which is returned. */
    double (*adafactor_update)(const struct gqa_adafactor_op *op, uint64_t r,
                               double mean_row, double divisor);
    size_t (*attend_bytes)(void);
    void (*attend)(const struct gqa_cpu_attend_back_task *task, void *scratch);
    /* What the sink of a row's head is to blame for. */
    double (*sink)(const void *out, const void *lse, const void *d_out,
                   const void *sink, size_t head_dim);
};

extern const struct gqa_gradient_ops gqa_cpu_gradients;

/* Operations, as in gradients.h. */
enum gqa_status gqa_cpu_back_zero(struct gqa_device *device, void *x,
                                  uint64_t n_bytes);
enum gqa_status gqa_cpu_back_copy(struct gqa_device *device, void *dst,
                                  const void *src, uint64_t n_bytes);
enum gqa_status gqa_cpu_back_widen(struct gqa_device *device, void *wide,
                                   const void *src, enum gqa_dtype dtype,
                                   uint64_t n);
enum gqa_status gqa_cpu_back_narrow(struct gqa_device *device, void *dst,
                                    enum gqa_dtype dtype, const void *wide,
                                    uint64_t n);
enum gqa_status gqa_cpu_back_add(struct gqa_device *device, void *x,
                                 const void *y, uint64_t n);
enum gqa_status gqa_cpu_back_embed(struct gqa_device *device, void *d_table,
                                   uint64_t n_rows_of_table, void *d_positions,
                                   uint64_t n_positions, const void *dx,
                                   uint64_t width, double scale);
enum gqa_status gqa_cpu_turn(struct gqa_device *device,
                             const struct gqa_turn_op *op);
enum gqa_status gqa_cpu_back_turn(struct gqa_device *device,
                                  const struct gqa_turn_op *op);
enum gqa_status gqa_cpu_back_attend_back(
    struct gqa_device *device, const struct gqa_attention_gradient *op);
enum gqa_status gqa_cpu_back_sink(struct gqa_device *device, void *d_sinks,
                                  const void *out, const void *lse,
                                  const void *d_out,
                                  const struct gqa_weight *sinks,
                                  uint64_t n_heads, uint64_t head_dim);
enum gqa_status gqa_cpu_back_sum_pieces(struct gqa_device *device, void *dx,
                                        const void *dy, uint64_t width,
                                        uint64_t size, uint64_t n_out);
enum gqa_status gqa_cpu_back_norm_heads(struct gqa_device *device, void *dy,
                                        void *d_weight, void *d_bias,
                                        const void *x, uint64_t width,
                                        const struct gqa_head_place *place,
                                        uint64_t head_dim,
                                        const struct gqa_norm_op *op);
enum gqa_status gqa_cpu_back_norm(struct gqa_device *device, void *dx,
                                  void *d_weight, void *d_bias, const void *x,
                                  const void *dy, uint64_t n_rows,
                                  uint64_t width, const struct gqa_norm_op *op,
                                  bool accumulate);
enum gqa_status gqa_cpu_back_linear_weight(struct gqa_device *device,
                                           void *d_weight, void *d_bias,
                                           const void *x, uint64_t inputs,
                                           const void *dy, uint64_t outputs,
                                           uint64_t n_rows, bool input_major);
enum gqa_status gqa_cpu_back_activate(struct gqa_device *device, void *d_gate,
                                      void *d_up, uint64_t d_width,
                                      const void *gate, const void *up,
                                      const void *dy, uint64_t n_rows,
                                      uint64_t width,
                                      enum gqa_activation activation);
enum gqa_status gqa_cpu_back_xielu(struct gqa_device *device, void *dx,
                                   void *sums, const void *x, const void *dy,
                                   uint64_t n,
                                   const struct gqa_xielu *constants);
enum gqa_status gqa_cpu_back_swiglu_pairs(
    struct gqa_device *device, void *dx, const void *x, const void *dy,
    uint64_t n, const struct gqa_clamped_swiglu *constants);
enum gqa_status gqa_cpu_back_clip(struct gqa_device *device, void *dy,
                                  const void *x, uint64_t n, double limit);
enum gqa_status gqa_cpu_dot_rows(struct gqa_device *device, double *out,
                                 const void *x, const void *y, uint64_t width,
                                 uint64_t n_rows);
enum gqa_status gqa_cpu_back_loss(struct gqa_device *device,
                                  const struct gqa_loss_op *op);
enum gqa_status gqa_cpu_compare(struct gqa_device *device,
                                struct gqa_logit_comparison *out,
                                const void *original, const void *converted,
                                uint64_t n_rows, uint64_t vocab_size,
                                const int32_t *labels);
enum gqa_status gqa_cpu_back_squares(struct gqa_device *device, void *dx,
                                     const void *x, const void *target,
                                     uint64_t n_rows, uint64_t width,
                                     double factor, void *sum);
enum gqa_status gqa_cpu_back_norm2(struct gqa_device *device, void *out,
                                   const void *x, uint64_t n);
enum gqa_status gqa_cpu_back_adamw(struct gqa_device *device,
                                   const struct gqa_adamw_op *op);
enum gqa_status gqa_cpu_back_adafactor(struct gqa_device *device,
                                       const struct gqa_adafactor_op *op);

#endif
