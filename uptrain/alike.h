/* Which values of a student are its teacher's, and whether the student is the
 * teacher with its heads grouped. */
#ifndef GQA_UPTRAIN_ALIKE_H
#define GQA_UPTRAIN_ALIKE_H

#include "uptrain/pair.h"

/*
 * Set pair->differences of all parameters that have a partner and are not the
 * same: values are the teacher's also where they were rounded to a type on
 * their way.
 *
 * Errors those of reading.
 */
GQA_MUST_USE
enum gqa_status gqa_alike_compare(struct gqa_pair *pair, unsigned n_threads);

/*
 * That neither has NaN, nor infinity where it computes; and, unless all may
 * differ, that all that the student computes with is the teacher's, but for
 * what grouping changes and what its recipe says was trained.
 *
 * Errors GQA_ERR_FORMAT: not finite; GQA_ERR_USAGE: another model; each names
 *        the parameter. GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_alike_check(const struct gqa_pair *pair, bool may_differ);

#endif
