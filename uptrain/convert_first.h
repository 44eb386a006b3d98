/* The student made of its teacher, as gqa-convert makes it. */
#ifndef GQA_UPTRAIN_CONVERT_FIRST_H
#define GQA_UPTRAIN_CONVERT_FIRST_H

#include "uptrain/options.h"

/* A .gqa in a hidden folder beside the output. */
struct gqa_made_student {
    char *folder; /* owned; NULL: nothing is there */
    char *path;   /* owned */
};

/*
 * Convert. Signals are caught from here on, and gqa_advice_use() is
 * gqa-convert's. End it with gqa_made_student_remove(), also after an error.
 * Errors those of a conversion, as its messages say them; GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_made_student_create(
    struct gqa_made_student *out, const struct gqa_uptrain_options *options);

/* Delete file and folder: what is open stays readable. */
void gqa_made_student_remove(struct gqa_made_student *student);

#endif
