/* Whether a model has all parameters that it must have, and no others. */
#ifndef GQA_VERIFY_INVENTORY_CHECK_H
#define GQA_VERIFY_INVENTORY_CHECK_H

#include "verify/report.h"
#include "verify/subject.h"

/* Where the configuration speaks of other sizes than the tensors have, the
 * check fails with both numbers. */
void gqa_inventory_check_config(struct gqa_check *check,
                                const struct gqa_subject *subject);

/*
 * The check "parameters" of the file; skipped where the model was not
 * understood. allow_extra: left-overs outside of attention are reported and
 * no failure. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_inventory_check(struct gqa_report *report,
                                    const struct gqa_subject *subject,
                                    bool allow_extra);

#endif
