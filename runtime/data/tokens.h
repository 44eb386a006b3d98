/*
 * Token sequences that models are run on: read from a file (token_file.h),
 * cut from text (token_text.h), or drawn from a model (sample.h).
 */
#ifndef GQA_RUNTIME_DATA_TOKENS_H
#define GQA_RUNTIME_DATA_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

#define GQA_NO_TOKEN (-1)
/* A label that transformers leaves out of the loss. */
#define GQA_LABEL_IGNORED (-100)
/* What follows is masked: the position is in no figure. */
#define GQA_NOT_COUNTED (-2)

/* What a model makes of tokens. */
struct gqa_token_rules {
    uint64_t vocab_size;
    int32_t start_token;
    int32_t end_token, pad_token; /* GQA_NO_TOKEN: none */
    bool is_encoder_decoder;
};

/*
 * The decoder (of a decoder-only model: the model) is fed decoder[i] and
 * should say next[i], or anything where that is GQA_NO_TOKEN or
 * GQA_NOT_COUNTED. Empty decoder of an encoder-decoder: its output is yet to
 * be drawn.
 */
struct gqa_sequence {
    int32_t *encoder; /* [n_encoder], of an encoder-decoder, else NULL */
    uint64_t n_encoder;
    int32_t *decoder, *next; /* [n_decoder] */
    uint64_t n_decoder;
    /* decoder[0] was put there: each model is fed its own start token. */
    bool starts;
};

/* Owned, with all that it points to; end it with gqa_tokens_clear(). */
struct gqa_tokens {
    struct gqa_sequence *sequences;
    size_t n;
};

void gqa_tokens_clear(struct gqa_tokens *tokens);

/* Decoder positions of all sequences. */
uint64_t gqa_tokens_n_positions(const struct gqa_tokens *tokens);

/* Whether any position of any sequence is in a figure. */
bool gqa_tokens_any_counted(const struct gqa_tokens *tokens);

/* Whether any is an encoder-decoder's without an output. */
bool gqa_tokens_any_to_draw(const struct gqa_tokens *tokens);

/* The first `length` tokens of each sequence, input and labels. */
void gqa_tokens_cut(struct gqa_tokens *tokens, uint64_t length);

/* Whether a model has positions for all of them: max, or 0 for any number.
 * path: where they are from. Errors GQA_ERR_USAGE: which is too long. */
GQA_MUST_USE
enum gqa_status gqa_tokens_check_lengths(const struct gqa_tokens *tokens,
                                         uint64_t max, const char *path);

/*
 * Append a sequence. ids: [n_ids], of the encoder or of a decoder-only
 * model, which should say at each position what comes next.
 *
 * labels: [n_labels], or NULL; -100 is not counted. An encoder-decoder is fed
 * the labels shifted right behind the start token, -100 as padding, and those
 * at the end are dropped. Of a decoder-only model there are n_ids of them;
 * as in transformers, position i should say labels[i + 1], and the last is
 * not counted.
 *
 * Errors GQA_ERR_FORMAT: an id that is not in the vocabulary, with its
 * position, no ids at all, or labels of another number; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_add(struct gqa_tokens *tokens,
                               const struct gqa_token_rules *rules,
                               const int64_t *ids, uint64_t n_ids,
                               const int64_t *labels, uint64_t n_labels);

#endif
