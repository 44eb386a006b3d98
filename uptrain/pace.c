#include "uptrain/pace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/random.h"
#include "runtime/values.h"
#include "uptrain/loss_mix.h"

/* Of the product that is timed: larger ones are no faster. */
enum { MAX_ROWS = 2048, MAX_SIDE = 4096 };

static const double timed_s = 0.1;

/* --- What a step computes ------------------------------------------------- */

/* Multiplications and additions of a network, by what goes back through them.
 */
struct work {
    const struct gqa_model *model;
    const bool *trained; /* NULL: nothing goes back */
    double n, length;    /* sequences, and tokens of each */
    double forth, back;
    uint64_t rows, cols; /* of the largest matrix */
};

/* times: how often a token goes through such a one. */
static void add_product(struct work *w, const struct gqa_linear *l,
                        double times)
{
    const struct gqa_param *p;
    uint64_t rows, cols;
    double flop;

    if (l->weight == GQA_NO_PARAM)
        return;
    p = &w->model->params[l->weight];
    rows = l->rows > 0 ? l->rows : p->rows;
    cols = l->rows > 0 ? l->cols : p->cols;
    flop = 2 * times * w->n * w->length * (double)rows * (double)cols;
    w->forth += flop;
    if (w->trained)
        w->back += w->trained[l->weight] ? 2 * flop : flop;
    if ((double)rows * (double)cols > (double)w->rows * (double)w->cols) {
        w->rows = rows;
        w->cols = cols;
    }
}

static void add_attention(struct work *w, const struct gqa_attention_block *a)
{
    const double keys = a->causal ? (w->length + 1) / 2 : w->length;
    const double flop = 4 * w->n * w->length * keys *
                        (double)a->heads->n_heads * (double)a->heads->head_dim;

    add_product(w, &a->q, 1);
    if (a->k.rows > 0 || a->k.weight != a->q.weight)
        add_product(w, &a->k, 1);
    if (a->v.rows > 0 || a->v.weight != a->k.weight)
        add_product(w, &a->v, 1);
    add_product(w, &a->o, 1);
    w->forth += flop;
    if (w->trained)
        w->back += 2.5 * flop; /* scores are made again */
}

static void add_feed_forward(struct work *w, const struct gqa_feed_forward *ff)
{
    const struct gqa_experts *e = ff->experts;
    const struct gqa_linear *parts[] = {&ff->gate, &ff->up, &ff->down};

    for (int i = 0; i < 3; i++)
        add_product(w, parts[i], 1);
    if (!e)
        return;
    add_product(w, &e->router, 1);
    if (e->n > 0) {
        const double chosen = (double)gqa_min_u64(e->n_chosen, e->n);

        add_product(w, &e->each[0].gate, chosen);
        add_product(w, &e->each[0].up, chosen);
        add_product(w, &e->each[0].down, chosen);
    }
    add_product(w, &e->shared.gate, 1);
    add_product(w, &e->shared.up, 1);
    add_product(w, &e->shared.down, 1);
}

static void add_network(struct work *w, const struct gqa_network *network)
{
    for (size_t i = 0; i < network->n_stacks; i++)
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++) {
            const struct gqa_block *b = &network->stacks[i].blocks[j];

            add_attention(w, &b->self);
            if (b->has_cross)
                add_attention(w, &b->cross);
            add_feed_forward(w, &b->ff);
        }
    add_product(w, &network->unembedding, 1);
}

static struct work work_of(const struct gqa_side *side, const bool *trained,
                           double n, uint64_t length)
{
    struct work w = {.model = side->model,
                     .trained = trained,
                     .n = n,
                     .length = (double)length};

    add_network(&w, side->network);
    return w;
}

double gqa_step_flop(const struct gqa_uptrain_options *o,
                     const struct gqa_settings *settings,
                     const struct gqa_pair *pair, const bool *trained)
{
    const double n = (double)o->batch * (double)o->accumulate;
    const struct work student =
        work_of(&pair->student, trained, n, settings->length);

    return student.forth + student.back +
           (gqa_loss_wants_teacher(&o->loss)
                ? work_of(&pair->teacher, NULL, n, settings->length).forth
                : 0);
}

/* --- How fast that is computed -------------------------------------------- */

/* A product that stands for all of a step. */
struct product {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    uint64_t n_rows;
    struct gqa_weight weight;
    void *x, *w, *out;
};

/* Elements that are drawn; the others repeat them. */
enum { DRAWN = 1 << 14 };

/* Values as of a model: devices multiply zeros faster, which toggle no bits. */
static enum gqa_status take_drawn(struct product *p, void **out, uint64_t n)
{
    const enum gqa_dtype dtype = p->weight.dtype;
    const uint64_t size = gqa_dtype_bits(dtype) / 8;
    double *values = malloc(DRAWN * sizeof *values);
    enum gqa_status st =
        values ? p->backend->alloc(p->device, out, n * size) : gqa_fail_nomem();

    if (st == GQA_OK)
        gqa_random_normal(values, DRAWN, gqa_random_key(0, "pace", 0), 0, 1);
    for (uint64_t i = 0; i < n && st == GQA_OK; i += DRAWN)
        st = gqa_values_upload(p->backend, p->device, (char *)*out + i * size,
                               dtype, values, gqa_min_u64(DRAWN, n - i));
    free(values);
    return st;
}

/* Waits. */
static enum gqa_status multiply(struct product *p, unsigned times)
{
    char first[sizeof(double)];
    enum gqa_status st = GQA_OK;

    for (unsigned i = 0; i < times && st == GQA_OK; i++)
        st = p->backend->linear(p->device, p->out, p->x, p->n_rows, &p->weight,
                                false, NULL, NULL);
    return st == GQA_OK
               ? p->backend->download(p->device, first, p->out,
                                      gqa_dtype_bits(p->weight.dtype) / 8)
               : st;
}

/* The first call may have to get ready; more of them at once, until they take
 * long enough to be timed. */
static enum gqa_status time_product(double *seconds, struct product *p)
{
    enum gqa_status st = multiply(p, 1);

    for (unsigned times = 1; st == GQA_OK; times *= 2) {
        const double start = gqa_clock_s();

        st = multiply(p, times);
        *seconds = (gqa_clock_s() - start) / times;
        if (*seconds * times >= timed_s)
            break;
    }
    return st;
}

static enum gqa_status measure_rate(double *flop_per_s,
                                    const struct gqa_train_device *device,
                                    const struct work *w, uint64_t n_rows)
{
    struct product p = {.backend = device->backend,
                        .device = device->device,
                        .n_rows = gqa_min_u64(n_rows, MAX_ROWS),
                        .weight = {.dtype = device->info.real,
                                   .rows = gqa_min_u64(w->rows, MAX_SIDE),
                                   .cols = gqa_min_u64(w->cols, MAX_SIDE)}};
    const uint64_t size = gqa_dtype_bits(device->info.real) / 8;
    double seconds = 0;
    enum gqa_status st = take_drawn(&p, &p.x, p.n_rows * p.weight.cols);

    if (st == GQA_OK)
        st = take_drawn(&p, &p.w, p.weight.rows * p.weight.cols);
    if (st == GQA_OK)
        st =
            p.backend->alloc(p.device, &p.out, p.n_rows * p.weight.rows * size);
    p.weight.data = p.w;
    if (st == GQA_OK)
        st = time_product(&seconds, &p);
    p.backend->free(p.device, p.x);
    p.backend->free(p.device, p.w);
    p.backend->free(p.device, p.out);
    if (st == GQA_OK)
        *flop_per_s = 2 * (double)p.n_rows * (double)p.weight.rows *
                      (double)p.weight.cols / seconds;
    return st;
}

enum gqa_status gqa_pace_estimate(struct gqa_pace *out,
                                  const struct gqa_uptrain_options *o,
                                  const struct gqa_settings *settings,
                                  const struct gqa_pair *pair,
                                  const bool *trained,
                                  const struct gqa_train_device *device)
{
    const struct work w = work_of(&pair->student, trained, 1, settings->length);
    const double n = (double)o->batch * (double)o->accumulate;
    const double flop =
        gqa_step_flop(o, settings, pair, trained) / (double)o->n_ranks;
    double flop_per_s;
    enum gqa_status st;

    *out = (struct gqa_pace){0};
    st = measure_rate(&flop_per_s, device, &w,
                      settings->batch * settings->length);
    if (st != GQA_OK)
        return st;
    out->step_s = flop / flop_per_s;
    out->tokens_per_s = n * (double)settings->length / out->step_s;
    return GQA_OK;
}

static double three_digits(double x)
{
    const double unit = x < 1000 ? 1 : pow(10, floor(log10(x)) - 2);

    return round(x / unit) * unit;
}

const char *gqa_pace_say(char out[GQA_PACE_MAX], const struct gqa_pace *pace,
                         uint64_t n_steps)
{
    static const struct {
        const char *name;
        double seconds, below;
    } units[] = {{"s", 1, 120}, {"min", 60, 7200}, {"h", 3600, INFINITY}};
    const double seconds = pace->step_s * (double)n_steps;
    double time;
    size_t i = 0;

    while (seconds >= units[i].below)
        i++;
    time = seconds / units[i].seconds;
    snprintf(out, GQA_PACE_MAX,
             "about %.0f tokens/s, %.*f %s for %" PRIu64 " step%s",
             three_digits(pace->tokens_per_s), time < 1 ? 2 : time < 10, time,
             units[i].name, n_steps, n_steps == 1 ? "" : "s");
    return out;
}
