/*
 * Scores of other queries and keys against an attention's own.
 *
 *   q_own    [sequences, heads, rows, depth]      factors: each query head
 *   k_own    [sequences, heads, keys, depth]      and the key head it reads
 *   q        [sequences, heads, rows, depth]      of the others
 *   k        [sequences, KV heads, keys, depth]   likewise
 *   own, others   [sequences, heads, rows, keys]  float32 scores
 *   r             the same                        factors
 *   out_q    [sequences, heads, rows, depth]      float32
 *   out_k    [sequences, KV heads, keys, depth]   float32
 *
 * The heads of a group lie one after the other, so that a product with a KV
 * head takes the rows of all its query heads as one matrix.
 *
 * A batch is cut into tiles whose scores take SCORES bytes at most, where one
 * KV head's and a few rows' do: as many sequences, or KV heads of one, as go
 * in; and rows, since a tile of causal rows needs no keys behind its last.
 * out_k adds up over tiles of rows in their order.
 */
#include <string.h>

#include "runtime/cuda/products.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/scores.cuh"

static const int64_t SCORES = (int64_t)128 << 20;
static const int64_t MOST_ROWS = 256;      /* of a tile */
static const int64_t MOST_BATCH = 1 << 15; /* products of one call */

/* What is cut into tiles, and how. */
struct run {
    struct gqa_device *device;
    const struct gqa_attention_op *original;
    const struct gqa_score_op *op;
    int64_t group, n_groups;          /* query heads of a KV head; KV heads */
    const int64_t *starts, *n_tokens; /* on the host */
    const uint64_t *key_counts;       /* on the host; NULL: of the batch */
    /* A tile: sequences, KV heads, rows, keys. */
    int64_t n_sequences, n_kv_heads, n_rows, key_room;
    struct gqa_score_tile tile; /* the one that runs */
    struct gqa_score_rows rows;
    /* In the workspace. */
    void *q_own, *k_own, *q, *k;
    float *out_q, *out_k;
    double *losses;
    int64_t *names;
};

static int64_t whole(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t n_keys_of(const struct run *run, int64_t sequence)
{
    return run->key_counts ? (int64_t)run->key_counts[sequence]
                           : run->starts[sequence] + run->n_tokens[sequence];
}

/* Keys that rows before `end` see; 0 where `first` and all behind it are
 * padding. */
static int64_t n_seen(const struct run *run, int64_t sequence, int64_t first,
                      int64_t end)
{
    const int64_t last = smaller(end, run->n_tokens[sequence]);
    const int64_t n_keys = n_keys_of(run, sequence);

    if (last <= first)
        return 0;
    return run->original->causal ? smaller(n_keys, run->starts[sequence] + last)
                                 : n_keys;
}

/* --- The size of tiles and their workspace ----------------------------------
 */

static void cut(struct run *run)
{
    const int64_t n_sequences = (int64_t)run->device->n_sequences;
    int64_t most_keys = 0, most_rows = 0, fits;

    for (int64_t s = 0; s < n_sequences; s++) {
        most_keys = larger(most_keys, n_keys_of(run, s));
        most_rows = larger(most_rows, run->n_tokens[s]);
    }
    run->key_room = whole(larger(most_keys, 1), GQA_SCORE_ROWS);
    run->n_rows =
        smaller(whole(larger(most_rows, 1), GQA_SCORE_ROWS), MOST_ROWS);
    /* Two of float32, and r. */
    fits = SCORES / (12 * run->group * run->key_room);
    run->n_rows =
        larger(smaller(run->n_rows, fits / GQA_SCORE_ROWS * GQA_SCORE_ROWS),
               GQA_SCORE_ROWS);
    fits /= run->n_rows;
    fits = smaller(fits, MOST_BATCH / run->group);
    run->n_kv_heads = larger(smaller(run->n_groups, fits), 1);
    run->n_sequences =
        run->n_kv_heads < run->n_groups
            ? 1
            : larger(smaller(n_sequences, fits / run->n_groups), 1);
}

/* Parts of the workspace, one behind the other; `data` NULL: to add up. */
struct arena {
    char *data;
    uint64_t n_bytes;
};

static void *take(struct arena *arena, int64_t n, uint64_t size)
{
    void *part = arena->data ? arena->data + arena->n_bytes : NULL;

    arena->n_bytes += ((uint64_t)n * size + 255) / 256 * 256;
    return part;
}

static void lay_out(struct run *run, struct arena *arena)
{
    const enum gqa_dtype factor = gqa_score_factor(run->device->real);
    const uint64_t size = gqa_size_of(factor);
    const int64_t depth = run->tile.depth;
    const int64_t n_kv_heads = run->n_sequences * run->n_kv_heads;
    const int64_t n_heads = n_kv_heads * run->group;
    const int64_t n_rows = n_heads * run->n_rows;
    const int64_t n_scores = n_rows * run->key_room;

    run->q_own = take(arena, n_rows * depth, size);
    run->k_own = take(arena, n_heads * run->key_room * depth, size);
    run->rows.own = (float *)take(arena, n_scores, sizeof(float));
    run->q = take(arena, n_rows * depth, size);
    run->k = take(arena, n_kv_heads * run->key_room * depth, size);
    run->rows.others = (float *)take(arena, n_scores, sizeof(float));
    run->rows.out =
        factor == GQA_F32 ? run->rows.own : take(arena, n_scores, size);
    run->out_q = (float *)take(arena, n_rows * depth, sizeof(float));
    run->out_k =
        (float *)take(arena, n_kv_heads * run->key_room * depth, sizeof(float));
    run->rows.losses = (float *)take(arena, n_rows, sizeof(float));
    run->losses = (double *)take(arena, run->rows.n_heads, sizeof *run->losses);
    run->names = (int64_t *)take(arena, run->rows.n_heads, sizeof *run->names);
}

static enum gqa_status send_key_counts(struct run *run)
{
    run->tile.key_counts = run->device->n_keys;
    return run->key_counts
               ? gqa_cuda_key_counts(run->device, &run->tile.key_counts,
                                     run->key_counts)
               : GQA_OK;
}

/* All of the run but op, group and n_groups. */
static enum gqa_status prepare(struct run *run, struct gqa_device *device,
                               const struct gqa_attention_op *original)
{
    struct gqa_score_tile *tile = &run->tile;
    struct gqa_score_mask *mask = &run->rows.mask;
    struct arena arena = {NULL, 0};
    enum gqa_status st;

    run->device = device;
    run->original = original;
    run->n_tokens = device->numbers;
    run->starts = device->numbers + device->n_sequences;
    run->key_counts = original->key_counts;
    tile->head_dim = (int64_t)original->head_dim;
    tile->depth = whole(tile->head_dim, GQA_SCORE_DEPTH);
    tile->n_new = (int64_t)device->n_new;
    tile->capacity = (int64_t)original->capacity;
    tile->starts = device->starts;
    tile->n_tokens = device->n_tokens;
    mask->causal = original->causal;
    mask->window = original->causal ? (int64_t)original->window : 0;
    mask->reach = (int64_t)original->reach;
    mask->bias = (const float *)original->bias;
    mask->soft_cap = (float)original->soft_cap;
    run->rows.n_heads = (int64_t)original->q_place.n_heads;
    if ((st = gqa_cuda_enter(device)) != GQA_OK ||
        (st = send_key_counts(run)) != GQA_OK)
        return st;
    cut(run);
    tile->key_room = run->key_room;
    lay_out(run, &arena);
    st = gqa_cuda_reserve(device, &device->scores, arena.n_bytes);
    if (st != GQA_OK)
        return st;
    arena.data = (char *)device->scores.data;
    arena.n_bytes = 0;
    lay_out(run, &arena);
    return GQA_OK;
}

static enum gqa_status clear(struct gqa_device *device, void *memory,
                             uint64_t n_bytes)
{
    return gqa_cuda_check(device,
                          cudaMemsetAsync(memory, 0, n_bytes, device->stream));
}

/* --- Factors ---------------------------------------------------------------
 */

static struct gqa_score_heads heads_of(const struct run *run, const void *q,
                                       uint64_t q_width,
                                       const struct gqa_head_place *place)
{
    const struct gqa_score_tile *tile = &run->tile;
    struct gqa_score_heads heads;

    heads.data = q;
    heads.sequence_stride = tile->n_new * (int64_t)q_width;
    heads.row_stride = (int64_t)q_width;
    heads.base = (int64_t)place->base;
    heads.per_block = (int64_t)place->per_block;
    heads.block_stride = (int64_t)place->block_stride;
    heads.names = NULL;
    heads.first = tile->first_head;
    heads.n_heads = tile->n_heads;
    heads.shared = 1;
    heads.first_row = tile->first_row;
    heads.n_rows = tile->n_rows;
    heads.counts = tile->n_tokens;
    return heads;
}

static struct gqa_score_heads keys_of(const struct run *run, const void *k,
                                      uint64_t n_kv_heads)
{
    const struct gqa_score_tile *tile = &run->tile;
    struct gqa_score_heads heads;

    heads.data = k;
    heads.block_stride = tile->capacity * tile->head_dim;
    heads.sequence_stride = (int64_t)n_kv_heads * heads.block_stride;
    heads.row_stride = tile->head_dim;
    heads.base = 0;
    heads.per_block = 1;
    heads.names = NULL;
    heads.first = tile->first_head;
    heads.n_heads = tile->n_heads;
    heads.shared = 1;
    heads.first_row = 0;
    heads.n_rows = tile->key_room;
    heads.counts = tile->key_counts;
    return heads;
}

/* Keys of the tile's heads, for all tiles of rows. */
static void copy_keys(struct run *run)
{
    const struct gqa_attention_op *original = run->original;
    struct gqa_score_heads heads =
        keys_of(run, original->k, original->n_kv_heads);

    heads.names = run->rows.mask.names;
    heads.shared = run->rows.n_heads / (int64_t)original->n_kv_heads;
    gqa_score_copy(run->device, run->k_own, &heads, &run->tile);
    if (!run->op || !run->op->k)
        return;
    heads = keys_of(run, run->op->k, run->op->n_kv_heads);
    heads.first = run->tile.first_head / run->group;
    heads.n_heads = run->tile.n_heads / run->group;
    gqa_score_copy(run->device, run->k, &heads, &run->tile);
}

static void copy_queries(struct run *run)
{
    const struct gqa_attention_op *original = run->original;
    struct gqa_score_heads heads =
        heads_of(run, original->q, original->q_width, &original->q_place);

    heads.names = run->rows.mask.names;
    gqa_score_copy(run->device, run->q_own, &heads, &run->tile);
    if (!run->op || !run->op->q)
        return;
    heads = heads_of(run, run->op->q, run->op->q_width, &run->op->q_place);
    gqa_score_copy(run->device, run->q, &heads, &run->tile);
}

/* --- Products ---------------------------------------------------------------
 */

static void clear_product(struct gqa_product *product, const struct run *run,
                          int64_t n_batch)
{
    memset(product, 0, sizeof *product); /* shapes are compared as bytes */
    product->shape.type = gqa_score_factor(run->device->real);
    product->shape.out_type = GQA_F32;
    product->shape.n_batch = (uint64_t)n_batch;
}

/* scores [n_batch, n_rows, n_keys] = scale * q k^T. Columns first: scores^T =
 * k q^T. */
static enum gqa_status multiply_scores(const struct run *run, float *scores,
                                       const void *q, const void *k,
                                       int64_t n_batch, int64_t n_rows,
                                       double scale)
{
    const struct gqa_score_tile *tile = &run->tile;
    struct gqa_product product;
    struct gqa_product_shape *s = &product.shape;

    clear_product(&product, run, n_batch);
    s->m = s->d_ld = (uint64_t)tile->n_keys;
    s->n = (uint64_t)n_rows;
    s->k = s->a_ld = s->b_ld = (uint64_t)tile->depth;
    s->a_transposed = 1;
    s->a_stride = (uint64_t)(tile->key_room * tile->depth);
    s->b_stride = (uint64_t)(n_rows * tile->depth);
    s->d_stride = (uint64_t)(n_rows * tile->n_keys);
    product.a = k;
    product.b = q;
    product.d = scores;
    product.scale = scale;
    return gqa_cuda_multiply(run->device, &product);
}

/* out_q [n_batch, n_rows, depth] = scale * r k. Columns first: out_q^T =
 * k^T r^T. */
static enum gqa_status multiply_queries(const struct run *run, int64_t n_batch,
                                        int64_t n_rows)
{
    const struct gqa_score_tile *tile = &run->tile;
    struct gqa_product product;
    struct gqa_product_shape *s = &product.shape;

    clear_product(&product, run, n_batch);
    s->m = s->a_ld = s->d_ld = (uint64_t)tile->depth;
    s->n = (uint64_t)n_rows;
    s->k = s->b_ld = (uint64_t)tile->n_keys;
    s->a_stride = (uint64_t)(tile->key_room * tile->depth);
    s->b_stride = (uint64_t)(n_rows * tile->n_keys);
    s->d_stride = (uint64_t)(n_rows * tile->depth);
    product.a = run->k;
    product.b = run->rows.out;
    product.d = run->out_q;
    product.scale = run->op->scale;
    return gqa_cuda_multiply(run->device, &product);
}

/* out_k [n_batch, n_keys, depth] += scale * r^T q. Columns first: out_k^T =
 * q^T r. */
static enum gqa_status multiply_keys(const struct run *run, int64_t n_batch,
                                     int64_t n_rows)
{
    const struct gqa_score_tile *tile = &run->tile;
    struct gqa_product product;
    struct gqa_product_shape *s = &product.shape;

    clear_product(&product, run, n_batch);
    s->m = s->a_ld = s->d_ld = (uint64_t)tile->depth;
    s->n = s->b_ld = (uint64_t)tile->n_keys;
    s->k = (uint64_t)n_rows;
    s->b_transposed = 1;
    s->accumulate = 1;
    s->a_stride = (uint64_t)(n_rows * tile->depth);
    s->b_stride = (uint64_t)(n_rows * tile->n_keys);
    s->d_stride = (uint64_t)(tile->key_room * tile->depth);
    product.a = run->q;
    product.b = run->rows.out;
    product.d = run->out_k;
    product.scale = run->op->scale;
    return gqa_cuda_multiply(run->device, &product);
}

/* --- Tiles ------------------------------------------------------------------
 */

static void store(const struct run *run, void *out, const float *from,
                  bool keys)
{
    const struct gqa_score_tile *tile = &run->tile;
    const int64_t shared = keys ? run->group : 1;
    struct gqa_score_result result;

    result.out = out;
    result.from = from;
    result.per_sequence = keys ? tile->capacity : tile->n_new;
    result.width = run->rows.n_heads / shared * tile->head_dim;
    result.first = tile->first_head / shared;
    result.n_heads = tile->n_heads / shared;
    result.first_row = keys ? 0 : tile->first_row;
    result.n_rows = keys ? tile->key_room : tile->n_rows;
    result.counts = keys ? tile->key_counts : tile->n_tokens;
    gqa_score_store(run->device, &result, tile);
}

/* The tile whose own scores are there. */
static enum gqa_status run_others(struct run *run)
{
    const struct gqa_score_op *op = run->op;
    const int64_t n_batch =
        run->tile.n_sequences * run->tile.n_heads / run->group;
    const int64_t n_rows = run->group * run->tile.n_rows;
    enum gqa_status st = GQA_OK;

    if (!op->probe && !op->plain)
        st = multiply_scores(run, run->rows.others, run->q, run->k, n_batch,
                             n_rows, op->scale);
    if (st != GQA_OK)
        return st;
    gqa_score_weigh(run->device, &run->rows);
    if (op->losses && !op->probe)
        gqa_score_add_losses(run->device, run->losses, &run->rows);
    if (op->out_q && (st = multiply_queries(run, n_batch, n_rows)) == GQA_OK)
        store(run, op->out_q, run->out_q, false);
    if (op->out_k && st == GQA_OK)
        st = multiply_keys(run, n_batch, n_rows);
    return st;
}

/* Rows from tile.first_row on. */
static enum gqa_status run_tile(struct run *run)
{
    struct gqa_score_tile *tile = &run->tile;
    int64_t n_keys = 0;
    enum gqa_status st;

    for (int64_t s = 0; s < tile->n_sequences; s++)
        n_keys = larger(n_keys,
                        n_seen(run, tile->first_sequence + s, tile->first_row,
                               tile->first_row + tile->n_rows));
    if (n_keys == 0)
        return GQA_OK;
    tile->n_keys = whole(n_keys, GQA_SCORE_ROWS);
    copy_queries(run);
    st = multiply_scores(run, run->rows.own, run->q_own, run->k_own,
                         tile->n_sequences * tile->n_heads, tile->n_rows,
                         run->original->scale);
    if (st != GQA_OK)
        return st;
    run->rows.tile = *tile;
    st = run_others(run);
    return st == GQA_OK ? gqa_cuda_launched(run->device) : st;
}

/* All rows of some sequences and heads. */
static enum gqa_status run_heads(struct run *run)
{
    struct gqa_score_tile *tile = &run->tile;
    struct gqa_device *device = run->device;
    const bool wants_keys = run->op->out_k;
    enum gqa_status st = GQA_OK;

    copy_keys(run);
    if (wants_keys)
        st = clear(device, run->out_k,
                   (uint64_t)(tile->n_sequences * tile->n_heads / run->group *
                              tile->key_room * tile->depth) *
                       sizeof *run->out_k);
    tile->n_rows = run->n_rows;
    for (tile->first_row = 0; tile->first_row < tile->n_new && st == GQA_OK;
         tile->first_row += tile->n_rows)
        st = run_tile(run);
    if (st == GQA_OK && wants_keys)
        store(run, run->op->out_k, run->out_k, true);
    return st == GQA_OK ? gqa_cuda_launched(device) : st;
}

static enum gqa_status run_all(struct run *run)
{
    struct gqa_score_tile *tile = &run->tile;
    const int64_t n_sequences = (int64_t)run->device->n_sequences;
    enum gqa_status st = GQA_OK;

    for (int64_t s = 0; s < n_sequences && st == GQA_OK; s += run->n_sequences)
        for (int64_t g = 0; g < run->n_groups && st == GQA_OK;
             g += run->n_kv_heads) {
            tile->first_sequence = s;
            tile->n_sequences = smaller(run->n_sequences, n_sequences - s);
            tile->first_head = g * run->group;
            tile->n_heads =
                smaller(run->n_kv_heads, run->n_groups - g) * run->group;
            st = run_heads(run);
        }
    return st;
}

/* What is added to, or written where there is a row alone. */
static enum gqa_status clear_results(struct run *run)
{
    const struct gqa_score_op *op = run->op;
    struct gqa_device *device = run->device;
    const uint64_t n =
        device->n_sequences * op->original.head_dim * gqa_size_of(device->real);
    enum gqa_status st = GQA_OK;

    if (op->out_q)
        st = clear(device, op->out_q, n * device->n_new * op->q_place.n_heads);
    if (op->out_k && st == GQA_OK)
        st = clear(device, op->out_k,
                   n * op->original.capacity * op->n_kv_heads);
    if (st == GQA_OK)
        st = clear(device, run->losses,
                   (uint64_t)run->rows.n_heads * sizeof *run->losses);
    return st;
}

enum gqa_status gqa_cuda_scores(struct gqa_device *device,
                                const struct gqa_score_op *op)
{
    const uint64_t n_heads = op->q_place.n_heads;
    struct run run;
    enum gqa_status st;

    memset(&run, 0, sizeof run);
    run.op = op;
    run.n_groups = (int64_t)op->n_kv_heads;
    run.group = (int64_t)(n_heads / op->n_kv_heads);
    run.rows.weights = (const float *)op->weights;
    run.rows.subtract = op->subtract;
    run.rows.probe = op->probe;
    run.rows.plain = op->plain;
    st = prepare(&run, device, &op->original);
    if (st == GQA_OK && op->heads) {
        run.rows.mask.names = run.names;
        st = gqa_cuda_send(device, run.names, op->heads,
                           n_heads * sizeof *op->heads);
    }
    if (st == GQA_OK)
        st = clear_results(&run);
    if (st == GQA_OK)
        st = run_all(&run);
    if (st != GQA_OK || !op->losses)
        return st;
    st = gqa_cuda_check(device, cudaMemcpyAsync(op->losses, run.losses,
                                                n_heads * sizeof *op->losses,
                                                cudaMemcpyDeviceToHost,
                                                device->stream));
    return st == GQA_OK
               ? gqa_cuda_check(device, cudaStreamSynchronize(device->stream))
               : st;
}
