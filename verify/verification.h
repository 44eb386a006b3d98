/* All checks that the command line asks for, one after another. */
#ifndef GQA_VERIFY_VERIFICATION_H
#define GQA_VERIFY_VERIFICATION_H

#include "common/whole_file.h"
#include "verify/options.h"
#include "verify/report.h"

/*
 * Fill the report. A failed check is no error; what keeps a check from being
 * made at all is. The message begins with the path at fault.
 *
 * dump  zeroed; receives the file of --dump-logits, which the caller ends
 *       whatever is returned.
 */
GQA_MUST_USE
enum gqa_status gqa_verify(struct gqa_report *report,
                           struct gqa_whole_file *dump,
                           const struct gqa_verify_options *options);

#endif
