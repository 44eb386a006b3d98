/*
 * What stock loaders make of a config.json: sizes that it leaves out, or says
 * in a way that none takes, keys that they cannot do without, and what versions
 * of them read differently.
 */
#ifndef GQA_VERIFY_LOADER_CHECK_H
#define GQA_VERIFY_LOADER_CHECK_H

#include "verify/clauses.h"
#include "verify/subject.h"

/*
 * What was found goes to *list, an array of {"key", "original",
 * "converted", "tensors", "clause"}, the clause for people. What the original's
 * configuration leaves out too is none; original may be NULL. Errors
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_loader_check(json_t **list,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original);

#endif
