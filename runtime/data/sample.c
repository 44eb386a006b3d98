#include "runtime/data/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/random.h"
#include "runtime/data/kth.h"

/* Sequences drawn at a time: enough for products to be matrix by matrix. */
enum { AT_A_TIME = 16 };

struct gqa_token_rules gqa_token_rules_of(const struct gqa_network *network)
{
    return (struct gqa_token_rules){
        .vocab_size = network->vocab_size,
        .start_token = (int32_t)network->start_token,
        .end_token = (int32_t)network->end_token,
        .pad_token = (int32_t)network->pad_token,
        .is_encoder_decoder = network->n_stacks == 2,
    };
}

struct drawing {
    struct gqa_token_rules rules;
    uint64_t first; /* number of the batch's first sequence */
    uint64_t keys[AT_A_TIME];
    int32_t next[AT_A_TIME]; /* the tokens just drawn */
    bool may_end;            /* the end token may be drawn, and ends */
    const struct gqa_sample_options *options;
    uint64_t done, all; /* tokens: what progress is told */
};

/* A text is as long as it was asked for: no special token is drawn. */
static bool belongs_to_text(const struct gqa_token_rules *rules, uint64_t token)
{
    const int64_t t = (int64_t)token;

    return t != rules->start_token && t != rules->end_token &&
           t != rules->pad_token;
}

static bool may_be_drawn(const struct drawing *d, uint64_t token)
{
    return belongs_to_text(&d->rules, token) ||
           (d->may_end && (int64_t)token == d->rules.end_token);
}

/* What a token's logit must be at least, to be drawn. */
static enum gqa_status find_least(double *least, const struct drawing *d,
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
    struct drawing *d = ctx;
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
static enum gqa_status draw_rows(struct gqa_session *session, struct drawing *d,
                                 uint64_t n, uint64_t length, int64_t *outputs,
                                 uint64_t *drawn)
{
    const struct gqa_step_output output = {
        .ctx = d, .logits = draw, .last_only = true};
    uint64_t ones[AT_A_TIME]; /* 0 where a sequence has ended */
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < n; s++) {
        ones[s] = 1;
        drawn[s] = 0;
        d->next[s] = d->rules.start_token;
        outputs[s * (length + 1)] = d->rules.start_token;
    }
    for (uint64_t i = 0; i < length && st == GQA_OK; i++) {
        int32_t fed[AT_A_TIME];

        memcpy(fed, d->next, sizeof fed);
        st = gqa_session_decode(session, fed, 1, ones, &output);
        for (uint64_t s = 0; s < n; s++) {
            if (ones[s] == 0)
                continue;
            outputs[s * (length + 1) + i + 1] = d->next[s];
            drawn[s]++;
            if (d->may_end && d->next[s] == d->rules.end_token)
                ones[s] = 0;
        }
        d->done += n;
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
    uint64_t lengths[AT_A_TIME];
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

/*
 * Up to length tokens after the start token for n (up to AT_A_TIME)
 * sequences. inputs: those of the encoder, or NULL. outputs and drawn: as in
 * draw_rows().
 */
static enum gqa_status draw_batch(int64_t *outputs, uint64_t *drawn,
                                  struct gqa_runtime *runtime,
                                  struct drawing *d,
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

/* round: a name for the numbers drawn, so that rounds differ. */
static void start_batch(struct drawing *d, const char *round, uint64_t seed,
                        uint64_t first)
{
    d->first = first;
    for (uint64_t s = 0; s < AT_A_TIME; s++)
        d->keys[s] = gqa_random_key(seed, round, first + s);
}

/* The sequence's decoder is fed row[0 .. n), and should say row[1 .. n]. */
static enum gqa_status set_output(struct gqa_sequence *s, const int64_t *row,
                                  uint64_t n)
{
    s->decoder = calloc(n, sizeof *s->decoder);
    s->next = calloc(n, sizeof *s->next);
    if (!s->decoder || !s->next)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++) {
        s->decoder[i] = (int32_t)row[i];
        s->next[i] = (int32_t)row[i + 1];
    }
    s->n_decoder = n;
    s->starts = true;
    return GQA_OK;
}

static enum gqa_status outputs_alloc(int64_t **out, uint64_t length)
{
    uint64_t n, n_bytes;

    if (!gqa_add_u64(length, 1, &n) ||
        !gqa_mul_u64(n, AT_A_TIME * sizeof **out, &n_bytes) ||
        n_bytes > SIZE_MAX || !(*out = malloc(n_bytes)))
        return gqa_fail_nomem();
    return GQA_OK;
}

static uint64_t batch_size(uint64_t left)
{
    return left < AT_A_TIME ? left : AT_A_TIME;
}

/* d: with rules, options and what has been done. */
static enum gqa_status draw_outputs(struct gqa_tokens *tokens,
                                    struct gqa_runtime *runtime,
                                    struct drawing *d)
{
    const uint64_t length = d->options->length;
    uint64_t drawn[AT_A_TIME];
    int64_t *outputs = NULL;
    enum gqa_status st = outputs_alloc(&outputs, length);

    for (size_t i = 0; i < tokens->n && st == GQA_OK;) {
        const uint64_t n = batch_size(tokens->n - i);
        struct gqa_sequence *batch = tokens->sequences + i;

        start_batch(d, "output", d->options->seed, i);
        st = draw_batch(outputs, drawn, runtime, d, batch, n, length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            if (batch[s].n_decoder == 0)
                st =
                    set_output(&batch[s], outputs + s * (length + 1), drawn[s]);
        i += n;
    }
    free(outputs);
    return st;
}

enum gqa_status gqa_sample_outputs(struct gqa_tokens *tokens,
                                   struct gqa_runtime *runtime,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options)
{
    struct drawing d = {.rules = gqa_token_rules_of(network),
                        .may_end = true,
                        .options = options,
                        .all = tokens->n * options->length};

    return draw_outputs(tokens, runtime, &d);
}

/* `length` uniformly random tokens, none of the special ones. */
static void random_input(int64_t *ids, uint64_t length,
                         const struct gqa_token_rules *rules, uint64_t key)
{
    for (uint64_t i = 0, counter = 0; i < length; counter++) {
        const double at = gqa_random_uniform(key, counter);
        const uint64_t token = (uint64_t)(at * (double)rules->vocab_size);

        /* A vocabulary of special tokens alone must not hang. */
        if (token < rules->vocab_size &&
            (belongs_to_text(rules, token) || rules->vocab_size <= 3))
            ids[i++] = (int64_t)token;
    }
}

/* Encoder inputs: outputs of the model at random input. */
static enum gqa_status draw_inputs(struct gqa_tokens *tokens,
                                   struct gqa_runtime *runtime,
                                   struct drawing *d,
                                   const struct gqa_sample_options *options,
                                   int64_t *outputs)
{
    const uint64_t length = options->length;
    struct gqa_tokens noise = {NULL, 0};
    uint64_t drawn[AT_A_TIME];
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < options->n && st == GQA_OK; i++) {
        random_input(outputs, length, &d->rules,
                     gqa_random_key(options->seed, "input", i));
        st = gqa_tokens_add(&noise, &d->rules, outputs, length, NULL, 0);
    }
    for (uint64_t i = 0, n; i < options->n && st == GQA_OK; i += n) {
        n = batch_size(options->n - i);
        start_batch(d, "first round", options->seed, i);
        st = draw_batch(outputs, drawn, runtime, d, noise.sequences + i, n,
                        length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            st = gqa_tokens_add(tokens, &d->rules,
                                outputs + s * (length + 1) + 1, drawn[s], NULL,
                                0);
    }
    gqa_tokens_clear(&noise);
    return st;
}

enum gqa_status gqa_sample(struct gqa_tokens *tokens,
                           struct gqa_runtime *runtime,
                           const struct gqa_network *network,
                           const struct gqa_sample_options *options)
{
    struct drawing d = {.rules = gqa_token_rules_of(network),
                        .options = options,
                        .all = options->n * options->length};
    int64_t *outputs = NULL;
    enum gqa_status st = outputs_alloc(&outputs, options->length);

    if (st == GQA_OK && d.rules.is_encoder_decoder) {
        /* Two rounds. */
        d.all *= 2;
        st = draw_inputs(tokens, runtime, &d, options, outputs);
        d.may_end = true;
        if (st == GQA_OK)
            st = draw_outputs(tokens, runtime, &d);
        free(outputs);
        return st;
    }
    for (uint64_t i = 0, n; i < options->n && st == GQA_OK; i += n) {
        const uint64_t length = options->length - 1;
        uint64_t drawn[AT_A_TIME];

        n = batch_size(options->n - i);
        start_batch(&d, "output", options->seed, i);
        st = draw_batch(outputs, drawn, runtime, &d, NULL, n, length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            st = gqa_tokens_add(tokens, &d.rules, outputs + s * (length + 1),
                                drawn[s] + 1, NULL, 0);
    }
    for (size_t i = 0; i < tokens->n; i++)
        tokens->sequences[i].starts = true;
    free(outputs);
    return st;
}

enum gqa_status gqa_sample_uniform(struct gqa_tokens *tokens,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    const uint64_t length = options->length;
    int64_t *ids = NULL, *labels = NULL;
    enum gqa_status st = outputs_alloc(&ids, length);

    if (st == GQA_OK)
        st = outputs_alloc(&labels, length);
    for (uint64_t i = 0; i < options->n && st == GQA_OK; i++) {
        const uint64_t key = gqa_random_key(options->seed, "output", i);

        random_input(ids, length, &rules,
                     gqa_random_key(options->seed, "input", i));
        random_input(labels, length, &rules, key);
        if (!rules.is_encoder_decoder)
            ids[0] = rules.start_token;
        st = gqa_tokens_add(tokens, &rules, ids, length,
                            rules.is_encoder_decoder ? labels : NULL,
                            rules.is_encoder_decoder ? length : 0);
        if (st == GQA_OK)
            tokens->sequences[i].starts = true;
    }
    free(ids);
    free(labels);
    return st;
}

enum gqa_status gqa_sample_uniform_outputs(
    struct gqa_tokens *tokens, const struct gqa_network *network,
    const struct gqa_sample_options *options)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    int64_t *row = NULL;
    enum gqa_status st = outputs_alloc(&row, options->length);

    for (size_t i = 0; i < tokens->n && st == GQA_OK; i++) {
        if (tokens->sequences[i].n_decoder > 0)
            continue;
        row[0] = rules.start_token;
        random_input(row + 1, options->length, &rules,
                     gqa_random_key(options->seed, "output", i));
        st = set_output(&tokens->sequences[i], row, options->length);
    }
    free(row);
    return st;
}
