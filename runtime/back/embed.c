/* What a tape's stacks read: tokens, or frames; and its way back. */
#include "runtime/back/state.h"
#include "runtime/frames.h"
#include "runtime/parts.h"

/* Windows of frames that the device gets together. */
enum { WINDOWS = 1024 };

static const struct gqa_gradient_ops *ops_of(const struct gqa_tape *t)
{
    return t->runtime->backend->gradients;
}

uint64_t gqa_tape_row_width(const struct gqa_tape *t,
                            const struct gqa_tape_stack *s)
{
    const struct gqa_network *n = t->runtime->network;

    return s->network->stack == GQA_STACK_ENCODER && n->memory_width
               ? n->memory_width
               : n->d_model;
}

static struct gqa_frames_run frames_run(const struct gqa_tape *t,
                                        const struct gqa_tape_stack *s)
{
    return (struct gqa_frames_run){t->runtime, s->network, &s->batch, s->n_rows,
                                   WINDOWS};
}

enum gqa_status gqa_tape_embed(const struct gqa_tape *t,
                               const struct gqa_tape_stack *s)
{
    const struct gqa_frames_run run = frames_run(t, s);

    return s->network->frames.width
               ? gqa_frames_embed(&run, s->x[0], t->scratch.normed)
               : gqa_part_embed_whole(t->runtime, s->network, s->x[0],
                                      t->scratch.normed, s->n_rows);
}

/* --- Back ----------------------------------------------------------------- */

/* Gradients of a table and of positions, of rows that are their sum; NULL: not
 * trained, or none. */
static enum gqa_status sum_back(const struct gqa_tape *t, size_t table,
                                void *d_positions, uint64_t n_positions,
                                const void *dy, uint64_t width, double scale)
{
    const struct gqa_runtime *r = t->runtime;
    void *d_table = gqa_tape_gradient_of(t, table);

    return d_table || d_positions
               ? ops_of(t)->embed(
                     r->device, d_table,
                     d_table ? r->network->model->params[table].rows : 0,
                     d_positions, n_positions, dy, width, scale)
               : GQA_OK;
}

/* Where the stream is made of rows of another width, which are looked up
 * again; d_x is that of both. */
static enum gqa_status widened_back(const struct gqa_tape *t,
                                    const struct gqa_tape_stack *s)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network_stack *net = s->network;
    void *rows = t->scratch.normed, *d_rows = t->scratch.output;
    const bool further = gqa_tape_gradient_of(t, net->embedding);
    enum gqa_status st = r->backend->embed(
        r->device, rows, gqa_runtime_weight(r, net->embedding),
        net->embedding_scale, NULL);

    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, further ? d_rows : NULL, rows, t->d_x,
                                  s->n_rows, &net->widened, false);
    return st == GQA_OK && further
               ? sum_back(t, net->embedding, NULL, 0, d_rows,
                          net->embedding_width, net->embedding_scale)
               : st;
}

/* d_x, through the norm of what is embedded. */
static enum gqa_status embedding_norm_back(const struct gqa_tape *t,
                                           const struct gqa_tape_stack *s)
{
    const struct gqa_network_stack *net = s->network;
    const enum gqa_status st = gqa_part_embed_sum(
        t->runtime, net, t->scratch.normed, s->n_rows, t->scratch.output);

    return st == GQA_OK
               ? gqa_tape_norm_back(t, t->d_x, t->scratch.normed, t->d_x,
                                    s->n_rows, &net->embedding_norm, false)
               : st;
}

/* Of convolutions, where any is trained. */
static enum gqa_status frames_back(const struct gqa_tape *t,
                                   const struct gqa_tape_stack *s)
{
    const struct gqa_frames_run run = frames_run(t, s);
    const struct gqa_frames *f = &s->network->frames;
    struct gqa_frames_gradient gradient = {{NULL}, {NULL}};
    bool any = false;

    for (size_t i = 0; i < f->n_convolutions; i++) {
        const struct gqa_linear *linear = &f->convolutions[i].linear;

        gradient.d_weight[i] = gqa_tape_gradient_of(t, linear->weight);
        gradient.d_bias[i] = gqa_tape_gradient_of(t, linear->bias);
        any |= gradient.d_weight[i] || gradient.d_bias[i];
    }
    return any ? gqa_frames_back(&run, &gradient, t->d_x) : GQA_OK;
}

/* The first row of a table of places is in all rows. */
static enum gqa_status place_back(const struct gqa_tape *t,
                                  const struct gqa_tape_stack *s, size_t table)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t d = r->network->d_model;
    void *d_table = gqa_tape_gradient_of(t, table);

    return d_table ? ops_of(t)->linear_weight(r->device, NULL, d_table, t->d_x,
                                              d, t->d_x, d, s->n_rows, false)
                   : GQA_OK;
}

static enum gqa_status positions_back(const struct gqa_tape *t,
                                      const struct gqa_network_stack *net)
{
    const uint64_t d = t->runtime->network->d_model;
    char *d_positions = gqa_tape_gradient_of(t, net->positions);

    if (d_positions)
        d_positions +=
            net->position_offset * d * gqa_dtype_bits(t->runtime->wide) / 8;
    return sum_back(t, GQA_NO_PARAM, d_positions, net->n_positions, t->d_x, d,
                    1);
}

/* What is added behind a norm has gone before it. */
enum gqa_status gqa_tape_embed_back(const struct gqa_tape *t,
                                    const struct gqa_tape_stack *s)
{
    const struct gqa_network_stack *net = s->network;
    const uint64_t d = t->runtime->network->d_model;
    enum gqa_status st = GQA_OK;

    if (net->norm_first)
        st = positions_back(t, net);
    if (st == GQA_OK && net->embedding_norm.kind != GQA_NORM_NONE)
        st = embedding_norm_back(t, s);
    for (size_t i = 0; i < net->n_codes && st == GQA_OK; i++)
        st = sum_back(t, net->codes[i], NULL, 0, t->d_x, d,
                      net->embedding_scale);
    for (size_t i = 0; i < net->n_places && st == GQA_OK; i++)
        st = place_back(t, s, net->places[i]);
    if (st == GQA_OK && !net->norm_first)
        st = positions_back(t, net);
    if (st != GQA_OK)
        return st;
    if (net->frames.width)
        return frames_back(t, s);
    return net->embedding_width ? widened_back(t, s)
                                : sum_back(t, net->embedding, NULL, 0, t->d_x,
                                           d, net->embedding_scale);
}
