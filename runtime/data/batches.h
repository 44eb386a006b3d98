/*
 * Token sequences in padded batches: those of like length together, longest
 * first, so that little is padding.
 */
#ifndef GQA_RUNTIME_DATA_BATCHES_H
#define GQA_RUNTIME_DATA_BATCHES_H

#include "formats/model/network.h"
#include "runtime/data/tokens.h"

/* What a batch may take; 0: no limit. One sequence is always allowed. */
struct gqa_batch_limits {
    uint64_t sequences;
    uint64_t rows; /* tokens with padding, of encoder and decoder each */
    /* Of the KV cache: all of it, and what a token of each stack takes. */
    uint64_t bytes, encoder_token_bytes, decoder_token_bytes;
    /* Of decoders: sequences of a batch are rotated alike. NULL: any are. */
    const struct gqa_rope *rope;
};

struct gqa_token_batch {
    size_t first, n;               /* order[first .. first + n) */
    uint64_t n_encoder, n_decoder; /* tokens of the longest */
};

struct gqa_batches {
    uint64_t *order; /* indices of the sequences, batch by batch */
    struct gqa_token_batch *items;
    size_t n;
    /* The most that any batch has. */
    uint64_t most_sequences, most_encoder, most_decoder;
    uint64_t encoder_rows, decoder_rows; /* with padding */
};

/*
 * The batches depend on lengths and limits alone. tokens may be empty.
 * Errors GQA_ERR_USAGE: a sequence has no decoder tokens; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_batches_create(struct gqa_batches *out,
                                   const struct gqa_tokens *tokens,
                                   const struct gqa_batch_limits *limits);
void gqa_batches_clear(struct gqa_batches *batches);

/*
 * Tokens of a batch, of the encoder or the decoder, as sessions take them:
 * ids [n, n_encoder or n_decoder], padded with 0; lengths [n]. start_token:
 * of the model, which a decoder is fed where its sequence `starts`.
 */
void gqa_batches_fill(int32_t *ids, uint64_t *lengths,
                      const struct gqa_batches *batches, size_t index,
                      const struct gqa_tokens *tokens, bool encoder,
                      int32_t start_token);

#endif
