#include "uptrain/walk.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "runtime/streams.h"
#include "uptrain/batch.h"

/* Streams of one model that are kept in memory; more go to a file. */
#define HOST_BYTES (UINT64_C(1) << 32)

struct batch {
    size_t first, n;  /* of `sequences` */
    uint64_t row[2];  /* of the streams, by stack */
    uint64_t rows[2]; /* padding included */
    uint64_t tokens[2];
};

struct gqa_walk {
    const struct gqa_train_device *device;
    struct gqa_pair *pair;
    uint64_t batch, length;
    const struct gqa_sequence **sequences;
    struct batch *batches;
    size_t n, n_trained_on;
    struct gqa_train_batch room; /* the batch that was filled last */
    struct gqa_streams *streams[GQA_N_WALKERS];
};

static const struct gqa_network *network_of(const struct gqa_walk *w,
                                            enum gqa_walker who)
{
    return who == GQA_WALK_TEACHER ? w->pair->teacher.network
                                   : w->pair->student.network;
}

/* --- Life ----------------------------------------------------------------- */

static void fill(struct gqa_walk *w, size_t b)
{
    gqa_train_batch_fill(&w->room, w->sequences + w->batches[b].first,
                         w->batches[b].n,
                         (int32_t)w->pair->teacher.network->start_token, 1);
}

static void add_batches(struct gqa_walk *w, const struct gqa_tokens *tokens,
                        size_t *n_sequences)
{
    for (size_t i = 0; i < tokens->n; i += w->batch) {
        struct batch *b = &w->batches[w->n++];

        b->first = *n_sequences;
        b->n = (size_t)gqa_min_u64(w->batch, tokens->n - i);
        for (size_t k = 0; k < b->n; k++)
            w->sequences[(*n_sequences)++] = &tokens->sequences[i + k];
    }
}

/* *n_rows: of all batches, and the most of one. */
static enum gqa_status lay_out(struct gqa_walk *w, uint64_t *n_rows,
                               uint64_t *most)
{
    const size_t n_stacks = w->pair->teacher.network->n_stacks;

    *n_rows = *most = 0;
    for (size_t b = 0; b < w->n; b++) {
        struct batch *batch = &w->batches[b];

        fill(w, b);
        for (size_t s = 0; s < n_stacks; s++) {
            const bool encoder = s + 1 < n_stacks;

            batch->row[s] = *n_rows;
            batch->rows[s] = batch->n * (encoder ? w->room.tape.encoder_length
                                                 : w->room.tape.length);
            for (size_t i = 0; i < batch->n; i++)
                batch->tokens[s] +=
                    encoder ? w->room.n_encoder[i] : w->room.n_decoder[i];
            *most = gqa_max_u64(*most, batch->rows[s]);
            if (!gqa_add_u64(*n_rows, batch->rows[s], n_rows))
                return gqa_fail_nomem();
        }
    }
    return GQA_OK;
}

static enum gqa_status create_streams(struct gqa_walk *w)
{
    const uint64_t row_bytes = gqa_network_row_width(w->pair->teacher.network) *
                               gqa_dtype_bits(w->device->info.real) / 8;
    uint64_t n_rows, most;
    enum gqa_status st = lay_out(w, &n_rows, &most);

    for (int i = 0; i < GQA_N_WALKERS && st == GQA_OK; i++)
        st = gqa_streams_create(&w->streams[i], w->device->backend,
                                w->device->device, n_rows, row_bytes, most,
                                HOST_BYTES);
    return st;
}

enum gqa_status gqa_walk_create(struct gqa_walk **out,
                                const struct gqa_train_device *device,
                                struct gqa_pair *pair,
                                const struct gqa_walk_options *o)
{
    const size_t n = o->tokens->n + o->held_out->n;
    struct gqa_walk *w = calloc(1, sizeof *w);
    size_t n_sequences = 0;
    enum gqa_status st;

    if (!w)
        return gqa_fail_nomem();
    w->device = device;
    w->pair = pair;
    w->batch = o->batch;
    w->length = o->length;
    w->sequences = calloc(n + 1, sizeof *w->sequences);
    w->batches = calloc(n + 1, sizeof *w->batches);
    st = w->sequences && w->batches
             ? gqa_train_batch_create(&w->room, o->batch, o->length)
             : gqa_fail_nomem();
    if (st == GQA_OK) {
        add_batches(w, o->tokens, &n_sequences);
        w->n_trained_on = w->n;
        add_batches(w, o->held_out, &n_sequences);
        st = create_streams(w);
    }
    if (st == GQA_OK)
        *out = w;
    else
        gqa_walk_free(w);
    return st;
}

void gqa_walk_free(struct gqa_walk *w)
{
    if (!w)
        return;
    for (int i = 0; i < GQA_N_WALKERS; i++)
        gqa_streams_free(w->streams[i]);
    gqa_train_batch_clear(&w->room);
    free(w->sequences);
    free(w->batches);
    free(w);
}

size_t gqa_walk_n_batches(const struct gqa_walk *w)
{
    return w->n;
}

size_t gqa_walk_n_trained_on(const struct gqa_walk *w)
{
    return w->n_trained_on;
}

uint64_t gqa_walk_n_tokens(const struct gqa_walk *w, size_t batch, size_t stack)
{
    return w->batches[batch].tokens[stack];
}

/* --- Layers --------------------------------------------------------------- */

enum gqa_status gqa_walk_load(struct gqa_layer **out, struct gqa_walk *w,
                              enum gqa_walker who,
                              const struct gqa_layer_place *place,
                              const bool *trained)
{
    const struct gqa_network *network = network_of(w, who);
    const struct gqa_weight_source source = gqa_checkpoint_weight_source(
        who == GQA_WALK_TEACHER ? &w->pair->teacher.weights
                                : &w->pair->student.weights);
    const struct gqa_tape_options options = {
        .n_sequences = w->batch,
        .length = w->length,
        .encoder_length = network->n_stacks > 1 ? w->length : 0,
        .trained = trained};

    return gqa_layer_create(out, network, w->device->backend, w->device->device,
                            &source, place, &options);
}

enum gqa_status gqa_walk_feed(struct gqa_walk *w, enum gqa_walker who,
                              struct gqa_layer *layer,
                              const struct gqa_layer_place *place, size_t batch)
{
    const struct batch *b = &w->batches[batch];
    void *memory;
    enum gqa_status st;

    fill(w, batch);
    st = gqa_layer_begin(layer, &w->room.tape);
    if (st == GQA_OK && place->part != GQA_LAYER_EMBEDDING)
        st = gqa_streams_load(w->streams[who], b->row[place->stack],
                              b->rows[place->stack], gqa_layer_in(layer));
    memory = gqa_layer_memory(layer);
    return st == GQA_OK && memory ? gqa_streams_load(w->streams[who], b->row[0],
                                                     b->rows[0], memory)
                                  : st;
}

enum gqa_status gqa_walk_on(struct gqa_walk *w, enum gqa_walker who,
                            struct gqa_layer *layer,
                            const struct gqa_layer_place *place)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < w->n && st == GQA_OK; i++) {
        const struct batch *b = &w->batches[i];
        void *out = NULL;

        st = gqa_walk_feed(w, who, layer, place, i);
        if (st == GQA_OK)
            st = gqa_layer_run(layer, &out);
        if (st == GQA_OK)
            st = gqa_streams_save(w->streams[who], b->row[place->stack],
                                  b->rows[place->stack], out);
    }
    return st;
}
