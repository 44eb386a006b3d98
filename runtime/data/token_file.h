/* Token sequences of a file: safetensors, .npy or numbers as text. */
#ifndef GQA_RUNTIME_DATA_TOKEN_FILE_H
#define GQA_RUNTIME_DATA_TOKEN_FILE_H

#include "runtime/data/tokens.h"

/*
 * Tokens of a file, told apart by content:
 *   - safetensors: input_ids and, for encoder-decoders, labels, of an
 *     integer type, [n, len] or [len]; attention_mask, where there is one,
 *     [n, len] of 1 then 0, ends each sequence;
 *   - .npy: input_ids, likewise;
 *   - text: a sequence of decimal numbers on each line, apart by blanks or
 *     commas; the labels of an encoder-decoder behind a '|'. A byte order mark
 *     of UTF-8 may come first.
 *
 * tokens  empty; filled with at most max_sequences (0: all).
 * Errors  GQA_ERR_IO, GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM,
 *         GQA_ERR_INTERRUPTED; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_tokens_read(struct gqa_tokens *tokens, const char *path,
                                const struct gqa_token_rules *rules,
                                uint64_t max_sequences);

#endif
