/*
 * Aligned conversion: transforms of heads under which those of a group have as
 * much in common as a linear map allows. Arithmetic in float64.
 */
#ifndef GQA_ALIGN_ALIGN_H
#define GQA_ALIGN_ALIGN_H

#include "align/statistics.h"
#include "common/spill.h"

/*
 * Of one attention, from `source` KV heads to `pooled`; d is its head_dim and
 * m = source / pooled. New head = transform x old heads, along the axis that
 * they lie on (and of their biases); o's inputs are mixed as rows are.
 */
struct gqa_transforms {
    uint64_t source, pooled; /* pooled 0: its heads do not share */
    double *k, *v;           /* [pooled, d, m d]; NULL where none share */
    double *q, *o;           /* [n_heads, d, d]; likewise */
    /* [source]: which KV head stands at each place before neighbours share;
     * its query heads go with it, and the transforms are those of places.
     * NULL: all as they stood. Where no heads share this may be all. */
    uint64_t *heads;
    /* o's weight where it was fitted anew, in the parameter's own dtype and
     * shape; without data: it is what the transforms make of it. */
    struct gqa_spill fitted_o;
    /* Heads of q, [n_heads * d, inputs], and of k and v, [pooled * d, inputs],
     * where they were fitted anew, one after another in the order that they are
     * written in, in their parameter's dtype; biases are not fitted. Without
     * data: as the transforms make them. */
    struct gqa_spill fitted_q, fitted_k, fitted_v;
    /* [n_heads], by places: energy of what each query head can add, its o times
     * values; NULL where none share. */
    double *outputs;
    /* Shares of the energy of scores and of outputs that are lost. */
    double keys_lost, values_lost;
};

/* A parameter with a column for each query head of an attention, which go
 * where its heads go. */
struct gqa_moved_table {
    size_t param, attention;
};

/* Of all attentions of a model; owned. */
struct gqa_alignment {
    size_t n;
    struct gqa_transforms *attentions;
    struct gqa_moved_table *tables;
    size_t n_tables;
    uint64_t n_sequences, n_tokens; /* learnt from */
    /* Of the converted model's RoPE (gqa_rope_divide()), [n_pairs]; NULL: it
     * turns as the original does. */
    double *divisors;
    uint64_t n_pairs, n_changed;
    uint64_t context; /* over which positions hold */
    double cost;      /* KL of that alone; NAN: not measured */
};

struct gqa_align_options {
    /* Heads that lose least together share, not neighbours; where heads may
     * change places. Attentions that read one table of positions are given one
     * order, those too whose heads do not share. */
    bool regroup;
    /* Heads are transformed also where as many are kept as there are. */
    bool no_pooling;
    unsigned n_threads; /* the result is the same for any number */
};

/* What stands between projections and their use that no transform of heads
 * passes: "queries and keys are normed". NULL: nothing. */
const char *gqa_align_obstacle(const struct gqa_network *network,
                               const struct gqa_attention *a);

/* The same as a status: GQA_ERR_UNSUPPORTED, with the way out. */
GQA_MUST_USE
enum gqa_status gqa_align_check(const struct gqa_network *network,
                                const struct gqa_attention *a);

/*
 * checkpoint, model  lent.
 * pooled             by attention: KV heads to keep; 0: leave it.
 * statistics         what runs, and on what; its wanted, take and ctx are
 *                    filled here. No tokens: nothing runs, and inputs count
 *                    as if they had the identity's moments.
 * becomes            the converted model: what turns alike in it is mixed.
 * Errors GQA_ERR_UNSUPPORTED: an attention whose keys are normed head by
 *        head, which no transform passes; those of the run.
 */
GQA_MUST_USE
enum gqa_status gqa_align(struct gqa_alignment **out,
                          struct gqa_checkpoint *checkpoint,
                          const struct gqa_model *model, const uint64_t *pooled,
                          const struct gqa_statistics_job *statistics,
                          const struct gqa_network *becomes,
                          const struct gqa_align_options *options);
void gqa_alignment_free(struct gqa_alignment *alignment);

#endif
