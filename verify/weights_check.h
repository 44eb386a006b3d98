/* Every value of a converted checkpoint against the original: group weights. */
#ifndef GQA_VERIFY_WEIGHTS_CHECK_H
#define GQA_VERIFY_WEIGHTS_CHECK_H

#include "verify/report.h"
#include "verify/subject.h"

struct gqa_weights_options {
    unsigned n_threads;
    bool trained; /* --trained: values are reported, and fail nothing */
};

/*
 * Four checks: recipe, parameters, unchanged and grouped. Where the converted
 * checkpoint was not understood, the last two, skipped.
 *
 * Errors GQA_ERR_USAGE: not one model; GQA_ERR_UNSUPPORTED; those of reading.
 */
GQA_MUST_USE
enum gqa_status gqa_weights_check(struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_subject *converted,
                                  const struct gqa_weights_options *options);

#endif
