/* Whether a checkpoint is sound by itself. */
#ifndef GQA_VERIFY_FILE_CHECK_H
#define GQA_VERIFY_FILE_CHECK_H

#include "common/log.h"
#include "verify/report.h"
#include "verify/subject.h"

struct gqa_file_check {
    const char *path;
    struct gqa_checkpoint_options open;
    /* Opened and understood, or NULL: a NaN that it has too is no fault. */
    const struct gqa_subject *original;
    struct gqa_model_hints hints;
    bool allow_extra; /* left-overs outside of attention are no failure */
    unsigned n_threads;
    enum gqa_log_level log_level; /* of the progress bar */
};

/*
 * Open path and check its structure, every digest, every value and that its
 * configuration fits; each is a check in the report. What cannot be looked
 * at after a failure is skipped.
 *
 * subject  receives what was opened, also on an error; the caller ends it
 *          with gqa_subject_close(). Its model is NULL where it could not be
 *          understood, which is then a failed check.
 * Errors other than damage: GQA_ERR_IO, GQA_ERR_UNSUPPORTED, GQA_ERR_USAGE,
 *        GQA_ERR_NOMEM, GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_file_check(struct gqa_subject *subject,
                               struct gqa_report *report,
                               const struct gqa_file_check *options);

#endif
