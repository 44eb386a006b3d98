#include "align/influence.h"

#include <stdlib.h>

/* What rows come to, of one attention. */
struct energies {
    double changed, all;
};

struct measuring {
    const struct gqa_network *network;
    struct energies *attentions; /* [n_attentions] */
    /* The stream as it came to the next attention, and behind it. */
    double *before, *after;
    uint64_t room; /* elements of each */
};

static enum gqa_status make_room(struct measuring *m,
                                 const struct gqa_tapped *t)
{
    const uint64_t n = t->n_rows * t->width;

    if (n <= m->room)
        return GQA_OK;
    free(m->before);
    free(m->after);
    m->before = malloc(n * sizeof *m->before);
    m->after = malloc(n * sizeof *m->after);
    m->room = m->before && m->after ? n : 0;
    return m->room ? GQA_OK : gqa_fail_nomem();
}

static struct energies *energies_of(const struct measuring *m,
                                    const struct gqa_tapped *t)
{
    const struct gqa_model *model = m->network->model;
    size_t i = 0;

    while (i + 1 < model->n_attentions &&
           (model->attentions[i].stack != t->stack ||
            model->attentions[i].layer != t->layer ||
            model->attentions[i].kind != t->kind))
        i++;
    return &m->attentions[i];
}

static void add_rows(const struct measuring *m, const struct gqa_tapped *t)
{
    struct energies *e = energies_of(m, t);

    for (uint64_t r = 0; r < t->n_rows; r++) {
        uint64_t sequence, position;

        if (!gqa_tapped_row(t, r, &sequence, &position))
            continue;
        for (uint64_t i = r * t->width; i < (r + 1) * t->width; i++) {
            const double change = m->after[i] - m->before[i];

            e->changed += change * change;
            e->all += m->after[i] * m->after[i];
        }
    }
}

/* A batch passes a block at once: first the stream before it, then behind
 * each of its attentions. */
static enum gqa_status see(void *ctx, const struct gqa_tapped *t)
{
    struct measuring *m = ctx;
    double *before;
    enum gqa_status st;

    if (t->point == GQA_TAP_BEFORE) {
        st = make_room(m, t);
        return st == GQA_OK ? gqa_tapped_fetch(t, m->before) : st;
    }
    st = gqa_tapped_fetch(t, m->after);
    if (st != GQA_OK)
        return st;
    add_rows(m, t);
    before = m->before;
    m->before = m->after;
    m->after = before;
    return GQA_OK;
}

enum gqa_status gqa_influence_measure(double *out,
                                      const struct gqa_influence_job *job)
{
    const struct gqa_layers_options options = {.host_bytes = UINT64_C(1) << 31,
                                               .read_ahead = true};
    const size_t n = job->network->model->n_attentions;
    struct measuring m = {.network = job->network};
    const struct gqa_taps taps = {
        GQA_TAP(GQA_TAP_BEFORE) | GQA_TAP(GQA_TAP_AFTER_ATTENTION), see, &m};
    const struct gqa_layers_output output = {.step = {.taps = &taps}};
    struct gqa_layers *layers = NULL;
    enum gqa_status st;

    m.attentions = calloc(n + 1, sizeof *m.attentions);
    if (!m.attentions)
        return gqa_fail_nomem();
    st = gqa_layers_create(&layers, job->network, job->backend, job->device,
                           job->weights, job->tokens, &options);
    if (st == GQA_OK)
        st = gqa_layers_blocks(layers, &output, job->progress,
                               job->progress_ctx);
    for (size_t i = 0; i < n; i++)
        out[i] = m.attentions[i].all > 0
                     ? m.attentions[i].changed / m.attentions[i].all
                     : 0;
    gqa_layers_free(layers);
    free(m.attentions);
    free(m.before);
    free(m.after);
    return st;
}
