/* Whether every value of a converted checkpoint is what it must be. */
#ifndef GQA_VERIFY_WEIGHTS_CHECK_H
#define GQA_VERIFY_WEIGHTS_CHECK_H

#include "verify/report.h"
#include "verify/subject.h"

/*
 * Compare all of `converted` with `original`: which parameters there are,
 * unchanged ones bit by bit, keys and values with what the recorded recipe
 * makes of the original's, or, where none is recorded, with each way they
 * could have been made. Where the model of `converted` could not be
 * understood the checks are skipped.
 *
 * Errors GQA_ERR_USAGE: they are not of one model; as gqa_checkpoint_read();
 *        GQA_ERR_INTERRUPTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_weights_check(struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_subject *converted,
                                  unsigned n_threads);

#endif
