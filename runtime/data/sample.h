/*
 * Tokens drawn from a model itself, so that any checkpoint can be checked
 * with no tokenizer and no data.
 */
#ifndef GQA_RUNTIME_DATA_SAMPLE_H
#define GQA_RUNTIME_DATA_SAMPLE_H

#include "runtime/data/tokens.h"
#include "runtime/runtime.h"

struct gqa_sample_options {
    uint64_t n, length; /* sequences, tokens in each; at least 1 and 2 */
    uint64_t seed;
    /* Of all that the seed draws, the number of the first: in parts they are
     * what they are at once. */
    uint64_t first;
    /* An encoder-decoder that fills gaps gets texts with gaps (gaps.h): more
     * like what it was made for, and slower. */
    bool grows_text;
    double temperature; /* 0: 1 */
    uint64_t top_k;     /* only as many of the likeliest tokens; 0: all */
    /* Told of each step, in tokens; may be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *progress_ctx;
};

struct gqa_token_rules gqa_token_rules_of(const struct gqa_network *network);

/*
 * n sequences drawn from the model. Decoder-only: the start token, then
 * length - 1 drawn ones. Encoder-decoder: uniformly random input of
 * `length` tokens gives outputs of as many; these are the input of a second
 * round, whose outputs are the labels; with grows_text, texts with gaps may be.
 * Labels end where the model ends them:
 * what it says past an end is nothing it was made for. Else start, end and
 * padding are never drawn, so that sequences have their length.
 *
 * Each number drawn depends on seed, sequence and position alone, but what
 * it picks on logits, whose last bits depend on the machine.
 *
 * Of a model that makes no logits nothing can be drawn: its tokens are those of
 * gqa_sample_uniform(), and its decoder, where it has one, reads the input
 * again behind the start token, as classifiers of T5 and BART do. So it is with
 * outputs, below.
 *
 * runtime  of the original; network is what it was made of. NULL will do where
 *          that makes no logits.
 * tokens   empty; filled.
 * Errors   those of the session, and GQA_ERR_FORMAT for logits that are not
 *          finite.
 */
GQA_MUST_USE
enum gqa_status gqa_sample(struct gqa_tokens *tokens,
                           struct gqa_runtime *runtime,
                           const struct gqa_network *network,
                           const struct gqa_sample_options *options);

/*
 * The same, of tokens that are all equally likely: no model is run. For
 * models that are run layer by layer, whose weights would have to be read
 * anew for each token that is drawn. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_sample_uniform(struct gqa_tokens *tokens,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options);

/* Draw outputs of at most options->length for sequences of an encoder-decoder
 * that have none (tokens.h). */
GQA_MUST_USE
enum gqa_status gqa_sample_outputs(struct gqa_tokens *tokens,
                                   struct gqa_runtime *runtime,
                                   const struct gqa_network *network,
                                   const struct gqa_sample_options *options);

/* The same, all tokens equally likely. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_sample_uniform_outputs(
    struct gqa_tokens *tokens, const struct gqa_network *network,
    const struct gqa_sample_options *options);

#endif
