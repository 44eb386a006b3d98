#include "runtime/data/drawing.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/random.h"

/* An input has sentinels beside the text. */
enum { BESIDE_TEXT = 128 };

bool gqa_belongs_to_text(const struct gqa_token_rules *rules, uint64_t token)
{
    const int64_t t = (int64_t)token;

    return t != rules->start_token && t != rules->end_token &&
           t != rules->pad_token;
}

/* --- Life ----------------------------------------------------------------- */

enum gqa_status gqa_drawing_init(struct gqa_drawing *out,
                                 const struct gqa_runtime *runtime,
                                 const struct gqa_token_rules *rules,
                                 const struct gqa_sample_options *options)
{
    *out = (struct gqa_drawing){
        .rules = *rules,
        .options = options,
        .at_a_time = gqa_session_n_drawn(runtime, options->length,
                                         options->length + BESIDE_TEXT),
    };
    out->keys = calloc(out->at_a_time, sizeof *out->keys);
    return out->keys ? GQA_OK : gqa_fail_nomem();
}

void gqa_drawing_clear(struct gqa_drawing *d)
{
    free(d->keys);
    d->keys = NULL;
}

uint64_t gqa_drawing_batch_size(const struct gqa_drawing *d, uint64_t left)
{
    return gqa_min_u64(left, d->at_a_time);
}

void gqa_drawing_start(struct gqa_drawing *d, const char *round, uint64_t first)
{
    d->first = first;
    for (uint64_t s = 0; s < d->at_a_time; s++)
        d->keys[s] = gqa_random_key(d->options->seed, round, first + s);
}

enum gqa_status gqa_drawn_init(struct gqa_drawn *out,
                               const struct gqa_drawing *d, uint64_t length)
{
    uint64_t n_bytes;

    *out = (struct gqa_drawn){.width = 0};
    if (!gqa_add_u64(length, 1, &out->width) ||
        !gqa_mul_u64(out->width, d->at_a_time * sizeof *out->ids, &n_bytes) ||
        n_bytes > SIZE_MAX)
        return gqa_fail_nomem();
    out->ids = malloc(n_bytes);
    out->n = calloc(d->at_a_time, sizeof *out->n);
    return out->ids && out->n ? GQA_OK : gqa_fail_nomem();
}

void gqa_drawn_clear(struct gqa_drawn *drawn)
{
    free(drawn->ids);
    free(drawn->n);
    *drawn = (struct gqa_drawn){.width = 0};
}

int64_t *gqa_drawn_row(const struct gqa_drawn *drawn, uint64_t s)
{
    return drawn->ids + s * drawn->width;
}

/* --- Batches -------------------------------------------------------------- */

/* Inputs of a batch of unequal sequences, padded to the longest. */
static enum gqa_status encode_rows(struct gqa_session *session,
                                   const struct gqa_sequence *sequences,
                                   uint64_t n, uint64_t width, int32_t pad)
{
    int32_t *ids = calloc(n * width + 1, sizeof *ids);
    uint64_t *lengths = calloc(n + 1, sizeof *lengths);
    enum gqa_status st = ids && lengths ? GQA_OK : gqa_fail_nomem();

    for (uint64_t s = 0; s < n && st == GQA_OK; s++) {
        lengths[s] = sequences[s].n_encoder;
        for (uint64_t i = 0; i < width; i++)
            ids[s * width + i] = i < lengths[s] ? sequences[s].encoder[i] : pad;
    }
    if (st == GQA_OK)
        st = gqa_session_encode(session, ids, width, lengths, NULL);
    free(ids);
    free(lengths);
    return st;
}

static void tell(void *ctx, uint64_t done)
{
    const struct gqa_drawing *d = ctx;

    if (d->options->progress)
        d->options->progress(d->options->progress_ctx, d->done + done, d->all);
}

/* A special token, where it may not be drawn. */
static int32_t never(const struct gqa_drawing *d, int32_t token)
{
    return d->may_end && token == d->rules.end_token ? GQA_NO_TOKEN : token;
}

/* Draw to ids, [n, length]. */
static enum gqa_status draw_rows(int32_t *ids, uint64_t *drawn,
                                 struct gqa_session *session,
                                 struct gqa_drawing *d, uint64_t n,
                                 uint64_t length)
{
    const struct gqa_token_rules *rules = &d->rules;
    const double heat = d->options->temperature;
    const struct gqa_draw draw = {
        .op = {.temperature = heat > 0 ? heat : 1,
               .top_k = d->options->top_k,
               .never = {never(d, rules->start_token),
                         never(d, rules->end_token), never(d, rules->pad_token),
                         GQA_NO_TOKEN}},
        .start = rules->start_token,
        .end = d->may_end ? rules->end_token : GQA_NO_TOKEN,
        .keys = d->keys,
        .length = length,
        .progress = tell,
        .progress_ctx = d};
    const enum gqa_status st = gqa_session_draw(session, ids, drawn, &draw);

    d->done += n * length;
    return st;
}

/* A session whose messages call the sequences what we do. */
static enum gqa_status open_session(struct gqa_session **out,
                                    struct gqa_runtime *runtime,
                                    const struct gqa_drawing *d, uint64_t n,
                                    uint64_t length, uint64_t width)
{
    uint64_t *numbers = calloc(n, sizeof *numbers);
    enum gqa_status st;

    if (!numbers)
        return gqa_fail_nomem();
    for (uint64_t s = 0; s < n; s++)
        numbers[s] = d->first + s;
    st = gqa_session_create(out, runtime, n, length, width);
    if (st == GQA_OK)
        st = gqa_session_begin(*out, n, length, width, numbers);
    free(numbers);
    return st;
}

enum gqa_status gqa_drawing_run(struct gqa_drawn *out,
                                struct gqa_runtime *runtime,
                                struct gqa_drawing *d,
                                const struct gqa_sequence *inputs, uint64_t n,
                                uint64_t length)
{
    const int32_t pad = d->rules.pad_token < 0 ? 0 : d->rules.pad_token;
    int32_t *ids = calloc(n * length + 1, sizeof *ids);
    struct gqa_session *session = NULL;
    enum gqa_status st = ids ? GQA_OK : gqa_fail_nomem();
    uint64_t width = 0;

    for (uint64_t s = 0; inputs && s < n; s++)
        width = gqa_max_u64(width, inputs[s].n_encoder);
    if (st == GQA_OK)
        st = open_session(&session, runtime, d, n, length, width);
    if (st == GQA_OK && inputs)
        st = encode_rows(session, inputs, n, width, pad);
    if (st == GQA_OK)
        st = draw_rows(ids, out->n, session, d, n, length);
    for (uint64_t s = 0; s < n && st == GQA_OK; s++) {
        int64_t *row = gqa_drawn_row(out, s);

        row[0] = d->rules.start_token;
        for (uint64_t i = 0; i < out->n[s]; i++)
            row[i + 1] = ids[s * length + i];
    }
    gqa_session_free(session);
    free(ids);
    return st;
}

void gqa_random_input(int64_t *ids, uint64_t length,
                      const struct gqa_token_rules *rules, uint64_t key)
{
    for (uint64_t i = 0, counter = 0; i < length; counter++) {
        const double at = gqa_random_uniform(key, counter);
        const uint64_t token = (uint64_t)(at * (double)rules->vocab_size);

        /* A vocabulary of special tokens alone must not hang. */
        if (token < rules->vocab_size &&
            (gqa_belongs_to_text(rules, token) || rules->vocab_size <= 3))
            ids[i++] = (int64_t)token;
    }
}
