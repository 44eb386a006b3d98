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

/* d_table += what a table of the stack's tokens is to blame for, and d of
 * positions; NULL: not trained, or no such table. */
static enum gqa_status table_back(const struct gqa_tape *t,
                                  const struct gqa_network_stack *net,
                                  size_t table, void *d_table,
                                  void *d_positions)
{
    const struct gqa_runtime *r = t->runtime;

    if (!d_table && !d_positions)
        return GQA_OK;
    return ops_of(t)->embed(r->device, d_table,
                            d_table ? r->network->model->params[table].rows : 0,
                            d_positions, net->n_positions, t->d_x,
                            r->network->d_model, net->embedding_scale);
}

/* d_x, through the norm of what is embedded. */
static enum gqa_status embedding_norm_back(const struct gqa_tape *t,
                                           const struct gqa_tape_stack *s)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network_stack *net = s->network;
    struct gqa_weight room;
    enum gqa_status st = r->backend->embed(
        r->device, t->scratch.normed, gqa_runtime_weight(r, net->embedding),
        net->embedding_scale,
        net->norm_first ? NULL : gqa_part_positions(r, net, &room));

    return st == GQA_OK
               ? gqa_tape_norm_back(t, t->d_x, t->scratch.normed, t->d_x,
                                    s->n_rows, &net->embedding_norm, false)
               : st;
}

/* Of positions, and of convolutions where any is trained. */
static enum gqa_status frames_back(const struct gqa_tape *t,
                                   const struct gqa_tape_stack *s,
                                   void *d_positions)
{
    const struct gqa_frames_run run = frames_run(t, s);
    const struct gqa_frames *f = &s->network->frames;
    struct gqa_frames_gradient gradient = {{NULL}, {NULL}};
    bool any = false;
    enum gqa_status st =
        table_back(t, s->network, GQA_NO_PARAM, NULL, d_positions);

    for (size_t i = 0; i < f->n_convolutions; i++) {
        const struct gqa_linear *linear = &f->convolutions[i].linear;

        gradient.d_weight[i] = gqa_tape_gradient_of(t, linear->weight);
        gradient.d_bias[i] = gqa_tape_gradient_of(t, linear->bias);
        any |= gradient.d_weight[i] || gradient.d_bias[i];
    }
    return st == GQA_OK && any ? gqa_frames_back(&run, &gradient, t->d_x) : st;
}

/* Positions and codes that are added behind a norm have gone before it. */
enum gqa_status gqa_tape_embed_back(const struct gqa_tape *t,
                                    const struct gqa_tape_stack *s)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network_stack *net = s->network;
    char *d_positions = gqa_tape_gradient_of(t, net->positions);
    enum gqa_status st = GQA_OK;

    if (d_positions)
        d_positions += net->position_offset * r->network->d_model *
                       gqa_dtype_bits(r->wide) / 8;
    for (size_t i = 0; i < net->n_codes && st == GQA_OK; i++)
        st = table_back(t, net, net->codes[i],
                        gqa_tape_gradient_of(t, net->codes[i]), NULL);
    if (st == GQA_OK && net->norm_first)
        st = table_back(t, net, net->embedding, NULL, d_positions);
    if (st == GQA_OK && net->embedding_norm.kind != GQA_NORM_NONE)
        st = embedding_norm_back(t, s);
    if (st == GQA_OK && net->frames.width)
        return frames_back(t, s, d_positions);
    return st == GQA_OK ? table_back(t, net, net->embedding,
                                     gqa_tape_gradient_of(t, net->embedding),
                                     net->norm_first ? NULL : d_positions)
                        : st;
}
