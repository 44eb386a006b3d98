/* What is trained, and how it gets in and out. */
#include "uptrain/trainer_state.h"

size_t gqa_trainer_n(const struct gqa_trainer *t)
{
    return t->n;
}

const struct gqa_trainee *gqa_trainer_trainee(const struct gqa_trainer *t,
                                              size_t i)
{
    return &t->trainees[i];
}

const char *gqa_trainer_name(const struct gqa_trainer *t, size_t i)
{
    return t->pair->student.model->params[t->trainees[i].param].name;
}

size_t gqa_trainer_wide(const struct gqa_trainer *t)
{
    return gqa_dtype_bits(t->wide) / 8;
}

struct gqa_optimiser *gqa_trainer_optimiser(struct gqa_trainer *t)
{
    return t->optimiser;
}

static size_t trainee_bytes(const struct gqa_trainer *t, size_t i)
{
    return (size_t)gqa_trainer_values(t, i) * gqa_trainer_wide(t);
}

size_t gqa_trainer_bytes(const struct gqa_trainer *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += trainee_bytes(t, i);
    return n;
}

enum gqa_status gqa_trainer_get(struct gqa_trainer *t, void *weights)
{
    char *at = weights;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        st = gqa_masters_read(t->masters, t->trainees[i].param, at);
        at += trainee_bytes(t, i);
    }
    return st;
}

enum gqa_status gqa_trainer_set(struct gqa_trainer *t, const void *weights)
{
    const char *at = weights;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        st = gqa_masters_write(t->masters, t->trainees[i].param, at);
        at += trainee_bytes(t, i);
    }
    return st;
}

static enum gqa_status share_moments(struct gqa_trainer *t)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0;
         i < gqa_optimiser_n_moments(t->optimiser) && st == GQA_OK; i++) {
        const struct gqa_moment m = gqa_optimiser_moment(t->optimiser, i);

        if (m.n > 0)
            st = gqa_ranks_share(t->options.ranks, m.data,
                                 m.n * gqa_trainer_wide(t));
    }
    return st;
}

enum gqa_status gqa_trainer_share(struct gqa_trainer *t, bool moments)
{
    enum gqa_status st = GQA_OK;

    if (!t->options.ranks)
        return GQA_OK;
    for (size_t i = 0; i < t->n && st == GQA_OK; i++) {
        const struct gqa_trainee *w = &t->trainees[i];

        st = gqa_ranks_share(t->options.ranks, w->weights, trainee_bytes(t, i));
        if (st == GQA_OK && w->copy)
            st = gqa_ranks_share(t->options.ranks, w->copy,
                                 gqa_trainer_values(t, i) *
                                     gqa_dtype_bits(w->copy_dtype) / 8);
    }
    if (st == GQA_OK && moments)
        st = share_moments(t);
    return st == GQA_OK ? gqa_masters_settle(t->masters) : st;
}

enum gqa_status gqa_trainer_read(struct gqa_trainer *t, void *host,
                                 const void *device, size_t n_bytes)
{
    return t->backend->download(t->device, host, device, n_bytes);
}

enum gqa_status gqa_trainer_write(struct gqa_trainer *t, void *device,
                                  const void *host, size_t n_bytes)
{
    return t->backend->upload(t->device, device, host, n_bytes);
}
