/*
 * Token sequences that both models are run on: read from a file, cut from
 * text, or drawn from a model (sample.h).
 */
#ifndef GQA_RUNTIME_DATA_TOKENS_H
#define GQA_RUNTIME_DATA_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

#define GQA_NO_TOKEN (-1)

/* What a model makes of tokens. */
struct gqa_token_rules {
    uint64_t vocab_size;
    int32_t start_token;
    int32_t end_token, pad_token; /* GQA_NO_TOKEN: none */
    bool is_encoder_decoder;
};

/*
 * The decoder (of a decoder-only model: the model) is fed decoder[i] and
 * should say next[i], or anything where that is GQA_NO_TOKEN. Empty decoder
 * of an encoder-decoder: its output is yet to be drawn.
 */
struct gqa_sequence {
    int32_t *encoder; /* [n_encoder], of an encoder-decoder, else NULL */
    uint64_t n_encoder;
    int32_t *decoder, *next; /* [n_decoder] */
    uint64_t n_decoder;
};

/* Owned, with all that it points to; end it with gqa_tokens_clear(). */
struct gqa_tokens {
    struct gqa_sequence *sequences;
    size_t n;
};

void gqa_tokens_clear(struct gqa_tokens *tokens);

/* Decoder positions of all sequences. */
uint64_t gqa_tokens_n_positions(const struct gqa_tokens *tokens);

/*
 * Append a sequence. ids: [n_ids], of the encoder or of a decoder-only
 * model, which should say at each position what comes next. labels:
 * [n_labels], encoder-decoders only, or NULL: the decoder is fed the labels
 * shifted right behind the start token. Labels of -100 are not asked for
 * (fed as padding), and dropped at the end.
 *
 * Errors GQA_ERR_FORMAT: an id that is not in the vocabulary, with its
 * position, or no ids at all; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_add(struct gqa_tokens *tokens,
                               const struct gqa_token_rules *rules,
                               const int64_t *ids, uint64_t n_ids,
                               const int64_t *labels, uint64_t n_labels);

/*
 * Tokens of a file, told apart by content:
 *   - safetensors: input_ids and, for encoder-decoders, labels, of an
 *     integer type, [n, len] or [len]; attention_mask, where there is one,
 *     [n, len] of 1 then 0, ends each sequence;
 *   - .npy: input_ids, likewise;
 *   - text: a sequence of decimal numbers on each line, apart by blanks or
 *     commas; the labels of an encoder-decoder behind a '|'.
 *
 * tokens  empty; filled with at most max_sequences (0: all).
 * Errors  GQA_ERR_IO, GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM; the
 *         message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_read(struct gqa_tokens *tokens, const char *path,
                                const struct gqa_token_rules *rules,
                                uint64_t max_sequences);

/*
 * A file of text for a byte-level model, in pieces of `length` tokens, at
 * most max_sequences of them (0: all), evenly over the file. What is
 * assumed: byte b is token b + 3 in a vocabulary of 259 to 384 (as in ByT5
 * and the trained models of this project), or token b in one of 256; other
 * vocabularies need a tokenizer and are refused.
 *
 * Decoder-only: start token, then bytes. Encoder-decoder: span filling as
 * ByT5 is trained: each 128 bytes of a piece (at most four times) lose 19
 * in their middle to a sentinel, the highest token first; the labels are
 * sentinel and bytes of each gap, then the end token, which also ends the
 * piece.
 *
 * Errors as gqa_tokens_read(), and GQA_ERR_USAGE for a length under 2.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_from_text(struct gqa_tokens *tokens,
                                     const char *path,
                                     const struct gqa_token_rules *rules,
                                     uint64_t length, uint64_t max_sequences);

#endif
