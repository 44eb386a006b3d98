/* The CPU backend, in parts: what its device holds, and arithmetic for each
 * of the two types of reals. */
#ifndef GQA_RUNTIME_CPU_CPU_H
#define GQA_RUNTIME_CPU_CPU_H

#include "runtime/backend.h"
#include "runtime/cpu/pool.h"

/* Query rows and keys that an attention task holds scores of at once. */
enum { GQA_CPU_QUERIES = 64, GQA_CPU_KEYS = 256 };

/* Queries first to first + n - 1 of a sequence, of the heads of one group,
 * and n_padding rows behind them. */
struct gqa_cpu_attend_task {
    const struct gqa_attention_op *op;
    uint64_t sequence, kv_head;
    uint64_t n_new, first, n, n_padding;
    uint64_t start, n_keys; /* of the sequence */
};

/* Of a row's head: what merge() is given. */
struct gqa_cpu_merge {
    void *out, *lse;
    const void *other, *other_lse;
    size_t head_dim;
};

/* A row's sink(): all of its heads. */
struct gqa_cpu_sink {
    void *out, *lse;
    const void *sinks; /* reals */
    size_t n_heads, head_dim;
};

/* A tile of queries (t.op is op->original, t.kv_head one of the other keys');
 * losses: [heads of the group], added to. */
struct gqa_cpu_score_task {
    const struct gqa_score_op *op;
    struct gqa_cpu_attend_task t;
    double *losses;
};

/* out [n_rows, ld] columns [0, n) (+)= scale * x [n_rows, k] W^T or W. */
struct gqa_cpu_product {
    const void *x, *w;
    void *out;
    int n_rows, n, k;
    int ldx, ldw, ldout;
    bool input_major; /* W is [k, n], not [n, k] */
    bool accumulate;
    double scale;
};

/* gqa_norm_op with its vectors as reals, or NULL. */
struct gqa_cpu_norm {
    enum gqa_norm_kind kind;
    double eps;
    const void *weight, *bias;
    bool one_plus, accumulate;
};

/* Arithmetic on one type of reals: float or double. No function fails. */
/* A row's weigh_rows(); less and by are its own, bias is reals or NULL. */
struct gqa_cpu_weigh {
    const void *less, *bias, *by;
    size_t width, by_width;
};

struct gqa_cpu_back;

struct gqa_cpu_real {
    size_t size;
    const struct gqa_cpu_back *back; /* runtime/cpu/back.h */
    /* dst[i] = src[i], rounded once. */
    void (*load)(void *dst, const void *src, enum gqa_dtype dtype, size_t n);
    void (*add)(void *x, const void *y, size_t n);
    void (*add_scaled)(void *x, const void *y, size_t n, double factor);
    void (*scale)(void *x, size_t n, double factor);
    void (*norm)(void *out, const void *x, size_t width,
                 const struct gqa_cpu_norm *norm);
    /* One head; cos_sin is its position's. */
    void (*rotate)(void *head, uint64_t n_pairs, bool interleaved,
                   const void *cos_sin);
    void (*activate)(void *x, const void *up, size_t n,
                     enum gqa_activation activation);
    void (*clip)(void *x, size_t n, double limit);
    void (*xielu)(void *x, size_t n, const struct gqa_xielu *constants);
    void (*swiglu_pairs)(void *out, const void *x, size_t n,
                         const struct gqa_clamped_swiglu *constants);
    void (*soft_cap)(void *x, size_t n, double cap);
    void (*weigh)(void *out, const void *x, const struct gqa_cpu_weigh *op);
    void (*multiply)(const struct gqa_cpu_product *product);
    /* scratch: attend_bytes(head_dim, group). */
    size_t (*attend_bytes)(uint64_t head_dim, uint64_t group);
    void (*attend)(const struct gqa_cpu_attend_task *task, void *scratch);
    void (*merge)(const struct gqa_cpu_merge *op);
    void (*sink)(const struct gqa_cpu_sink *op);
    /* scratch: two reals for each query of the task and key of the
     * capacity. */
    void (*scores)(const struct gqa_cpu_score_task *task, void *scratch);
};

/* v3, v4: the same for x86-64-v3 and v4, where GQA_X86_LEVELS is defined. */
extern const struct gqa_cpu_real gqa_cpu_f32, gqa_cpu_f32_v3, gqa_cpu_f32_v4;
extern const struct gqa_cpu_real gqa_cpu_f64;

/* 3, 4: this processor has x86-64-v3 or v4; 0: it has neither. */
unsigned gqa_cpu_level(void);

struct gqa_device {
    enum gqa_dtype dtype;
    enum gqa_dtype rounded; /* of plain.c: what results are rounded to */
    const struct gqa_cpu_real *real;
    struct gqa_cpu_pool *pool;
    /* The batch. */
    uint64_t n_sequences, n_new;
    int32_t *tokens;    /* [n_sequences, n_new] */
    uint64_t *n_tokens; /* [n_sequences] */
    uint64_t *starts;   /* [n_sequences] */
    /* Vectors of weights as reals: a norm's, a product's bias. */
    void *vectors[2];
    size_t vector_bytes[2];
};

/* A vector of a weight as reals in device->vectors[which]; NULL: none. */
GQA_MUST_USE
enum gqa_status gqa_cpu_vector(const void **out, struct gqa_device *device,
                               int which, const struct gqa_weight *weight);

/* Tasks worth a thread's while: at least so many elements each. */
#define GQA_CPU_GRAIN ((uint64_t)16384)

/* Position of row i of sequence s for tables; that of padding is 0. */
static inline uint64_t gqa_cpu_position(const struct gqa_device *device,
                                        uint64_t s, uint64_t i)
{
    return i < device->n_tokens[s] ? device->starts[s] + i : 0;
}

/* Tokens [*first, *end) of piece i of a sequence's, as sum_pieces() has them;
 * none where there is no such piece. */
static inline void gqa_cpu_piece(uint64_t *first, uint64_t *end, uint64_t i,
                                 uint64_t n_tokens, uint64_t size)
{
    const uint64_t n = n_tokens / size;

    *first = *end = 0;
    if (i >= n)
        return;
    *first = i * size;
    *end = i + 1 < n ? *first + size : n_tokens;
}

/* First element of head h in a row. */
static inline uint64_t gqa_cpu_head(const struct gqa_head_place *place,
                                    uint64_t head_dim, uint64_t h)
{
    return place->base + h / place->per_block * place->block_stride +
           h % place->per_block * head_dim;
}

/* Operations of the backend, as in backend.h. */
enum gqa_status gqa_cpu_embed(struct gqa_device *device, void *out,
                              const struct gqa_weight *table, double scale,
                              const struct gqa_weight *positions);
enum gqa_status gqa_cpu_rotate(struct gqa_device *device, void *x,
                               uint64_t width,
                               const struct gqa_head_place *place,
                               uint64_t head_dim, uint64_t n_pairs,
                               bool interleaved, const void *cos_sin);
enum gqa_status gqa_cpu_store(struct gqa_device *device, void *cache,
                              uint64_t capacity, const void *x, uint64_t width,
                              const struct gqa_head_place *place,
                              uint64_t head_dim);
enum gqa_status gqa_cpu_attend(struct gqa_device *device,
                               const struct gqa_attention_op *op);
enum gqa_status gqa_cpu_merge(struct gqa_device *device, void *out, void *lse,
                              const void *other, const void *other_lse,
                              uint64_t n_heads, uint64_t head_dim);
enum gqa_status gqa_cpu_sink(struct gqa_device *device, void *out, void *lse,
                             const struct gqa_weight *sinks, uint64_t n_heads,
                             uint64_t head_dim);
enum gqa_status gqa_cpu_sum_pieces(struct gqa_device *device, void *out,
                                   const void *x, uint64_t width, uint64_t size,
                                   uint64_t n_out);
enum gqa_status gqa_cpu_norm(struct gqa_device *device, void *out,
                             const void *x, uint64_t n_rows, uint64_t width,
                             const struct gqa_norm_op *op, bool accumulate);
enum gqa_status gqa_cpu_norm_heads(struct gqa_device *device, void *x,
                                   uint64_t width,
                                   const struct gqa_head_place *place,
                                   uint64_t head_dim,
                                   const struct gqa_norm_op *op);
enum gqa_status gqa_cpu_weigh_rows(struct gqa_device *device, void *out,
                                   const void *x, const void *less,
                                   const struct gqa_weight *bias,
                                   uint64_t width, const void *by,
                                   uint64_t by_width, uint64_t n_rows);
enum gqa_status gqa_cpu_add_rows(struct gqa_device *device, void *out,
                                 const void *x, uint64_t width,
                                 const uint64_t *rows, const double *weights,
                                 double scale, uint64_t n_rows);
enum gqa_status gqa_cpu_clip(struct gqa_device *device, void *x, uint64_t n,
                             double limit);
enum gqa_status gqa_cpu_xielu(struct gqa_device *device, void *x, uint64_t n,
                              const struct gqa_xielu *constants);
enum gqa_status gqa_cpu_swiglu_pairs(
    struct gqa_device *device, void *out, const void *x, uint64_t n,
    const struct gqa_clamped_swiglu *constants);
enum gqa_status gqa_cpu_soft_cap(struct gqa_device *device, void *x, uint64_t n,
                                 double cap);
enum gqa_status gqa_cpu_linear(struct gqa_device *device, void *out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               const void *added);
enum gqa_status gqa_cpu_activate(struct gqa_device *device, void *out,
                                 const void *x, const void *up, uint64_t n,
                                 enum gqa_activation activation);
enum gqa_status gqa_cpu_gather(struct gqa_device *device, void *out,
                               const void *x, uint64_t width,
                               const uint64_t *rows, uint64_t n_rows);
enum gqa_status gqa_cpu_unembed(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                double scale);
enum gqa_status gqa_cpu_gram(struct gqa_device *device, void *out,
                             const void *x, uint64_t x_width, const void *y,
                             uint64_t y_width, uint64_t n_rows);
enum gqa_status gqa_cpu_scores(struct gqa_device *device,
                               const struct gqa_score_op *op);
enum gqa_status gqa_cpu_draw(struct gqa_device *device, int32_t *out,
                             const void *logits, const uint64_t *keys,
                             uint64_t first, uint64_t n_rows,
                             const struct gqa_draw_op *op);
enum gqa_status gqa_cpu_follow(struct gqa_device *device, const int32_t *tokens,
                               int32_t end);

#endif
