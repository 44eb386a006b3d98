/*
 * What a fit to an attention's scores is made from, kept on the device while
 * that attention is worked on: the original's queries and keys, and the inputs
 * of the converted model's projections, in parts of sequences.
 *
 * Where there are more sequences than a fit needs, those that come first are
 * kept. Of a sequence that comes in pieces the first one is kept: its queries
 * see no keys of later ones, or all of another sequence's.
 */
#ifndef GQA_ALIGN_SCORE_RECORDS_H
#define GQA_ALIGN_SCORE_RECORDS_H

#include "formats/model/network.h"
#include "runtime/taps.h"

struct gqa_score_part {
    bool held_out;        /* one sequence, not to be fitted to */
    uint64_t n_sequences; /* of n_new queries and n_keys keys each */
    uint64_t n_new, n_keys;
    uint64_t *members;               /* [n_sequences]: places in the batch */
    uint64_t *n_tokens, *key_counts; /* [n_sequences]: those that are real */
    /* On the device, real: */
    void *q;       /* the original's, [queries, q_width], turned */
    void *k_rows;  /* its keys as they came, until they are ... */
    void *k;       /* ... [n_sequences, n_kv_heads, n_keys, head_dim], of
                      the records' n_kv_heads */
    void *x, *y;   /* inputs of the converted q and k; y NULL: x */
    void *weights; /* wide [queries, n_heads] */
    /* What the heads gave, and what the attention should add to the stream;
     * NULL: not seen. */
    void *attended, *aim;
};

struct gqa_score_batch;

/* Zeros but for what is lent; end it with gqa_score_records_clear(). */
struct gqa_score_records {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    unsigned n_threads; /* of the host; the result is the same for any */
    const struct gqa_attention_block *block; /* of the original */
    /* KV heads that stand one after another with the same keys, of which one
     * is kept, where their place can be said so; 0: 1. */
    uint64_t alike;
    /* [n_heads] of the converted model, lent: energies of what heads add, as
     * far as which scores count; NULL: alike. */
    const double *outputs;
    struct gqa_score_part *parts;
    size_t n_parts;
    struct gqa_score_batch *batches;
    size_t n_batches;
    double work;                     /* that parts will take */
    size_t n_seen[GQA_N_TAP_POINTS]; /* batches that have come */
    uint64_t q_width, k_width;       /* of the original's rows */
    uint64_t n_kv_heads;             /* that parts have keys of */
    struct gqa_head_place q_place, k_place;
    int32_t *tokens; /* zeros, and starts: of the largest part */
    uint64_t *starts;
};

/* Points of a block's taps that are wanted, for each of its attentions. */
#define GQA_SCORE_RECORDS_OF_ORIGINAL                                      \
    (GQA_TAP(GQA_TAP_Q) | GQA_TAP(GQA_TAP_K) | GQA_TAP(GQA_TAP_Q_TURNED) | \
     GQA_TAP(GQA_TAP_K_TURNED) | GQA_TAP(GQA_TAP_AFTER_ATTENTION))
#define GQA_SCORE_RECORDS_OF_CONVERTED \
    (GQA_TAP(GQA_TAP_INPUT) | GQA_TAP(GQA_TAP_MEMORY))

/* For taps; what belongs to other attentions is passed over. Errors those of
 * the device, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_score_records_see_original(
    struct gqa_score_records *records, const struct gqa_tapped *tapped);
GQA_MUST_USE
enum gqa_status gqa_score_records_see_converted(
    struct gqa_score_records *records, const struct gqa_tapped *tapped);

/* Whether the converted model's run has shown all that the original's made
 * parts of. */
bool gqa_score_records_are_full(const struct gqa_score_records *records);

/* Whether parts are all that came, and not only what comes first. */
bool gqa_score_records_are_whole(const struct gqa_score_records *records);

/* The first of each `alike` heads that stand one after another; false: they do
 * not lie as a place can say. */
bool gqa_score_records_place(struct gqa_head_place *out,
                             const struct gqa_head_place *place, uint64_t alike,
                             uint64_t head_dim);

/* Once all has come. */
GQA_MUST_USE
enum gqa_status gqa_score_records_finish(struct gqa_score_records *records);
void gqa_score_records_clear(struct gqa_score_records *records);

/* Rows of a part's queries, or keys, and what they are made from. */
uint64_t gqa_score_part_rows(const struct gqa_score_part *part, bool keys);
const void *gqa_score_part_inputs(const struct gqa_score_part *part, bool keys);

/* The largest of all parts, at least 1 each: rows of queries and of keys, and
 * distances of positions, which `reach` is above. */
struct gqa_score_sizes {
    uint64_t n_queries, n_keys, reach;
};
struct gqa_score_sizes gqa_score_records_sizes(
    const struct gqa_score_records *records);

/* What attend() is told of a part by the block, whose numbers of heads it has;
 * the rest is 0: rows, caches and their heads, the bias and its reach. */
struct gqa_attention_op gqa_score_part_attention(
    const struct gqa_score_part *part, const struct gqa_attention_block *block);

/* Make a part's queries, or its keys, the device's batch. */
GQA_MUST_USE
enum gqa_status gqa_score_records_begin(const struct gqa_score_records *records,
                                        const struct gqa_score_part *part,
                                        bool keys);

#endif
