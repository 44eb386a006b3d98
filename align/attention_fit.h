/*
 * q, k, v and o of an attention fitted together to what it should add to the
 * stream (attention_loss.h), behind all fits of each by itself.
 */
#ifndef GQA_ALIGN_ATTENTION_FIT_H
#define GQA_ALIGN_ATTENTION_FIT_H

#include "align/attention_loss.h"

/*
 * rows     of job->rows, changed where what is held out gains in its mean, and
 *          its worst sequence loses nothing: the best of the steps on the way.
 * changed  whether they were.
 * Errors   those of attention_loss.h; GQA_ERR_FORMAT: not finite.
 */
GQA_MUST_USE
enum gqa_status gqa_attention_fit(
    struct gqa_head_rows *const rows[GQA_N_PROJECTIONS], bool *changed,
    const struct gqa_attention_loss_job *job, unsigned n_threads);

#endif
