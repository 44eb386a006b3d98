/* Token sequences cut from text, for byte-level models. */
#ifndef GQA_RUNTIME_DATA_TOKEN_TEXT_H
#define GQA_RUNTIME_DATA_TOKEN_TEXT_H

#include "runtime/data/tokens.h"

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

/*
 * The same, but where an encoder-decoder's text has fewer pieces than
 * max_sequences, it is gone over again with gaps in other places until there
 * are as many. Each time those pieces are taken, a multiple of eight of eight
 * or more, in one order: who keeps out every eighth sequence keeps out the same
 * text always.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_from_text_again(struct gqa_tokens *tokens,
                                           const char *path,
                                           const struct gqa_token_rules *rules,
                                           uint64_t length,
                                           uint64_t max_sequences);

#endif
