/* The files beside two checkpoints: tokenizer and generation. */
#ifndef GQA_VERIFY_COMPANIONS_CHECK_H
#define GQA_VERIFY_COMPANIONS_CHECK_H

#include "verify/report.h"
#include "verify/subject.h"

/* Whether a file of this name is of tokenizer or generation. */
bool gqa_is_companion(const char *name);

/*
 * Add the check "companions": which files of tokenizer and generation are in
 * both folders and the same, JSON by what it says. It fails nothing. Nothing is
 * added where not both are folders, or neither has any. Errors GQA_ERR_IO,
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_companions_check(struct gqa_report *report,
                                     const struct gqa_subject *subject,
                                     const struct gqa_subject *original);

#endif
