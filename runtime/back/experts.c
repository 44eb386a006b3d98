/* A mixture of experts, forth as a session runs it (runtime/experts.c), and
 * back. */
#include <math.h>
#include <stdlib.h>

#include "runtime/back/pairs.h"
#include "runtime/back/state.h"
#include "runtime/parts.h"
#include "runtime/values.h"

/* One mixture's surroundings. */
struct mixture {
    const struct gqa_tape *tape;
    const struct gqa_runtime *r;
    const struct gqa_feed_forward *ff;
    const struct gqa_tape_feed_forward *room;
    const struct gqa_batch *batch;
    uint64_t n_rows, d;
    double scale;
    struct gqa_pairs pairs;
};

static struct mixture mixture_of(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *stack, size_t i)
{
    const struct gqa_feed_forward *ff = &stack->network->blocks[i].ff;

    return (struct mixture){
        .tape = t,
        .r = t->runtime,
        .ff = ff,
        .room = &stack->rooms[i].ff,
        .batch = &stack->batch,
        .n_rows = stack->n_rows,
        .d = t->runtime->network->d_model,
        .scale = ff->residual_scale == 0 ? 1 : ff->residual_scale,
    };
}

static void *row_at(const struct mixture *m, void *x, uint64_t row,
                    uint64_t width)
{
    return x ? (char *)x + row * width * gqa_dtype_bits(m->r->real) / 8 : NULL;
}

static bool has_shared(const struct mixture *m)
{
    return m->ff->experts->shared.up.weight != GQA_NO_PARAM;
}

/* --- Which rows an expert has --------------------------------------------- */

/* From the logits in the room; waits for the device. */
static enum gqa_status make_pairs(struct mixture *m)
{
    struct gqa_pairs *p = &m->pairs;
    enum gqa_status st = gqa_pairs_create(
        p, m->ff->experts, gqa_experts_correction(m->r, m->ff->experts),
        m->n_rows);

    if (st == GQA_OK)
        st = gqa_values_download(m->r->backend, m->r->device, p->logits,
                                 m->room->experts.logits, m->r->real,
                                 p->n_rows * p->experts->n);
    return st == GQA_OK ? gqa_pairs_sort(p, m->batch) : st;
}

/* An expert's pairs, and where its wide rows lie: behind those of the experts
 * before it, each of a width of its own. */
struct portion {
    const struct gqa_expert *expert;
    uint64_t first, n, width;
    uint64_t at; /* in elements of up and gate */
};

/* Those of what is made of `n` elements of up. */
static uint64_t hidden_at(const struct mixture *m, uint64_t n)
{
    return m->ff->has_pairs ? n / 2 : n;
}

/* The next expert, of which *portion is the one before: `at` is behind it. */
static void next_portion(struct portion *portion, const struct mixture *m,
                         uint64_t e)
{
    const uint64_t at = portion->at + portion->n * portion->width;

    *portion = (struct portion){
        .expert = &m->ff->experts->each[e],
        .first = m->pairs.first[e],
        .n = m->pairs.first[e + 1] - m->pairs.first[e],
        .width = gqa_runtime_outputs(m->r, &m->ff->experts->each[e].up),
        .at = at,
    };
}

/* Elements of up of all experts' rows. */
static uint64_t up_elements(const struct mixture *m)
{
    struct portion p = {NULL, 0, 0, 0, 0};

    for (uint64_t e = 0; e < m->ff->experts->n; e++)
        next_portion(&p, m, e);
    return p.at + p.n * p.width;
}

/* --- Forth ---------------------------------------------------------------- */

/* What an activation makes: in a place of its own, in scratch for the way back,
 * or where it is. */
static void *hidden_of(const struct mixture *m, void *kept, void *first)
{
    if (!m->tape->trained && !m->ff->has_pairs)
        return first;
    return kept ? kept : m->tape->scratch.hidden;
}

/* Up and gate of rows. */
static enum gqa_status enter(const struct mixture *m,
                             const struct gqa_expert *x, void *up, void *gate,
                             const void *in, uint64_t n)
{
    enum gqa_status st = gqa_part_linear(m->r, up, in, n, &x->up, NULL);

    return st == GQA_OK && gate
               ? gqa_part_linear(m->r, gate, in, n, &x->gate, NULL)
               : st;
}

/* n: elements of up. */
static enum gqa_status activate(const struct mixture *m, void *hidden, void *up,
                                void *gate, uint64_t n)
{
    if (m->ff->has_pairs)
        return m->r->backend->swiglu_pairs(m->r->device, hidden, up,
                                           hidden_at(m, n), &m->ff->pairs);
    return m->r->backend->activate(m->r->device, hidden, gate ? gate : up,
                                   gate ? up : NULL, n, m->ff->activation);
}

static enum gqa_status run_experts(const struct mixture *m, const void *in)
{
    const struct gqa_tape_feed_forward *room = m->room;
    void *picked = m->tape->scratch.picked;
    void *hidden =
        hidden_of(m, room->hidden, room->gate ? room->gate : room->up);
    struct portion p = {NULL, 0, 0, 0, 0};
    enum gqa_status st = m->r->backend->gather(m->r->device, picked, in, m->d,
                                               m->pairs.rows, m->pairs.n);

    for (uint64_t e = 0; e < m->ff->experts->n && st == GQA_OK; e++) {
        next_portion(&p, m, e);
        if (p.n > 0)
            st = enter(m, p.expert, row_at(m, room->up, p.at, 1),
                       row_at(m, room->gate, p.at, 1),
                       row_at(m, picked, p.first, m->d), p.n);
    }
    if (st == GQA_OK)
        st = activate(m, hidden, room->up, room->gate, up_elements(m));
    p = (struct portion){NULL, 0, 0, 0, 0};
    for (uint64_t e = 0; e < m->ff->experts->n && st == GQA_OK; e++) {
        next_portion(&p, m, e);
        if (p.n > 0)
            st = gqa_part_linear(m->r,
                                 row_at(m, room->experts.made, p.first, m->d),
                                 row_at(m, hidden, hidden_at(m, p.at), 1), p.n,
                                 &p.expert->down, NULL);
    }
    return st;
}

static enum gqa_status run_shared(const struct mixture *m, const void *in)
{
    const struct gqa_tape_experts *room = &m->room->experts;
    const struct gqa_experts *x = m->ff->experts;
    void *hidden =
        hidden_of(m, room->hidden, room->gate ? room->gate : room->up);
    enum gqa_status st = GQA_OK;

    if (room->share)
        st = gqa_part_linear(m->r, room->share, in, m->n_rows, &x->shared_gate,
                             NULL);
    if (st == GQA_OK)
        st = enter(m, &x->shared, room->up, room->gate, in, m->n_rows);
    if (st == GQA_OK)
        st = activate(m, hidden, room->up, room->gate,
                      m->n_rows * gqa_runtime_outputs(m->r, &x->shared.up));
    return st == GQA_OK ? gqa_part_linear(m->r, room->made_shared, hidden,
                                          m->n_rows, &x->shared.down, NULL)
                        : st;
}

/* What the shared expert counts in each row, [n_rows]; waits. */
static enum gqa_status ask_share(const struct mixture *m, double *weights)
{
    const enum gqa_status st =
        gqa_values_download(m->r->backend, m->r->device, weights,
                            m->room->experts.share, m->r->real, m->n_rows);

    for (uint64_t i = 0; i < m->n_rows && st == GQA_OK; i++)
        weights[i] = 1 / (1 + exp(-weights[i]));
    return st;
}

/* out += what the shared expert made, times its share, where it has one, and
 * the scale. */
static enum gqa_status add_shared(const struct mixture *m, void *out)
{
    double *weights = NULL;
    enum gqa_status st = GQA_OK;

    if (m->room->experts.share) {
        weights = calloc((size_t)m->n_rows, sizeof *weights);
        st = weights ? ask_share(m, weights) : gqa_fail_nomem();
    }
    if (st == GQA_OK)
        st = m->r->backend->add_rows(m->r->device, out,
                                     m->room->experts.made_shared, m->d, NULL,
                                     weights, m->scale, m->n_rows);
    free(weights);
    return st;
}

/* out's rows += those of pairs, an expert after the other; weights NULL: 1. */
static enum gqa_status add_pairs(const struct mixture *m, void *out, void *x,
                                 const double *weights, double scale)
{
    const uint64_t *first = m->pairs.first;
    enum gqa_status st = GQA_OK;

    for (uint64_t e = 0; e < m->ff->experts->n && st == GQA_OK; e++)
        st = m->r->backend->add_rows(
            m->r->device, out, row_at(m, x, first[e], m->d), m->d,
            m->pairs.rows + first[e], weights ? weights + first[e] : NULL,
            scale, first[e + 1] - first[e]);
    return st;
}

enum gqa_status gqa_tape_run_experts(const struct gqa_tape *t,
                                     const struct gqa_tape_stack *stack,
                                     size_t i, const void *in, void *after)
{
    struct mixture m = mixture_of(t, stack, i);
    enum gqa_status st =
        gqa_part_linear(m.r, m.room->experts.logits, in, m.n_rows,
                        &m.ff->experts->router, NULL);

    if (st == GQA_OK)
        st = make_pairs(&m);
    if (st == GQA_OK)
        st = run_experts(&m, in);
    if (st == GQA_OK && has_shared(&m))
        st = run_shared(&m, in);
    if (st == GQA_OK && after)
        st = add_pairs(&m, after, m.room->experts.made, m.pairs.weights,
                       m.scale);
    if (st == GQA_OK && after && has_shared(&m))
        st = add_shared(&m, after);
    gqa_pairs_clear(&m.pairs);
    return st;
}

/* --- Back ----------------------------------------------------------------- */

static const struct gqa_gradient_ops *ops_of(const struct mixture *m)
{
    return m->r->backend->gradients;
}

/* d of an expert's hidden rows to those of gate and up, in scratch: of pairs
 * in up. */
static enum gqa_status activate_back(const struct mixture *m, const void *up,
                                     const void *gate, uint64_t n)
{
    const struct gqa_tape_scratch *s = &m->tape->scratch;

    if (m->ff->has_pairs)
        return ops_of(m)->swiglu_pairs(m->r->device, s->up, up, s->hidden,
                                       hidden_at(m, n), &m->ff->pairs);
    return ops_of(m)->activate(m->r->device, s->hidden, gate ? s->up : NULL, n,
                               gate ? gate : up, gate ? up : NULL, s->hidden, 1,
                               n, m->ff->activation);
}

/* d_in (+)= what up and gate of rows `in` are to blame for. d_first: of the
 * gate, or of up where there is none. */
static enum gqa_status enter_back(const struct mixture *m,
                                  const struct gqa_expert *x, void *d_in,
                                  const void *in, const void *d_first,
                                  const void *d_up, uint64_t n, bool gated,
                                  bool accumulate)
{
    const struct gqa_tape *t = m->tape;
    const enum gqa_status st = gqa_tape_linear_back(
        t, d_in, in, gated ? d_up : d_first, n, &x->up, accumulate);

    return st == GQA_OK && gated
               ? gqa_tape_linear_back(t, d_in, in, d_first, n, &x->gate, true)
               : st;
}

/* scratch's mixed, d of what experts made, becomes d of what they were given;
 * where any weight asks for that, it is gathered to picked once more. */
static enum gqa_status experts_back(const struct mixture *m, const void *in,
                                    bool wanted)
{
    const struct gqa_tape *t = m->tape;
    const struct gqa_tape_scratch *s = &t->scratch;
    const struct gqa_tape_feed_forward *room = m->room;
    const bool gated = room->gate != NULL;
    void *d_first = m->ff->has_pairs ? s->up : s->hidden;
    struct portion p = {NULL, 0, 0, 0, 0};
    enum gqa_status st = GQA_OK;

    for (uint64_t e = 0; e < m->ff->experts->n && st == GQA_OK; e++) {
        uint64_t at;

        next_portion(&p, m, e);
        at = hidden_at(m, p.at);
        if (p.n > 0)
            st = gqa_tape_linear_back(t, row_at(m, s->hidden, at, 1),
                                      row_at(m, room->hidden, at, 1),
                                      row_at(m, s->mixed, p.first, m->d), p.n,
                                      &p.expert->down, false);
    }
    if (st == GQA_OK)
        st = activate_back(m, room->up, room->gate, up_elements(m));
    if (st == GQA_OK && room->normed)
        st = m->r->backend->gather(m->r->device, s->picked, in, m->d,
                                   m->pairs.rows, m->pairs.n);
    p = (struct portion){NULL, 0, 0, 0, 0};
    for (uint64_t e = 0; e < m->ff->experts->n && st == GQA_OK; e++) {
        next_portion(&p, m, e);
        if (p.n > 0)
            st = enter_back(m, p.expert,
                            wanted ? row_at(m, s->mixed, p.first, m->d) : NULL,
                            row_at(m, s->picked, p.first, m->d),
                            row_at(m, d_first, p.at, 1),
                            row_at(m, s->up, p.at, 1), p.n, gated, false);
    }
    return st;
}

/* From dy: what the router's logits are to blame for, to scratch's logits; d
 * of what experts made, to its mixed. */
static enum gqa_status weigh_back(const struct mixture *m, const void *dy)
{
    const struct gqa_tape_scratch *s = &m->tape->scratch;
    const struct gqa_pairs *p = &m->pairs;
    const struct gqa_backend *b = m->r->backend;
    const uint64_t n_logits = p->n_rows * p->experts->n;
    double *d_weights = calloc((size_t)p->n, sizeof *d_weights);
    double *d_logits = calloc((size_t)n_logits, sizeof *d_logits);
    enum gqa_status st =
        d_weights && d_logits
            ? b->gather(m->r->device, s->picked, dy, m->d, p->rows, p->n)
            : gqa_fail_nomem();

    if (st == GQA_OK)
        st = ops_of(m)->dot_rows(m->r->device, d_weights, m->room->experts.made,
                                 s->picked, m->d, p->n);
    for (uint64_t i = 0; i < p->n && st == GQA_OK; i++)
        d_weights[i] *= m->scale;
    if (st == GQA_OK)
        st = gqa_pairs_back(d_logits, p, d_weights);
    if (st == GQA_OK)
        st = gqa_values_upload(b, m->r->device, s->logits, m->r->real, d_logits,
                               n_logits);
    if (st == GQA_OK)
        st = gqa_tape_scale_rows(m->tape, s->mixed, s->picked, p->weights,
                                 m->scale, p->n);
    free(d_weights);
    free(d_logits);
    return st;
}

/* From dy: of the shared expert's share, to d of its logit, in scratch's
 * logits; and of what it made, to its mixed. */
static enum gqa_status weigh_shared_back(const struct mixture *m,
                                         const void *dy)
{
    const struct gqa_tape_scratch *s = &m->tape->scratch;
    double *weights = calloc((size_t)m->n_rows, sizeof *weights);
    double *dots = calloc((size_t)m->n_rows, sizeof *dots);
    enum gqa_status st =
        weights && dots ? ask_share(m, weights) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = ops_of(m)->dot_rows(m->r->device, dots,
                                 m->room->experts.made_shared, dy, m->d,
                                 m->n_rows);
    for (uint64_t i = 0; i < m->n_rows && st == GQA_OK; i++)
        dots[i] *= m->scale * weights[i] * (1 - weights[i]);
    if (st == GQA_OK)
        st = gqa_values_upload(m->r->backend, m->r->device, s->logits,
                               m->r->real, dots, m->n_rows);
    if (st == GQA_OK)
        st = gqa_tape_scale_rows(m->tape, s->mixed, dy, weights, m->scale,
                                 m->n_rows);
    free(weights);
    free(dots);
    return st;
}

static enum gqa_status shared_back(const struct mixture *m, void *d_in,
                                   const void *in, const void *dy)
{
    const struct gqa_tape *t = m->tape;
    const struct gqa_tape_scratch *s = &t->scratch;
    const struct gqa_tape_experts *room = &m->room->experts;
    const struct gqa_experts *x = m->ff->experts;
    const uint64_t n = m->n_rows * gqa_runtime_outputs(m->r, &x->shared.up);
    enum gqa_status st =
        room->share
            ? weigh_shared_back(m, dy)
            : gqa_tape_scale_rows(t, s->mixed, dy, NULL, m->scale, m->n_rows);

    if (st == GQA_OK && room->share)
        st = gqa_tape_linear_back(t, d_in, in, s->logits, m->n_rows,
                                  &x->shared_gate, true);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, s->hidden, room->hidden, s->mixed,
                                  m->n_rows, &x->shared.down, false);
    if (st == GQA_OK)
        st = activate_back(m, room->up, room->gate, n);
    return st == GQA_OK ? enter_back(m, &x->shared, d_in, in, s->hidden, s->up,
                                     m->n_rows, room->gate != NULL, true)
                        : st;
}

enum gqa_status gqa_tape_experts_back(const struct gqa_tape *t,
                                      const struct gqa_tape_stack *stack,
                                      size_t i, void *d_in, const void *in,
                                      const void *dy)
{
    struct mixture m = mixture_of(t, stack, i);
    enum gqa_status st = make_pairs(&m);

    if (st == GQA_OK)
        st = weigh_back(&m, dy);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, d_in, in, t->scratch.logits, m.n_rows,
                                  &m.ff->experts->router, false);
    if (st == GQA_OK)
        st = experts_back(&m, in, d_in != NULL);
    if (st == GQA_OK && d_in)
        st = add_pairs(&m, d_in, t->scratch.mixed, NULL, 1);
    if (st == GQA_OK && has_shared(&m))
        st = shared_back(&m, d_in, in, dy);
    gqa_pairs_clear(&m.pairs);
    return st;
}
