/* What is made small: divergences of the student from its teacher, and
 * cross-entropy on data. */
#ifndef GQA_UPTRAIN_LOSS_MIX_H
#define GQA_UPTRAIN_LOSS_MIX_H

#include <stdbool.h>

#include "common/status.h"

/* Factors of a sum; none is negative, and one is not 0. */
struct gqa_loss_mix {
    double kl;            /* KL(teacher || student) */
    double reverse_kl;    /* KL(student || teacher) */
    double cross_entropy; /* of what data says that follows */
};

/*
 * "kl", "reverse-kl", "symmetric" (half of each), "ce", each with a factor
 * behind a colon where there are more: "kl:0.9,ce:0.1". Errors GQA_ERR_USAGE.
 */
GQA_MUST_USE
enum gqa_status gqa_loss_parse(struct gqa_loss_mix *out, const char *text);

bool gqa_loss_wants_teacher(const struct gqa_loss_mix *mix);

#endif
