#include "runtime/back/masters.h"

#include <stdlib.h>

#include "runtime/joint.h"
#include "runtime/values.h"

struct gqa_masters {
    struct gqa_runtime *runtime;
    struct gqa_master *masters; /* by parameter */
    size_t n;
    void *weights, *copies; /* of all; copies NULL: there are none */
};

static const struct gqa_gradient_ops *ops_of(const struct gqa_masters *m)
{
    return m->runtime->backend->gradients;
}

static uint64_t bytes_of(uint64_t n, enum gqa_dtype dtype)
{
    return n * gqa_dtype_bits(dtype) / 8;
}

uint64_t gqa_masters_bytes(const struct gqa_runtime *r, const bool *trained)
{
    const struct gqa_model *model = r->network->model;
    uint64_t n_bytes = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (trained[i]) {
            n_bytes += bytes_of(model->params[i].n_elements, r->wide);
            if (r->real != r->wide && !r->tables[i])
                n_bytes += bytes_of(model->params[i].n_elements, r->real);
        }
    return n_bytes;
}

/* --- Life ----------------------------------------------------------------- */

static enum gqa_status take_table(struct gqa_masters *m, size_t i)
{
    const struct gqa_runtime *r = m->runtime;

    return gqa_values_upload(r->backend, r->device, m->masters[i].weights,
                             r->wide, r->tables[i], m->masters[i].n);
}

/* The runtime's weight becomes the master, or the copy beside it. */
static enum gqa_status take_weight(struct gqa_masters *m, size_t i,
                                   uint64_t place)
{
    struct gqa_runtime *r = m->runtime;
    struct gqa_master *master = &m->masters[i];
    const struct gqa_weight before = r->weights[i];
    void *mine = master->weights;
    enum gqa_status st = ops_of(m)->widen(r->device, master->weights,
                                          before.data, before.dtype, master->n);

    if (st == GQA_OK && r->real != r->wide) {
        master->copy = (char *)m->copies + bytes_of(place, r->real);
        st = ops_of(m)->narrow(r->device, master->copy, r->real,
                               master->weights, master->n);
        master->copy_dtype = r->real;
        mine = master->copy;
    }
    if (st != GQA_OK)
        return st;
    gqa_runtime_drop(r, i);
    r->weights[i] =
        (struct gqa_weight){mine, r->real, before.rows, before.cols};
    return GQA_OK;
}

static enum gqa_status make_master(struct gqa_masters *m, size_t i,
                                   uint64_t place)
{
    const struct gqa_runtime *r = m->runtime;
    const struct gqa_param *p = &r->network->model->params[i];
    struct gqa_master *master = &m->masters[i];
    enum gqa_status st;

    if (!r->tables[i] && !r->weights[i].data)
        return gqa_fail(GQA_ERR_USAGE,
                        "'%s' is not used by the model and cannot be trained",
                        p->name);
    master->rows = p->rows;
    master->cols = p->cols;
    master->n = p->n_elements;
    master->weights = (char *)m->weights + bytes_of(place, r->wide);
    st = r->tables[i] ? take_table(m, i) : take_weight(m, i, place);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "'%s'", p->name);
}

/* In two pieces: products and steps take what lies side by side at once. */
static enum gqa_status make_masters(struct gqa_masters *m, const bool *trained)
{
    const struct gqa_runtime *r = m->runtime;
    uint64_t *places = calloc(m->n + 1, sizeof *places), n_elements = 0;
    enum gqa_status st =
        places ? gqa_joint_place(places, &n_elements, r->network, trained)
               : gqa_fail_nomem();

    if (st == GQA_OK)
        st = r->backend->alloc(r->device, &m->weights,
                               bytes_of(n_elements, r->wide));
    if (st == GQA_OK && r->real != r->wide)
        st = r->backend->alloc(r->device, &m->copies,
                               bytes_of(n_elements, r->real));
    for (size_t i = 0; i < m->n && st == GQA_OK; i++)
        if (trained[i])
            st = make_master(m, i, places[i]);
    free(places);
    return st;
}

enum gqa_status gqa_masters_create(struct gqa_masters **out,
                                   struct gqa_runtime *runtime,
                                   const bool *trained)
{
    struct gqa_masters *m;
    enum gqa_status st;

    if (!runtime->backend->gradients)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the %s backend cannot train",
                        runtime->backend->name);
    st = gqa_runtime_check_room(runtime, "masters of what is trained take",
                                gqa_masters_bytes(runtime, trained));
    if (st != GQA_OK)
        return st;
    if (!(m = calloc(1, sizeof *m)))
        return gqa_fail_nomem();
    m->runtime = runtime;
    m->n = runtime->network->model->n_params;
    m->masters = calloc(m->n ? m->n : 1, sizeof *m->masters);
    if (!m->masters)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = make_masters(m, trained);
    if (st == GQA_OK)
        *out = m;
    else
        gqa_masters_free(m);
    return st;
}

void gqa_masters_free(struct gqa_masters *m)
{
    struct gqa_runtime *r;

    if (!m)
        return;
    r = m->runtime;
    for (size_t i = 0; m->masters && i < m->n; i++) {
        struct gqa_master *master = &m->masters[i];

        if (!master->weights)
            continue;
        /* What the runtime has of it goes with it. */
        if (r->weights[i].data == master->weights ||
            (master->copy && r->weights[i].data == master->copy))
            r->weights[i].data = NULL;
    }
    r->backend->free(r->device, m->weights);
    r->backend->free(r->device, m->copies);
    free(m->masters);
    free(m);
}

/* --- Use ------------------------------------------------------------------ */

const struct gqa_master *gqa_masters_of(const struct gqa_masters *m,
                                        size_t param)
{
    return m->masters[param].weights ? &m->masters[param] : NULL;
}

static enum gqa_status settle(const struct gqa_masters *m, size_t i)
{
    const struct gqa_runtime *r = m->runtime;

    return r->tables[i]
               ? gqa_values_download(r->backend, r->device, r->tables[i],
                                     m->masters[i].weights, r->wide,
                                     m->masters[i].n)
               : GQA_OK;
}

enum gqa_status gqa_masters_settle(struct gqa_masters *m)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < m->n && st == GQA_OK; i++)
        if (m->masters[i].weights)
            st = settle(m, i);
    return st;
}

enum gqa_status gqa_masters_read(const struct gqa_masters *m, size_t param,
                                 void *values)
{
    const struct gqa_runtime *r = m->runtime;

    return r->backend->download(r->device, values, m->masters[param].weights,
                                bytes_of(m->masters[param].n, r->wide));
}

enum gqa_status gqa_masters_write(struct gqa_masters *m, size_t param,
                                  const void *values)
{
    const struct gqa_runtime *r = m->runtime;
    const struct gqa_master *master = &m->masters[param];
    enum gqa_status st = r->backend->upload(r->device, master->weights, values,
                                            bytes_of(master->n, r->wide));

    if (st == GQA_OK && master->copy)
        st = ops_of(m)->narrow(r->device, master->copy, master->copy_dtype,
                               master->weights, master->n);
    return st == GQA_OK ? settle(m, param) : st;
}
