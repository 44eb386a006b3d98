#include "runtime/data/gaps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/random.h"

/* Of text 15 % is cut, as in T5's training, and there are 100 sentinels. */
static const double CUT = 0.15;
enum { N_SENTINELS = 100, MAX_GAPS = N_SENTINELS - 1 };

/* Below, there would be no room for other tokens. */
enum { LOWEST_SENTINEL = 2 * N_SENTINELS };

/* A gap of one token would make an input longer than its text. */
enum { MIN_FILL = 2, MIN_LENGTH = 4 * MIN_FILL };

/* Sequences that show a habit. */
enum { N_PROBES = 16 };

struct text {
    int64_t *ids; /* [room] */
    uint64_t n;
};

/* A batch of texts, and what their gaps are filled with. */
struct growth {
    const struct gqa_gaps *gaps;
    struct gqa_drawing *drawing;
    struct gqa_runtime *runtime;
    uint64_t length, n_gaps, bound;
    struct text *texts; /* [n] */
    uint64_t n;
    int64_t *ids;   /* [n, length]: of texts */
    int64_t *input; /* [length + n_gaps + 1] */
    struct gqa_drawn outputs;
};

static bool is_sentinel(const struct gqa_gaps *gaps, int64_t token)
{
    return token <= gaps->sentinel && token > gaps->sentinel - N_SENTINELS;
}

/* Random tokens, and no sentinels: as many tokens come before them. */
static void make_noise(int64_t *ids, uint64_t n, const struct gqa_gaps *gaps,
                       const struct gqa_token_rules *rules, uint64_t key)
{
    gqa_random_input(ids, n, rules, key);
    for (uint64_t i = 0; i < n; i++)
        if (is_sentinel(gaps, ids[i]))
            ids[i] -= N_SENTINELS;
}

static uint64_t n_gaps_of(const struct gqa_gaps *gaps, uint64_t length)
{
    const double n = CUT * (double)length / (double)gaps->length + 0.5;

    return n < 1 ? 1 : n > MAX_GAPS ? MAX_GAPS : (uint64_t)n;
}

/* No fill is taken that is longer than two. */
static uint64_t bound_of(const struct gqa_gaps *gaps, uint64_t length)
{
    return n_gaps_of(gaps, length) * (2 * gaps->length + 1) + 1;
}

/* Until gaps have been everywhere in their parts. */
static uint64_t rounds_of(const struct gqa_gaps *gaps, uint64_t length)
{
    const uint64_t n_gaps = n_gaps_of(gaps, length);
    const uint64_t part = (length + n_gaps - 1) / n_gaps;

    return (part + gaps->length - 1) / gaps->length;
}

uint64_t gqa_gaps_cost(const struct gqa_gaps *gaps,
                       const struct gqa_sample_options *options)
{
    return options->n * rounds_of(gaps, options->length) *
           bound_of(gaps, options->length);
}

/* --- Where gaps are ------------------------------------------------------- */

struct gap {
    uint64_t begin, end;
};

/* Gap g of a text, at a share of the way through its part. A text that has
 * become short gives less away. */
static struct gap gap_at(const struct growth *w, const struct text *text,
                         uint64_t g, double share)
{
    const uint64_t from = text->n * g / w->n_gaps;
    const uint64_t to = text->n * (g + 1) / w->n_gaps;
    const uint64_t missing = (w->length - text->n) / w->n_gaps;
    const uint64_t length = gqa_min_u64(
        w->gaps->length - gqa_min_u64(w->gaps->length, missing), to - from);
    const uint64_t begin =
        from + (uint64_t)(share * (double)(to - from - length) + 0.5);

    return (struct gap){begin, begin + length};
}

/* Text with sentinels in the place of gaps. */
static enum gqa_status add_input(struct gqa_tokens *tokens,
                                 const struct growth *w,
                                 const struct text *text, const double *shares)
{
    const struct gqa_token_rules *rules = &w->drawing->rules;
    uint64_t n = 0, at = 0;

    for (uint64_t g = 0; g < w->n_gaps; g++) {
        const struct gap gap = gap_at(w, text, g, shares[g]);

        while (at < gap.begin)
            w->input[n++] = text->ids[at++];
        w->input[n++] = w->gaps->sentinel - (int64_t)g;
        at = gap.end;
    }
    while (at < text->n)
        w->input[n++] = text->ids[at++];
    if (rules->end_token != GQA_NO_TOKEN)
        w->input[n++] = rules->end_token;
    return gqa_tokens_add(tokens, rules, w->input, n, NULL, 0);
}

/* --- What they are filled with -------------------------------------------- */

/* What an output says of gap g, without what is not text: from *begin. False:
 * nothing. */
static bool find_fill(uint64_t *begin, uint64_t *n, const struct gqa_gaps *gaps,
                      uint64_t g, const int64_t *output, uint64_t n_output)
{
    uint64_t at = 0;

    while (at < n_output && output[at] != gaps->sentinel - (int64_t)g)
        at++;
    if (at == n_output)
        return false;
    *begin = at + 1;
    for (*n = 0; *begin + *n < n_output; (*n)++)
        if (is_sentinel(gaps, output[*begin + *n]))
            break;
    return true;
}

/* input: room. */
static void fill(struct growth *w, struct text *text, const double *shares,
                 const int64_t *output, uint64_t n_output)
{
    uint64_t n = 0, at = 0;

    for (uint64_t g = 0; g < w->n_gaps; g++) {
        const struct gap gap = gap_at(w, text, g, shares[g]);
        uint64_t begin = 0, n_fill = 0;

        while (at < gap.begin && n < w->length)
            w->input[n++] = text->ids[at++];
        if (!find_fill(&begin, &n_fill, w->gaps, g, output, n_output))
            continue; /* it stays what it was */
        n_fill = gqa_min_u64(n_fill, 2 * w->gaps->length);
        for (uint64_t i = 0; i < n_fill && n < w->length; i++)
            if (gqa_belongs_to_text(&w->drawing->rules,
                                    (uint64_t)output[begin + i]))
                w->input[n++] = output[begin + i];
        at = gap.end;
    }
    while (at < text->n && n < w->length)
        w->input[n++] = text->ids[at++];
    memcpy(text->ids, w->input, n * sizeof *text->ids);
    text->n = n;
}

/* --- Rounds --------------------------------------------------------------- */

static enum gqa_status grow_round(struct growth *w, uint64_t first,
                                  uint64_t round, double share)
{
    struct gqa_tokens inputs = {NULL, 0};
    double shares[MAX_GAPS] = {0};
    enum gqa_status st = GQA_OK;
    char name[32];

    for (uint64_t g = 0; g < w->n_gaps; g++)
        shares[g] = share;
    snprintf(name, sizeof name, "gaps %llu", (unsigned long long)round);
    gqa_drawing_start(w->drawing, name, first);
    for (uint64_t s = 0; s < w->n && st == GQA_OK; s++)
        st = add_input(&inputs, w, &w->texts[s], shares);
    if (st == GQA_OK)
        st = gqa_drawing_run(&w->outputs, w->runtime, w->drawing,
                             inputs.sequences, w->n, w->bound);
    for (uint64_t s = 0; s < w->n && st == GQA_OK; s++)
        fill(w, &w->texts[s], shares, gqa_drawn_row(&w->outputs, s) + 1,
             w->outputs.n[s]);
    gqa_tokens_clear(&inputs);
    return st;
}

/* In the end gaps are anywhere. */
static enum gqa_status add_inputs(struct gqa_tokens *tokens,
                                  const struct growth *w, uint64_t first)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < w->n && st == GQA_OK; s++) {
        const uint64_t key = gqa_random_key(w->drawing->options->seed,
                                            "places of gaps", first + s);
        double shares[MAX_GAPS] = {0};

        for (uint64_t g = 0; g < w->n_gaps; g++)
            shares[g] = gqa_random_uniform(key, g);
        st = add_input(tokens, w, &w->texts[s], shares);
    }
    return st;
}

static enum gqa_status grow_batch(struct growth *w, uint64_t first)
{
    const uint64_t n_rounds = rounds_of(w->gaps, w->length);
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < w->n; s++) {
        w->texts[s] = (struct text){w->ids + s * w->length, w->length};
        make_noise(
            w->texts[s].ids, w->length, w->gaps, &w->drawing->rules,
            gqa_random_key(w->drawing->options->seed, "input", first + s));
    }
    for (uint64_t r = 0; r < n_rounds && st == GQA_OK; r++)
        st =
            grow_round(w, first, r,
                       n_rounds > 1 ? (double)r / (double)(n_rounds - 1) : 0.5);
    return st;
}

/* End it also after an error. */
static enum gqa_status growth_start(struct growth *w)
{
    w->length = w->drawing->options->length;
    w->n_gaps = n_gaps_of(w->gaps, w->length);
    w->bound = bound_of(w->gaps, w->length);
    w->input = calloc(w->length + w->n_gaps + 1, sizeof *w->input);
    w->texts = calloc(w->drawing->at_a_time, sizeof *w->texts);
    w->ids = calloc(w->length * w->drawing->at_a_time, sizeof *w->ids);
    if (!w->input || !w->ids || !w->texts)
        return gqa_fail_nomem();
    return gqa_drawn_init(&w->outputs, w->drawing, w->bound);
}

static void growth_end(struct growth *w)
{
    free(w->input);
    free(w->ids);
    free(w->texts);
    gqa_drawn_clear(&w->outputs);
}

enum gqa_status gqa_gaps_grow(struct gqa_tokens *tokens,
                              struct gqa_runtime *runtime,
                              struct gqa_drawing *drawing,
                              const struct gqa_gaps *gaps)
{
    const uint64_t n = drawing->options->n, first = drawing->options->first;
    struct growth w = {.gaps = gaps, .drawing = drawing, .runtime = runtime};
    enum gqa_status st = growth_start(&w);

    drawing->may_end = true;
    for (uint64_t i = 0; i < n && st == GQA_OK; i += w.n) {
        w.n = gqa_drawing_batch_size(drawing, n - i);
        st = grow_batch(&w, first + i);
        if (st == GQA_OK)
            st = add_inputs(tokens, &w, first + i);
    }
    growth_end(&w);
    return st;
}

/* --- Whether a model does ------------------------------------------------- */

/* Draw outputs of noise; gaps: with two of them, NULL: with none. */
static enum gqa_status probe(struct gqa_drawn *outputs,
                             struct gqa_runtime *runtime, struct gqa_drawing *d,
                             const struct gqa_gaps *gaps, uint64_t bound)
{
    const uint64_t length = d->options->length;
    int64_t *ids = calloc(length, sizeof *ids);
    struct gqa_tokens noise = {NULL, 0};
    enum gqa_status st = ids ? GQA_OK : gqa_fail_nomem();

    for (uint64_t s = 0; s < N_PROBES && st == GQA_OK; s++) {
        const uint64_t key = gqa_random_key(d->options->seed, "probe", s);

        if (gaps) {
            make_noise(ids, length, gaps, &d->rules, key);
            ids[length / 3] = gaps->sentinel;
            ids[2 * length / 3] = gaps->sentinel - 1;
        } else {
            gqa_random_input(ids, length, &d->rules, key);
        }
        st = gqa_tokens_add(&noise, &d->rules, ids, length, NULL, 0);
    }
    gqa_drawing_start(d, "probe of gaps", 0);
    if (st == GQA_OK)
        st = gqa_drawing_run(outputs, runtime, d, noise.sequences, N_PROBES,
                             bound);
    gqa_tokens_clear(&noise);
    free(ids);
    return st;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The median of how much of a first gap is filled, where most outputs go on
 * with a second one. */
static bool measure_fills(struct gqa_gaps *gaps,
                          const struct gqa_drawn *outputs)
{
    uint64_t lengths[N_PROBES], n = 0;

    for (uint64_t s = 0; s < N_PROBES; s++) {
        const int64_t *output = gqa_drawn_row(outputs, s) + 1;
        uint64_t begin, n_fill;

        if (find_fill(&begin, &n_fill, gaps, 0, output, outputs->n[s]) &&
            begin == 1 && begin + n_fill < outputs->n[s] &&
            output[begin + n_fill] == gaps->sentinel - 1)
            lengths[n++] = n_fill;
    }
    if (n <= N_PROBES / 2)
        return false;
    qsort(lengths, n, sizeof *lengths, compare);
    gaps->length = gqa_max_u64(lengths[n / 2], MIN_FILL);
    return true;
}

/* The token that all outputs of one token are; -1: they differ. */
static int64_t common_start(const struct gqa_drawn *outputs)
{
    const int64_t token = gqa_drawn_row(outputs, 0)[1];

    for (uint64_t s = 1; s < N_PROBES; s++)
        if (gqa_drawn_row(outputs, s)[1] != token)
            return -1;
    return token;
}

/* outputs: room for half as many tokens as a sequence has. */
static enum gqa_status find(bool *found, struct gqa_gaps *gaps,
                            struct gqa_drawn *outputs,
                            struct gqa_runtime *runtime, struct gqa_drawing *d)
{
    /* Room for one that is filled with a quarter, and to see what follows. */
    const uint64_t bound = d->options->length / 2;
    enum gqa_status st = probe(outputs, runtime, d, NULL, 1);

    if (st != GQA_OK)
        return st;
    gaps->sentinel = common_start(outputs);
    if (gaps->sentinel < LOWEST_SENTINEL)
        return GQA_OK;
    st = probe(outputs, runtime, d, gaps, bound);
    *found = st == GQA_OK && measure_fills(gaps, outputs) &&
             gaps->length <= d->options->length / 4;
    return st;
}

enum gqa_status gqa_gaps_find(bool *found, struct gqa_gaps *gaps,
                              struct gqa_runtime *runtime,
                              const struct gqa_drawing *drawing)
{
    struct gqa_sample_options options = *drawing->options;
    uint64_t keys[N_PROBES];
    struct gqa_drawing d = {.rules = drawing->rules,
                            .options = &options,
                            .at_a_time = N_PROBES,
                            .keys = keys,
                            .may_end = true};
    struct gqa_drawn outputs;
    enum gqa_status st;

    *found = false;
    if (options.length < MIN_LENGTH)
        return GQA_OK;
    options.progress = NULL;
    st = gqa_drawn_init(&outputs, &d, options.length / 2);
    if (st == GQA_OK)
        st = find(found, gaps, &outputs, runtime, &d);
    gqa_drawn_clear(&outputs);
    return st;
}
