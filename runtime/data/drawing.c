#include "runtime/data/drawing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/random.h"
#include "runtime/data/kth.h"

bool gqa_belongs_to_text(const struct gqa_token_rules *rules, uint64_t token)
{
    const int64_t t = (int64_t)token;

    return t != rules->start_token && t != rules->end_token &&
           t != rules->pad_token;
}

static bool may_be_drawn(const struct gqa_drawing *d, uint64_t token)
{
    return gqa_belongs_to_text(&d->rules, token) ||
           (d->may_end && (int64_t)token == d->rules.end_token);
}

/* What a token's logit must be at least, to be drawn. */
static enum gqa_status find_least(double *least, const struct gqa_drawing *d,
                                  const double *logits)
{
    const uint64_t n = d->rules.vocab_size;
    double *allowed;
    size_t n_allowed = 0;

    *least = -INFINITY;
    if (d->options->top_k == 0)
        return GQA_OK;
    allowed = calloc(n ? n : 1, sizeof *allowed);
    if (!allowed)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        if (may_be_drawn(d, i))
            allowed[n_allowed++] = logits[i];
    if (d->options->top_k < n_allowed)
        *least = gqa_kth_largest(allowed, n_allowed, (size_t)d->options->top_k);
    free(allowed);
    return GQA_OK;
}

static enum gqa_status draw(void *ctx, uint64_t s, uint64_t position,
                            uint64_t n_rows, const double *logits)
{
    struct gqa_drawing *d = ctx;
    const uint64_t n = d->rules.vocab_size;
    const double heat =
        d->options->temperature > 0 ? d->options->temperature : 1;
    double most = -INFINITY, sum = 0, left, least;
    enum gqa_status st;

    logits += (n_rows - 1) * n;
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(logits[i]))
            return gqa_fail(GQA_ERR_FORMAT,
                            "sample %llu, position %llu: the logits are not "
                            "finite, so that no token can be drawn",
                            (unsigned long long)(d->first + s),
                            (unsigned long long)position);
        if (may_be_drawn(d, i) && logits[i] > most)
            most = logits[i];
    }
    if ((st = find_least(&least, d, logits)) != GQA_OK)
        return st;
    for (uint64_t i = 0; i < n; i++)
        if (may_be_drawn(d, i) && logits[i] >= least)
            sum += exp((logits[i] - most) / heat);
    left = sum * gqa_random_uniform(d->keys[s], position + n_rows);
    for (uint64_t i = 0; i < n; i++) {
        if (!may_be_drawn(d, i) || logits[i] < least)
            continue;
        /* The last stays where rounding leaves something of `left`. */
        d->next[s] = (int32_t)i;
        if ((left -= exp((logits[i] - most) / heat)) < 0)
            break;
    }
    return GQA_OK;
}

/* outputs: [n, length + 1], receives the start token and what is drawn;
 * drawn: [n], how many. */
static enum gqa_status draw_rows(struct gqa_session *session,
                                 struct gqa_drawing *d, uint64_t n,
                                 uint64_t length, int64_t *outputs,
                                 uint64_t *drawn)
{
    const struct gqa_step_output output = {
        .ctx = d, .logits = draw, .last_only = true};
    uint64_t ones[GQA_DRAWN_AT_A_TIME]; /* 0 where a sequence has ended */
    uint64_t n_left = n;
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < n; s++) {
        ones[s] = 1;
        drawn[s] = 0;
        d->next[s] = d->rules.start_token;
        outputs[s * (length + 1)] = d->rules.start_token;
    }
    for (uint64_t i = 0; i < length && n_left > 0 && st == GQA_OK; i++) {
        int32_t fed[GQA_DRAWN_AT_A_TIME];

        memcpy(fed, d->next, sizeof fed);
        st = gqa_session_decode(session, fed, 1, ones, &output);
        for (uint64_t s = 0; s < n; s++) {
            if (ones[s] == 0)
                continue;
            outputs[s * (length + 1) + i + 1] = d->next[s];
            drawn[s]++;
            if (d->may_end && d->next[s] == d->rules.end_token) {
                ones[s] = 0;
                n_left--;
            }
        }
        d->done += n_left > 0 ? n : n * (length - i);
        if (st == GQA_OK && d->options->progress)
            d->options->progress(d->options->progress_ctx, d->done, d->all);
    }
    return st;
}

/* Inputs of a batch of unequal sequences, padded to the longest. */
static enum gqa_status encode_rows(struct gqa_session *session,
                                   const struct gqa_sequence *sequences,
                                   uint64_t n, uint64_t width, int32_t pad)
{
    int32_t *ids = calloc(n * width + 1, sizeof *ids);
    uint64_t lengths[GQA_DRAWN_AT_A_TIME];
    enum gqa_status st;

    if (!ids)
        return gqa_fail_nomem();
    for (uint64_t s = 0; s < n; s++) {
        lengths[s] = sequences[s].n_encoder;
        for (uint64_t i = 0; i < width; i++)
            ids[s * width + i] = i < lengths[s] ? sequences[s].encoder[i] : pad;
    }
    st = gqa_session_encode(session, ids, width, lengths, NULL);
    free(ids);
    return st;
}

enum gqa_status gqa_drawing_run(int64_t *outputs, uint64_t *drawn,
                                struct gqa_runtime *runtime,
                                struct gqa_drawing *d,
                                const struct gqa_sequence *inputs, uint64_t n,
                                uint64_t length)
{
    struct gqa_session *session = NULL;
    enum gqa_status st;
    uint64_t width = 0;

    for (uint64_t s = 0; inputs && s < n; s++)
        width = inputs[s].n_encoder > width ? inputs[s].n_encoder : width;
    st = gqa_session_create(&session, runtime, n, length, width);
    if (st == GQA_OK && inputs)
        st = encode_rows(session, inputs, n, width,
                         d->rules.pad_token < 0 ? 0 : d->rules.pad_token);
    if (st == GQA_OK)
        st = draw_rows(session, d, n, length, outputs, drawn);
    gqa_session_free(session);
    return st;
}

void gqa_drawing_start(struct gqa_drawing *d, const char *round, uint64_t first)
{
    d->first = first;
    for (uint64_t s = 0; s < GQA_DRAWN_AT_A_TIME; s++)
        d->keys[s] = gqa_random_key(d->options->seed, round, first + s);
}

enum gqa_status gqa_drawing_alloc(int64_t **out, uint64_t length)
{
    uint64_t n, n_bytes;

    if (!gqa_add_u64(length, 1, &n) ||
        !gqa_mul_u64(n, GQA_DRAWN_AT_A_TIME * sizeof **out, &n_bytes) ||
        n_bytes > SIZE_MAX || !(*out = malloc(n_bytes)))
        return gqa_fail_nomem();
    return GQA_OK;
}

uint64_t gqa_drawing_batch_size(uint64_t left)
{
    return left < GQA_DRAWN_AT_A_TIME ? left : GQA_DRAWN_AT_A_TIME;
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
