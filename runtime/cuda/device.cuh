/*
 * An opened GPU, and what the operations share: a stream, cuBLASLt, the
 * batch, and memory that grows to the largest need. All work goes down one
 * stream, in order, so that an operation may use scratch memory that an
 * earlier one still works in. Opened twice, a GPU works down two at once.
 */
#ifndef GQA_RUNTIME_CUDA_DEVICE_CUH
#define GQA_RUNTIME_CUDA_DEVICE_CUH

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "runtime/backend.h"
#include "runtime/cuda/plugin.h"

struct gqa_scratch {
    void *data;
    uint64_t n_bytes;
};

struct gqa_products; /* products.cu */
struct gqa_solver;   /* fit.cu */

/* Copies from the host that may be on their way at once. */
enum { GQA_CUDA_N_ASIDE = 8 };

struct gqa_device {
    int ordinal;
    enum gqa_dtype real;
    unsigned n_threads; /* of the host, as it was opened with */
    char name[128];
    int n_processors;
    bool overlaps, warpgroups; /* as in gqa_attend_fast */
    cudaStream_t stream;
    cudaEvent_t mark; /* what another that follows waits for */
    cublasLtHandle_t lt;
    struct gqa_products *products;
    struct gqa_solver *solver; /* NULL: nothing has been solved yet */

    /* Memory of the host that the device reads by itself, in N_ASIDE places,
     * each with an event behind its last copy; data NULL: none yet. */
    struct {
        char *data;
        cudaEvent_t sent[GQA_CUDA_N_ASIDE];
        unsigned turn;
    } aside;

    int64_t *numbers; /* of the batch, on the host */
    uint64_t numbers_bytes;
    /* Of the batch, on the device; n_keys is starts + n_tokens. */
    struct gqa_scratch batch;
    uint64_t n_sequences, n_new;
    const int32_t *tokens;
    const int64_t *n_tokens, *starts, *n_keys;
    int64_t max_keys;

    struct gqa_scratch workspace;  /* cuBLASLt's */
    struct gqa_scratch panel;      /* a weight's part in another dtype, and
                                      moments of a slab */
    struct gqa_scratch factors;    /* of these, as float64 */
    struct gqa_scratch bias;       /* likewise */
    struct gqa_scratch parts;      /* of attentions split along the keys */
    struct gqa_scratch key_counts; /* of an attention */
    uint64_t *counts;              /* what they are, on the host: [n_counts] */
    uint64_t n_counts;
    struct gqa_scratch row_numbers;
    struct gqa_scratch scores; /* tiles of them, and their factors */
    struct gqa_scratch fit;    /* a least-squares problem */
    struct gqa_scratch back;   /* of sums, and attention backwards */
};

/* The tool's gqa_fail(). */
extern const struct gqa_host *gqa_cuda_host;

/* GQA_OK, or a failure that names the device and the error. */
enum gqa_status gqa_cuda_check(struct gqa_device *device, cudaError_t error);

/* The same of the launches just made. */
enum gqa_status gqa_cuda_launched(struct gqa_device *device);

/* Make the device the current one of this thread. */
enum gqa_status gqa_cuda_enter(struct gqa_device *device);

/* At least n_bytes; the contents are lost where it grows. */
enum gqa_status gqa_cuda_reserve(struct gqa_device *device,
                                 struct gqa_scratch *scratch, uint64_t n_bytes);

/* Copy n_bytes of host memory, which may change afterwards, in stream
 * order; for the device's own thread. */
enum gqa_status gqa_cuda_send(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes);

/* products.cu */
enum gqa_status gqa_cuda_products_create(struct gqa_device *device);
void gqa_cuda_products_free(struct gqa_products *products);

/* linear.cu */
enum gqa_status gqa_cuda_linear(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                const void *added);
enum gqa_status gqa_cuda_unembed(struct gqa_device *device, void *out,
                                 const void *x, uint64_t n_rows,
                                 const struct gqa_weight *weight,
                                 bool input_major,
                                 const struct gqa_weight *bias, double scale);

/* ops.cu */
enum gqa_status gqa_cuda_embed(struct gqa_device *device, void *out,
                               const struct gqa_weight *table, double scale,
                               const struct gqa_weight *positions);
enum gqa_status gqa_cuda_rotate(struct gqa_device *device, void *x,
                                uint64_t width,
                                const struct gqa_head_place *place,
                                uint64_t head_dim, uint64_t n_pairs,
                                bool interleaved, const void *cos_sin);
enum gqa_status gqa_cuda_store(struct gqa_device *device, void *cache,
                               uint64_t capacity, const void *x, uint64_t width,
                               const struct gqa_head_place *place,
                               uint64_t head_dim);
enum gqa_status gqa_cuda_norm(struct gqa_device *device, void *out,
                              const void *x, uint64_t n_rows, uint64_t width,
                              const struct gqa_norm_op *op, bool accumulate);
enum gqa_status gqa_cuda_norm_heads(struct gqa_device *device, void *x,
                                    uint64_t width,
                                    const struct gqa_head_place *place,
                                    uint64_t head_dim,
                                    const struct gqa_norm_op *op);
enum gqa_status gqa_cuda_weigh_rows(struct gqa_device *device, void *out,
                                    const void *x, const void *less,
                                    const struct gqa_weight *bias,
                                    uint64_t width, const void *by,
                                    uint64_t by_width, uint64_t n_rows);
enum gqa_status gqa_cuda_clip(struct gqa_device *device, void *x, uint64_t n,
                              double limit);
enum gqa_status gqa_cuda_xielu(struct gqa_device *device, void *x, uint64_t n,
                               const struct gqa_xielu *constants);
enum gqa_status gqa_cuda_swiglu_pairs(
    struct gqa_device *device, void *out, const void *x, uint64_t n,
    const struct gqa_clamped_swiglu *constants);
enum gqa_status gqa_cuda_soft_cap(struct gqa_device *device, void *x,
                                  uint64_t n, double cap);
enum gqa_status gqa_cuda_activate(struct gqa_device *device, void *out,
                                  const void *x, const void *up, uint64_t n,
                                  enum gqa_activation activation);
enum gqa_status gqa_cuda_gather(struct gqa_device *device, void *out,
                                const void *x, uint64_t width,
                                const uint64_t *rows, uint64_t n_rows);
enum gqa_status gqa_cuda_add_rows(struct gqa_device *device, void *out,
                                  const void *x, uint64_t width,
                                  const uint64_t *rows, const double *weights,
                                  double scale, uint64_t n_rows);

/* gated.cu */
enum gqa_status gqa_cuda_gated(struct gqa_device *device, bool *done,
                               void *hidden, void *gate_out, void *up_out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *gate,
                               const struct gqa_weight *up,
                               enum gqa_activation activation);

/* draw.cu */
enum gqa_status gqa_cuda_draw(struct gqa_device *device, int32_t *out,
                              const void *logits, const uint64_t *keys,
                              uint64_t first, uint64_t n_rows,
                              const struct gqa_draw_op *op);
enum gqa_status gqa_cuda_follow(struct gqa_device *device,
                                const int32_t *tokens, int32_t end);

/* gram.cu */
enum gqa_status gqa_cuda_gram(struct gqa_device *device, void *out,
                              const void *x, uint64_t x_width, const void *y,
                              uint64_t y_width, uint64_t n_rows);

/* fit.cu */
void gqa_cuda_solver_free(struct gqa_solver *solver);
enum gqa_status gqa_cuda_fit_ridge(struct gqa_device *device, double *out,
                                   const double *began, const double *inputs,
                                   const double *products, uint64_t n,
                                   uint64_t m, double ridge);
enum gqa_status gqa_cuda_fit_loss(struct gqa_device *device, double *out,
                                  const double *weight, const double *inputs,
                                  const double *products, uint64_t n,
                                  uint64_t m);

/* attend.cu */
enum gqa_status gqa_cuda_attend(struct gqa_device *device,
                                const struct gqa_attention_op *op);
enum gqa_status gqa_cuda_merge(struct gqa_device *device, void *out, void *lse,
                               const void *other, const void *other_lse,
                               uint64_t n_heads, uint64_t head_dim);

/* sinks.cu */
enum gqa_status gqa_cuda_sink(struct gqa_device *device, void *out, void *lse,
                              const struct gqa_weight *sinks, uint64_t n_heads,
                              uint64_t head_dim);

/* pieces.cu */
enum gqa_status gqa_cuda_sum_pieces(struct gqa_device *device, void *out,
                                    const void *x, uint64_t width,
                                    uint64_t size, uint64_t n_out);

/* On the device; sent only where they are not there already, as in each block
 * of each step that decodes. */
enum gqa_status gqa_cuda_key_counts(struct gqa_device *device,
                                    const int64_t **out,
                                    const uint64_t *key_counts);

/* scores.cu */
enum gqa_status gqa_cuda_scores(struct gqa_device *device,
                                const struct gqa_score_op *op);

#endif
