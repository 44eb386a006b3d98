/*
 * The curvature of an attention's loss (attention_loss.h), near enough to be
 * divided by: a block for each projection, the moments of what it is made from
 * times those of what its rows are to blame for, head by head (Martens and
 * Grosse 2015).
 */
#ifndef GQA_ALIGN_ATTENTION_METRIC_H
#define GQA_ALIGN_ATTENTION_METRIC_H

#include "align/attention_loss.h"

struct gqa_attention_metric;

/* loss and job are lent. Errors those of attention_loss.h; GQA_ERR_FORMAT: not
 * finite. */
GQA_MUST_USE
enum gqa_status gqa_attention_metric_create(
    struct gqa_attention_metric **out, struct gqa_attention_loss *loss,
    const struct gqa_attention_loss_job *job, const double *weights,
    unsigned n_threads);
void gqa_attention_metric_free(struct gqa_attention_metric *metric);

/* x, in the order of weights, becomes P^-1 x. */
GQA_MUST_USE
enum gqa_status gqa_attention_metric_divide(struct gqa_attention_metric *metric,
                                            double *x);

#endif
