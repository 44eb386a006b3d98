/* Sequences of one file. */
#ifndef GQA_UPTRAIN_DATA_FILE_H
#define GQA_UPTRAIN_DATA_FILE_H

#include "runtime/data/tokens.h"
#include "runtime/runtime.h"
#include "uptrain/data_list.h"

/*
 * Read a file, "-": standard input. A model without an encoder gets longer
 * sequences in pieces of `length`; of an encoder-decoder the rest is left, and
 * outputs that a file has not are drawn by the teacher.
 *
 * digest  [33]: of the tokens that are taken.
 * Errors  those of reading and drawing; GQA_ERR_FORMAT: no position counts.
 */
GQA_MUST_USE
enum gqa_status gqa_data_file_read(struct gqa_tokens *out, char *digest,
                                   const struct gqa_data_item *item,
                                   struct gqa_runtime *teacher,
                                   const struct gqa_network *network,
                                   uint64_t length, uint64_t seed);

/* Move all sequences of `from` behind those of `to`. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_tokens_move(struct gqa_tokens *to, struct gqa_tokens *from);

/* A copy of a sequence behind those of `to`. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_tokens_copy(struct gqa_tokens *to,
                                const struct gqa_sequence *sequence);

/*
 * Move up to n sequences, at most a tenth, evenly spread, out of `from`; where
 * there are too few for that, one is seen and held out both, with a warning.
 * *n_held_out: how many. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_data_hold_out(struct gqa_tokens *held_out,
                                  uint64_t *n_held_out, struct gqa_tokens *from,
                                  uint64_t n);

#endif
