/* The student made of its teacher, as gqa-convert makes it: a file that never
 * has a name in the output's folder, or a hidden one where the system wants
 * that. */
#ifndef GQA_UPTRAIN_CONVERT_FIRST_H
#define GQA_UPTRAIN_CONVERT_FIRST_H

#include "uptrain/options.h"

/* What it is called in messages and records. */
#define GQA_MADE_STUDENT "the grouped model"

/*
 * Convert. Signals are caught from here on, and gqa_advice_use() is
 * gqa-convert's.
 *
 * fd      receives a descriptor to read it by, which the caller closes; -1:
 * none. Errors  those of a conversion, as its messages say them.
 */
GQA_MUST_USE
enum gqa_status gqa_made_student_create(
    int *fd, const struct gqa_uptrain_options *options);

/* The same of its shapes alone, values being 0: no weight is read, and what a
 * conversion would refuse is refused. */
GQA_MUST_USE
enum gqa_status gqa_made_student_plan(
    int *fd, const struct gqa_uptrain_options *options);

#endif
