/* Greedy continuations of both models, side by side. */
#ifndef GQA_VERIFY_GENERATE_H
#define GQA_VERIFY_GENERATE_H

#include "runtime/measure/fidelity.h"
#include "runtime/measure/running.h"
#include "verify/report.h"

/*
 * The n most likely tokens, one after another (of equals the lowest), behind
 * the first half of a decoder-only sequence, or for an encoder-decoder from
 * the start token on. From the end token on, where the model has no more
 * positions and where a logit is not finite, out holds GQA_NO_TOKEN.
 *
 * out    [n]
 * Errors those of the session; GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_generate(int32_t *out, uint64_t n,
                             struct gqa_running *running,
                             const struct gqa_sequence *sequence);

/*
 * The check `generate-S` of group fidelity, reported: where the
 * continuations of sequence S part, and their tokens. tokens: [n] of each
 * model. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_generate_report(struct gqa_report *report, uint64_t s,
                                    const int32_t *const tokens[GQA_N_MODELS],
                                    uint64_t n);

#endif
