/*
 * What an attention of the converted model adds to the stream, against what it
 * should: half the squared error that a refit makes small (refit.h), each row
 * divided by the root mean square of the original's stream, as a function of
 * the weights of q, k, v and o together; and the way back to all four.
 *
 * Weights lie one after another: q [n_heads * d, inputs], k and v [pooled * d,
 * inputs of theirs], o [n_heads * d, d_model]; so do gradients.
 */
#ifndef GQA_ALIGN_ATTENTION_LOSS_H
#define GQA_ALIGN_ATTENTION_LOSS_H

#include "align/head_rows.h"
#include "align/score_records.h"

enum gqa_projection {
    GQA_PROJECTION_Q,
    GQA_PROJECTION_K,
    GQA_PROJECTION_V,
    GQA_PROJECTION_O,
    GQA_N_PROJECTIONS,
};

/* All of it is lent. */
struct gqa_attention_loss_job {
    /* Finished: inputs, aims and weights of rows. Their device computes in
     * float32 or float64. */
    const struct gqa_score_records *records;
    const struct gqa_attention_block *becomes; /* in the original's shapes */
    uint64_t pooled; /* KV heads of the converted model */
    /* Shapes, and the biases of q, k and v, which stay. */
    const struct gqa_head_rows *rows[GQA_N_PROJECTIONS];
    const double *table; /* T5's [n_buckets, n_heads]; NULL: none */
};

struct gqa_attention_loss;

/* Errors those of the device; GQA_ERR_NOMEM; GQA_ERR_UNSUPPORTED: it has no
 * way back. */
GQA_MUST_USE
enum gqa_status gqa_attention_loss_create(
    struct gqa_attention_loss **out, const struct gqa_attention_loss_job *job);
void gqa_attention_loss_free(struct gqa_attention_loss *loss);

/* Where the weights of a projection begin; of GQA_N_PROJECTIONS: how many
 * there are. */
uint64_t gqa_attention_loss_at(const struct gqa_attention_loss *loss, int i);

/* Of all sequences that are fitted to; gradient: [weights]. Errors those of the
 * device; GQA_ERR_NOMEM; GQA_ERR_INTERRUPTED. */
GQA_MUST_USE
enum gqa_status gqa_attention_loss_differentiate(
    struct gqa_attention_loss *loss, const double *weights, double *value,
    double *gradient);

/* values: of each sequence that is held out. Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_attention_loss_hold(struct gqa_attention_loss *loss,
                                        const double *weights, double *values);
size_t gqa_attention_loss_n_held(const struct gqa_attention_loss *loss);

/* Moments that the loss's curvature is made of; owned. */
struct gqa_attention_moments {
    /* Heads of q, k and v, [heads, d, d]: sums of what their rows are to blame
     * for; of o [n_heads * d, n_heads * d]: of what heads give, as rows
     * count. */
    double *heads[GQA_N_PROJECTIONS];
    /* [inputs, inputs]: means of what q, k and v are made from, each row as
     * much as it is to blame for. Of o none. */
    double *inputs[GQA_N_PROJECTIONS];
};

/* As if of all rows fitted to, by random signs in place of errors on a quarter
 * of them. Errors likewise; clear it after them too. */
GQA_MUST_USE
enum gqa_status gqa_attention_loss_probe(struct gqa_attention_loss *loss,
                                         const double *weights,
                                         struct gqa_attention_moments *out);
void gqa_attention_moments_clear(struct gqa_attention_moments *moments);

#endif
