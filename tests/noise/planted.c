#include "planted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

const char *const planted_names[PLANTED_N] = {
    "right",          "rope off by one", "eps 1e-3",       "heads swapped",
    "... in a layer", "mask off by one", "scale 10 % off", "stale KV row",
    "bf16 sums",      "tf32 inputs",     "tail dropped",   "last row wrong",
    "weight lost",    "gelu for silu",
};

static struct gqa_backend backend;
static const struct gqa_backend *inner;
static enum gqa_dtype rounded, real;
static enum planted_fault fault;
static unsigned n_layers;

/* Of the current step */
static uint64_t n_sequences, n_new, n_rows;
static uint64_t first_start;
static unsigned n_attended, n_turned, n_stored, n_products;

void planted_set(enum planted_fault planted, unsigned layers)
{
    fault = planted;
    n_layers = layers;
}

static size_t real_bytes(void)
{
    return gqa_dtype_bits(real) / 8;
}

static void must(enum gqa_status st)
{
    if (st != GQA_OK)
        abort();
}

/* --- Memory of the device as double --------------------------------------- */

static double *fetch(struct gqa_device *d, const void *x, uint64_t n)
{
    void *raw = malloc((size_t)n * real_bytes() + 1);
    double *values = malloc((size_t)n * sizeof *values + 1);

    if (!raw || !values)
        abort();
    must(inner->download(d, raw, x, n * real_bytes()));
    gqa_load_f64(values, raw, real, (size_t)n);
    free(raw);
    return values;
}

/* Frees the values. */
static void put(struct gqa_device *d, void *x, double *values, uint64_t n)
{
    void *raw = malloc((size_t)n * real_bytes() + 1);

    if (!raw)
        abort();
    gqa_store_f64(raw, real, values, (size_t)n);
    must(inner->upload(d, x, raw, n * real_bytes()));
    free(raw);
    free(values);
}

static void round_values(double *x, uint64_t n, enum gqa_dtype dtype)
{
    uint16_t narrow;

    for (uint64_t i = 0; i < n; i++) {
        gqa_store_f64(&narrow, dtype, x + i, 1);
        gqa_load_f64(x + i, &narrow, dtype, 1);
    }
}

static enum gqa_status round_all(enum gqa_status st, struct gqa_device *d,
                                 void *x, uint64_t n)
{
    double *values;

    if (st != GQA_OK || rounded == GQA_F32)
        return st;
    values = fetch(d, x, n);
    round_values(values, n, rounded);
    put(d, x, values, n);
    return st;
}

/* --- Operations ----------------------------------------------------------- */

static enum gqa_status open_device(struct gqa_device **out,
                                   const struct gqa_device_options *options)
{
    struct gqa_device_options inner_options = *options;

    real = options->real;
    if (rounded != GQA_F32)
        real = inner_options.real = GQA_F32;
    return inner->open(out, &inner_options);
}

static enum gqa_status set_batch(struct gqa_device *d,
                                 const struct gqa_batch *batch)
{
    n_sequences = batch->n_sequences;
    n_new = batch->n_new;
    n_rows = n_sequences * n_new;
    first_start = batch->starts[0];
    n_attended = n_turned = n_stored = n_products = 0;
    return inner->set_batch(d, batch);
}

static enum gqa_status embed(struct gqa_device *d, void *out,
                             const struct gqa_weight *table, double scale,
                             const struct gqa_weight *positions)
{
    return round_all(inner->embed(d, out, table, scale, positions), d, out,
                     n_rows * (table ? table : positions)->cols);
}

/* Queries come before keys. */
static enum gqa_status rotate(struct gqa_device *d, void *x, uint64_t width,
                              const struct gqa_head_place *place,
                              uint64_t head_dim, uint64_t n_pairs,
                              bool interleaved, const void *cos_sin)
{
    const uint64_t row = n_pairs * 2 * sizeof(float);
    const bool query = n_turned++ % 2 == 0;

    if (fault == PLANTED_ROPE && query && first_start > 0)
        cos_sin = (const char *)cos_sin - row;
    return round_all(inner->rotate(d, x, width, place, head_dim, n_pairs,
                                   interleaved, cos_sin),
                     d, x, n_rows * width);
}

static enum gqa_status store(struct gqa_device *d, void *cache,
                             uint64_t capacity, const void *x, uint64_t width,
                             const struct gqa_head_place *place,
                             uint64_t head_dim)
{
    void *zeros;
    enum gqa_status st;

    if (fault != PLANTED_STALE || n_new != 1 || first_start != 5)
        return inner->store(d, cache, capacity, x, width, place, head_dim);
    st = inner->alloc(d, &zeros, n_rows * width * real_bytes());
    if (st != GQA_OK)
        return st;
    put(d, zeros, calloc((size_t)(n_rows * width), sizeof(double)),
        n_rows * width);
    st = inner->store(d, cache, capacity, zeros, width, place, head_dim);
    inner->free(d, zeros);
    return st;
}

static void swap_heads(struct gqa_device *d, const struct gqa_attention_op *op)
{
    const uint64_t width = op->q_place.n_heads * op->head_dim;
    double *out = fetch(d, op->out, n_rows * width);

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < op->head_dim; i++) {
            double *first = out + r * width + i;
            double *last = first + width - op->head_dim;
            const double x = *first;

            *first = *last;
            *last = x;
        }
    put(d, op->out, out, n_rows * width);
}

static enum gqa_status attend(struct gqa_device *d,
                              const struct gqa_attention_op *op)
{
    struct gqa_attention_op wrong = *op;
    const unsigned layer = n_attended++;
    enum gqa_status st;

    if (fault == PLANTED_SCALE)
        wrong.scale *= 1.1;
    if (fault == PLANTED_MASK && first_start + n_new > 1)
        wrong.window = first_start + n_new - 1;
    st = inner->attend(d, &wrong);
    if (st == GQA_OK &&
        (fault == PLANTED_HEADS ||
         (fault == PLANTED_HEADS_ONCE && layer == n_layers / 2)))
        swap_heads(d, op);
    return round_all(st, d, op->out,
                     n_rows * op->q_place.n_heads * op->head_dim);
}

static enum gqa_status norm(struct gqa_device *d, void *out, const void *x,
                            uint64_t rows, uint64_t width,
                            const struct gqa_norm_op *op, bool accumulate)
{
    struct gqa_norm_op wrong = *op;

    if (fault == PLANTED_EPS)
        wrong.eps = 1e-3;
    return round_all(inner->norm(d, out, x, rows, width, &wrong, accumulate), d,
                     out, rows * width);
}

/* What a product adds to n values, changed. */
static void change_product(double *added, uint64_t rows, uint64_t outputs,
                           uint64_t inputs)
{
    const double size = 0x1p-8 * sqrt((double)inputs / 2);
    static uint64_t counter;

    for (uint64_t i = 0; fault == PLANTED_SUMS && i < rows * outputs; i++)
        added[i] *= 1 + size * (gqa_random_uniform(1, counter++) - 0.5);
    if (fault == PLANTED_ROW && rows > 1)
        memcpy(added + (rows - 1) * outputs, added + (rows - 2) * outputs,
               (size_t)outputs * sizeof *added);
    /* The feed-forward's up projection is the fifth product of a layer. */
    for (uint64_t r = 0; fault == PLANTED_WEIGHT &&
                         n_products == 7 * (n_layers / 2) + 5 && r < rows;
         r++)
        added[r * outputs + outputs / 3] = 0;
}

static void change_input(double *x, uint64_t rows, uint64_t inputs)
{
    for (uint64_t i = 0; i < rows * inputs; i++) {
        int exponent;
        const double mantissa = frexp(x[i], &exponent);

        if (fault == PLANTED_TAIL && i % inputs + 8 >= inputs)
            x[i] = 0;
        else if (fault == PLANTED_TF32)
            x[i] = ldexp(nearbyint(ldexp(mantissa, 11)), exponent - 11);
    }
}

static enum gqa_status linear(struct gqa_device *d, void *out, const void *x,
                              uint64_t rows, const struct gqa_weight *weight,
                              bool input_major, const struct gqa_weight *bias,
                              const void *added)
{
    const uint64_t inputs = input_major ? weight->rows : weight->cols;
    const uint64_t outputs = input_major ? weight->cols : weight->rows;
    double *before = NULL, *after;
    void *other = NULL;
    enum gqa_status st;

    n_products++;
    if (fault == PLANTED_TAIL || fault == PLANTED_TF32) {
        double *in = fetch(d, x, rows * inputs);

        must(inner->alloc(d, &other, rows * inputs * real_bytes()));
        change_input(in, rows, inputs);
        put(d, other, in, rows * inputs);
        x = other;
    }
    if (added)
        before = fetch(d, added, rows * outputs);
    st = inner->linear(d, out, x, rows, weight, input_major, bias, added);
    if (other)
        inner->free(d, other);
    if (st == GQA_OK && (fault == PLANTED_SUMS || fault == PLANTED_ROW ||
                         fault == PLANTED_WEIGHT)) {
        after = fetch(d, out, rows * outputs);
        for (uint64_t i = 0; before && i < rows * outputs; i++)
            after[i] -= before[i];
        change_product(after, rows, outputs, inputs);
        for (uint64_t i = 0; before && i < rows * outputs; i++)
            after[i] += before[i];
        put(d, out, after, rows * outputs);
    }
    free(before);
    return round_all(st, d, out, rows * outputs);
}

static enum gqa_status activate(struct gqa_device *d, void *out, const void *x,
                                const void *up, uint64_t n,
                                enum gqa_activation activation)
{
    if (fault == PLANTED_ACTIVATION)
        activation = GQA_ACTIVATION_GELU_TANH;
    return round_all(inner->activate(d, out, x, up, n, activation), d, out, n);
}

const struct gqa_backend *planted_backend(const struct gqa_backend *of,
                                          enum gqa_dtype rounded_to)
{
    inner = of;
    rounded = rounded_to;
    backend = *inner;
    backend.open = open_device;
    backend.set_batch = set_batch;
    backend.embed = embed;
    backend.rotate = rotate;
    backend.store = store;
    backend.attend = attend;
    backend.norm = norm;
    backend.linear = linear;
    backend.activate = activate;
    return &backend;
}
