#include "faulty_backend.h"

#include <check.h>

#include "tiny_model.h"

struct faults faults;
unsigned faulty_n_steps, faulty_n_open;

static struct gqa_backend backend;
static const struct gqa_backend *inner;
static enum gqa_dtype real;
/* Of the current step */
static uint64_t n_rows;
static bool goes_on; /* behind tokens of a step before */
static unsigned n_causal;

/* To every stride-th of n elements from `first` on; memory is the host's. */
static void add_to(void *values, enum gqa_dtype dtype, size_t n, size_t first,
                   size_t stride, double fault)
{
    const size_t size = gqa_dtype_bits(dtype) / 8;

    for (size_t i = first; fault != 0 && i < n; i += stride) {
        unsigned char *at = (unsigned char *)values + i * size;
        double x;

        gqa_load_f64(&x, at, dtype, 1);
        x += fault;
        gqa_store_f64(at, dtype, &x, 1);
    }
}

static enum gqa_status open_device(struct gqa_device **out,
                                   const struct gqa_device_options *options)
{
    real = options->real;
    faulty_n_open++;
    return inner->open(out, options);
}

static void close_device(struct gqa_device *device)
{
    faulty_n_open--;
    inner->close(device);
}

static enum gqa_status set_batch(struct gqa_device *device,
                                 const struct gqa_batch *batch)
{
    n_rows = batch->n_sequences * batch->n_new;
    goes_on = false;
    for (uint64_t s = 0; s < batch->n_sequences; s++)
        goes_on = goes_on || batch->starts[s] > 0;
    n_causal = 0;
    return inner->set_batch(device, batch);
}

static enum gqa_status attend(struct gqa_device *device,
                              const struct gqa_attention_op *op)
{
    const enum gqa_status st = inner->attend(device, op);
    const bool grouped = op->n_kv_heads < op->q_place.n_heads;

    if (!op->causal)
        return st;
    n_causal++;
    add_to(op->out, real, n_rows * op->q_place.n_heads * op->head_dim, 0, 1,
           (grouped ? faults.grouped : 0) + (goes_on ? faults.decoding : 0));
    return st;
}

/* The feed-forwards' down projections alone have one input. */
static enum gqa_status linear(struct gqa_device *device, void *out,
                              const void *x, uint64_t rows,
                              const struct gqa_weight *weight, bool input_major,
                              const struct gqa_weight *bias, const void *added)
{
    const enum gqa_status st =
        inner->linear(device, out, x, rows, weight, input_major, bias, added);

    if (weight->cols == 1 && n_causal == TINY_LAYERS)
        add_to(out, real, rows * weight->rows, 0, weight->rows, faults.layer);
    return st;
}

static enum gqa_status unembed(struct gqa_device *device, void *out,
                               const void *x, uint64_t rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               double scale)
{
    const enum gqa_status st =
        inner->unembed(device, out, x, rows, weight, input_major, bias, scale);

    faulty_n_steps++;
    add_to(out, real, rows * weight->rows, 2, weight->rows, faults.logit);
    return st;
}

const struct gqa_backend *faulty_backend(void)
{
    inner = gqa_cpu_backend();
    ck_assert(inner->in_place);
    backend = *inner;
    backend.name = "faulty";
    backend.open = open_device;
    backend.close = close_device;
    backend.set_batch = set_batch;
    backend.attend = attend;
    backend.linear = linear;
    backend.unembed = unembed;
    faults = (struct faults){0};
    faulty_n_steps = faulty_n_open = 0;
    return &backend;
}
