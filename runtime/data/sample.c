#include "runtime/data/sample.h"

#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "runtime/data/drawing.h"
#include "runtime/data/gaps.h"

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

/* d: what has been done is kept. */
static enum gqa_status draw_outputs(struct gqa_tokens *tokens,
                                    struct gqa_runtime *runtime,
                                    struct gqa_drawing *d)
{
    const uint64_t length = d->options->length;
    struct gqa_drawn drawn;
    enum gqa_status st = gqa_drawn_init(&drawn, d, length);

    d->may_end = true;
    for (size_t i = 0; i < tokens->n && st == GQA_OK;) {
        const uint64_t n = gqa_drawing_batch_size(d, tokens->n - i);
        struct gqa_sequence *batch = tokens->sequences + i;

        gqa_drawing_start(d, "output", d->options->first + i);
        st = gqa_drawing_run(&drawn, runtime, d, batch, n, length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            if (batch[s].n_decoder == 0)
                st =
                    set_output(&batch[s], gqa_drawn_row(&drawn, s), drawn.n[s]);
        i += n;
    }
    gqa_drawn_clear(&drawn);
    return st;
}

/* Of a model that makes no logits: the decoder reads the input, behind the
 * start token, as classifiers of T5 and BART do. */
static enum gqa_status repeat_inputs(struct gqa_tokens *tokens,
                                     const struct gqa_network *network)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < tokens->n && st == GQA_OK; i++) {
        struct gqa_sequence *s = &tokens->sequences[i];
        int64_t *row;

        if (s->n_decoder > 0 || s->n_encoder == 0)
            continue;
        if (!(row = calloc(s->n_encoder + 1, sizeof *row)))
            return gqa_fail_nomem();
        row[0] = network->start_token;
        for (uint64_t t = 0; t < s->n_encoder; t++)
            row[t + 1] = s->encoder[t];
        st = set_output(s, row, s->n_encoder);
        free(row);
    }
    return st;
}

enum gqa_status gqa_sample_outputs(struct gqa_tokens *tokens,
                                   struct gqa_runtime *runtime,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    struct gqa_drawing d;
    enum gqa_status st;

    if (!network->has_logits)
        return repeat_inputs(tokens, network);
    st = gqa_drawing_init(&d, runtime, &rules, options);
    d.all = tokens->n * options->length;
    if (st == GQA_OK)
        st = draw_outputs(tokens, runtime, &d);
    gqa_drawing_clear(&d);
    return st;
}

/* Uniformly random inputs. */
static enum gqa_status make_noise(struct gqa_tokens *noise,
                                  const struct gqa_drawing *d)
{
    const struct gqa_sample_options *options = d->options;
    int64_t *ids = calloc(options->length, sizeof *ids);
    enum gqa_status st = ids ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < options->n && st == GQA_OK; i++) {
        gqa_random_input(
            ids, options->length, &d->rules,
            gqa_random_key(options->seed, "input", options->first + i));
        st = gqa_tokens_add(noise, &d->rules, ids, options->length, NULL, 0);
    }
    free(ids);
    return st;
}

/* Encoder inputs: outputs of the model at random input. */
static enum gqa_status draw_from_noise(struct gqa_tokens *tokens,
                                       struct gqa_runtime *runtime,
                                       struct gqa_drawing *d)
{
    const struct gqa_sample_options *options = d->options;
    struct gqa_tokens noise = {NULL, 0};
    struct gqa_drawn drawn;
    enum gqa_status st = gqa_drawn_init(&drawn, d, options->length);

    if (st == GQA_OK)
        st = make_noise(&noise, d);
    for (uint64_t i = 0, n; i < options->n && st == GQA_OK; i += n) {
        n = gqa_drawing_batch_size(d, options->n - i);
        gqa_drawing_start(d, "first round", options->first + i);
        st = gqa_drawing_run(&drawn, runtime, d, noise.sequences + i, n,
                             options->length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            st = gqa_tokens_add(tokens, &d->rules, gqa_drawn_row(&drawn, s) + 1,
                                drawn.n[s], NULL, 0);
    }
    gqa_tokens_clear(&noise);
    gqa_drawn_clear(&drawn);
    return st;
}

/* Encoder inputs. What outputs will take is part of d->all already. */
static enum gqa_status draw_inputs(struct gqa_tokens *tokens,
                                   struct gqa_runtime *runtime,
                                   struct gqa_drawing *d)
{
    struct gqa_gaps gaps;
    bool fills = false;
    enum gqa_status st = GQA_OK;

    if (d->options->grows_text)
        st = gqa_gaps_find(&fills, &gaps, runtime, d);
    if (st != GQA_OK)
        return st;
    if (!fills) {
        d->all *= 2;
        return draw_from_noise(tokens, runtime, d);
    }
    d->all += gqa_gaps_cost(&gaps, d->options);
    return gqa_gaps_grow(tokens, runtime, d, &gaps);
}

/* Sequences of a decoder alone. */
static enum gqa_status draw_texts(struct gqa_tokens *tokens,
                                  struct gqa_runtime *runtime,
                                  struct gqa_drawing *d)
{
    const struct gqa_sample_options *options = d->options;
    const uint64_t length = options->length - 1;
    struct gqa_drawn drawn;
    enum gqa_status st = gqa_drawn_init(&drawn, d, length);

    for (uint64_t i = 0, n; i < options->n && st == GQA_OK; i += n) {
        n = gqa_drawing_batch_size(d, options->n - i);
        gqa_drawing_start(d, "output", options->first + i);
        st = gqa_drawing_run(&drawn, runtime, d, NULL, n, length);
        for (uint64_t s = 0; s < n && st == GQA_OK; s++)
            st = gqa_tokens_add(tokens, &d->rules, gqa_drawn_row(&drawn, s),
                                drawn.n[s] + 1, NULL, 0);
    }
    for (size_t i = 0; i < tokens->n; i++)
        tokens->sequences[i].starts = true;
    gqa_drawn_clear(&drawn);
    return st;
}

enum gqa_status gqa_sample(struct gqa_tokens *tokens,
                           struct gqa_runtime *runtime,
                           const struct gqa_network *network,
                           const struct gqa_sample_options *options)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    struct gqa_drawing d;
    enum gqa_status st;

    if (!network->has_logits)
        return gqa_sample_uniform(tokens, network, options);
    st = gqa_drawing_init(&d, runtime, &rules, options);
    d.all = options->n * options->length;
    if (st == GQA_OK && !rules.is_encoder_decoder)
        st = draw_texts(tokens, runtime, &d);
    else if (st == GQA_OK && (st = draw_inputs(tokens, runtime, &d)) == GQA_OK)
        st = draw_outputs(tokens, runtime, &d);
    gqa_drawing_clear(&d);
    return st;
}

enum gqa_status gqa_sample_uniform(struct gqa_tokens *tokens,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    /* What an encoder alone reads begins with nothing. */
    const bool begins =
        !rules.is_encoder_decoder && !gqa_network_is_encoder(network);
    const uint64_t length = options->length;
    int64_t *ids = calloc(length, sizeof *ids);
    int64_t *labels = calloc(length, sizeof *labels);
    enum gqa_status st = ids && labels ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < options->n && st == GQA_OK; i++) {
        const uint64_t number = options->first + i;
        const uint64_t key = gqa_random_key(options->seed, "output", number);

        gqa_random_input(ids, length, &rules,
                         gqa_random_key(options->seed, "input", number));
        if (network->has_logits)
            gqa_random_input(labels, length, &rules, key);
        else
            memcpy(labels, ids, length * sizeof *labels);
        if (begins)
            ids[0] = rules.start_token;
        st = gqa_tokens_add(tokens, &rules, ids, length,
                            rules.is_encoder_decoder ? labels : NULL,
                            rules.is_encoder_decoder ? length : 0);
        if (st == GQA_OK)
            tokens->sequences[i].starts = begins || rules.is_encoder_decoder;
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
    int64_t *row;
    enum gqa_status st;

    if (!network->has_logits)
        return repeat_inputs(tokens, network);
    row = calloc(options->length + 1, sizeof *row);
    st = row ? GQA_OK : gqa_fail_nomem();
    for (size_t i = 0; i < tokens->n && st == GQA_OK; i++) {
        if (tokens->sequences[i].n_decoder > 0)
            continue;
        row[0] = rules.start_token;
        gqa_random_input(
            row + 1, options->length, &rules,
            gqa_random_key(options->seed, "output", options->first + i));
        st = set_output(&tokens->sequences[i], row, options->length);
    }
    free(row);
    return st;
}
