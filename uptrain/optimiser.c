#include "uptrain/optimiser.h"

#include <stdlib.h>

#include "runtime/values.h"
#include "uptrain/trainee_runs.h"

/* Loshchilov and Hutter 2019, as models of language are trained. */
#define ADAMW_BETA1 0.9
#define ADAMW_BETA2 0.95
#define ADAMW_EPS   1e-8
/* Shazeer and Stern 2018. */
#define ADAFACTOR_POWER 0.8
#define ADAFACTOR_EPS   1e-30
#define ADAFACTOR_CLIP  1.0

enum { N_MOMENTS = 2 };

struct gqa_optimiser {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    const struct gqa_trainee *trainees;
    size_t n;
    struct gqa_optimiser_options options;
    size_t wide;
    /* What one step takes: of AdamW trainees that lie side by side. */
    struct gqa_trainee_runs runs;
    void **of_runs; /* [runs.n, N_MOMENTS]: AdamW's, owned */
    void **moments; /* [n, N_MOMENTS]: mean and square, in those of the runs; or
                       row and col, owned */
};

/* Elements of both moments of a trainee. */
static void moment_sizes(uint64_t out[N_MOMENTS], enum gqa_optimiser_kind kind,
                         uint64_t n_rows, uint64_t n_cols)
{
    const bool factored = kind == GQA_OPTIMISER_ADAFACTOR;

    out[0] = !factored ? n_rows * n_cols : n_rows > 1 ? n_rows : 0;
    out[1] = factored ? n_cols : n_rows * n_cols;
}

uint64_t gqa_optimiser_bytes(enum gqa_optimiser_kind kind, uint64_t n_rows,
                             uint64_t n_cols, uint64_t wide)
{
    uint64_t n[N_MOMENTS];

    moment_sizes(n, kind, n_rows, n_cols);
    return (n[0] + n[1]) * wide;
}

static void sizes_of(uint64_t out[N_MOMENTS], const struct gqa_optimiser *o,
                     size_t i)
{
    moment_sizes(out, o->options.kind, o->trainees[i].n_rows,
                 o->trainees[i].n_cols);
}

static bool is_factored(const struct gqa_optimiser *o)
{
    return o->options.kind == GQA_OPTIMISER_ADAFACTOR;
}

static enum gqa_status take_factors(struct gqa_optimiser *o)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < o->n * N_MOMENTS && st == GQA_OK; i++) {
        uint64_t sizes[N_MOMENTS];

        sizes_of(sizes, o, i / N_MOMENTS);
        if (sizes[i % N_MOMENTS] > 0)
            st = o->backend->alloc(o->device, &o->moments[i],
                                   sizes[i % N_MOMENTS] * o->wide);
    }
    return st;
}

/* Moments lie as weights do. */
static enum gqa_status take_moments(struct gqa_optimiser *o)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < o->runs.n * N_MOMENTS && st == GQA_OK; i++)
        st = o->backend->alloc(o->device, &o->of_runs[i],
                               o->runs.items[i / N_MOMENTS].n_cols * o->wide);
    for (size_t i = 0; i < o->n * N_MOMENTS && st == GQA_OK; i++) {
        const size_t t = i / N_MOMENTS;

        o->moments[i] =
            (char *)o->of_runs[o->runs.run[t] * N_MOMENTS + i % N_MOMENTS] +
            o->runs.place[t] * o->wide;
    }
    return st;
}

enum gqa_status gqa_optimiser_create(
    struct gqa_optimiser **out, const struct gqa_backend *backend,
    struct gqa_device *device, const struct gqa_trainee *trainees, size_t n,
    const struct gqa_optimiser_options *options)
{
    struct gqa_optimiser *o = calloc(1, sizeof *o);
    struct gqa_device_info info;
    enum gqa_status st;

    if (!o)
        return gqa_fail_nomem();
    *o = (struct gqa_optimiser){.backend = backend,
                                .device = device,
                                .trainees = trainees,
                                .n = n,
                                .options = *options};
    o->moments = calloc(n * N_MOMENTS + 1, sizeof *o->moments);
    o->of_runs = calloc(n * N_MOMENTS + 1, sizeof *o->of_runs);
    st = o->moments && o->of_runs ? backend->describe(device, &info)
                                  : gqa_fail_nomem();
    if (st == GQA_OK) {
        o->wide = gqa_wide_bytes(info.real);
        st = gqa_trainee_runs_create(&o->runs, trainees, n, o->wide);
    }
    if (st == GQA_OK)
        st = is_factored(o) ? take_factors(o) : take_moments(o);
    if (st == GQA_OK)
        st = gqa_optimiser_reset(o);
    if (st == GQA_OK)
        *out = o;
    else
        gqa_optimiser_free(o);
    return st;
}

void gqa_optimiser_free(struct gqa_optimiser *o)
{
    if (!o)
        return;
    for (size_t i = 0; o->of_runs && i < o->n * N_MOMENTS; i++)
        if (o->of_runs[i])
            o->backend->free(o->device, o->of_runs[i]);
    for (size_t i = 0; o->moments && is_factored(o) && i < o->n * N_MOMENTS;
         i++)
        if (o->moments[i])
            o->backend->free(o->device, o->moments[i]);
    gqa_trainee_runs_clear(&o->runs);
    free(o->of_runs);
    free(o->moments);
    free(o);
}

enum gqa_status gqa_optimiser_reset(struct gqa_optimiser *o)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < o->n * N_MOMENTS && st == GQA_OK; i++) {
        uint64_t sizes[N_MOMENTS];

        sizes_of(sizes, o, i / N_MOMENTS);
        if (o->moments[i])
            st = o->backend->zero(o->device, o->moments[i],
                                  sizes[i % N_MOMENTS] * o->wide);
    }
    return st;
}

enum gqa_status gqa_optimiser_norm2(struct gqa_optimiser *o, void *sum)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < o->runs.n && st == GQA_OK; i++)
        st = o->backend->gradients->norm2(o->device, sum,
                                          o->runs.items[i].gradients,
                                          o->runs.items[i].n_cols);
    return st;
}

/* Run i. */
static enum gqa_status step_adamw(struct gqa_optimiser *o, size_t i,
                                  uint64_t step, double rate, double scale)
{
    const struct gqa_trainee *t = &o->runs.items[i];
    const struct gqa_adamw_op op = {.weights = t->weights,
                                    .mean = o->of_runs[i * N_MOMENTS],
                                    .square = o->of_runs[i * N_MOMENTS + 1],
                                    .gradients = t->gradients,
                                    .n = t->n_cols,
                                    .gradient_scale = scale,
                                    .rate = rate,
                                    .beta1 = ADAMW_BETA1,
                                    .beta2 = ADAMW_BETA2,
                                    .eps = ADAMW_EPS,
                                    .decay = o->options.decay,
                                    .step = step,
                                    .copy = t->copy,
                                    .copy_dtype = t->copy_dtype};

    return o->backend->gradients->adamw(o->device, &op);
}

static enum gqa_status step_adafactor(struct gqa_optimiser *o, size_t i,
                                      uint64_t step, double rate, double scale)
{
    const struct gqa_trainee *t = &o->trainees[i];
    const struct gqa_adafactor_op op = {.weights = t->weights,
                                        .row = o->moments[i * N_MOMENTS],
                                        .col = o->moments[i * N_MOMENTS + 1],
                                        .gradients = t->gradients,
                                        .n_rows = t->n_rows,
                                        .n_cols = t->n_cols,
                                        .gradient_scale = scale,
                                        .rate = rate,
                                        .decay_power = ADAFACTOR_POWER,
                                        .eps = ADAFACTOR_EPS,
                                        .clip = ADAFACTOR_CLIP,
                                        .weight_decay = o->options.decay,
                                        .step = step,
                                        .copy = t->copy,
                                        .copy_dtype = t->copy_dtype};

    return o->backend->gradients->adafactor(o->device, &op);
}

enum gqa_status gqa_optimiser_step(struct gqa_optimiser *o, uint64_t step,
                                   double rate, double norm)
{
    const double clip = o->options.clip;
    const double scale = clip > 0 && norm > clip ? clip / norm : 1;
    const size_t n = is_factored(o) ? o->n : o->runs.n;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = is_factored(o) ? step_adafactor(o, i, step, rate, scale)
                            : step_adamw(o, i, step, rate, scale);
    return st;
}

size_t gqa_optimiser_n_moments(const struct gqa_optimiser *o)
{
    return o->n * N_MOMENTS;
}

struct gqa_moment gqa_optimiser_moment(const struct gqa_optimiser *o, size_t i)
{
    static const char *const names[][N_MOMENTS] = {
        [GQA_OPTIMISER_ADAMW] = {"mean", "square"},
        [GQA_OPTIMISER_ADAFACTOR] = {"row", "col"}};
    uint64_t sizes[N_MOMENTS];

    sizes_of(sizes, o, i / N_MOMENTS);
    return (struct gqa_moment){.trainee = i / N_MOMENTS,
                               .name = names[o->options.kind][i % N_MOMENTS],
                               .data = o->moments[i],
                               .n = sizes[i % N_MOMENTS]};
}

const char *gqa_optimiser_name(enum gqa_optimiser_kind kind)
{
    return kind == GQA_OPTIMISER_ADAFACTOR ? "adafactor" : "adamw";
}
