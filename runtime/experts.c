#include "runtime/experts.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "runtime/capacity.h"
#include "runtime/parts.h"

const double *gqa_experts_correction(const struct gqa_runtime *runtime,
                                     const struct gqa_experts *experts)
{
    return experts->correction == GQA_NO_PARAM
               ? NULL
               : runtime->tables[experts->correction];
}

/* Some rows on their way: which experts they have, on the host. */
struct mixing {
    const struct gqa_pass *pass;
    const struct gqa_feed_forward *ff;
    struct gqa_capacity capacity;
    uint64_t first; /* of all rows, that is the first here */
    const char *in; /* [n, d_model] */
    char *x;        /* the stream's rows, which are added to */
    uint64_t n;
    void *raw;        /* [n, experts]: logits as reals */
    double *logits;   /* [n, experts] */
    double *scores;   /* [experts] */
    uint64_t *chosen; /* [n, n_chosen] */
    double *shares;   /* [n, n_chosen] */
    uint64_t *rows;   /* [n]: of one expert */
    double *weights;  /* likewise */
};

static double scale_of(const struct gqa_feed_forward *ff)
{
    return ff->residual_scale == 0 ? 1 : ff->residual_scale;
}

static void end_mixing(struct mixing *m)
{
    free(m->raw);
    free(m->logits);
    free(m->scores);
    free(m->chosen);
    free(m->shares);
    free(m->rows);
    free(m->weights);
}

static enum gqa_status begin_mixing(struct mixing *m, uint64_t n)
{
    const struct gqa_experts *x = m->ff->experts;

    m->raw = calloc(n * x->n, sizeof(double));
    m->logits = calloc(n * x->n, sizeof *m->logits);
    m->scores = calloc(x->n, sizeof *m->scores);
    m->chosen = calloc(n * x->n_chosen, sizeof *m->chosen);
    m->shares = calloc(n * x->n_chosen, sizeof *m->shares);
    m->rows = calloc(n, sizeof *m->rows);
    m->weights = calloc(n, sizeof *m->weights);
    return m->raw && m->logits && m->scores && m->chosen && m->shares &&
                   m->rows && m->weights
               ? GQA_OK
               : gqa_fail_nomem();
}

/* What a small linear map makes of the rows, on the host. */
static enum gqa_status ask(const struct mixing *m, double *out,
                           const struct gqa_linear *l)
{
    const struct gqa_session *s = m->pass->session;
    const struct gqa_runtime *r = s->runtime;
    const uint64_t n = m->n * gqa_runtime_outputs(r, l);
    enum gqa_status st = gqa_part_linear(r, s->work.up, m->in, m->n, l, NULL);

    if (st == GQA_OK)
        st = r->backend->download(r->device, m->raw, s->work.up,
                                  n * (gqa_dtype_bits(r->real) / 8));
    if (st == GQA_OK)
        gqa_load_f64(out, m->raw, r->real, (size_t)n);
    return st;
}

/* An expert's output of n rows, to work.output. */
static enum gqa_status run_expert(const struct mixing *m,
                                  const struct gqa_expert *x, const void *in,
                                  uint64_t n)
{
    const struct gqa_session *s = m->pass->session;
    const struct gqa_runtime *r = s->runtime;
    const bool apart = x->gate.weight != GQA_NO_PARAM || m->ff->has_pairs;
    const struct gqa_part_hidden part = {.gate = &x->gate,
                                         .up = &x->up,
                                         .activation = m->ff->activation,
                                         .pairs = gqa_part_pairs(m->ff),
                                         .out =
                                             apart ? s->work.gate : s->work.up,
                                         .gate_room = s->work.gate,
                                         .up_room = s->work.up};
    const enum gqa_status st = gqa_part_hidden(r, &part, in, n);

    return st == GQA_OK
               ? gqa_part_linear(r, s->work.output, part.out, n, &x->down, NULL)
               : st;
}

/* Expert e, for those rows that have it. */
static enum gqa_status mix_expert(const struct mixing *m, uint64_t e)
{
    const struct gqa_session *s = m->pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_experts *x = m->ff->experts;
    const uint64_t d = r->network->d_model;
    uint64_t n = 0;
    enum gqa_status st;

    for (uint64_t i = 0; i < m->n; i++)
        for (uint64_t k = 0; k < x->n_chosen; k++)
            if (m->chosen[i * x->n_chosen + k] == e) {
                m->rows[n] = i;
                m->weights[n++] = m->shares[i * x->n_chosen + k];
            }
    if (n == 0)
        return GQA_OK;
    st = r->backend->gather(r->device, s->work.picked, m->in, d, m->rows, n);
    if (st == GQA_OK)
        st = run_expert(m, &x->each[e], s->work.picked, n);
    return st == GQA_OK
               ? r->backend->add_rows(r->device, m->x, s->work.output, d,
                                      m->rows, m->weights, scale_of(m->ff), n)
               : st;
}

static enum gqa_status mix_shared(const struct mixing *m)
{
    const struct gqa_session *s = m->pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_experts *x = m->ff->experts;
    const bool weighed = x->shared_gate.weight != GQA_NO_PARAM;
    enum gqa_status st = GQA_OK;

    if (x->shared.up.weight == GQA_NO_PARAM)
        return GQA_OK;
    if (weighed)
        st = ask(m, m->weights, &x->shared_gate);
    for (uint64_t i = 0; weighed && i < m->n; i++)
        m->weights[i] = 1 / (1 + exp(-m->weights[i]));
    if (st == GQA_OK)
        st = run_expert(m, &x->shared, m->in, m->n);
    return st == GQA_OK ? r->backend->add_rows(r->device, m->x, s->work.output,
                                               r->network->d_model, NULL,
                                               weighed ? m->weights : NULL,
                                               scale_of(m->ff), m->n)
                        : st;
}

/* Rows that their experts do not take have none. */
static void leave_out(const struct mixing *m)
{
    const struct gqa_experts *x = m->ff->experts;

    for (uint64_t k = 0; k < m->n * x->n_chosen; k++)
        if (!gqa_capacity_takes(&m->capacity, m->first + k / x->n_chosen,
                                m->chosen[k]))
            m->chosen[k] = x->n;
}

static enum gqa_status mix_rows(const struct mixing *m)
{
    const struct gqa_experts *x = m->ff->experts;
    const struct gqa_chooser chooser = {
        x, gqa_experts_correction(m->pass->session->runtime, x), m->scores};
    enum gqa_status st = ask(m, m->logits, &x->router);

    for (uint64_t i = 0; i < m->n && st == GQA_OK; i++)
        gqa_experts_choose(m->chosen + i * x->n_chosen,
                           m->shares + i * x->n_chosen, m->logits + i * x->n,
                           &chooser);
    if (st == GQA_OK)
        leave_out(m);
    for (uint64_t e = 0; e < x->n && st == GQA_OK; e++)
        st = mix_expert(m, e);
    return st == GQA_OK ? mix_shared(m) : st;
}

enum gqa_status gqa_block_experts(const struct gqa_pass *pass,
                                  const struct gqa_feed_forward *ff,
                                  size_t layer, const void *normed)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const size_t stack = (size_t)(pass->stack - r->network->stacks);
    const uint64_t row_bytes =
        r->network->d_model * gqa_dtype_bits(r->real) / 8;
    struct mixing m = {
        .pass = pass,
        .ff = ff,
        .capacity = {ff->experts, &pass->batch, s->taken[stack][layer]}};
    enum gqa_status st =
        begin_mixing(&m, pass->n_rows < s->ff_rows ? pass->n_rows : s->ff_rows);

    for (uint64_t row = 0; row < pass->n_rows && st == GQA_OK;
         row += s->ff_rows) {
        m.first = row;
        m.n = pass->n_rows - row < s->ff_rows ? pass->n_rows - row : s->ff_rows;
        m.in = (const char *)normed + row * row_bytes;
        m.x = (char *)s->work.x + row * row_bytes;
        st = mix_rows(&m);
    }
    end_mixing(&m);
    return st;
}
