/* The files that gqa-verify writes, and those that they must not replace. */
#ifndef GQA_VERIFY_OUTPUTS_H
#define GQA_VERIFY_OUTPUTS_H

#include "verify/options.h"
#include "verify/subject.h"

/*
 * Before any work: that the report and the dump can be written, are two
 * files, and are none of those that the command line names as input. Errors
 * GQA_ERR_USAGE, GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_outputs_try(const struct gqa_verify_options *options);

/*
 * Remove an older report, so that it is not taken for this run's whatever
 * happens. Only when both checkpoints are kept apart. Errors GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_outputs_clear(const struct gqa_verify_options *options);

/*
 * That they are no part of a checkpoint, nor its configuration or a file of
 * its tokenizer or generation; one that is not open has none. Errors
 * GQA_ERR_USAGE.
 */
GQA_MUST_USE
enum gqa_status gqa_outputs_keep_apart(const struct gqa_verify_options *options,
                                       const struct gqa_subject *subject);

#endif
