/* The transforms of aligned conversions as tensors of the output: what this
 * one made, and what the source has of those before. */
#ifndef GQA_CONVERT_TRANSFORMS_H
#define GQA_CONVERT_TRANSFORMS_H

#include "common/sha256.h"
#include "convert/plan.h"
#include "formats/write/output.h"

struct gqa_kept_transform;

struct gqa_kept_transforms {
    struct gqa_output_tensor *tensors; /* [n]; lent to the output */
    size_t n;
    uint64_t step; /* this conversion's number, from 1; 0: it made none */
    /* Of what it made, one tensor after another: attention by attention, k, v,
     * q, o. */
    char digest[GQA_SHA256_DIGITS + 1];
    struct gqa_checkpoint *source;
    struct gqa_kept_transform *items; /* [n], owned */
};

/*
 * n_before: conversions that the source's recipe tells of; transforms of
 * others are left. The plan, with its alignment, and the source must outlive
 * them. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_kept_transforms_create(struct gqa_kept_transforms **out,
                                           const struct gqa_plan *plan,
                                           struct gqa_checkpoint *source,
                                           uint64_t n_before);
void gqa_kept_transforms_free(struct gqa_kept_transforms *kept);

/* Whether part 'k', 'v', 'q' or 'o' was fitted, and is no transform. */
bool gqa_transform_is_fitted(const struct gqa_transforms *transforms,
                             char part);

/* Set fitted [n_params] of weights and biases that such a part is, or is a part
 * of. */
void gqa_transforms_mark_fitted(bool *fitted, const struct gqa_plan *plan);

/* As a gqa_produce_fn, of tensors[i]. */
GQA_MUST_USE
enum gqa_status gqa_kept_transforms_read(const struct gqa_kept_transforms *kept,
                                         size_t i, uint64_t offset, size_t n,
                                         void *buf);

#endif
