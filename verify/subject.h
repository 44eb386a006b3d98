/* A checkpoint under examination: what it holds and what that means. */
#ifndef GQA_VERIFY_SUBJECT_H
#define GQA_VERIFY_SUBJECT_H

#include "formats/model/inventory.h"

struct gqa_subject {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_inventory *inventory; /* of the model; NULL as that is */
    json_t *recipe;                  /* NULL: none is recorded */
};

/* Open the checkpoint alone. Errors as gqa_checkpoint_open(). */
GQA_MUST_USE
enum gqa_status gqa_subject_open(struct gqa_subject *subject, const char *path,
                                 const struct gqa_checkpoint_options *options);

/*
 * Find out what an open one means, and read its recipe. hints: lent, as to
 * gqa_model_create(). Errors as
 * gqa_model_create(), with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_subject_understand(struct gqa_subject *subject,
                                       const struct gqa_model_hints *hints);

/* Forget what it means: the checkpoint stays open. */
void gqa_subject_forget(struct gqa_subject *subject);

/* Whether conversions to another type leave the parameter as it is: a buffer,
 * a scale, a left-over. */
bool gqa_subject_keeps_dtype(const struct gqa_subject *subject, size_t param);

void gqa_subject_close(struct gqa_subject *subject);

#endif
