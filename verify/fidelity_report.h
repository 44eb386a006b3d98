/* Figures of the runs as checks of a report. */
#ifndef GQA_VERIFY_FIDELITY_REPORT_H
#define GQA_VERIFY_FIDELITY_REPORT_H

#include "runtime/measure/fidelity.h"
#include "verify/report.h"

/*
 * Checks `finite`, `kl`, `kl-p99`, `top-1` and `perplexity` of the group
 * fidelity. `finite` always has a verdict; the others have one where the
 * budget has a limit, else they are reported. Where no position or no
 * following token could be compared, a limit fails, and what has none is
 * skipped. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_fidelity_report(struct gqa_report *report,
                                    const struct gqa_fidelity_result *result,
                                    const struct gqa_budget *budget,
                                    double seconds);

/*
 * The same of a model that makes no logits of tokens: `finite`, the others as
 * where nothing could be compared, and `hidden-state`, the relative L2 distance
 * of the rows that a head of its own would read; reported. Where the budget
 * holds a conversion against another, `kl-of-first` fails likewise.
 *
 * rows  of n_positions tokens
 */
GQA_MUST_USE
enum gqa_status gqa_rows_report(struct gqa_report *report,
                                const struct gqa_drift *rows,
                                uint64_t n_positions,
                                const struct gqa_budget *budget,
                                double seconds);

/*
 * Check `drift` of the group fidelity: the layer that brings in most, and
 * the drift at the end of each stack. layers: [n_encoder + n_decoder].
 * Reported; failed where a value is not finite. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_drift_report(struct gqa_report *report,
                                 const struct gqa_drift *layers,
                                 size_t n_encoder, size_t n_decoder);

/*
 * A reported check of the group fidelity: what another conversion of the
 * original does, as a measure. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_scale_report(struct gqa_report *report, const char *name,
                                 const struct gqa_fidelity_result *result,
                                 double seconds);

/* The same of a model that makes no logits of tokens. */
GQA_MUST_USE
enum gqa_status gqa_rows_scale_report(struct gqa_report *report,
                                      const char *name,
                                      const struct gqa_drift *rows,
                                      double seconds);

/*
 * Check `kl-of-first` of the group fidelity: the mean KL divergence of a
 * conversion beside that of the first heads of the same groups, against
 * budget->max_kl_of_first. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_kl_of_first_report(struct gqa_report *report,
                                       const struct gqa_fidelity_result *result,
                                       const struct gqa_fidelity_result *first,
                                       const struct gqa_budget *budget);

#endif
