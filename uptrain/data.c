#include "uptrain/data.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/log.h"
#include "common/random.h"
#include "runtime/data/sample.h"
#include "uptrain/data_file.h"
#include "uptrain/order.h"
#include "uptrain/ranks_tokens.h"

/* Drawn at a time, at least. */
enum { BLOCK = 64, N_BLOCKS = 2 };

/* Sequences that the teacher draws, block by block. */
struct own {
    struct gqa_tokens *blocks; /* [n_blocks] */
    uint64_t *numbers;         /* of the block that is there, from 1; 0: none */
    uint64_t n_blocks;
    uint64_t block; /* sequences of each */
    uint64_t n;     /* of all that there will be */
};

struct source {
    const struct gqa_data_item *item;
    struct gqa_tokens tokens; /* of a file */
    struct gqa_data_file file;
    struct gqa_order order;
    struct own own;
    uint64_t n_seen; /* before `next_step` */
};

struct gqa_data {
    struct gqa_data_options options;
    struct gqa_runtime *teacher;
    const struct gqa_network *network;
    struct gqa_progress *bar;
    struct source *sources;
    size_t n;
    double *shares;
    uint64_t next_step; /* that the counts are of */
    struct gqa_tokens held_out;
};

/* --- The teacher's own ---------------------------------------------------- */

static enum gqa_status draw(struct gqa_tokens *out, const struct gqa_data *d,
                            const char *what, uint64_t first, uint64_t n)
{
    const struct gqa_sample_options options = {
        .n = n,
        .length = d->options.length,
        .seed = gqa_random_key(d->options.seed, what, 0),
        .first = first,
        .grows_text = true,
        .temperature = d->options.temperature,
        .top_k = d->options.top_k,
        .progress = gqa_progress_update,
        .progress_ctx = d->bar};

    gqa_progress_phase(d->bar, "drawing sequences", GQA_PROGRESS_TOKENS);
    return gqa_sample(out, d->teacher, d->network, &options);
}

/* Of each block; *n_blocks: of these. */
static uint64_t cut_own(uint64_t *n_blocks, uint64_t n_own, uint64_t batch,
                        uint64_t n_drawn, unsigned n_ranks)
{
    uint64_t block = gqa_max_u64(gqa_max_u64(BLOCK, batch), n_drawn);

    *n_blocks = (uint64_t)N_BLOCKS * n_ranks;
    if (n_own > 0) {
        block = gqa_min_u64(block, n_own);
        *n_blocks = (n_own + block - 1) / block;
    }
    return block;
}

uint64_t gqa_data_own_at_once(uint64_t n_own, uint64_t batch, uint64_t n_drawn,
                              unsigned n_ranks)
{
    uint64_t n_blocks;
    const uint64_t block = cut_own(&n_blocks, n_own, batch, n_drawn, n_ranks);

    return block * n_blocks;
}

static enum gqa_status own_create(struct own *own, const struct gqa_data *d)
{
    uint64_t n_drawn =
        gqa_session_n_drawn(d->teacher, d->options.length, d->options.length);
    enum gqa_status st;

    /* It follows from memory, which others may have less of. */
    st = gqa_ranks_tell(d->options.ranks, 0, &n_drawn, sizeof n_drawn);
    if (st != GQA_OK)
        return st;
    own->n = d->options.n_own;
    if (own->n == 0 &&
        !gqa_mul_u64(d->options.n_steps, d->options.batch, &own->n))
        own->n = UINT64_MAX;
    own->block = cut_own(&own->n_blocks, d->options.n_own, d->options.batch,
                         n_drawn, gqa_ranks_n(d->options.ranks));
    own->blocks = calloc(own->n_blocks, sizeof *own->blocks);
    own->numbers = calloc(own->n_blocks, sizeof *own->numbers);
    return own->blocks && own->numbers ? GQA_OK : gqa_fail_nomem();
}

/*
 * A round: as many blocks as there are ranks, each drawn by one of them as it
 * would be by one alone, and given to the others.
 */
static enum gqa_status draw_round(struct own *own, const struct gqa_data *d,
                                  uint64_t number)
{
    struct gqa_ranks *ranks = d->options.ranks;
    const unsigned n = gqa_ranks_n(ranks);
    const uint64_t first = number - number % n;
    const uint64_t end = gqa_min_u64(first + n, (own->n - 1) / own->block + 1);
    const uint64_t mine = first + gqa_ranks_rank(ranks);
    enum gqa_status st = GQA_OK;

    for (uint64_t i = first; i < end; i++) {
        gqa_tokens_clear(&own->blocks[i % own->n_blocks]);
        own->numbers[i % own->n_blocks] = 0;
    }
    if (mine < end)
        st = draw(&own->blocks[mine % own->n_blocks], d, "own",
                  mine * own->block,
                  gqa_min_u64(own->block, own->n - mine * own->block));
    st = gqa_ranks_agree(ranks, st);
    for (uint64_t i = first; i < end && st == GQA_OK; i++) {
        st = gqa_ranks_tell_tokens(ranks, (unsigned)(i - first),
                                   &own->blocks[i % own->n_blocks]);
        if (st == GQA_OK)
            own->numbers[i % own->n_blocks] = i + 1;
    }
    return st;
}

static enum gqa_status own_at(const struct gqa_sequence **out, struct own *own,
                              const struct gqa_data *d, uint64_t index)
{
    const uint64_t number = index / own->block;
    const uint64_t at = number % own->n_blocks;
    enum gqa_status st;

    if (own->numbers[at] != number + 1 &&
        (st = draw_round(own, d, number)) != GQA_OK)
        return st;
    *out = &own->blocks[at].sequences[index % own->block];
    return GQA_OK;
}

/* --- All of them ---------------------------------------------------------- */

static bool is_own(const struct source *s)
{
    return s->item->kind == GQA_DATA_SELF;
}

/* By the first rank, which alone may have it. */
static enum gqa_status read_file(struct gqa_data *d, struct source *s)
{
    struct gqa_ranks *ranks = d->options.ranks;
    enum gqa_status st = GQA_OK;

    if (gqa_ranks_is_first(ranks))
        st = gqa_data_file_read(&s->tokens, s->file.digest, s->item, d->teacher,
                                d->network, d->options.length, d->options.seed);
    st = gqa_ranks_agree(ranks, st);
    if (st == GQA_OK)
        st = gqa_ranks_tell(ranks, 0, s->file.digest, sizeof s->file.digest);
    return st == GQA_OK ? gqa_ranks_tell_tokens(ranks, 0, &s->tokens) : st;
}

static enum gqa_status open_source(struct gqa_data *d, struct source *s,
                                   uint64_t n_held_out)
{
    const uint64_t key =
        gqa_random_key(d->options.seed, "order", (uint64_t)(s - d->sources));
    enum gqa_status st;

    if (is_own(s)) {
        /* Of so many, seen again and again. */
        gqa_order_init(&s->order, key, d->options.n_own);
        st = own_create(&s->own, d);
        if (st == GQA_OK && n_held_out > 0) {
            struct gqa_tokens drawn = {NULL, 0};

            if (gqa_ranks_is_first(d->options.ranks))
                st = draw(&drawn, d, "held out", 0, n_held_out);
            st = gqa_ranks_agree(d->options.ranks, st);
            if (st == GQA_OK)
                st = gqa_ranks_tell_tokens(d->options.ranks, 0, &drawn);
            if (st == GQA_OK)
                st = gqa_tokens_move(&d->held_out, &drawn);
            gqa_tokens_clear(&drawn);
        }
        return st;
    }
    st = read_file(d, s);
    if (st == GQA_OK)
        st = gqa_data_hold_out(&d->held_out, &s->file.n_held_out, &s->tokens,
                               n_held_out);
    s->file.item = s->item;
    s->file.n_sequences = s->tokens.n;
    if (st == GQA_OK)
        gqa_order_init(&s->order, key, s->tokens.n);
    return st;
}

enum gqa_status gqa_data_create(struct gqa_data **out,
                                const struct gqa_data_options *options,
                                struct gqa_runtime *teacher,
                                const struct gqa_network *network,
                                struct gqa_progress *bar)
{
    struct gqa_data *d = calloc(1, sizeof *d);
    double all = 0;
    enum gqa_status st = GQA_OK;

    if (!d)
        return gqa_fail_nomem();
    d->options = *options;
    d->teacher = teacher;
    d->network = network;
    d->bar = bar;
    d->n = options->list->n;
    d->sources = calloc(d->n, sizeof *d->sources);
    d->shares = calloc(d->n, sizeof *d->shares);
    if (!d->sources || !d->shares) {
        gqa_data_free(d);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < d->n; i++) {
        d->sources[i].item = &options->list->items[i];
        all += d->shares[i] = options->list->items[i].share;
    }
    for (size_t i = 0; i < d->n && st == GQA_OK; i++) {
        const double n = (double)options->n_held_out * d->shares[i] / all + 0.5;

        st = open_source(d, &d->sources[i], gqa_max_u64((uint64_t)n, 1));
    }
    if (st != GQA_OK) {
        gqa_data_free(d);
        return st;
    }
    *out = d;
    return GQA_OK;
}

void gqa_data_free(struct gqa_data *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->sources && i < d->n; i++) {
        struct source *s = &d->sources[i];

        for (uint64_t k = 0; s->own.blocks && k < s->own.n_blocks; k++)
            gqa_tokens_clear(&s->own.blocks[k]);
        free(s->own.blocks);
        free(s->own.numbers);
        gqa_tokens_clear(&s->tokens);
        gqa_order_clear(&s->order);
    }
    free(d->sources);
    free(d->shares);
    gqa_tokens_clear(&d->held_out);
    free(d);
}

static struct source *choose(const struct gqa_data *d, uint64_t slot)
{
    return &d->sources[gqa_order_choose(
        gqa_random_key(d->options.seed, "mix", 0), slot, d->shares, d->n)];
}

/* What was seen of each source before a step. */
static void count_to(struct gqa_data *d, uint64_t step)
{
    if (step < d->next_step) {
        d->next_step = 0;
        for (size_t i = 0; i < d->n; i++)
            d->sources[i].n_seen = 0;
    }
    for (; d->next_step < step; d->next_step++)
        for (uint64_t i = 0; i < d->options.batch; i++)
            choose(d, d->next_step * d->options.batch + i)->n_seen++;
}

enum gqa_status gqa_data_step(struct gqa_data *d, uint64_t step,
                              const struct gqa_sequence **out)
{
    enum gqa_status st = GQA_OK;

    assert(step < d->options.n_steps);
    count_to(d, step);
    for (uint64_t i = 0; i < d->options.batch && st == GQA_OK; i++) {
        struct source *s = choose(d, step * d->options.batch + i);
        uint64_t at = s->n_seen++;

        if (s->order.n > 0)
            st = gqa_order_at(&at, &s->order, at);
        if (st != GQA_OK)
            break;
        if (is_own(s))
            st = own_at(&out[i], &s->own, d, at);
        else
            out[i] = &s->tokens.sequences[at];
    }
    d->next_step = step + 1;
    return st;
}

enum gqa_status gqa_data_take(struct gqa_data *d, struct gqa_tokens *tokens,
                              uint64_t n)
{
    const uint64_t batch = d->options.batch;
    const struct gqa_sequence **sequences = calloc(batch, sizeof *sequences);
    enum gqa_status st = sequences ? GQA_OK : gqa_fail_nomem();

    for (uint64_t step = 0; step < n && st == GQA_OK; step++) {
        st = gqa_data_step(d, step, sequences);
        for (uint64_t i = 0; i < batch && st == GQA_OK; i++)
            st = gqa_tokens_copy(tokens, sequences[i]);
    }
    free(sequences);
    return st;
}

const struct gqa_tokens *gqa_data_held_out(const struct gqa_data *d)
{
    return &d->held_out;
}

const struct gqa_data_file *gqa_data_file(const struct gqa_data *d, size_t item)
{
    return is_own(&d->sources[item]) ? NULL : &d->sources[item].file;
}
