#include "uptrain/layerwise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "runtime/uses.h"
#include "runtime/values.h"

/* As many as streams are kept of. */
enum { MAX_DATA_STEPS = 32 };

/* A stage that runs. */
struct going {
    const struct gqa_layerwise *stage;
    const struct gqa_network *network; /* the student's */
    struct gqa_walk *walk;
    struct gqa_history *history;
    char *values;
    bool *block, *attention; /* [n_params]: what is trained of it */
    size_t n_blocks, n_done; /* of both stacks */
    size_t n_left;           /* attentions that are still to be matched */
    /* What a block takes beside its attentions, for each of these. */
    double beside_s;
    double matched_s; /* what those of this block took */
    bool is_over;     /* there is no time for more */
};

uint64_t gqa_layerwise_data_steps(uint64_t n_steps)
{
    return gqa_min_u64(n_steps, MAX_DATA_STEPS);
}

/* --- What is trained ------------------------------------------------------ */

static size_t add_block(bool *out, const struct gqa_network *network,
                        const struct gqa_block *b, const bool *trained)
{
    const size_t n = gqa_match_mark(out, network->model, &b->self, trained);

    return b->has_cross
               ? n + gqa_match_mark(out, network->model, &b->cross, trained)
               : n;
}

static size_t mark_block(bool *out, const struct gqa_network *network,
                         const struct gqa_block *b, const bool *trained)
{
    memset(out, 0, network->model->n_params * sizeof *out);
    return add_block(out, network, b, trained);
}

size_t gqa_layerwise_mark(bool *out, const struct gqa_network *network,
                          const bool *trained)
{
    size_t n = 0;

    memset(out, 0, network->model->n_params * sizeof *out);
    for (size_t i = 0; i < network->n_stacks; i++)
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++)
            n +=
                add_block(out, network, &network->stacks[i].blocks[j], trained);
    return n;
}

/* Of a parameter among all that are trained. */
static char *values_of(const struct going *g, size_t param)
{
    const size_t wide = gqa_wide_bytes(g->stage->device->info.real);
    char *at = g->values;

    for (size_t i = 0; i < param; i++)
        if (g->stage->trained[i])
            at += g->network->model->params[i].n_elements * wide;
    return at;
}

/* --- What it takes -------------------------------------------------------- */

static uint64_t weight_bytes(enum gqa_use *uses,
                             const struct gqa_network *network, size_t stack,
                             size_t block)
{
    memset(uses, 0, network->model->n_params * sizeof *uses);
    gqa_use_block(uses, &network->stacks[stack].blocks[block]);
    return gqa_use_bytes(uses, network->model);
}

static uint64_t training_bytes(const struct gqa_layerwise *stage,
                               const bool *block)
{
    const struct gqa_model *model = stage->pair->student.model;
    const uint64_t wide = gqa_wide_bytes(stage->device->info.real);
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (block[i])
            n += wide * model->params[i].n_elements +
                 gqa_optimiser_bytes(stage->optimiser.kind,
                                     model->params[i].rows,
                                     model->params[i].cols, wide);
    return n;
}

enum gqa_status gqa_layerwise_bytes(struct gqa_layerwise_bytes *out,
                                    const struct gqa_layerwise *stage,
                                    size_t stack, size_t block)
{
    const struct gqa_network *networks[] = {stage->pair->teacher.network,
                                            stage->pair->student.network};
    const struct gqa_layer_place place = {GQA_LAYER_BLOCK, stack, block};
    const size_t n_params =
        gqa_max_u64(networks[0]->model->n_params, networks[1]->model->n_params);
    bool *trained = calloc(n_params + 1, sizeof *trained);
    enum gqa_use *uses = calloc(n_params + 1, sizeof *uses);
    enum gqa_status st = trained && uses ? GQA_OK : gqa_fail_nomem();

    *out = (struct gqa_layerwise_bytes){0};
    if (st == GQA_OK) {
        mark_block(trained, networks[1],
                   &networks[1]->stacks[stack].blocks[block], stage->trained);
        out->training = training_bytes(stage, trained);
    }
    for (int i = 0; i < 2 && st == GQA_OK; i++) {
        const struct gqa_tape_options options = {
            .n_sequences = stage->batch,
            .length = stage->length,
            .encoder_length = networks[i]->n_stacks > 1 ? stage->length : 0,
            .trained = i == 1 ? trained : NULL};
        const uint64_t all =
            gqa_layer_bytes(networks[i], stage->device->backend,
                            stage->device->device, &place, &options);
        const uint64_t weights = weight_bytes(uses, networks[i], stack, block);

        out->weights += weights;
        out->run += all - weights;
        if (all == UINT64_MAX)
            st = gqa_fail_prefix(GQA_ERR_NOMEM, "a layer at a time");
    }
    free(trained);
    free(uses);
    return st;
}

/* --- An attention --------------------------------------------------------- */

static enum gqa_status tell(struct going *g, const struct gqa_match *m,
                            bool cross, const struct gqa_match_result *r)
{
    const struct gqa_layer_match told = {
        .stack = g->network->stacks[m->place.stack].stack,
        .kind = cross ? GQA_ATTENTION_CROSS : GQA_ATTENTION_SELF,
        .layer = m->place.block,
        .before = r->before,
        .after = r->after,
        .rate = r->rate,
        .n_steps = r->n_steps,
        .gained = r->gained};
    const enum gqa_status st = gqa_history_add_match(g->history, &told);

    gqa_info("%s layer %zu, %s-attention: mean squared error %.4g -> %.4g, "
             "rate %.3g%s",
             gqa_stack_name(told.stack), m->place.block,
             gqa_attention_kind_name(told.kind), r->before, r->after, r->rate,
             r->gained ? "" : ", and left as it was");
    return st == GQA_OK ? gqa_run_log_match(g->stage->log, &told) : st;
}

/* What of the time that is left is this attention's. */
static double share_s(const struct going *g)
{
    const double left = g->stage->until_s - gqa_clock_s();

    return fmax(left / (double)g->n_left - g->beside_s, 0);
}

/* There was something to gain, and no time for it. */
static bool was_late(const struct going *g, const struct gqa_match_result *r)
{
    return g->stage->until_s > 0 && r->n_steps == 0 && r->before > 0 &&
           isfinite(r->before);
}

/* Of one that is over. */
static enum gqa_status end_match(struct going *g, const struct gqa_match *m,
                                 bool cross, const struct gqa_match_result *r,
                                 double start_s, enum gqa_status st)
{
    g->n_left--;
    g->matched_s += gqa_clock_s() - start_s;
    if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late())
        g->is_over = true;
    else if (st != GQA_OK)
        return st;
    g->is_over = g->is_over || was_late(g, r);
    return g->is_over && r->n_steps == 0 ? GQA_OK : tell(g, m, cross, r);
}

static enum gqa_status match(struct going *g, const struct gqa_match *m,
                             bool cross)
{
    const struct gqa_layerwise *stage = g->stage;
    const struct gqa_block *b =
        &g->network->stacks[m->place.stack].blocks[m->place.block];
    const struct gqa_match_options options = {
        .optimiser = stage->optimiser,
        .schedule = {.n_steps = stage->n_steps,
                     .warmup = gqa_schedule_warmup(stage->n_steps),
                     .decay = stage->decay},
        .accumulate = stage->accumulate,
        .until_s = stage->until_s,
        .share_s = share_s(g)};
    struct gqa_match_result result;

    memset(g->attention, 0, g->network->model->n_params * sizeof *g->attention);
    if (gqa_match_mark(g->attention, g->network->model,
                       cross ? &b->cross : &b->self, g->block) == 0)
        return GQA_OK;
    return end_match(
        g, m, cross, &result, gqa_clock_s(),
        gqa_match_attention(&result, m, cross, g->attention, &options));
}

/* --- A block -------------------------------------------------------------- */

static enum gqa_status take_values(struct going *g, const struct gqa_match *m)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < g->network->model->n_params && st == GQA_OK; i++)
        if (g->block[i])
            st = gqa_masters_read(m->masters, i, values_of(g, i));
    return st;
}

static enum gqa_status match_block(struct going *g, struct gqa_match *m,
                                   bool has_cross)
{
    enum gqa_status st = gqa_masters_create(
        &m->masters, gqa_layer_runtime(m->student), g->block);

    if (st == GQA_OK)
        st = match(g, m, false);
    if (st == GQA_OK && has_cross && !g->is_over)
        st = match(g, m, true);
    return st == GQA_OK ? take_values(g, m) : st;
}

static void show(const struct going *g)
{
    char text[96];

    snprintf(text, sizeof text, "matching layers  %zu of %zu", g->n_done + 1,
             g->n_blocks);
    gqa_progress_say(g->stage->bar, text);
}

/* What blocks take without their attentions is to be known of the next. */
static void take_times(struct going *g, double block_s, size_t n_attentions)
{
    if (n_attentions > 0)
        g->beside_s = (block_s - g->matched_s) / (double)n_attentions;
    g->matched_s = 0;
}

static enum gqa_status match_and_go_on(struct going *g, size_t stack, size_t i)
{
    const struct gqa_block *b = &g->network->stacks[stack].blocks[i];
    const bool any = mark_block(g->block, g->network, b, g->stage->trained) > 0;
    const struct gqa_layer_place place = {GQA_LAYER_BLOCK, stack, i};
    struct gqa_match m = {.walk = g->walk,
                          .device = g->stage->device,
                          .network = g->network,
                          .place = place};
    enum gqa_status st =
        gqa_walk_load(&m.teacher, g->walk, GQA_WALK_TEACHER, &place, NULL);

    show(g);
    if (st == GQA_OK)
        st = gqa_walk_load(&m.student, g->walk, GQA_WALK_STUDENT, &place,
                           any ? g->block : NULL);
    if (st == GQA_OK && any)
        st = match_block(g, &m, b->has_cross);
    /* Behind the last there is nothing. */
    if (st == GQA_OK && ++g->n_done < g->n_blocks && !g->is_over) {
        st = gqa_walk_on(g->walk, GQA_WALK_TEACHER, m.teacher, &place);
        if (st == GQA_OK)
            st = gqa_walk_on(g->walk, GQA_WALK_STUDENT, m.student, &place);
    }
    gqa_masters_free(m.masters);
    gqa_layer_free(m.student);
    gqa_layer_free(m.teacher);
    return st;
}

static enum gqa_status run_block(struct going *g, size_t stack, size_t i)
{
    const double start_s = gqa_clock_s();
    const size_t n_left = g->n_left;
    enum gqa_status st;

    g->is_over =
        g->is_over || (g->stage->until_s > 0 && start_s >= g->stage->until_s);
    if (g->is_over)
        return GQA_OK;
    st = match_and_go_on(g, stack, i);
    take_times(g, gqa_clock_s() - start_s, n_left - g->n_left);
    return st;
}

/* --- All of them ---------------------------------------------------------- */

/* A part that both only run through, one after the other. */
static enum gqa_status run_part(struct going *g,
                                const struct gqa_layer_place *place)
{
    enum gqa_status st = GQA_OK;

    for (int who = 0; who < GQA_N_WALKERS && st == GQA_OK; who++) {
        struct gqa_layer *layer = NULL;

        st = gqa_walk_load(&layer, g->walk, (enum gqa_walker)who, place, NULL);
        if (st == GQA_OK)
            st = gqa_walk_on(g->walk, (enum gqa_walker)who, layer, place);
        gqa_layer_free(layer);
    }
    return st;
}

static enum gqa_status run_stack(struct going *g, size_t stack)
{
    const struct gqa_layer_place embedding = {.part = GQA_LAYER_EMBEDDING,
                                              .stack = stack};
    const struct gqa_layer_place norm = {.part = GQA_LAYER_FINAL_NORM,
                                         .stack = stack};
    enum gqa_status st = run_part(g, &embedding);

    for (size_t i = 0; i < g->network->stacks[stack].n_blocks && st == GQA_OK;
         i++)
        st = run_block(g, stack, i);
    return st == GQA_OK && stack + 1 < g->network->n_stacks && !g->is_over
               ? run_part(g, &norm)
               : st;
}

/* Those of which something is trained. */
static size_t count_attentions(const struct going *g)
{
    const struct gqa_model *model = g->network->model;
    const bool *trained = g->stage->trained;
    size_t n = 0;

    for (size_t i = 0; i < g->network->n_stacks; i++)
        for (size_t j = 0; j < g->network->stacks[i].n_blocks; j++) {
            const struct gqa_block *b = &g->network->stacks[i].blocks[j];

            memset(g->block, 0, model->n_params * sizeof *g->block);
            n += gqa_match_mark(g->block, model, &b->self, trained) > 0;
            n += b->has_cross &&
                 gqa_match_mark(g->block, model, &b->cross, trained) > 0;
        }
    return n;
}

/* Values are those of the attentions that were taken up. */
static enum gqa_status end_early(const struct going *g, enum gqa_status st)
{
    if (st == GQA_ERR_INTERRUPTED && gqa_interrupt_is_late())
        st = GQA_OK;
    if (st == GQA_OK && g->n_left > 0)
        gqa_info("no time is left: %zu attention%s left as %s", g->n_left,
                 g->n_left == 1 ? " is" : "s are",
                 g->n_left == 1 ? "it was" : "they were");
    return st;
}

enum gqa_status gqa_layerwise_run(const struct gqa_layerwise *stage,
                                  struct gqa_history *history, void *values)
{
    const struct gqa_network *network = stage->pair->student.network;
    const size_t n_params = network->model->n_params;
    const struct gqa_walk_options options = {.batch = stage->batch,
                                             .length = stage->length,
                                             .tokens = stage->tokens,
                                             .held_out = stage->held_out};
    struct going g = {.stage = stage,
                      .network = network,
                      .history = history,
                      .values = values};
    enum gqa_status st;

    g.block = calloc(n_params + 1, sizeof *g.block);
    g.attention = calloc(n_params + 1, sizeof *g.attention);
    for (size_t i = 0; i < network->n_stacks; i++)
        g.n_blocks += network->stacks[i].n_blocks;
    gqa_progress_phase(stage->bar, "matching layers", GQA_PROGRESS_TOKENS);
    st = g.block && g.attention
             ? gqa_walk_create(&g.walk, stage->device, stage->pair, &options)
             : gqa_fail_nomem();
    if (st == GQA_OK)
        g.n_left = count_attentions(&g);
    for (size_t i = 0; i < network->n_stacks && st == GQA_OK && !g.is_over; i++)
        st = run_stack(&g, i);
    st = end_early(&g, st);
    gqa_walk_free(g.walk);
    free(g.block);
    free(g.attention);
    return st;
}
