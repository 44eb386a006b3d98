/*
 * The operations of gradients.h on a GPU, and what they share. Sums over many
 * rows or elements are made in two stages: of parts whose number depends on
 * the shape alone, each by one block or warp, then of the parts in order. No
 * float is added to atomically, so the same call gives the same bits.
 */
#ifndef GQA_RUNTIME_CUDA_BACK_CUH
#define GQA_RUNTIME_CUDA_BACK_CUH

#include "runtime/cuda/device.cuh"

extern const struct gqa_gradient_ops gqa_cuda_gradients;
extern const struct gqa_collective_ops gqa_cuda_collectives;

/* back_sums.cu */

/* out[c] += the sum over n_parts rows of parts [n_parts, width], in float64
 * and a fixed order; stride: elements from one row to the next. */
enum gqa_status gqa_cuda_add_parts(struct gqa_device *device, float *out,
                                   const float *parts, uint64_t n_parts,
                                   uint64_t stride, uint64_t width);
/* The same of float64, for few columns. */
enum gqa_status gqa_cuda_add_sums(struct gqa_device *device, double *out,
                                  const double *parts, uint64_t n_parts,
                                  uint64_t width);

/*
 * d_bias[c] += the sum over rows of dy[r, c]; d_weight[c] += that of dy[r, c] *
 * (x[r, c] - mean[r]) * factor[r]. [n_rows, width] both; either may be NULL,
 * and x and stats are not looked at where d_weight is.
 *
 * room: gqa_cuda_columns_bytes() on the device.
 */
struct gqa_columns {
    float *d_weight, *d_bias;
    const void *x, *dy;
    const double *stats; /* [n_rows, 2]: mean, factor */
    uint64_t n_rows, width;
    void *room;
};

uint64_t gqa_cuda_columns_bytes(uint64_t n_rows, uint64_t width);
enum gqa_status gqa_cuda_add_columns(struct gqa_device *device,
                                     const struct gqa_columns *columns);

/* back_memory.cu */
enum gqa_status gqa_cuda_zero(struct gqa_device *device, void *x,
                              uint64_t n_bytes);
enum gqa_status gqa_cuda_copy(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes);
enum gqa_status gqa_cuda_widen(struct gqa_device *device, void *wide,
                               const void *src, enum gqa_dtype dtype,
                               uint64_t n);
enum gqa_status gqa_cuda_narrow(struct gqa_device *device, void *dst,
                                enum gqa_dtype dtype, const void *wide,
                                uint64_t n);
enum gqa_status gqa_cuda_add(struct gqa_device *device, void *x, const void *y,
                             uint64_t n);

/* back_turn.cu */
enum gqa_status gqa_cuda_turn(struct gqa_device *device,
                              const struct gqa_turn_op *op);
enum gqa_status gqa_cuda_turn_back(struct gqa_device *device,
                                   const struct gqa_turn_op *op);

/* turned.cu */
enum gqa_status gqa_cuda_project(struct gqa_device *device, bool *done,
                                 const struct gqa_turn_op *op, const void *x,
                                 const struct gqa_weight *weight);

/* back_rows.cu */
enum gqa_status gqa_cuda_activate_back(struct gqa_device *device, void *d_gate,
                                       void *d_up, uint64_t d_width,
                                       const void *gate, const void *up,
                                       const void *dy, uint64_t n_rows,
                                       uint64_t width,
                                       enum gqa_activation activation);
enum gqa_status gqa_cuda_xielu_back(struct gqa_device *device, void *dx,
                                    void *sums, const void *x, const void *dy,
                                    uint64_t n,
                                    const struct gqa_xielu *constants);
enum gqa_status gqa_cuda_swiglu_pairs_back(
    struct gqa_device *device, void *dx, const void *x, const void *dy,
    uint64_t n, const struct gqa_clamped_swiglu *constants);
enum gqa_status gqa_cuda_clip_back(struct gqa_device *device, void *dy,
                                   const void *x, uint64_t n, double limit);
enum gqa_status gqa_cuda_dot_rows(struct gqa_device *device, double *out,
                                  const void *x, const void *y, uint64_t width,
                                  uint64_t n_rows);
enum gqa_status gqa_cuda_squares(struct gqa_device *device, void *dx,
                                 const void *x, const void *target,
                                 uint64_t n_rows, uint64_t width, double factor,
                                 void *sum);

/* back_embed.cu */
enum gqa_status gqa_cuda_embed_back(struct gqa_device *device, void *d_table,
                                    uint64_t n_rows_of_table, void *d_positions,
                                    uint64_t n_positions, const void *dx,
                                    uint64_t width, double scale);

/* back_norm.cu */
enum gqa_status gqa_cuda_norm_back(struct gqa_device *device, void *dx,
                                   void *d_weight, void *d_bias, const void *x,
                                   const void *dy, uint64_t n_rows,
                                   uint64_t width, const struct gqa_norm_op *op,
                                   bool accumulate);
enum gqa_status gqa_cuda_norm_heads_back(struct gqa_device *device, void *dy,
                                         void *d_weight, void *d_bias,
                                         const void *x, uint64_t width,
                                         const struct gqa_head_place *place,
                                         uint64_t head_dim,
                                         const struct gqa_norm_op *op);

/* back_linear.cu */
enum gqa_status gqa_cuda_linear_weight(struct gqa_device *device,
                                       void *d_weight, void *d_bias,
                                       const void *x, uint64_t inputs,
                                       const void *dy, uint64_t outputs,
                                       uint64_t n_rows, bool input_major);

/* back_loss.cu */
enum gqa_status gqa_cuda_loss(struct gqa_device *device,
                              const struct gqa_loss_op *op);

/* back_compare.cu */
enum gqa_status gqa_cuda_compare(struct gqa_device *device,
                                 struct gqa_logit_comparison *out,
                                 const void *original, const void *converted,
                                 uint64_t n_rows, uint64_t vocab_size,
                                 const int32_t *labels);

/* back_step.cu */
enum gqa_status gqa_cuda_norm2(struct gqa_device *device, void *out,
                               const void *x, uint64_t n);
enum gqa_status gqa_cuda_adamw(struct gqa_device *device,
                               const struct gqa_adamw_op *op);
enum gqa_status gqa_cuda_adafactor(struct gqa_device *device,
                                   const struct gqa_adafactor_op *op);

/* pieces.cu */
enum gqa_status gqa_cuda_sum_pieces_back(struct gqa_device *device, void *dx,
                                         const void *dy, uint64_t width,
                                         uint64_t size, uint64_t n_out);

/* sinks.cu */
enum gqa_status gqa_cuda_sink_back(struct gqa_device *device, void *d_sinks,
                                   const void *out, const void *lse,
                                   const void *d_out,
                                   const struct gqa_weight *sinks,
                                   uint64_t n_heads, uint64_t head_dim);

/* back_attend.cu */
enum gqa_status gqa_cuda_attend_back(struct gqa_device *device,
                                     const struct gqa_attention_gradient *op);

#endif
